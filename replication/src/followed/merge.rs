//! From the journals of all shards to one stream of commands.
//!
//! ```text
//!   shard 0   a  b  [T: x]  c         a d b ... MULTI x y EXEC ... e c
//!   shard 1   d  [T: y]  e
//! ```
//!
//! A frame of one shard is said as it comes. A frame with parts on several is said once all its parts stand at the
//! heads of their journals, as one: so whoever performs the stream never has one part without the others. Since
//! frames stand in one global order in all journals (J2), shards never wait for each other in a circle.
//!
//! More than one command of a frame goes into MULTI and EXEC. SELECT goes before a command whose database is not the
//! one before. What changes whole databases stands in every shard's part, and is said once, behind what the parts
//! have before it and before what they have behind it.
//!
//! Where the words of those who are told leave something out that the data has, the stream ends, and wants newer ones:
//! a copy that somebody took has it, and nobody would be told when it changes.
//!
//! It owns bytes and positions: no reader, no socket, no clock.

use engine::journal::{Decoder, Entries, Frame, FrameEntry, Global};
use engine::tell::{Peers, Sayings, Teller, say_global};
use engine::types::{DbIndex, Lsn, ShardId, TxId};
use std::rc::Rc;

/// Bytes of a journal that wait here before no more is read of it, unless a frame is not whole yet.
const CREDIT: usize = 1024 * 1024;

/// See the module's doc.
pub struct Merge {
    inflows: Vec<Inflow>,
    /// What each shard's journal says.
    tellers: Vec<Teller>,
    /// The database that was selected last; none: it has to be said.
    db: Option<DbIndex>,
    /// Where the search goes on, for fairness.
    turn: usize,
    sayings: Sayings,
    /// For whom the stream ended: see the module's doc.
    wants: Option<Peers>,
}

/// Why a stream ends for whom it was too old.
const TIMED_FIELDS: &str =
    "fields of hashes expire now, which Redis 7.4 and Valkey 9 and later take";

/// One shard's journal.
struct Inflow {
    buffer: Vec<u8>,
    /// What of it is said.
    at: usize,
    decoder: Decoder,
    /// What is said.
    lsn: Lsn,
    /// The frame at the head has parts elsewhere.
    waiting: Option<Parts>,
    /// The frame at the head is not whole.
    is_short: bool,
}

/// A frame of several shards: looked at once, however often it is asked whether all its parts have come.
#[derive(Clone)]
struct Parts {
    id: TxId,
    /// Who has one, in their order.
    members: Rc<[usize]>,
}

impl Merge {
    /// Of journals that are said up to `starts`, the ends of frames of one moment.
    pub fn new(starts: &[Lsn], peers: Peers, longest: u64) -> Merge {
        let inflow = |lsn: &Lsn| Inflow {
            buffer: Vec::new(),
            at: 0,
            decoder: Decoder::new(),
            lsn: *lsn,
            waiting: None,
            is_short: true,
        };
        let inflows = starts.iter().map(inflow).collect();
        let tellers = starts.iter().map(|_| Teller::new(peers, longest)).collect();
        let (sayings, wants) = (Sayings::default(), None);
        Merge { inflows, tellers, db: None, turn: 0, sayings, wants }
    }

    /// For whom the next stream has to be, where this one has ended since something would be left out.
    pub fn wants(&self) -> Option<Peers> {
        self.wants
    }

    /// Whether more of a shard's journal may be added.
    pub fn wants_more(&self, shard: usize) -> bool {
        let inflow = &self.inflows[shard];
        inflow.is_short || inflow.buffer.len() - inflow.at < CREDIT
    }

    /// More of a shard's journal.
    pub fn add(&mut self, shard: usize, bytes: &[u8]) {
        let inflow = &mut self.inflows[shard];
        if inflow.at > 0 && inflow.at >= inflow.buffer.len() / 2 {
            inflow.buffer.drain(..inflow.at);
            inflow.at = 0;
        }
        inflow.buffer.extend_from_slice(bytes);
        inflow.is_short = false;
    }

    /// Up to where each shard's journal is said.
    pub fn lsns(&self) -> Vec<Lsn> {
        self.inflows.iter().map(|inflow| inflow.lsn).collect()
    }

    /// Whoever begins here has no database selected.
    pub fn forget_db(&mut self) {
        self.db = None;
    }

    /// Appends what may be said to `out`, until that has about `most` bytes. Whether something was taken. After an
    /// error the stream has no next command.
    pub fn say(&mut self, out: &mut Vec<u8>, most: usize) -> Result<bool, String> {
        let (mut idle, mut has_moved) = (0, false);
        while idle < self.inflows.len() && out.len() < most {
            let shard = self.turn;
            self.turn = (self.turn + 1) % self.inflows.len();
            let moved = self.advance(shard, out, most)?;
            has_moved |= moved;
            idle = if moved { 0 } else { idle + 1 };
        }
        Ok(has_moved)
    }

    /// Says what stands at the head of one journal; whether anything did.
    fn advance(&mut self, shard: usize, out: &mut Vec<u8>, most: usize) -> Result<bool, String> {
        let count = self.inflows.len();
        let mut has_moved = false;
        while out.len() < most {
            let Merge { inflows, tellers, sayings, db, wants, .. } = self;
            let (inflow, teller) = (&mut inflows[shard], &mut tellers[shard]);
            if let Some(parts) = inflow.waiting.clone() {
                return Ok(self.take_transaction(&parts, out)? || has_moved);
            }
            let Inflow { buffer, at, decoder, .. } = inflow;
            let Some((frame, used)) = decode(decoder, &buffer[*at..])? else {
                inflow.is_short = true;
                return Ok(has_moved);
            };
            if let Some(parts) = others(&frame, shard, count)? {
                inflow.waiting = Some(parts);
                continue;
            }
            sayings.clear();
            for entry in frame.entries() {
                match entry {
                    FrameEntry::Global(global) => say_global(global, sayings),
                    record => teller.say(&record, sayings).map_err(|why| why.to_string())?,
                }
            }
            let lsns = frame.lsn_count();
            inflow.at += used;
            inflow.lsn = Lsn(inflow.lsn.0 + lsns);
            say_all(sayings, db, wants, out)?;
            has_moved = true;
        }
        Ok(has_moved)
    }

