//! Commands that are in use there, and not known here.

use super::asking::{Source, words};
use super::facts::{Facts, Kind, text};
use super::report::{Report, seconds};
use engine::command::Registry;
use engine::resp::client::Reply;

/// What this program asks there itself, or what replicas do: no use of clients.
const NOT_CLIENTS: &[&str] = &[
    "acl|whoami",
    "acl|dryrun",
    "acl|getuser",
    "acl",
    "module",
    "module|list",
    "psync",
    "sync",
    "replconf",
];

/// Commands that are asked about, and named in a line.
const ASKED_MAX: usize = 64;
const NAMED_MAX: usize = 12;

/// What a missing command means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Missing {
    /// It changes data: it will come in the stream.
    Writes,
    /// A script or a function: what it does will come in the stream.
    Script,
    /// For operators.
    Admin,
    /// Clients will miss it.
    Other,
}

/// Compares the commands in use with those that there are here.
pub(super) fn look(
    registry: &Registry,
    source: &mut Source,
    facts: &Facts,
    report: &mut Report,
) -> Result<(), String> {
    let missing = missing(registry, facts);
    if facts.commands.is_empty() && facts.refused.is_none() {
        report.problem(
            "nothing is known of the commands in use: INFO commandstats says nothing",
            "look into the code of the clients",
        );
        return Ok(());
    }
    let since = facts.number("uptime_in_seconds").map_or(String::new(), |up| {
        format!(" since its start {} ago, or CONFIG RESETSTAT", seconds(up))
    });
    let count = facts.commands.len();
    report.say("commands", format!("{count} in use{since}; {} not known here", missing.len()));
    if facts.kind == Kind::Damselfly {
        return Ok(());
    }
    let asked: Vec<(&str, u64)> = missing.into_iter().take(ASKED_MAX).collect();
    let requests = asked.iter().map(|(name, _)| words(&format!("COMMAND INFO {name}")));
    let replies = source.ask_all(&Vec::from_iter(requests))?;
    let judged = asked
        .iter()
        .zip(&replies)
        .map(|((name, calls), reply)| (*name, *calls, judge(name, reply)));
    tell(&Vec::from_iter(judged), report);
    Ok(())
}

fn missing<'a>(registry: &Registry, facts: &'a Facts) -> Vec<(&'a str, u64)> {
    let is_known = |name: &str| registry.find_any(name.as_bytes()).is_some();
    let used = facts.commands.iter().map(|(name, calls)| (name.as_str(), *calls));
    used.filter(|(name, _)| !NOT_CLIENTS.contains(name) && !is_known(name)).collect()
}

fn judge(name: &str, reply: &Reply) -> Missing {
    if name.starts_with("eval")
        || name.starts_with("fcall")
        || name.starts_with("script")
        || name.starts_with("function")
    {
        return Missing::Script;
    }
    let flags = reply.elements().and_then(<[Reply]>::first).and_then(Reply::elements);
    let flags =
        flags.and_then(|fields| fields.get(2)).and_then(Reply::elements).unwrap_or_default();
    let has = |word: &str| flags.iter().any(|flag| text(flag).eq_ignore_ascii_case(word));
    match () {
        () if has("write") => Missing::Writes,
        () if has("admin") || name.starts_with("cluster") => Missing::Admin,
        () => Missing::Other,
    }
}

fn tell(judged: &[(&str, u64, Missing)], report: &mut Report) {
    let of = |kind: Missing| {
        let of_kind = judged.iter().filter(|(_, _, missing)| *missing == kind);
        let mut names: Vec<String> = of_kind
            .map(|(name, calls, _)| {
                format!("{} ({calls} calls)", name.replace('|', " ").to_uppercase())
            })
            .collect();
        let more = names.len().saturating_sub(NAMED_MAX);
        names.truncate(NAMED_MAX);
        if more > 0 {
            names.push(format!("{more} more"));
        }
        names.join(", ")
    };
    for kind in [Missing::Writes, Missing::Script, Missing::Other, Missing::Admin] {
        let names = of(kind);
        if names.is_empty() {
            continue;
        }
        match kind {
            Missing::Writes => report.problem(
                format!("commands in use change data and are not known here: {names}; one in the stream ends the link"),
                "let the clients do without them before the node follows",
            ),
            Missing::Script => report.problem(
                format!("scripts and functions are in use: {names}; this node runs none, though it follows what they do"),
                "let the clients do without them before the change over",
            ),
            Missing::Other => report.problem(
                format!("commands in use are not known here: {names}"),
                "let the clients do without them before the change over",
            ),
            Missing::Admin => report.say("operators", format!("use {names} there, which this node does not know")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::facts_of;
    use super::*;

    fn about(flags: &[&str]) -> Reply {
        let flags = flags.iter().map(|flag| Reply::Simple(flag.as_bytes().to_vec())).collect();
        let entry = vec![Reply::Bulk(b"x".to_vec()), Reply::Integer(-1), Reply::Array(flags)];
        Reply::Array(vec![Reply::Array(entry)])
    }

    #[test]
    fn what_is_not_known_here_is_found() {
        let registry = Registry::new(engine::commands::families());
        let stats = "cmdstat_get:calls=1\ncmdstat_json.set:calls=2\ncmdstat_acl|whoami:calls=9\ncmdstat_psync:calls=1\n\
            cmdstat_xinfo|stream:calls=1\ncmdstat_xinfo|nothing:calls=4\ncmdstat_evalsha:calls=3";
        let facts = facts_of("", stats, &[]);
        assert_eq!(
            missing(&registry, &facts),
            [("json.set", 2), ("xinfo|nothing", 4), ("evalsha", 3)]
        );
    }

    #[test]
    fn what_it_means_follows_from_its_flags() {
        assert_eq!(judge("json.set", &about(&["write", "denyoom"])), Missing::Writes);
        assert_eq!(judge("monitor", &about(&["admin", "noscript"])), Missing::Admin);
        assert_eq!(judge("json.get", &about(&["readonly"])), Missing::Other);
        assert_eq!(judge("evalsha_ro", &about(&[])), Missing::Script);
        assert_eq!(judge("lost", &Reply::Error(b"NOPERM".to_vec())), Missing::Other);
        assert_eq!(judge("lost", &Reply::Array(vec![Reply::Nil])), Missing::Other);
    }

    #[test]
    fn commands_of_operators_stand_in_nobodys_way() {
        let mut report = Report::default();
        tell(&[("monitor", 1, Missing::Admin)], &mut report);
        assert!(
            !report.has_problems() && report.text().contains("operators: use MONITOR (1 calls)")
        );
        tell(&[("a.b", 1, Missing::Writes), ("c|d", 2, Missing::Other)], &mut report);
        let text = report.text();
        assert!(
            text.contains("A.B (1 calls)")
                && text.contains("C D (2 calls)")
                && text.contains("2 problems"),
            "{text}"
        );
    }
}
