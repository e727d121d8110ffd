//! How long the current thread has had a processor.
//!
//! A clock alone cannot tell a long piece of work from a short one in whose midst the kernel let somebody else run, or
//! the machine below it another machine (where the kernel hears of that). This is asked of the kernel, by a call of some
//! 150 ns: not for every piece of work.

use std::time::Duration;

/// What is counted of a thread since it was started.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// When: by a clock that never jumps, since whenever that began.
    pub at: Duration,
    /// How long it ran.
    pub ran: Duration,
}

/// That of the current thread.
pub fn cpu_time() -> CpuTime {
    let (at, ran) = (clock(libc::CLOCK_MONOTONIC), clock(libc::CLOCK_THREAD_CPUTIME_ID));
    CpuTime { at, ran }
}

fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place is one of that kind and outlives the call.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sleeps_does_not_run() {
        let before = cpu_time();
        while cpu_time().ran - before.ran < Duration::from_millis(5) {}
        let worked = cpu_time();
        assert!(worked.at - before.at >= Duration::from_millis(5), "{before:?} {worked:?}");
        std::thread::sleep(Duration::from_millis(30));
        let slept = cpu_time();
        let off = (slept.at - worked.at).saturating_sub(slept.ran - worked.ran);
        assert!(off >= Duration::from_millis(25), "{worked:?} {slept:?}");
    }
}
