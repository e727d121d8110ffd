//! The node as a service: who it listens to, what it tells systemd, which signals it takes, and a log that
//! nobody reads.

mod support;

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::client::{Client, request, text};
use support::node::{Node, free_port};
use support::{scenario, wait};

/// A program that is killed with its test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.0.id()).expect("a process number");
        // SAFETY: no pointers are passed; the process is our child and not yet waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    fn exit_code(&mut self) -> Option<i32> {
        let look = || self.0.try_wait().expect("a child can be waited for");
        wait::until_some("the program ends", look).code()
    }
}

fn command(port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_damselfly"));
    command
        .args(["--proactor_threads=1", "--pin=off", "--dbfilename="])
        .arg(format!("--port={port}"));
    command.env_remove("NOTIFY_SOCKET").env_remove("SYSTEMD_EXEC_PID");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn start(mut command: Command) -> Program {
    Program(command.spawn().expect("the program can be started"))
}

fn connected(port: u16) -> Client {
    wait::until_some("it serves", || Client::connect(port).ok())
}

fn reaches(address: &str, port: u16) -> bool {
    TcpStream::connect((address, port)).is_ok()
}

/// Messages to systemd, each of one or several lines.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).expect("a socket of our own");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        Manager(socket)
    }

    fn next(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let read = self.0.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..read]).trim().to_owned())
    }

    /// The next message that holds these words; what comes before it is passed over.
    fn wait_for(&self, words: &str) -> String {
        wait::until_some(words, || self.next().filter(|message| message.contains(words)))
    }
}

#[test]
fn systemd_is_told_that_it_serves_what_it_does_that_it_lives_and_that_it_stops() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("notify");
    let manager = Manager::at(&socket);
    let mut command = command(free_port());
    command.arg("--replicaof=127.0.0.1:1");
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "2000000");
    let mut program = start(command);
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=replica of 127.0.0.1:1, connecting: ");
    manager.wait_for("WATCHDOG=1");
    program.signal(libc::SIGHUP);
    let reloading = manager.wait_for("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.wait_for("READY=1");
    program.signal(libc::SIGTERM);
    let stopping = manager.wait_for("STOPPING=1");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=20000000"), "{stopping}");
    assert_eq!(program.exit_code(), Some(0));
}

#[test]
fn a_service_about_which_nobody_said_who_may_come_in_listens_to_the_loopback_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("notify");
    let _manager = Manager::at(&socket);
    // All of 127/8 is this machine's, and only 127.0.0.1 is listened on.
    for (flags, service, open) in [
        (&[][..], true, false),
        (&["--requirepass=p"][..], true, true),
        (&["--bind=*"][..], true, true),
        (&[][..], false, true),
    ] {
        let port = free_port();
        let mut command = command(port);
        command.args(flags);
        if service {
            command.env("NOTIFY_SOCKET", &socket);
        }
        let _program = start(command);
        drop(connected(port));
        assert_eq!(reaches("127.0.0.2", port), open, "{flags:?} as a service: {service}");
    }
}

#[test]
fn an_address_with_a_dash_is_done_without_and_others_are_not() {
    // 240.0.0.0/4 is reserved: no machine has an address of it.
    let port = free_port();
    let mut with = command(port);
    with.arg("--bind=127.0.0.1 -240.0.0.1");
    let _program = start(with);
    drop(connected(port));
    for bind in ["--bind=127.0.0.1 240.0.0.1", "--bind=-240.0.0.1"] {
        let (code, said) = Node::refused(&["--port=-1", bind]);
        assert_eq!(code, Some(1), "{bind}: {said}");
    }
}

#[test]
fn signals_of_operators_do_what_they_are_for_and_never_end_the_node_by_accident() {
    let directory = tempfile::tempdir().expect("a directory");
    let (log, moved) = (directory.path().join("log"), directory.path().join("old"));
    let port = free_port();
    let mut command = command(port);
    command.arg(format!("--logfile={}", log.display()));
    let mut program = start(command);
    let mut client = connected(port);
    let logged = |words: &str| {
        wait::until(words, || std::fs::read_to_string(&log).unwrap_or_default().contains(words));
    };
    logged("ready");
    for (signal, words) in [
        (libc::SIGHUP, "certificates and log were opened anew"),
        (libc::SIGUSR1, "the log was opened anew"),
        (libc::SIGUSR2, "master of 0 replicas; 1 clients"),
    ] {
        std::fs::rename(&log, &moved).expect("rotate");
        program.signal(signal);
        if signal == libc::SIGUSR2 {
            // It opens nothing: the line is in the file that was moved.
            std::fs::rename(&moved, &log).expect("back");
        }
        logged(words);
    }
    program.signal(libc::SIGPIPE);
    program.signal(libc::SIGXFSZ);
    assert_eq!(text(&client.must(&["PING"])), "PONG");
    program.signal(libc::SIGQUIT);
    assert_eq!(program.exit_code(), Some(0));
    logged("stopped");
}

