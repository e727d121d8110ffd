//! The model that cannot be fooled: several nodes in one thread, their real tables, journals, cuts,
//! gathers and histories, under a seeded scheduler; random clients, random misfortunes. Afterwards all
//! copies are equal, no reader has seen half a frame, nobody waits for ever, and memory is bounded.
//!
//! ```text
//!   scenario   the run: plan, misfortunes, checks
//!     ├─ load        what clients write and read (of collections: `collections`)
//!     ├─ member      a node: real shards, `Here`, `Roles`, admission, and sessions: all of `master`
//!     │    └─ following   a link: real machine and session (`Running`); meeting a master is its own
//!     ├─ net         pipes: in order, in pieces, frozen, cut, damaged, their ends heard of late or never
//!     └─ time        virtual, and what the tasks run on (`Roads`): deadlines, pauses and signs of life in milliseconds that nobody waits for
//! ```
//!
//! `SEED=n cargo test --profile tests -p replication --test model` repeats one run; `SEEDS=10000` runs so many
//! fresh ones. In `planted` each story's bug is switched on, and must be found.

mod collections;
mod following;
mod load;
mod member;
mod moments;
mod net;
mod planted;
mod scenario;
mod time;

use scenario::{Outcome, Plan};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Planted bugs are switches of the process: who plants one is alone.
static SWITCHES: RwLock<()> = RwLock::new(());

/// Fresh seeds in the gate.
const FRESH_SEEDS: u64 = 120;

/// Of which so many are run twice.
const TWICE: u64 = 30;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

/// One run, on a thread of its own: what threads keep for themselves is new with each.
fn run(seed: u64, plan: fn(&mut fastrand::Rng) -> Plan) -> Outcome {
    let run = std::thread::spawn(move || {
        // Of commands that ask the thread's own dice.
        fastrand::seed(seed);
        scenario::run(seed, plan)
    });
    run.join().unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        (Err(format!("panicked: {}", text.unwrap_or_default())), 0)
    })
}

/// One run; a panic counts as found too.
fn attempt(seed: u64, plan: fn(&mut fastrand::Rng) -> Plan) -> Result<String, String> {
    run(seed, plan).0
}

/// Runs seeds on all CPUs, until one fails.
fn run_all(
    first: u64,
    count: u64,
    plan: fn(&mut fastrand::Rng) -> Plan,
) -> Result<(), (u64, String)> {
    let next = AtomicU64::new(0);
    let failure = std::sync::Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let seed = first.wrapping_add(index);
                    if let Err(wrong) = attempt(seed, plan) {
                        next.store(count, Ordering::Relaxed);
                        failure.lock().unwrap().get_or_insert((seed, wrong));
                    }
                }
            });
        }
    });
    failure.into_inner().unwrap().map_or(Ok(()), Err)
}

#[test]
#[allow(clippy::print_stdout, reason = "seeds are printed")]
fn copies_are_equal_whatever_happens() {
    let _switches = SWITCHES.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    load::check_requests();
    let (first, count) = match number("SEED") {
        Some(seed) => (seed, 1),
        None => (fastrand::u64(..u64::MAX / 2), number("SEEDS").unwrap_or(FRESH_SEEDS)),
    };
    println!("SEED={first}, {count} seeds");
    if std::env::var_os("STORY").is_some() {
        println!("{:?}", run(first, Plan::any));
    }
    if let Err((seed, wrong)) = run_all(first, count, Plan::any) {
        panic!(
            "{wrong}\nrepeat: SEED={seed} cargo test --profile tests -p replication --test model"
        );
    }
}

/// The story: a link drew its pauses from the thread's own dice, and eviction looked at a clock; so a seed that
/// had failed passed when it was repeated.
#[test]
fn a_run_is_a_function_of_its_seed() {
    let _switches = SWITCHES.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    let first = number("SEED").unwrap_or_else(|| fastrand::u64(..u64::MAX / 2));
    let seeds = number("TWICE").unwrap_or(TWICE);
    for seed in first..first + seeds {
        // At the same time, so that they would find what they share.
        let other = std::thread::spawn(move || run(seed, Plan::any));
        let one = run(seed, Plan::any);
        let other = other.join().expect("a run that fails answers");
        assert_eq!(one, other, "SEED={seed}");
    }
}
