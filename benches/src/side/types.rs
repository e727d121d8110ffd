//! CPU time per request of collections, one large one and many small ones, and what small ones weigh.

use std::io;

use super::bench::{Bench, clean, cpu, resident, resident_at_rest};
use super::{Goal, Plan, Subject, Table, depth_factor};
use crate::load::{self, Config, KeyOrder, Mix, Until};
use crate::peer::Server;

/// The columns beside the floor.
const PEER: usize = 1;
const OURS: usize = 2;

/// What a request costs that only goes through the sockets, and the two programs. A goal beside the peer that is below the
/// floor's own figure no server can meet.
pub(super) fn beside_the_floor(
    plan: &Plan,
    peers: Vec<Subject>,
) -> (Vec<Subject>, &'static [(usize, usize)]) {
    let subjects = std::iter::once(plan.floor.clone()).chain(peers).collect();
    (subjects, &[(OURS, PEER), (PEER, 0)])
}

/// Keys of the small ones, members of the large one.
const KEYS: u64 = 100_000;

/// Elements of what is shown as a whole.
const SHOWN: u64 = 100;

/// Pipelines, and what a request is to cost at most beside the peer's.
const DEPTHS: [(usize, f64); 2] = [(1, 1.0), (16, 0.5)];

/// A row: words in which `KEY` stands for the key, how often each element is filled in, and how many fewer
/// requests it makes than others.
struct Asked {
    name: &'static str,
    /// Puts one element of a large one, or all of a small one.
    fill: &'static str,
    /// Elements or keys.
    keys: u64,
    asked: &'static str,
    fewer: u64,
}

const fn asked(name: &'static str, fill: &'static str, asked: &'static str) -> Asked {
    Asked { name, fill, keys: KEYS, asked, fewer: 1 }
}

const fn shown(row: Asked, fewer: u64) -> Asked {
    Asked { fewer, ..row }
}

const RPUSH: &str =
    "RPUSH KEY __value__ __value__ __value__ __value__ __value__ __value__ __value__ __value__";

/// One key.
const LARGE: [Asked; 16] = [
    asked("LPUSH", RPUSH, "LPUSH KEY __value__"),
    asked("LPOP", RPUSH, "LPOP KEY"),
    asked("SADD", "SADD KEY __key__", "SADD KEY __key__"),
    Asked { keys: 10 * KEYS, ..asked("SPOP", "SADD KEY __key__", "SPOP KEY") },
    asked("HSET", "HSET KEY __key__ __value__", "HSET KEY __key__ __value__"),
    asked("HGET", "HSET KEY __key__ __value__", "HGET KEY __key__"),
    asked("HINCRBY", "HSET KEY __key__ 1", "HINCRBY KEY __key__ 1"),
    asked("ZADD", "ZADD KEY 0.__key__ __key__", "ZADD KEY 1.__key__ __key__"),
    asked("ZINCRBY", "ZADD KEY 0.__key__ __key__", "ZINCRBY KEY 1 __key__"),
    asked("ZRANK", "ZADD KEY 0.__key__ __key__", "ZRANK KEY __key__"),
    shown(asked("ZRANGE of 100", "ZADD KEY 0.__key__ __key__", "ZRANGE KEY 5000 5099"), 5),
    asked("XADD", "XADD KEY * f __value__", "XADD KEY * f __value__"),
    shown(asked("XRANGE of 100", "XADD KEY * f __value__", "XRANGE KEY - + COUNT 100"), 5),
    shown(asked("LRANGE of 100", RPUSH, "LRANGE KEY 0 99"), 5),
    shown(asked("LRANGE of 600", RPUSH, "LRANGE KEY 0 599"), 10),
    Asked {
        keys: SHOWN,
        ..shown(asked("HGETALL of 100", "HSET KEY __key__ __value__", "HGETALL KEY"), 5)
    },
];

const HSET: &str = "HSET KEY a __value__ b __value__ c __value__ d __value__ e __value__";
const SADD: &str = "SADD KEY a b c d e f g h";
const ZADD: &str = "ZADD KEY 1 a 2 b 3 c 4 d 5 e";

