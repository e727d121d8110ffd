//! LATENCY: commands above `latency-monitor-threshold`, and how long commands take.
//!
//! The only events are `command` and `fast-command`: no fork, no append-only file, and work in the
//! background goes in slices that are no events.

use super::common::{ADMIN, ALWAYS, CONTAINER, FrontCommand, HELP, Handler, declare, few_names};
use crate::connection::Session;
use crate::meters::latency::Series;
use crate::observe::Picture;
use engine::command::{Args, Command, Entry, Flags, Outcome, Refusal};
use engine::resp::{Output, ReplyWriter};
use std::fmt::Write;
use std::iter::once;

pub(super) const COMMANDS: &[&FrontCommand] = &[
    &LATENCY,
    &LATENCY_LATEST,
    &LATENCY_HISTORY,
    &LATENCY_RESET,
    &LATENCY_DOCTOR,
    &LATENCY_GRAPH,
    &LATENCY_HISTOGRAM,
    &LATENCY_HELP,
];

const fn latency(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    examples: &'static str,
) -> Command {
    declare(name, usage, summary, "2.8.13", ADMIN, examples)
}

static LATENCY: FrontCommand = FrontCommand {
    command: declare(
        "latency",
        "LATENCY subcommand [argument ...]",
        "How long commands take.",
        "2.8.13",
        Flags::empty(),
        "",
    ),
    handler: CONTAINER,
};

static LATENCY_LATEST: FrontCommand = FrontCommand {
    command: latency(
        "latency|latest",
        "LATENCY LATEST",
        "Returns of each event when it was last, and its last and its longest milliseconds.",
        "",
    ),
    handler: Handler::Now(|session, _, reply| {
        let events = session.server.events.all();
        reply.array(events.len());
        for (name, Series { samples, most }) in events {
            let (at, millis) = samples.back().copied().unwrap_or_default();
            reply.array(4);
            reply.bulk(name);
            for number in [at, millis, most] {
                reply.integer(number as i64);
            }
        }
        Ok(())
    }),
};

static LATENCY_HISTORY: FrontCommand = FrontCommand {
    command: latency(
        "latency|history",
        "LATENCY HISTORY event",
        "Returns the latest samples of an event: when, and how many milliseconds.",
        r#"
            > LATENCY HISTORY nothing
            (empty array)
        "#,
    ),
    handler: Handler::Now(|session, args, reply| {
        let name = String::from_utf8_lossy(args.get(2));
        let series = session.server.events.all().remove(name.as_ref()).unwrap_or_default();
        reply.array(series.samples.len());
        for (at, millis) in series.samples {
            reply.array(2);
            reply.integer(at as i64);
            reply.integer(millis as i64);
        }
        Ok(())
    }),
};

static LATENCY_RESET: FrontCommand = FrontCommand {
    command: latency(
        "latency|reset",
        "LATENCY RESET [event [event ...]]",
        "Forgets some events or all, and returns how many there were.",
        r#"
            > LATENCY RESET nothing
            (integer) 0
        "#,
    ),
    handler: Handler::Now(|session, args, reply| {
        let named =
            |event: &str| args.from(2).any(|name| name.eq_ignore_ascii_case(event.as_bytes()));
        let all = args.len() == 2;
        reply.count(session.server.events.reset(|event| all || named(event)));
        Ok(())
    }),
};

static LATENCY_DOCTOR: FrontCommand = FrontCommand {
    command: latency(
        "latency|doctor",
        "LATENCY DOCTOR",
        "Says in words what is known about slow commands.",
        "",
    ),
    handler: Handler::Now(|session, _, reply| {
        let threshold = session.config.latency_monitor_threshold;
        let mut text = String::new();
        for (name, Series { samples, most }) in session.server.events.all() {
            let sum: u64 = samples.iter().map(|(_, millis)| millis).sum();
            let mean = sum as f64 / samples.len().max(1) as f64;
            let _ = writeln!(
                text,
                "{name}: in {} of the latest seconds with such an event, {mean:.1} ms in the mean of \
                 their worst, {most} ms at most.",
                samples.len()
            );
        }
        let advice = match (threshold, text.is_empty()) {
            (0, _) => {
                "Commands are not watched: CONFIG SET latency-monitor-threshold <milliseconds> begins \
                 to."
            }
            (_, true) => "No command was as slow as latency-monitor-threshold.",
            (_, false) => "SLOWLOG GET shows which requests they were.",
        };
        text.push_str(advice);
        text.push('\n');
        reply.verbatim(*b"txt", &text);
        Ok(())
    }),
};

static LATENCY_GRAPH: FrontCommand = FrontCommand {
    command: latency("latency|graph", "LATENCY GRAPH event", "Is not supported.", ""),
    handler: Handler::Now(|_, _, _| {
        Err(Refusal::fixed(
            "ERR LATENCY GRAPH is not supported: LATENCY HISTORY returns the samples",
        ))
    }),
};

static LATENCY_HISTOGRAM: FrontCommand = FrontCommand {
    command: declare(
        "latency|histogram",
        "LATENCY HISTOGRAM [command [command ...]]",
        "Returns how often commands ran, and how many of these calls took at most 1, 2, 4 ... \
         microseconds. One call in 32 is timed and stands for the others.",
        "7.0.0",
        ADMIN,
        r#"
            > LATENCY HISTOGRAM nothing
            (empty array)
        "#,
    ),
    handler: Handler::Later(|session, args, out| Box::pin(histogram(session, args, out))),
};

async fn histogram(session: &mut Session, args: Args<'_>, out: &mut Output) -> Outcome {
    few_names(args)?;
    let picture = Picture::take(&session.front, &session.server).await;
    let registry = session.server.registry;
    let ran = |entry: &&Entry| picture.commands[usize::from(entry.id)].calls > 0;
    let entries: Vec<&Entry> = if args.len() == 2 {
        registry.iter_all().filter(ran).collect()
    } else {
        let named = args.from(2).filter_map(|name| registry.find_any(name));
        named.flat_map(|entry| once(entry).chain(&entry.subcommands)).filter(ran).collect()
    };
    let mut reply = ReplyWriter::new(out, session.protocol);
    reply.map(entries.len());
    for entry in entries {
        let distribution = picture.distribution(&session.server, entry);
        let powers = distribution.by_power();
        reply.bulk(entry.name());
        reply.map(2);
        reply.bulk("calls");
        reply.integer(picture.commands[usize::from(entry.id)].calls as i64);
        reply.bulk("histogram_usec");
        reply.map(powers.len());
        for (micros, calls) in powers {
            reply.integer(micros as i64);
            reply.integer(calls as i64);
        }
    }
    Ok(())
}

static LATENCY_HELP: FrontCommand = FrontCommand {
    command: declare("latency|help", "LATENCY HELP", "Prints this help.", "2.8.13", ALWAYS, ""),
    handler: HELP,
};
