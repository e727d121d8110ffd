//! One thread of the load generator: its connections, its share of the requests, its epoll.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::command::{Composer, KeySource, Verdict};
use super::config::{Config, KeyOrder, Pace, Until};
use super::connection::{Connection, Pending};
use super::link::TlsContext;
use super::report::Tally;

/// How long unanswered requests are awaited after the end; then they count as lost.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest sleep: how late a stop is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// Events that one call of epoll brings.
const EVENTS: usize = 64;

pub(super) struct Worker<'a> {
    config: &'a Config,
    stop: &'a AtomicBool,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    composer: Composer,
    keys: KeySource,
    random: fastrand::Rng,
    /// Requests that may still be sent.
    budget: u64,
    /// Requests sent so far.
    issued: u64,
    /// Open loop: nanoseconds between this worker's requests.
    interval: Option<f64>,
    /// Open loop: something is due and no connection has room for it.
    is_full: bool,
    /// Open loop: whose turn it is.
    turn: usize,
    start: Instant,
    tally: Tally,
}

impl<'a> Worker<'a> {
    /// Opens every `threads`-th connection, beginning with number `index`.
    pub(super) fn connect(
        config: &'a Config,
        index: usize,
        threads: usize,
        stop: &'a AtomicBool,
    ) -> io::Result<Worker<'a>> {
        let tls = config.tls.as_ref().map(TlsContext::new).transpose()?;
        // SAFETY: no pointers; the descriptor that comes back is nobody else's.
        let epoll = unsafe {
            let descriptor = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(descriptor)
        };
        let (index_wide, threads_wide) = (index as u64, threads as u64);
        let keys = match config.order {
            KeyOrder::Sequential => {
                KeySource { state: index_wide, step: threads_wide, keys: config.keys, own: None }
            }
            KeyOrder::Random | KeyOrder::Own { .. } => KeySource {
                state: config.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(index as u32)
                    ^ index_wide,
                step: 0,
                keys: config.keys,
                own: None,
            },
        };
        let mut worker = Worker {
            config,
            stop,
            epoll,
            connections: Vec::new(),
            composer: Composer::new(config.value_bytes),
            keys,
            random: fastrand::Rng::with_seed(config.seed ^ index_wide),
            budget: match config.until {
                // The remainder goes to the first workers, one each.
                Until::Requests(all) => {
                    all / threads_wide + u64::from(index_wide < all % threads_wide)
                }
                Until::Elapsed(_) => u64::MAX,
            },
            issued: 0,
            interval: match config.pace {
                Pace::Closed => None,
                Pace::Open { rate } => Some(1e9 * threads as f64 / rate.max(1e-3)),
            },
            is_full: false,
            turn: 0,
            start: Instant::now(),
            tally: Tally::new(),
        };
        for number in 0..config.connections.div_ceil(threads) {
            if number * threads + index < config.connections {
                worker.open(tls.as_ref())?;
            }
        }
        Ok(worker)
    }

    fn open(&mut self, tls: Option<&TlsContext>) -> io::Result<()> {
        let mut connection = Connection::open(self.config.address, tls)?;
        if let Some((user, password)) = &self.config.credentials {
            authenticate(&mut connection, user.as_deref(), password)?;
        }
        let number = self.connections.len();
        self.watch(libc::EPOLL_CTL_ADD, &connection, number, false)?;
        self.connections.push(Some(connection));
        Ok(())
    }

    fn watch(
        &self,
        operation: i32,
        connection: &Connection,
        number: usize,
        room: bool,
    ) -> io::Result<()> {
        let events = libc::EPOLLIN | if room { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: events as u32, u64: number as u64 };
        let epoll = self.epoll.as_raw_fd();
        // SAFETY: both descriptors are open, and the event lives during the call.
        match unsafe { libc::epoll_ctl(epoll, operation, connection.descriptor(), &mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sends and judges until the end, and what is in flight then.
    pub(super) fn run(mut self, start: Instant) -> io::Result<Tally> {
        self.start = start;
        // SAFETY: changes the timer slack of this thread only; 1 ns instead of 50 us, so that
        // intended times are met.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
        if self.interval.is_none() {
            (0..self.connections.len()).for_each(|number| self.send_batch(number));
        }
        let mut drain_until = None;
        loop {
            self.send_due();
            let is_over = self.is_over();
            if is_over && self.is_drained() {
                break;
            }
            if self.connections.iter().all(Option::is_none) {
                break;
            }
            if is_over
                && Instant::now() >= *drain_until.get_or_insert(Instant::now() + DRAIN_TIMEOUT)
            {
                break;
            }
            self.wait()?;
        }
        let left = self.connections.iter().flatten().map(|c| c.pending.len() as u64);
        self.tally.lost += left.sum::<u64>();
        Ok(self.tally)
    }

    fn is_over(&self) -> bool {
        let elapsed = match self.config.until {
            Until::Requests(_) => false,
            Until::Elapsed(limit) => self.start.elapsed() >= limit,
        };
        self.budget == 0 || elapsed || self.stop.load(Ordering::Relaxed)
    }

    fn is_drained(&self) -> bool {
        self.connections.iter().flatten().all(|connection| connection.pending.is_empty())
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Closed loop: the next batch of a connection that has none open.
    fn send_batch(&mut self, number: usize) {
        if self.is_over() {
            return;
        }
        let now = self.now();
        let count = self.budget.min(self.config.pipeline as u64);
        (0..count).for_each(|_| self.write_request(number, now));
        self.flush(number);
    }

    /// Open loop: what is due, as far as connections have room.
    fn send_due(&mut self) {
        let Some(interval) = self.interval else { return };
        if self.is_over() {
            return;
        }
        let now = self.now();
        let mut touched = Vec::new();
        self.is_full = false;
        while self.budget > 0 {
            let due = (self.issued as f64 * interval) as u64;
            if due > now {
                break;
            }
            let Some(number) = self.next_with_room() else {
                self.is_full = true;
                break;
            };
            self.write_request(number, due);
            touched.push(number);
        }
        touched.sort_unstable();
        touched.dedup();
        touched.into_iter().for_each(|number| self.flush(number));
    }

    fn next_with_room(&mut self) -> Option<usize> {
        for _ in 0..self.connections.len() {
            self.turn = (self.turn + 1) % self.connections.len();
            let connection = self.connections[self.turn].as_ref();
            if connection.is_some_and(|c| c.pending.len() < self.config.pipeline) {
                return Some(self.turn);
            }
        }
        None
    }

    fn write_request(&mut self, number: usize, intended: u64) {
        let Some(connection) = &mut self.connections[number] else { return };
        let command = self.config.mix.choose(&mut self.random);
        if let KeyOrder::Own { shards, first } = self.config.order {
            // With one thread connections have the numbers in which they were opened.
            let shard = (usize::from(first) + number) % usize::from(shards.max(1));
            self.keys.own = Some((shard as u16, shards));
        }
        let Connection { output, pending, .. } = connection;
        let mut awaits = |expected| pending.push_back(Pending { intended, expected });
        let last = self.composer.write(output, command, &mut self.keys, &mut awaits);
        awaits(last);
        self.budget -= 1;
        self.issued += 1;
    }

    fn flush(&mut self, number: usize) {
        let Some(connection) = &mut self.connections[number] else { return };
        let awaits_room = match connection.flush() {
            Ok(is_all_gone) => !is_all_gone,
            Err(error) => return self.lose(number, &error),
        };
        if awaits_room != connection.awaits_room {
            connection.awaits_room = awaits_room;
            let Some(connection) = &self.connections[number] else { return };
            if let Err(error) = self.watch(libc::EPOLL_CTL_MOD, connection, number, awaits_room) {
                self.lose(number, &error);
            }
        }
    }

    /// The connection is gone, and the answers to its open requests with it.
    fn lose(&mut self, number: usize, error: &io::Error) {
        if let Some(connection) = self.connections[number].take() {
            self.tally.lost_connections += 1;
            self.tally.lost += connection.pending.len() as u64;
            self.tally.first_error.get_or_insert_with(|| format!("connection lost: {error}"));
        }
    }

    /// Sleeps until something arrives or is due, and deals with what has arrived.
    fn wait(&mut self) -> io::Result<()> {
        let timeout = self.timeout();
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs() as libc::time_t,
            tv_nsec: i64::from(timeout.subsec_nanos()) as _,
        };
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        // SAFETY: `events` has room for as many events as are asked for, `timeout` lives during the
        // call, and no signal mask is passed. (libc has no wrapper for it on every C library.)
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                events.as_mut_ptr(),
                EVENTS as libc::c_int,
                &timeout,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            let is_signal = error.kind() == io::ErrorKind::Interrupted;
            return if is_signal { Ok(()) } else { Err(error) };
        }
        for event in &events[..count as usize] {
            let (number, what) = (event.u64 as usize, event.events);
            if what & libc::EPOLLOUT as u32 != 0 {
                self.flush(number);
            }
            if what & !(libc::EPOLLOUT as u32) != 0 {
                self.receive(number);
            }
        }
        Ok(())
    }

    fn timeout(&self) -> Duration {
        let Some(interval) = self.interval else { return SLEEP_MAX };
        let due = Duration::from_nanos((self.issued as f64 * interval) as u64);
        let until_due = due.saturating_sub(self.start.elapsed());
        pause(until_due, self.is_full)
    }

    fn receive(&mut self, number: usize) {
        let Some(connection) = &mut self.connections[number] else { return };
        let (tally, composer) = (&mut self.tally, &mut self.composer);
        let mut now = None;
        let start = self.start;
        let received = connection.receive(|reply, pending| {
            let now = *now.get_or_insert_with(|| start.elapsed().as_nanos() as u64);
            tally.answered(now.saturating_sub(pending.intended));
            match composer.judge(reply, pending.expected) {
                Verdict::Good => {}
                Verdict::Missing(values) => tally.missing += values,
                Verdict::Wrong => {
                    tally.wrong += 1;
                    tally.first_error.get_or_insert_with(|| {
                        let shown = &reply[..reply.len().min(100)];
                        format!("{:?} answered by '{}'", pending.expected, shown.escape_ascii())
                    });
                }
                Verdict::Error(text) => {
                    tally.errors += 1;
                    tally.first_error.get_or_insert(text);
                }
            }
        });
        match received {
            Err(error) => self.lose(number, &error),
            Ok(()) => {
                if self.interval.is_none()
                    && self.connections[number].as_ref().is_some_and(|c| c.pending.is_empty())
                {
                    self.send_batch(number);
                }
            }
        }
    }
}

/// How long an open loop sleeps. Without room the replies wake it. What has become due since it looked is
/// sent at once: slept through, it looked like a server that stood still for so long.
pub(super) fn pause(until_due: Duration, is_full: bool) -> Duration {
    if is_full { SLEEP_MAX } else { until_due.min(SLEEP_MAX) }
}

/// Sends AUTH and waits for its answer, before the connection is watched.
fn authenticate(connection: &mut Connection, user: Option<&str>, password: &str) -> io::Result<()> {
    let mut words = vec![b"AUTH".as_slice()];
    words.extend(user.map(str::as_bytes));
    words.push(password.as_bytes());
    engine::resp::encode_command(&mut connection.output, &words);
    let expected = super::command::Expected::Ok;
    connection.pending.push_back(Pending { intended: 0, expected });
    connection.flush()?;
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    let mut refusal = None;
    while !connection.pending.is_empty() {
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        await_bytes(connection.descriptor())?;
        connection.flush()?;
        connection.receive(|reply, _| {
            if !reply.starts_with(b"+OK") {
                refusal = Some(String::from_utf8_lossy(reply).trim_end().to_owned());
            }
        })?;
    }
    refusal.map_or(Ok(()), |text| Err(io::Error::new(io::ErrorKind::PermissionDenied, text)))
}

/// Sleeps until `descriptor` has bytes, at most for `SLEEP_MAX`.
fn await_bytes(descriptor: std::os::fd::RawFd) -> io::Result<()> {
    let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, which lives during the call.
    let count = unsafe { libc::poll(&mut poll, 1, SLEEP_MAX.as_millis() as i32) };
    if count < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
