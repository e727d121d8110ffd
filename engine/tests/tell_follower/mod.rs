//! A real redis-server that follows this test as if it were its master, and what it holds.
//! `REDIS_SERVER=...` names another one than Debian's: an older or newer Redis, or a Valkey.

use engine::resp::{Reply, ReplyLimits, ReplyReader, encode_command};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than any machine takes for any of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A data set without keys, whose sum is not looked at.
const EMPTY: &[u8] = b"REDIS0009\xff\0\0\0\0\0\0\0\0";

/// One end of a connection.
struct Talk {
    stream: TcpStream,
    bytes: Vec<u8>,
    reader: ReplyReader,
}

impl Talk {
    fn new(stream: TcpStream) -> Talk {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a deadline");
        stream.set_nodelay(true).expect("a socket takes an option");
        Talk { stream, bytes: Vec::new(), reader: ReplyReader::new(ReplyLimits::default()) }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the other end takes it");
    }

    /// The next reply, or request: both are of the same form.
    fn next(&mut self) -> Reply {
        loop {
            if let Some(reply) = self.reader.take(&mut self.bytes).expect("it speaks RESP") {
                return reply;
            }
            let mut some = [0; 64 * 1024];
            let read = self.stream.read(&mut some).expect("the other end answers in time");
            assert!(read > 0, "the other end has hung up");
            self.bytes.extend_from_slice(&some[..read]);
        }
    }
}

/// A redis-server that follows. It is killed when it is dropped.
pub(crate) struct Follower {
    child: Child,
    directory: PathBuf,
    /// As its master.
    link: Talk,
    /// Bytes that it was sent.
    offset: u64,
    /// As its client.
    client: Talk,
}

impl Follower {
    /// Starts one, which then holds nothing.
    pub(crate) fn start() -> Follower {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let master = listener.local_addr().expect("it has an address").port().to_string();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let port = fastrand::u16(10_000..32_000);
            if TcpListener::bind(("127.0.0.1", port)).is_err() {
                continue;
            }
            let directory = std::env::temp_dir().join(format!("damselfly-tell-{port}"));
            std::fs::create_dir_all(&directory).expect("a directory for its files");
            let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
            let mut child = Command::new(program)
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
                .args(["--replicaof", "127.0.0.1", &master, "--repl-diskless-load", "disabled"])
                .current_dir(&directory)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server can be started: it is Debian's package redis-server");
            while Instant::now() < deadline && child.try_wait().is_ok_and(|end| end.is_none()) {
                let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else {
                    std::thread::yield_now();
                    continue;
                };
                let (link, _) = listener.accept().expect("it comes to its master");
                let (link, client) = (Talk::new(link), Talk::new(stream));
                let mut follower = Follower { child, directory, link, offset: 0, client };
                follower.meet();
                return follower;
            }
            assert!(Instant::now() < deadline, "redis-server serves");
        }
    }

    /// What both say before commands flow.
    fn meet(&mut self) {
        loop {
            let request = self.link.next();
            let words = request.elements().expect("a request");
            let name = words.first().and_then(Reply::bytes).unwrap_or_default();
            match name.to_ascii_uppercase().as_slice() {
                b"PING" => self.link.write(b"+PONG\r\n"),
                b"PSYNC" => break,
                _ => self.link.write(b"+OK\r\n"),
            }
        }
        self.link
            .write(format!("+FULLRESYNC {} 0\r\n${}\r\n", "7".repeat(40), EMPTY.len()).as_bytes());
        self.link.write(EMPTY);
    }

    /// It is told this.
    pub(crate) fn tell(&mut self, commands: &[u8]) {
        self.link.write(commands);
        self.offset += commands.len() as u64;
    }

    /// Waits until it has performed all that it was told.
    pub(crate) fn wait(&mut self) {
        let wanted = self.offset;
        let mut ask = Vec::new();
        encode_command(&mut ask, &[b"REPLCONF", b"GETACK", b"*"]);
        self.tell(&ask);
        loop {
            let request = self.link.next();
            let words: Vec<&[u8]> =
                request.elements().unwrap_or_default().iter().filter_map(Reply::bytes).collect();
            if let [b"REPLCONF", b"ACK", at, ..] = words[..]
                && std::str::from_utf8(at)
                    .is_ok_and(|at| at.parse::<u64>().is_ok_and(|at| at >= wanted))
            {
                return;
            }
        }
    }

    /// It is asked this as by a client.
    pub(crate) fn ask(&mut self, words: &[&[u8]]) -> Reply {
        let mut request = Vec::new();
        encode_command(&mut request, words);
        self.client.write(&request);
        self.client.next()
    }

    /// What it found wrong in what it was told.
    pub(crate) fn errors(&mut self) -> String {
        let info = self.ask(&[b"INFO", b"errorstats"]);
        let text = String::from_utf8_lossy(info.bytes().expect("a text")).into_owned();
        text.lines().filter(|line| line.starts_with("errorstat")).collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
