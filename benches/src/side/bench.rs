//! One program measured once: how its server is started, filled and loaded, and what its figures are.

use std::io;

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
