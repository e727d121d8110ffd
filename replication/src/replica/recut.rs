//! Frames of the master's shards, cut anew for ours.
//!
//! A frame whose keys are on one of our shards goes there as it came; others are taken apart by record.
//! Nothing here decides when a frame is handed out.

use engine::journal::{Frame, FrameBuilder, FrameEntry, Global, ShardSet, Transaction};
use engine::types::{ShardId, TxId, shard_of};
use std::collections::BTreeMap;

/// The parts of one transaction from several flows, cut anew for our shards. All parts hold the same
/// globals in the same order, so records between two globals stay between them.
#[derive(Default)]
pub(super) struct Merged {
    pub(super) globals: Vec<Global>,
    /// Parts added so far.
    parts: usize,
    /// By how many globals stand before them: records by our shard.
    stretches: Vec<BTreeMap<ShardId, FrameBuilder>>,
}

fn disagree() -> String {
    "parts of one transaction change whole databases differently".to_owned()
}

impl Merged {
    pub(super) fn add(&mut self, frame: &Frame<'_>, shards: u16) -> Result<(), String> {
        let mut before = 0;
        for entry in frame.entries() {
            match entry {
                FrameEntry::Global(global) => {
                    match self.globals.get(before) {
                        Some(known) if *known == global => {}
                        None if self.parts == 0 => self.globals.push(global),
                        _ => return Err(disagree()),
                    }
                    before += 1;
                }
                FrameEntry::Record(record) => {
                    if self.stretches.len() <= before {
                        self.stretches.resize_with(before + 1, BTreeMap::new);
                    }
                    let shard = shard_of(record.key, shards);
                    self.stretches[before].entry(shard).or_default().push(&record);
                }
            }
        }
        self.parts += 1;
        if before == self.globals.len() { Ok(()) } else { Err(disagree()) }
    }

    pub(super) fn into_parts(mut self, tx: TxId, shards: u16) -> BTreeMap<ShardId, Vec<u8>> {
        let mut parts: BTreeMap<ShardId, Vec<u8>> = BTreeMap::new();
        self.stretches.resize_with(self.globals.len() + 1, BTreeMap::new);
        for (before, stretch) in self.stretches.into_iter().enumerate() {
            for (shard, frame) in stretch {
                parts.entry(shard).or_default().extend(frame.to_wire(None));
            }
            let Some(global) = self.globals.get(before) else { break };
            for shard in (0..shards).map(ShardId) {
                let set = ShardSet::of([shard]);
                let mut frame = FrameBuilder::new();
                frame.push_entry(&FrameEntry::Global(*global));
                let transaction = Transaction { id: tx, shards: set.shards() };
                parts.entry(shard).or_default().extend(frame.to_wire(Some(transaction)));
            }
        }
        parts
    }
}

/// Frames taken off one flow, by our shard.
#[derive(Default)]
pub(super) struct Run {
    pub(super) shards: BTreeMap<ShardId, Vec<u8>>,
    /// One frame that needs several shards, alone in its run.
    pub(super) as_one: Option<BTreeMap<ShardId, Vec<u8>>>,
    pub(super) bytes: usize,
}

impl Run {
    /// Adds a frame; `false` if it does not go with what is there already.
    pub(super) fn add(
        &mut self,
        frame: &Frame<'_>,
        flow: usize,
        shards: u16,
        same_cut: bool,
        is_log: bool,
    ) -> Result<bool, String> {
        let raw = frame.as_bytes();
        if shards == 1 || (same_cut && is_log) {
            let shard = if shards == 1 { ShardId(0) } else { ShardId(flow as u16) };
            self.put(shard, raw);
            return Ok(true);
        }
        let mut owners = frame.entries().filter_map(|entry| match entry {
            FrameEntry::Record(record) => Some(shard_of(record.key, shards)),
            FrameEntry::Global(_) => None,
        });
        let Some(first) = owners.next() else {
            self.put(ShardId(0), &[]);
            return Ok(true);
        };
        if owners.all(|owner| owner == first) {
            self.put(first, raw);
            return Ok(true);
        }
        let mut builders = BTreeMap::<ShardId, FrameBuilder>::new();
        for entry in frame.entries() {
            if let FrameEntry::Record(record) = entry {
                builders.entry(shard_of(record.key, shards)).or_default().push(&record);
            }
        }
        let parts = builders.into_iter().map(|(shard, frame)| (shard, frame.to_wire(None)));
        if !is_log {
            // Items: nobody reads while they arrive, so nothing has to be seen as one.
            for (shard, part) in parts {
                self.put(shard, &part);
            }
            return Ok(true);
        }
        if !self.shards.is_empty() {
            return Ok(false);
        }
        self.bytes += raw.len();
        self.as_one = Some(parts.collect());
        Ok(true)
    }

    fn put(&mut self, shard: ShardId, frames: &[u8]) {
        self.shards.entry(shard).or_default().extend_from_slice(frames);
        self.bytes += frames.len();
    }
}