    /// Says a frame of several shards, if all its parts are here.
    fn take_transaction(&mut self, parts: &Parts, out: &mut Vec<u8>) -> Result<bool, String> {
        if !self.are_here(parts)? {
            return Ok(false);
        }
        self.sayings.clear();
        let ends = self.say_parts(parts.id, &parts.members)?;
        for (member, (used, lsns)) in parts.members.iter().zip(ends) {
            let inflow = &mut self.inflows[*member];
            inflow.at += used;
            inflow.lsn = Lsn(inflow.lsn.0 + lsns);
            inflow.waiting = None;
        }
        say_all(&self.sayings, &mut self.db, &mut self.wants, out)?;
        Ok(true)
    }

    /// Says the parts of a transaction; how many bytes and LSNs each has.
    fn say_parts(&mut self, tx: TxId, members: &[usize]) -> Result<Vec<(usize, u64)>, String> {
        let Merge { inflows, tellers, sayings, .. } = self;
        let (mut parts, mut ends) = (Vec::new(), Vec::new());
        for &member in members {
            let inflow = &inflows[member];
            let found = decode(&mut Decoder::new(), &inflow.buffer[inflow.at..])?;
            let Some((frame, used)) = found else { return Err(lost(tx)) };
            ends.push((used, frame.lsn_count()));
            parts.push((member, frame.entries()));
        }
        // Each in turn up to the next change of whole databases, which all have.
        loop {
            let (mut global, mut stopped) = (None, 0);
            for (member, entries) in &mut parts {
                let found = say_up_to_global(&mut tellers[*member], entries, sayings)?;
                stopped += usize::from(found.is_some());
                if global.is_some() && found.is_some() && global != found {
                    return Err(lost(tx));
                }
                global = global.or(found);
            }
            let Some(found) = global else { return Ok(ends) };
            if stopped != members.len() {
                return Err(lost(tx));
            }
            say_global(found, sayings);
        }
    }

    /// Whether a transaction stands at the heads of all its shards' journals.
    fn are_here(&self, Parts { id, members }: &Parts) -> Result<bool, String> {
        for member in members.iter() {
            match &self.inflows[*member].waiting {
                Some(other) if other.id == *id => {}
                // In one global order a younger one is not before it: both would wait for ever.
                Some(other) if other.id > *id => {
                    return Err(format!("transactions {} and {} cross", id.0, other.id.0));
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// Says entries up to the next change of whole databases, which it answers.
fn say_up_to_global(
    teller: &mut Teller,
    entries: &mut Entries<'_>,
    sayings: &mut Sayings,
) -> Result<Option<Global>, String> {
    for entry in entries {
        match entry {
            FrameEntry::Global(global) => return Ok(Some(global)),
            record => teller.say(&record, sayings).map_err(|why| why.to_string())?,
        }
    }
    Ok(None)
}

fn lost(tx: TxId) -> String {
    format!("the parts of transaction {} do not fit each other", tx.0)
}

fn decode<'a>(
    decoder: &mut Decoder,
    bytes: &'a [u8],
) -> Result<Option<(Frame<'a>, usize)>, String> {
    decoder.next(bytes).map_err(|error| format!("a journal cannot be read: {error}"))
}

/// The transaction that a frame is a part of, if it has parts on other shards.
fn others(frame: &Frame<'_>, shard: usize, shards: usize) -> Result<Option<Parts>, String> {
    let Some(transaction) = frame.transaction() else { return Ok(None) };
    let (count, highest) = (transaction.shards.count(), transaction.shards.highest().index());
    if !transaction.shards.contains(ShardId(shard as u16)) || highest >= shards {
        return Err(lost(transaction.id));
    }
    let parts = || Parts {
        id: transaction.id,
        members: transaction.shards.iter().map(ShardId::index).collect(),
    };
    Ok((count > 1).then(parts))
}

/// Appends the commands of one frame, if they leave nothing out.
fn say_all(
    sayings: &Sayings,
    db: &mut Option<DbIndex>,
    wants: &mut Option<Peers>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    *wants = sayings.wants();
    if wants.is_some() {
        return Err(TIMED_FIELDS.to_owned());
    }
    put(sayings, db, out);
    Ok(())
}

/// Appends the commands of one frame.
fn put(sayings: &Sayings, selected: &mut Option<DbIndex>, out: &mut Vec<u8>) {
    let is_many = sayings.len() > 1;
    for (place, (db, command)) in sayings.iter().enumerate() {
        if let Some(db) = db.filter(|db| *selected != Some(*db)) {
            let digits = db.0.to_string();
            let length = digits.len();
            let select = format!("*2\r\n$6\r\nSELECT\r\n${length}\r\n{digits}\r\n");
            out.extend_from_slice(select.as_bytes());
            *selected = Some(db);
        }
        if is_many && place == 0 {
            out.extend_from_slice(b"*1\r\n$5\r\nMULTI\r\n");
        }
        out.extend_from_slice(command);
    }
    if is_many {
        out.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
