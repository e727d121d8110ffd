//! Whether a session with the master lives, and what is due to be said in it. Knows no clock.

use super::reason::Reason;
use super::rules::Rules;
use crate::pulse::{self, Pulse};
use crate::wire::Said;
use engine::types::{Lsn, TxId};
use std::time::{Duration, Instant};

/// Records after which an acknowledgement is due although more arrives.
const ACK_EVERY_RECORDS: u64 = 1024;

/// How often is looked at what nothing else tells.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// See the module's doc.
#[derive(Debug)]
pub struct Life {
    pulse: Pulse,
    /// When the control connection was heard last.
    control_heard: Instant,
    /// When a sign of life was given on it last.
    told: Option<Instant>,
    flows: Vec<FlowLife>,
    /// What a transaction waits for, and since when.
    waits: (Option<(TxId, u64)>, Instant),
    looked: Instant,
}

#[derive(Debug)]
struct FlowLife {
    /// Since when nothing has come although it is read from; none while it is not.
    silent: Option<Instant>,
    said: Instant,
    acked: Lsn,
}

/// What an acknowledgement is decided by.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Of this flow, what is applied.
    pub applied: Lsn,
    /// Nothing more is under way.
    pub is_settled: bool,
    /// Something has moved; else time has passed.
    pub has_moved: bool,
}

impl Life {
    /// A session begins whose flows stand at `starts`.
    pub fn new(starts: &[Lsn], now: Instant) -> Life {
        let flow = |lsn: &Lsn| FlowLife { silent: None, said: now, acked: *lsn };
        Life {
            pulse: Pulse::default(),
            control_heard: now,
            told: None,
            flows: starts.iter().map(flow).collect(),
            waits: (None, now),
            looked: now,
        }
    }

    /// A flow is read from, and nothing has come yet; or it is not any more.
    pub fn reads(&mut self, flow: u16, since: Option<Instant>) {
        if let Some(flow) = self.flows.get_mut(usize::from(flow)) {
            flow.silent = since;
        }
    }

    /// Something came on the control connection.
    pub fn heard(&mut self, now: Instant) {
        self.control_heard = now;
    }

    /// The master says what its time-out is. Answers whether that is news: whoever waits for the turn of
    /// a sign of life waits too long perhaps.
    pub fn hears_timeout(&mut self, timeout: Option<Duration>) -> bool {
        self.pulse.hear(timeout)
    }

    /// What a transaction waits for: its number, and how much of it has come.
    pub fn waits_for(&mut self, waits: Option<(TxId, u64)>, now: Instant) {
        if waits != self.waits.0 {
            self.waits = (waits, now);
        }
    }

    /// Whether it is time to look what a transaction waits for; it counts as done.
    pub fn looks(&mut self, now: Instant) -> bool {
        let is_due = now >= self.looked + LOOK_EVERY;
        if is_due {
            self.looked = now;
        }
        is_due
    }

    /// When time matters next.
    pub fn due(&self, rules: &Rules) -> Instant {
        (self.looked + LOOK_EVERY).min(self.tell_due(rules).unwrap_or(self.looked))
    }

    fn tell_due(&self, rules: &Rules) -> Option<Instant> {
        let told = self.told.filter(|_| self.pulse.is_told(rules.timeout));
        told.map(|told| told + self.every(rules))
    }

    /// Whether a sign of life is due on the control connection; it counts as given.
    pub fn tells(&mut self, rules: &Rules, now: Instant) -> bool {
        let is_due = self.tell_due(rules).is_none_or(|due| due <= now);
        if is_due {
            self.told = Some(now);
            self.pulse.tell(rules.timeout, now);
        }
        is_due
    }

    /// How often a sign of life is due on each connection.
    pub fn every(&self, rules: &Rules) -> Duration {
        self.pulse.every(rules.timeout)
    }

    /// Why the session has to end: silence, or a transaction that waits in vain.
    pub fn verdict(&self, rules: &Rules, now: Instant) -> Option<Reason> {
        let limit = self.pulse.limit(rules.timeout, now);
        let is_silent = |since: Instant| now.saturating_duration_since(since) > limit;
        if is_silent(self.control_heard) {
            return Some(Reason::ControlSilent(limit));
        }
        let silent = self.flows.iter().position(|flow| flow.silent.is_some_and(is_silent));
        if let Some(flow) = silent {
            return Some(Reason::FlowSilent(flow as u16, limit));
        }
        let (waits, since) = self.waits;
        let longest = pulse::still_limit(rules.timeout);
        let is_in_vain = now.saturating_duration_since(since) > longest;
        waits.filter(|_| is_in_vain).map(|(tx, _)| Reason::PartMissing(tx, longest))
    }

    /// What is to be said on a flow, if anything: an acknowledgement at once when nothing more is under
    /// way, else by count and by time. Before the data is the master's only that we live.
    pub fn speaks(
        &mut self,
        flow: u16,
        progress: Progress,
        is_stable: bool,
        rules: &Rules,
        now: Instant,
    ) -> Option<Said> {
        let every = self.every(rules);
        let Progress { applied, is_settled, has_moved } = progress;
        let flow = self.flows.get_mut(usize::from(flow))?;
        let is_due = is_settled
            || applied.0.saturating_sub(flow.acked.0) >= ACK_EVERY_RECORDS
            || now.saturating_duration_since(flow.said) >= rules.acks_interval.min(every);
        if has_moved && !is_due {
            return None;
        }
        (flow.acked, flow.said) = (applied, now);
        Some(if is_stable { Said::Ack(applied) } else { Said::Alive })
    }
}
