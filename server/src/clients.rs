//! All client connections of the program: for CLIENT LIST and KILL, maxclients and INFO.
//!
//! A connection writes its own [`Client`]; everybody may read it. The map is locked when a connection
//! comes or goes and by the commands that list them, never by a request. Every accepted socket is in it
//! and counts, whatever it turns out to be ([`Stage`]): what is counted late can be opened for nothing.

use crate::config::{Config, Settings};
use engine::exec::Node;
use engine::pubsub::Inbox;
use engine::resp::Held;
use engine::rt::{self, Patience, Stream};
use engine::shard::{Answer, Message, ReplyTo, Woken};
use replication::transport::{Taker, Transport};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

/// The most clients that the limit of open files allows: some descriptors are for links of replication,
/// operators, logs and executors.
pub fn places_max() -> u32 {
    const OTHERS: u64 = SPARE_MAX as u64 + 128;
    let files = rt::probe::open_files_max();
    let places = files - OTHERS.min(files / 2);
    u32::try_from(places).unwrap_or(u32::MAX)
}

/// How many clients there may be: `maxclients`, or what the limit of open files allows.
pub fn places(config: &Config) -> u32 {
    config.maxclients.min(places_max())
}

/// What a connection is by now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Stage {
    /// Its TLS handshake is not over.
    Arriving,
    /// A client.
    Client,
    /// It asked for a page.
    Http,
}

/// One connection, as others see it.
#[derive(Debug)]
pub struct Client {
    /// Unique and growing.
    pub id: u64,
    /// The other end.
    pub peer: String,
    /// Our end.
    pub local: String,
    /// The socket, for CLIENT LIST and for ending it.
    pub fd: RawFd,
    /// When it connected.
    pub since: Instant,
    /// On which executor it lives.
    pub executor: u16,
    /// Whether it came in over the admin port.
    pub admin: bool,
    /// Whether it came beyond maxclients: only a replica may go on.
    pub spare: bool,
    /// Milliseconds after `since` of the last request.
    pub last_request_ms: AtomicU64,
    /// Database.
    pub db: AtomicU16,
    /// RESP version.
    pub protocol: AtomicU8,
    /// Id of the last command; `u32::MAX` before the first.
    pub last_command: AtomicU32,
    /// Commands queued by MULTI; -1 is `u32::MAX`: not in MULTI.
    pub queued: AtomicU32,
    /// Bytes of the queued commands.
    pub queued_bytes: AtomicU64,
    /// Keys watched.
    pub watched: AtomicU32,
    /// Channels, patterns and channels of SSUBSCRIBE that it listens to.
    pub channels: AtomicU32,
    /// See [`channels`](Client::channels).
    pub patterns: AtomicU32,
    /// See [`channels`](Client::channels).
    pub shard_channels: AtomicU32,
    /// What comes of these.
    inbox: Mutex<Option<Arc<Inbox>>>,
    /// Bytes of requests that wait to be parsed.
    pub input_bytes: AtomicU64,
    /// Bytes of replies that wait to be sent, as the limits of waiting output count them.
    pub output_bytes: AtomicU64,
    /// In how many buffers and values they stand.
    pub output_pieces: AtomicU64,
    /// Bytes of the buffers among them, with what of these is sent.
    pub output_buffers: AtomicU64,
    /// The values that they refer to, for as long as there are any.
    output_values: Mutex<Vec<Weak<dyn Held>>>,
    /// Requests so far.
    pub commands: AtomicU64,
    /// `CLIENT NO-EVICT`.
    pub no_evict: AtomicBool,
    /// `CLIENT NO-TOUCH`.
    pub no_touch: AtomicBool,
    /// It is to end.
    pub killed: AtomicBool,
    /// The command that it waits in.
    waiting: Mutex<Option<Waiting>>,
    /// Its [`Stage`].
    stage: AtomicU8,
    /// It is waited for; otherwise it is being served.
    silent: AtomicBool,
    /// Name and library, as the client said.
    pub words: Mutex<Words>,
}

/// How CLIENT UNBLOCK ends a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unblocked {
    /// As if the time were up.
    ByTimeout,
    /// With an error.
    ByError,
}

/// Whoever waits for what a master has to say, or for keys, is told when there is no master any more.
pub const UNBLOCKED: &str = "UNBLOCKED force unblock from blocking operation, instance state changed \
                             (master -> replica?)";

/// CLIENT UNBLOCK with ERROR.
pub const UNBLOCKED_BY_CLIENT: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// A command that waits.
#[derive(Debug)]
struct Waiting {
    /// How it is told that it is not to wait any more.
    told: Told,
    unblocked: Option<Unblocked>,
}

