//! What the kernel tells of a process and its threads.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// CPU time, user and system, of a process with all of its threads.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    read_cpu_time(&format!("/proc/{pid}/stat"))
}

/// CPU time of the thread that calls.
pub(crate) fn cpu_time_of_thread(pid: u32, thread: u32) -> Duration {
    read_cpu_time(&format!("/proc/{pid}/task/{thread}/stat"))
}

fn read_cpu_time(path: &str) -> Duration {
    let stat = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    // The name, in parentheses, may hold anything; behind it the fields are counted from the third.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<u64>().ok());
    let (user, system) = (ticks().expect("user time"), ticks().expect("system time"));
    // SAFETY: no pointers are passed.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    Duration::from_millis((user + system) * 1000 / per_second)
}

/// Resident memory of a process in bytes.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let kilobytes =
        field(&status, "VmRSS:").and_then(|value| value.split(' ').next()?.parse().ok());
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
