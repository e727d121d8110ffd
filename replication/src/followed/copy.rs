//! A full copy that is made, for all who asked for one meanwhile.

use super::payload::Payload;
use engine::snapshot::SaveProgress;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// Where a copy stands in the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Moment {
    /// Names the stream.
    pub(super) stream: String,
    /// How many bytes the stream had.
    pub(super) offset: u64,
}

/// See the module's doc.
pub(super) struct FullCopy {
    /// Its bytes.
    pub(super) payload: Rc<Payload>,
    /// It is for a Valkey 9.
    pub(super) valkey9: bool,
    /// Of when it is, once that is fixed.
    pub(super) moment: RefCell<Option<Moment>>,
    /// How far it is made.
    pub(super) progress: SaveProgress,
}

impl FullCopy {
    /// One that is to be made; `scratch` is the name of a file for it.
    pub(super) fn new(scratch: PathBuf, valkey9: bool) -> FullCopy {
        FullCopy {
            valkey9,
            payload: Rc::new(Payload::new(scratch)),
            moment: RefCell::default(),
            progress: SaveProgress::default(),
        }
    }

    /// Whether all its bytes are made, so that no shard holds anything for it.
    pub(super) fn is_made(&self) -> bool {
        self.payload.length().is_some()
    }

    /// Whether it was given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.progress.cancelled.load(Ordering::Relaxed)
    }

    /// It is given up.
    pub(super) fn give_up(&self, why: &str) {
        self.progress.cancelled.store(true, Ordering::Relaxed);
        self.payload.finish(Err(why.to_owned()));
    }
}
