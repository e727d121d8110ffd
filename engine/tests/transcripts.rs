//! Every command's examples are true: on one shard and on several, in RESP2 and in RESP3, wherever the
//! connection lives.

mod model_common;

use engine::model::{ModelNode, decode_replies, registry};
use engine::resp::Protocol;
use model_common::{borrowed, check_quiet, examples, render, seed};

#[test]
fn examples_show_what_happens_on_any_number_of_shards_and_in_both_protocols() {
    let seed = seed();
    let mut wrong = Vec::new();
    let mut shown = 0;
    for entry in registry().iter_all() {
        for shards in [1, 2, 3, 8] {
            for protocol in [Protocol::Resp2, Protocol::Resp3] {
                for executor in [0, shards] {
                    shown += 1;
                    let at = format!("{} on {shards} shards, {protocol:?}", entry.name());
                    run(entry, shards, protocol, executor, seed, &at, &mut wrong);
                }
            }
        }
    }
    assert!(shown > 100, "there are commands");
    wrong.dedup();
    assert!(wrong.is_empty(), "SEED={seed}\n{}", wrong.join("\n"));
}

fn run(
    entry: &engine::command::Entry,
    shards: u16,
    protocol: Protocol,
    executor: u16,
    seed: u64,
    at: &str,
    wrong: &mut Vec<String>,
) {
    let node = ModelNode::new(shards, seed);
    for example in examples(entry) {
        let mut client = node.client(executor);
        client.protocol = protocol;
        let request = example.request.clone();
        let bytes =
            node.world().block_on(async move { client.pipeline(&[borrowed(&request)]).await });
        let replies = decode_replies(&bytes);
        let got: Vec<String> = replies.iter().map(|reply| render(reply, "")).collect();
        if got != [example.reply.as_str()] {
            wrong.push(format!(
                "{at}\n> {}\n  says  {}\n  shows {}",
                example.line,
                example.reply,
                got.join("\n")
            ));
        }
    }
    check_quiet(&node, at);
}
