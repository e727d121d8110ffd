//! Sockets: listen, accept, connect, read, write, and hand a live connection to another executor.
//!
//! Reading and writing are plain non-blocking system calls; glommio is only asked to say when a
//! socket is ready. What it gets wrong there is mended here, each where it is done:
//!
//! - a stalled write whose peer has half-closed busy-loops in glommio ([`Stream::write_all`]);
//! - glommio's listener shares its port with whoever asks ([`Listener::bind`]);
//! - a listener outlives its drop while the kernel still polls it ([`Listener`]'s drop);
//! - accepting with no descriptor left spins ([`Listener::accept`]).
//!
//! This room knows no protocol and no TLS.

mod address;
mod listener;
mod raw;
mod stream;

pub use address::{Peer, resolve};
pub use listener::Listener;
pub use stream::{Accepted, Stream};
