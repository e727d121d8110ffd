//! What systemd is told: that the node serves, what it is doing, that it lives, and that it stops.
//!
//! ```text
//!   executors --pulse--> [ n n n ]  <--looks-- thread "systemd" --datagrams--> $NOTIFY_SOCKET
//!   first shard --words: ready, status, reloading, stopping--^
//! ```
//!
//! A thread of its own speaks: a service manager that does not read holds up nobody, and an executor
//! that hangs cannot go on saying that it is well. Without `NOTIFY_SOCKET` there is no thread.

use engine::shard::ExecutorId;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Words that may wait for a service manager that does not read; later ones are dropped.
const WORDS_MAX: usize = 64;
/// The end of the program waits so long for its last words to be sent.
const LAST_WORDS_MAX: Duration = Duration::from_millis(500);
/// A stop is granted so much more than what it waits for replicas.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// Whether systemd started this process as a service.
pub fn is_systemd() -> bool {
    let own = std::process::id().to_string();
    std::env::var_os("NOTIFY_SOCKET").is_some()
        || std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == own)
}

enum Word {
    Ready,
    Status(String),
    Reloading,
    Stopping(Duration),
}

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub struct Supervisor {
    words: Mutex<Option<SyncSender<Word>>>,
    /// The node serves, and is not stopping.
    serves: AtomicBool,
    ended: Mutex<Option<Receiver<()>>>,
    /// One count for each executor; they stand still while it hangs.
    pulses: Arc<Vec<AtomicU64>>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// For so many executors.
    pub fn start(executors: usize) -> Supervisor {
        let pulses: Arc<Vec<AtomicU64>> =
            Arc::new((0..executors).map(|_| AtomicU64::new(0)).collect());
        let mut supervisor = Supervisor {
            words: Mutex::new(None),
            serves: AtomicBool::new(false),
            ended: Mutex::new(None),
            pulses: pulses.clone(),
            watchdog: sd_notify::watchdog_enabled().filter(|time| !time.is_zero()),
        };
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            supervisor.watchdog = None;
            return supervisor;
        }
        let (words, incoming) = sync_channel(WORDS_MAX);
        let (end, ended) = sync_channel(0);
        let watchdog = supervisor.watchdog.map(|time| Watchdog::new(time, pulses));
        let thread = std::thread::Builder::new().name("systemd".to_owned());
        match thread.spawn(move || {
            speak(&incoming, watchdog);
            drop(end);
        }) {
            Ok(_) => {
                supervisor.words = Mutex::new(Some(words));
                supervisor.ended = Mutex::new(Some(ended));
            }
            Err(error) => tracing::error!("systemd will be told nothing: {error}"),
        }
        supervisor
    }

    fn say(&self, word: Word) {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        // A full queue: nobody listens, and a state that is not told hurts nobody.
        let _ = words.as_ref().map(|words| words.try_send(word));
    }

    /// Somebody is told.
    pub fn is_there(&self) -> bool {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The node serves.
    pub fn ready(&self) {
        self.serves.store(true, Ordering::Relaxed);
        self.say(Word::Ready);
    }

    /// What the node does, in one line.
    pub fn status(&self, text: String) {
        self.say(Word::Status(text));
    }

    /// Files are read anew by `read`. Whoever waits for the node to start, or to end, is told nothing of it.
    pub fn reloading(&self, read: impl FnOnce()) {
        let serves = self.serves.load(Ordering::Relaxed);
        if serves {
            self.say(Word::Reloading);
        }
        read();
        if serves {
            self.say(Word::Ready);
        }
    }

    /// The node stops, and waits at most so long for its replicas.
    pub fn stopping(&self, limit: Duration) {
        self.serves.store(false, Ordering::Relaxed);
        self.say(Word::Stopping(limit));
    }

    /// An executor lives.
    pub fn pulse(&self, executor: ExecutorId) {
        if let Some(pulse) = self.pulses.get(usize::from(executor.0)) {
            pulse.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often an executor must show that it lives, if somebody looks.
    pub fn pulse_every(&self) -> Option<Duration> {
        // Twice between two looks.
        self.watchdog.map(|time| Watchdog::look_every(time) / 2)
    }

    /// Waits, but not long, until what was said is sent.
    pub fn finish(&self) {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = ended.recv_timeout(LAST_WORDS_MAX);
        }
    }
}

/// The thread's whole life.
fn speak(words: &Receiver<Word>, mut watchdog: Option<Watchdog>) {
    loop {
        let word = match &watchdog {
            None => words.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(watchdog) => words.recv_timeout(watchdog.wait()),
        };
        match word {
            Ok(word) => send(word),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if watchdog.as_mut().is_some_and(|watchdog| watchdog.all_live(Instant::now())) {
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
    }
}

fn send(word: Word) {
    let told = match word {
        Word::Ready => sd_notify::notify(&[NotifyState::Ready]),
        Word::Status(text) => sd_notify::notify(&[NotifyState::Status(&text)]),
        Word::Reloading => NotifyState::monotonic_usec_now()
            .and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now])),
        Word::Stopping(limit) => {
            let micros = (limit + STOP_MARGIN).as_micros();
            let extend = NotifyState::ExtendTimeoutUsec(u32::try_from(micros).unwrap_or(u32::MAX));
            let status = NotifyState::Status("stopping: replicas get what they lack");
            sd_notify::notify(&[NotifyState::Stopping, status, extend])
        }
    };
    if let Err(error) = told {
        tracing::warn!("systemd cannot be told: {error}");
    }
}

/// Whether all executors have moved since the last look.
#[derive(Debug)]
struct Watchdog {
    every: Duration,
    next: Instant,
    pulses: Arc<Vec<AtomicU64>>,
    seen: Vec<u64>,
}

impl Watchdog {
    fn new(limit: Duration, pulses: Arc<Vec<AtomicU64>>) -> Watchdog {
        let every = Watchdog::look_every(limit);
        let seen = vec![0; pulses.len()];
        Watchdog { every, next: Instant::now() + every, pulses, seen }
    }

    /// Looks per limit: one that comes late, or that finds somebody in the middle of long work, does
    /// not end the process.
    fn look_every(limit: Duration) -> Duration {
        limit / 4
    }

    fn wait(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Whether it is time to say so, and all live.
    fn all_live(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + self.every;
        let mut all = true;
        for (pulse, seen) in self.pulses.iter().zip(&mut self.seen) {
            let pulse = pulse.load(Ordering::Relaxed);
            all &= std::mem::replace(seen, pulse) != pulse;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_executor_that_hangs_stops_the_pings() {
        let pulses: Arc<Vec<AtomicU64>> = Arc::new((0..3).map(|_| AtomicU64::new(0)).collect());
        let mut watchdog = Watchdog::new(Duration::from_secs(40), pulses.clone());
        let mut now = Instant::now();
        let mut look = |who: &[usize]| {
            for &one in who {
                pulses[one].fetch_add(1, Ordering::Relaxed);
            }
            now += Duration::from_secs(11);
            watchdog.all_live(now)
        };
        assert!(look(&[0, 1, 2]));
        assert!(!look(&[0, 2]), "one did not move");
        assert!(look(&[0, 1, 2]), "it moves again");
        assert!(!look(&[]));
    }

    #[test]
    fn nothing_is_said_before_it_is_time() {
        let pulses = Arc::new(vec![AtomicU64::new(1)]);
        let mut watchdog = Watchdog::new(Duration::from_secs(40), pulses);
        assert!(!watchdog.all_live(Instant::now()));
    }
}
