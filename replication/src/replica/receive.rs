//! What arrives on a flow, as segments in their order: bytes of the journal, items, marks.
//!
//! ```text
//!   messages   Log Log | Items | Passed | Log | Piece | Log        Piece: of item 7, its last one
//!   segments   [ Log  ] [Items] [Passed] [ Log ] [Large 7] [Log]
//! ```
//!
//! A large item's pieces are put together aside; it takes its place in the order when it begins and once
//! more when it is whole. Everything that waits counts against the flow's credit, the segments themselves
//! too. What cannot be gone on from is an error here or where a segment is taken.

use super::gather::Gather;
use super::inflow::{Arriving, Bytes, Inflow, Segment, is_item};
use crate::wire::{self, Kind};
use engine::journal::{Decoder, FRAME_BYTES_MAX, FrameEntry};
use engine::shard::{LargeId, LargeStep};
use engine::types::{Lsn, shard_of};

/// Large items of one flow that are on their way: the walks of a chain's shards, with as many as may lie
/// side by side in one step of a walk.
const ARRIVING_MAX: usize = 65_536;

impl Gather {
    /// Takes the whole messages out of what a flow has received. Answers with the master's head if it
    /// said so: then it wants a sign of life.
    pub fn receive(&mut self, flow: u16, buffer: &mut Vec<u8>) -> Result<Option<Lsn>, String> {
        let (mut at, mut pinged) = (0, None);
        while let Some((kind, payload, used)) = wire::next(&buffer[at..])? {
            at += used;
            if kind != Kind::Ping {
                // Items stand in the road before the journal: they too are something that comes.
                self.flows[usize::from(flow)].came_bytes += used as u64;
            }
            match kind {
                Kind::Log => self.receive_log(flow, payload),
                Kind::Items => self.receive_items(flow, payload)?,
                Kind::Large => self.receive_large(flow, &wire::Large::of(payload)?)?,
                Kind::Piece => {
                    let (number, bytes) = wire::piece(payload)?;
                    self.receive_piece(flow, number, bytes)?;
                }
                Kind::Passed => self.receive_passed(flow, &wire::all_numbers(payload)?)?,
                Kind::CutDone if payload.is_empty() => self.receive_cut_done(flow)?,
                Kind::Ping => {
                    let [head, _bytes] = wire::numbers(payload)?;
                    pinged = Some(wire::lsn(head)?);
                }
                other => return Err(format!("the master sent {other:?}")),
            }
        }
        buffer.drain(..at);
        // A message that comes slowly comes nevertheless.
        let coming = if wire::begins_with(buffer, Kind::Ping) { 0 } else { buffer.len() };
        self.flows[usize::from(flow)].coming_bytes = coming as u64;
        Ok(pinged)
    }

    /// Journal bytes arrive on a flow.
    pub fn receive_log(&mut self, flow: u16, bytes: &[u8]) {
        let flow = &mut self.flows[usize::from(flow)];
        match flow.segments.back_mut() {
            _ if bytes.is_empty() => {}
            Some(Segment::Log(open)) => {
                flow.buffered += bytes.len();
                open.buffer.extend_from_slice(bytes);
            }
            _ => flow.push(Segment::Log(Bytes::of(bytes))),
        }
    }

    /// Item bytes arrive on a flow.
    pub fn receive_items(&mut self, flow: u16, bytes: &[u8]) -> Result<(), String> {
        let flow = self.flow_in_sync(flow)?;
        match flow.segments.back_mut() {
            _ if bytes.is_empty() => {}
            Some(Segment::Items(open)) => {
                flow.buffered += bytes.len();
                open.buffer.extend_from_slice(bytes);
            }
            _ => flow.push(Segment::Items(Bytes::of(bytes))),
        }
        Ok(())
    }

