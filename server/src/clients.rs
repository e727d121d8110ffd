//! All client connections of the program: for CLIENT LIST and KILL, maxclients and INFO.
//!
//! A connection writes its own [`Client`]; everybody may read it. The map is locked when a connection
//! comes or goes and by the commands that list them, never by a request.

use replication::transport::Transport;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

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
    /// Bytes of requests that wait to be parsed.
    pub input_bytes: AtomicU64,
    /// Bytes of replies that wait to be sent.
    pub output_bytes: AtomicU64,
    /// Requests so far.
    pub commands: AtomicU64,
    /// `CLIENT NO-EVICT`.
    pub no_evict: AtomicBool,
    /// `CLIENT NO-TOUCH`.
    pub no_touch: AtomicBool,
    /// It is to end.
    pub killed: AtomicBool,
    /// Name and library, as the client said.
    pub words: Mutex<Words>,
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
    /// Connections that count for maxclients.
    counted: AtomicU32,
    pause: Mutex<Option<Pause>>,
    /// Whether there may be a pause: one relaxed look per request.
    paused: AtomicBool,
}

/// CLIENT PAUSE.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    /// Until when.
    pub until: Instant,
    /// Only commands that may write wait.
    pub only_writes: bool,
}

impl Clients {
    /// Registers a connection; `None` when there are `max` already (admin connections always come in).
    pub fn enter(
        &self,
        transport: &Transport,
        executor: u16,
        admin: bool,
        max: u32,
    ) -> Option<Arc<Client>> {
        if !admin {
            let free = |count| (count < max).then_some(count + 1);
            self.counted.fetch_update(Ordering::AcqRel, Ordering::Acquire, free).ok()?;
        }
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let show = |address: Option<SocketAddr>| {
            address.map_or_else(|| "unix:0".to_owned(), |address| address.to_string())
        };
        let client = Arc::new(Client {
            id,
            peer: show(transport.peer_addr()),
            local: show(transport.stream().local_addr()),
            fd: transport.stream().fd(),
            since: Instant::now(),
            executor,
            admin,
            last_request_ms: AtomicU64::new(0),
            db: AtomicU16::new(0),
            protocol: AtomicU8::new(2),
            last_command: AtomicU32::new(u32::MAX),
            queued: AtomicU32::new(u32::MAX),
            queued_bytes: AtomicU64::new(0),
            watched: AtomicU32::new(0),
            input_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            words: Mutex::new(Words { user: "default".to_owned(), ..Words::default() }),
        });
        lock(&self.all).insert(id, client.clone());
        Some(client)
    }

    /// Forgets a connection that has ended.
    pub fn leave(&self, client: &Client) {
        lock(&self.all).remove(&client.id);
        if !client.admin {
            self.counted.fetch_sub(1, Ordering::AcqRel);
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

    /// Ends the pause.
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
    /// What the client said about itself.
    pub fn words(&self) -> MutexGuard<'_, Words> {
        lock(&self.words)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic aborts the program, so a poisoned lock is never met.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
