//! COMMAND: what there is, derived from the declarations.

use super::command_tips;
use super::common::{ALWAYS, FrontCommand, HELP, Handler, declare, few_names};
use engine::command::{
    Args, Begin, Entry, Extent, Flags, KeyRange, OwnedArgs, Refusal, Registry, Spec, Uses,
};
use engine::glob::Pattern;
use engine::resp::ReplyWriter;

pub(super) const COMMANDS: &[&FrontCommand] = &[
    &COMMAND,
    &COMMAND_COUNT,
    &COMMAND_INFO,
    &COMMAND_DOCS,
    &COMMAND_LIST,
    &COMMAND_GETKEYS,
    &COMMAND_GETKEYSANDFLAGS,
    &COMMAND_HELP,
];

/// Whatever state the node is in. Clients ask when they connect: Redis counts it among `@connection`.
const TELLS: Flags = ALWAYS.union(Flags::CONNECTION_CATEGORY);

static COMMAND: FrontCommand = FrontCommand {
    command: declare(
        "command",
        "COMMAND [subcommand [argument ...]]",
        "Returns what is known of all commands.",
        "2.8.13",
        TELLS,
        "",
    ),
    handler: Handler::Now(|session, _, reply| {
        let registry = session.server.registry;
        reply.array(registry.iter().count());
        registry.iter().for_each(|entry| put_info(entry, reply));
        Ok(())
    }),
};

static COMMAND_COUNT: FrontCommand = FrontCommand {
    command: declare(
        "command|count",
        "COMMAND COUNT",
        "Returns how many commands there are.",
        "2.8.13",
        TELLS,
        "",
    ),
    handler: Handler::Now(|session, _, reply| {
        reply.count(session.server.registry.iter().count());
        Ok(())
    }),
};

static COMMAND_INFO: FrontCommand = FrontCommand {
    command: declare(
        "command|info",
        "COMMAND INFO [command-name [command-name ...]]",
        "Returns what is known of these commands, or of all.",
        "2.8.13",
        TELLS,
        r#"
            > COMMAND INFO nothing
            1) (nil)
        "#,
    ),
    handler: Handler::Now(|session, args, reply| {
        let registry = session.server.registry;
        if args.len() == 2 {
            reply.array(registry.iter().count());
            registry.iter().for_each(|entry| put_info(entry, reply));
            return Ok(());
        }
        few_names(args)?;
        reply.array(args.len() - 2);
        for name in args.from(2) {
            match registry.find_any(name) {
                Some(entry) => put_info(entry, reply),
                None => reply.nil(),
            }
        }
        Ok(())
    }),
};

static COMMAND_DOCS: FrontCommand = FrontCommand {
    command: declare(
        "command|docs",
        "COMMAND DOCS [command-name [command-name ...]]",
        "Returns the texts about these commands, or about all.",
        "7.0.0",
        TELLS,
        "",
    ),
    handler: Handler::Now(|session, args, reply| {
        let registry = session.server.registry;
        few_names(args)?;
        let entries: Vec<&Entry> = if args.len() == 2 {
            registry.iter().collect()
        } else {
            args.from(2).filter_map(|name| registry.find_any(name)).collect()
        };
        reply.map(entries.len());
        for entry in entries {
            reply.bulk(entry.name());
            put_docs(entry, reply);
        }
        Ok(())
    }),
};

static COMMAND_LIST: FrontCommand = FrontCommand {
    command: declare(
        "command|list",
        "COMMAND LIST [FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
        "Returns the names of all commands and subcommands, or of some.",
        "7.0.0",
        TELLS,
        r#"
            > COMMAND LIST FILTERBY PATTERN appe*
            1) "append"
        "#,
    ),
    handler: Handler::Now(|session, args, reply| {
        let fits = filter(args)?;
        let entries = session.server.registry.iter_all().filter(|entry| fits(entry));
        let names: Vec<&str> = entries.map(Entry::name).collect();
        reply.array(names.len());
        names.iter().for_each(|name| reply.bulk(name));
        Ok(())
    }),
};

