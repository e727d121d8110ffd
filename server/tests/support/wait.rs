//! Waiting for conditions.

use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take to come true before the test fails. Generous: the machine may be
/// busy with other tests, and a condition that holds ends the wait at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until `look` finds something, and fails after [`PATIENCE`] with what was waited for.
pub(crate) fn until_some<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_some_within(PATIENCE, what, look)
}

/// [`until_some`] with a limit of its own.
pub(crate) fn until_some_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain: {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Looks until `holds` does.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_some(what, || holds().then_some(()));
}

/// [`until`] with a limit of its own.
pub(crate) fn until_within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    until_some_within(limit, what, || holds().then_some(()));
}

/// Lets time pass: only where the passing of time is what is tested (a cut that lasts, a window over
/// which CPU time is measured).
pub(crate) fn let_pass(time: Duration) {
    thread::sleep(time);
}
