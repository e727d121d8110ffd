//! Executors: one thread, one event loop, one CPU or none in particular.
//!
//! [`spawn`] starts a named thread with an event loop in it and runs one future to its end; that
//! future spawns whatever else there is. When it ends, the tasks it left behind are cancelled and
//! the thread ends. [`plan`] decides, without looking at the machine, which CPU each executor gets.
//!
//! An executor does not restart, and does not steal work.

use std::future::Future;
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use super::poller::Poller;
use super::{task, wake};

/// glommio's "preemption timer", turned off as far as it can be.
///
/// When anything that belongs to its "latency ring" happens between glommio's look at the kernel and
/// its look at the tasks, glommio 0.9 takes "preempted" for "nothing to run" and sleeps, with tasks
/// ready to run, until something else wakes it. Two things of that ring could come at any time: this
/// timer, and wakers that other threads use ([`wake`](super::wake) has its own instead). What the
/// timer is good for, looking at the kernel while tasks keep the CPU busy, [`task::yield_now`] does.
const PREEMPTION_INTERVAL: Duration = Duration::from_secs(3600);

/// What an executor sets aside for reading and writing files past the kernel's cache: glommio's least, as
/// nothing here does that. Its default of 10 MiB would be taken from the data of every small node.
const IO_MEMORY: usize = 64 * 1024;

/// From how many CPUs on `--pin=auto` pins: on fewer, something else always wants one of ours.
pub const PIN_AUTO_CPUS_MIN: usize = 4;

/// How one executor is to be set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The thread's name, at most 15 bytes to be seen whole in `top`: `shard-0`, `repl`.
    pub name: String,
    /// The CPU to be pinned to, or wherever the kernel likes.
    pub cpu: Option<usize>,
    /// How long to look for events before sleeping. Has an effect on pinned executors only.
    pub spin_before_park: Duration,
    /// Who goes before whom where CPUs are scarce.
    pub priority: Priority,
}

/// Which executors the kernel prefers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Priority {
    /// As any other program.
    #[default]
    Normal,
    /// Behind all others, a tenth of whose time it has where there is not enough; whoever else wakes runs at once.
    Low,
}

impl Settings {
    /// An unpinned executor of that name that never spins.
    pub fn named(name: impl Into<String>) -> Self {
        let (cpu, priority) = (None, Priority::Normal);
        Self { name: name.into(), cpu, spin_before_park: Duration::ZERO, priority }
    }

    /// The same, pinned to `cpu` if there is one.
    pub fn on_cpu(self, cpu: Option<usize>) -> Self {
        Self { cpu, ..self }
    }

    /// The same, of that priority.
    pub fn of(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }
}

/// A running executor. Dropping it leaves the thread running; [`Executor::join`] waits for it.
#[derive(Debug)]
pub struct Executor<T> {
    name: String,
    started: mpsc::Receiver<()>,
    thread: thread::JoinHandle<Result<T, String>>,
}

impl<T> Executor<T> {
    /// Waits until the event loop runs; then `true`. `false`: it has failed, and
    /// [`Executor::join`] says why.
    pub fn wait_started(&self) -> bool {
        self.started.recv().is_ok()
    }

    /// Whether the thread has ended, so that [`Executor::join`] would not wait.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end: what the future returned, or why the executor failed or panicked.
    pub fn join(self) -> Result<T, String> {
        let Self { name, thread, .. } = self;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => Err(format!("executor {name} panicked: {}", panic_text(&*panic))),
        }
    }
}

/// Starts a thread with an event loop and runs the future that `make` builds there.
///
/// Fails at once only if there can be no thread; a failing event loop is told by
/// [`Executor::wait_started`] and [`Executor::join`].
pub fn spawn<G, F, T>(settings: Settings, make: G) -> Result<Executor<T>, String>
where
    G: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    if let Some(set) = affinity() {
        PROCESS_CPUS.get_or_init(|| set);
    }
    let name = settings.name.clone();
    let (report, started) = mpsc::sync_channel(1);
    let thread = thread::Builder::new()
        .name(name.clone())
        .spawn(move || run(&settings, &report, make))
        .map_err(|error| format!("cannot start thread {name}: {error}"))?;
    Ok(Executor { name, started, thread })
}

/// The thread's whole life.
fn run<G, F, T>(settings: &Settings, started: &mpsc::SyncSender<()>, make: G) -> Result<T, String>
where
    G: FnOnce() -> F,
    F: Future<Output = T> + 'static,
    T: 'static,
{
    if settings.priority == Priority::Low {
        go_behind_others();
    }
    let placement = settings.cpu.map_or(Placement::Unbound, Placement::Fixed);
    let executor = LocalExecutorBuilder::new(placement)
        .name(&settings.name)
        .spin_before_park(settings.spin_before_park)
        .preempt_timer(PREEMPTION_INTERVAL)
        .io_memory(IO_MEMORY)
        .make()
        .map_err(|error| match settings.cpu {
            Some(cpu) => format!(
                "cannot start executor {} on CPU {cpu}: {error}; --pin=off leaves the CPU open",
                settings.name
            ),
            None => format!("cannot start executor {}: {error}", settings.name),
        })?;
    let explain = |error| format!("cannot start executor {}: {error}", settings.name);
    let bell = wake::Bell::enter().map_err(explain)?;
    let poller = Poller::enter(bell).map_err(explain)?;
    // Nobody may be waiting to hear it.
    let _ = started.try_send(());
    let output = executor.run(async move {
        let polling = glommio::spawn_local(poller.run());
        let output = task::counted(make()).await;
        task::cancel_detached().await;
        polling.cancel().await;
        output
    });
    Poller::leave();
    wake::leave();
    Ok(output)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

/// The operator's wish about pinning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pin {
    /// Pin where it pays: from [`PIN_AUTO_CPUS_MIN`] CPUs up, and a CPU for each executor.
    #[default]
    Auto,
    /// Pin always; with fewer CPUs than executors they share, in turn.
    On,
    /// Never pin.
    Off,
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(format!("pin is auto, on or off, not '{text}'")),
        }
    }
}

