//! Whether a shard serves somebody just now.

use crate::db::KeyStats;
use std::time::{Duration, Instant};

/// When somebody was served, as whoever makes slices sees it.
#[derive(Default)]
pub(super) struct Served {
    /// How much had been asked and changed.
    saw: u64,
    last: Option<Instant>,
}

impl Served {
    /// How long ago somebody was; none, where nobody was since there are slices.
    pub(super) fn since(&mut self, stats: &KeyStats, now: Instant) -> Option<Duration> {
        let requested = stats.hits + stats.misses + stats.mutations;
        if std::mem::replace(&mut self.saw, requested) != requested {
            self.last = Some(now);
        }
        self.last.map(|last| now.duration_since(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_or_changes_is_served() {
        let (mut served, began) = (Served::default(), Instant::now());
        let at = |millis: u64| began + Duration::from_millis(millis);
        let mut stats = KeyStats::default();
        assert_eq!(served.since(&stats, at(0)), None);
        stats.misses += 1;
        assert_eq!(served.since(&stats, at(1)), Some(Duration::ZERO));
        assert_eq!(served.since(&stats, at(4)), Some(Duration::from_millis(3)));
        stats.mutations += 1;
        assert_eq!(served.since(&stats, at(5)), Some(Duration::ZERO));
    }
}