/// A key for each.
const SMALL: [Asked; 12] = [
    asked("LPUSH", RPUSH, "LPUSH KEY __value__"),
    asked("LPOP", RPUSH, "LPOP KEY"),
    asked("SADD", SADD, "SADD KEY __value__"),
    asked("SPOP", SADD, "SPOP KEY"),
    asked("HSET", HSET, "HSET KEY c __value__"),
    asked("HGET", HSET, "HGET KEY c"),
    asked("HINCRBY", "HSET KEY a 1 b 2 c 3 d 4 e 5", "HINCRBY KEY c 1"),
    asked("ZADD", ZADD, "ZADD KEY 2.5 c"),
    asked("ZINCRBY", ZADD, "ZINCRBY KEY 1 c"),
    asked("ZRANK", ZADD, "ZRANK KEY c"),
    asked("XADD", "XADD KEY * f __value__", "XADD KEY * f __value__"),
    asked("LRANGE of 8", RPUSH, "LRANGE KEY 0 -1"),
];

/// What small ones weigh, and what they may beside the peer's.
const WEIGHED: [(&str, &str, f64); 4] = [
    ("hash of 5 fields", HSET, 0.82),
    ("set of 5 integers", "SADD KEY 1 22 333 4444 55555", 0.85),
    ("sorted set of 5", ZADD, 0.85),
    ("list of 8", RPUSH, 0.95),
];

/// Keys of those: as many as the goals are for. Of few, the kernel's large pages that are not full count for much.
const WEIGHED_KEYS: u64 = 1_000_000;

impl Bench<'_> {
    pub(super) fn types(&self, table: &mut Table) -> io::Result<()> {
        for (of, key, rows) in
            [("one key", "it", &LARGE[..]), ("many keys", "it:__key__", &SMALL[..])]
        {
            for row in rows {
                self.asked(of, key, row, table)?;
            }
        }
        let weighed = if self.subject.program.keeps_nothing() { &[] } else { &WEIGHED[..] };
        for (name, fill, most) in weighed {
            let server = self.start(None)?;
            let empty = resident(&server)?;
            self.filled_with(&server, "it:__key__", fill, WEIGHED_KEYS)?;
            let grown = resident_at_rest(&server)?.saturating_sub(empty) as f64;
            let figure = format!("{name}: resident bytes");
            table.push(&figure, self.column, grown / WEIGHED_KEYS as f64);
            table.aim(&figure, &[Goal { of: OURS, beside: Some(PEER), most: *most }]);
        }
        Ok(())
    }

    fn asked(&self, of: &str, key: &str, row: &Asked, table: &mut Table) -> io::Result<()> {
        for (depth, most) in DEPTHS {
            // What pops leaves less: each depth finds the same.
            let server = self.start(None)?;
            if !self.subject.program.keeps_nothing() {
                self.filled_with(&server, key, row.fill, row.keys)?;
            }
            let mut config = self.templated(&server, key, row.asked, row.keys)?;
            config.pipeline = depth;
            config.until = Until::Requests(self.plan.requests * depth_factor(depth) / row.fewer);
            let report = clean(load::run(&config)?, row.name)?;
            let figure = format!("{}, {of}, pipeline {depth}: CPU us", row.name);
            table.push(&figure, self.column, cpu(&report)?);
            table.aim(&figure, &[Goal { of: OURS, beside: Some(PEER), most }]);
        }
        Ok(())
    }

    fn filled_with(&self, server: &Server, key: &str, words: &str, keys: u64) -> io::Result<()> {
        let mut config = self.templated(server, key, words, keys)?;
        (config.pipeline, config.connections) = (100, 8);
        (config.order, config.until) = (KeyOrder::Sequential, Until::Requests(keys));
        clean(load::run(&config)?, words).map(drop)
    }

    fn templated(&self, server: &Server, key: &str, words: &str, keys: u64) -> io::Result<Config> {
        let mix = Mix::template(&words.replace("KEY", key)).map_err(io::Error::other)?;
        let config = self.load(server, load::Command::Set, 1);
        Ok(Config { mix, keys, value_bytes: 16, ..config })
    }
}
