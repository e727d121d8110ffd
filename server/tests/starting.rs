//! Starting and ending as an operator sees it: exit codes, one clear line, nothing left behind.

use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

mod support;

use support::client::{Client, text};
use support::node::{Node, free_port};
use support::wait;

fn program(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_damselfly"));
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Exit code 1, and a last line that holds all parts; the lines before it are the log's.
fn check_refused(what: &str, output: &Output, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{what}: {said}");
    let own: Vec<&str> = said.lines().filter(|line| line.starts_with("damselfly: ")).collect();
    assert_eq!(own.len(), 1, "{what}: {said}");
    assert_eq!(said.lines().last(), Some(own[0]), "{what}: {said}");
    assert!(!said.contains("panicked") && !said.contains("a broken promise"), "{what}: {said}");
    for part in parts {
        assert!(own[0].contains(part), "{what}: '{part}' is missing in: {}", own[0]);
    }
}

#[test]
fn what_cannot_be_is_refused_with_one_line_and_exit_code_1() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
    let port = taken.local_addr().expect("an address").port().to_string();
    let taken_port = format!("--port={port}");
    let in_use =
        format!("damselfly: cannot listen on 127.0.0.1:{port}: it is in use by another process");
    let cases: &[(&[&str], &[&str])] = &[
        (&["--no_such_flag=1"], &["no_such_flag"]),
        (&["--port=70000"], &["port"]),
        (&["--maxmemory=lots"], &["maxmemory", "lots"]),
        (&["--flagfile=/nowhere/damselfly.conf"], &["/nowhere/damselfly.conf"]),
        (&["--dir=/nowhere", "--port=-1"], &["/nowhere"]),
        (&["--pidfile=/nowhere/pid", "--port=-1"], &["/nowhere/pid"]),
        (&["--bind=not.an.address", "--port=-1"], &["not.an.address"]),
        (&["--replicaof=host", "--port=-1"], &["replicaof"]),
        (&["--bind=127.0.0.1", &taken_port], &[&in_use]),
        (&["demo", "quickly"], &["demo takes no arguments", "quickly"]),
        (&["serve"], &["serve"]),
    ];
    for (flags, parts) in cases {
        let output = program(flags).output().expect("the program can be run");
        check_refused(&flags.join(" "), &output, parts);
    }
}

/// It was said to be "in use by another process", and the path stood there twice.
#[test]
fn a_path_on_which_something_else_stands_is_named_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("notes.txt");
    std::fs::write(&file, "mine").expect("a file");
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    let long = directory.path().join("x".repeat(200));
    let check = |path: &std::path::Path, words: &str| {
        let flag = format!("--unixsocket={}", path.display());
        let output = program(&[&flag, "--port=-1"]).output().expect("the program can be run");
        let said = format!("damselfly: cannot listen on unix socket {}: {words}", path.display());
        check_refused(&flag, &output, &[&said]);
    };
    let other = "not a socket: remove it or choose another path";
    check(&file, &format!("there is a file, {other}"));
    check(&link, &format!("there is a symbolic link, {other}"));
    check(directory.path(), &format!("there is a directory, {other}"));
    check(&directory.path().join("nowhere/s"), "No such file");
    check(&long, "the path is too long");
    assert_eq!(std::fs::read_to_string(&file).expect("it is still there"), "mine");
    let socket = directory.path().join("s");
    let _taken = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    check(&socket, "it is in use by another process");
}

#[test]
fn sigterm_and_sigint_end_with_exit_code_0() {
    // An INT in front of a TERM does not insist: handlers on two threads had once overtaken each other.
    for before in [&[][..], &[libc::SIGINT], &[libc::SIGINT], &[libc::SIGINT], &[libc::SIGINT]] {
        let mut node = Node::start("ends", 2, &["--pin=off"]);
        for signal in before {
            node.signal(*signal);
        }
        assert_eq!(node.stop(), Some(0), "signals {before:?}, and TERM");
    }
}

#[test]
fn a_machine_that_grants_too_little_locked_memory_is_named() {
    let mut command = program(&["--port=-1"]);
    // SAFETY: between fork and exec only async-signal-safe calls, on values of their own.
    unsafe { command.pre_exec(|| limit_locked_memory(64 * 1024)) };
    let output = command.output().expect("the program can be run");
    check_refused("64 KiB", &output, &["locked memory", "64 KB", "LimitMEMLOCK", "ulimit -l"]);
}

