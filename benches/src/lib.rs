//! Load generator and side-by-side runs against installed peers.
//!
//! ```text
//!   load       many connections, one report: what a server does under a mix of commands
//!   client     one blocking connection: ask and read the answer
//!   peer       a server process of ours or a peer's: start, wait, measure, end
//!   side       rows of the side-by-side table, built of the three above
//!   process    CPU time and memory of a process, from /proc
//! ```
//!
//! Everything is std threads and epoll on purpose: the tool must not share its engine room with
//! what it measures.

pub mod client;
pub mod load;
pub mod peer;
pub mod process;
pub mod side;