#[test]
fn a_log_that_nobody_reads_stops_nobody_and_what_is_lost_is_counted() {
    let port = free_port();
    let mut command = command(port);
    command.stderr(Stdio::piped());
    let mut program = start(command);
    let mut client = connected(port);
    // Each is a line of the log: far more than a pipe and the queue take.
    let change = request(&["CONFIG", "SET", "hz", "100"]);
    for _ in 0..30 {
        client.pipeline(&vec![change.clone(); 1000]);
    }
    assert_eq!(text(&client.must(&["PING"])), "PONG");
    let mut pipe = program.0.stderr.take().expect("a pipe");
    let reading = std::thread::spawn(move || {
        let mut said = String::new();
        pipe.read_to_string(&mut said).map(|_| said)
    });
    wait::until("the queue is written", || {
        client.must(&["CONFIG", "SET", "hz", "100"]);
        text(&client.must(&["INFO", "server"])).contains("log_bytes_waiting:0")
    });
    program.signal(libc::SIGTERM);
    assert_eq!(program.exit_code(), Some(0));
    let said = reading.join().expect("the reader").expect("text");
    let words = "could not be written and are lost: ";
    let lost: usize =
        said.lines().filter_map(|line| line.split(words).nth(1)?.parse::<usize>().ok()).sum();
    let changes = said.lines().filter(|line| line.contains("CONFIG SET hz")).count();
    assert!(lost > 0 && changes + lost >= 30_000, "{changes} lines, {lost} lost");
}

#[test]
fn a_second_interrupt_does_not_wait_for_replicas() {
    let (mut master, replica) = (
        Node::start("master", 1, &["--pin=off", "--shutdown_timeout=600", "--pidfile=pid"]),
        Node::start("replica", 1, &["--pin=off"]),
    );
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    replica.freeze();
    master.must(&["SET", "a", "1"]);
    master.signal(libc::SIGINT);
    wait::until("it waits for its replica", || master.logged("stopping: waiting up to 600 s") == 1);
    assert!(master.file("pid").exists());
    master.signal(libc::SIGINT);
    assert_eq!(master.exit_code(), Some(1));
    assert_eq!(master.logged("a second SIGINT"), 1, "what was said is written");
    assert!(!master.file("pid").exists());
}

#[test]
fn a_refused_start_leaves_the_pidfile_of_the_running_node() {
    let file = std::env::temp_dir().join(format!("damselfly-{}.pid", std::process::id()));
    let path = format!("--pidfile={}", file.display());
    let node = Node::start("node", 1, &[&path]);
    assert_eq!(fs::read_to_string(&file).expect("a pidfile").trim(), node.pid().to_string());
    let port = format!("--port={}", node.port);
    let (code, said) = Node::refused(&[&port, "--proactor_threads=1", &path]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(fs::read_to_string(&file).expect("a pidfile").trim(), node.pid().to_string());
    let _ = fs::remove_file(&file);
}

#[test]
fn every_byte_that_clients_send_is_counted() {
    let node = Node::start("node", 1, &[]);
    let sent = |node: &Node| -> u64 {
        let info = text(&node.must(&["INFO", "stats"]));
        let line = info.lines().find_map(|line| line.strip_prefix("total_net_input_bytes:"));
        line.and_then(|bytes| bytes.trim().parse().ok()).expect("a number")
    };
    let before = sent(&node);
    node.must(&["SET", "k", &"v".repeat(100_000)]);
    assert!(sent(&node) >= before + 100_000);
}

#[test]
fn a_rewrite_that_the_disk_holds_up_is_the_only_one() {
    let folder = tempfile::tempdir().expect("a directory");
    let flagfile = folder.path().join("flags");
    std::fs::write(&flagfile, "--hz=20\n").expect("a file");
    let port = free_port();
    let mut command = command(port);
    command.arg(format!("--flagfile={}", flagfile.display()));
    let _program = start(command);
    let (mut first, mut second) = (connected(port), connected(port));
    // A disk that hangs: reading it does not end before somebody writes.
    std::fs::remove_file(&flagfile).expect("a file");
    assert!(Command::new("mkfifo").arg(&flagfile).status().expect("mkfifo").success());
    let hung = std::thread::spawn(move || text(&first.call(&["CONFIG", "REWRITE"])));
    wait::until("the first is at it", || {
        text(&second.must(&["CLIENT", "LIST"])).contains("cmd=config|rewrite")
    });
    let refused = "ERR Rewriting config file: another rewrite has not ended yet";
    wait::until("the second is refused", || {
        !hung.is_finished() && text(&second.call(&["CONFIG", "REWRITE"])) == refused
    });
    std::fs::write(&flagfile, "--hz=20\n").expect("the disk goes on");
    assert_eq!(hung.join().expect("an answer"), "OK");
}
