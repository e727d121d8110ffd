//! One program measured once: how its server is started, filled and loaded, and what its figures are.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{Plan, Subject, depth_factor, spoiled};
use crate::load::{self, Command, Config, Mix, Report, Until};
use crate::peer::{Certificates, Server};
use crate::process;

/// One column of one repeat.
pub(super) struct Bench<'a> {
    pub(super) plan: &'a Plan,
    pub(super) column: usize,
    pub(super) subject: &'a Subject,
}

impl Bench<'_> {
    pub(super) fn start(&self, tls: Option<&Certificates>) -> io::Result<Server> {
        Server::start(&self.subject.program, tls, &self.subject.extra)
    }

    pub(super) fn full(&self, keys: u64, tls: Option<&Certificates>) -> io::Result<Server> {
        let server = self.start(tls)?;
        let fill = Config::fill(server.address, keys, self.plan.value_bytes);
        clean(load::run(&fill)?, "fill")?;
        Ok(server)
    }

    pub(super) fn load(&self, server: &Server, command: Command, pipeline: usize) -> Config {
        Config {
            connections: self.plan.connections,
            pipeline,
            until: Until::Requests(self.plan.requests * depth_factor(pipeline)),
            keys: self.plan.keys,
            value_bytes: self.plan.value_bytes,
            mix: Mix::only(command),
            server_pid: Some(server.pid()),
            ..Config::new(server.address)
        }
    }
}

/// What a server has for good: a moment after its last request, when it has given back what it had only while it grew.
pub(super) fn resident_at_rest(server: &Server) -> io::Result<u64> {
    const REST: Duration = Duration::from_secs(4);
    std::thread::sleep(REST);
    resident(server)
}

pub(super) fn resident(server: &Server) -> io::Result<u64> {
    process::resident_bytes(server.pid()).ok_or_else(|| spoiled("the server's memory is unknown"))
}

pub(super) fn cpu(report: &Report) -> io::Result<f64> {
    report.server_cpu_per_request().ok_or_else(|| spoiled("the server's CPU time is unknown"))
}

/// A run with errors measures something else.
pub(super) fn clean(report: Report, what: &str) -> io::Result<Report> {
    if report.is_clean() { Ok(report) } else { Err(spoiled(format!("{what}:\n{report}"))) }
}

/// Has something done under a load that has been there for a while and ends with it: what came of both. `what` they were
/// is said where the load had errors.
pub(super) fn under<T>(
    load: &Config,
    (since, what): (Duration, &str),
    done: impl FnOnce() -> io::Result<T>,
) -> io::Result<(T, Report)> {
    let stop = AtomicBool::new(false);
    let (outcome, has_ended, report) = thread::scope(|scope| {
        let running = scope.spawn(|| load::run_until_stopped(load, &stop));
        thread::sleep(since);
        let outcome = done();
        let has_ended = running.is_finished();
        stop.store(true, Ordering::Relaxed);
        let report = running.join();
        (outcome, has_ended, report.unwrap_or_else(|_| Err(spoiled(format!("{what}: a panic")))))
    });
    let (outcome, report) = (outcome?, clean(report?, what)?);
    match has_ended {
        true => Err(spoiled(format!("{what}: they came to their end before all else"))),
        false => Ok((outcome, report)),
    }
}
