//! What the tests of the runtime share: an executor with a deadline, and this thread's CPU time.
#![allow(dead_code, reason = "each test binary uses its own part of it")]

use std::future::Future;
use std::time::{Duration, Instant};

use engine::rt::{Executor, Settings, executor, probe};

/// No test here takes longer, also on a machine that compiles something else meanwhile.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Starts an unpinned executor.
pub(crate) fn start<G, F, T>(make: G) -> Executor<T>
where
    G: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    probe::prepare().unwrap();
    executor::spawn(Settings::named("test"), make).unwrap()
}

/// Joins, or fails when it takes longer than [`DEADLINE`].
pub(crate) fn join<T>(executor: Executor<T>) -> T {
    until(|| executor.is_finished());
    executor.join().unwrap()
}

/// Runs a future on an executor of its own.
pub(crate) fn run<G, F, T>(make: G) -> T
where
    G: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    join(start(make))
}

/// Waits until `condition` holds, or fails when it takes longer than [`DEADLINE`].
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "deadline passed");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The CPU time that the current thread has used.
pub(crate) fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(answer, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How many descriptors this process has open.
pub(crate) fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
