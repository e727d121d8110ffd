//! What the tests with real processes share: nodes, clients, a network that can be disturbed, load,
//! comparison.
//!
//! ```text
//!   Load ──► Node (master) ◄── Proxy (cuts, stalls, delays) ◄── Node (replica)
//!                 └────────────── compare ─────────────────────────┘
//! ```
//!
//! Nothing here waits for time to pass: `wait::until` looks again and again for a condition, until it
//! holds or a generous deadline is over. What a test draws at random comes from a seed that is printed
//! (`DAMSELFLY_SEED=...` repeats it).

#![allow(dead_code, reason = "every test file uses another part of it")]

pub(crate) mod certificates;
pub(crate) mod client;
mod collections;
pub(crate) mod compare;
pub(crate) mod load;
pub(crate) mod node;
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod scenario;
pub(crate) mod snapshots;
pub(crate) mod wait;
pub(crate) mod writer;

/// The seed of this run: from the environment, or fresh; printed so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("DAMSELFLY_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("seed: repeat with DAMSELFLY_SEED={seed}");
    seed
}

/// Whether the long versions are wanted (`SOAK=1`).
pub(crate) fn soak() -> bool {
    std::env::var("SOAK").is_ok_and(|value| value != "0" && !value.is_empty())
}
