//! Load generator and side-by-side runs against installed peers.
//!
//! The rooms, from the ground up; each imports only from those above it in this list (`engine/tests/floors.rs`
//! checks it):
//!
//! ```text
//!   0 process    CPU time and memory of a process, from /proc
//!     client     one blocking connection: ask and read the answer
//!   1 load       many connections, one report: what a server does under a mix of commands
//!     peer       a server process of ours or a peer's: start, wait, measure, end
//!   2 side       rows of the side-by-side table, built of those above
//! ```
//!
//! Everything is std threads and epoll on purpose: the tool must not share its engine room with
//! what it measures.

pub mod client;
pub mod load;
pub mod peer;
pub mod process;
pub mod side;
