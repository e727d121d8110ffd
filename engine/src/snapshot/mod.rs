//! The data set of one moment, as a file or a stream of Redis's form.
//!
//! ```text
//!   bytes ─► Loader ─► Reader ─┬─ short values as they are, in batches ─► shards decode and keep them
//!            (`load`)          └─ long ones, decoded here in parts ─────► shards keep them
//!
//!   a frozen cut of each shard ─► `moment` ─┬─► `save` ─► one file beside the old one, which it replaces (`name`)
//!                                           │        └─► or one for each shard, written there, and a summary (`parts`)
//!                                           └─► who follows this node as a Redis follows another
//! ```
//!
//! It promises:
//! - bytes are taken as fast as shards take what is in them, and no faster: what waits is bounded;
//! - no piece of work is long, here or on a shard, however long a value is;
//! - what cannot be read is one error that names the place and the key;
//! - a file that is there is whole, whatever happens while the next one is written.
//!
//! Loading knows no files and no sockets: others read them.

mod background;
mod batch;
mod load;
mod moment;
pub mod name;
pub mod parts;
pub mod save;

pub use batch::{LOADED_MAX, Options};
pub use load::{Loaded, Loader};
pub use moment::{ANOTHER, Journals, Made, Moment, SaveProgress, Sink, Terms};
pub use save::{Form, Save, SavePlan, Saved};
