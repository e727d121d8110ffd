//! Command tips: what a proxy or a client of a cluster is to know of a command beside its flags.
//!
//! They are facts of Redis's, told by its COMMAND INFO and documented under this name: whether the reply to one and the
//! same request differs or comes in another order, to which servers of a cluster a request is sent, and how their
//! replies become one. Nothing follows from them here, and they follow from nothing that is declared, so they stand in
//! this table: those of commands that Redis 7.0 has as it tells them, those of newer ones as Redis 8.2 does.

/// Tips, in the order in which Redis tells them, and the commands that have just these.
const TIPS: &[(&[&str], &[&str])] = &[
    (
        &["nondeterministic_output"],
        &[
            "client|info",
            "client|list",
            "dump",
            "hpttl",
            "hrandfield",
            "hscan",
            "httl",
            "lastsave",
            "object|encoding",
            "object|freq",
            "object|idletime",
            "object|refcount",
            "pttl",
            "spop",
            "srandmember",
            "sscan",
            "time",
            "ttl",
            "xadd",
            "xautoclaim",
            "xclaim",
            "xinfo|consumers",
            "xpending",
            "xtrim",
            "zrandmember",
            "zscan",
        ],
    ),
    (
        &["nondeterministic_output_order"],
        &[
            "command",
            "command|docs",
            "command|info",
            "command|list",
            "function|list",
            "hgetall",
            "hkeys",
            "hvals",
            "module|list",
            "sdiff",
            "sinter",
            "smembers",
            "sunion",
        ],
    ),
    (&["nondeterministic_output", "request_policy:special"], &["scan"]),
    (
        &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        &[
            "latency|doctor",
            "latency|graph",
            "latency|histogram",
            "latency|history",
            "latency|latest",
        ],
    ),
    (
        &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        &["function|stats", "info", "memory|doctor", "memory|malloc-stats", "memory|stats"],
    ),
    (&["request_policy:all_nodes", "nondeterministic_output"], &["slowlog|get"]),
    (
        &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
        &["slowlog|len"],
    ),
    (
        &["request_policy:all_nodes", "response_policy:all_succeeded"],
        &["client|setinfo", "config|set", "latency|reset", "slowlog|reset"],
    ),
    (&["request_policy:all_shards", "nondeterministic_output"], &["randomkey"]),
    (&["request_policy:all_shards", "nondeterministic_output_order"], &["keys"]),
    (&["request_policy:all_shards", "response_policy:agg_min"], &["wait"]),
    (&["request_policy:all_shards", "response_policy:agg_sum"], &["dbsize"]),
    (
        &["request_policy:all_shards", "response_policy:all_succeeded"],
        &[
            "flushall",
            "flushdb",
            "function|delete",
            "function|flush",
            "function|load",
            "function|restore",
            "memory|purge",
            "ping",
        ],
    ),
    (&["request_policy:all_shards", "response_policy:one_succeeded"], &["function|kill"]),
    (&["request_policy:multi_shard"], &["mget"]),
    (&["request_policy:multi_shard", "response_policy:agg_min"], &["msetnx"]),
    (
        &["request_policy:multi_shard", "response_policy:agg_sum"],
        &["del", "exists", "touch", "unlink"],
    ),
    (&["request_policy:multi_shard", "response_policy:all_succeeded"], &["mset"]),
];

/// The tips of a command, or of a subcommand as `container|sub`.
pub(super) fn of(name: &str) -> &'static [&'static str] {
    TIPS.iter().find(|(_, names)| names.contains(&name)).map_or(&[], |(tips, _)| *tips)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::registry;
    use std::collections::BTreeSet;

    #[test]
    fn each_name_is_a_commands_and_stands_once() {
        let (registry, _) = registry();
        let mut seen = BTreeSet::new();
        for name in TIPS.iter().flat_map(|(_, names)| *names) {
            assert!(registry.find_any(name.as_bytes()).is_some(), "{name}");
            assert!(seen.insert(name), "{name}");
        }
    }
}