type Filter<'a> = Box<dyn Fn(&Entry) -> bool + 'a>;

fn filter(mut args: Args<'_>) -> Result<Filter<'_>, Refusal> {
    args.seek(2);
    if args.left() == 0 {
        return Ok(Box::new(|_| true));
    }
    if args.left() != 3 || !args.word("FILTERBY") {
        return Err(Refusal::Syntax);
    }
    let (kind, value) = (args.required()?, args.required()?);
    match kind.to_ascii_uppercase().as_slice() {
        // There are no modules, so none of them has a command.
        b"MODULE" => Ok(Box::new(|_| false)),
        b"ACLCAT" => Ok(Box::new(move |entry| {
            entry.categories().iter().any(|name| value.eq_ignore_ascii_case(name.as_bytes()))
        })),
        b"PATTERN" => {
            let pattern = Pattern::any_case(value).ok_or(Refusal::LongPattern)?;
            Ok(Box::new(move |entry| pattern.fits(entry.name().as_bytes())))
        }
        _ => Err(Refusal::Syntax),
    }
}

static COMMAND_GETKEYS: FrontCommand = FrontCommand {
    command: declare(
        "command|getkeys",
        "COMMAND GETKEYS command [argument ...]",
        "Returns the keys of a request.",
        "2.8.13",
        TELLS,
        r#"
            > COMMAND GETKEYS MSET a 1 b 2
            1) "a"
            2) "b"
            > COMMAND GETKEYS PING
            (error) ERR The command has no key arguments
        "#,
    ),
    handler: Handler::Now(|session, args, reply| {
        let keys = keys_of(session.server.registry, args)?;
        reply.array(keys.len());
        keys.iter().for_each(|(key, _)| reply.bulk(key));
        Ok(())
    }),
};

static COMMAND_GETKEYSANDFLAGS: FrontCommand = FrontCommand {
    command: declare(
        "command|getkeysandflags",
        "COMMAND GETKEYSANDFLAGS command [argument ...]",
        "Returns the keys of a request and what is done with them.",
        "7.0.0",
        TELLS,
        "",
    ),
    handler: Handler::Now(|session, args, reply| {
        let keys = keys_of(session.server.registry, args)?;
        reply.array(keys.len());
        for (key, uses) in keys {
            reply.array(2);
            reply.bulk(key);
            put_uses(uses, reply);
        }
        Ok(())
    }),
};

static COMMAND_HELP: FrontCommand = FrontCommand {
    command: declare("command|help", "COMMAND HELP", "Prints this help.", "5.0.0", TELLS, ""),
    handler: HELP,
};

/// The keys of the request that follows `COMMAND GETKEYS`, and what is done with each.
pub(super) fn keys_of<'a>(
    registry: &Registry,
    args: Args<'a>,
) -> Result<Vec<(&'a [u8], Uses)>, Refusal> {
    const NO_KEYS: Refusal = Refusal::fixed("ERR The command has no key arguments");
    let request: OwnedArgs = args.from(2).collect();
    let request = request.view();
    let entry = registry.resolve(&request).map_err(|refusal| match refusal {
        Refusal::Arity(name) => match registry.find_any(name.as_bytes()) {
            Some(entry) if !entry.command.keys.any() => NO_KEYS,
            _ => Refusal::fixed("ERR Invalid number of arguments specified for command"),
        },
        _ => Refusal::fixed("ERR Invalid command specified"),
    })?;
    let (keys, flags) = (&entry.command.keys, entry.command.flags);
    if !keys.any() {
        return Err(NO_KEYS);
    }
    let mut found = Vec::new();
    if keys.fit(&request) {
        let key = |(index, spec): (usize, &Spec)| {
            (args.get(index + 2), spec.uses_in(&request) - Uses::INCOMPLETE)
        };
        found.extend(keys.each(&request).map(key));
    }
    if found.is_empty() && !flags.contains(Flags::NO_MANDATORY_KEYS) {
        return Err(Refusal::fixed("ERR Invalid arguments specified for command"));
    }
    Ok(found)
}

