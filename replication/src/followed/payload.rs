//! The bytes of one copy, for one follower or for several that asked together.
//!
//! ```text
//!   made ─► [ in memory, a window of some MB ] ─► each taker at its own place
//!               └─ nobody takes for a while ─► [ a file without a name, for all that comes from there on ]
//! ```
//!
//! The cut must not wait for a follower: what it holds grows with what is written meanwhile. So a window is waited for
//! a little, and from then on all goes to the file, which vanishes with the last who reads it.

use crate::bell::Bell;
use engine::rdb::{Crc, file_write};
use engine::rt::File;
use engine::snapshot::Sink;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Bytes in memory that no taker has taken: what a socket takes at once many times over.
const WINDOW: u64 = 8 * 1024 * 1024;

/// For so long each part, of some 128 KiB, waits for room in the window: who takes 30 MB a second never makes a file.
const PATIENCE: Duration = Duration::from_millis(4);

/// See the module's doc.
pub(super) struct Payload {
    state: RefCell<State>,
    /// Somebody has taken something, or has gone.
    room: Bell,
    /// Where a file may be made.
    scratch: PathBuf,
}

#[derive(Default)]
struct State {
    /// Where each begins, and its bytes.
    chunks: VecDeque<(u64, Rc<[u8]>)>,
    /// The first byte in memory.
    first: u64,
    /// The last one: what follows is in the file.
    in_memory: u64,
    file: Option<Rc<File>>,
    end: u64,
    outcome: Option<Result<(), String>>,
    takers: BTreeMap<u64, Taker>,
}

struct Taker {
    at: u64,
    bell: Rc<Bell>,
    /// It takes nothing before it knows the length.
    wants_length: bool,
}

/// What a taker got.
pub(super) enum Got {
    /// These bytes.
    Bytes(Rc<[u8]>),
    /// Nothing yet: its bell is rung.
    NotYet,
    /// It has had all.
    End,
    /// There will be no more.
    Failed(String),
}

impl Payload {
    /// Empty; `scratch` is the name of a file that may be made.
    pub(super) fn new(scratch: PathBuf) -> Payload {
        Payload { state: RefCell::default(), room: Bell::default(), scratch }
    }

    /// Whether one more taker can have all of it.
    pub(super) fn is_all_here(&self) -> bool {
        let state = self.state.borrow();
        state.first == 0 && !matches!(state.outcome, Some(Err(_)))
    }

    /// One more taker. Only while all is here.
    pub(super) fn join(&self, id: u64, bell: Rc<Bell>, wants_length: bool) {
        let taker = Taker { at: 0, bell, wants_length };
        self.state.borrow_mut().takers.insert(id, taker);
    }

    /// A taker leaves.
    pub(super) fn leave(&self, id: u64) {
        let mut state = self.state.borrow_mut();
        state.takers.remove(&id);
        state.trim();
        self.room.ring();
    }

    /// Whether nobody wants it.
    pub(super) fn is_unwanted(&self) -> bool {
        self.state.borrow().takers.is_empty()
    }

    /// There is no more of it.
    pub(super) fn finish(&self, outcome: Result<(), String>) {
        let mut state = self.state.borrow_mut();
        state.outcome.get_or_insert(outcome);
        state.takers.values().for_each(|taker| taker.bell.ring());
    }

    /// Wakes whoever waits for it, for another reason.
    pub(super) fn ring(&self) {
        self.state.borrow().takers.values().for_each(|taker| taker.bell.ring());
    }

    /// The length of all of it, once it is known.
    pub(super) fn length(&self) -> Option<u64> {
        let state = self.state.borrow();
        state.outcome.as_ref().filter(|outcome| outcome.is_ok()).map(|_| state.end)
    }

    /// Why there is not all of it, if there is not.
    pub(super) fn failure(&self) -> Option<String> {
        self.state.borrow().outcome.clone().and_then(Result::err)
    }

