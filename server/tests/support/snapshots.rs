//! What tests of snapshots share: what INFO says of them, clients that write meanwhile, and kills in their middle.

use super::client::{Client, text};
use super::node::Node;
use super::wait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What one line of INFO persistence says.
pub(crate) fn info(node: &Node, name: &str) -> String {
    let all = text(&node.must(&["INFO", "persistence"]));
    let line = all.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in {all}")).trim().to_owned()
}

/// Clients that write until they are told to end, each what `line` says of its number and round; how many rounds each has
/// had acknowledged.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Vec<Arc<AtomicU64>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Writers {
    pub(crate) fn start(port: u16, count: usize, lines: fn(usize, u64) -> Vec<String>) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged: Vec<Arc<AtomicU64>> = (0..count).map(|_| Arc::default()).collect();
        let write = |(number, acknowledged): (usize, &Arc<AtomicU64>)| {
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            thread::spawn(move || {
                let mut client = Client::connect(port).expect("the node serves");
                for round in 1.. {
                    for line in lines(number, round) {
                        let words: Vec<&str> = line.split(' ').collect();
                        match client.try_call(&words) {
                            Ok(reply) if reply.error().is_none() => {}
                            // It is ending.
                            _ => return,
                        }
                    }
                    acknowledged.store(round, Ordering::Release);
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                }
            })
        };
        let threads = acknowledged.iter().enumerate().map(write).collect();
        Writers { stop, acknowledged, threads }
    }

    /// So far.
    pub(crate) fn rounds(&self) -> Vec<u64> {
        self.acknowledged.iter().map(|round| round.load(Ordering::Acquire)).collect()
    }

    /// The rounds of each when all have ended.
    pub(crate) fn end(mut self) -> Vec<u64> {
        self.stop.store(true, Ordering::Release);
        self.threads.drain(..).for_each(|thread| thread.join().expect("a writer"));
        self.rounds()
    }
}

/// Has three clients write, and a snapshot written meanwhile; of each the rounds that were acknowledged when it was
/// asked for, and in the end.
pub(crate) fn save_under_writes(
    node: &Node,
    lines: fn(usize, u64) -> Vec<String>,
) -> Vec<(u64, u64)> {
    let writers = Writers::start(node.port, 3, lines);
    wait::until("all write", || writers.rounds().iter().all(|rounds| *rounds > 20));
    let at_least = writers.rounds();
    assert_eq!(text(&node.must(&["BGSAVE"])), "Background saving started");
    wait::until("it is written", || info(node, "rdb_bgsave_in_progress") == "0");
    let at_most = writers.end();
    assert_eq!(info(node, "rdb_last_bgsave_status"), "ok");
    at_least.into_iter().zip(at_most).collect()
}

/// The round that all three answers of an MGET say.
pub(crate) fn round_of(together: &str) -> u64 {
    let rounds: Vec<u64> = together.split(' ').map(|word| word.parse().unwrap()).collect();
    assert!(rounds.iter().all(|round| *round == rounds[0]), "half an MSET: {together}");
    rounds[0]
}

/// Kills a node at any moment of a snapshot, again and again: each time the old one or the new one is
/// loaded, and all of it. `look` is asked before each start whether the kill was in the middle of one.
pub(crate) fn kill_in_snapshots(node: &mut Node, mut look: impl FnMut(&Node) -> bool) {
    node.must(&["DEBUG", "POPULATE", "100000", "key", "100"]);
    node.must(&["SET", "round", "0"]);
    let began = Instant::now();
    node.must(&["SAVE"]);
    let most = began.elapsed().as_micros() as u64 * 5 / 4;
    let (seed, rounds) = (super::seed(), if super::soak() { 50 } else { 6 });
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut saved, mut inside, mut is_new) = ("0".to_owned(), 0, 0);
    for round in 1..=rounds {
        let round = round.to_string();
        node.must(&["SET", "round", &round]);
        node.must(&["BGSAVE"]);
        wait::let_pass(Duration::from_micros(random.u64(..most)));
        node.kill();
        inside += usize::from(look(node));
        node.restart(&[]);
        assert_eq!(text(&node.must(&["DBSIZE"])), "100001");
        let loaded = text(&node.must(&["GET", "round"]));
        assert!(loaded == round || loaded == saved, "{loaded} in round {round}, after {saved}");
        is_new += usize::from(loaded == round);
        saved = loaded;
    }
    println!("{rounds} kills, {inside} in the middle of a snapshot; {is_new} were new");
    assert!(inside > 0);
}
