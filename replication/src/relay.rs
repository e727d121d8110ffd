//! The upstream's journals, kept as they came: what a replica feeds its own replicas with, and after a
//! promotion its siblings (J7).

use engine::journal::{Bounds, Decoder, LogHandle, LogWriter};
use engine::shard::PutValue;
use engine::types::{DbIndex, Lsn, Millis};

/// The journals of the upstream, as far as they are applied here.
pub struct Relay {
    logs: Vec<LogWriter>,
}

impl Relay {
    /// Relays that begin at these positions.
    pub fn starting_at(positions: &[Lsn]) -> Relay {
        Relay { logs: positions.iter().map(|lsn| LogWriter::starting_at(*lsn)).collect() }
    }

    /// The logs, for those who follow us.
    pub fn handles(&self) -> Vec<LogHandle> {
        self.logs.iter().map(LogWriter::handle).collect()
    }

    /// All positions.
    pub fn positions(&self) -> Vec<Lsn> {
        self.logs.iter().map(LogWriter::lsn).collect()
    }

    /// Keeps all logs together within `bounds`, whatever the upstream's number of them.
    pub fn trim(&mut self, bounds: &Bounds, now: Millis) {
        let each = Bounds { bytes: bounds.bytes / self.logs.len().max(1) as u64, ..*bounds };
        self.logs.iter_mut().for_each(|log| log.trim(&each, now));
    }

    /// What all logs hold.
    pub fn held_bytes(&self) -> u64 {
        self.logs.iter().map(LogWriter::held_bytes).sum()
    }

    /// Appends whole frames to a log; answers how many bytes of `bytes` these were.
    pub fn restore(&mut self, flow: usize, bytes: &[u8], now: Millis) -> Result<usize, String> {
        let Some(log) = self.logs.get_mut(flow) else {
            return Err(format!("there is no log {flow}"));
        };
        let (mut at, mut decoder) = (0, Decoder::new());
        loop {
            match decoder.next(&bytes[at..]) {
                Ok(Some((frame, used))) => {
                    log.append_encoded(&frame);
                    at += used;
                }
                Ok(None) => break,
                Err(error) => {
                    return Err(format!("a record of log {flow} cannot be read: {error:?}"));
                }
            }
        }
        log.publish(now);
        Ok(at)
    }

    /// Appends what was applied, and refers to what keys held then.
    pub(crate) fn append(&mut self, flow: usize, raw: &[u8], values: &mut Vec<PutValue>) {
        let mut value = |db: DbIndex, key: &[u8]| {
            let is_its = |one: &PutValue| one.db == db && *one.key == *key;
            values.iter().position(is_its).and_then(|place| values.remove(place).value)
        };
        let (mut rest, mut decoder) = (raw, Decoder::new());
        while !rest.is_empty() {
            let Ok(Some((frame, used))) = decoder.next(rest) else {
                unreachable!("only frames that were decoded before are relayed")
            };
            self.logs[flow].append_relayed(&frame, &mut value);
            rest = &rest[used..];
        }
    }

    pub(crate) fn publish(&mut self, now: Millis) {
        self.logs.iter_mut().for_each(|log| log.publish(now));
    }
}
