//! Following a master that is no Damselfly: a Redis or a Valkey, as a replica of theirs (PSYNC2).
//!
//! ```text
//!   hello     AUTH, PING, REPLCONF, INFO                            who it is
//!   machine   what happens next, without a socket or a clock
//!   link      performs what the machine says
//!   answer    +FULLRESYNC, +CONTINUE, or why not
//!   payload   newlines while it prepares, then how long the RDB is  and whether it can be read at all
//!   load      the RDB goes to the shards
//!   command   what a command of the stream is for us
//!   stream    commands, counted in bytes, go to the shards          `engine::exec::Replay`
//!   portions  when the stream is read again
//!   session   the connection: what comes on it, and what is said
//!   work      a session from its beginning to its end
//! ```
//!
//! What it brings is applied as commands, so the shards' own journals tell it: a node that follows a Redis has a
//! history of its own ([`Standing::begin_telling`](crate::standing::Standing::begin_telling)), and Damselflies may
//! follow it meanwhile.

mod answer;
mod command;
mod functions;
mod hello;
pub mod link;
mod load;
pub mod machine;
mod newer;
mod payload;
mod portions;
pub(crate) mod session;
mod stream;
mod work;
