//! Switches that plant the bugs of this crate's stories, so that the model can be seen to catch them.
//!
//! Compiled only with the feature `planted-bugs`; all are off until a test turns one on. They are
//! process-wide: a test that uses one runs in a process, or under a lock, of its own.

#[cfg(feature = "planted-bugs")]
mod switches {
    use engine::types::Lsn;
    use std::cell::{Cell, RefCell};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// J2: a frame that needs several shards is applied part by part.
    pub static FRAMES_ARE_APPLIED_PART_BY_PART: AtomicBool = AtomicBool::new(false);

    /// J6: a position counts what was received, not what was applied.
    pub static POSITIONS_COUNT_WHAT_WAS_RECEIVED: AtomicBool = AtomicBool::new(false);

    /// J6: flows that could continue do so, although others have to begin anew.
    pub static PARTIAL_AND_FULL_FLOWS_ARE_MIXED: AtomicBool = AtomicBool::new(false);

    /// J7: a node goes on feeding others while it full-syncs itself.
    pub static FEEDS_WHILE_IT_FULL_SYNCS: AtomicBool = AtomicBool::new(false);

    /// J6: a node in the middle of a full sync is promoted with what has come.
    pub static PARTIAL_COPIES_ARE_PROMOTED: AtomicBool = AtomicBool::new(false);

    /// J7: who was told a chain keeps it, although another one is above now.
    pub static STALE_CHAINS_ARE_KEPT: AtomicBool = AtomicBool::new(false);

    /// The guard looks whether the master has a key, not at how much it holds.
    pub static GUARD_LOOKS_FOR_A_KEY: AtomicBool = AtomicBool::new(false);

    /// A message whose sum does not fit is taken.
    pub static DAMAGED_MESSAGES_ARE_TAKEN: AtomicBool = AtomicBool::new(false);

    /// One deadline covers all steps of meeting a master.
    pub static ONE_DEADLINE_FOR_ALL_STEPS: AtomicBool = AtomicBool::new(false);

    /// A link that is ended while the shards change does not see it.
    pub static STOPS_ARE_FORGOTTEN: AtomicBool = AtomicBool::new(false);

    /// A link that is ended while it meets its master waits for the step under way.
    pub static STOPS_WAIT_FOR_STEPS: AtomicBool = AtomicBool::new(false);

    /// What comes late of an earlier attempt is taken for this one's.
    pub static LATE_RESULTS_COUNT: AtomicBool = AtomicBool::new(false);

    /// A link goes on as if an operator had asked for each of its attempts.
    pub static GUARD_NEVER_ASKS: AtomicBool = AtomicBool::new(false);

    /// What a replica acknowledged that has left is counted on.
    pub static ACKS_OF_ENDED_SESSIONS_COUNT: AtomicBool = AtomicBool::new(false);

    /// A replica that looks at its terms and leaves is waited for.
    pub static PHANTOMS_STAY: AtomicBool = AtomicBool::new(false);

    /// A session that begins late ends a newer one of the same node.
    pub static ANY_SESSION_TAKES_OVER: AtomicBool = AtomicBool::new(false);

    /// The older session of a node goes on beside the newer one.
    pub static DUPLICATES_ARE_FED: AtomicBool = AtomicBool::new(false);

    /// Whoever asks for terms ends the session of its node, whether it takes them or not.
    pub static TERMS_TAKE_OVER: AtomicBool = AtomicBool::new(false);

    /// A session of more than ten seconds makes up for copies that were lost.
    pub static LONG_SESSIONS_MAKE_UP: AtomicBool = AtomicBool::new(false);

    /// Whether a copy is whole is asked before its link is ended, and not after.
    pub static PROMOTION_IS_ASKED_ONCE: AtomicBool = AtomicBool::new(false);

    /// A REPLICAOF that took long is carried out after a later one.
    pub static OVERTAKEN_ORDERS_ARE_OBEYED: AtomicBool = AtomicBool::new(false);

    /// Whether somebody may follow is not asked once more after the wait for the number of keys.
    pub static ADMISSION_IS_ASKED_ONCE: AtomicBool = AtomicBool::new(false);

    /// J6: a snapshot says where the session is, of which something is on its way to the shards.
    pub static SAVES_DO_NOT_HOLD: AtomicBool = AtomicBool::new(false);

    /// J6: a node that has written since its start stands where its snapshot was.
    pub static WRITES_SINCE_A_START_ARE_FORGOTTEN: AtomicBool = AtomicBool::new(false);

