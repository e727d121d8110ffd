//! All commands by name, with what is derived from their declarations.

use super::{Args, Command, Flags, Group, Refusal};
use crate::db::Called;
use crate::limits::COMMAND_NAME_MAX;

/// A command in the registry: the declaration and what follows from it.
#[derive(Debug)]
pub struct Entry {
    /// The declaration.
    pub command: &'static Command,
    /// Position in the registry: index of per-command counters.
    pub id: u16,
    /// Redis's arity: the exact number of arguments, or the negated minimum.
    pub arity: i32,
    /// Up to so many arguments, the name included, its cost depends on nothing that matters.
    pub light_up_to: usize,
    /// Where a request names the element of a collection that it is about, options left out; 0 where it names none.
    pub element: u8,
    /// How its changes are called to those who listen to keys.
    pub called: Called,
    /// The subcommands of a container.
    pub subcommands: Vec<Entry>,
}

impl Entry {
    /// The name shown in errors: `config|get` for subcommands.
    pub fn name(&self) -> &'static str {
        self.command.name
    }

    /// The subcommand that `args` names, or the command itself where none is; `None` where there is no such one.
    fn or_sub(&self, args: &Args<'_>) -> Option<&Entry> {
        if self.subcommands.is_empty() || args.len() < 2 {
            // A container that runs by itself (COMMAND) decides alone.
            return Some(self);
        }
        self.subcommands.iter().find(|sub| {
            let name = sub.name().split('|').nth(1).unwrap_or_default();
            name.as_bytes().eq_ignore_ascii_case(args.get(1))
        })
    }

    /// Whether `count` arguments (the name included) are acceptable.
    pub fn accepts(&self, count: usize) -> bool {
        let needed = self.arity.unsigned_abs() as usize;
        if self.arity >= 0 { count == needed } else { count >= needed }
    }

    /// Whether a request of `count` arguments (the name included) takes about as long as any other of it.
    #[inline]
    pub fn is_light(&self, count: usize) -> bool {
        count <= self.light_up_to
    }

    /// Whether it may change data.
    pub fn writes(&self) -> bool {
        self.command.flags.contains(Flags::WRITE)
    }

    /// Whether it may change the values at its keys, if only by a note in them, or is told to replicas.
    pub fn may_change(&self) -> bool {
        self.command.flags.intersects(Flags::WRITE.union(Flags::MAY_REPLICATE))
    }

    /// Whether it runs nothing by itself and hands each request to a subcommand. COMMAND does both.
    fn only_contains(&self) -> bool {
        !self.subcommands.is_empty() && !self.accepts(1)
    }

    /// The ACL categories that say what it is about: its group's, for nearly all.
    fn subjects(&self) -> Vec<&'static str> {
        let flags = self.command.flags;
        if self.only_contains() {
            // Its subcommands stand there, each by itself.
            return Vec::new();
        }
        if flags.contains(Flags::ELEMENTS_CATEGORIES) {
            return vec!["list", "set", "sortedset"];
        }
        let mut names = Vec::new();
        match self.command.group {
            Group::String => names.push("string"),
            Group::Bitmap => names.push("bitmap"),
            Group::List => names.push("list"),
            Group::Set => names.push("set"),
            Group::SortedSet => names.push("sortedset"),
            Group::Hash => names.push("hash"),
            Group::HyperLogLog => names.push("hyperloglog"),
            Group::Geo => names.push("geo"),
            Group::Stream => names.push("stream"),
            Group::Scripting => names.push("scripting"),
            Group::Generic => names.push("keyspace"),
            Group::Connection => names.push("connection"),
            Group::Transactions => names.push("transaction"),
            // Of the flag of the same name.
            Group::PubSub | Group::Server => {}
        }
        if flags.contains(Flags::KEYSPACE) {
            names.push("keyspace");
        }
        if flags.contains(Flags::CONNECTION_CATEGORY) {
            names.push("connection");
        }
        names
    }

    /// ACL categories: derived from group and flags.
    pub fn categories(&self) -> Vec<&'static str> {
        let flags = self.command.flags;
        let mut names = self.subjects();
        for (flag, name) in [
            (Flags::WRITE, "write"),
            (Flags::READONLY, "read"),
            (Flags::ADMIN | Flags::ADMIN_CATEGORY, "admin"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::BLOCKING, "blocking"),
        ] {
            if flags.intersects(flag) {
                names.push(name);
            }
        }
        if flags.intersects(Flags::ADMIN | Flags::DANGEROUS) {
            names.push("dangerous");
        }
        names.push(if flags.contains(Flags::FAST) { "fast" } else { "slow" });
        names
    }
}

