//! Which key events commands say, in Redis's names and order.

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
        ("SETEX k 100 1", "set k, expire k"),
        ("SETNX k 1", ""),
        ("GETSET k 1", "set k"),
        ("INCR k", "incrby k"),
        ("DECRBY k 2", "incrby k"),
        ("INCRBYFLOAT k 1.5", "incrbyfloat k"),
        ("APPEND k x", "append k"),
        ("SETRANGE k 0 y", "setrange k"),
        ("SETBIT k 100 1", "setbit k"),
        ("SETBIT k 100 1", ""),
        ("BITFIELD k SET u8 0 1", "setbit k"),
        ("GET none", "keymiss none"),
        ("EXPIRE k 100", "expire k"),
        ("PERSIST k", "persist k"),
        ("PERSIST k", ""),
        ("GETEX k EX 10", "expire k"),
        ("GETEX k PERSIST", "persist k"),
        ("MSET a 1 k 2", "new a, set a, set k"),
        ("MSETNX a 1 k 2", ""),
        ("COPY a b", "new b, copy_to b"),
        ("RENAME b c", "rename_from b, new c, rename_to c"),
        ("MOVE c 1", "move_from c, new c, move_to c"),
        ("BITOP AND d a k", "new d, set d"),
        ("BITOP AND d none", "keymiss none, del d"),
        ("PFADD h 1", "new h, pfadd h"),
        ("PFADD h 1", ""),
        ("PFMERGE h2 h", "new h2, pfadd h2"),
        ("PFCOUNT h", ""),
        ("GETDEL a", "del a"),
        ("DEL k none h", "del k, del h"),
        ("UNLINK h2", "del h2"),
        ("SET e 1 PXAT 1000001", "new e, set e, expire e"),
        ("EXPIRE e -1", "del e"),
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
        ("XGROUP CREATE x g 0", "xgroup-create x"),
        ("XGROUP CREATECONSUMER x g c", "xgroup-createconsumer x"),
        ("XREADGROUP GROUP g c STREAMS x >", ""),
        ("XACK x g 2-1", ""),
        ("XGROUP SETID x g 0", "xgroup-setid x"),
        ("XGROUP DELCONSUMER x g c", "xgroup-delconsumer x"),
        ("XGROUP DESTROY x g", "xgroup-destroy x"),
        ("XDEL x 2-1", "xdel x"),
        ("XSETID x 9-9", "xsetid x"),
        ("XTRIM x MAXLEN 0", ""),
        ("DEL x", "del x"),
    ]);
}
