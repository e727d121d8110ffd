//! A damselfly process: started on free ports, watched, signalled, stopped.

use super::client::{Client, text};
use super::wait;
use engine::resp::client::Reply;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Lines of each log that a failed test shows.
const LOG_LINES_SHOWN: usize = 60;

/// A process of the program under test. It is killed when it is dropped; its log is shown and kept
/// when the test fails.
pub(crate) struct Node {
    child: Child,
    /// Where clients and replicas reach it.
    pub(crate) port: u16,
    /// The admin port: plaintext also where the client port speaks TLS.
    pub(crate) admin_port: u16,
    name: String,
    flags: Vec<String>,
    directory: PathBuf,
}

/// A directory for one node's files.
fn fresh_directory(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory =
        std::env::temp_dir().join(format!("damselfly-{}-{number}-{name}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory for the node's files");
    directory
}

/// A port that nobody listens on and that this process has not given out before, below those that the
/// kernel gives to outgoing connections: nobody takes it before its node listens, or while that is
/// restarted.
///
/// The story: the tests of one program run beside each other, and two of them had drawn one port before
/// either's server listened there. Each then talked to the other's.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    wait::until_some("a free port", || {
        let port = fastrand::u16(10_000..32_000);
        let is_free = TcpListener::bind(("127.0.0.1", port)).is_ok();
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        (is_free && given.insert(port)).then_some(port)
    })
}

impl Node {
    /// Starts a node with these flags beside its ports, and waits until it serves.
    pub(crate) fn start(name: &str, shards: u16, flags: &[&str]) -> Node {
        let mut flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        flags.push(format!("--proactor_threads={shards}"));
        let directory = fresh_directory(name);
        // Somebody else may take a port between looking and listening: then others are tried.
        for _ in 0..20 {
            let (port, admin_port) = (free_port(), free_port());
            let child = launch(port, admin_port, &flags, &directory);
            let mut node = Node {
                child,
                port,
                admin_port,
                name: name.to_owned(),
                flags: flags.clone(),
                directory: directory.clone(),
            };
            if node.wait_until_serving() {
                return node;
            }
            assert!(node.log().contains("in use"), "{name} does not start: {}", node.last_lines());
        }
        panic!("{name} found no free port");
    }

    /// Starts the program where it is expected to refuse: its exit code and what it said.
    pub(crate) fn refused(flags: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_damselfly")).args(flags).output();
        let output = output.expect("the program can be run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    }

    fn wait_until_serving(&mut self) -> bool {
        wait::until_some(&format!("{} serves", self.name), || {
            if self.child.try_wait().expect("a child can be waited for").is_some() {
                return Some(false);
            }
            let mut client = Client::connect(self.admin_port).ok()?;
            client.set_reply_limit(Duration::from_secs(2));
            client.try_call(&["PING"]).ok()?;
            // One that reads a snapshot says so, and answers nothing else yet.
            let info = client.try_call(&["INFO", "persistence"]).ok()?;
            (!text(&info).contains("loading_total_bytes:")).then_some(true)
        })
    }

    /// The process number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection to the admin port.
    pub(crate) fn client(&self) -> Client {
        let client = Client::connect(self.admin_port);
        client.unwrap_or_else(|error| panic!("connecting to {}: {error}", self.name))
    }

    /// One request over a connection of its own.
    pub(crate) fn call<A: AsRef<[u8]>>(&self, request: &[A]) -> Reply {
        self.client().call(request)
    }

    /// One request over a connection of its own; must not answer with an error.
    pub(crate) fn must<A: AsRef<[u8]>>(&self, request: &[A]) -> Reply {
        self.client().must(request)
    }

    /// One request whose reply is read as text; nothing if the node cannot answer now.
    pub(crate) fn ask<A: AsRef<[u8]>>(&self, request: &[A]) -> Option<String> {
        let mut client = Client::connect(self.admin_port).ok()?;
        client.set_reply_limit(Duration::from_secs(5));
        client.try_call(request).ok().map(|reply| text(&reply))
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.pid()).expect("a process number");
        // SAFETY: no pointers are passed; the process is our child and not yet waited for.
        let sent = unsafe { libc::kill(pid, signal) };
        assert_eq!(sent, 0, "signalling {}", self.name);
    }

    /// SIGSTOP, and waits until all its threads stand still; its sockets stay open.
    pub(crate) fn freeze(&self) {
        self.signal(libc::SIGSTOP);
        wait::until(&format!("{} stands still", self.name), || {
            let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("its threads");
            threads.flatten().all(|thread| {
                let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
                // The name, which may hold anything, stands in brackets before the state.
                stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('T'))
            })
        });
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal(libc::SIGCONT);
    }

    /// kill -9, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a live process can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// SIGTERM, and waits until it has ended. Its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal(libc::SIGTERM);
        self.exit_code()
    }

    /// Waits until it has ended. Its exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        wait::until_some(&format!("{} ends", self.name), || {
            self.child.try_wait().expect("a child can be waited for")
        })
        .code()
    }

    /// Starts it again with the same ports, flags and directory, and `more` flags.
    pub(crate) fn restart(&mut self, more: &[&str]) {
        if self.child.try_wait().expect("a child can be waited for").is_none() {
            self.kill();
        }
        let mut flags = self.flags.clone();
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        self.child = launch(self.port, self.admin_port, &flags, &self.directory);
        assert!(self.wait_until_serving(), "{} does not restart: {}", self.name, self.last_lines());
    }

    /// Everything that it logged, over restarts.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until a line of the log holds these words: it is written by a thread of its own, after the reply.
    pub(crate) fn wait_logged(&self, words: &str) {
        wait::until(words, || self.logged(words) > 0);
    }

    /// The same of so many lines, and no more.
    #[track_caller]
    pub(crate) fn assert_logged(&self, words: &str, count: usize) {
        wait::until(words, || self.logged(words) >= count);
        assert_eq!(self.logged(words), count, "{words}: {:?}", self.lines_with(words));
    }

    /// How many lines of the log hold these words so far.
    pub(crate) fn logged(&self, words: &str) -> usize {
        self.log().lines().filter(|line| line.contains(words)).count()
    }

    /// The lines of the log that hold these words.
    pub(crate) fn lines_with(&self, words: &str) -> Vec<String> {
        self.log().lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// A file in the node's directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES_SHOWN);
        format!("\n--- {} ({}) ---\n{}", self.name, self.port, lines[from..].join("\n"))
    }
}

fn launch(port: u16, admin_port: u16, flags: &[String], directory: &Path) -> Child {
    let log = OpenOptions::new().create(true).append(true).open(directory.join("log"));
    let log: File = log.expect("a log file");
    let errors = log.try_clone().expect("a second handle of the log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_damselfly"));
    if !flags.iter().any(|flag| flag.starts_with("--dbfilename")) {
        // Nothing is left in directories, and nothing is found there.
        command.arg("--dbfilename=");
    }
    command
        .arg(format!("--port={port}"))
        .arg(format!("--admin_port={admin_port}"))
        .arg("--bind=127.0.0.1")
        .args(flags)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(errors));
    // SAFETY: prctl is async-signal-safe and touches nothing of ours. It ends the node when the test
    // that started it is killed: nodes are started by the threads that outlive them.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command.spawn().expect("the program can be started")
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("{}\nkept: {}", self.last_lines(), self.directory.display());
        } else {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}
