//! The steps of meeting a master, and how long each of them may take.
//!
//! ```text
//!   control   look up ─► connect ─► TLS ─► send ─► answers, one by one ─► FOLLOW
//!   flow i               connect ─► TLS ─► send ─► answers ─► start         side by side
//! ```
//!
//! A deadline belongs to one step of one connection, never to several: on a long road every step takes
//! a round trip or two, and they add up to more than any deadline over all of them would allow.

use crate::planted;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// One of the connections of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// The one on which terms are agreed on.
    Control,
    /// One of the flows.
    Flow(u16),
}

/// What is waited for on a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The addresses of a name.
    Resolve,
    /// A connection; each address has the whole time, they are tried side by side.
    Connect,
    /// The TLS handshake with this address.
    Secure(SocketAddr),
    /// That a request is taken.
    Send,
    /// The reply to the request of this name.
    Answer(String),
    /// The terms.
    Follow {
        /// We have a position to continue from.
        asked: bool,
    },
    /// The first word on a flow: the master may have to begin a cut before.
    Start,
}

/// The deadlines of an attempt.
#[derive(Debug)]
pub struct Steps {
    limit: Duration,
    start_limit: Duration,
    began: Instant,
    open: BTreeMap<Place, (Step, Instant)>,
}

impl Steps {
    /// An attempt whose steps may take `limit` each, and the master's beginning `start_limit`.
    pub fn new(limit: Duration, start_limit: Duration, now: Instant) -> Steps {
        Steps { limit, start_limit, began: now, open: BTreeMap::new() }
    }

    /// So long a step may take.
    pub fn limit_of(&self, step: &Step) -> Duration {
        if *step == Step::Start { self.start_limit } else { self.limit }
    }

    /// A connection is at `step` now; at none when everything was answered on it.
    pub fn note(&mut self, place: Place, step: Option<Step>, now: Instant) {
        let Some(step) = step else {
            self.open.remove(&place);
            return;
        };
        let since = if planted::one_deadline_for_all_steps() { self.began } else { now };
        let due = since + self.limit_of(&step);
        self.open.insert(place, (step, due));
    }

    /// When the next step is late. One that reaches several addresses side by side keeps its own time.
    pub fn due(&self) -> Option<Instant> {
        self.timed().map(|(_, _, due)| due).min()
    }

    /// A step that took longer than it may.
    pub fn late(&self, now: Instant) -> Option<(Place, Step)> {
        let late = self.timed().find(|(_, _, due)| *due <= now);
        late.map(|(place, step, _)| (place, step.clone()))
    }

    fn timed(&self) -> impl Iterator<Item = (Place, &Step, Instant)> {
        let all = self.open.iter().map(|(place, (step, due))| (*place, step, *due));
        all.filter(|(_, step, _)| **step != Step::Connect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    /// One second for all of them together: a link over 200 ms never came back after a cut.
    #[test]
    fn every_step_has_the_whole_time() {
        let start = Instant::now();
        let mut steps = Steps::new(LIMIT, LIMIT * 30, start);
        assert_eq!((steps.due(), steps.late(start + LIMIT)), (None, None));
        let mut now = start;
        for step in [Step::Resolve, Step::Send, Step::Answer("PING".to_owned()), Step::Resolve] {
            steps.note(Place::Control, Some(step.clone()), now);
            assert_eq!(steps.due(), Some(now + LIMIT));
            now += LIMIT - Duration::from_millis(1);
            assert_eq!(steps.late(now), None, "{step:?}");
        }
        now += Duration::from_millis(1);
        assert_eq!(steps.late(now), Some((Place::Control, Step::Resolve)));
        // Another connection has its own.
        steps.note(Place::Control, None, now);
        steps.note(Place::Flow(1), Some(Step::Start), now);
        steps.note(Place::Flow(2), Some(Step::Send), now);
        assert_eq!(steps.late(now + LIMIT), Some((Place::Flow(2), Step::Send)));
        steps.note(Place::Flow(2), Some(Step::Connect), now);
        assert_eq!(steps.late(now + LIMIT * 29), None);
        assert_eq!(steps.late(now + LIMIT * 30), Some((Place::Flow(1), Step::Start)));
    }
}
