//! Which key events commands say, in Redis's names and order: the tables are what a Redis 7.0 said.

use super::testing::Session;
use crate::db::Events;
use crate::pubsub::{Host, Hub, Inbox, Limits, Over, Scope};
use std::sync::Arc;

struct Nobody;

impl Host for Nobody {
    fn tell(&self, _: u16) {}
    fn end(&self, _: u64, _: Over, _: &Limits) {}
}

/// A session and what it says.
struct Heard {
    session: Session,
    inbox: Arc<Inbox>,
}

impl Heard {
    fn new() -> Heard {
        let (mut session, inbox) = (Session::new(), Inbox::new(1, 0));
        let hub = Hub::new(1, Nobody);
        let pattern = crate::glob::Pattern::new(b"__keyevent@*").expect("short");
        hub.subscribe_pattern(b"__keyevent@*", pattern, &inbox);
        hub.subscribe(Scope::Plain, b"other", &inbox);
        session.shard.keys.set_hub(Arc::new(hub));
        session.shard.keys.set_events(Events::parse("EAnm").expect("letters"));
        Heard { session, inbox }
    }

    /// The events of one request: `event key`, one after the other.
    fn events(&mut self, request: &str) -> String {
        let reply = self.session.run(request);
        assert!(!reply.starts_with('-'), "{request}: {reply}");
        let mut events = Vec::new();
        for message in self.inbox.take() {
            let text = String::from_utf8_lossy(message.rest()).into_owned();
            let parts: Vec<&str> = text.split("\r\n").collect();
            let name = parts[6].rsplit(':').next().unwrap_or_default();
            events.push(format!("{name} {}", parts[8]));
        }
        assert!(self.inbox.take().is_empty());
        events.join(", ")
    }

    fn check(&mut self, transcript: &[(&str, &str)]) {
        for (request, events) in transcript {
            assert_eq!(self.events(request), *events, "{request}");
        }
    }
}

#[test]
fn strings_and_keys() {
    Heard::new().check(&[
        ("SET k 1", "new k, set k"),
        ("SET k 1 EX 100", "set k, expire k"),
        ("SET k 1 KEEPTTL", "set k"),
        ("SET k 2 NX", ""),
        ("SET nk 2 XX", ""),
        ("SET k 1 GET", "set k"),
        ("SETEX k 100 1", "set k, expire k"),
        ("PSETEX k 100000 1", "set k, expire k"),
        ("SETNX k 1", ""),
        ("SETNX k2 1", "new k2, set k2"),
        ("GETSET k 1", "set k"),
        ("GETSET kgs 1", "keymiss kgs, new kgs, set kgs"),
        ("INCR k", "incrby k"),
        ("DECR k", "incrby k"),
        ("INCRBY k 5", "incrby k"),
        ("DECRBY k 2", "incrby k"),
        ("INCR newcounter", "new newcounter, incrby newcounter"),
        ("INCRBYFLOAT k 1.5", "incrbyfloat k"),
        ("APPEND k x", "append k"),
        ("APPEND newapp x", "new newapp, append newapp"),
        ("SETRANGE k 0 y", "setrange k"),
        ("SETRANGE newr 3 y", "new newr, setrange newr"),
        ("SETBIT k 100 1", "setbit k"),
        ("SETBIT k 100 1", ""),
        ("BITFIELD bf SET u8 0 1", "new bf, setbit bf"),
        ("BITFIELD bf GET u8 0", ""),
        ("BITFIELD bf OVERFLOW FAIL SET u8 100 -1", ""),
        ("BITFIELD bf OVERFLOW FAIL SET u8 200 -1 SET u8 0 1", "setbit bf"),
        ("BITFIELD newbf OVERFLOW FAIL SET u8 0 -1", "new newbf"),
        ("BITFIELD_RO bf GET u8 0", ""),
        ("GET none", "keymiss none"),
        ("STRLEN none", "keymiss none"),
        ("GETRANGE none 0 1", "keymiss none"),
        ("MGET k none", "keymiss none"),
        ("EXISTS none k", "keymiss none"),
        ("TYPE none", "keymiss none"),
        ("TTL none", "keymiss none"),
        ("PTTL none", "keymiss none"),
        ("TOUCH none", "keymiss none"),
        ("OBJECT ENCODING none", ""),
        ("DUMP none", "keymiss none"),
    ]);
}

