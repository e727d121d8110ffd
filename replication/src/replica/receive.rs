//! What arrives on a flow, as segments in their order: bytes of the journal, items, marks.
//!
//! ```text
//!   messages   Log Log | Items Items | Passed | Log | Items
//!   segments   [ Log  ] [   Items   ] [Passed] [ Log ] [Items]
//! ```
//!
//! Everything that waits counts against the flow's credit, the segments themselves
//! too. What cannot be gone on from is an error here or where a segment is taken.

use super::gather::Gather;
use super::inflow::{Bytes, Inflow, Segment};
use crate::wire::{self, Kind};
use engine::types::Lsn;

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
