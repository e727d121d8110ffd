//! A command cannot change without telling, nor tell without changing: who is fed with nothing but the
//! journal holds the same data, deadlines included.

mod model_common;
mod twin_slices;

use engine::journal::bounds;
use engine::model::{ModelNode, World, registry};
use engine::types::DbIndex;
use model_common::{Requests, borrowed, check_quiet, check_twin, examples, seed, seeds};

#[test]
fn a_twin_of_every_commands_examples_is_equal() {
    let seed = seed();
    // Nearly all values in pieces too, whatever their types.
    let cases = [((0, 0), 1), ((0, 0), 3), ((1, 1), 1), ((4, 3), 3)];
    for entry in registry().iter_all() {
        for ((above, piece), shards) in cases {
            bounds::set(above, piece);
            let node = ModelNode::new(shards, seed);
            for example in examples(entry) {
                let mut client = node.client(0);
                let request = example.request;
                node.world().block_on(async move { client.pipeline(&[borrowed(&request)]).await });
                check_twin(&node, &format!("{} SEED={seed}", example.line));
            }
        }
    }
}

#[test]
fn a_twin_of_many_random_clients_is_equal() {
    for seed in seeds(40) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (above, piece) = [(0, 0), (8, 5), (60_000, 9_000)][dice.usize(..3)];
        bounds::set(above, piece);
        let node = ModelNode::in_world(&World::new(seed), dice.u16(1..5));
        for number in 0..4 {
            let mut client = node.client(dice.u16(..=node.shards()));
            let mut requests = Requests::new(dice.fork(), 25, 40);
            let world = node.world().clone();
            node.world().spawn(format!("client {number}"), async move {
                for _ in 0..60 {
                    client.db = DbIndex(requests.random.u16(..3));
                    let many = requests.random.usize(1..5);
                    let multi = requests.random.usize(..4) == 0;
                    let mut batch: Vec<_> = (0..many).map(|_| requests.next()).collect();
                    if multi {
                        batch.insert(0, vec![b"MULTI".to_vec()]);
                        batch.push(vec![b"EXEC".to_vec()]);
                    }
                    let batch: Vec<_> = batch.iter().map(borrowed).collect();
                    client.pipeline(&batch).await;
                    world.sleep(requests.random.u64(..20)).await;
                }
            });
        }
        let mut steps = 0;
        while node.world().step() {
            steps += 1;
            if steps % 100 == 0 {
                node.heartbeat();
            }
        }
        check_quiet(&node, &format!("SEED={seed}"));
        check_twin(&node, &format!("SEED={seed}"));
    }
}

#[test]
fn a_large_request_in_slices_is_one_request() {
    for seed in seeds(6) {
        let shards = 1 + (seed % 3) as u16;
        twin_slices::check(seed, 60, shards);
    }
}
