//! How long commands take: events above a threshold, and distributions by command.
//!
//! [`Events`] keeps what `latency-monitor-threshold` calls slow, in series of one sample a second, as
//! Redis does. [`Histograms`] count one call in some thirty, those that are timed anyhow, so they cost
//! no further look at the clock; a distribution is then stretched to the number of calls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Samples of a series, as in Redis.
const SAMPLES_MAX: usize = 160;

/// The events of the whole program, by name.
#[derive(Debug, Default)]
pub struct Events(Mutex<BTreeMap<&'static str, Series>>);

/// One kind of event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Seconds since 1970 and milliseconds, the oldest first; the worst of each second.
    pub samples: VecDeque<(u64, u64)>,
    /// The worst of all.
    pub most: u64,
}

impl Events {
    /// Notes that something took so long just now.
    pub fn note(&self, event: &'static str, took: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.note_at(event, now, took.as_millis() as u64);
    }

    fn note_at(&self, event: &'static str, now: u64, millis: u64) {
        let mut events = self.lock();
        let series = events.entry(event).or_default();
        series.most = series.most.max(millis);
        match series.samples.back_mut() {
            Some((at, worst)) if *at == now => *worst = (*worst).max(millis),
            _ => series.samples.push_back((now, millis)),
        }
        if series.samples.len() > SAMPLES_MAX {
            series.samples.pop_front();
        }
    }

