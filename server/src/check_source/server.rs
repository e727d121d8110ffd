//! What the server is, how much it holds, and how it feeds those who follow it.

use super::address::Address;
use super::facts::{Facts, Kind};
use super::report::{Report, bytes, seconds};
use crate::config::Config;

/// Keys a second and bytes a second that a Redis sends in a full sync, roughly, where the road is no narrower.
const KEYS_PER_SECOND: u64 = 300_000;
const BYTES_PER_SECOND: u64 = 100_000_000;

/// A break of the link that the backlog should bridge.
const BREAK_SECONDS: u64 = 60;

/// What it is, and whether its data can be read and followed at all.
pub(super) fn kind(facts: &Facts, address: &Address, report: &mut Report) {
    let name = match facts.kind {
        Kind::Redis => "Redis",
        Kind::Valkey => "Valkey",
        Kind::Damselfly => "Damselfly",
        Kind::Dragonfly => "Dragonfly",
        Kind::Unknown => "a server that does not say what it is",
    };
    let up = facts.number("uptime_in_seconds").map(|up| format!(", up {}", seconds(up)));
    let road = if address.tls { ", over TLS" } else { "" };
    report.say(
        "source",
        format!(
            "{name} {} at {}:{}{}{road}{}",
            facts.version_text,
            address.host,
            address.port,
            role(facts),
            up.unwrap_or_default()
        ),
    );
    report.say("rdb", expected_rdb(facts));
    can_be_followed(facts, report);
    is_ready(facts, report);
}

fn role(facts: &Facts) -> String {
    match facts.text("role") {
        "" => String::new(),
        "slave" => {
            format!(", a replica of {}:{}", facts.text("master_host"), facts.text("master_port"))
        }
        role => format!(", a {role}"),
    }
}

/// The version of the data that a full sync brings.
fn expected_rdb(facts: &Facts) -> String {
    let version = match (facts.kind, facts.version) {
        (Kind::Damselfly, _) => return "none: nodes send each other their journals".to_owned(),
        (Kind::Redis, (..=2, _) | (3, 0 | 1)) => "6 or lower",
        (Kind::Redis, (3, _)) => "7",
        (Kind::Redis, (4, _)) => "8",
        (Kind::Redis, (5 | 6, _)) => "9",
        (Kind::Redis, (7, 0 | 1)) => "10",
        (Kind::Redis, (7, 2 | 3)) | (Kind::Valkey, (..=8, _)) => "11",
        (Kind::Redis, (7, _) | (8, 0..=2)) => "12",
        (Kind::Redis, (8, _)) => "12 or 13",
        (Kind::Valkey, (9, _)) => "80",
        _ => return "its version cannot be told before".to_owned(),
    };
    format!("version {version} is to be expected, which is read here")
}

fn can_be_followed(facts: &Facts, report: &mut Report) {
    match (facts.kind, facts.version) {
        (Kind::Dragonfly, _) => report.problem(
            "a Dragonfly feeds no replicas but its own kind",
            "have it write a snapshot as RDB (SAVE RDB), stop its writers, and start the node with that file as --dbfilename",
        ),
        (Kind::Redis, (0..=1, _) | (2, 0..=7)) => report.problem(
            format!("Redis {} does not know PSYNC", facts.version_text),
            "update it to 2.8 or later, or start the node with its dump.rdb",
        ),
        (Kind::Redis, (9.., _)) | (Kind::Valkey, (10.., _)) => report.problem(
            format!("version {} is newer than this program, its data may be in a form that is not known", facts.version_text),
            "try it with a node that nobody needs first, or use a newer damselfly",
        ),
        _ => {}
    }
    if facts.text("cluster_enabled") == "1" {
        report.problem(
            "the source is a node of a cluster: it holds some slots only",
            "follow each of its masters with a node, or bring the data into one Redis first",
        );
    }
}

