//! The journal: what changed, in order, for everybody who wants to know.
//!
//! ```text
//!   shard executor                                      another executor
//!
//!   Effect on a key --> Record --.                      LogHandle --> Reader --> Span --> socket
//!        (record.rs)             | FrameBuilder           (log.rs)  (reader.rs)            |
//!                                v   (frame.rs)              |                             v
//!                            LogWriter === chunks, 256 KiB ==+== the same bytes         Decoder
//!                             (log.rs)       (chunk.rs)                                (frame.rs)
//!                                ^     publish: one store; sleep: a flag (publish.rs)      |
//!                                `------- append_encoded (a replica relays) <--------------'
//!
//!   hold.rs: what a log is charged for, and who makes progress
//!   history.rs: which history these LSNs belong to, and who may continue from where
//! ```
//!
//! What it promises: J1 to J7 of the design, as far as they are about the log itself. One record, one
//! key, no clock; frames whole; LSNs always count; appending waits for nobody; bounded and counted;
//! a position means (history, vector).
//!
//! What it does not do: it reads no clock (`now` comes in), opens no socket or file, applies nothing,
//! and knows no commands and no table. The time of the first and last record of a chunk is all that
//! it remembers about time.
//!
//! The protocol between writer and readers is checked by `loom` in every interleaving:
//! `RUSTFLAGS="--cfg loom" cargo test -p engine --test journal_loom`.

mod chunk;
mod error;
mod frame;
mod gone;
mod handle;
mod history;
mod hold;
mod lengths;
mod log;
mod pieces;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod publish;
mod reader;
mod record;
mod relayed;
mod sync;
mod whole;

pub use error::DecodeError;
pub use frame::{
    Decoder, Entries, FRAME_BYTES_MAX, FRAME_ENTRIES_MAX, FRAME_SHARDS_MAX, Frame, FrameBuilder,
    ShardSet, Shards, Transaction,
};
pub use gone::{Gone, GoneReason};
pub use handle::LogHandle;
pub use history::{
    AHEAD, BRANCHES_MAX, HeldLogs, HistoryId, LSN_MAX, Leg, Lineage, LogRange, Malformed, Position,
    Reason, Verdict,
};
pub use hold::held_total;
#[cfg(feature = "planted-bugs")]
pub use lengths::bounds;
pub(crate) use lengths::is_item_in_pieces;
pub use lengths::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
pub use log::{Bounds, CHUNK_BYTES, LogWriter};
pub use pieces::ItemInPieces;
pub use reader::{Read, Reader, Span};
pub use record::{
    Change, Deadline, Effect, FrameEntry, Global, INLINE_PAYLOAD_BYTES_MAX, Payload, Record,
};

pub use whole::Stretch;

// A log is written on one executor and read on others.
const _: () = {
    const fn goes_anywhere<T: Send + Sync>() {}
    goes_anywhere::<LogHandle>();
    goes_anywhere::<Reader>();
    goes_anywhere::<Span>();
    const fn moves<T: Send>() {}
    moves::<LogWriter>();
    moves::<FrameBuilder>();
};