/// The CPU for each of `executors`, in their order, or `None` for those that stay unpinned.
///
/// `allowed` are the CPUs this process may run on; `quota` how many CPUs' worth of time it gets
/// (a container may see 64 CPUs and own 2).
pub fn plan(pin: Pin, executors: usize, allowed: &[usize], quota: usize) -> Vec<Option<usize>> {
    let cpus = allowed.len().min(quota);
    let pinned = match pin {
        Pin::Auto => cpus >= PIN_AUTO_CPUS_MIN && executors <= cpus,
        Pin::On => !allowed.is_empty(),
        Pin::Off => false,
    };
    (0..executors).map(|index| pinned.then(|| allowed[index % allowed.len()])).collect()
}

/// The CPUs that this process may run on, in ascending order; empty if the kernel does not tell.
pub fn allowed_cpus() -> Vec<usize> {
    let Some(set) = affinity() else { return Vec::new() };
    // SAFETY: every index is below CPU_SETSIZE, so the test stays within `set`.
    (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect()
}

/// Lets the current thread run wherever the process was allowed to run when it started.
///
/// A thread inherits the CPU of the pinned executor that starts it, and would compete with it.
pub(super) fn unpin_thread() {
    let Some(set) = PROCESS_CPUS.get() else { return };
    // SAFETY: `set` is a valid cpu_set_t of that size. Failure leaves the thread where it is.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), set) };
}

/// What sched_setattr(2) is told, as of its first version.
#[repr(C)]
struct SchedulingAttributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Makes the current thread, and those of the kernel that its ring will have, [`Priority::Low`].
///
/// A weight says who gets how much. Who runs first says the length of what a thread wants to do at a time (kernels from
/// 6.12 on; earlier ones pass over it): whoever wants shorter turns interrupts one of long ones as soon as he wakes.
fn go_behind_others() {
    /// A tenth of the weight of others.
    const NICE: i32 = 10;
    /// Nanoseconds; others want some milliseconds.
    const TURN: u64 = 50_000_000;
    let attributes = SchedulingAttributes {
        size: size_of::<SchedulingAttributes>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: 0,
        nice: NICE,
        priority: 0,
        runtime: TURN,
        deadline: 0,
        period: 0,
    };
    // SAFETY: `attributes` says how long it is, and outlives the call, which changes the calling thread only. Where that is
    // not allowed (a seccomp filter), the thread goes as any other.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

/// What the process was allowed before the first executor was pinned.
static PROCESS_CPUS: std::sync::OnceLock<libc::cpu_set_t> = std::sync::OnceLock::new();

fn affinity() -> Option<libc::cpu_set_t> {
    // SAFETY: cpu_set_t is plain bits, for which all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid place of that size for the answer and outlives the call.
    let answer = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    (answer == 0).then_some(set)
}

/// How many CPUs' worth of time this process gets: its CPUs, or less if a cgroup says so.
pub fn cpu_quota() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executor_of_low_priority_goes_behind_others() {
        let nice = |priority| {
            // SAFETY: no pointers.
            let own = || async { unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) } };
            spawn(Settings::named("nice").of(priority), own).expect("a thread").join()
        };
        let normal = nice(Priority::Normal).expect("no panic");
        assert_eq!(nice(Priority::Low), Ok(normal.max(10)));
    }

    #[test]
    fn pinning_follows_the_wish_and_the_cpus() {
        let eight: Vec<usize> = (8..16).collect();
        let none = |n| vec![None; n];
        for (pin, executors, allowed, quota, expected) in [
            (Pin::Auto, 3, &eight[..], 8, vec![Some(8), Some(9), Some(10)]),
            (Pin::Auto, 4, &eight[..4], 4, vec![Some(8), Some(9), Some(10), Some(11)]),
            (Pin::Auto, 5, &eight[..4], 4, none(5)),
            (Pin::Auto, 2, &eight[..3], 3, none(2)),
            (Pin::Auto, 3, &eight[..], 2, none(3)),
            (Pin::On, 3, &eight[..2], 2, vec![Some(8), Some(9), Some(8)]),
            (Pin::On, 2, &[], 1, none(2)),
            (Pin::Off, 2, &eight[..], 8, none(2)),
            (Pin::Auto, 0, &eight[..], 8, none(0)),
        ] {
            let planned = plan(pin, executors, allowed, quota);
            assert_eq!(planned, expected, "{pin:?} {executors} on {allowed:?}, quota {quota}");
        }
    }

    #[test]
    fn the_wish_is_read_from_its_three_words_only() {
        assert_eq!("auto".parse(), Ok(Pin::Auto));
        assert_eq!("on".parse(), Ok(Pin::On));
        assert_eq!("off".parse(), Ok(Pin::Off));
        assert!("yes".parse::<Pin>().unwrap_err().contains("'yes'"));
    }

    #[test]
    fn the_kernel_names_at_least_one_cpu_and_the_quota_is_not_more() {
        let allowed = allowed_cpus();
        assert!(!allowed.is_empty());
        assert!(allowed.is_sorted());
        assert!((1..=allowed.len()).contains(&cpu_quota()));
    }
}
