//! Our own load generator: `run(&Config) -> Report`.
//!
//! ```text
//!   run --> worker thread 1 --> epoll --> connections 1, 3, 5 ...
//!       \-> worker thread 2 --> epoll --> connections 2, 4, 6 ...   in flight: oldest first
//! ```
//!
//! Every reply is delimited and judged: errors are counted and the first one shown, and a value
//! that a GET returns must be the one that belongs to its key. *Closed loop*: a connection sends a
//! batch of `pipeline` requests and the next one when all are answered, so a slow server is asked
//! less. *Open loop*: requests have times of their own, and a latency counts from the intended
//! time, so that a stall of the server shows in every request it delayed.
//!
//! What it does not do: reconnect (a lost connection is counted, its open requests too), follow
//! redirections, or judge commands of a template beyond "no error".

mod command;
mod connection;
mod link;
mod report;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

pub use command::{Command, KEY_PREFIX, Mix, write_key, write_value};
pub use report::{Latencies, Report};

use crate::process;

/// When requests are sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pace {
    /// The next batch when the last one is answered.
    Closed,
    /// At a fixed rate over all connections, however the server fares. `pipeline` bounds what one
    /// connection has in flight; what finds no room waits, and its waiting counts.
    Open {
        /// Requests per second.
        rate: f64,
    },
}

/// When a run ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// After so many requests.
    Requests(u64),
    /// After so long.
    Elapsed(Duration),
}

/// How keys are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyOrder {
    /// Uniformly at random.
    Random,
    /// One after the other from 0: with as many SETs as keys, a fill.
    Sequential,
    /// At random among those that live on the connection's own shard, as a client of a cluster
    /// chooses its connection. Connections are dealt out to the shards in turn.
    Own {
        /// How many shards there are.
        shards: u16,
        /// Where the first connection is served.
        first: u16,
    },
}

/// How TLS is spoken.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM file of the authorities that are trusted.
    pub authorities: PathBuf,
    /// PEM files of the certificate and key that are shown, if any.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must carry.
    pub name: String,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server listens.
    pub address: SocketAddr,
    /// How many connections.
    pub connections: usize,
    /// How many threads share them.
    pub threads: usize,
    /// Closed loop: requests per batch. Open loop: most requests in flight per connection.
    pub pipeline: usize,
    /// Closed or open loop.
    pub pace: Pace,
    /// When to end.
    pub until: Until,
    /// How many keys there are.
    pub keys: u64,
    /// How they are chosen.
    pub order: KeyOrder,
    /// Size of values.
    pub value_bytes: usize,
    /// What is asked.
    pub mix: Mix,
    /// AUTH before the first request: user (or none) and password.
    pub credentials: Option<(Option<String>, String)>,
    /// TLS, if it is to be spoken.
    pub tls: Option<Tls>,
    /// Beginning of the random numbers.
    pub seed: u64,
    /// Process whose CPU time and memory are measured; otherwise looked for by the port.
    pub server_pid: Option<u32>,
}

impl Config {
    /// Fifty connections, closed loop without pipelining, 100 k SETs of 32 bytes over 1 M random
    /// keys.
    pub fn new(address: SocketAddr) -> Config {
        Config {
            address,
            connections: 50,
            threads: 1,
            pipeline: 1,
            pace: Pace::Closed,
            until: Until::Requests(100_000),
            keys: 1_000_000,
            order: KeyOrder::Random,
            value_bytes: 32,
            mix: Mix::only(Command::Set),
            credentials: None,
            tls: None,
            seed: 1,
            server_pid: None,
        }
    }

    /// A run that sets every key once.
    pub fn fill(address: SocketAddr, keys: u64, value_bytes: usize) -> Config {
        Config {
            connections: 8,
            pipeline: 100,
            until: Until::Requests(keys),
            keys,
            order: KeyOrder::Sequential,
            value_bytes,
            ..Config::new(address)
        }
    }
}

/// Runs until `config.until`.
pub fn run(config: &Config) -> io::Result<Report> {
    run_until_stopped(config, &AtomicBool::new(false))
}

/// Runs until `config.until` or until `stop` is set; what is in flight then is still awaited.
pub fn run_until_stopped(config: &Config, stop: &AtomicBool) -> io::Result<Report> {
    if config.connections == 0 || config.keys == 0 || config.pipeline == 0 || config.mix.is_empty()
    {
        let message = "connections, keys, pipeline and mix must not be empty";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let threads = config.threads.clamp(1, config.connections);
    let server = config.server_pid.or_else(|| {
        let is_here = config.address.ip().is_loopback();
        is_here.then(|| process::listener_on(config.address.port())).flatten()
    });
    let mut workers = Vec::with_capacity(threads);
    for index in 0..threads {
        workers.push(worker::Worker::connect(config, index, threads, stop)?);
    }
    let server_before = server.and_then(process::cpu_seconds);
    let own_before = process::own_cpu_seconds();
    let start = Instant::now();
    let tallies = std::thread::scope(|scope| {
        let running: Vec<_> =
            workers.into_iter().map(|worker| scope.spawn(move || worker.run(start))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, io::Result<_>>| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))
        };
        running.into_iter().map(join).collect::<io::Result<Vec<report::Tally>>>()
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let mut report = Report::of(tallies, seconds);
    report.client_cpu_seconds = process::own_cpu_seconds() - own_before;
    report.server_cpu_seconds = match (server_before, server.and_then(process::cpu_seconds)) {
        (Some(before), Some(after)) => Some(after - before),
        _ => None,
    };
    report.server_resident_bytes = server.and_then(process::resident_bytes);
    Ok(report)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
