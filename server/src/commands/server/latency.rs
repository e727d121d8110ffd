//! SLOWLOG and LATENCY: known to tools, and empty.
//!
//! Neither slow requests nor latency events are recorded yet. The commands answer as a node on which
//! nothing was slow, which is what monitors expect where these features are turned off.

use super::super::{FrontCommand, Handler};
use super::{ADMIN, ALWAYS, CONTAINER, HELP, declare};
use engine::command::{Command, Refusal};
use engine::value::number::parse_i64_strict;

pub(super) const COMMANDS: &[&FrontCommand] = &[
    &SLOWLOG,
    &SLOWLOG_GET,
    &SLOWLOG_LEN,
    &SLOWLOG_RESET,
    &SLOWLOG_HELP,
    &LATENCY,
    &LATENCY_LATEST,
    &LATENCY_HISTORY,
    &LATENCY_RESET,
    &LATENCY_DOCTOR,
    &LATENCY_GRAPH,
    &LATENCY_HISTOGRAM,
    &LATENCY_HELP,
];

const fn slowlog(name: &'static str, usage: &'static str, summary: &'static str) -> Command {
    declare(name, usage, summary, "2.2.12", ADMIN, "")
}

const fn latency(name: &'static str, usage: &'static str, summary: &'static str) -> Command {
    declare(name, usage, summary, "2.8.13", ADMIN, "")
}

static SLOWLOG: FrontCommand = FrontCommand {
    command: slowlog(
        "slowlog",
        "SLOWLOG subcommand [argument ...]",
        "The log of slow requests: nothing is recorded yet.",
    ),
    handler: CONTAINER,
};

static SLOWLOG_GET: FrontCommand = FrontCommand {
    command: slowlog("slowlog|get", "SLOWLOG GET [count]", "Returns the slowest requests: none."),
    handler: Handler::Now(|_, args, reply| {
        let count = if args.len() > 2 { parse_i64_strict(args.get(2)) } else { Some(10) };
        if args.len() > 3 {
            return Err(Refusal::Arity("slowlog|get".to_owned()));
        }
        if count.is_none_or(|count| count < -1) {
            return Err(Refusal::fixed("ERR count should be greater than or equal to -1"));
        }
        reply.array(0);
        Ok(())
    }),
};

static SLOWLOG_LEN: FrontCommand = FrontCommand {
    command: slowlog("slowlog|len", "SLOWLOG LEN", "Returns how many slow requests are held: 0."),
    handler: Handler::Now(|_, _, reply| {
        reply.integer(0);
        Ok(())
    }),
};

static SLOWLOG_RESET: FrontCommand = FrontCommand {
    command: slowlog("slowlog|reset", "SLOWLOG RESET", "Forgets the slow requests."),
    handler: Handler::Now(|_, _, reply| {
        reply.ok();
        Ok(())
    }),
};

static SLOWLOG_HELP: FrontCommand = FrontCommand {
    command: declare("slowlog|help", "SLOWLOG HELP", "Prints this help.", "6.2.0", ALWAYS, ""),
    handler: HELP,
};

static LATENCY: FrontCommand = FrontCommand {
    command: latency(
        "latency",
        "LATENCY subcommand [argument ...]",
        "Latency events: nothing is recorded yet.",
    ),
    handler: CONTAINER,
};

static LATENCY_LATEST: FrontCommand = FrontCommand {
    command: latency("latency|latest", "LATENCY LATEST", "Returns the latest events: none."),
    handler: Handler::Now(|_, _, reply| {
        reply.array(0);
        Ok(())
    }),
};

static LATENCY_HISTORY: FrontCommand = FrontCommand {
    command: latency(
        "latency|history",
        "LATENCY HISTORY event",
        "Returns the samples of an event: none.",
    ),
    handler: Handler::Now(|_, _, reply| {
        reply.array(0);
        Ok(())
    }),
};

static LATENCY_RESET: FrontCommand = FrontCommand {
    command: latency(
        "latency|reset",
        "LATENCY RESET [event [event ...]]",
        "Forgets events and returns how many there were: 0.",
    ),
    handler: Handler::Now(|_, _, reply| {
        reply.integer(0);
        Ok(())
    }),
};

static LATENCY_DOCTOR: FrontCommand = FrontCommand {
    command: latency("latency|doctor", "LATENCY DOCTOR", "Says what is known about latency."),
    handler: Handler::Now(|_, _, reply| {
        reply.verbatim(*b"txt", "Latency events are not recorded, so there is nothing to say.\n");
        Ok(())
    }),
};

static LATENCY_GRAPH: FrontCommand = FrontCommand {
    command: latency("latency|graph", "LATENCY GRAPH event", "Draws an event: there are none."),
    handler: Handler::Now(|_, args, _| {
        let event = String::from_utf8_lossy(args.get(2));
        Err(Refusal::made(format!("ERR No samples available for event '{event}'")))
    }),
};

static LATENCY_HISTOGRAM: FrontCommand = FrontCommand {
    command: declare(
        "latency|histogram",
        "LATENCY HISTOGRAM [command [command ...]]",
        "Returns the distribution of latencies by command: not measured, so empty.",
        "7.0.0",
        ADMIN,
        "",
    ),
    handler: Handler::Now(|_, _, reply| {
        reply.map(0);
        Ok(())
    }),
};

static LATENCY_HELP: FrontCommand = FrontCommand {
    command: declare("latency|help", "LATENCY HELP", "Prints this help.", "2.8.13", ALWAYS, ""),
    handler: HELP,
};
