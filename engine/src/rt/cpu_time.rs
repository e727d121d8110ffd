//! How long the current thread has had a processor, and how often the kernel had to find memory for it.
//!
//! A clock alone cannot tell a long piece of work from a short one in whose midst the kernel let somebody else run, or
//! the machine below it another machine (where the kernel hears of that). Nor can it tell work from a first touch of memory, for
//! which the kernel fills a page with zeros: in a virtual machine one of 2 MB may take some ms, most of which the machine
//! below takes to find it. This is asked of the kernel, by two calls of some 150 ns: not for every piece of work.

use std::time::Duration;

/// What is counted of a thread since it was started.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// When: by a clock that never jumps, since whenever that began.
    pub at: Duration,
    /// How long it ran.
    pub ran: Duration,
    /// How often it touched memory that was not there (`getrusage`: minor and major faults).
    pub faults: u64,
}

/// That of the current thread.
pub fn cpu_time() -> CpuTime {
    let (at, ran) = (clock(libc::CLOCK_MONOTONIC), clock(libc::CLOCK_THREAD_CPUTIME_ID));
    CpuTime { at, ran, faults: faults() }
}

fn faults() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the place is one of that kind and outlives the call, and all zeros is a value of it.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    (usage.ru_minflt + usage.ru_majflt) as u64
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
    fn memory_that_is_touched_first_is_counted() {
        let before = cpu_time().faults;
        // Beyond what allocators keep: it comes from the kernel, and with small or large pages not all at once.
        let mut fresh = vec![0u8; 64 << 20];
        fresh.chunks_mut(4096).for_each(|page| page[0] = 1);
        let touched = cpu_time().faults;
        assert!(touched > before, "{before} {touched}");
        fresh.chunks_mut(4096).for_each(|page| page[0] += 1);
        let again = cpu_time().faults;
        assert!(again - touched < touched - before, "{before} {touched} {again}");
    }

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
