//! Whether the user may follow: PSYNC and REPLCONF. Nothing is tried that would begin a sync.

use super::asking::{Source, Words, words};
use super::facts::{Facts, Kind, text};
use super::report::Report;
use crate::config::Config;
use engine::resp::client::Reply;
use replication::handshake;

/// The id that a node has which is none: nobody's.
const NOBODY: &str = "0000000000000000000000000000000000000000";

/// What is known of a right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Right {
    Given,
    Refused,
    Unknown,
}

/// See the module's doc.
pub(super) fn look(
    source: &mut Source,
    facts: &Facts,
    config: &Config,
    report: &mut Report,
) -> Result<(), String> {
    match facts.kind {
        Kind::Damselfly => return damselfly(source, config, report),
        // It was said already.
        Kind::Dragonfly => return Ok(()),
        Kind::Redis | Kind::Valkey | Kind::Unknown => {}
    }
    // Without options it says nothing, and changes nothing.
    let replconf = match source.ask(words("REPLCONF"))?.error() {
        Some(error) if is_refusal(error) => Right::Refused,
        Some(_) => Right::Unknown,
        None => Right::Given,
    };
    if source.ask(words("COMMAND INFO psync"))?.elements().is_some_and(is_unknown) {
        report.problem(
            "PSYNC is not known there: its provider has turned it off, or it was renamed",
            "ask the provider, or give it its name back",
        );
        return Ok(());
    }
    let user = source.ask(words("ACL WHOAMI"))?;
    // Where it may not be asked, it is who we said that we are.
    let user = if user.error().is_some() { source.user.clone() } else { text(&user) };
    let psync = psync(source, &user)?;
    let says = |right| match right {
        Right::Given => "allowed",
        Right::Refused => "refused",
        Right::Unknown => "not known, as ACL is not allowed",
    };
    report.say("user", format!("{user}; PSYNC {}, REPLCONF {}", says(psync), says(replconf)));
    if psync == Right::Refused || replconf == Right::Refused {
        report.problem(
            format!("the user {user} may not follow"),
            format!("ACL SETUSER {user} +psync +replconf +ping there, and +info +config|get so that the node can look first"),
        );
    }
    Ok(())
}

fn is_unknown(entries: &[Reply]) -> bool {
    // Before version 6 an unknown command is an empty array.
    matches!(entries, [Reply::Nil])
        || matches!(entries, [Reply::Array(fields)] if fields.is_empty())
}

fn is_refusal(error: &[u8]) -> bool {
    error.starts_with(b"NOPERM") || error.starts_with(b"NOAUTH")
}

/// Whether the user may say PSYNC.
fn psync(source: &mut Source, user: &str) -> Result<Right, String> {
    let request =
        |line: &[&str]| -> Words { line.iter().map(|word| word.as_bytes().to_vec()).collect() };
    let dry = source.ask(request(&["ACL", "DRYRUN", user, "PSYNC", "?", "-1"]))?;
    if dry.is_ok() {
        return Ok(Right::Given);
    }
    if dry.error().is_none() {
        return Ok(Right::Refused);
    }
    let rules = source.ask(request(&["ACL", "GETUSER", user]))?;
    if let Some(error) = rules.error() {
        // Before version 6 there are no users: whoever is let in may do everything.
        let is_old = error.starts_with(b"ERR unknown command");
        return Ok(if is_old { Right::Given } else { Right::Unknown });
    }
    let fields = rules.elements().unwrap_or_default();
    let at = fields.iter().position(|field| field.bytes() == Some(b"commands"));
    let commands = at.and_then(|at| fields.get(at + 1)).map(text).unwrap_or_default();
    Ok(by_rules(&commands))
}

/// What rules such as `-@all +ping` say of PSYNC: the last that is about it counts.
fn by_rules(rules: &str) -> Right {
    let about = ["@all", "@admin", "@dangerous", "@slow", "psync"];
    let last = rules.split_ascii_whitespace().rfind(|rule| {
        matches!(*rule, "allcommands" | "nocommands")
            || rule.get(1..).is_some_and(|name| about.contains(&name))
    });
    match last {
        Some(rule) if rule.starts_with('+') || rule == "allcommands" => Right::Given,
        _ => Right::Refused,
    }
}

/// A Damselfly says itself whether it would have a new replica.
fn damselfly(source: &mut Source, config: &Config, report: &mut Report) -> Result<(), String> {
    let chain = [NOBODY.to_owned()];
    let reply = source.ask(handshake::ask_check(&chain, usize::from(config.dbnum)))?;
    match reply.error() {
        None => report.say("user", "may follow"),
        Some(error) => {
            let error = String::from_utf8_lossy(error);
            report.problem(
                format!("the node does not take a replica now: {error}"),
                "what it says; it is asked again and again once REPLICAOF is said",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_about_it_counts() {
        for (rules, right) in [
            ("+@all", Right::Given),
            ("allcommands", Right::Given),
            ("-@all +ping +psync", Right::Given),
            ("-@all +@admin -psync", Right::Refused),
            ("+@all -@dangerous", Right::Refused),
            ("+@all -@dangerous +psync +config|get", Right::Given),
            ("-@all +get", Right::Refused),
            ("", Right::Refused),
        ] {
            assert_eq!(by_rules(rules), right, "{rules}");
        }
    }

    #[test]
    fn an_unknown_command_is_seen_in_every_shape() {
        assert!(is_unknown(&[Reply::Nil]));
        assert!(is_unknown(&[Reply::Array(Vec::new())]));
        assert!(!is_unknown(&[Reply::Array(vec![Reply::Bulk(b"psync".to_vec())])]));
    }
}
