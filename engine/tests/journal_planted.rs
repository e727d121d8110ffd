//! The bugs of the journal's stories, planted: the checks that would catch them do.
#![cfg(feature = "planted-bugs")]

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use engine::{
    journal::{
        Bounds, Deadline, Effect, HeldLogs, HistoryId, Lineage, LogRange, LogWriter, Payload,
        Position, Record, Verdict, planted,
    },
    types::{DbIndex, Lsn, Millis},
    value::Rope,
};

/// Runs `holds` without and with the bug. The switches are process-wide, hence the lock.
fn check(bug: &AtomicBool, holds: impl Fn() -> bool) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(holds(), "without the bug");
    bug.store(true, Ordering::SeqCst);
    let fooled = !holds();
    bug.store(false, Ordering::SeqCst);
    assert!(fooled, "with the bug");
}

fn set(value: Payload<'_>) -> Record<'_> {
    let effect = Effect::Put { value, deadline: Deadline::None };
    Record { db: DbIndex(0), key: b"key", effect }
}

#[test]
fn a_returning_replica_is_told_what_it_missed_while_nobody_read() {
    check(&planted::NO_COUNT_WITHOUT_READERS, || {
        let mut log = LogWriter::new();
        log.append_one(&set(Payload::Int(1)));
        log.publish(Millis(1));
        log.set_keeping(false);
        log.append_one(&set(Payload::Int(2)));
        log.publish(Millis(2));
        log.set_keeping(true);
        log.handle().reader_at(Lsn(1)).is_err()
    });
}

#[test]
fn a_replica_that_saw_more_than_the_snapshot_syncs_fully() {
    check(&planted::HISTORY_BY_ID_ONLY, || {
        let (old, new) = (HistoryId([1; 20]), HistoryId([2; 20]));
        let restarted = Lineage::unrelated(old, 1).branch_off(new, 1, vec![Lsn(100)]);
        let logs = [LogRange { first: Lsn(0), head: Lsn(160) }];
        let asked = Position { history: old, lsns: vec![Lsn(150)] };
        let held = [HeldLogs { history: new, logs: &logs }];
        matches!(restarted.judge(&asked, &held), Verdict::Full(_))
    });
}

#[test]
fn a_value_larger_than_the_bound_does_not_stay_in_the_log() {
    check(&planted::LARGE_VALUES_WEIGH_NOTHING, || {
        let value = Rope::of(&vec![7; 600_000]);
        let kept = value.borrow().leaf_at(0).0.hold();
        let mut log = LogWriter::new();
        log.append_one(&set(Payload::Shared(value)));
        log.publish(Millis(1));
        // It is not the newest frame any more, and nobody reads it.
        log.append_one(&set(Payload::Int(1)));
        log.publish(Millis(2));
        log.trim(&Bounds { bytes: 64_000, age: None }, Millis(2));
        kept.borrow().holders() == 1
    });
}
