//! What fronts count for themselves: commands that run where the connection lives, and rates.
//!
//! Shards count their own commands ([`engine::shard::CommandStats`]); nothing is counted twice.

use engine::shard::CommandStats;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Counters of one command of the fronts.
#[derive(Debug, Default)]
struct FrontCount {
    calls: AtomicU64,
    nanos: AtomicU64,
    failed: AtomicU64,
    rejected: AtomicU64,
}

/// Counters of the fronts, by command id, over all executors.
#[derive(Debug)]
pub struct FrontStats(Vec<FrontCount>);

/// One quick call in so many is timed, as on shards.
pub const TIMED_EVERY: u64 = 32;

impl FrontStats {
    /// For `commands` commands.
    pub fn new(commands: usize) -> FrontStats {
        FrontStats((0..commands).map(|_| FrontCount::default()).collect())
    }

    /// A command that answers at once is about to run. What is returned is to be handed to
    /// [`ended`](FrontStats::ended): the time and for how many calls it counts, if it is timed.
    pub fn began(&self, id: u16) -> Option<(Instant, u64)> {
        let calls = self.0[usize::from(id)].calls.fetch_add(1, Ordering::Relaxed);
        let timed = calls.is_multiple_of(TIMED_EVERY);
        timed.then(|| (Instant::now(), if calls == 0 { 1 } else { TIMED_EVERY }))
    }

    /// A command that answers at once has run. Answers what it took, if it was timed.
    pub fn ended(&self, id: u16, began: Option<(Instant, u64)>, failed: bool) -> Option<Duration> {
        let count = &self.0[usize::from(id)];
        count.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
        let (began, calls) = began?;
        let took = began.elapsed();
        count.nanos.fetch_add(took.as_nanos() as u64 * calls, Ordering::Relaxed);
        Some(took)
    }

    /// A command that has to wait for others has run. Its time is the whole, waiting included.
    pub fn waited(&self, id: u16, took: Duration, failed: bool) {
        let count = &self.0[usize::from(id)];
        count.calls.fetch_add(1, Ordering::Relaxed);
        count.nanos.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        count.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    /// A gate refused a command, whoever would have run it.
    pub fn rejected(&self, id: u16) {
        self.0[usize::from(id)].rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds the counters to those of shards.
    pub fn add_to(&self, stats: &mut [CommandStats]) {
        for (stats, count) in stats.iter_mut().zip(&self.0) {
            stats.calls += count.calls.load(Ordering::Relaxed);
            stats.nanos += count.nanos.load(Ordering::Relaxed);
            stats.failed += count.failed.load(Ordering::Relaxed);
            stats.rejected += count.rejected.load(Ordering::Relaxed);
        }
    }

    /// Commands run by fronts.
    pub fn calls(&self) -> u64 {
        self.0.iter().map(|count| count.calls.load(Ordering::Relaxed)).sum()
    }

    /// `CONFIG RESETSTAT`.
    pub fn reset(&self) {
        for count in &self.0 {
            for counter in [&count.calls, &count.nanos, &count.failed, &count.rejected] {
                counter.store(0, Ordering::Relaxed);
            }
        }
    }
}

/// Totals at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Commands.
    pub commands: u64,
    /// Bytes from clients.
    pub input_bytes: u64,
    /// Bytes to clients.
    pub output_bytes: u64,
}

/// How fast totals grow, over the last [`WINDOW`].
#[derive(Debug)]
pub struct Rates {
    /// Commands of each shard, as its own heartbeat last told.
    shards: Vec<AtomicU64>,
    samples: Mutex<VecDeque<(Instant, Totals)>>,
}

/// What a rate is taken over.
const WINDOW: Duration = Duration::from_millis(1600);
/// Distance of samples.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// Growth in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerSecond {
    /// Commands.
    pub commands: f64,
    /// Bytes from clients.
    pub input_bytes: f64,
    /// Bytes to clients.
    pub output_bytes: f64,
}

impl Rates {
    /// For so many shards.
    pub fn new(shards: u16) -> Rates {
        let shards = (0..shards).map(|_| AtomicU64::new(0)).collect();
        Rates { shards, samples: Mutex::default() }
    }

    /// A shard tells how many commands it has run.
    pub fn tell(&self, shard: usize, commands: u64) {
        self.shards[shard].store(commands, Ordering::Relaxed);
    }

    /// Commands of all shards, as they last told.
    pub fn told(&self) -> u64 {
        self.shards.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Takes a sample, unless the last one is fresh. Called by one executor's heartbeat.
    pub fn sample(&self, now: Instant, totals: impl FnOnce() -> Totals) {
        let mut samples = lock(&self.samples);
        if samples.back().is_some_and(|(last, _)| now.duration_since(*last) < SAMPLE_EVERY) {
            return;
        }
        samples.push_back((now, totals()));
        // Bounded: what is older than the window goes.
        while samples.len() > 2 && now.duration_since(samples[0].0) > WINDOW {
            samples.pop_front();
        }
    }

    /// Growth between the oldest and the youngest sample.
    pub fn per_second(&self) -> PerSecond {
        let samples = lock(&self.samples);
        let (Some((from, before)), Some((to, after))) = (samples.front(), samples.back()) else {
            return PerSecond::default();
        };
        let seconds = to.duration_since(*from).as_secs_f64();
        if seconds <= 0.0 {
            return PerSecond::default();
        }
        // A RESETSTAT between two samples makes a total smaller.
        let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
        PerSecond {
            commands: rate(before.commands, after.commands),
            input_bytes: rate(before.input_bytes, after.input_bytes),
            output_bytes: rate(before.output_bytes, after.output_bytes),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic aborts the program, so a poisoned lock is never met.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_growth_over_the_window_and_nothing_without_samples() {
        let rates = Rates::new(2);
        assert_eq!(rates.per_second(), PerSecond::default());
        let start = Instant::now();
        for step in 0..100u64 {
            let totals = Totals { commands: step * 50, input_bytes: step * 1000, output_bytes: 7 };
            rates.sample(start + SAMPLE_EVERY * step as u32, || totals);
        }
        let rate = rates.per_second();
        assert!((rate.commands - 500.0).abs() < 1e-6, "{rate:?}");
        assert!((rate.input_bytes - 10_000.0).abs() < 1e-6, "{rate:?}");
        assert_eq!(rate.output_bytes, 0.0);
        assert!(lock(&rates.samples).len() <= 20);
    }

    #[test]
    fn what_fronts_count_adds_to_what_shards_count() {
        let stats = FrontStats::new(2);
        let began = stats.began(1);
        assert!(began.is_some(), "the first call is timed");
        stats.ended(1, began, true);
        assert!(stats.began(1).is_none(), "the second is not");
        stats.rejected(0);
        let mut sum = vec![CommandStats { calls: 5, ..CommandStats::default() }; 2];
        stats.add_to(&mut sum);
        assert_eq!((sum[1].calls, sum[1].failed, sum[0].calls, sum[0].rejected), (7, 1, 5, 1));
        stats.reset();
        assert_eq!(stats.calls(), 0);
    }
}
