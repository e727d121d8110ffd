//! What is known of snapshots: the last one, and the one under way.

use engine::db::Changes;
use engine::snapshot::SaveProgress;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// All that is known, for whoever asks.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// One is under way.
    busy: AtomicBool,
    /// Writes are refused, as what `save` asks for has failed; worked out for the gates.
    failing: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    last: LastSave,
    progress: Arc<SaveProgress>,
    began: Option<Instant>,
}

/// How the last snapshots went.
#[derive(Clone, Debug)]
pub struct LastSave {
    /// When the last good one ended; the start of the program before there is any.
    pub at: SystemTime,
    /// The same on a clock that nobody sets.
    pub ended: Instant,
    /// Whether the last one was good.
    pub is_ok: bool,
    /// How long the last one took.
    pub took: Option<Duration>,
    /// Good ones since the start.
    pub count: u64,
    /// When one was begun last.
    pub tried: Option<Instant>,
    /// Sum of our own journals' heads at the moment of the last good one.
    pub heads: u64,
    /// Changes so far, as of then or as a file was loaded.
    pub changes_then: Changes,
    /// Where the last good one is.
    pub path: PathBuf,
    /// Why the last one was not good.
    pub error: String,
}

impl Default for LastSave {
    fn default() -> LastSave {
        LastSave {
            at: SystemTime::now(),
            ended: Instant::now(),
            is_ok: true,
            took: None,
            count: 0,
            tried: None,
            heads: 0,
            changes_then: Changes::default(),
            path: PathBuf::new(),
            error: String::new(),
        }
    }
}

impl LastSave {
    /// Seconds since 1970 at the end of the last good one.
    pub fn unix_seconds(&self) -> u64 {
        self.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// Changes of keys since then, of `changed` so far, whatever the node was meanwhile.
    pub fn changes(&self, changed: u64) -> u64 {
        changed.saturating_sub(self.changes_then.keys)
    }
}

/// What is under way.
#[derive(Clone, Debug)]
pub struct UnderWay {
    /// How far it has come.
    pub progress: Arc<SaveProgress>,
    /// For how long.
    pub since: Duration,
}

/// How far it has come, in figures.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct SaveFigures {
    /// Keys that are written.
    pub keys: u64,
    /// Keys that there were at its moment.
    pub keys_total: u64,
    /// Bytes of the file so far.
    pub bytes: u64,
    /// Keys a second, since it began.
    pub keys_per_second: f64,
    /// Bytes a second, since it began.
    pub bytes_per_second: f64,
    /// Seconds until it ends, at that rate; none while nothing is known of it.
    pub eta_seconds: Option<f64>,
}

impl UnderWay {
    /// How far it has come, in figures.
    pub fn figures(&self) -> SaveFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (keys, bytes) = (read(&self.progress.keys), read(&self.progress.bytes));
        let keys_total = read(&self.progress.keys_total);
        let seconds = self.since.as_secs_f64().max(0.001);
        let left = keys_total.saturating_sub(keys) as f64;
        SaveFigures {
            keys,
            keys_total,
            bytes,
            keys_per_second: keys as f64 / seconds,
            bytes_per_second: bytes as f64 / seconds,
            eta_seconds: (keys > 0).then(|| left * seconds / keys as f64),
        }
    }
}

impl Snapshots {
    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic aborts the program, so a poisoned lock is never met.
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// One begins, if there is none: where it notes how far it has come.
    pub fn begin(&self) -> Option<Arc<SaveProgress>> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return None;
        }
        let mut known = self.known();
        let now = Instant::now();
        (known.began, known.last.tried) = (Some(now), Some(now));
        known.progress = Arc::default();
        Some(known.progress.clone())
    }

    /// What is there now, after so many changes, is what a file holds.
    pub fn is_loaded(&self, changes: Changes) {
        self.known().last.changes_then = changes;
    }

    /// It has ended: at which sum of the journals' heads and after how many changes it shows the data, and where, or why it
    /// is not there.
    pub fn end(&self, outcome: Result<((u64, Changes), PathBuf), &str>) {
        let mut known = self.known();
        let took = known.began.take().map(|began| began.elapsed());
        let last = &mut known.last;
        last.took = took;
        last.is_ok = outcome.is_ok();
        match outcome {
            Ok(((heads, changes), path)) => {
                (last.at, last.ended) = (SystemTime::now(), Instant::now());
                last.count += 1;
                (last.heads, last.changes_then) = (heads, changes);
                (last.path, last.error) = (path, String::new());
            }
            Err(error) => error.clone_into(&mut last.error),
        }
        self.failing.store(!last.is_ok, Ordering::Release);
        drop(known);
        self.busy.store(false, Ordering::Release);
    }

    /// It has ended without having come to anything, and without a fault: how the last one went is as before.
    pub fn give_up(&self) {
        self.known().began = None;
        self.busy.store(false, Ordering::Release);
    }

    /// Whether the last one failed.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// How the last ones went.
    pub fn last(&self) -> LastSave {
        self.known().last.clone()
    }

    /// The one under way, if there is one.
    pub fn under_way(&self) -> Option<UnderWay> {
        let known = self.known();
        let since = known.began?.elapsed();
        Some(UnderWay { progress: known.progress.clone(), since })
    }

    /// Ends the one under way, if there is one.
    pub fn cancel(&self) {
        self.known().progress.cancelled.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_snapshot_is_reckoned_from_its_rate() {
        let progress = Arc::new(SaveProgress::default());
        let under_way = UnderWay { progress: progress.clone(), since: Duration::from_secs(4) };
        progress.keys_total.store(1000, Ordering::Relaxed);
        assert_eq!(under_way.figures().eta_seconds, None, "nothing is known yet");
        progress.keys.store(200, Ordering::Relaxed);
        progress.bytes.store(8000, Ordering::Relaxed);
        let figures = under_way.figures();
        assert_eq!((figures.keys_per_second, figures.bytes_per_second), (50.0, 2000.0));
        assert_eq!(figures.eta_seconds, Some(16.0));
        progress.keys.store(1001, Ordering::Relaxed);
        assert_eq!(under_way.figures().eta_seconds, Some(0.0));
    }
}
