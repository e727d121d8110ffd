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
mod config;
mod connection;
mod link;
mod report;
mod worker;

use std::io;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

pub use command::{Command, KEY_PREFIX, Mix, write_key, write_value};
pub use config::{Config, KeyOrder, Pace, Tls, Until};
pub use report::{Latencies, Report};

use crate::process;

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
        let work = |worker: worker::Worker<'_>| {
            if config.goes_first {
                // Where it is not allowed, what the kernel gives to others is measured too.
                let _ = process::favour_thread(0);
            }
            worker.run(start)
        };
        let running: Vec<_> =
            workers.into_iter().map(|worker| scope.spawn(move || work(worker))).collect();
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
