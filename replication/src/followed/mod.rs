//! Being followed by a Redis or a Valkey, by `redis-cli --rdb` and `--replica`, and by tools that speak as they do.
//!
//! ```text
//!   all shards' journals ─► stream: merge ─► commands ─► backlog ─┬─► follower ─► its socket
//!                                                                 └─► follower ─► its socket
//!   frozen cut of all shards ─► full ─► payload (memory, then a file) ─► those who take a full copy
//! ```
//!
//! It promises:
//! - there is no stream, and no reader of the journals, while nobody follows;
//! - a cut and the stream meet exactly: the stream is said up to the cut's moment, and its offset then is the copy's;
//! - no shard and no writer waits for a follower: who does not read is ended at its bound;
//! - what is acknowledged is applied there, and WAIT counts it by the positions that the offset stands for.
//!
//! It does not say what nodes of our own are told: these follow the journals themselves (`master`).
//!
//! `backlog`, `merge`, `hello`, `machine` and `again` are pure; `stream` owns readers; `payload` a file; `follower` a socket.

pub mod backlog;
pub mod followers;
pub mod hello;
pub mod machine;
pub mod merge;
pub mod reason;

mod again;
mod copy;
pub mod feed;
pub mod follower;
mod full;
mod payload;
mod stream;
mod telling;
