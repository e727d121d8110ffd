//! Why an attempt came to nothing or a session ended, as one decides by it and as it is read.

use super::steps::{Place, Step};
use engine::types::TxId;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// See the module's doc.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// A step of meeting took longer than it may.
    Late {
        /// Whom it was asked of.
        host: String,
        /// On which connection.
        place: Place,
        /// Which one.
        step: Step,
        /// So long it may take.
        limit: Duration,
    },
    /// No address was reached; some of them perhaps for lack of time.
    Unreached {
        /// Each of them, and why.
        text: String,
        /// One of them did not answer in time.
        late: bool,
    },
    /// In the words of the system or of the master.
    Words(String),
    /// The guard holds; in words.
    Held(String),
    /// A partial sync that does not begin where it was said to.
    BeginsElsewhere,
    /// The link was ended: another master, or none.
    LinkEnded,
    /// By an operator.
    Killed,
    /// It is a Redis where a Damselfly was, or the other way round: to be followed in another way.
    OtherKind,
    /// It will not be otherwise however often it is tried; in words, with what to do about it.
    Senseless(String),
    /// The data of a full sync cannot be read, as it came over the network; in words.
    Damaged(String),
    /// Nothing was heard from a master that has one connection only.
    Silent(Duration),
    /// Nothing was heard on the control connection.
    ControlSilent(Duration),
    /// Nothing was heard on a flow that is read from.
    FlowSilent(u16, Duration),
    /// A part of a transaction did not come.
    PartMissing(TxId, Duration),
    /// The control connection was closed by the master.
    ControlClosed,
    /// It broke.
    ControlBroke(String),
    /// What was said on it does not hold together.
    ControlWords(String),
    /// A flow broke, or does not hold together.
    Flow(u16, String),
    /// The master said why it ends the session.
    MasterEnded {
        /// In its words.
        why: String,
        /// Its journal did not reach back to us any more.
        fell_out: bool,
    },
    /// A frame does not hold together.
    Malformed(String),
    /// A record did not fit what it found.
    BrokenPromise(String),
}

impl Reason {
    /// Perhaps the road is only long.
    pub fn is_late(&self) -> bool {
        match self {
            // Preparing a full sync takes as long as it takes, however short the road is.
            Reason::Late { step: Step::Start, .. } => false,
            Reason::Late { .. } => true,
            Reason::Unreached { late, .. } => *late,
            _ => false,
        }
    }

    /// The master's journal did not reach back to us any more.
    pub fn fell_out(&self) -> bool {
        matches!(self, Reason::MasterEnded { fell_out: true, .. })
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Reason {
        Reason::Words(text)
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Late { host, place, step, limit } => {
                fmt_late(f, host, *place, step, limit.as_millis())
            }
            Reason::Unreached { text, .. } => write!(f, "could not connect to master: {text}"),
            Reason::Words(text)
            | Reason::Senseless(text)
            | Reason::Held(text)
            | Reason::ControlWords(text)
            | Reason::Malformed(text) => f.write_str(text),
            Reason::Damaged(text) => {
                write!(f, "{text}; the network may have damaged it: it is asked for again")
            }
            Reason::BeginsElsewhere => f.write_str("the master begins elsewhere than it said"),
            Reason::LinkEnded => f.write_str("the link was ended"),
            Reason::OtherKind => f.write_str("another kind of master is there now"),
            Reason::Silent(limit) => {
                write!(f, "nothing arrived from the master for {} ms", limit.as_millis())
            }
            Reason::Killed => f.write_str("it was ended by CLIENT KILL"),
            Reason::ControlSilent(limit) => {
                write!(f, "nothing arrived on the control connection for {} ms", limit.as_millis())
            }
            Reason::FlowSilent(flow, limit) => {
                write!(f, "flow {flow}: nothing arrived for {} ms", limit.as_millis())
            }
            Reason::PartMissing(tx, limit) => {
                let ms = limit.as_millis();
                write!(f, "a part of transaction {} did not come for {ms} ms", tx.0)
            }
            Reason::ControlClosed => f.write_str("the master closed the control connection"),
            Reason::ControlBroke(error) => write!(f, "control connection: {error}"),
            Reason::Flow(flow, error) => write!(f, "flow {flow}: {error}"),
            Reason::MasterEnded { why, .. } => write!(f, "the master ended the session: {why}"),
            Reason::BrokenPromise(error) => write!(f, "a broken promise of the master: {error}"),
        }
    }
}

fn fmt_late(f: &mut Formatter<'_>, host: &str, place: Place, step: &Step, ms: u128) -> fmt::Result {
    match step {
        Step::Resolve => {
            write!(f, "could not resolve master dns: no answer for {host} within {ms} ms")
        }
        Step::Connect => write!(f, "could not connect to master: no answer within {ms} ms"),
        Step::Secure(to) => write!(
            f,
            "could not connect to master: {to} did not finish the TLS handshake within {ms} ms"
        ),
        Step::Send => write!(f, "the master took no request within {ms} ms"),
        Step::Answer(name) => write!(f, "the master did not answer {name} within {ms} ms"),
        Step::Follow { .. } => write!(f, "the master did not answer DFLY within {ms} ms"),
        Step::Start => match place {
            Place::Flow(index) => write!(f, "flow {index}: the master did not begin in time"),
            Place::Control => f.write_str("the master did not begin in time"),
        },
    }
}