/// How who waits is told that it is not to.
#[derive(Debug)]
enum Told {
    /// By a flag that is raised.
    Flag(Arc<AtomicBool>),
    /// By an answer ([`Woken::Called`]).
    Answer(ReplyTo),
}

/// What a client says about itself.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub library: String,
    /// CLIENT SETINFO LIB-VER.
    pub version: String,
    /// The user it authenticated as.
    pub user: String,
}

/// The map of all clients.
#[derive(Debug, Default)]
pub struct Clients {
    all: Mutex<BTreeMap<u64, Arc<Client>>>,
    last_id: AtomicU64,
    /// Connections that count for maxclients, in whatever stage.
    counted: AtomicU32,
    /// Connections beyond maxclients that may yet turn out to be a replica's.
    spare: AtomicU32,
    pause: Mutex<Option<Pause>>,
    /// Whether there may be a pause: one relaxed look per request.
    paused: AtomicBool,
}

/// The most connections beyond maxclients: links of replication do not count for it, and it takes a
/// request or two until it is known that a connection is to be one. Some replicas of 64 shards that all
/// come at once have room.
const SPARE_MAX: u32 = 256;

/// CLIENT PAUSE.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    /// Until when.
    pub until: Instant,
    /// Only commands that may write wait.
    pub only_writes: bool,
}

