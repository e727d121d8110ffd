//! Keys of Redis's commands, declared here, against what a Redis says of them (`redis_keys.txt`).

use super::command::{keys_of, put_info};
use engine::command::{Command, Entry, Flags, Group, Keys, OwnedArgs, Registry, Run, Spec, Uses};
use engine::resp::{Protocol, ReplyWriter};

const SAID: &str = include_str!("redis_keys.txt");

const WORST: &str =
    "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE";
const WORST_LOOK: &str =
    "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS";
const BY: &str = "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive \
                  from the content of the key we sort";
const STORE: &str = "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear \
                     anywhere in the argument array";

fn one(uses: Uses) -> Keys {
    Keys::ONE.used(uses)
}

fn two(first: Uses, second: Uses) -> Keys {
    Keys::of([Spec::at(1).used(first), Spec::at(2).used(second)])
}

/// A destination, and what is read behind it.
fn stored(uses: Uses, inputs: Spec) -> Keys {
    Keys::of([Spec::at(1).used(uses), inputs.used(Uses::READ)])
}

fn counted(position: usize, uses: Uses) -> Keys {
    Keys::of([Spec::counted(position).used(uses)])
}

fn script(uses: Uses, notes: &'static str) -> Keys {
    Keys::of([Spec::counted(2).used(uses).noted(notes)])
}

fn georadius(from: usize) -> Keys {
    let option = |word| Spec::option(word, from).used(Uses::REPLACE);
    Keys::of([Spec::at(1), option("STORE"), option("STOREDIST")])
}

fn sort() -> Keys {
    const OPTIONS: &[(&str, usize)] = &[("LIMIT", 2), ("GET", 1), ("BY", 1)];
    let store = Spec::option("STORE", 2).skipping(OPTIONS).used(Uses::REPLACE);
    Keys::of([Spec::at(1), Spec::unknown().noted(BY), store.untold().noted(STORE)])
}

fn migrate() -> Keys {
    const OPTIONS: &[(&str, usize)] = &[("AUTH", 1), ("AUTH2", 2)];
    let keys = Spec::rest("KEYS", 6).skipping(OPTIONS).told_from(-2).instead();
    Keys::of([Spec::at(3).used(Uses::TAKE), keys.used(Uses::TAKE.union(Uses::INCOMPLETE))])
}

/// An argument of these may be the word too.
const READ_OPTIONS: &[(&str, usize)] = &[("COUNT", 1), ("BLOCK", 1), ("GROUP", 2)];

fn xread(told_from: i32, uses: Uses) -> Keys {
    let streams = Spec::half("STREAMS", 1).skipping(READ_OPTIONS).told_from(told_from);
    Keys::of([streams.used(uses)])
}

/// Commands with their arities.
fn declared() -> Vec<(&'static str, i32, Keys)> {
    let look = Uses::READ;
    let rest = || Spec::range(2, -1, 1);
    let pfcount = "RW because it may change the internal representation of the key, and propagate to replicas";
    let xadd = "UPDATE instead of INSERT because of the optional trimming feature";
    let set = "RW and ACCESS due to the optional `GET` argument";
    let uses_of_set = |args: &engine::command::Args<'_>| match args.len() {
        4 => Uses::READ_CHANGE,
        _ => Uses::REPLACE,
    };
    let ends = |uses| Keys::of([Spec::range(1, -2, 1).used(uses)]);
    vec![
        ("append", 3, one(Uses::ADD)),
        ("lmove", 5, two(Uses::TAKE, Uses::ADD)),
        ("smove", 4, two(Uses::TAKE, Uses::ADD)),
        ("blmove", 6, two(Uses::TAKE, Uses::ADD)),
        ("rpoplpush", 3, two(Uses::TAKE, Uses::ADD)),
        ("brpoplpush", 4, two(Uses::TAKE, Uses::ADD)),
        ("blpop", -3, ends(Uses::TAKE)),
        ("bzpopmin", -3, ends(Uses::TAKE)),
        ("lmpop", -4, counted(1, Uses::TAKE)),
        ("blmpop", -5, counted(2, Uses::TAKE)),
        ("zmpop", -4, counted(1, Uses::TAKE)),
        ("bzmpop", -5, counted(2, Uses::TAKE)),
        ("zunion", -3, counted(1, look)),
        ("zinter", -3, counted(1, look)),
        ("zdiff", -3, counted(1, look)),
        ("zintercard", -3, counted(1, look)),
        ("sintercard", -3, counted(1, look)),
        ("zunionstore", -4, stored(Uses::REPLACE, Spec::counted(2))),
        ("zinterstore", -4, stored(Uses::REPLACE, Spec::counted(2))),
        ("zdiffstore", -4, stored(Uses::REPLACE, Spec::counted(2))),
        ("sunionstore", -3, stored(Uses::REPLACE, rest())),
        ("sdiffstore", -3, stored(Uses::REPLACE, rest())),
        ("sinterstore", -3, stored(Uses::CHANGE, rest())),
        ("pfmerge", -2, stored(Uses::ADD.union(Uses::ACCESS), rest())),
        (
            "pfcount",
            -2,
            Keys::of([Spec::range(1, -1, 1).used(Uses::RW.union(Uses::ACCESS)).noted(pfcount)]),
        ),
        ("pfdebug", 3, Keys::SECOND.used(Uses::RW.union(Uses::ACCESS))),
        ("geosearchstore", -8, two(Uses::REPLACE, look)),
        ("zrangestore", -5, two(Uses::REPLACE, look)),
        (
            "bitop",
            -4,
            Keys::of([Spec::at(2).used(Uses::REPLACE), Spec::range(3, -1, 1).used(look)]),
        ),
        ("rename", 3, two(Uses::TAKE, Uses::REPLACE)),
        ("eval", -3, script(Uses::READ_CHANGE, WORST)),
        ("eval_ro", -3, script(look, WORST_LOOK)),
        ("evalsha", -3, script(Uses::READ_CHANGE, "")),
        ("evalsha_ro", -3, script(look, "")),
        ("fcall", -3, script(Uses::READ_CHANGE, WORST)),
        ("fcall_ro", -3, script(look, WORST_LOOK)),
        ("georadius", -6, georadius(6)),
        ("georadiusbymember", -5, georadius(5)),
        ("georadius_ro", -6, one(look)),
        ("sort", -2, sort()),
        ("sort_ro", -2, Keys::of([Spec::at(1), Spec::unknown().noted(BY)])),
        ("migrate", -6, migrate()),
        ("xread", -4, xread(1, look)),
        ("xreadgroup", -7, xread(4, look.union(Uses::ALONE))),
        ("spublish", 3, one(Uses::NOT_KEY)),
        ("ssubscribe", -2, Keys::ALL.used(Uses::NOT_KEY)),
        ("mset", -3, Keys::PAIRS.used(Uses::REPLACE)),
        ("set", -3, Keys::ONE.used_as_asked(Uses::READ_CHANGE, uses_of_set, set)),
        ("lcs", -3, Keys::TWO.used(look)),
        ("xadd", -5, Keys::of([Spec::at(1).used(Uses::CHANGE).noted(xadd)])),
    ]
}