#[test]
fn keys() {
    Heard::new().check(&[
        ("MSET k 1 k2 2", "new k, set k, new k2, set k2"),
        ("EXPIRE none 100", ""),
        ("EXPIRE k 100", "expire k"),
        ("PEXPIRE k 100000", "expire k"),
        ("EXPIRE k 100 NX", ""),
        ("PERSIST k", "persist k"),
        ("PERSIST k", ""),
        ("GETEX k EX 10", "expire k"),
        ("GETEX k PERSIST", "persist k"),
        ("GETEX k", ""),
        ("GETEX none", "keymiss none"),
        ("MSET a 1 k 2", "new a, set a, set k"),
        ("MSETNX a 1 k 2", ""),
        ("MSETNX m1 1 m2 2", "new m1, set m1, new m2, set m2"),
        ("COPY a b", "new b, copy_to b"),
        ("COPY a b", ""),
        ("COPY a b REPLACE", "new b, copy_to b"),
        ("COPY none b", "keymiss none"),
        ("RENAME b c", "new c, rename_from b, rename_to c"),
        ("RENAME a c", "new c, rename_from a, rename_to c"),
        ("RENAMENX c k", ""),
        ("RENAMENX c cc", "new cc, rename_from c, rename_to cc"),
        ("MOVE cc 1", "new cc, move_from cc, move_to cc"),
        ("BITOP AND d k k", "new d, set d"),
        ("BITOP AND d none", "keymiss none, del d"),
        ("BITOP AND d none", "keymiss none"),
        ("BITCOUNT none", "keymiss none"),
        ("BITPOS none 1", "keymiss none"),
        ("PFADD h 1", "new h, pfadd h"),
        ("PFADD h 1", ""),
        ("PFMERGE h2 h", "keymiss h2, new h2, pfadd h2"),
        ("PFMERGE h2 h", "pfadd h2"),
        ("PFCOUNT h", ""),
        ("PFCOUNT none", "keymiss none"),
        ("LCS none none2", "keymiss none, keymiss none2"),
        ("GETDEL m1", "del m1"),
        ("GETDEL none", "keymiss none"),
        ("DEL k none h", "del k, del h"),
        ("UNLINK h2 none", "del h2"),
        ("EXPIRE m2 -1", "del m2"),
        ("SET e 1 EX 1", "new e, set e, expire e"),
        ("SETBIT sb 0 0", "new sb, setbit sb"),
    ]);
}

#[test]
fn what_has_expired_is_said_when_it_is_found() {
    let mut heard = Heard::new();
    heard.events("SET e 1 PX 10");
    heard.session.shard.set_now(crate::types::Millis(2_000_000));
    assert_eq!(heard.events("GET e"), "expired e, keymiss e");
    heard.events("SET e 1 PX 10");
    heard.session.shard.set_now(crate::types::Millis(3_000_000));
    assert_eq!(heard.events("SET e 1"), "expired e, new e, set e");
}

#[test]
fn streams() {
    Heard::new().check(&[
        ("XADD x 1-1 a 1", "new x, xadd x"),
        ("XADD x MAXLEN 1 2-1 a 1", "xadd x, xtrim x"),
        ("XADD x MAXLEN 5 3-1 a 1", "xadd x"),
        ("XADD x NOMKSTREAM 4-1 a 1", "xadd x"),
        ("XADD xx NOMKSTREAM 4-1 a 1", ""),
        ("XGROUP CREATE x g 0", "xgroup-create x"),
        ("XGROUP CREATE newx g 0 MKSTREAM", "new newx, xgroup-create newx"),
        ("XGROUP CREATECONSUMER x g c", "xgroup-createconsumer x"),
        ("XGROUP CREATECONSUMER x g c", ""),
        ("XREADGROUP GROUP g c STREAMS x >", ""),
        // As Redis 7.2, which makes the consumer also where there is nothing to read.
        ("XREADGROUP GROUP g c2 STREAMS x >", "xgroup-createconsumer x"),
        ("XREADGROUP GROUP g c2 STREAMS x 0", ""),
        ("XACK x g 2-1", ""),
        ("XCLAIM x g c3 0 3-1", "xgroup-createconsumer x"),
        ("XAUTOCLAIM x g c4 0 0", "xgroup-createconsumer x"),
        ("XPENDING x g", ""),
        ("XGROUP SETID x g 0", "xgroup-setid x"),
        ("XGROUP DELCONSUMER x g c", "xgroup-delconsumer x"),
        ("XGROUP DESTROY x g", "xgroup-destroy x"),
        ("XDEL x 2-1", "xdel x"),
        ("XDEL x 99-1", ""),
        ("XSETID x 9-9", "xsetid x"),
        ("XTRIM x MAXLEN 0", "xtrim x"),
        ("XTRIM x MAXLEN 0", ""),
        ("XADD dead 4-0 a 1", "new dead, xadd dead"),
        ("XADD dead 10-3 a 1", "xadd dead"),
        ("XDEL dead 10-3", "xdel dead"),
        ("XTRIM dead MINID 9-3", "xtrim dead"),
        ("XTRIM dead MINID 12-3", ""),
        ("XADD dead MAXLEN 0 14-1 a 1", "xadd dead, xtrim dead"),
        ("XLEN none", "keymiss none"),
        ("XRANGE none - +", "keymiss none"),
        ("DEL x", "del x"),
    ]);
}

