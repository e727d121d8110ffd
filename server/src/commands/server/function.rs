//! FUNCTION: libraries of functions are kept, and nothing runs them.
//!
//! They come from a Redis that is followed, from a snapshot, or by FUNCTION RESTORE; they are handed on to replicas,
//! snapshots and FUNCTION DUMP. What functions a library has only its code would say when it runs, so FUNCTION LIST
//! names none.

use super::common::{ALWAYS, CONTAINER, FrontCommand, HELP, Handler, declare};
use crate::connection::Session;
use engine::command::{Args, Command, Flags, Group, Outcome, Refusal};
use engine::glob::Pattern;
use engine::libraries::{BYTES_MAX, Policy};
use engine::rdb::functions;
use engine::resp::ReplyWriter;

pub(super) const COMMANDS: &[&FrontCommand] = &[
    &FUNCTION,
    &FUNCTION_DELETE,
    &FUNCTION_DUMP,
    &FUNCTION_FLUSH,
    &FUNCTION_HELP,
    &FUNCTION_KILL,
    &FUNCTION_LIST,
    &FUNCTION_LOAD,
    &FUNCTION_RESTORE,
    &FUNCTION_STATS,
];

const fn function(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    flags: Flags,
    examples: &'static str,
) -> Command {
    Command {
        cost: "O(N) with N the number of libraries",
        group: Group::Scripting,
        ..declare(name, usage, summary, "7.0.0", flags, examples)
    }
}

const WRITES: Flags = Flags::WRITE.union(Flags::NOSCRIPT);

static FUNCTION: FrontCommand = FrontCommand {
    command: function(
        "function",
        "FUNCTION subcommand [argument ...]",
        "Libraries of functions, which are kept and not run.",
        Flags::empty(),
        "",
    ),
    handler: CONTAINER,
};

static FUNCTION_LOAD: FrontCommand = FrontCommand {
    command: function(
        "function|load",
        "FUNCTION LOAD [REPLACE] function-code",
        "Would load a library; refused, nothing here could run it.",
        WRITES.union(Flags::DENYOOM),
        "",
    ),
    handler: Handler::Now(|_, _, _| {
        Err(Refusal::fixed(
            "ERR scripting is not here: libraries are kept as they come from a Redis or by FUNCTION RESTORE, and \
             nothing runs them",
        ))
    }),
};

static FUNCTION_DELETE: FrontCommand = FrontCommand {
    command: function(
        "function|delete",
        "FUNCTION DELETE library-name",
        "Deletes a library.",
        WRITES,
        r#"
            > FUNCTION DELETE nothing
            (error) ERR Library not found
        "#,
    ),
    handler: Handler::Now(|session, args, reply| {
        let name = String::from_utf8_lossy(args.get(2));
        if !session.front.node.libraries().delete(&name) {
            return Err(Refusal::fixed("ERR Library not found"));
        }
        reply.ok();
        Ok(())
    }),
};

