//! What a command of a Redis's stream is for us.

use crate::replica::reason::Reason;
use engine::command::{Args, Entry, Registry};
use engine::types::DbIndex;

/// See the module's doc.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    /// It changes data, or says something in a channel.
    Run(&'static Entry),
    /// What follows is about this database.
    Select(DbIndex),
    /// What follows is one transaction.
    Multi,
    /// It is whole.
    Exec,
    /// Said for life or to others; changes nothing.
    Nothing,
    /// The master wants to know how far we are.
    GetAck,
    /// FUNCTION: libraries come or go.
    Functions,
}

/// What `args` are on a node of so many databases; refused where they would be left out.
pub(super) fn verb(
    registry: &'static Registry,
    dbs: usize,
    args: &Args<'_>,
) -> Result<Verb, Reason> {
    let entry = registry.resolve(args);
    if let Ok(entry) = entry
        && !entry.command.is_front()
    {
        return Ok(Verb::Run(entry));
    }
    let is = |index: usize, word: &str| {
        index < args.len() && args.get(index).eq_ignore_ascii_case(word.as_bytes())
    };
    if is(0, "SELECT") && args.len() == 2 {
        let index = std::str::from_utf8(args.get(1)).ok().and_then(|text| text.parse().ok());
        let index = index.filter(|index| usize::from(*index) < dbs).map(DbIndex);
        let said = || no_database(&String::from_utf8_lossy(args.get(1)), dbs);
        return index.map(Verb::Select).ok_or_else(said);
    }
    Ok(match () {
        () if is(0, "MULTI") => Verb::Multi,
        () if is(0, "EXEC") => Verb::Exec,
        () if is(0, "REPLCONF") && is(1, "GETACK") => Verb::GetAck,
        // Scripts that are only kept change nothing; what they do comes as commands.
        () if is(0, "PING") || is(0, "REPLCONF") || is(0, "SCRIPT") => Verb::Nothing,
        // A Valkey's cluster tells where slots are to be. What comes and goes with them comes as commands.
        () if is(0, "CLUSTER") && is(1, "SETSLOT") => Verb::Nothing,
        // What functions do comes as commands.
        () if is(0, "FUNCTION") => Verb::Functions,
        () => return Err(unknown(args)),
    })
}

/// The master's stream is about a database that is not here.
pub(super) fn no_database(index: &str, dbs: usize) -> Reason {
    Reason::Senseless(format!(
        "the master writes to its database {index}, this node has {dbs} databases: start it with a larger --dbnum"
    ))
}

/// The same of a form of a command that is known otherwise.
pub(super) fn unknown_form(form: &str) -> Reason {
    Reason::Senseless(format!(
        "the master's stream holds {form}, and this node does not know that form: stop using it there; the next REPLICAOF \
         begins with a full sync"
    ))
}

/// Why a command cannot be left out, and what to do about it.
fn unknown(args: &Args<'_>) -> Reason {
    let name = String::from_utf8_lossy(args.get(0)).to_ascii_uppercase();
    let remedy = match name.as_str() {
        "EVAL" | "EVALSHA" => {
            "scripts are told as they are where their effects could be told: CONFIG SET lua-replicate-commands yes \
             there (Redis 3.2 to 6)"
        }
        _ => "this node does not know it: stop using it there",
    };
    let name: String =
        name.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect();
    Reason::Senseless(format!(
        "the master's stream holds {name} with {} arguments, and {remedy}; the next REPLICAOF begins with a full sync",
        args.len() - 1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::command::OwnedArgs;
    use std::sync::OnceLock;

    fn registry() -> &'static Registry {
        static REGISTRY: OnceLock<Registry> = OnceLock::new();
        REGISTRY.get_or_init(|| Registry::new(engine::commands::families()))
    }

    fn said(line: &str) -> String {
        let args: OwnedArgs = line.split(' ').map(str::as_bytes).collect();
        match verb(registry(), 16, &args.view()) {
            Ok(Verb::Run(entry)) => format!("run {}", entry.name()),
            Ok(verb) => format!("{verb:?}"),
            Err(Reason::Senseless(text)) => text,
            Err(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn every_command_of_a_stream_is_something() {
        for (line, expected) in [
            ("SET a b PXAT 99", "run set"),
            ("PEXPIREAT a 99", "run pexpireat"),
            ("RESTORE a 0 x ABSTTL", "run restore"),
            ("XCLAIM s g c 0 1-1 TIME 9 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1", "run xclaim"),
            ("XSETID s 1-1 ENTRIESADDED 3 MAXDELETEDID 0-0", "run xsetid"),
            ("SREM s a", "run srem"),
            ("PUBLISH c m", "run publish"),
            ("SPUBLISH c m", "run spublish"),
            ("SWAPDB 0 1", "run swapdb"),
            ("FLUSHALL ASYNC", "run flushall"),
            ("select 15", "Select(DbIndex(15))"),
            ("multi", "Multi"),
            ("EXEC", "Exec"),
            ("PING", "Nothing"),
            ("REPLCONF GETACK *", "GetAck"),
            ("SCRIPT LOAD x", "Nothing"),
            ("cluster setslot 5 STABLE", "Nothing"),
            ("FUNCTION LOAD x", "Functions"),
        ] {
            assert_eq!(said(line), expected, "{line}");
        }
    }

    #[test]
    fn what_would_be_left_out_is_refused_by_name_and_with_a_remedy() {
        for (line, words) in [
            ("EVAL x 0", ["EVAL with 2", "lua-replicate-commands yes"]),
            ("EVALSHA x 0", ["EVALSHA", "lua-replicate-commands yes"]),
            ("FCALL x 0", ["FCALL with 2", "stop using it"]),
            ("JSON.SET a $ 1", ["JSON.SET", "stop using it"]),
            ("SET a", ["SET with 1", "stop using it"]),
            ("CLUSTER SYNCSLOTS FINISH", ["CLUSTER with 2", "stop using it"]),
            ("SELECT 16", ["database 16", "--dbnum"]),
            ("SELECT -1", ["database -1", "--dbnum"]),
        ] {
            let said = said(line);
            assert!(words.iter().all(|word| said.contains(word)), "{line}: {said}");
        }
    }
}
