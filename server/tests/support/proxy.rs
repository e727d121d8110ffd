//! A network that can be disturbed: a TCP proxy before one port.
//!
//! Each connection is two threads that copy bytes one way each. Between two copies they look at what
//! the network is told to be.

use super::node::free_port;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often a thread looks whether it is to go on.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// See the module's doc.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) port: u16,
    network: Arc<Network>,
}

#[derive(Default)]
struct Network {
    target: AtomicU64,
    /// New connections are closed at once.
    refusing: AtomicBool,
    /// Bytes stay where they are; connections stay open.
    stalled: AtomicBool,
    /// Milliseconds that each piece of data waits.
    delay: AtomicU64,
    /// Bytes that came through, both ways.
    bytes: AtomicU64,
    /// The next of these bytes that comes through is damaged.
    damages: Mutex<Option<Vec<u8>>>,
    ended: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy before a port of the loopback.
    pub(crate) fn to(target: u16) -> Proxy {
        let (listener, port) = super::wait::until_some("a port for a proxy", || {
            let port = free_port();
            TcpListener::bind(("127.0.0.1", port)).ok().map(|listener| (listener, port))
        });
        let network = Arc::new(Network::default());
        network.target.store(u64::from(target), Ordering::Relaxed);
        let shared = network.clone();
        thread::spawn(move || accept(&listener, &shared));
        Proxy { port, network }
    }

    /// Ends all connections now; new ones are taken.
    pub(crate) fn cut(&self) {
        for stream in self.network.lock().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends all connections and lets no new one in, until [`heal`](Proxy::heal).
    pub(crate) fn part(&self) {
        self.network.refusing.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// From now on it stands before another port: all connections end.
    pub(crate) fn lead_to(&self, target: u16) {
        self.network.target.store(u64::from(target), Ordering::Relaxed);
        self.cut();
    }

    /// Nothing comes through any more, but connections stay open, until [`heal`](Proxy::heal).
    pub(crate) fn stall(&self) {
        self.network.stalled.store(true, Ordering::SeqCst);
    }

    /// Everything that comes through is late by so much.
    pub(crate) fn delay(&self, time: Duration) {
        self.network.delay.store(time.as_millis() as u64, Ordering::SeqCst);
    }

    /// Flips a bit in the last of these bytes, where they come through next.
    pub(crate) fn damage(&self, bytes: &[u8]) {
        *self.network.damages.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes.to_vec());
    }

    /// Whether what was to be damaged has come through.
    pub(crate) fn has_damaged(&self) -> bool {
        self.network.damages.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// The network is well again.
    pub(crate) fn heal(&self) {
        self.network.refusing.store(false, Ordering::SeqCst);
        self.network.stalled.store(false, Ordering::SeqCst);
        self.network.delay.store(0, Ordering::SeqCst);
    }

    /// Bytes that came through, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        self.network.bytes.load(Ordering::Relaxed)
    }

    /// Connections that are open now, at least.
    pub(crate) fn connections(&self) -> usize {
        self.network.lock().len() / 2
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.network.ended.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the acceptor, which then sees that it has ended.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Network {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn damage(&self, passing: &mut [u8]) {
        let mut wanted = self.damages.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bytes) = wanted.as_ref() else { return };
        if let Some(place) = passing.windows(bytes.len()).position(|window| window == bytes) {
            passing[place + bytes.len() - 1] ^= 1;
            *wanted = None;
        }
    }

    fn wait_while_stalled(&self) {
        while self.stalled.load(Ordering::SeqCst) && !self.ended.load(Ordering::SeqCst) {
            thread::sleep(LOOK_EVERY);
        }
        let delay = self.delay.load(Ordering::SeqCst);
        if delay > 0 {
            thread::sleep(Duration::from_millis(delay));
        }
    }
}

fn accept(listener: &TcpListener, network: &Arc<Network>) {
    for incoming in listener.incoming() {
        if network.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(incoming) = incoming else { continue };
        if network.refusing.load(Ordering::SeqCst) {
            continue;
        }
        let target = network.target.load(Ordering::Relaxed) as u16;
        let Ok(outgoing) = TcpStream::connect(("127.0.0.1", target)) else { continue };
        let _ = join(network, incoming, outgoing);
    }
}

fn join(network: &Arc<Network>, incoming: TcpStream, outgoing: TcpStream) -> io::Result<()> {
    incoming.set_nodelay(true)?;
    outgoing.set_nodelay(true)?;
    let mut open = network.lock();
    open.push(incoming.try_clone()?);
    open.push(outgoing.try_clone()?);
    drop(open);
    let pairs = [(incoming.try_clone()?, outgoing.try_clone()?), (outgoing, incoming)];
    for (from, to) in pairs {
        let network = network.clone();
        thread::spawn(move || copy(&network, from, to));
    }
    Ok(())
}

fn copy(network: &Network, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        network.wait_while_stalled();
        let Ok(read) = from.read(&mut buffer) else { break };
        network.wait_while_stalled();
        network.damage(&mut buffer[..read]);
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
        network.bytes.fetch_add(read as u64, Ordering::Relaxed);
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
