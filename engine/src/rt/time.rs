//! Time: sleeping, deadlines, and the two clocks.
//!
//! Deadlines are timers of their own beside the future that they bound: when either is done, both
//! are dropped and nothing stays armed. (glommio's stream timeouts stay armed when a read is
//! dropped, and end the next read.)

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use glommio::timer::Timer;
use pin_project_lite::pin_project;

use crate::types::Millis;

/// The longest wait that is really set; "for ever" in practice, and no clock overflows.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// The time of a [`timeout`] was up first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl std::fmt::Display for Elapsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("timed out")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(_: Elapsed) -> Self {
        std::io::ErrorKind::TimedOut.into()
    }
}

/// Waits that long.
pub async fn sleep(duration: Duration) {
    Timer::new(duration.min(WAIT_MAX)).await;
}

/// The output of `future`, unless `limit` passes first; then the future is dropped.
///
/// A future that is ready at once costs no timer and never times out.
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    Timeout { future, limit, timer: None }
}

pin_project! {
    /// See [`timeout`]. No `async` function, which would hold the future twice: as what it was given, and as
    /// what it waits for.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        limit: Duration,
        timer: Option<Timer>,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let timer = this.timer.get_or_insert_with(|| Timer::new((*this.limit).min(WAIT_MAX)));
        Pin::new(timer).poll(cx).map(|_| Err(Elapsed))
    }
}

/// Patience with somebody else: time in which nothing came from there, as far as it was watched. A process
/// that was stopped (SIGSTOP, a machine that slept) has watched nothing meanwhile, and its first look at the
/// clock must not end everybody who was well. It lasts over several waits.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    step: Duration,
    left: Duration,
}

/// Patience is counted in so many steps; a step that lasts twice as long as it should was not watched.
const PATIENCE_STEPS: u32 = 8;

/// By so much every timer may be late.
const LATE_MAX: Duration = Duration::from_millis(100);

impl Patience {
    /// So much of it.
    pub fn of(whole: Duration) -> Patience {
        let whole = whole.min(WAIT_MAX);
        Patience { step: whole / PATIENCE_STEPS, left: whole }
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        self.left
    }

    /// The output of `future`, unless patience comes to its end first; then the future is dropped.
    ///
    /// A future that is ready at once costs nothing.
    pub fn within<F: Future>(&mut self, future: F) -> Within<'_, F> {
        Within { patience: self, future, step: None }
    }

    fn waited(&mut self, took: Duration, step: Duration) {
        if took <= step + step.max(LATE_MAX) {
            self.left = self.left.saturating_sub(took.min(step));
        }
    }
}

pin_project! {
    /// See [`Patience::within`]. No `async` function, for the reason of [`Timeout`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Within<'a, F> {
        patience: &'a mut Patience,
        #[pin]
        future: F,
        step: Option<Step>,
    }
}

/// A step of patience under way.
struct Step {
    began: Instant,
    length: Duration,
    timer: Timer,
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            if let Some(Step { began, length, .. }) = this.step.take() {
                this.patience.waited(began.elapsed(), length);
            }
            return Poll::Ready(Ok(output));
        }
        loop {
            let step = this.step.get_or_insert_with(|| {
                let length = this.patience.step.min(this.patience.left);
                Step { began: monotonic(), length, timer: Timer::new(length) }
            });
            std::task::ready!(Pin::new(&mut step.timer).poll(cx));
            let (took, length) = (step.began.elapsed(), step.length);
            *this.step = None;
            this.patience.waited(took, length);
            if this.patience.left.is_zero() {
                return Poll::Ready(Err(Elapsed));
            }
        }
    }
}

/// The wall clock. It may jump; only what the protocol calls a time of day is made of it.
pub fn now_millis() -> Millis {
    // Before 1970 is a broken clock, and 0 as good an answer as any.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The clock that never jumps, for measuring and for deadlines.
pub fn monotonic() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_was_not_watched_takes_no_patience() {
        let second = Duration::from_secs(1);
        let mut patience = Patience::of(8 * second);
        patience.waited(second, second);
        patience.waited(second + LATE_MAX, second);
        assert_eq!(patience.left(), 6 * second);
        // The process was stopped for an hour.
        patience.waited(3600 * second, second);
        assert_eq!(patience.left(), 6 * second);
        (0..6).for_each(|_| patience.waited(second, second));
        assert!(patience.left().is_zero());
    }
}
