//! Sockets: listen, accept, connect, read, write, and hand a live connection to another executor.
//!
//! Reading and writing are plain non-blocking system calls; which sockets are ready is the
//! [`poller`](super::poller)'s to know. glommio's own sockets are not used: a stalled write whose peer
//! has half-closed busy-loops in them, their listener shares its port with whoever asks, and each
//! waits by itself in the ring, which interrupts whoever is being served.
//!
//! This room knows no protocol and no TLS.

mod address;
mod dial;
mod listener;
mod lookup;
mod raw;
mod stream;

pub use address::{Peer, resolve};
pub use dial::{Unreached, connect_any};
pub use listener::Listener;
pub use stream::{Accepted, Stream};
