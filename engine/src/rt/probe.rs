//! May this process use io_uring, and how much may it lock and open?
//!
//! [`prepare`] runs once, before the first executor. glommio answers a forbidden io_uring with a
//! panic in the executor's thread and a small memlock limit with a bare number; here both are
//! found beforehand, by raw system calls, and said with their cause and their cure.
//!
//! It does not fall back to anything: without io_uring there is no executor.

use std::io;

/// What glommio demands of the soft limit of locked memory before it opens a ring.
pub const LOCKED_MEMORY_BYTES_MIN: u64 = 512 * 1024;

/// The oldest kernel whose io_uring has all that glommio uses.
pub const KERNEL_MIN: (u32, u32) = (5, 8);

/// Makes this process fit to run executors: raises the limits of locked memory and of open files
/// as far as allowed, ignores SIGPIPE, and tries io_uring.
///
/// The error is a sentence for the operator.
pub fn prepare() -> Result<(), String> {
    // glommio's own send does not say MSG_NOSIGNAL; a peer that has gone must not end the process.
    // SAFETY: SIG_IGN is a valid disposition, and no handler of ours is replaced by it.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    raise_to_hard(libc::RLIMIT_NOFILE, 0);
    let locked = raise_to_hard(libc::RLIMIT_MEMLOCK, LOCKED_MEMORY_BYTES_MIN);
    check_locked_memory(locked)?;
    let release = kernel_release();
    if kernel_is_older(&release, KERNEL_MIN) {
        let (major, minor) = KERNEL_MIN;
        return Err(format!(
            "kernel {release} is too old: io_uring as used here needs {major}.{minor} or newer"
        ));
    }
    match try_io_uring() {
        Ok(()) => Ok(()),
        Err(error) => {
            let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
            Err(explain_io_uring(error, disabled.as_deref().map(str::trim), &release))
        }
    }
}

/// How many files (sockets included) this process may open now.
pub fn open_files_max() -> u64 {
    limit_of(libc::RLIMIT_NOFILE).map_or(1024, |limit| limit.rlim_cur)
}

/// What the operator should read when `io_uring_setup` fails with `errno`.
///
/// `disabled` is the content of `/proc/sys/kernel/io_uring_disabled`, where that file exists.
pub fn explain_io_uring(errno: i32, disabled: Option<&str>, release: &str) -> String {
    let cause = match errno {
        libc::EPERM | libc::EACCES => match disabled {
            Some("2") => "the administrator has turned it off for everybody; \
                 set sysctl kernel.io_uring_disabled=0"
                .to_owned(),
            Some("1") => "the administrator has turned it off for unprivileged processes; \
                 set sysctl kernel.io_uring_disabled=0, or run with the group named in \
                 kernel.io_uring_group"
                .to_owned(),
            _ => "a seccomp filter or security policy forbids it (Docker's default profile does); \
                 allow io_uring_setup, io_uring_enter and io_uring_register, \
                 for instance with --security-opt seccomp=unconfined"
                .to_owned(),
        },
        libc::ENOSYS => format!(
            "kernel {release} does not offer it: it is too old, was built without \
             CONFIG_IO_URING, or a seccomp filter hides the call"
        ),
        libc::ENOMEM => "the limit of locked memory is used up (it is counted per user); \
             raise it: LimitMEMLOCK=infinity in the systemd unit, or ulimit -l"
            .to_owned(),
        libc::EMFILE | libc::ENFILE => "no more files may be opened; \
             raise the limit: LimitNOFILE= in the systemd unit, or ulimit -n"
            .to_owned(),
        other => io::Error::from_raw_os_error(other).to_string(),
    };
    format!("cannot use io_uring: {cause}")
}

/// Whether `release` (as in `uname -r`) is older than `minimum`. What cannot be read is not old.
fn kernel_is_older(release: &str, minimum: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < minimum,
        _ => false,
    }
}