    /// All series, by name.
    pub fn all(&self) -> BTreeMap<&'static str, Series> {
        self.lock().clone()
    }

    /// Forgets the series that `which` picks; how many there were.
    pub fn reset(&self, which: impl Fn(&str) -> bool) -> usize {
        let mut events = self.lock();
        let before = events.len();
        events.retain(|name, _| !which(name));
        before - events.len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Series>> {
        // A panic aborts the program, so a poisoned lock is never met.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The unit of buckets: 1024 of them are a microsecond, so that powers of two of both meet.
const UNITS_PER_MICRO: u64 = 1024;
/// Everything below a quarter of a microsecond is one bucket.
const FIRST_POWER: u32 = 8;
/// Everything above some 70 seconds is one bucket.
const LAST_POWER: u32 = 36;
/// Each power of two is cut into four.
const PARTS: usize = 4;
const BUCKETS: usize = 1 + (LAST_POWER - FIRST_POWER) as usize * PARTS;

/// The distributions of all commands, by id, over all executors.
#[derive(Debug)]
pub struct Histograms(Vec<[AtomicU64; BUCKETS]>);

impl Histograms {
    /// For `commands` commands.
    pub fn new(commands: usize) -> Histograms {
        Histograms((0..commands).map(|_| [const { AtomicU64::new(0) }; BUCKETS]).collect())
    }

    /// A call that was timed took so long.
    pub fn note(&self, id: u16, took: Duration) {
        self.0[usize::from(id)][bucket_of(took)].fetch_add(1, Ordering::Relaxed);
    }

    /// The distribution of a command that was called so often; the mean of its time stands for calls
    /// none of which was timed here.
    pub fn of(&self, id: u16, calls: u64, mean: Duration) -> Distribution {
        let buckets = &self.0[usize::from(id)];
        let mut timed: Vec<u64> =
            buckets.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        if timed.iter().all(|count| *count == 0) {
            timed[bucket_of(mean)] = 1;
        }
        Distribution { timed, calls }
    }

    /// `CONFIG RESETSTAT`, or `LATENCY RESET`'s counterpart for distributions.
    pub fn reset(&self) {
        self.0.iter().flatten().for_each(|count| count.store(0, Ordering::Relaxed));
    }
}

/// How long the calls of one command took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    timed: Vec<u64>,
    calls: u64,
}

impl Distribution {
    /// For each power of two in microseconds at which there is something: how many calls took at most
    /// so long.
    pub fn by_power(&self) -> Vec<(u64, u64)> {
        let all: u64 = self.timed.iter().sum();
        let (mut passed, mut powers) = (0u64, Vec::<(u64, u64)>::new());
        for (bucket, count) in self.timed.iter().enumerate().filter(|(_, count)| **count > 0) {
            passed += count;
            let micros = end_of(bucket).div_ceil(UNITS_PER_MICRO).next_power_of_two();
            let calls = (u128::from(passed) * u128::from(self.calls) / u128::from(all)) as u64;
            match powers.last_mut() {
                Some((last, so_far)) if *last == micros => *so_far = calls,
                _ => powers.push((micros, calls)),
            }
        }
        powers
    }

    /// What `percent` of the calls stayed within, in microseconds; up to a quarter too much.
    pub fn percentile(&self, percent: f64) -> f64 {
        let all: u64 = self.timed.iter().sum();
        let wanted = ((all as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut passed = 0;
        let reached = self.timed.iter().position(|count| {
            passed += count;
            passed >= wanted
        });
        end_of(reached.unwrap_or(BUCKETS - 1)) as f64 / UNITS_PER_MICRO as f64
    }
}

fn bucket_of(took: Duration) -> usize {
    let units = (took.as_nanos() * u128::from(UNITS_PER_MICRO) / 1000) as u64;
    let power = units.max(1).ilog2();
    match power {
        0..FIRST_POWER => 0,
        FIRST_POWER..LAST_POWER => {
            let part = (units >> (power - 2)) as usize & (PARTS - 1);
            1 + (power - FIRST_POWER) as usize * PARTS + part
        }
        _ => BUCKETS - 1,
    }
}

/// Where a bucket ends, in units.
fn end_of(bucket: usize) -> u64 {
    let Some(index) = bucket.checked_sub(1) else { return 1 << FIRST_POWER };
    let (power, part) = (FIRST_POWER + (index / PARTS) as u32, (index % PARTS) as u64);
    (PARTS as u64 + part + 1) << (power - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_keeps_the_worst_of_each_second_and_a_bounded_number() {
        let events = Events::default();
        events.note_at("command", 10, 5);
        events.note_at("command", 10, 9);
        events.note_at("command", 10, 7);
        events.note_at("fast-command", 11, 1);
        let all = events.all();
        assert_eq!(all["command"], Series { samples: VecDeque::from([(10, 9)]), most: 9 });
        for second in 100..100 + 2 * SAMPLES_MAX as u64 {
            events.note_at("command", second, 2);
        }
        let all = events.all();
        assert_eq!((all["command"].samples.len(), all["command"].most), (SAMPLES_MAX, 9));
        assert_eq!(events.reset(|name| name == "nothing"), 0);
        assert_eq!(events.reset(|_| true), 2);
        assert!(events.all().is_empty());
    }

    #[test]
    fn every_duration_is_within_its_bucket() {
        for nanos in (0..4_000_000_000u64).step_by(999_983).chain([1, 255, 999, 1000, 1001]) {
            let units = nanos * UNITS_PER_MICRO / 1000;
            let bucket = bucket_of(Duration::from_nanos(nanos));
            assert!(units < end_of(bucket), "{nanos} ns in bucket {bucket}");
            let from = if bucket == 0 { 0 } else { end_of(bucket - 1) };
            assert!(units >= from, "{nanos} ns in bucket {bucket}");
        }
        assert_eq!(bucket_of(Duration::from_secs(1000)), BUCKETS - 1);
    }

    #[test]
    fn a_distribution_is_stretched_to_the_calls() {
        let histograms = Histograms::new(2);
        for micros in [1, 1, 3, 900] {
            histograms.note(1, Duration::from_nanos(micros * 1000 - 1));
        }
        let shape = histograms.of(1, 400, Duration::ZERO);
        assert_eq!(shape.by_power(), [(1, 200), (4, 300), (1024, 400)]);
        assert_eq!(shape.percentile(50.0), 1.0);
        assert!((900.0..=1125.0).contains(&shape.percentile(99.9)), "{}", shape.percentile(99.9));
        let untimed = histograms.of(0, 7, Duration::from_micros(100));
        assert_eq!(untimed.by_power(), [(128, 7)]);
        histograms.reset();
        assert_eq!(histograms.of(1, 3, Duration::from_micros(2)).by_power(), [(4, 3)]);
    }
}