impl Clients {
    /// Registers a connection; admin connections always come in. Beyond `max` there are a few spare
    /// places ([`Client::spare`]); `None` when these are taken too.
    pub fn enter(
        &self,
        stream: &Stream,
        executor: u16,
        admin: bool,
        max: u32,
    ) -> Option<Arc<Client>> {
        let take = |counter: &AtomicU32, max| {
            let free = |count| (count < max).then_some(count + 1);
            counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, free).is_ok()
        };
        let spare = !admin && !take(&self.counted, max);
        if spare && !take(&self.spare, SPARE_MAX) {
            return None;
        }
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let show = |address: Option<SocketAddr>| {
            address.map_or_else(|| "unix:0".to_owned(), |address| address.to_string())
        };
        let client = Arc::new(Client {
            id,
            peer: show(stream.peer_addr()),
            local: show(stream.local_addr()),
            fd: stream.fd(),
            since: Instant::now(),
            executor,
            admin,
            spare,
            last_request_ms: AtomicU64::new(0),
            db: AtomicU16::new(0),
            protocol: AtomicU8::new(2),
            last_command: AtomicU32::new(u32::MAX),
            queued: AtomicU32::new(u32::MAX),
            queued_bytes: AtomicU64::new(0),
            watched: AtomicU32::new(0),
            channels: AtomicU32::new(0),
            patterns: AtomicU32::new(0),
            shard_channels: AtomicU32::new(0),
            inbox: Mutex::new(None),
            input_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            output_pieces: AtomicU64::new(0),
            output_buffers: AtomicU64::new(0),
            output_values: Mutex::default(),
            commands: AtomicU64::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            waiting: Mutex::new(None),
            stage: AtomicU8::new(Stage::Arriving as u8),
            silent: AtomicBool::new(false),
            words: Mutex::new(Words { user: "default".to_owned(), ..Words::default() }),
        });
        lock(&self.all).insert(id, client.clone());
        Some(client)
    }

    /// Forgets a connection. To be called while its socket is still open (see [`Clients::kill`]); again
    /// it does nothing.
    pub fn leave(&self, client: &Client) {
        if lock(&self.all).remove(&client.id).is_some() && !client.admin {
            let place = if client.spare { &self.spare } else { &self.counted };
            place.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// All connections, in the order of their ids.
    pub fn all(&self) -> Vec<Arc<Client>> {
        lock(&self.all).values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        lock(&self.all).len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The one with this id.
    pub fn find(&self, id: u64) -> Option<Arc<Client>> {
        lock(&self.all).get(&id).cloned()
    }

    /// Ends a connection: its executor sees the end of its input.
    pub fn kill(&self, client: &Client) {
        // Under the lock: a client that left the map has closed its socket, and the number may
        // already be somebody else's.
        let all = lock(&self.all);
        if all.contains_key(&client.id) {
            client.killed.store(true, Ordering::Release);
            // SAFETY: shutdown does not touch memory, and the descriptor is open while the client is
            // registered.
            unsafe { libc::shutdown(client.fd, libc::SHUT_RDWR) };
        }
    }

    /// Ends those that have been silent for longer than `limit`. A connection looks at its own clock with
    /// the limit of the moment when it began to wait; this is for those that waited when it was changed.
    /// How many these were.
    pub fn end_silent(&self, limit: Duration) -> u64 {
        let mut ended = 0;
        for client in self.all() {
            let idle =
                client.age_ms().saturating_sub(client.last_request_ms.load(Ordering::Relaxed));
            let silent =
                client.silent.load(Ordering::Relaxed) && !client.admin && !client.is_subscriber();
            if silent && u128::from(idle) > limit.as_millis() {
                self.kill(&client);
                ended += 1;
            }
        }
        ended
    }

    /// Ends those beyond maxclients that are no links yet after `limit`: a link leaves the map when it is
    /// one, and its place is for the next.
    pub fn end_spare(&self, limit: Duration) {
        if self.spare.load(Ordering::Relaxed) == 0 {
            return;
        }
        for client in self.all() {
            if client.spare && client.since.elapsed() > limit {
                self.kill(&client);
            }
        }
    }

    /// Begins a pause, or makes the one in force longer and stricter, never shorter nor milder.
    pub fn begin_pause(&self, new: Pause) {
        let mut pause = lock(&self.pause);
        let old = pause.filter(|old| old.until > Instant::now()).unwrap_or(new);
        *pause = Some(Pause {
            until: old.until.max(new.until),
            only_writes: old.only_writes && new.only_writes,
        });
        self.paused.store(true, Ordering::Release);
    }

    /// Ends the pause. Whoever waits is told by [`crate::pauses`].
    pub fn end_pause(&self) {
        *lock(&self.pause) = None;
        self.paused.store(false, Ordering::Release);
    }

    /// The pause in force, if any.
    pub fn pause(&self) -> Option<Pause> {
        if !self.paused.load(Ordering::Acquire) {
            return None;
        }
        let mut pause = lock(&self.pause);
        if pause.is_some_and(|pause| pause.until <= Instant::now()) {
            *pause = None;
            self.paused.store(false, Ordering::Release);
        }
        *pause
    }
}

impl Client {
    /// What this connection is by now.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Arriving,
            1 => Stage::Client,
            _ => Stage::Http,
        }
    }

    /// It has become something else.
    pub fn enter_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Notes that it asked for something now.
    pub fn asked(&self) {
        self.last_request_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// Reads from it. `None`: it was silent for the setting `timeout`, which is `limit` as far as is known
    /// and is looked up when that is over.
    pub async fn read(
        &self,
        transport: &Transport,
        settings: &Settings,
        mut limit: Option<Duration>,
        taker: &mut impl Taker,
        size: usize,
    ) -> io::Result<Option<usize>> {
        let _silence = Silence::begin(&self.silent);
        let mut waited = Duration::ZERO;
        loop {
            let reading = transport.read(taker, size);
            let Some(all) = limit else { break reading.await.map(Some) };
            match Patience::of(all.saturating_sub(waited)).within(reading).await {
                Ok(read) => break read.map(Some),
                Err(_) => waited = waited.max(all),
            }
            limit = self.idle_limit(&settings.config());
            if limit.is_some_and(|limit| limit <= waited) {
                break Ok(None);
            }
        }
    }

    /// So many bytes of replies wait to be sent, in so many pieces; and so large are buffers among these.
    pub fn note_output(&self, waiting: u64, pieces: u64, buffers: u64) {
        self.output_bytes.store(waiting, Ordering::Relaxed);
        self.output_pieces.store(pieces, Ordering::Relaxed);
        self.output_buffers.store(buffers, Ordering::Relaxed);
    }

    /// Its replies refer to these values until they are sent.
    pub fn note_values(&self, values: Vec<Weak<dyn Held>>) {
        *lock(&self.output_values) = values;
    }

    /// The memory that only its replies take: buffers, and values that are no data any more.
    pub fn output_memory(&self) -> u64 {
        /// Looks at the values of one client, some 100 us: what they do not tell is estimated or left out.
        const LOOKS: usize = 2048;
        let mut looks = LOOKS;
        let values: u64 = lock(&self.output_values)
            .iter()
            .filter_map(Weak::upgrade)
            .take(LOOKS)
            .map(|value| value.kept(&mut looks) as u64)
            .sum();
        self.output_buffers.load(Ordering::Relaxed) + values
    }

    /// The time without a word after which it is closed, where there is such a time.
    pub fn idle_limit(&self, config: &Config) -> Option<Duration> {
        let limit = config.timeout;
        (!limit.is_zero() && !self.admin && !self.is_subscriber()).then_some(limit)
    }

    /// Whether it listens to something: then it may be silent for as long as it likes.
    pub fn is_subscriber(&self) -> bool {
        [&self.channels, &self.patterns, &self.shard_channels]
            .into_iter()
            .any(|count| count.load(Ordering::Relaxed) != 0)
    }

    /// Messages for it come here.
    pub fn listens_by(&self, inbox: &Arc<Inbox>) {
        *lock(&self.inbox) = Some(inbox.clone());
    }

    /// No messages come for it any more.
    pub fn listens_no_more(&self) {
        *lock(&self.inbox) = None;
    }

    /// Where messages for it come, if any do.
    pub fn inbox(&self) -> Option<Arc<Inbox>> {
        lock(&self.inbox).clone()
    }

    /// It waits in a command until `given_up` is raised, at the latest.
    pub fn begin_wait(&self, given_up: Arc<AtomicBool>) {
        *lock(&self.waiting) = Some(Waiting { told: Told::Flag(given_up), unblocked: None });
    }

    /// It sleeps on keys.
    pub fn begin_wait_for_keys(&self, reply_to: ReplyTo) {
        *lock(&self.waiting) = Some(Waiting { told: Told::Answer(reply_to), unblocked: None });
    }

    /// How CLIENT UNBLOCK wants to end its wait, if it does.
    pub fn unblocked(&self) -> Option<Unblocked> {
        lock(&self.waiting).as_ref().and_then(|waiting| waiting.unblocked)
    }

    /// It waits no more. Answers whether CLIENT UNBLOCK has ended it.
    pub fn end_wait(&self) -> Option<Unblocked> {
        lock(&self.waiting).take().and_then(|waiting| waiting.unblocked)
    }

    /// Whether it waits in a command.
    pub fn waits(&self) -> bool {
        lock(&self.waiting).is_some()
    }

    /// Ends what it waits in; `false` if it does not wait, or that was done already.
    pub fn unblock(&self, how: Unblocked, node: &Node) -> bool {
        let mut waiting = lock(&self.waiting);
        let Some(waiting) = waiting.as_mut().filter(|waiting| waiting.unblocked.is_none()) else {
            return false;
        };
        waiting.unblocked = Some(how);
        match &waiting.told {
            Told::Flag(given_up) => given_up.store(true, Ordering::Release),
            Told::Answer(to) => {
                let called = Answer::Value(Box::new(Woken::Called));
                node.send(to.executor, Message::Answer(to.ticket, called));
            }
        }
        true
    }

    fn age_ms(&self) -> u64 {
        self.since.elapsed().as_millis() as u64
    }

    /// What the client said about itself.
    pub fn words(&self) -> MutexGuard<'_, Words> {
        lock(&self.words)
    }
}

