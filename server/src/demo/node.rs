//! One node as a child process, on a free port of the loopback.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a node may take to be ready, and to stop.
const READY_MAX: Duration = Duration::from_secs(30);

/// Log lines kept, to be shown when a node ends by itself.
const LINES_KEPT: usize = 20;

/// The log's last lines.
type Lines = Arc<Mutex<VecDeque<String>>>;

/// A running node; killed when dropped.
pub(super) struct Node {
    name: &'static str,
    child: Child,
    /// Where clients reach it.
    pub(super) port: u16,
    lines: Lines,
}

impl Node {
    /// Starts a node with so many shards and waits until it is ready.
    pub(super) fn start(name: &'static str, shards: u16) -> Result<Node, String> {
        let program = std::env::current_exe()
            .map_err(|error| format!("cannot find this program's own file: {error}"))?;
        let mut command = Command::new(program);
        // Any free port, chosen by the kernel; the log says which.
        command.args([
            "--port=-1",
            "--bind=127.0.0.1",
            "--pin=off",
            "--logtostderr",
            "--dbfilename=",
        ]);
        command.arg(format!("--proactor_threads={shards}"));
        command.args(["--maxmemory=1gb", "--hz=20"]);
        for (variable, _) in std::env::vars_os() {
            let notify = variable == "NOTIFY_SOCKET";
            if notify || variable.to_string_lossy().starts_with("DFLY_") {
                command.env_remove(variable);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start a node: {error}"))?;
        let log = child.stderr.take();
        let lines = Lines::default();
        let mut node = Node { name, child, port: 0, lines };
        let log = log.ok_or("a node has no log")?;
        node.port = node.read_log(log)?;
        Ok(node)
    }

    /// Reads the log for as long as the node runs; answers with the port once it is ready.
    fn read_log(&mut self, log: ChildStderr) -> Result<u16, String> {
        let (send, receive) = mpsc::channel();
        let lines = self.lines.clone();
        std::thread::spawn(move || {
            let mut port = None;
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                port = port.or_else(|| port_in(&line));
                if let (Some(port), true) = (port, line.trim_end().ends_with("ready")) {
                    // Nobody waits any more when the node was slow.
                    let _ = send.send(port);
                }
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() == LINES_KEPT {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
        });
        receive.recv_timeout(READY_MAX).map_err(|_| {
            let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            format!("the {} did not become ready; its log:\n{}", self.name, lines.join("\n"))
        })
    }

    /// Sends a signal.
    pub(super) fn signal(&mut self, signal: i32) -> Result<(), String> {
        // SAFETY: no memory is involved; the child has not been waited for, so its number is its own.
        let sent = unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        match sent {
            0 => Ok(()),
            _ => {
                Err(format!("cannot signal the {}: {}", self.name, std::io::Error::last_os_error()))
            }
        }
    }

    /// Stops the node in order; its exit code.
    pub(super) fn stop(mut self) -> Result<i32, String> {
        self.signal(libc::SIGTERM)?;
        let begun = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.code().ok_or_else(|| format!("{status}")),
                Ok(None) if begun.elapsed() < READY_MAX => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(None) => return Err(format!("the {} does not stop", self.name)),
                Err(error) => return Err(format!("cannot wait for the {}: {error}", self.name)),
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Either may find that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn port_in(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("listening on port ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}