/// Whether it could begin to feed somebody now.
fn is_ready(facts: &Facts, report: &mut Report) {
    if facts.text("loading") == "1" {
        report.problem("the source loads its own data", "wait until INFO there says loading:0");
    }
    if facts.text("role") == "slave" && facts.text("master_link_status") == "down" {
        report.problem(
            "the source is a replica whose own link is down: it feeds nobody until that is up",
            "mend its link, or follow its master",
        );
    }
    let on_disk = facts.setting("repl-diskless-sync").is_none_or(|word| word == "no");
    if on_disk && facts.text("rdb_last_bgsave_status") == "err" {
        report.problem(
            "the last background save there failed, and the data is sent from such a file",
            "look into its log (disk, memory for the fork), or CONFIG SET repl-diskless-sync yes there",
        );
    }
}

/// Its databases and ours.
pub(super) fn databases(facts: &Facts, config: &Config, report: &mut Report) {
    let highest = facts.databases.iter().map(|database| u64::from(database.index) + 1).max();
    let there = facts.setting_number("databases").or(highest).unwrap_or(1);
    let own = u64::from(config.dbnum);
    report.say("databases", format!("{there}, {} with keys; here {own}", facts.databases.len()));
    if there > own {
        report.problem(
            format!("the source has {there} databases, the node would have {own}"),
            format!("start the node with --dbnum={there}"),
        );
    }
}

/// How much it holds.
pub(super) fn size(facts: &Facts, config: &Config, report: &mut Report) {
    let expire: u64 = facts.databases.iter().map(|database| database.expires).sum();
    report.say("keys", format!("{}, {expire} of them expire", facts.keys()));
    let data = facts.data_bytes();
    report.say(
        "size",
        format!(
            "{} of data, {} in use",
            bytes(data),
            bytes(facts.number("used_memory").unwrap_or(0))
        ),
    );
    // 0 is what the node's machine has, and this may be another one.
    if config.maxmemory > 0 && data > config.maxmemory {
        report.problem(
            format!("the data takes {} there, --maxmemory here is {}", bytes(data), bytes(config.maxmemory)),
            "give the node more: what comes from a master is never refused, but writes will be after the change over",
        );
    }
}

/// How it feeds who follows it, and whether that bears what is written meanwhile.
pub(super) fn feeding(facts: &Facts, rate: u64, report: &mut Report) {
    let about = if facts.has_stream() { "about" } else { "no replica counts them yet; at most" };
    report.say("writes", format!("{about} {} a second", bytes(rate)));
    if facts.kind == Kind::Damselfly {
        return;
    }
    let backlog = facts.number("repl_backlog_size").or(facts.setting_number("repl-backlog-size"));
    let diskless = match facts.setting("repl-diskless-sync") {
        Some("yes") => {
            format!("diskless after {} s", facts.setting("repl-diskless-sync-delay").unwrap_or("5"))
        }
        Some(_) => "from a file".to_owned(),
        None => "not known whether diskless".to_owned(),
    };
    let limit = facts.setting("client-output-buffer-limit").and_then(OutputLimit::of);
    let limit_text = match limit {
        Some(OutputLimit { hard, soft, soft_seconds }) => {
            let text = |bound| if bound == 0 { "none".to_owned() } else { bytes(bound) };
            format!("{} hard, {} for {soft_seconds} s", text(hard), text(soft))
        }
        None => "not known".to_owned(),
    };
    let shown = backlog.map_or("not known".to_owned(), bytes);
    report.say(
        "replication",
        format!("{diskless}; backlog {shown}; limit for replicas {limit_text}"),
    );
    let takes = sync_seconds(facts);
    let wanted = rate.saturating_mul(takes.max(BREAK_SECONDS));
    if let Some(backlog) = backlog
        && wanted > backlog
    {
        report.problem(
            format!(
                "the backlog holds {}, about {} of writes: after a longer break all data is sent again",
                bytes(backlog),
                seconds(backlog / rate.max(1))
            ),
            format!("CONFIG SET repl-backlog-size {} there", wanted.next_power_of_two()),
        );
    }
    let waiting = rate.saturating_mul(takes);
    if let Some(limit) = limit
        && limit.is_passed(waiting, takes)
    {
        report.problem(
            format!(
                "{} may wait for us while the data is loaded, more than the limit for replicas allows ({limit_text})",
                bytes(waiting)
            ),
            format!("CONFIG SET client-output-buffer-limit 'replica {0} {0} 60' there", (2 * waiting).next_power_of_two()),
        );
    }
}

