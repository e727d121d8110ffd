//! The Redis protocol: requests in, replies out, and the same seen from the other end.
//!
//! ```text
//!   read buffer --> Parser --> Args (spans into the read buffer) --> command
//!   Output <-- ReplyWriter (RESP2 or RESP3) <--
//!
//!   encode_command --> (socket) --> ReplyReader / ReplyScanner   the client's side
//! ```
//!
//! What is promised: bytes may arrive cut anywhere, and nothing that was looked at is looked at
//! again; no allocation per argument; every length that a peer claims has a bound, and memory grows
//! with the bytes that came, never with the bytes that were announced. What is not here: sockets,
//! buffers' ownership, and what a command means.

mod args;
pub mod client;
mod error;
mod held;
mod inline;
pub mod number;
mod output;
mod parser;
mod reply;
mod scan;

pub use args::{Args, Span};
pub use client::{Reply, ReplyReader, encode_command};
pub use error::{ProtocolError, ReplyError};
pub use held::Held;
pub use output::{Output, Piece};
pub use parser::{Limits, Parsed, Parser};
pub use reply::{Protocol, ReplyWriter};
pub use scan::{ReplyLimits, ReplyScanner};
