//! Looking up names. The system's resolver blocks, so it is asked on threads of their own; a resolver
//! that does not answer keeps one for half a minute.
//!
//! ```text
//!   askers ──► inquiries, one for each name ──► at most LOOKUPS_MAX threads ──► every asker of the name
//! ```
//!
//! Whoever asks for a name that is being looked up shares the answer; other names wait for a thread.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::rt::executor;
use crate::rt::reply::{ReplySlot, ReplyTo};

/// How many names are looked up at once by the whole process: each takes a thread.
const LOOKUPS_MAX: usize = 8;

/// How many names may be known here, under way or waiting: each is some hundred bytes, and the last
/// one waits for this many look-ups by LOOKUPS_MAX threads.
const NAMES_MAX: usize = 512;

/// How many may wait for one name: as many as connections that could ask, within reason.
const ASKERS_MAX: usize = 16_384;

type Answer = Result<Vec<SocketAddr>, String>;

struct Inquiry {
    name: String,
    /// A thread looks it up.
    begun: bool,
    askers: Vec<ReplyTo<Answer>>,
}

struct Desk {
    threads: usize,
    inquiries: Vec<Inquiry>,
}

static DESK: Mutex<Desk> = Mutex::new(Desk { threads: 0, inquiries: Vec::new() });

fn desk() -> MutexGuard<'static, Desk> {
    DESK.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// Notes that somebody wants to know. Whether one more thread is needed.
    fn ask(&mut self, name: &str, asker: ReplyTo<Answer>) -> Result<bool, String> {
        let too_many = || Err(format!("cannot look up {name}: too many names are being looked up"));
        if let Some(inquiry) = self.inquiries.iter_mut().find(|inquiry| inquiry.name == name) {
            if inquiry.askers.len() >= ASKERS_MAX {
                return too_many();
            }
            inquiry.askers.push(asker);
            return Ok(false);
        }
        if self.inquiries.len() >= NAMES_MAX {
            return too_many();
        }
        let name = name.to_owned();
        self.inquiries.push(Inquiry { name, begun: false, askers: vec![asker] });
        let needed = self.threads < LOOKUPS_MAX;
        self.threads += usize::from(needed);
        Ok(needed)
    }

    /// The next name to look up; a thread that gets none ends.
    fn next(&mut self) -> Option<String> {
        let Some(inquiry) = self.inquiries.iter_mut().find(|inquiry| !inquiry.begun) else {
            self.threads -= 1;
            return None;
        };
        inquiry.begun = true;
        Some(inquiry.name.clone())
    }

    /// Who wants to know about a name that has been looked up.
    fn finish(&mut self, name: &str) -> Vec<ReplyTo<Answer>> {
        let place = self.inquiries.iter().position(|inquiry| inquiry.name == name);
        place.map(|place| self.inquiries.remove(place).askers).unwrap_or_default()
    }

    /// A thread could not be started: if nobody else would ever come, nobody waits in vain.
    fn give_up(&mut self) -> Vec<Inquiry> {
        self.threads -= 1;
        if self.threads == 0 { std::mem::take(&mut self.inquiries) } else { Vec::new() }
    }
}

/// The addresses of `name`, with port 0. Never an empty list.
pub(super) async fn look_up(name: &str) -> Answer {
    let mut slot = ReplySlot::new();
    let needs_thread = desk().ask(name, slot.sender())?;
    if needs_thread {
        let looker = thread::Builder::new().name("resolve".to_owned()).spawn(serve);
        if let Err(error) = looker {
            let abandoned = desk().give_up();
            if !abandoned.is_empty() {
                return Err(format!("cannot look up {name}: {error}"));
            }
        }
    }
    // A thread that could not go on has dropped its askers.
    slot.recv().await.unwrap_or_else(|| Err(format!("cannot look up {name}: no address")))
}

fn serve() {
    executor::unpin_thread();
    loop {
        let Some(name) = desk().next() else { return };
        let answer = match (name.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>) {
            Ok(addresses) if !addresses.is_empty() => Ok(addresses),
            Ok(_) => Err(format!("cannot look up {name}: no address")),
            Err(error) => Err(format!("cannot look up {name}: {error}")),
        };
        let askers = desk().finish(&name);
        for asker in askers {
            asker.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker() -> (ReplySlot<Answer>, ReplyTo<Answer>) {
        let mut slot = ReplySlot::new();
        let reply = slot.sender();
        (slot, reply)
    }

    #[test]
    fn one_name_is_looked_up_once_for_all_who_ask_and_others_wait_for_a_thread() {
        let mut desk = Desk { threads: 0, inquiries: Vec::new() };
        let mut slots = Vec::new();
        for number in 0..30 {
            let (slot, reply) = asker();
            slots.push(slot);
            assert_eq!(desk.ask("localhost", reply), Ok(number == 0));
        }
        for number in 1..NAMES_MAX {
            let (slot, reply) = asker();
            slots.push(slot);
            assert_eq!(desk.ask(&format!("name-{number}"), reply), Ok(number < LOOKUPS_MAX));
        }
        assert_eq!(desk.threads, LOOKUPS_MAX);
        let (_slot, reply) = asker();
        assert!(desk.ask("one-more", reply).unwrap_err().contains("too many names"));
        assert_eq!(desk.next().as_deref(), Some("localhost"));
        assert_eq!(desk.next().as_deref(), Some("name-1"), "in the order of asking");
        assert_eq!(desk.finish("localhost").len(), 30);
        let (_slot, reply) = asker();
        assert_eq!(desk.ask("localhost", reply), Ok(false), "anew, by a thread that is there");
        while desk.next().is_some() {}
        assert_eq!(desk.threads, LOOKUPS_MAX - 1);
    }

    #[test]
    fn without_any_thread_nobody_waits_in_vain() {
        let mut desk = Desk { threads: 0, inquiries: Vec::new() };
        let (_one, reply) = asker();
        assert_eq!(desk.ask("one", reply), Ok(true));
        let (_two, reply) = asker();
        assert_eq!(desk.ask("two", reply), Ok(true));
        assert_eq!(desk.give_up().len(), 0, "the other thread serves both");
        assert_eq!(desk.give_up().len(), 2);
        assert!(desk.inquiries.is_empty() && desk.threads == 0);
    }
}