/// Redis's words for flags.
const FLAG_WORDS: [(Flags, &str); 17] = [
    (Flags::WRITE, "write"),
    (Flags::READONLY, "readonly"),
    (Flags::DENYOOM, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::PUBSUB, "pubsub"),
    (Flags::NOSCRIPT, "noscript"),
    (Flags::BLOCKING, "blocking"),
    (Flags::LOADING, "loading"),
    (Flags::STALE, "stale"),
    (Flags::SKIP_MONITOR, "skip_monitor"),
    (Flags::SKIP_SLOWLOG, "skip_slowlog"),
    (Flags::FAST, "fast"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
    (Flags::NO_MULTI, "no_multi"),
    (Flags::ALLOW_BUSY, "allow_busy"),
    (Flags::NO_ASYNC_LOADING, "no_async_loading"),
];

/// The ten elements of COMMAND INFO.
pub(super) fn put_info(entry: &Entry, reply: &mut ReplyWriter<'_>) {
    let (KeyRange { first, last, step }, is_movable) = entry.command.keys.range();
    reply.array(10);
    reply.bulk(entry.name());
    reply.integer(i64::from(entry.arity));
    let words: Vec<&str> = FLAG_WORDS
        .iter()
        .filter(|(flag, _)| entry.command.flags.contains(*flag))
        .map(|(_, word)| *word)
        .chain(is_movable.then_some("movablekeys"))
        .collect();
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(word));
    reply.count(first);
    reply.integer(i64::from(last));
    reply.count(step);
    let categories = entry.categories();
    reply.set(categories.len());
    categories.iter().for_each(|name| reply.simple(format!("@{name}")));
    let tips = command_tips::of(entry.name());
    reply.set(tips.len());
    tips.iter().for_each(|tip| reply.bulk(tip));
    let specs = entry.command.keys.specs();
    reply.set(specs.len());
    specs.iter().for_each(|spec| put_key_spec(spec, reply));
    reply.array(entry.subcommands.len());
    entry.subcommands.iter().for_each(|entry| put_info(entry, reply));
}

/// What is done with a key, in Redis's words and order.
pub(super) fn put_uses(uses: Uses, reply: &mut ReplyWriter<'_>) {
    const WORDS: [(Uses, &str); 11] = [
        (Uses::RW, "RW"),
        (Uses::RO, "RO"),
        (Uses::OW, "OW"),
        (Uses::RM, "RM"),
        (Uses::ACCESS, "access"),
        (Uses::UPDATE, "update"),
        (Uses::INSERT, "insert"),
        (Uses::DELETE, "delete"),
        (Uses::NOT_KEY, "not_key"),
        (Uses::INCOMPLETE, "incomplete"),
        (Uses::VARIABLE, "variable_flags"),
    ];
    let words = WORDS.iter().filter(|(flag, _)| uses.contains(*flag));
    reply.set(words.clone().count());
    words.for_each(|(_, word)| reply.simple(word));
}

/// Where keys stand, in Redis's words.
fn put_key_spec(spec: &Spec, reply: &mut ReplyWriter<'_>) {
    reply.map(3 + usize::from(!spec.notes.is_empty()));
    if !spec.notes.is_empty() {
        reply.bulk("notes");
        reply.bulk(spec.notes);
    }
    reply.bulk("flags");
    put_uses(spec.uses, reply);
    reply.bulk("begin_search");
    let (begin, extent) = match spec.is_told {
        true => (spec.begin, spec.extent),
        false => (Begin::Unknown, Extent::Unknown),
    };
    match begin {
        Begin::At(position) => put_search("index", &[("index", position as i64)], reply),
        Begin::After(word) => {
            put_search_type("keyword", 2, reply);
            reply.bulk("keyword");
            reply.bulk(word.word);
            reply.bulk("startfrom");
            reply.integer(i64::from(word.told_from));
        }
        Begin::Unknown => put_search("unknown", &[], reply),
    }
    reply.bulk("find_keys");
    match extent {
        Extent::Range { last, step, parts } => {
            let (last, step, parts) = (i64::from(last), step as i64, parts as i64);
            put_search("range", &[("lastkey", last), ("keystep", step), ("limit", parts)], reply);
        }
        Extent::Count => {
            put_search("keynum", &[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)], reply);
        }
        Extent::Unknown => put_search("unknown", &[], reply),
    }
}