/// A time in which a connection is waited for; it may be cancelled.
struct Silence<'a>(&'a AtomicBool);

impl Silence<'_> {
    fn begin(silent: &AtomicBool) -> Silence<'_> {
        silent.store(true, Ordering::Relaxed);
        Silence(silent)
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic aborts the program, so a poisoned lock is never met.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_pause_makes_the_first_longer_and_stricter_never_shorter_nor_milder() {
        let now = Instant::now();
        let pause =
            |seconds, only_writes| Pause { until: now + Duration::from_secs(seconds), only_writes };
        for (first, second, both) in [
            (pause(100, true), pause(50, true), pause(100, true)),
            (pause(50, true), pause(100, true), pause(100, true)),
            (pause(100, false), pause(50, true), pause(100, false)),
            (pause(50, true), pause(100, false), pause(100, false)),
        ] {
            let clients = Clients::default();
            assert!(clients.pause().is_none());
            clients.begin_pause(first);
            clients.begin_pause(second);
            let pause = clients.pause().expect("in force");
            assert_eq!((pause.until, pause.only_writes), (both.until, both.only_writes));
            clients.end_pause();
            assert!(clients.pause().is_none());
        }
    }

    #[test]
    fn a_pause_that_is_over_counts_for_nothing() {
        let clients = Clients::default();
        let over = Instant::now();
        clients.begin_pause(Pause { until: over, only_writes: false });
        assert!(clients.pause().is_none(), "it has ended by itself");
        let later = Instant::now() + Duration::from_secs(100);
        clients.begin_pause(Pause { until: later, only_writes: true });
        assert!(clients.pause().expect("in force").only_writes, "the old one was stricter");
    }
}
