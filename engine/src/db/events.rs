//! Key events (`notify-keyspace-events`): which there are, how they are called, and to whom they are said.
//!
//! ```text
//!   command begins ─► how its changes are called (`Called`, one line a command)
//!   effect on a key ─► events, in the order in which things happen      (`effects`, one place each)
//!   frame logged ─► __keyspace@0__:key  event    then    __keyevent@0__:event  key
//! ```
//!
//! An event belongs to an effect, so that nobody can change a key and say nothing. Its name is, in this order: what
//! the running command has said with [`Keyspace::call_it`], what its line in [`Called::of`] says, its own name.
//! `new`, `expired`, `evicted`, `keymiss`, and the `del` of a value that became empty, are known here.
//!
//! Whoever applies a master's records knows no command: there a change is called by its type ([`of_change`]),
//! and every removal `del`, as on a replica of Redis.
//!
//! While nobody wants events, or nobody listens to anything, that costs a branch.

use super::door::At;
use super::touched::Said;
use crate::pubsub::{Hub, Scope};
use crate::value::Type;
use bitflags::bitflags;
use std::sync::Arc;

bitflags! {
    /// Which events are said, and in which channels.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Events: u16 {
        /// `K`: in the channel of the key.
        const KEYSPACE = 1;
        /// `E`: in the channel of the event.
        const KEYEVENT = 1 << 1;
        /// `g`: what has no type: DEL, EXPIRE, RENAME ...
        const GENERIC = 1 << 2;
        /// `$`
        const STRING = 1 << 3;
        /// `l`
        const LIST = 1 << 4;
        /// `s`
        const SET = 1 << 5;
        /// `h`
        const HASH = 1 << 6;
        /// `z`
        const SORTED_SET = 1 << 7;
        /// `x`: a key's time had come.
        const EXPIRED = 1 << 8;
        /// `e`: a key made room.
        const EVICTED = 1 << 9;
        /// `t`
        const STREAM = 1 << 10;
        /// `d`: of modules, of which there are none.
        const MODULE = 1 << 11;
        /// `n`: a key is there that was not before.
        const NEW = 1 << 12;
        /// `m`: a key was looked for that is not there.
        const KEY_MISS = 1 << 13;
    }
}

/// The letters, in the order in which Redis shows them; those behind `n` stand also behind `A`.
const LETTERS: [(char, Events); 14] = [
    ('g', Events::GENERIC),
    ('$', Events::STRING),
    ('l', Events::LIST),
    ('s', Events::SET),
    ('h', Events::HASH),
    ('z', Events::SORTED_SET),
    ('x', Events::EXPIRED),
    ('e', Events::EVICTED),
    ('t', Events::STREAM),
    ('d', Events::MODULE),
    ('n', Events::NEW),
    ('K', Events::KEYSPACE),
    ('E', Events::KEYEVENT),
    ('m', Events::KEY_MISS),
];

impl Events {
    /// `A`.
    const ALIAS: Events = Events::GENERIC
        .union(Events::STRING)
        .union(Events::LIST)
        .union(Events::SET)
        .union(Events::HASH)
        .union(Events::SORTED_SET)
        .union(Events::EXPIRED)
        .union(Events::EVICTED)
        .union(Events::STREAM)
        .union(Events::MODULE);

    /// Reads the letters of the setting; `None` where one is none.
    pub fn parse(text: &str) -> Option<Events> {
        let mut events = Events::empty();
        for letter in text.chars() {
            let known = LETTERS.iter().find(|(known, _)| *known == letter);
            events |= if letter == 'A' { Events::ALIAS } else { known?.1 };
        }
        Some(events)
    }

    /// The letters as Redis shows them: `n` is not shown behind `A`.
    pub fn letters(self) -> String {
        let has_alias = self.contains(Events::ALIAS);
        let mut text = String::from(if has_alias { "A" } else { "" });
        let hidden = if has_alias { Events::ALIAS | Events::NEW } else { Events::empty() };
        let shown = LETTERS.iter().filter(|(_, one)| (self - hidden).contains(*one));
        text.extend(shown.map(|(letter, _)| letter));
        text
    }

