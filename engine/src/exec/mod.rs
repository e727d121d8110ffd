//! The coordinator: from a request to the shards that run it, and back to one reply.
//!
//! ```text
//!   request ─► plan ─┬─ one shard, here ─────► run in place
//!                    ├─ one shard, elsewhere ► batch ─► that shard ─► replies, put back in order
//!                    └─ several shards ──────► transaction: Begin to all, hops, conclude
//! ```
//!
//! Everything here runs on the executor where the connection lives and knows neither sockets nor
//! glommio: waiting is done on [`Front`]'s tickets, which answers in the executor's mailbox wake.

mod answers;
mod front;
mod group;
mod misfit;
mod order;
mod outwait;
mod pipeline;
mod plan;
mod queue;
mod replay;
mod room;
mod tx;
mod waiting;
mod wide;

pub use front::{Breath, Front, Waiter};
pub use misfit::Misfit;
pub use order::Node;
pub use pipeline::{Added, Pipeline};
pub use plan::{Route, route_of};
pub use queue::{Home, Queue, Row, Setting};
pub use replay::{AsOne, BePatient, Patient, Replay};
pub use tx::{Tx, TxKeys};
pub use waiting::{Asleep, Slept};
pub use wide::ApplyPart;
