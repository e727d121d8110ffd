//! Following a master.
//!
//! ```text
//!   Connecting ─► Handshake ─┬─► FullSync ─► StableSync ─► (broken) ─► Connecting ...
//!                            └─► StableSync (partial sync)
//! ```

pub mod applier;
pub mod dial;
pub mod gather;
mod inflow;
pub mod link;
pub mod pace;
mod receive;
mod recut;
pub mod session;