fn check_locked_memory(soft_bytes: u64) -> Result<(), String> {
    if soft_bytes >= LOCKED_MEMORY_BYTES_MIN {
        return Ok(());
    }
    Err(format!(
        "the limit of locked memory is {} KB, and io_uring needs {} KB; raise it: \
         LimitMEMLOCK=infinity in the systemd unit, or ulimit -l",
        soft_bytes / 1024,
        LOCKED_MEMORY_BYTES_MIN / 1024
    ))
}

type Resource = libc::__rlimit_resource_t;

fn limit_of(resource: Resource) -> Option<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer and outlives the call.
    let answer = unsafe { libc::getrlimit(resource, &raw mut limit) };
    (answer == 0).then_some(limit)
}

/// Raises the soft limit to the hard one (and both to `wanted`, which root may do); returns the
/// soft limit afterwards.
fn raise_to_hard(resource: Resource, wanted: u64) -> u64 {
    let Some(limit) = limit_of(resource) else { return 0 };
    for hard in [limit.rlim_max.max(wanted), limit.rlim_max] {
        let raised = libc::rlimit { rlim_cur: hard, rlim_max: hard };
        // SAFETY: `raised` is a valid limit and outlives the call. Failure leaves the old one.
        if unsafe { libc::setrlimit(resource, &raw const raised) } == 0 {
            break;
        }
    }
    limit_of(resource).map_or(limit.rlim_cur, |limit| limit.rlim_cur)
}

fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "(unknown)".to_owned(), |text| text.trim().to_owned())
}

/// Opens a ring of the smallest size and closes it again.
fn try_io_uring() -> Result<(), i32> {
    // struct io_uring_params: 120 bytes, all zero means "defaults".
    let mut params = [0u32; 30];
    // SAFETY: `params` has the size and alignment of io_uring_params and outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 2u32, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL));
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    unsafe { libc::close(fd as i32) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_io_uring_names_its_cause_and_its_cure() {
        for (errno, disabled, words) in [
            (libc::EPERM, None, "seccomp"),
            (libc::EPERM, Some("0"), "seccomp"),
            (libc::EACCES, None, "seccomp"),
            (libc::EPERM, Some("1"), "unprivileged"),
            (libc::EPERM, Some("1"), "kernel.io_uring_disabled=0"),
            (libc::EPERM, Some("2"), "everybody"),
            (libc::ENOSYS, None, "too old"),
            (libc::ENOMEM, None, "LimitMEMLOCK"),
            (libc::EMFILE, None, "LimitNOFILE"),
            (libc::EINVAL, None, "Invalid argument"),
        ] {
            let text = explain_io_uring(errno, disabled, "5.4.0");
            assert!(text.contains(words), "{errno} {disabled:?}: {text}");
            assert!(text.starts_with("cannot use io_uring: "), "{text}");
        }
    }

    #[test]
    fn an_old_kernel_is_recognised_by_its_release() {
        for (release, older) in [
            ("5.7.19-generic", true),
            ("4.18.0-553.el8", true),
            ("5.8.0", false),
            ("5.15.167.4-microsoft", false),
            ("6.1", false),
            ("unknown", false),
            ("", false),
        ] {
            assert_eq!(kernel_is_older(release, KERNEL_MIN), older, "{release}");
        }
    }

    #[test]
    fn too_little_locked_memory_is_refused_with_both_numbers() {
        assert!(check_locked_memory(LOCKED_MEMORY_BYTES_MIN).is_ok());
        let text = check_locked_memory(64 * 1024).unwrap_err();
        assert!(text.contains("64 KB") && text.contains("512 KB"), "{text}");
    }

    #[test]
    fn this_machine_is_fit_and_its_limits_are_raised() {
        prepare().unwrap();
        let files = limit_of(libc::RLIMIT_NOFILE).unwrap();
        assert_eq!(files.rlim_cur, files.rlim_max);
        assert_eq!(open_files_max(), files.rlim_cur);
    }
}
