//! What the kernel tells of a process and its threads.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// CPU time of a process with all the threads that it has now, in the scheduler's own precision: what
/// an idle program spends is less than the clock ticks that `stat` counts.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    threads(pid).into_keys().map(|thread| cpu_time_of_thread(pid, thread)).sum()
}

/// CPU time of one thread; nothing if it has ended.
pub(crate) fn cpu_time_of_thread(pid: u32, thread: u32) -> Duration {
    let path = format!("/proc/{pid}/task/{thread}/schedstat");
    let figures = fs::read_to_string(path).unwrap_or_default();
    let nanoseconds = figures.split(' ').next().and_then(|figure| figure.parse().ok());
    nanoseconds.map_or(Duration::ZERO, Duration::from_nanos)
}

/// How often the threads of a process have gone to sleep of themselves, all that it has now together:
/// as many times as something woke one of them. What a wake-up costs is the machine's affair, how many
/// there are is the program's.
pub(crate) fn wake_ups(pid: u32) -> u64 {
    let of_thread = |thread| {
        let path = format!("/proc/{pid}/task/{thread}/status");
        let status = fs::read_to_string(path).unwrap_or_default();
        field(&status, "voluntary_ctxt_switches:").and_then(|count| count.parse().ok()).unwrap_or(0)
    };
    threads(pid).into_keys().map(of_thread).sum::<u64>()
}

/// How often threads of this name were the first to touch memory that the kernel had not given yet.
pub(crate) fn first_touches(pid: u32, name: &str) -> u64 {
    let of_thread = |thread| {
        let stat =
            fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat")).unwrap_or_default();
        // The name, in parentheses, may contain anything; behind it the eighth is the count of minor faults.
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        behind.split_ascii_whitespace().nth(7).and_then(|count| count.parse::<u64>().ok())
    };
    let named = threads(pid).into_iter().filter(|(_, (thread, _))| thread == name);
    named.filter_map(|(thread, _)| of_thread(thread)).sum()
}

/// Resident memory of a process in bytes.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    memory(pid, "VmRSS:")
}

/// The most that a process ever had resident, in bytes.
pub(crate) fn peak_bytes(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let kilobytes = field(&status, name).and_then(|value| value.split(' ').next()?.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024)
}

/// The threads of a process: name and the CPUs that each may run on.
pub(crate) fn threads(pid: u32) -> BTreeMap<u32, (String, String)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a live process");
    let ids = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok());
    ids.filter_map(|id: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/task/{id}/status")).ok()?;
        let name = field(&status, "Name:")?.to_owned();
        Some((id, (name, field(&status, "Cpus_allowed_list:")?.to_owned())))
    })
    .collect()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The CPUs that this process may run on.
pub(crate) fn allowed_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