fn registry() -> Registry {
    let command = |(name, arity, keys): (&'static str, i32, Keys)| -> &'static Command {
        let words = vec!["word"; arity.unsigned_abs() as usize - 1].join(" ");
        let more = if arity < 0 { " [word ...]" } else { "" };
        let is_script = name.starts_with("eval") || name.starts_with("fcall");
        let flags = if is_script { Flags::NO_MANDATORY_KEYS } else { Flags::empty() };
        Box::leak(Box::new(Command {
            name,
            usage: Box::leak(format!("{name} {words}{more}").into_boxed_str()),
            summary: "",
            since: "",
            cost: "",
            group: Group::Generic,
            flags,
            keys,
            run: Run::Front,
            examples: "",
        }))
    };
    let commands: Vec<&'static Command> = declared().into_iter().map(command).collect();
    Registry::new([&commands[..]])
}

/// A reply, of which only words and lists matter.
enum Reply {
    Word(String),
    List(Vec<Reply>),
}

impl Reply {
    fn read(lines: &mut std::str::Split<'_, &str>) -> Reply {
        let line = lines.next().expect("a whole reply");
        match line.split_at(1) {
            ("*", count) => {
                let count: usize = count.parse().expect("a count");
                Reply::List((0..count).map(|_| Reply::read(lines)).collect())
            }
            ("$", _) => Reply::Word(lines.next().expect("a whole reply").to_owned()),
            (_, word) => Reply::Word(word.to_owned()),
        }
    }

    fn list(&self) -> &[Reply] {
        if let Reply::List(list) = self { list } else { &[] }
    }

    fn words(&self) -> Vec<&str> {
        match self {
            Reply::Word(word) => vec![word],
            Reply::List(list) => list.iter().flat_map(Reply::words).collect(),
        }
    }

    /// What a map says of a name.
    fn at(&self, name: &str) -> Option<&Reply> {
        let mut pairs = self.list().chunks(2);
        pairs.find(|pair| pair[0].words() == [name]).map(|pair| &pair[1])
    }

    /// A search as its type and values.
    fn search(&self) -> String {
        let values = self.at("spec").expect("a search").list().iter().skip(1).step_by(2);
        let words = self.at("type").into_iter().chain(values).flat_map(Reply::words);
        words.collect::<Vec<_>>().join(" ")
    }
}

/// What COMMAND INFO says of the keys, in the lines of the file.
fn said_of(entry: &Entry) -> Vec<String> {
    let mut out = Vec::new();
    put_info(entry, &mut ReplyWriter::new(&mut out, Protocol::Resp2));
    let text = String::from_utf8(out).expect("plain text");
    let reply = Reply::read(&mut text.split("\r\n"));
    let info = reply.list();
    let range = info[3..6].iter().flat_map(Reply::words);
    let mut line: Vec<&str> = std::iter::once(entry.name()).chain(range).collect();
    line.extend(info[2].words().contains(&"movablekeys").then_some("movablekeys"));
    let mut lines = vec![line.join(" ")];
    for spec in info[8].list() {
        let flags = spec.at("flags").expect("flags").words().join(" ");
        let search = |name| spec.at(name).expect("a search").search();
        let mut parts = vec![flags, search("begin_search"), search("find_keys")];
        parts.extend(spec.at("notes").map(|notes| notes.words().concat()));
        lines.push(format!("    {}", parts.join(" | ")));
    }
    lines
}

/// The words of a request; `""` is an empty one.
fn request(line: &str) -> OwnedArgs {
    let words = ["COMMAND", "GETKEYSANDFLAGS"].into_iter().chain(line.split(' '));
    words.map(|word| if word == "\"\"" { b"".as_slice() } else { word.as_bytes() }).collect()
}

fn keys_said(registry: &Registry, line: &str) -> String {
    let args = request(line);
    let keys = match keys_of(registry, args.view()) {
        Ok(keys) => keys,
        Err(refusal) => return refusal.text().trim_start_matches("ERR ").to_owned(),
    };
    let key = |(key, uses): &(&[u8], Uses)| {
        let mut out = Vec::new();
        super::command::put_uses(*uses, &mut ReplyWriter::new(&mut out, Protocol::Resp2));
        let text = String::from_utf8(out).expect("plain text");
        let uses = Reply::read(&mut text.split("\r\n"));
        let name = if key.is_empty() { "\"\"".into() } else { String::from_utf8_lossy(key) };
        format!("{name}({})", uses.words().join(","))
    };
    keys.iter().map(key).collect::<Vec<_>>().join(" ")
}

fn lines() -> impl Iterator<Item = &'static str> {
    SAID.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn key_specifications_are_told_as_redis_tells_them() {
    let said: Vec<&str> = lines().filter(|line| !line.contains("->")).collect();
    let registry = registry();
    let ours: Vec<String> = registry.iter().flat_map(said_of).collect();
    assert_eq!(ours.len(), said.len());
    for (ours, said) in ours.iter().zip(said) {
        assert_eq!(ours, said);
    }
}

#[test]
fn keys_are_found_where_redis_finds_them() {
    let registry = registry();
    let mut checked = 0;
    for (line, said) in lines().filter_map(|line| line.split_once(" ->")) {
        assert_eq!(keys_said(&registry, line), said.trim(), "{line}");
        checked += 1;
    }
    assert!(checked > 100, "the file was understood: {checked}");
}

/// Where Redis's own search goes by less than the command does: what the command takes is what counts here,
/// since the plan over the shards follows from it.
#[test]
fn keys_are_those_that_the_command_takes() {
    let registry = registry();
    let invalid = "Invalid arguments specified for command";
    for (line, ours) in [
        // The last STORE counts. Redis names the first, and stores at the last.
        ("GEORADIUS k 1 2 3 m STORE a STORE b", "k(RO,access) b(OW,update)"),
        // A group with the name of the word. Redis names c and STREAMS.
        ("XREADGROUP COUNT 1 GROUP STREAMS c STREAMS s >", "s(RO,access)"),
        // Without GROUP it is refused. Redis looks further behind, and finds nothing.
        ("XREADGROUP STREAMS a b c d 0 0", "a(RO,access) b(RO,access) c(RO,access)"),
        // The argument of COUNT is no word, and the command refuses it. Redis names a.
        ("XREAD COUNT STREAMS a 0", invalid),
        // Not a count: the command refuses it. Redis takes its lower 32 bits, or what atoi makes of it.
        ("ZUNION 4294967297 a", invalid),
        ("ZUNION +1 a", invalid),
    ] {
        assert_eq!(keys_said(&registry, line), ours, "{line}");
    }
}

#[test]
fn a_key_is_held_alone_by_those_who_change_it() {
    for (name, args, alone) in [
        ("zunionstore", "d 2 a b", "yes no no"),
        ("smove", "a b m", "yes yes"),
        ("georadius", "k 1 2 3 m STORE d", "no yes"),
        ("xread", "STREAMS a 0", "no"),
        ("xreadgroup", "GROUP g c STREAMS a b > >", "yes yes"),
        ("sort", "k STORE d", "no yes"),
        ("pfcount", "a b", "yes yes"),
        ("eval", "s 1 a", "yes"),
        ("eval_ro", "s 1 a", "no"),
    ] {
        let registry = registry();
        let entry = registry.find(name.as_bytes()).expect("declared");
        let words: OwnedArgs =
            std::iter::once(name).chain(args.split(' ')).map(str::as_bytes).collect();
        let view = words.view();
        let keys = entry.command.keys.each(&view);
        let held: Vec<&str> = keys
            .map(|(_, spec)| if spec.uses_in(&view).is_change() { "yes" } else { "no" })
            .collect();
        assert_eq!(held.join(" "), alone, "{name} {args}");
    }
}