/// Every command of this program. Built once at start, then only read.
#[derive(Debug)]
pub struct Registry {
    entries: Vec<Entry>,
    /// Open addressing over names; `u16::MAX` is an empty place.
    places: Vec<u16>,
    /// The names, in the order of the entries.
    names: Vec<Folded>,
    count: usize,
}

impl Registry {
    /// Builds the registry out of the families' lists.
    ///
    /// Panics when two commands share a name or a subcommand lacks its container: both are our own
    /// mistakes and are found by the first test that runs.
    pub fn new<'a>(families: impl IntoIterator<Item = &'a [&'static Command]>) -> Registry {
        let (mut entries, mut subcommands) = (Vec::new(), Vec::new());
        let mut id = 0u16;
        for command in families.into_iter().flatten() {
            let arity = arity_of(command.usage);
            let light_up_to = light_up_to(command.cost, command.usage, arity);
            let (called, element) = (Called::of(command.name), element_of(command.usage));
            let subcommands_of = Vec::new();
            let entry = Entry {
                command,
                id,
                arity,
                light_up_to,
                element,
                called,
                subcommands: subcommands_of,
            };
            id += 1;
            if command.name.contains('|') { subcommands.push(entry) } else { entries.push(entry) }
        }
        for entry in subcommands {
            let container = entry.name().split('|').next().unwrap_or_default();
            let parent = entries.iter_mut().find(|parent: &&mut Entry| parent.name() == container);
            parent
                .unwrap_or_else(|| panic!("{} has no container", entry.name()))
                .subcommands
                .push(entry);
        }
        let mut places = vec![u16::MAX; (entries.len() * 4).next_power_of_two()];
        let name = |entry: &Entry| Folded::of(entry.name().as_bytes()).expect("a name is short");
        let names: Vec<Folded> = entries.iter().map(name).collect();
        for (index, (entry, name)) in entries.iter().zip(&names).enumerate() {
            let mut place = name.place(places.len() - 1);
            while places[place] != u16::MAX {
                let other: &Entry = &entries[usize::from(places[place])];
                assert_ne!(other.name(), entry.name(), "two commands with one name");
                place = (place + 1) & (places.len() - 1);
            }
            places[place] = index as u16;
        }
        Registry { entries, places, names, count: usize::from(id) }
    }