#[test]
fn a_list_that_is_trimmed_says_so_even_where_all_of_it_stays() {
    Heard::new().check(&[
        ("RPUSH l a b", "new l, rpush l"),
        ("LTRIM l 0 -1", "ltrim l"),
        ("LTRIM l -5 2", "ltrim l"),
        ("LTRIM l 1 1", "ltrim l"),
        ("LTRIM l 5 6", "ltrim l, del l"),
        ("LTRIM l 0 -1", ""),
    ]);
}

#[test]
fn a_command_in_slices_says_once_what_it_did() {
    let mut heard = Heard::new();
    let many = |start: &str, count: usize, element: fn(usize) -> String| {
        let elements: Vec<String> = (0..count).map(element).collect();
        format!("{start} {}", elements.join(" "))
    };
    let member = |index: usize| format!("m{index}");
    let pair = |index: usize| format!("{index} m{index}");
    let field = |index: usize| format!("m{index} {index}");
    let place = |index: usize| format!("{} 10 m{index}", index % 90);
    for (request, events) in [
        (many("SADD s", 1000, member), "new s, sadd s"),
        (many("SADD s", 1000, member), ""),
        (many("SREM s", 500, member), "srem s"),
        ("SPOP s 400".to_owned(), "spop s"),
        ("SPOP s 100".to_owned(), "spop s, del s"),
        (many("HSET h", 500, field), "new h, hset h"),
        (many("HDEL h", 300, member), "hdel h"),
        (many("HDEL h", 500, member), "hdel h, del h"),
        (many("HSETEX h EX 100 FIELDS 300", 300, field), "new h, hset h, hexpire h"),
        (many("ZADD z", 3000, pair), "new z, zadd z"),
        ("ZPOPMIN z 500".to_owned(), "zpopmin z"),
        ("ZPOPMAX z 500".to_owned(), "zpopmax z"),
        ("ZREMRANGEBYRANK z 10 900".to_owned(), "zremrangebyrank z"),
        (many("ZREM z", 3000, member), "zrem z, del z"),
        (many("GEOADD g", 300, place), "new g, zadd g"),
        (many("RPUSH l", 5000, |_| "7".to_owned()), "new l, rpush l"),
        ("LREM l 3000 7".to_owned(), "lrem l"),
        ("LREM l 0 7".to_owned(), "lrem l, del l"),
    ] {
        let start: String = request.chars().take(30).collect();
        assert_eq!(heard.events(&request), events, "{start}");
    }
    for id in 1..=7000 {
        heard.events(&format!("XADD x {id}-1 f v"));
    }
    heard.check(&[
        ("XADD x MAXLEN 6990 7001-1 f v", "xadd x, xtrim x"),
        ("XADD x MAXLEN 10 7002-1 f v", "xadd x, xtrim x"),
    ]);
}

#[test]
fn names_of_a_redis_8() {
    Heard::new().check(&[
        ("HSETEX h EX 100 FIELDS 1 a 1", "new h, hset h, hexpire h"),
        ("HSETEX h PXAT 33177117420000 FIELDS 1 b 1", "hset h, hexpire h"),
        ("HSETEX h KEEPTTL FIELDS 1 b 1", "hset h"),
        ("HSETEX h FIELDS 1 c 1", "hset h"),
        ("HSETEX h EXAT 1 FIELDS 1 a 1", "hset h, hdel h"),
        ("HSETEX h EXAT 1 FIELDS 1 zz 1", "hset h, hdel h"),
        ("HSETEX n EXAT 1 FIELDS 2 zz 1 b 2", "new n, hset n, hdel n, del n"),
        ("HSETEX h EXAT 1 FIELDS 2 b 1 c 1", "hset h, hdel h, del h"),
        ("HMGET none a b", "keymiss none"),
        ("HTTL none FIELDS 1 a", "keymiss none"),
        ("HPEXPIRETIME none FIELDS 1 a", "keymiss none"),
        ("ZADD z 1 a 2 b 3 c", "new z, zadd z"),
        ("ZADD z INCR 1 a", "zincr z"),
        ("ZADD z XX INCR 1 a", "zincr z"),
        ("ZADD z INCR 0 a", ""),
        ("BZMPOP 1 1 z MAX", "zpopmax z"),
        ("BZMPOP 1 1 z MIN", "zpopmin z"),
        ("ZMPOP 1 z MAX", "zpopmax z, del z"),
    ]);
}
