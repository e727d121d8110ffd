//! The way from the replica to its master, as something that can be cut.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A listener that carries bytes to a port and back. Its threads end with the process.
pub(super) struct Relay {
    /// Where it listens.
    pub(super) port: u16,
    state: Arc<RelayState>,
}

#[derive(Default)]
struct RelayState {
    is_cut: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl RelayState {
    fn streams(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay {
    /// Carries to `target`, on the loopback.
    pub(super) fn start(target: u16) -> Result<Relay, String> {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        let (port, listener) = bound.map_err(|error| format!("cannot listen: {error}"))?;
        let state = Arc::new(RelayState::default());
        let shared = state.clone();
        thread::spawn(move || {
            for incoming in listener.incoming().flatten() {
                // Whoever cannot be carried is closed by being dropped.
                let _ = carry(incoming, target, &shared);
            }
        });
        Ok(Relay { port, state })
    }

    /// Breaks what is carried, and carries nothing more.
    pub(super) fn cut(&self) {
        let mut streams = self.state.streams();
        self.state.is_cut.store(true, Ordering::Release);
        for stream in streams.drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Carries again.
    pub(super) fn mend(&self) {
        self.state.is_cut.store(false, Ordering::Release);
    }
}

fn carry(incoming: TcpStream, target: u16, state: &RelayState) -> io::Result<()> {
    let outgoing = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
    // Under the lock, so that a cut misses nobody.
    let mut streams = state.streams();
    if state.is_cut.load(Ordering::Acquire) {
        return Ok(());
    }
    for stream in [&incoming, &outgoing] {
        stream.set_nodelay(true)?;
        streams.push(stream.try_clone()?);
    }
    for (from, to) in [(&incoming, &outgoing), (&outgoing, &incoming)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            // Either side's end is the end of both.
            let _ = io::copy(&mut from, &mut to);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}