    thread_local! {
        /// What was asked for when a full sync was granted because a journal was trimmed.
        static ASKED: RefCell<Vec<Lsn>> = const { RefCell::new(Vec::new()) };
        static PAUSED: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn part_by_part() -> bool {
        FRAMES_ARE_APPLIED_PART_BY_PART.load(Ordering::Relaxed)
    }

    /// Between two parts of a frame: whether to wait for something to happen first.
    pub(crate) fn pauses_between_parts() -> bool {
        part_by_part() && PAUSED.with(|paused| !paused.replace(!paused.get()))
    }

    pub(crate) fn counts_received() -> bool {
        POSITIONS_COUNT_WHAT_WAS_RECEIVED.load(Ordering::Relaxed)
    }

    pub(crate) fn feeds_while_syncing() -> bool {
        FEEDS_WHILE_IT_FULL_SYNCS.load(Ordering::Relaxed)
    }

    pub(crate) fn promotes_partial_copies() -> bool {
        PARTIAL_COPIES_ARE_PROMOTED.load(Ordering::Relaxed)
    }

    pub(crate) fn keeps_stale_chains() -> bool {
        STALE_CHAINS_ARE_KEPT.load(Ordering::Relaxed)
    }

    pub(crate) fn guard_looks_for_a_key() -> bool {
        GUARD_LOOKS_FOR_A_KEY.load(Ordering::Relaxed)
    }

    pub(crate) fn takes_what_is_damaged() -> bool {
        DAMAGED_MESSAGES_ARE_TAKEN.load(Ordering::Relaxed)
    }

    pub(crate) fn one_deadline_for_all_steps() -> bool {
        ONE_DEADLINE_FOR_ALL_STEPS.load(Ordering::Relaxed)
    }

    pub(crate) fn stops_are_forgotten() -> bool {
        STOPS_ARE_FORGOTTEN.load(Ordering::Relaxed)
    }

    pub(crate) fn stops_wait_for_steps() -> bool {
        STOPS_WAIT_FOR_STEPS.load(Ordering::Relaxed)
    }

    pub(crate) fn late_results_count() -> bool {
        LATE_RESULTS_COUNT.load(Ordering::Relaxed)
    }

    pub(crate) fn guard_never_asks() -> bool {
        GUARD_NEVER_ASKS.load(Ordering::Relaxed)
    }

    pub(crate) fn acks_of_ended_sessions_count() -> bool {
        ACKS_OF_ENDED_SESSIONS_COUNT.load(Ordering::Relaxed)
    }

    pub(crate) fn phantoms_stay() -> bool {
        PHANTOMS_STAY.load(Ordering::Relaxed)
    }

    pub(crate) fn any_session_takes_over() -> bool {
        ANY_SESSION_TAKES_OVER.load(Ordering::Relaxed)
    }

    pub(crate) fn duplicates_are_fed() -> bool {
        DUPLICATES_ARE_FED.load(Ordering::Relaxed)
    }

    pub(crate) fn terms_take_over() -> bool {
        TERMS_TAKE_OVER.load(Ordering::Relaxed)
    }

    pub(crate) fn long_sessions_make_up() -> bool {
        LONG_SESSIONS_MAKE_UP.load(Ordering::Relaxed)
    }

    pub(crate) fn promotion_is_asked_once() -> bool {
        PROMOTION_IS_ASKED_ONCE.load(Ordering::Relaxed)
    }

    pub(crate) fn overtaken_orders_are_obeyed() -> bool {
        OVERTAKEN_ORDERS_ARE_OBEYED.load(Ordering::Relaxed)
    }

    pub(crate) fn saves_do_not_hold() -> bool {
        SAVES_DO_NOT_HOLD.load(Ordering::Relaxed)
    }

    pub(crate) fn writes_since_a_start_are_forgotten() -> bool {
        WRITES_SINCE_A_START_ARE_FORGOTTEN.load(Ordering::Relaxed)
    }

    pub(crate) fn admission_is_asked_once() -> bool {
        ADMISSION_IS_ASKED_ONCE.load(Ordering::Relaxed)
    }

    pub(crate) fn note_asked(asked: &[Lsn]) {
        ASKED.with(|known| *known.borrow_mut() = asked.to_vec());
    }

    /// Where flow `index`, whose journal is held from `first` on, begins instead of at `start`.
    pub(crate) fn mixed_start(index: usize, first: Lsn, start: Lsn) -> Lsn {
        if !PARTIAL_AND_FULL_FLOWS_ARE_MIXED.load(Ordering::Relaxed) {
            return start;
        }
        let asked = ASKED.with(|known| known.borrow().get(index).copied());
        asked.filter(|asked| *asked < start && *asked >= first).unwrap_or(start)
    }
}

#[cfg(feature = "planted-bugs")]
pub use switches::*;

#[cfg(not(feature = "planted-bugs"))]
mod off {
    use engine::types::Lsn;

    pub(crate) fn part_by_part() -> bool {
        false
    }

    pub(crate) fn pauses_between_parts() -> bool {
        false
    }

    pub(crate) fn counts_received() -> bool {
        false
    }

    pub(crate) fn feeds_while_syncing() -> bool {
        false
    }

    pub(crate) fn promotes_partial_copies() -> bool {
        false
    }

    pub(crate) fn keeps_stale_chains() -> bool {
        false
    }

    pub(crate) fn guard_looks_for_a_key() -> bool {
        false
    }

    pub(crate) fn takes_what_is_damaged() -> bool {
        false
    }

    pub(crate) fn one_deadline_for_all_steps() -> bool {
        false
    }

    pub(crate) fn stops_are_forgotten() -> bool {
        false
    }

    pub(crate) fn stops_wait_for_steps() -> bool {
        false
    }

    pub(crate) fn late_results_count() -> bool {
        false
    }

    pub(crate) fn guard_never_asks() -> bool {
        false
    }

    pub(crate) fn acks_of_ended_sessions_count() -> bool {
        false
    }

    pub(crate) fn phantoms_stay() -> bool {
        false
    }

    pub(crate) fn any_session_takes_over() -> bool {
        false
    }

    pub(crate) fn duplicates_are_fed() -> bool {
        false
    }

    pub(crate) fn terms_take_over() -> bool {
        false
    }

    pub(crate) fn long_sessions_make_up() -> bool {
        false
    }

    pub(crate) fn promotion_is_asked_once() -> bool {
        false
    }

    pub(crate) fn overtaken_orders_are_obeyed() -> bool {
        false
    }

    pub(crate) fn saves_do_not_hold() -> bool {
        false
    }

    pub(crate) fn writes_since_a_start_are_forgotten() -> bool {
        false
    }

    pub(crate) fn admission_is_asked_once() -> bool {
        false
    }

    pub(crate) fn note_asked(_asked: &[Lsn]) {}

    pub(crate) fn mixed_start(_index: usize, _first: Lsn, start: Lsn) -> Lsn {
        start
    }
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) use off::*;