    /// How many commands and subcommands there are: ids are below it.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All commands (not their subcommands), in the order of declaration.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// All commands and subcommands.
    pub fn iter_all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flat_map(|e| std::iter::once(e).chain(e.subcommands.iter()))
    }

    /// The command called `name`, in any case.
    pub fn find(&self, name: &[u8]) -> Option<&Entry> {
        let name = Folded::of(name)?;
        let mask = self.places.len() - 1;
        let mut place = name.place(mask);
        loop {
            let index = self.places[place];
            if index == u16::MAX {
                return None;
            }
            if self.names[usize::from(index)] == name {
                return Some(&self.entries[usize::from(index)]);
            }
            place = (place + 1) & mask;
        }
    }

    /// A command, or a subcommand as `container|sub`, in any case.
    pub fn find_any(&self, name: &[u8]) -> Option<&Entry> {
        let Some(bar) = name.iter().position(|byte| *byte == b'|') else { return self.find(name) };
        let subcommands = &self.find(&name[..bar])?.subcommands;
        subcommands.iter().find(|entry| entry.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// The command (or subcommand) that `args` names, however many arguments there are.
    pub fn named(&self, args: &Args<'_>) -> Option<&Entry> {
        self.find(args.get(0)).and_then(|entry| entry.or_sub(args))
    }

    /// The command (or subcommand) that `args` asks for, with Redis's refusals for unknown commands,
    /// unknown subcommands and wrong counts of arguments.
    pub fn resolve<'r>(&'r self, args: &Args<'_>) -> Result<&'r Entry, Refusal> {
        let Some(entry) = self.find(args.get(0)) else { return Err(unknown(args)) };
        match entry.or_sub(args) {
            Some(entry) => check_arity(entry, args),
            None => {
                let name = entry.name().to_ascii_uppercase();
                let (word, after) = (shown(args.get(1), SHOWN_MAX), format!("'. Try {name} HELP."));
                Err(Refusal::quoting("ERR unknown subcommand '", &word, &after))
            }
        }
    }
}

fn check_arity<'a>(entry: &'a Entry, args: &Args<'_>) -> Result<&'a Entry, Refusal> {
    if entry.accepts(args.len()) { Ok(entry) } else { Err(Refusal::Arity(entry.name().to_owned())) }
}

/// Bytes of a client's word that an error repeats.
const SHOWN_MAX: usize = 128;

/// The beginning of a word of a client's, for an error: as long as Redis shows it, which stops at a NUL
/// and lets no line end through.
fn shown(word: &[u8], most: usize) -> Vec<u8> {
    let word = &word[..word.len().min(most)];
    let word = word.split(|byte| *byte == 0).next().unwrap_or_default();
    let plain = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
    word.iter().map(plain).collect()
}

/// Redis's answer to a command that it does not know: the name and the beginning of the arguments,
/// cut at 128 bytes each.
fn unknown(args: &Args<'_>) -> Refusal {
    let mut shown_args = Vec::new();
    for arg in args.from(1) {
        if shown_args.len() >= SHOWN_MAX {
            break;
        }
        let room = SHOWN_MAX - shown_args.len();
        shown_args.push(b'\'');
        shown_args.extend_from_slice(&shown(arg, room));
        shown_args.extend_from_slice(b"' ");
    }
    let name = shown(args.get(0), SHOWN_MAX);
    let parts: [&[u8]; 4] =
        [b"ERR unknown command '", &name, b"', with args beginning with: ", &shown_args];
    Refusal::Raw(parts.concat())
}

/// The command that was asked for last: often it is the next one, too, and need not be looked up.
#[derive(Debug, Default)]
pub struct Recent(Option<&'static Entry>);

impl Recent {
    /// As [`Registry::resolve`].
    #[inline]
    pub fn resolve(
        &mut self,
        registry: &'static Registry,
        args: &Args<'_>,
    ) -> Result<&'static Entry, Refusal> {
        let name = args.get(0);
        if let Some(entry) = self.0
            && entry.name().as_bytes().eq_ignore_ascii_case(name)
        {
            return check_arity(entry, args);
        }
        let entry = registry.resolve(args)?;
        // What has subcommands, and what is one, is not found by its name alone.
        let is_one_word = entry.subcommands.is_empty() && !entry.name().contains('|');
        self.0 = Some(entry).filter(|_| is_one_word);
        Ok(entry)
    }
}

/// Words of a name: as many as the longest has.
const WORDS: usize = COMMAND_NAME_MAX / 8;

/// A name as numbers, in small letters and with zeros behind it, so that it is compared and hashed by the word. Each is
/// asked for with every request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Folded {
    words: [u64; WORDS],
    length: usize,
}

