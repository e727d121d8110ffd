//! CPU time and memory of a process: from its clock and from /proc.

use std::fs;
use std::path::Path;

/// User and system time of the process `pid`, all of its threads, those that have ended too, in seconds.
///
/// By the clock that every process has, which counts nanoseconds: /proc tells hundredths of a second, a
/// tenth of what a short run takes.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock = 0;
    // SAFETY: `clock` is valid for writing during the call.
    if unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } != 0 {
        return None;
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing during the call.
    let answer = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (answer == 0).then(|| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// The same with its children, those that live and those that it has waited for.
pub fn family_cpu_seconds(pid: u32) -> Option<f64> {
    // Only /proc tells what children took that have ended.
    let own: u64 = ticks(pid)?.iter().sum();
    let living: u64 = children(pid).into_iter().filter_map(ticks).flatten().sum();
    Some((own + living) as f64 / ticks_per_second())
}

/// User and system time, and the same of the children that it has waited for, in the kernel's
/// ticks.
fn ticks(pid: u32) -> Option<[u64; 4]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything; the fields after it are counted from the
    // third.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11).map(|field| field.parse().ok());
    Some([fields.next()??, fields.next()??, fields.next()??, fields.next()??])
}

fn ticks_per_second() -> f64 {
    // SAFETY: no pointers.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    ticks.max(1) as f64
}

/// User and system time of this process, in seconds.
pub fn own_cpu_seconds() -> f64 {
    // SAFETY: all zeros is a valid rusage (plain integers), and it lives during the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Resident memory of the process `pid`.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    kilobytes_of(Path::new(&format!("/proc/{pid}/status")), "VmRSS:")
}

/// Memory of the process `pid` and its children, pages that they share counted once: what a forked
/// child that serializes the data really costs.
///
/// Without children it is the resident memory, which the kernel just knows; for shared pages it has
/// to walk the page tables, which takes milliseconds per GB of the measured process's own time.
pub fn family_bytes(pid: u32) -> Option<u64> {
    let children = children(pid);
    if children.is_empty() {
        return resident_bytes(pid);
    }
    let of_one = |pid: u32| kilobytes_of(Path::new(&format!("/proc/{pid}/smaps_rollup")), "Pss:");
    // A child may have ended meanwhile; then it costs nothing.
    Some(of_one(pid)? + children.into_iter().filter_map(of_one).sum::<u64>())
}

/// The children of the process `pid`, whichever thread forked them.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of_thread = |path: &Path| fs::read_to_string(path.join("children")).unwrap_or_default();
    let lists = threads.flatten().map(|thread| of_thread(&thread.path()));
    lists
        .flat_map(|list| {
            list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

fn kilobytes_of(path: &Path, field: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Has the process `pid` stand still, until it is killed.
pub fn freeze(pid: u32) -> std::io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(std::io::Error::other)?;
    // SAFETY: no pointers.
    match unsafe { libc::kill(pid, libc::SIGSTOP) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Lets all threads of the process `pid` go before others of this machine, where that is allowed: what it does is
/// then not interrupted by what is measured beside it.
pub fn favour(pid: u32) -> std::io::Result<()> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let name = thread.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        favour_thread(number.ok_or_else(|| std::io::Error::other("a thread without a number"))?)?;
    }
    Ok(())
}

/// The same for one thread, by its number; 0 is the one that asks.
pub fn favour_thread(number: libc::id_t) -> std::io::Result<()> {
    const FIRST: i32 = -20;
    // SAFETY: no pointers.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, number, FIRST) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// The process that listens on TCP `port` of this machine, if we may see it.
pub fn listener_on(port: u16) -> Option<u32> {
    let inodes: Vec<String> =
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().flat_map(|path| listening(path, port)).collect();
    let is_ours = |target: &Path| {
        let target = target.to_string_lossy();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.iter().any(|listening| listening == inode))
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(|pid| {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|t| is_ours(&t)))
    })
}

/// The inodes of the sockets that listen on `port`, according to a table of the kernel.
fn listening(path: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let table = fs::read_to_string(path).unwrap_or_default();
    let port = format!(":{port:04X}");
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTEN;
        listens.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    };
    table.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_the_port_it_listens_on() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listener_on(port), Some(std::process::id()));
        drop(listener);
        assert_eq!(listener_on(port), None);
    }

    #[test]
    fn a_child_counts_with_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = children(std::process::id()).contains(&child.id());
        let family = family_bytes(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found && family.unwrap() > 100_000);
    }

    #[test]
    fn this_process_has_cpu_time_and_memory() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(family_bytes(pid).unwrap() > 100_000);
        assert!((cpu_seconds(pid).unwrap() - own_cpu_seconds()).abs() < 1.0);
        // In hundredths of a second, user and system time each.
        let own = cpu_seconds(pid).unwrap() - 0.03;
        assert!(family_cpu_seconds(pid).unwrap() >= own);
    }
}