/// The limit, and no right to raise it: also root's next program has what the bounding set grants.
fn limit_locked_memory(bytes: u64) -> io::Result<()> {
    const CAP_SYS_RESOURCE: libc::c_ulong = 24;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: `limit` outlives the call; the others take no pointers.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) != 0 {
            return Err(io::Error::last_os_error());
        }
        // Who is not root cannot drop it, and does not have it.
        if libc::geteuid() == 0 && libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_RESOURCE) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[test]
fn a_machine_that_forbids_io_uring_is_named() {
    for (errno, parts) in
        [(libc::EPERM, &["io_uring", "seccomp"][..]), (libc::ENOSYS, &["io_uring", "kernel"][..])]
    {
        let mut command = program(&["--port=-1"]);
        // SAFETY: between fork and exec only async-signal-safe calls, on values of their own.
        unsafe { command.pre_exec(move || forbid_io_uring(errno)) };
        let output = command.output().expect("the program can be run");
        check_refused(&format!("errno {errno}"), &output, parts);
    }
}

/// A seccomp filter that answers `io_uring_setup` with `errno` and lets everything else pass.
fn forbid_io_uring(errno: i32) -> io::Result<()> {
    let word =
        |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        // The number of the system call is the first word of what a filter sees.
        word(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        word(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        word(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        word(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: `program` and the filter it points to outlive the calls.
    let answers = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER as libc::c_ulong,
                &raw const program,
            ),
        ]
    };
    if answers == [0, 0] { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[test]
fn a_port_is_free_as_soon_as_its_node_has_ended() {
    let mut node = Node::start("again", 1, &["--pin=off"]);
    for _ in 0..5 {
        assert_eq!(node.stop(), Some(0));
        node.restart(&[]);
    }
    assert_ne!(node.port, free_port());
}

#[test]
fn systemd_finds_nothing_to_complain_about_in_the_unit() {
    let unit = include_str!("../packaging/damselfly.service");
    let unit = unit.replace("/usr/bin/damselfly", env!("CARGO_BIN_EXE_damselfly"));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("damselfly.service");
    std::fs::write(&path, unit).expect("write the unit");
    let mut command = Command::new("systemd-analyze");
    let output = command.args(["verify", "--man=no"]).arg(&path).output();
    let output = output.expect("systemd-analyze is needed for this test");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    // Other units of the machine are not our business.
    let own: Vec<&str> = said.lines().filter(|line| line.contains("damselfly")).collect();
    assert!(own.is_empty() && output.status.success(), "{said}");
}

/// As Redis does: `maxclients` is lowered to what can be, and everybody is told the same figure.
#[test]
fn maxclients_is_what_the_limit_of_open_files_allows_wherever_it_is_asked_for() {
    let port = free_port();
    let mut command = program(&[&format!("--port={port}"), "--proactor_threads=1", "--dir="]);
    // SAFETY: between fork and exec only async-signal-safe calls, on values of their own.
    unsafe { command.pre_exec(|| limit_open_files(1000)) };
    let child = command.spawn().expect("the program can be run");
    let mut client = wait::until_some("it serves", || Client::connect(port).ok());
    let asked = client.call(&["CONFIG", "GET", "maxclients"]);
    let info = text(&client.call(&["INFO", "clients"]));
    let too_many = client.call(&["CONFIG", "SET", "maxclients", "64000"]);
    let fewer = text(&client.call(&["CONFIG", "SET", "maxclients", "10"]));
    // SAFETY: sends a signal to a child that has not been waited for.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
    let log = child.wait_with_output().expect("it ends").stderr;
    let log = String::from_utf8_lossy(&log);
    assert_eq!(text(&asked), "maxclients 616");
    assert!(info.contains("maxclients:616\r\n") && info.contains("max_clients:616\r\n"), "{info}");
    assert!(log.contains("maxclients is 616, not 64000: the limit of open files is 1000"), "{log}");
    let too_many = too_many.error().map(String::from_utf8_lossy).unwrap_or_default();
    assert!(too_many.contains("try with 616"), "{too_many}");
    assert_eq!(fewer, "OK");
}

fn limit_open_files(files: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
    // SAFETY: `limit` outlives the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