    /// Whether anything is said at all.
    pub(super) fn is_on(self) -> bool {
        self.intersects(Events::KEYSPACE | Events::KEYEVENT)
    }

    pub(super) fn of_type(kind: &Type) -> Events {
        match kind.name {
            "list" => Events::LIST,
            "set" => Events::SET,
            "zset" => Events::SORTED_SET,
            "hash" => Events::HASH,
            "stream" => Events::STREAM,
            _ => Events::STRING,
        }
    }
}

/// How a change of a value is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    /// Not at all.
    Nothing,
    /// So.
    Is(&'static str),
    /// As the type calls what happened inside: the command does several things.
    OfChange,
}

/// How the changes of one command are called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Called {
    value: Name,
    /// Of which class that is; else of the value's type.
    pub(super) class: Option<Events>,
    /// A deadline that is put along with a value is an event too.
    pub(super) is_dated: bool,
    /// How a removal is called.
    pub(super) removed: &'static str,
    /// What it puts is a new key, also where one was: that one was removed without a word.
    pub(super) is_new: bool,
}

impl Called {
    /// What a master's records say.
    pub(super) const APPLIED: Called = Called {
        value: Name::OfChange,
        class: None,
        is_dated: false,
        removed: "del",
        is_new: false,
    };

    /// The names that a command's changes have, where they are not its own name and `del`.
    pub fn of(command: &'static str) -> Called {
        let plain = Called { value: Name::Is(command), ..Called::APPLIED };
        let named = |name| Called { value: Name::Is(name), ..plain };
        let generic = |name| Called { class: Some(Events::GENERIC), is_new: true, ..named(name) };
        match command {
            "set" | "setex" | "psetex" => Called { is_dated: true, ..named("set") },
            "setnx" | "mset" | "msetnx" | "getset" | "bitop" => named("set"),
            "incr" | "decr" | "decrby" => named("incrby"),
            "bitfield" => named("setbit"),
            "pfmerge" => named("pfadd"),
            "rename" | "renamenx" => Called { removed: "rename_from", ..generic("rename_to") },
            "move" => Called { removed: "move_from", ..generic("move_to") },
            "copy" => generic("copy_to"),
            "restore" | "restore-asking" => generic("restore"),
            "sort" => Called { class: Some(Events::LIST), ..named("sortstore") },
            "pfcount" | "pfdebug" | "debug|populate" => Called { value: Name::Nothing, ..plain },
            "hmset" | "hsetnx" => named("hset"),
            "hsetex" => Called { is_dated: true, ..named("hset") },
            "hgetdel" => named("hdel"),
            "hpexpire" | "hexpireat" | "hpexpireat" => named("hexpire"),
            "lpushx" => named("lpush"),
            "rpushx" => named("rpush"),
            "blpop" => named("lpop"),
            "brpop" => named("rpop"),
            "rpoplpush" | "brpoplpush" | "lmove" | "blmove" | "lmpop" | "blmpop" | "smove"
            | "hgetex" | "zmpop" | "bzmpop" | "xreadgroup" | "xclaim" | "xautoclaim" | "xack" => {
                Called { value: Name::OfChange, ..plain }
            }
            "zincrby" => named("zincr"),
            "geoadd" => named("zadd"),
            "bzpopmin" => named("zpopmin"),
            "bzpopmax" => named("zpopmax"),
            "georadius" => named("georadiusstore"),
            "georadiusbymember" => named("georadiusstore"),
            "xgroup|create" => named("xgroup-create"),
            "xgroup|setid" => named("xgroup-setid"),
            "xgroup|destroy" => named("xgroup-destroy"),
            "xgroup|createconsumer" => named("xgroup-createconsumer"),
            "xgroup|delconsumer" => named("xgroup-delconsumer"),
            _ => plain,
        }
    }
}

/// One of a type's own changes: its number and the beginning of its bytes; none where the value was put.
pub(super) type Change<'a> = Option<(u8, &'a [u8])>;

