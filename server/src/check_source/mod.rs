//! `damselfly check-source redis://...`: whether a server can be followed, and what would come of it.
//!
//! ```text
//!   address ─► asking ─┬─ INFO, CONFIG GET ──────► facts ──► server: what it is, its data, how it feeds replicas
//!                      ├─ INFO commandstats ─────► commands: those in use that are not known here
//!                      ├─ ACL, REPLCONF ─────────► rights
//!                      └─ SCAN, MEMORY USAGE ────► keys: the largest of some
//!                                                     └─► report: lines, and a line for each problem
//! ```
//!
//! Promises: nothing is changed there, and no sync is begun; what is asked, and for how long, is bounded; what
//! this asks itself is not taken for use. Exit code 0: nothing stands in the way; 1: there are problems, each in a
//! line with a remedy; 2: the server was not reached, or the arguments are wrong.
//!
//! It knows what the server says, not what its clients will do: a command that was not used since the statistics
//! began is not seen.

mod address;
mod asking;
mod commands;
mod facts;
mod keys;
mod report;
mod rights;
mod server;

use crate::config::{self, Config, Start};
use crate::effect;
use address::Address;
use asking::Source;
use engine::command::Registry;
use facts::{Facts, Kind};
use replication::tls::ClientTls;
use report::Report;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// Over so long at least it is looked how much is written there.
const RATE_OVER: Duration = Duration::from_secs(1);

/// What else it was called with, or why it came to nothing.
enum Ended {
    /// To standard output.
    Help(String),
    /// To standard error.
    NotReached(String),
}

/// Looks at the server that `arguments` name, as a node with the flags beside it would find it.
pub fn run(registry: &'static Registry, arguments: Vec<OsString>) -> ExitCode {
    match check(registry, arguments) {
        Ok(report) => {
            // Nobody reads any more: the exit code says it too.
            let _ = std::io::stdout().write_all(report.text().as_bytes());
            ExitCode::from(u8::from(report.has_problems()))
        }
        Err(Ended::Help(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(Ended::NotReached(error)) => {
            let _ = writeln!(std::io::stderr(), "damselfly: check-source: {error}");
            ExitCode::from(2)
        }
    }
}

const USAGE: &str = "usage: damselfly check-source [--flag=value ...] redis://[user:password@]host[:port]; rediss:// is \
                     with TLS, and the flags are those that the node will have";

fn check(registry: &'static Registry, arguments: Vec<OsString>) -> Result<Report, Ended> {
    let (address, flags): (Vec<OsString>, Vec<OsString>) =
        arguments.into_iter().partition(|argument| argument.to_string_lossy().contains("://"));
    let settings = match config::start(flags, std::env::vars_os(), "damselfly") {
        Start::Run(settings) => settings,
        Start::Say { code: 0, text } => return Err(Ended::Help(format!("{USAGE}\n\n{text}"))),
        Start::Say { text, .. } => {
            let text = text.trim_end();
            let text = text.strip_prefix("damselfly: ").unwrap_or(text);
            return Err(Ended::NotReached(text.to_owned()));
        }
    };
    let [address] = &address[..] else { return Err(Ended::NotReached(USAGE.to_owned())) };
    let config = settings.config();
    let address = Address::read(&address.to_string_lossy(), &config)
        .map_err(|error| Ended::NotReached(format!("{error}; {USAGE}")))?;
    look(registry, &config, &address).map_err(Ended::NotReached)
}

fn look(registry: &'static Registry, config: &Config, address: &Address) -> Result<Report, String> {
    let tls = match address.tls {
        true => {
            let settings = effect::tls(config);
            let loaded = ClientTls::load(&settings, !address.password.is_empty());
            Some(loaded.map_err(|error| error.to_string())?)
        }
        false => None,
    };
    let mut source = Source::reach(address, tls.as_ref())?;
    let mut report = Report::default();
    if let Err(refusal) = source.introduce(address)? {
        let remedy = match refusal.contains("TLS") {
            true => "say rediss:// where it speaks TLS",
            false => {
                "say the right user:password@ in the address, or --masteruser and --masterauth"
            }
        };
        report.problem(format!("the source does not let us in: {refusal}"), remedy);
        return Ok(report);
    }
    let began = Instant::now();
    // First of all: what is asked later is no use of the source's clients.
    let facts = Facts::ask(&mut source)?;
    let sent = source.sent;
    if let Some(refusal) = &facts.refused {
        report.problem(
            format!("INFO is refused ({refusal}): hardly anything can be known"),
            "give the user +info +config|get +scan +memory|usage +command|info there for this check",
        );
    }
    server::kind(&facts, address, &mut report);
    // What is not said is not nothing: no line of it, rather than a line of zeros.
    let is_told = facts.refused.is_none();
    if is_told {
        server::databases(&facts, config, &mut report);
        server::size(&facts, config, &mut report);
    }
    keys::look(&mut source, &facts, &mut report)?;
    thread::sleep(RATE_OVER.saturating_sub(began.elapsed()));
    let later = Facts::ask_info(&mut source)?;
    let rate = facts.write_rate(&later, source.sent - sent, began.elapsed());
    if is_told {
        server::feeding(&facts, rate, &mut report);
        server::left_out(&facts, &mut report);
    }
    commands::look(registry, &mut source, &facts, &mut report)?;
    rights::look(&mut source, &facts, config, &mut report)?;
    if is_told && facts.kind != Kind::Dragonfly {
        report.say("time", server::time(&facts));
    }
    Ok(report)
}
