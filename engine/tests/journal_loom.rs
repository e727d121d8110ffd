//! The publish and sleep protocol of the journal in every interleaving that two or three threads can
//! have, under `loom`.
//!
//! Compiles the protocol's file alone, so that the rest of the engine need not know `loom`:
//! `RUSTFLAGS="--cfg loom" cargo test -p engine --test journal_loom`
#![cfg(loom)]
#![allow(dead_code, reason = "the protocol's file has more than the model uses")]

#[path = "../src/journal/publish.rs"]
mod publish;
#[path = "../src/journal/sync.rs"]
mod sync;

use std::{
    sync::atomic::AtomicUsize as UncheckedUsize,
    sync::atomic::Ordering,
    task::{Wake, Waker},
};

use loom::{cell::UnsafeCell, sync::Arc, thread};
use publish::{Bell, Edge, Head, Mark, SleeperId};

/// What the log shares, with one cell per record instead of a chunk's bytes: `loom` reports a cell
/// that is read before its write has happened.
struct Log {
    cells: Vec<UnsafeCell<u64>>,
    mark: Mark,
    head: Head,
    bell: Bell,
}

impl Log {
    fn new(capacity: usize) -> Arc<Log> {
        Arc::new(Log {
            cells: (0..capacity).map(|_| UnsafeCell::new(0)).collect(),
            mark: Mark::new(),
            head: Head::new(0),
            bell: Bell::new(),
        })
    }

    /// The writer: records are LSNs, one byte each.
    fn append_and_publish(&self, from: u64, to: u64) {
        for lsn in from..to {
            // SAFETY: only the writer touches cells beyond the published edge.
            self.cells[lsn as usize].with_mut(|cell| unsafe { *cell = lsn + 1 });
        }
        let edge = Edge { offset: to as u32, records: to as u32, sealed: false };
        self.head.publish(Some((&self.mark, edge)), to, to);
        self.bell.ring();
    }

    /// A reader: checks all that is published, returns its end.
    fn read(&self, from: u64) -> u64 {
        let edge = self.mark.read();
        assert_eq!(edge.offset, edge.records, "bytes without their records");
        for lsn in from..u64::from(edge.records) {
            // SAFETY: published cells are not written any more.
            let value = self.cells[lsn as usize].with(|cell| unsafe { *cell });
            assert_eq!(value, lsn + 1);
        }
        u64::from(edge.records)
    }
}

/// Counts wake-ups outside of what `loom` models: it is only looked at when all threads are done.
struct Woken(UncheckedUsize);

impl Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Reads what there is, then goes to sleep; true if it really slept.
fn read_then_sleep(log: &Log, id: u64, woken: &std::sync::Arc<Woken>) -> (u64, bool) {
    let mut lsn = log.read(0);
    let waker = Waker::from(std::sync::Arc::clone(woken));
    if log.bell.register(SleeperId(id), &waker, || log.head.lsn() > lsn) {
        let seen = lsn;
        lsn = log.read(lsn);
        assert!(lsn > seen, "the head promised records that are not there");
        return (lsn, false);
    }
    (lsn, true)
}

fn slept_for_ever(woken: &Woken, lsn: u64, end: u64, slept: bool) -> bool {
    slept && lsn < end && woken.0.load(Ordering::SeqCst) == 0
}

#[test]
fn a_reader_never_sleeps_on_records_that_are_published() {
    loom::model(|| {
        let log = Log::new(2);
        let writer = Arc::clone(&log);
        let writer = thread::spawn(move || {
            writer.append_and_publish(0, 1);
            writer.append_and_publish(1, 2);
        });
        let woken = std::sync::Arc::new(Woken(UncheckedUsize::new(0)));
        let (lsn, slept) = read_then_sleep(&log, 0, &woken);
        writer.join().unwrap();
        assert!(!slept_for_ever(&woken, lsn, 2, slept), "asleep at {lsn}");
        assert_eq!(log.read(lsn), 2);
    });
}

#[test]
fn two_sleepers_are_both_woken_also_when_one_leaves() {
    // Three threads: without a bound this takes minutes; bugs of this kind show with two switches.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let log = Log::new(1);
        let other = Arc::clone(&log);
        let other = thread::spawn(move || {
            let woken = std::sync::Arc::new(Woken(UncheckedUsize::new(0)));
            let slept = read_then_sleep(&other, 1, &woken);
            other.bell.forget(SleeperId(1));
            slept
        });
        let writer = Arc::clone(&log);
        let writer = thread::spawn(move || writer.append_and_publish(0, 1));
        let woken = std::sync::Arc::new(Woken(UncheckedUsize::new(0)));
        let (lsn, slept) = read_then_sleep(&log, 0, &woken);
        writer.join().unwrap();
        other.join().unwrap();
        assert!(!slept_for_ever(&woken, lsn, 1, slept), "asleep at {lsn}");
    });
}

#[test]
fn whoever_sees_the_head_finds_its_records() {
    loom::model(|| {
        let log = Log::new(2);
        let writer = Arc::clone(&log);
        let writer = thread::spawn(move || {
            writer.append_and_publish(0, 1);
            writer.append_and_publish(1, 2);
        });
        let head = log.head.lsn();
        let bytes = log.head.bytes();
        assert!(bytes >= head);
        assert!(log.read(0) >= head);
        writer.join().unwrap();
    });
}

#[test]
fn whoever_sees_a_sealed_chunk_sees_all_of_it() {
    loom::model(|| {
        let log = Log::new(2);
        let writer = Arc::clone(&log);
        let writer = thread::spawn(move || {
            writer.append_and_publish(0, 1);
            writer.cells[1].with_mut(|cell| {
                // SAFETY: not published yet.
                unsafe { *cell = 2 }
            });
            let edge = Edge { offset: 2, records: 2, sealed: true };
            writer.head.publish(Some((&writer.mark, edge)), 2, 2);
        });
        if log.mark.read().sealed {
            assert_eq!(log.read(0), 2);
        }
        writer.join().unwrap();
    });
}
