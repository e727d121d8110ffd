//! How long somebody has been served while others wait.

use std::time::{Duration, Instant};

/// How long a task has had its turn, as of the last look.
pub(super) struct Turn {
    began: Instant,
    now: Instant,
}

impl Turn {
    pub(super) fn begin() -> Turn {
        let began = Instant::now();
        Turn { began, now: began }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn look(&mut self) -> Instant {
        self.now = Instant::now();
        self.now
    }

    /// Whether it was longer as of the last look.
    pub(super) fn was_longer(&self, than: Duration) -> bool {
        self.now.duration_since(self.began) >= than
    }

    pub(super) fn is_longer(&mut self, than: Duration) -> bool {
        self.took() >= than
    }

    /// How long it has taken until now.
    pub(super) fn took(&mut self) -> Duration {
        self.look().duration_since(self.began)
    }
}