/// What a replica's connection may have waiting; 0 is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct OutputLimit {
    hard: u64,
    soft: u64,
    soft_seconds: u64,
}

impl OutputLimit {
    fn of(setting: &str) -> Option<OutputLimit> {
        let mut words = setting.split_ascii_whitespace();
        words.find(|word| matches!(*word, "slave" | "replica"))?;
        let mut number = || words.next()?.parse().ok();
        Some(OutputLimit { hard: number()?, soft: number()?, soft_seconds: number()? })
    }

    fn is_passed(self, waiting: u64, over: u64) -> bool {
        (self.hard > 0 && waiting > self.hard)
            || (self.soft > 0 && waiting > self.soft && over > self.soft_seconds)
    }
}

/// What would not come over.
pub(super) fn left_out(facts: &Facts, report: &mut Report) {
    let modules = match facts.modules.is_empty() {
        true => "none".to_owned(),
        false => facts.modules.join(", "),
    };
    report.say("modules", &modules);
    if !facts.modules.is_empty() {
        report.problem(
            format!("modules are loaded there ({modules}): keys of their types are left out, their commands end the link"),
            "keep that data in another place, or in types that Redis has by itself",
        );
    }
    let libraries = facts.number("number_of_libraries");
    report.say(
        "functions",
        match libraries {
            Some(0) => "none".to_owned(),
            Some(count) => format!("{count} libraries"),
            None if facts.version.0 < 7 || facts.kind != Kind::Redis => "none".to_owned(),
            None => "not known".to_owned(),
        },
    );
    if libraries.is_some_and(|count| count > 0) {
        report.problem(
            "there are functions (FUNCTION): their libraries are kept and handed on, but nothing here runs them",
            "let clients do without FCALL before the change over",
        );
    }
    let tells_scripts = facts.setting("lua-replicate-commands") == Some("no")
        || (facts.kind == Kind::Redis && (1..5).contains(&facts.version.0));
    if tells_scripts && facts.commands.iter().any(|(name, _)| name.starts_with("eval")) {
        report.problem(
            "scripts (EVAL) are told to replicas as they stand, which ends the link",
            "CONFIG SET lua-replicate-commands yes there, or update it to Redis 5 or later",
        );
    }
}

/// How long a full sync may take, in seconds.
fn sync_seconds(facts: &Facts) -> u64 {
    let delay = match facts.setting("repl-diskless-sync") {
        Some("no") => 0,
        _ => facts.setting_number("repl-diskless-sync-delay").unwrap_or(5),
    };
    let work = (facts.keys() / KEYS_PER_SECOND).max(facts.data_bytes() / BYTES_PER_SECOND);
    // A file is written first, and sent then.
    let work = if facts.setting("repl-diskless-sync") == Some("no") { 2 * work } else { work };
    delay + work + 1
}

