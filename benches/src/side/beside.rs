//! What one client waits while another one asks for much.
//!
//! ```text
//!   one client      |---------------- the long request ----------------|
//!   the other one   |GET|GET|GET|GET|------ GET ------|GET|GET|GET|GET|GET|     its longest wait
//! ```
//!
//! Three programs share the machine, and both the wait and the longest piece of work that the server counts itself
//! (`INFO debug`) are times of a clock. So the server and the other client go before the one that asks for much,
//! where that is allowed: else what is seen is how the kernel shares two CPUs among three, in turns of some ms.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::resp::{ReplyLimits, ReplyScanner, encode_command};

use super::bench::Bench;
use super::{Goal, Table, spoiled};
use crate::peer::{Program, Server};
use crate::process;

/// The longest a request may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// Read at once.
const INPUT_BYTES: usize = 256 * 1024;

/// What is to hold on a quiet machine: the other's wait and the server's own longest piece, in ms.
const WAIT_MOST: f64 = 5.0;
const PIECE_MOST: f64 = 1.0;

/// How long the other client rests after each answer. One that asks without a break keeps one of two CPUs busy, with the
/// server's help, and takes it from the server's own threads and from a replica: a full sync then takes five times as long.
const REST: Duration = Duration::from_micros(300);

/// A name that the other client asks for and nobody else.
pub(super) const OTHER: &str = "other";

/// Encodes a request.
pub(super) fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_command(&mut out, words);
    out
}

/// Sends requests and reads as many replies, of which none may be an error.
pub(super) fn ask(server: &Server, requests: &[u8], replies: usize) -> io::Result<()> {
    let mut socket = TcpStream::connect(server.address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let mut writer = socket.try_clone()?;
    std::thread::scope(|scope| {
        // The server may answer the first before it has read the last.
        let sent = scope.spawn(move || writer.write_all(requests));
        read_replies(&mut socket, replies)?;
        sent.join().unwrap_or_else(|_| Err(spoiled("whoever sends panicked")))
    })
}

/// Reads so many replies, of which none may be an error.
pub(super) fn read_replies(socket: &mut TcpStream, replies: usize) -> io::Result<()> {
    let limits = ReplyLimits { bytes: 8 << 30, ..ReplyLimits::default() };
    let mut scanner = ReplyScanner::new(limits);
    let (mut input, mut filled, mut answered) = (vec![0; INPUT_BYTES], 0, 0);
    while answered < replies {
        if filled == input.len() {
            input.resize(input.len() * 2, 0);
        }
        let read = socket.read(&mut input[filled..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let mut taken = 0;
        while let Some(length) = scanner
            .next(&input[taken..filled])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
        {
            if input[taken] == b'-' {
                let text = String::from_utf8_lossy(&input[taken..taken + length]).into_owned();
                return Err(spoiled(text));
            }
            (taken, answered) = (taken + length, answered + 1);
        }
        input.copy_within(taken..filled, 0);
        filled -= taken;
    }
    Ok(())
}

/// Whom the other client asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The server that does the work.
    Server,
    /// A floor beside it, which has nothing to do but answer this client: what that one waits, it waits for the machine.
    Floor,
}

impl Bench<'_> {
    /// Does `work` beside a client that GETs, and puts down how long it took, what the other waited at
    /// most, and the server's longest piece of work where it tells it.
    pub(super) fn beside(
        &self,
        server: &Server,
        name: &str,
        table: &mut Table,
        work: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut client = server.client()?;
        client.demand(&["SET", OTHER, "value"])?;
        client.demand(&["CONFIG", "RESETSTAT"])?;
        let (took, worst) = while_another_gets(server, server, name, work)?;
        table.push(&format!("{name}: took ms"), self.column, millis(took));
        let wait = format!("{name}: the other's worst wait ms");
        table.push(&wait, self.column, millis(worst));
        table.aim(&wait, &[Goal { of: 1, beside: None, most: WAIT_MOST }]);
        if let Program::Damselfly(..) = self.subject.program {
            let (own, touching) = longest_pieces(server)?;
            let piece = format!("{name}: longest piece ms");
            table.push(&piece, self.column, own);
            table.aim(&piece, &[Goal { of: self.column, beside: None, most: PIECE_MOST }]);
            table.push(&format!("{name}: the same with a first touch ms"), self.column, touching);
        }
        Ok(())
    }

    /// The same while the other client asks a floor: only what that one waits at most, which is the machine's share.
    pub(super) fn beside_a_floor(
        &self,
        server: &Server,
        name: &str,
        table: &mut Table,
        work: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let floor = Server::start(&self.plan.floor.program, None, &[])?;
        let (_, worst) = while_another_gets(server, &floor, name, work)?;
        let wait = format!("{name}: worst wait of a floor's client ms");
        table.push(&wait, self.column, millis(worst));
        Ok(())
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Does `work` of a server while another client asks, that or another one: how long it took, and what the client waited
/// at most.
fn while_another_gets(
    server: &Server,
    asked: &Server,
    name: &str,
    work: impl FnOnce() -> io::Result<()>,
) -> io::Result<(Duration, Duration)> {
    let favoured = [server, asked].into_iter().try_for_each(|it| process::favour(it.pid()));
    if let Err(error) = favoured {
        eprintln!(
            "{name}: nobody goes before others ({error}): waits and pieces are also the kernel's"
        );
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| wait_of_other(asked, &is_over));
        let start = Instant::now();
        let done = work();
        let took = start.elapsed();
        is_over.store(true, Ordering::Relaxed);
        let worst = other.join().unwrap_or_else(|_| Err(spoiled("the other client panicked")));
        done.and(worst).map(|worst| (took, worst))
    })
    .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
}

fn wait_of_other(asked: &Server, is_over: &AtomicBool) -> io::Result<Duration> {
    // Said already where it is not allowed.
    let _ = process::favour_thread(0);
    let mut client = asked.client()?;
    let mut worst = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let start = Instant::now();
        client.demand(&["GET", OTHER])?;
        worst = worst.max(start.elapsed());
        std::thread::sleep(REST);
    }
    Ok(worst)
}

/// The longest piece on any executor, in ms: of any kind but `memory`, and of that: where memory was touched first.
pub(super) fn longest_pieces(server: &Server) -> io::Result<(f64, f64)> {
    let reply = server.client()?.demand(&["INFO", "debug"])?;
    let text = String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned();
    let lines = text.lines().filter_map(|line| line.strip_prefix("longest_usec_executor_"));
    let kinds =
        lines.filter_map(|line| line.split_once(':')).flat_map(|(_, kinds)| kinds.split(','));
    let kinds = kinds.filter_map(|kind| {
        let (kind, micros) = kind.split_once('=')?;
        Some((kind, micros.trim().parse::<f64>().ok()? / 1e3))
    });
    let longest = |of_memory: bool| {
        let pieces = kinds.clone().filter(|(kind, _)| (*kind == "memory") == of_memory);
        pieces.map(|(_, millis)| millis).reduce(f64::max)
    };
    longest(false).zip(longest(true)).ok_or_else(|| spoiled("no longest piece"))
}