/// How a change inside a value is called by whoever knows no command, or does several things. A value that is put is
/// called as what most often makes one.
fn of_change(kind: &Type, change: Change<'_>) -> Option<&'static str> {
    Some(match (kind.name, change.map(|(op, _)| op)) {
        ("list", Some(op)) => crate::value::list::event_of(op),
        ("list", None) => "rpush",
        ("set", Some(3 | 4)) => "srem",
        ("set", _) => "sadd",
        ("zset", Some(2)) => "zrem",
        ("zset", Some(3)) => "zpopmin",
        ("zset", Some(4)) => "zpopmax",
        ("zset", _) => "zadd",
        ("hash", Some(1)) => "hdel",
        ("hash", Some(2)) => "hpersist",
        ("hash", Some(4)) => "hexpire",
        ("hash", _) => "hset",
        ("stream", Some(op)) => return crate::value::stream::name_of_change(op),
        ("stream", None) => "xadd",
        _ => "set",
    })
}

/// Who is spoken to, and of what.
pub(super) struct Speaker {
    pub(super) hub: Option<Arc<Hub>>,
    pub(super) wanted: Events,
    pub(super) called: Called,
    /// How the running command calls what it does next.
    pub(super) called_now: Option<&'static str>,
}

impl Default for Speaker {
    fn default() -> Speaker {
        let (hub, wanted, called) = (None, Events::empty(), Called::APPLIED);
        Speaker { hub, wanted, called, called_now: None }
    }
}

impl Speaker {
    /// Whether there is somebody to tell of changes.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        !self.wanted.is_empty() && self.hub.as_ref().is_some_and(|hub| !hub.is_silent(Scope::Plain))
    }

    /// Somebody looked for a key that is not there.
    #[inline]
    pub(super) fn missed(&self, at: At<'_>, said: &mut Vec<Said>) {
        if self.wanted.contains(Events::KEY_MISS) && self.is_on() {
            said.push(Said::Event { db: at.db, key: Box::from(at.key), name: "keymiss" });
        }
    }

    /// Notes an event, if it is wanted.
    pub(super) fn note(&self, at: At<'_>, class: Events, name: &'static str, said: &mut Vec<Said>) {
        if self.wanted.contains(class) {
            said.push(Said::Event { db: at.db, key: Box::from(at.key), name });
        }
    }

    /// Whether the running command's last event is this one.
    pub(super) fn has_just_said(at: At<'_>, name: &str, own: &[Said]) -> bool {
        own.last().is_some_and(|last| {
            matches!(last, Said::Event { db, key, name: last }
                if (*db, *last) == (at.db, name) && **key == *at.key)
        })
    }

    /// Changes of values are called nothing from here on; answers what they were called.
    pub(super) fn hush(&mut self) -> (Called, Option<&'static str>) {
        let before = (self.called, self.called_now.take());
        self.called.value = Name::Nothing;
        before
    }

    pub(super) fn value_name(&self, kind: &Type, change: Change<'_>) -> Option<&'static str> {
        self.called_now.or(match self.called.value {
            Name::Nothing => None,
            Name::Is(name) => Some(name),
            Name::OfChange => of_change(kind, change),
        })
    }

    pub(super) fn serve(&self, said: Said) {
        let Some(hub) = &self.hub else { return };
        match said {
            Said::Message { scope, channel, payload } => hub.say(scope, &channel, &payload),
            Said::Event { db, key, name } => {
                if self.wanted.contains(Events::KEYSPACE) {
                    let channel = [format!("__keyspace@{}__:", db.0).as_bytes(), &key].concat();
                    hub.say(Scope::Plain, &channel, name.as_bytes());
                }
                if self.wanted.contains(Events::KEYEVENT) {
                    let channel = format!("__keyevent@{}__:{name}", db.0);
                    hub.say(Scope::Plain, channel.as_bytes(), &key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_and_shown_as_redis_does() {
        for (given, shown) in [
            ("", ""),
            ("A", "A"),
            ("AKE", "AKE"),
            ("KEA", "AKE"),
            ("KEAmn", "AKEm"),
            ("g$lshzxetdmnKE", "AKEm"),
            ("Kx", "xK"),
            ("En", "nE"),
            ("KEd", "dKE"),
            ("Ag", "A"),
            ("nm", "nm"),
            ("dgK", "gdK"),
        ] {
            assert_eq!(Events::parse(given).map(Events::letters).as_deref(), Some(shown));
        }
        assert_eq!(Events::parse("KQ"), None);
    }
}