static FUNCTION_FLUSH: FrontCommand = FrontCommand {
    command: function(
        "function|flush",
        "FUNCTION FLUSH [ASYNC | SYNC]",
        "Deletes all libraries.",
        WRITES,
        r#"
            > FUNCTION FLUSH
            OK
        "#,
    ),
    handler: Handler::Now(|session, args, reply| {
        let word = (args.len() > 2).then(|| args.get(2).to_ascii_lowercase());
        if args.len() > 3 || word.is_some_and(|word| word != b"async" && word != b"sync") {
            return Err(Refusal::fixed("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
        }
        session.front.node.libraries().flush();
        reply.ok();
        Ok(())
    }),
};

static FUNCTION_DUMP: FrontCommand = FrontCommand {
    command: function(
        "function|dump",
        "FUNCTION DUMP",
        "Returns all libraries as FUNCTION RESTORE takes them.",
        Flags::NOSCRIPT,
        "",
    ),
    handler: Handler::Now(|session, _, reply| {
        let all = session.front.node.libraries().all();
        reply.bulk(functions::payload(all.values().map(|library| &*library.code)));
        Ok(())
    }),
};

static FUNCTION_RESTORE: FrontCommand = FrontCommand {
    command: function(
        "function|restore",
        "FUNCTION RESTORE serialized-value [FLUSH | APPEND | REPLACE]",
        "Keeps the libraries of a payload of FUNCTION DUMP.",
        WRITES.union(Flags::DENYOOM),
        r#"
            > FUNCTION RESTORE nothing
            (error) ERR DUMP payload version or checksum are wrong
        "#,
    ),
    handler: Handler::Now(restore),
};

fn restore(session: &mut Session, args: Args<'_>, reply: &mut ReplyWriter<'_>) -> Outcome {
    if args.len() > 4 {
        return Err(Refusal::Syntax);
    }
    let word = if args.len() > 3 { args.get(3).to_ascii_lowercase() } else { b"append".to_vec() };
    let policy = match word.as_slice() {
        b"flush" => Policy::Flush,
        b"append" => Policy::Append,
        b"replace" => Policy::Replace,
        _ => {
            return Err(Refusal::fixed(
                "ERR Wrong restore policy given, policy should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let codes = functions::parse(args.get(2), BYTES_MAX);
    let restored = codes
        .map_err(str::to_owned)
        .and_then(|codes| session.front.node.libraries().restore(codes, policy));
    restored.map_err(|error| Refusal::quoting("ERR ", error.as_bytes(), ""))?;
    reply.ok();
    Ok(())
}

static FUNCTION_LIST: FrontCommand = FrontCommand {
    command: function(
        "function|list",
        "FUNCTION LIST [LIBRARYNAME library-name-pattern] [WITHCODE]",
        "Returns the libraries; the functions in them are not known.",
        Flags::NOSCRIPT,
        r#"
            > FUNCTION LIST
            (empty array)
        "#,
    ),
    handler: Handler::Now(list),
};

fn list(session: &mut Session, args: Args<'_>, reply: &mut ReplyWriter<'_>) -> Outcome {
    let (mut pattern, mut with_code, mut at) = (None, false, 2);
    while at < args.len() {
        let word = args.get(at).to_ascii_lowercase();
        match word.as_slice() {
            b"withcode" if !with_code => with_code = true,
            b"libraryname" if pattern.is_none() => {
                at += 1;
                if at == args.len() {
                    return Err(Refusal::fixed("ERR library name argument was not given"));
                }
                pattern = Some(Pattern::new(args.get(at)).ok_or(Refusal::LongPattern)?);
            }
            _ => return Err(Refusal::quoting("ERR Unknown argument ", args.get(at), "")),
        }
        at += 1;
    }
    let all = session.front.node.libraries().all();
    let is_asked = |name: &str| pattern.as_ref().is_none_or(|it| it.fits(name.as_bytes()));
    let asked: Vec<_> = all.iter().filter(|(name, _)| is_asked(name)).collect();
    reply.array(asked.len());
    for (name, library) in asked {
        reply.map(if with_code { 4 } else { 3 });
        reply.bulk("library_name");
        reply.bulk(name);
        reply.bulk("engine");
        reply.bulk(library.engine.to_ascii_uppercase());
        reply.bulk("functions");
        reply.array(0);
        if with_code {
            reply.bulk("library_code");
            reply.bulk(&*library.code);
        }
    }
    Ok(())
}

static FUNCTION_STATS: FrontCommand = FrontCommand {
    command: function(
        "function|stats",
        "FUNCTION STATS",
        "Returns how many libraries there are of each engine.",
        Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
        "",
    ),
    handler: Handler::Now(|session, _, reply| {
        let libraries = session.front.node.libraries().all();
        reply.map(2);
        reply.bulk("running_script");
        reply.nil();
        reply.bulk("engines");
        reply.map(1);
        reply.bulk("LUA");
        reply.map(2);
        reply.bulk("libraries_count");
        reply.count(libraries.len());
        reply.bulk("functions_count");
        reply.integer(0);
        Ok(())
    }),
};

static FUNCTION_KILL: FrontCommand = FrontCommand {
    command: function(
        "function|kill",
        "FUNCTION KILL",
        "Would end a function that runs; there is none.",
        Flags::NOSCRIPT.union(Flags::ALLOW_BUSY),
        r#"
            > FUNCTION KILL
            (error) NOTBUSY No scripts in execution right now.
        "#,
    ),
    handler: Handler::Now(|_, _, _| {
        Err(Refusal::fixed("NOTBUSY No scripts in execution right now."))
    }),
};

static FUNCTION_HELP: FrontCommand = FrontCommand {
    command: function("function|help", "FUNCTION HELP", "Prints this help.", ALWAYS, ""),
    handler: HELP,
};