/// The same in words.
pub(super) fn time(facts: &Facts) -> String {
    format!(
        "about {} for the first full sync, where the network carries {} a second",
        seconds(sync_seconds(facts)),
        bytes(BYTES_PER_SECOND)
    )
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::facts_of;
    use super::*;
    use crate::config::{Start, start};
    use std::ffi::OsString;
    use std::sync::Arc;

    fn config(flags: &[&str]) -> Arc<Config> {
        let flags = std::iter::once(&"damselfly").chain(flags).map(OsString::from);
        match start(flags.collect::<Vec<_>>(), [], "test") {
            Start::Run(settings) => settings.config(),
            Start::Say { text, .. } => panic!("{text}"),
        }
    }

    fn said(judge: impl Fn(&mut Report)) -> String {
        let mut report = Report::default();
        judge(&mut report);
        report.text()
    }

    #[test]
    fn the_version_of_the_data_follows_from_that_of_the_server() {
        for (info, version) in [
            ("redis_version:2.8.19", "version 6 or lower"),
            ("redis_version:3.2.0", "version 7"),
            ("redis_version:6.2.14", "version 9"),
            ("redis_version:7.0.15", "version 10"),
            ("redis_version:7.2.5", "version 11"),
            ("redis_version:8.2.3", "version 12"),
            ("valkey_version:8.1.0", "version 11"),
            ("valkey_version:9.1.2", "version 80"),
            ("redis_version:9.0.0", "cannot be told"),
            ("damselfly_version:0.1.0", "journals"),
        ] {
            let text = expected_rdb(&facts_of(info, "", &[]));
            assert!(text.contains(version), "{info}: {text}");
        }
    }

    #[test]
    fn what_stands_in_the_way_is_a_line_with_a_remedy() {
        let address = || Address {
            host: "h".to_owned(),
            port: 1,
            user: String::new(),
            password: String::new(),
            tls: false,
        };
        for (info, settings, words) in [
            ("dragonfly_version:df-v1.30.0", &[][..], "Dragonfly feeds no replicas"),
            ("redis_version:2.6.0", &[], "does not know PSYNC"),
            ("redis_version:9.1.0", &[], "newer than this program"),
            ("redis_version:7.0.0\ncluster_enabled:1", &[], "node of a cluster"),
            ("redis_version:7.0.0\nloading:1", &[], "loads its own data"),
            ("redis_version:7.0.0\nrole:slave\nmaster_link_status:down", &[], "own link is down"),
            (
                "redis_version:6.0.0\nrdb_last_bgsave_status:err",
                &[("repl-diskless-sync", "no")],
                "save there failed",
            ),
        ] {
            let facts = facts_of(info, "", settings);
            let text = said(|report| kind(&facts, &address(), report));
            assert!(text.contains(words) && text.contains("; do: "), "{info}: {text}");
        }
        let facts = facts_of(
            "redis_version:7.0.0\nrdb_last_bgsave_status:err",
            "",
            &[("repl-diskless-sync", "yes")],
        );
        assert!(!said(|report| kind(&facts, &address(), report)).contains("problem:"));
    }

    #[test]
    fn databases_and_memory_are_compared_with_ours() {
        let facts = facts_of("used_memory_dataset:5000000000\ndb20:keys=1,expires=0", "", &[]);
        let text = said(|report| databases(&facts, &config(&[]), report));
        assert!(text.contains("--dbnum=21"), "{text}");
        let text = said(|report| databases(&facts, &config(&["--dbnum=32"]), report));
        assert!(!text.contains("problem:"), "{text}");
        assert!(!said(|report| size(&facts, &config(&[]), report)).contains("problem:"));
        let text = said(|report| size(&facts, &config(&["--maxmemory=2gb"]), report));
        assert!(text.contains("problem: the data takes 5.0 GB"), "{text}");
    }

    #[test]
    fn the_backlog_and_the_limit_must_bear_what_is_written() {
        let settings = [
            ("repl-diskless-sync", "no"),
            ("repl-backlog-size", "1048576"),
            (
                "client-output-buffer-limit",
                "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
            ),
        ];
        let facts = facts_of("redis_version:7.0.0\nused_memory_dataset:10000000000", "", &settings);
        assert_eq!(sync_seconds(&facts), 201);
        assert!(!said(|report| feeding(&facts, 1000, report)).contains("problem:"));
        let text = said(|report| feeding(&facts, 100_000, report));
        assert!(
            text.contains("repl-backlog-size 33554432")
                && !text.contains("limit for replicas allows"),
            "{text}"
        );
        let text = said(|report| feeding(&facts, 400_000, report));
        assert!(text.contains("'replica 268435456 268435456 60'"), "{text}");
    }

    #[test]
    fn what_would_be_left_out_is_named() {
        let facts = facts_of(
            "redis_version:7.0.0\nmodule:name=ReJSON,ver=1\nnumber_of_libraries:2",
            "",
            &[],
        );
        let text = said(|report| left_out(&facts, report));
        assert!(text.contains("(ReJSON)") && text.contains("functions (FUNCTION)"), "{text}");
        let evals = "cmdstat_eval:calls=2,usec=1";
        let tells = |info: &str, settings: &[(&'static str, &str)]| {
            said(|report| left_out(&facts_of(info, evals, settings), report))
                .contains("lua-replicate-commands")
        };
        assert!(tells("redis_version:4.0.0", &[]));
        assert!(tells("redis_version:6.2.0", &[("lua-replicate-commands", "no")]));
        assert!(!tells("redis_version:6.2.0", &[("lua-replicate-commands", "yes")]));
        assert!(!tells("redis_version:7.0.0", &[]));
    }
}
