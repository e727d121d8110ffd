//! An exact copy is made and stays exact under a running load, whatever happens to the link and to
//! the replica: cuts, silence beyond the timeout, a freeze, kill -9, FLUSHALL and SWAPDB in the middle
//! of a full sync; between nodes of equal and of different shard counts, plain and TLS.
//!
//! The gate runs small data; `SOAK=1` runs a million keys through the whole table.

mod support;

use std::time::Duration;
use support::certificates::Certificates;
use support::client::Client;
use support::compare;
use support::load::{self, Load, Plan};
use support::node::Node;
use support::proxy::Proxy;
use support::scenario::{self, QUICK_TIMEOUT};
use support::wait;

/// What happens while the load runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    /// All connections end, and come back at once.
    Cut,
    /// Connections stay open and nothing comes through, beyond the timeout.
    Silence,
    /// The replica stands still beyond the timeout.
    Freeze,
    /// kill -9 of the replica, and a new start: it comes back empty.
    Kill,
    /// A full sync from the beginning is cut in the middle.
    CutFullSync,
    /// FLUSHALL in the middle of a full sync.
    FlushAll,
    /// SWAPDB in the middle of a full sync.
    SwapDb,
}

/// One run.
#[derive(Clone, Copy, Debug)]
struct Shape {
    master: u16,
    replica: u16,
    tls: bool,
    keys: u64,
    /// Keys that must be there at the end.
    remain: usize,
    troubles: &'static [Trouble],
}

const LINK: &[Trouble] =
    &[Trouble::Cut, Trouble::Silence, Trouble::Cut, Trouble::Freeze, Trouble::Cut];
const ALL: &[Trouble] = &[
    Trouble::SwapDb,
    Trouble::CutFullSync,
    Trouble::Cut,
    Trouble::Silence,
    Trouble::Kill,
    Trouble::Freeze,
    Trouble::SwapDb,
    Trouble::Cut,
];

const fn shape(
    master: u16,
    replica: u16,
    tls: bool,
    keys: u64,
    troubles: &'static [Trouble],
) -> Shape {
    Shape { master, replica, tls, keys, remain: keys as usize / 2, troubles }
}

#[test]
fn a_copy_with_other_shards_stays_exact_through_everything() {
    let keys = if support::soak() { 1_000_000 } else { 50_000 };
    run(shape(3, 2, false, keys, ALL));
}

#[test]
fn flushall_in_the_middle_of_a_full_sync_is_part_of_the_copy() {
    let keys = if support::soak() { 1_000_000 } else { 20_000 };
    let troubles = &[Trouble::FlushAll, Trouble::Cut, Trouble::FlushAll];
    run(Shape { remain: 0, ..shape(2, 3, false, keys, troubles) });
}

#[test]
fn a_copy_over_tls_stays_exact() {
    let keys = if support::soak() { 1_000_000 } else { 10_000 };
    run(shape(1, 3, true, keys, &[Trouble::Cut, Trouble::SwapDb, Trouble::Kill]));
}

#[test]
fn every_shape_stays_exact_in_the_soak() {
    if !support::soak() {
        return println!("SOAK=1 runs this");
    }
    for (master, replica) in [(1, 1), (1, 3), (3, 2), (2, 4)] {
        for tls in [false, true] {
            run(shape(master, replica, tls, 1_000_000, LINK));
            run(shape(master, replica, tls, 1_000_000, ALL));
        }
    }
    run(Shape {
        remain: 0,
        ..shape(2, 4, true, 1_000_000, &[Trouble::FlushAll, Trouble::FlushAll])
    });
}

/// Everything that takes part in a run.
struct Stage {
    shape: Shape,
    master: Node,
    replica: Node,
    proxy: Proxy,
    load: Load,
    random: fastrand::Rng,
}

