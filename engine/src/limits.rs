//! Every bound of the engine, each with its reason.

/// Longest command name looked up: no command of Redis has more than 24 bytes.
pub const COMMAND_NAME_MAX: usize = 32;

/// Longest string value, as Redis's `proto-max-bulk-len`.
pub const STRING_MAX: usize = 512 * 1024 * 1024;

/// Most shards a node may have: a frame's set of shards and the handshake are sized for it.
pub const SHARDS_MAX: u16 = 1024;

/// Work a shard does in one go beside requests (expiry, eviction, cuts, freeing), in microseconds:
/// long enough to amortize switching, short enough not to be seen in a p99.
pub const SLICE_MICROS: u64 = 100;

/// Work of one long command that a shard does before others get their turn, in microseconds: what a client
/// waits beside it is this, once for each long command, and coming back costs a hundredth of it.
pub const RUN_SLICE_MICROS: u64 = 50;

/// How long a command that needs memory evicts for it, in microseconds: as Redis by default
/// (`maxmemory-eviction-tenacity`). What is left is evicted in slices beside requests.
pub const EVICTION_MICROS: u64 = 500;

/// Commands in one batch to another shard: bounds how long a batch occupies that shard.
pub const BATCH_COMMANDS_MAX: usize = 1024;

/// Bytes of requests in one batch, as long as it has several: what is copied at a time while it grows.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Keys that one step of SCAN visits at the most, whatever COUNT says: about a millisecond of a shard's
/// time. A caller that asks for more gets its keys in more calls.
pub const SCAN_VISITED_MAX: u64 = 10_000;

/// Bytes of keys and steps of matching after which a step of SCAN ends early: where keys or the pattern are
/// long, a caller gets fewer keys in a call, and everybody else waits no longer than with short ones.
pub const SCAN_COST_MAX: u64 = 1024 * 1024;

/// Keys that DEBUG POPULATE makes, and numbers that it looks at, before others get their turn: a frame
/// of a few hundred records, and well below a millisecond.
pub const POPULATE_MADE_MAX: usize = 256;
/// See [`POPULATE_MADE_MAX`].
pub const POPULATE_LOOKED_AT_MAX: usize = 4096;
/// Bytes of replies after which a batch comes home with the rest of its commands not yet run, and a
/// pipeline takes no more requests: bounds what a client that reads slowly can make a node hold to so
/// much for each shard, and one reply more.
pub const BATCH_REPLIES_MAX: usize = 256 * 1024;
