use super::*;
use crate::glob::Pattern;
use crate::resp::Protocol;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Notes what a hub asks for.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Host for Notes {
    fn tell(&self, executor: u16) {
        self.0.lock().expect("alive").push(format!("tell {executor}"));
    }

    fn end(&self, client: u64, over: Over, _: &Limits) {
        self.0.lock().expect("alive").push(format!("end {client} {over:?}"));
    }
}

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("alive"))
    }
}

fn hub() -> (Hub, Notes) {
    let notes = Notes::default();
    (Hub::new(2, notes.clone()), notes)
}

fn texts(inbox: &Inbox) -> Vec<String> {
    let (mut texts, mut out) = (Vec::new(), Vec::new());
    for message in inbox.take() {
        out.clear();
        out.push(Message::first(Protocol::Resp2));
        out.extend_from_slice(message.rest());
        texts.push(String::from_utf8_lossy(&out).replace("\r\n", " "));
    }
    texts
}

#[test]
fn a_message_goes_to_the_channel_and_then_to_patterns_and_counts_each() {
    let (hub, _) = hub();
    let inbox = Inbox::new(1, 0);
    assert!(hub.is_silent(Scope::Plain));
    hub.subscribe(Scope::Plain, b"news", &inbox);
    hub.subscribe_pattern(b"n*", Pattern::new(b"n*").expect("short"), &inbox);
    hub.subscribe(Scope::Sharded, b"news", &inbox);
    assert_eq!(hub.listeners(Scope::Plain, b"news"), 2);
    assert_eq!(hub.listeners(Scope::Plain, b"no"), 1);
    assert_eq!(hub.listeners(Scope::Sharded, b"news"), 1);
    hub.say(Scope::Plain, b"news", b"hi");
    hub.say(Scope::Sharded, b"news", b"ho");
    hub.say(Scope::Plain, b"other", b"nobody");
    assert_eq!(
        texts(&inbox),
        [
            "*3 $7 message $4 news $2 hi ",
            "*4 $8 pmessage $2 n* $4 news $2 hi ",
            "*3 $8 smessage $4 news $2 ho ",
        ]
    );
    hub.unsubscribe(Scope::Plain, b"news", &inbox);
    hub.unsubscribe(Scope::Sharded, b"news", &inbox);
    hub.unsubscribe_pattern(b"n*", &inbox);
    assert_eq!(hub.counts(), Counts::default());
    hub.say(Scope::Plain, b"news", b"hi");
    assert!(texts(&inbox).is_empty());
}

#[test]
fn an_executor_is_told_once_until_it_has_looked_and_found_nothing() {
    let (hub, notes) = hub();
    let (one, two, far) = (Inbox::new(1, 0), Inbox::new(2, 0), Inbox::new(3, 1));
    for inbox in [&one, &two, &far] {
        hub.subscribe(Scope::Plain, b"c", inbox);
    }
    hub.say(Scope::Plain, b"c", b"1");
    hub.say(Scope::Plain, b"c", b"2");
    assert_eq!(notes.take(), ["tell 0", "tell 1"]);
    assert_eq!(hub.take_told(0).len(), 2);
    assert_eq!(one.take().len(), 2);
    hub.say(Scope::Plain, b"c", b"3");
    assert!(hub.take_told(0).is_empty(), "whoever has taken something looks once more");
    assert_eq!((one.take().len(), one.take().len()), (1, 0));
    hub.say(Scope::Plain, b"c", b"4");
    assert_eq!(notes.take(), ["tell 0"], "the other executor has not looked yet");
}

#[test]
fn who_does_not_read_is_ended_at_the_hard_limit_and_costs_nothing_more() {
    let (hub, notes) = hub();
    let inbox = Inbox::new(7, 0);
    hub.set_limits(Limits { hard_bytes: 1000, ..Limits::default() });
    hub.subscribe(Scope::Plain, b"c", &inbox);
    for _ in 0..100 {
        hub.say(Scope::Plain, b"c", &[b'x'; 90]);
    }
    let said = notes.take();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].starts_with("end 7 Over") && said[1].contains("is_hard: true"), "{said:?}");
    assert!(inbox.is_over());
    assert_eq!(inbox.waiting().1, 0, "what nobody will read is given back");
}

#[test]
fn the_soft_limit_is_a_matter_of_time_and_what_is_being_sent_counts() {
    let (hub, notes) = hub();
    let inbox = Inbox::new(7, 0);
    let limits = Limits { hard_bytes: 0, soft_bytes: 100, soft_time: Duration::ZERO };
    hub.set_limits(limits);
    hub.subscribe(Scope::Plain, b"c", &inbox);
    hub.say(Scope::Plain, b"c", &[b'x'; 90]);
    let taken = inbox.take();
    assert!(!inbox.is_over());
    std::thread::sleep(Duration::from_millis(1));
    inbox.sent(&taken);
    assert_eq!(inbox.look(&limits), None, "it was sent in time");
    hub.say(Scope::Plain, b"c", &[b'x'; 90]);
    let _in_flight = inbox.take();
    std::thread::sleep(Duration::from_millis(1));
    assert!(inbox.look(&limits).is_some_and(|over| !over.is_hard));
    assert!(inbox.is_over());
    assert_eq!(notes.take(), ["tell 0"], "whoever looks ends it");
}