fn run(shape: Shape) {
    let seed = support::seed();
    println!("{shape:?}");
    let mut random = fastrand::Rng::with_seed(seed);
    let certificates = shape.tls.then(Certificates::make);
    // Slow enough that a full sync of these keys can be met in its middle.
    let limit =
        format!("--snapshot_egress_limit_bytes={}", shape.keys * 30 / u64::from(shape.master));
    let tls = certificates.as_ref().map(Certificates::flags).unwrap_or_default();
    let flags: Vec<&str> =
        [QUICK_TIMEOUT, &limit].into_iter().chain(tls.iter().map(String::as_str)).collect();
    let master = Node::start("master", shape.master, &flags);
    let replica = Node::start("replica", shape.replica, &flags);
    load::fill(&master, shape.keys, random.u64(..));
    let plan = Plan { keys: shape.keys, ..Plan::default() };
    let load = Load::start(&master, random.u64(..), plan);
    load.wait_for(200);
    let proxy = Proxy::to(master.port);
    let mut stage = Stage { shape, master, replica, proxy, load, random };
    scenario::follow(&stage.replica, stage.proxy.port);
    for trouble in shape.troubles {
        println!("{trouble:?}");
        stage.make(*trouble);
    }
    let Stage { master, replica, load, .. } = stage;
    scenario::wait_stable(&replica);
    load.wait_for(1000);
    let written = load.stop();
    let count = compare::assert_same(&master, &replica);
    let (full, partial) = scenario::syncs(&master);
    println!(
        "{count} keys equal after {written} commands, {full} full and {partial} partial syncs"
    );
    assert!(count >= shape.remain, "only {count} keys remain: nothing is proven");
}

impl Stage {
    fn make(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Cut => {
                scenario::wait_stable(&self.replica);
                self.load.wait_for(self.random.u64(50..500));
                self.proxy.cut();
                self.load.wait_for(self.random.u64(50..500));
                scenario::wait_follows(&self.master, &self.replica);
            }
            Trouble::Silence => {
                scenario::wait_follows(&self.master, &self.replica);
                self.proxy.stall();
                let left = self.master.logged("left:");
                wait::until("the master gives the silent replica up", || {
                    self.master.logged("left:") > left
                });
                self.proxy.heal();
                scenario::wait_follows(&self.master, &self.replica);
            }
            Trouble::Freeze => {
                scenario::wait_follows(&self.master, &self.replica);
                let left = self.master.logged("left:");
                self.replica.freeze();
                wait::until("the master gives the frozen replica up", || {
                    self.master.logged("left:") > left
                });
                self.replica.thaw();
                scenario::wait_follows(&self.master, &self.replica);
            }
            Trouble::Kill => {
                scenario::wait_stable(&self.replica);
                self.load.wait_for(self.random.u64(50..500));
                self.replica.restart(&[]);
                scenario::follow(&self.replica, self.proxy.port);
                scenario::wait_follows(&self.master, &self.replica);
            }
            Trouble::CutFullSync => {
                self.begin_full_sync();
                self.proxy.cut();
                scenario::wait_follows(&self.master, &self.replica);
            }
            Trouble::FlushAll => {
                self.begin_full_sync();
                self.master.must(&["FLUSHALL"]);
                load::fill(&self.master, self.shape.keys / 10, self.random.u64(..));
                scenario::wait_follows(&self.master, &self.replica);
            }
            Trouble::SwapDb => {
                self.begin_full_sync();
                let mut client: Client = self.master.client();
                client.must(&["SWAPDB", "0", "7"]);
                self.load.wait_for(self.random.u64(50..300));
                client.must(&["SWAPDB", "7", "0"]);
                client.must(&["SWAPDB", "1", "2"]);
                scenario::wait_follows(&self.master, &self.replica);
            }
        }
    }

    /// Forgets the copy and begins anew: waits until it is in the middle.
    fn begin_full_sync(&mut self) {
        wait::until("the replica is not in between", || {
            let role = scenario::role(&self.replica);
            role.ends_with("stable_sync") || role.ends_with("full_sync")
        });
        if !scenario::role(&self.replica).ends_with("full_sync") {
            // A new node has nothing to continue from.
            self.replica.restart(&[]);
            scenario::follow(&self.replica, self.proxy.port);
        }
        scenario::wait_full_sync(&self.replica);
        let through = self.proxy.bytes();
        let some = self.shape.keys * 3;
        wait::until_within(Duration::from_secs(120), "items come", || {
            self.proxy.bytes() > through + some
                || scenario::role(&self.replica).ends_with("stable_sync")
        });
    }
}