fn put_search_type(name: &str, numbers: usize, reply: &mut ReplyWriter<'_>) {
    reply.map(2);
    reply.bulk("type");
    reply.bulk(name);
    reply.bulk("spec");
    reply.map(numbers);
}

fn put_search(name: &str, numbers: &[(&str, i64)], reply: &mut ReplyWriter<'_>) {
    put_search_type(name, numbers.len(), reply);
    for (name, number) in numbers {
        reply.bulk(name);
        reply.integer(*number);
    }
}

fn put_docs(entry: &Entry, reply: &mut ReplyWriter<'_>) {
    let command = entry.command;
    reply.map(5 + usize::from(!entry.subcommands.is_empty()));
    for (name, text) in [
        ("summary", command.summary),
        ("since", command.since),
        ("group", command.group.name()),
        ("complexity", command.cost),
        ("usage", command.usage),
    ] {
        reply.bulk(name);
        reply.bulk(text);
    }
    if !entry.subcommands.is_empty() {
        reply.bulk("subcommands");
        reply.map(entry.subcommands.len());
        for entry in &entry.subcommands {
            reply.bulk(entry.name());
            put_docs(entry, reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::registry;
    use engine::resp::Protocol;

    fn info(name: &str) -> String {
        let (registry, _) = registry();
        let mut out = Vec::new();
        let entry = registry.find_any(name.as_bytes()).expect("a known command");
        put_info(entry, &mut ReplyWriter::new(&mut out, Protocol::Resp2));
        String::from_utf8(out).expect("plain text").replace("\r\n", " ")
    }

    #[test]
    fn a_command_is_described_as_redis_describes_it() {
        assert_eq!(
            info("get"),
            "*10 $3 get :2 *2 +readonly +fast :1 :1 :1 *3 +@string +@read +@fast *0 *1 *6 \
             $5 flags *2 +RO +access $12 begin_search *4 $4 type $5 index $4 spec *2 $5 index :1 \
             $9 find_keys *4 $4 type $5 range $4 spec *6 $7 lastkey :0 $7 keystep :1 $5 limit :0 *0 "
        );
        assert!(info("object|encoding").contains("$7 lastkey :0"), "one key, at the second place");
        assert!(info("mset").contains("$7 lastkey :-1 $7 keystep :2"));
        assert!(info("set").contains("*4 +RW +access +update +variable_flags"));
        let rename = info("rename");
        assert!(rename.contains("*3 +RW +access +delete $12 begin_search"), "{rename}");
        assert!(rename.contains("*2 +OW +update $12 begin_search"), "{rename}");
    }

    #[test]
    fn keys_of_a_request_are_found() {
        let (registry, _) = registry();
        let check = |request: &str, expected: Result<&[&str], &str>| {
            let words = format!("COMMAND GETKEYS {request}");
            let args: OwnedArgs = words.split(' ').map(str::as_bytes).collect();
            let keys = keys_of(registry, args.view()).map(|keys| {
                keys.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
            });
            let expected = expected.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
            assert_eq!(
                keys.map_err(|refusal| refusal.text().into_owned()),
                expected.map_err(str::to_owned) as Result<Vec<String>, String>,
                "{request}"
            );
        };
        check("GET a", Ok(&["a"]));
        check("mset a 1 b 2", Ok(&["a", "b"]));
        check("BITOP AND to x y", Ok(&["to", "x", "y"]));
        check("OBJECT ENCODING a", Ok(&["a"]));
        check("PING", Err("ERR The command has no key arguments"));
        check("CONFIG GET", Err("ERR The command has no key arguments"));
        check("NOTHING a", Err("ERR Invalid command specified"));
        check("GET", Err("ERR Invalid number of arguments specified for command"));
    }
}
