//! How far the data set that a start has found is read, for whoever asks.

use engine::rt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by all executors.
#[derive(Debug, Default)]
pub struct Loading {
    under_way: AtomicBool,
    /// What is read was here before: DEBUG RELOAD.
    again: AtomicBool,
    /// The data set is written before it is read again.
    writes_first: AtomicBool,
    began: AtomicU64,
    total: AtomicU64,
    bytes: AtomicU64,
    keys: AtomicU64,
    expired: AtomicU64,
}

/// How far it is, or was at the end.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Far {
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// Bytes of the file, or of all its parts.
    pub total: u64,
    /// Bytes that are read.
    pub bytes: u64,
    /// Keys that are loaded.
    pub keys: u64,
    /// Keys whose time had come.
    pub expired: u64,
}

impl Loading {
    /// A file of so many bytes is read from now on.
    pub fn begin(&self, total: u64) {
        self.began.store(rt::now_millis().0 / 1000, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        for sum in [&self.bytes, &self.keys, &self.expired] {
            sum.store(0, Ordering::Relaxed);
        }
        self.under_way.store(true, Ordering::Release);
    }

    /// What is here is going to be read again: `false` where a file is read already.
    pub fn begin_again(&self) -> bool {
        if self.under_way.swap(true, Ordering::SeqCst) {
            return false;
        }
        self.again.store(true, Ordering::SeqCst);
        self.begin(0);
        true
    }

    /// Whether what was here is read again. Whoever stops the node says so first and asks then, and whoever reads does it
    /// the other way round: one of them sees the other.
    pub fn is_again(&self) -> bool {
        self.again.load(Ordering::SeqCst)
    }

    /// So much more, of one of the files.
    pub fn add(&self, bytes: u64, keys: u64, expired: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.keys.fetch_add(keys, Ordering::Relaxed);
        self.expired.fetch_add(expired, Ordering::Relaxed);
    }

    /// All of it is read, or nothing more will be.
    pub fn end(&self) {
        self.again.store(false, Ordering::SeqCst);
        self.under_way.store(false, Ordering::Release);
    }

    /// Whether a file is read just now: then nobody else may bring data.
    pub fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Acquire)
    }

    /// The file is written first, or that is done: while it is, what is here is whole.
    pub fn set_writes_first(&self, writes: bool) {
        self.writes_first.store(writes, Ordering::Release);
    }

    /// Whether the file is being written first.
    pub fn writes_first(&self) -> bool {
        self.writes_first.load(Ordering::Acquire)
    }

    /// How far it is.
    pub fn far(&self) -> Far {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Far {
            began: read(&self.began),
            total: read(&self.total),
            bytes: read(&self.bytes),
            keys: read(&self.keys),
            expired: read(&self.expired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two of them each dropped what the other one read.
    #[test]
    fn one_reads_at_a_time() {
        let loading = Loading::default();
        let began = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| loading.begin_again())).collect();
            all.into_iter().map(|one| one.join().expect("a thread")).filter(|began| *began).count()
        });
        assert_eq!((began, loading.is_again()), (1, true));
        // The file is found, and so long.
        loading.begin(10);
        assert!(!loading.begin_again());
        loading.end();
        assert!(!loading.is_again() && !loading.is_under_way());
        loading.begin(10);
        assert!(!loading.begin_again() && !loading.is_again(), "a start reads it");
    }
}