    /// An item begins whose pieces follow.
    pub fn receive_large(&mut self, index: u16, large: &wire::Large<'_>) -> Result<(), String> {
        let flow = self.flow_in_sync(index)?;
        let wire::Large { number, length, db, key } = *large;
        let is_known = flow.boundaries.first().is_some_and(|dbs| db.index() < dbs.len());
        let flows = self.flows.len() as u16;
        if shard_of(key, flows).index() != usize::from(index) {
            return Err("an item that belongs to another flow".to_owned());
        }
        let flow = self.flow_in_sync(index)?;
        if !is_known || length <= key.len() as u64 || length > FRAME_BYTES_MAX {
            return Err(format!("an item of {length} bytes in database {}", db.0));
        }
        if flow.arriving.len() >= ARRIVING_MAX || flow.arriving.contains_key(&number) {
            return Err(format!("item {number} begins among {}", flow.arriving.len()));
        }
        let (key, length) = (key.to_vec(), length as usize);
        let id = LargeId { flow: index, number };
        let step = LargeStep::Begins { id, db, key: key.clone() };
        flow.push(Segment::Large { step, frame: Vec::new() });
        flow.arriving.insert(number, Arriving { key, frame: Vec::new(), length });
        Ok(())
    }

    /// A piece of a large item arrives; the last one makes it whole.
    pub fn receive_piece(&mut self, index: u16, number: u64, bytes: &[u8]) -> Result<(), String> {
        let flow = self.flow_in_sync(index)?;
        let unknown = || format!("a piece of item {number}, which did not begin");
        let arriving = flow.arriving.get_mut(&number).ok_or_else(unknown)?;
        if arriving.length - arriving.frame.len() < bytes.len() {
            return Err(format!("item {number} is longer than {} bytes", arriving.length));
        }
        // A sender finishes one item before it sends pieces of the next.
        flow.assembled += bytes.len() as u64;
        if flow.assembled > FRAME_BYTES_MAX {
            return Err(format!("{} bytes of items that are not whole", flow.assembled));
        }
        arriving.frame.extend_from_slice(bytes);
        if arriving.frame.len() == arriving.length
            && let Some(Arriving { key, frame, .. }) = flow.arriving.remove(&number)
        {
            flow.assembled -= frame.len() as u64;
            check_item(&key, &frame)?;
            let id = LargeId { flow: index, number };
            flow.push(Segment::Large { step: LargeStep::Whole { id, key }, frame });
        }
        Ok(())
    }

    /// A flow says how far one of the sender's walks has come: its number, and a boundary a database.
    pub fn receive_passed(&mut self, flow: u16, numbers: &[u64]) -> Result<(), String> {
        let flow = self.flow_in_sync(flow)?;
        let (walk, boundaries) = numbers.split_first().ok_or("a boundary without a walk")?;
        let known = usize::try_from(*walk).ok().and_then(|walk| flow.boundaries.get(walk));
        if known.is_none_or(|known| known.len() != boundaries.len()) {
            return Err(format!("a boundary of walk {walk}, which is not part of this sync"));
        }
        flow.push(Segment::Passed { walk: *walk as usize, boundaries: boundaries.to_vec() });
        Ok(())
    }

    /// A flow's items are complete.
    pub fn receive_cut_done(&mut self, flow: u16) -> Result<(), String> {
        let flow = self.flow_in_sync(flow)?;
        if !flow.arriving.is_empty() {
            return Err("the items end while one of them is on its way".to_owned());
        }
        flow.items_over = true;
        flow.push(Segment::CutDone);
        Ok(())
    }

    /// A flow on which items may come.
    fn flow_in_sync(&mut self, flow: u16) -> Result<&mut Inflow, String> {
        let flow = &mut self.flows[usize::from(flow)];
        match flow.items_over {
            true => Err("the master sent items where none are left to be sent".to_owned()),
            false => Ok(flow),
        }
    }
}

/// Whether a large item is what it was announced as.
fn check_item(key: &[u8], bytes: &[u8]) -> Result<(), String> {
    let frame = Decoder::new().next(bytes).ok().flatten();
    let is_that = frame.is_some_and(|(frame, used)| {
        let is_its =
            |entry| is_item(&entry) && matches!(entry, FrameEntry::Record(put) if put.key == key);
        used == bytes.len() && frame.entry_count() == 1 && frame.entries().all(is_its)
    });
    if is_that { Ok(()) } else { Err("a large item is not what it was announced as".to_owned()) }
}