impl Folded {
    /// `None` of what is longer than any name.
    #[inline]
    fn of(name: &[u8]) -> Option<Folded> {
        let mut bytes = [0; COMMAND_NAME_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        let (chunks, _) = bytes.as_chunks::<8>();
        let mut words = [0; WORDS];
        for (word, chunk) in words.iter_mut().zip(chunks) {
            *word = small_letters(u64::from_le_bytes(*chunk));
        }
        Some(Folded { words, length: name.len() })
    }

    #[inline]
    fn place(&self, mask: usize) -> usize {
        let fold = |hash: u64, word: &u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hash = self.words.iter().fold(self.length as u64, fold);
        (hash >> 32) as usize & mask
    }
}

/// Eight bytes with small letters instead of capital ones.
#[inline]
fn small_letters(word: u64) -> u64 {
    const ALL: u64 = 0x0101_0101_0101_0101;
    let low = word & (0x7f * ALL);
    // The top bit of each byte: from A on, behind Z, and whether it is a letter at all.
    let (from, behind) = (low + (0x80 - b'A' as u64) * ALL, low + (0x7f - b'Z' as u64) * ALL);
    let capital = (from ^ behind) & !word & (0x80 * ALL);
    word | (capital >> 2)
}

/// Redis's arity out of a usage line: words outside brackets are needed, anything in brackets makes
/// it a minimum. `<A | B>` is one word.
pub fn arity_of(usage: &str) -> i32 {
    let (mut needed, mut open, mut angle, mut optional) = (0, 0, 0, false);
    for word in usage.split_whitespace() {
        if open == 0 && angle == 0 && !word.starts_with('[') {
            needed += 1;
        }
        for byte in word.bytes() {
            match byte {
                b'[' => (open, optional) = (open + 1, true),
                b']' => open -= 1,
                b'<' => angle += 1,
                b'>' => angle -= 1,
                _ => {}
            }
        }
    }
    if optional { -needed } else { needed }
}

/// Which of the words outside brackets names an element of a collection, the first that does; 0 for none.
fn element_of(usage: &str) -> u8 {
    let mut open = 0;
    let needed = usage.split_whitespace().filter(|word| {
        let is_outside = open == 0 && !word.starts_with('[');
        open += word.matches('[').count();
        open -= word.matches(']').count().min(open);
        is_outside
    });
    needed.zip(0..).find(|(word, _)| matches!(*word, "field" | "member")).map_or(0, |(_, at)| at)
}

/// Arguments of a request that takes what it is given one by one and is still light: some 2 us.
const FEW_ARGUMENTS: usize = 16;

/// Up to how many arguments the cost of a command depends on nothing that matters: on nothing at all, on the
/// depth of a tree, or on elements that are given or asked for, where they are few.
fn light_up_to(cost: &str, usage: &str, arity: i32) -> usize {
    let is_constant = cost
        .strip_prefix("O(1)")
        .is_some_and(|remark| remark.is_empty() || remark.starts_with([':', ';']));
    if is_constant || ["O(log(N)) with", "O(log N) for"].iter().any(|it| cost.starts_with(it)) {
        return usize::MAX;
    }
    let is_variadic = usage.contains("...");
    match cost {
        "O(N) with N keys." if is_variadic => FEW_ARGUMENTS,
        "O(N) for N keys"
        | "O(N) for N fields"
        | "O(N) for N members"
        | "O(N) for N elements"
        | "O(1) for each field"
        | "O(1) for each member"
        | "O(log(N)) for each member, with N members"
        | "O(M*log(N)) for M of N members"
        | "O(log(N)*M) for M of N members"
            if is_variadic =>
        {
            FEW_ARGUMENTS
        }
        // Without the count, which says how many.
        "O(N) for N fields"
        | "O(N) for N members"
        | "O(N) for N elements"
        | "O(M*log(N)) for M of N members"
        | "O(log(N)*M) for M of N members"
        // Without what trims.
        | "O(1) when adding, O(N) when trimming with N deleted entries."
            if arity < 0 =>
        {
            arity.unsigned_abs() as usize
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_asked_for_last_is_told_from_the_next_one() {
        let registry = crate::model::registry();
        let mut recent = Recent::default();
        let lines =
            ["GET a", "get b", "GET", "SET a b", "CONFIG GET a", "CONFIG|GET x a", "COMMAND"];
        let more = ["COMMAND COUNT", "COMMAND COUNT", "config|get a", "NONE", "GET a", "GETX a"];
        for line in lines.into_iter().chain(more) {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let mut args = crate::command::OwnedArgs::default();
            words.iter().for_each(|word| args.push(word));
            let name = |found: Result<&Entry, Refusal>| {
                found.map(Entry::name).map_err(|it| it.text().into_owned())
            };
            let plain = name(registry.resolve(&args.view()));
            assert_eq!(name(recent.resolve(registry, &args.view())), plain, "{line}");
        }
    }

    #[test]
    fn names_are_the_same_where_their_letters_are() {
        for byte in 0..=u8::MAX {
            for other in 0..=u8::MAX {
                let (one, other) = ([b'x', byte, 0x80, 0], [b'X', other, 0x80, 0]);
                let same = Folded::of(&one) == Folded::of(&other);
                assert_eq!(same, one.eq_ignore_ascii_case(&other), "{one:?} and {other:?}");
            }
        }
        assert_ne!(Folded::of(b"get"), Folded::of(b"get\0"));
        assert!(Folded::of(&[b'a'; COMMAND_NAME_MAX]).is_some());
        assert!(Folded::of(&[b'a'; COMMAND_NAME_MAX + 1]).is_none());
    }

    #[test]
    fn the_usage_says_where_an_element_is_named() {
        for (usage, element) in [
            ("HSET key field value [field value ...]", 2),
            ("ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]", 3),
            ("ZINCRBY key increment member", 3),
            ("SPOP key [count]", 0),
            ("GEOADD key [NX | XX] longitude latitude member", 4),
        ] {
            assert_eq!(super::element_of(usage), element, "{usage}");
        }
    }

    #[test]
    fn a_request_is_light_as_its_arguments_say() {
        let depth = "O(log(N)) with N members";
        for (cost, usage, light_up_to) in [
            ("O(1)", "GET key", usize::MAX),
            ("O(1): large values are shared", "RENAME key newkey", usize::MAX),
            (depth, "ZINCRBY key increment member", usize::MAX),
            ("O(1) for each field", "HSET key field value [field value ...]", FEW_ARGUMENTS),
            ("O(N) for N elements", "LPUSH key element [element ...]", FEW_ARGUMENTS),
            ("O(N) for N elements", "LPOP key [count]", 2),
            ("O(N) for N members", "SPOP key [count]", 2),
            ("O(N) with N fields.", "HGETALL key", 0),
            ("O(log N + M) for M of N elements", "LRANGE key start stop", 0),
            ("O(N) for N members of all sets", "SUNION key [key ...]", 0),
            ("O(N) with N keys.", "DEBUG POPULATE count [prefix] [size]", 0),
            ("O(N) with N keys in the database.", "KEYS pattern", 0),
        ] {
            assert_eq!(super::light_up_to(cost, usage, arity_of(usage)), light_up_to, "{usage}");
        }
    }

    #[test]
    fn arity_follows_from_the_usage_line() {
        for (usage, arity) in [
            ("GET key", 2),
            ("DEL key [key ...]", -2),
            ("MSET key value [key value ...]", -3),
            ("PING [message]", -1),
            ("BITOP <AND | OR | XOR | NOT> destkey key [key ...]", -4),
            ("SET key value [NX | XX] [GET] [EX seconds | PX milliseconds]", -3),
            ("HELLO [protover [AUTH username password] [SETNAME clientname]]", -1),
            ("CONFIG GET parameter [parameter ...]", -3),
        ] {
            assert_eq!(arity_of(usage), arity, "{usage}");
        }
    }
}