    /// The next bytes for a taker, some `most` of them.
    pub(super) async fn next(&self, id: u64, most: usize) -> Got {
        let (at, file) = {
            let state = self.state.borrow();
            let Some(taker) = state.takers.get(&id) else { return Got::End };
            match &state.outcome {
                Some(Err(why)) => return Got::Failed(why.clone()),
                Some(Ok(())) if taker.at == state.end => return Got::End,
                _ if taker.at == state.end => return Got::NotYet,
                _ => {}
            }
            (taker.at, state.file.clone().filter(|_| taker.at >= state.in_memory))
        };
        let bytes = match file {
            None => self.state.borrow().in_memory_from(at),
            Some(file) => match self.read(&file, at, most).await {
                Ok(bytes) => bytes,
                Err(why) => return Got::Failed(why),
            },
        };
        let mut state = self.state.borrow_mut();
        if let Some(taker) = state.takers.get_mut(&id) {
            taker.at = at + bytes.len() as u64;
        }
        state.trim();
        self.room.ring();
        Got::Bytes(bytes)
    }

    async fn read(&self, file: &File, at: u64, most: usize) -> Result<Rc<[u8]>, String> {
        let (place, left) = {
            let state = self.state.borrow();
            (at - state.in_memory, state.end - at)
        };
        let length = most.min(usize::try_from(left).unwrap_or(most));
        let mut bytes = Vec::with_capacity(length);
        let read = file.read_at(place, length, &mut bytes).await;
        match read.map_err(|error| error.to_string())? {
            0 => Err(format!("{} ends too early", self.scratch.display())),
            _ => Ok(bytes.into()),
        }
    }

    /// Waits a little for room in memory. Whether there is any.
    async fn has_room(&self) -> bool {
        let is_full = || {
            let state = self.state.borrow();
            state.end - state.first >= WINDOW && !state.takers.is_empty()
        };
        let waits = || !self.state.borrow().takers.values().any(|taker| taker.wants_length);
        let until = Instant::now() + PATIENCE;
        while is_full() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !waits() {
                return false;
            }
            self.room.wait_for(left).await;
        }
        true
    }
}

/// Fills it.
pub(super) struct Filling {
    payload: Rc<Payload>,
    /// Of what was put there.
    crc: Crc,
}

impl Filling {
    pub(super) fn of(payload: Rc<Payload>) -> Filling {
        Filling { payload, crc: Crc::default() }
    }
}

impl Sink for Filling {
    async fn take(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.crc.add(&bytes);
        self.payload.put(bytes).await
    }

    async fn end(&mut self) -> Result<(), String> {
        self.payload.put(file_write::end(self.crc)).await
    }
}

impl Payload {
    async fn put(&self, bytes: Vec<u8>) -> Result<(), String> {
        let length = bytes.len() as u64;
        let in_file = self.state.borrow().file.is_some();
        let in_file = in_file || !self.has_room().await;
        if self.is_unwanted() {
            return Err("nobody waits for it any more".to_owned());
        }
        if in_file {
            let known = self.state.borrow().file.clone();
            let file = match known {
                Some(file) => file,
                None => {
                    let made = File::scratch(&self.scratch).await;
                    Rc::new(made.map_err(|error| error.to_string())?)
                }
            };
            let place = {
                let state = self.state.borrow();
                state.end - state.in_memory
            };
            let written = file.write_at(bytes, place).await;
            written.map_err(|error| error.to_string())?;
            let mut state = self.state.borrow_mut();
            state.file = Some(file);
            state.end += length;
        } else {
            let mut state = self.state.borrow_mut();
            let at = state.end;
            state.chunks.push_back((at, bytes.into()));
            state.end += length;
            state.in_memory = state.end;
        }
        let state = self.state.borrow();
        state.takers.values().for_each(|taker| taker.bell.ring());
        Ok(())
    }
}

impl State {
    /// What stands in memory from `at` on, up to the end of its chunk.
    fn in_memory_from(&self, at: u64) -> Rc<[u8]> {
        let place = self.chunks.partition_point(|(start, _)| *start <= at);
        let Some((start, bytes)) = place.checked_sub(1).and_then(|place| self.chunks.get(place))
        else {
            return Rc::from([].as_slice());
        };
        match (at - start) as usize {
            0 => bytes.clone(),
            within => bytes[within..].into(),
        }
    }

    /// Lets go of what everybody has.
    fn trim(&mut self) {
        let least = self.takers.values().map(|taker| taker.at).min().unwrap_or(self.end);
        while let Some((start, bytes)) = self.chunks.front()
            && start + bytes.len() as u64 <= least
        {
            self.first = start + bytes.len() as u64;
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
