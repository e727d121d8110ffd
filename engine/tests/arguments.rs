//! Every command refuses a wrong number of arguments in Redis's words, and whatever is left out of or
//! added to its examples, nothing breaks and the journal tells what was done.

mod model_common;

use engine::command::Entry;
use engine::model::{ModelNode, registry};
use engine::types::Lsn;
use model_common::{borrowed, check_quiet, check_twin, examples, seed};

#[test]
fn wrong_counts_of_arguments_are_refused_and_change_nothing() {
    for entry in registry().iter_all() {
        let mut names: Vec<&str> = entry.name().split('|').collect();
        let needed = entry.arity.unsigned_abs() as usize;
        for count in names.len()..needed + 3 {
            if entry.accepts(count) {
                continue;
            }
            names.resize(count, "1");
            check_refused(entry, &names);
            names.truncate(entry.name().split('|').count());
        }
    }
}

fn check_refused(entry: &Entry, request: &[&str]) {
    for shards in [1, 3] {
        let node = ModelNode::new(shards, 1);
        let mut client = node.client(0);
        let line = request.join(" ");
        let reply = node.world().block_on(async move { client.words(&line).await });
        let text = format!("ERR wrong number of arguments for '{}' command", entry.name());
        let error = reply.error().map(String::from_utf8_lossy);
        assert_eq!(error.as_deref(), Some(text.as_str()), "{request:?}");
        for shard in 0..shards {
            assert_eq!(node.with_shard(shard, |shard| shard.log.lsn()), Lsn(0), "{request:?}");
        }
    }
}

#[test]
fn mutilated_examples_do_no_harm() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for entry in registry().iter_all() {
        let node = ModelNode::new(3, seed);
        for example in examples(entry) {
            for _ in 0..6 {
                let mut request = example.request.clone();
                match random.u8(..3) {
                    0 => drop(request.pop()),
                    1 => request.push(b"0".to_vec()),
                    _ => {
                        let index = random.usize(..request.len());
                        request[index] = [b"".as_slice(), b"-1", b"x", b"99999999999999999999"]
                            [random.usize(..4)]
                        .to_vec();
                    }
                }
                let mut client = node.client(0);
                node.world().block_on(async move { client.pipeline(&[borrowed(&request)]).await });
            }
        }
        check_quiet(&node, entry.name());
        check_twin(&node, &format!("{} SEED={seed}", entry.name()));
    }
}
