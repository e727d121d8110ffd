//! SLOWLOG: the requests that took long. What is timed, and how, is said in `connection::stopwatch`.

use super::common::{ALWAYS, CONTAINER, FrontCommand, HELP, Handler, declare};
use engine::command::{Command, Flags, Refusal};
use engine::resp::number::parse_i64;

pub(super) const COMMANDS: &[&FrontCommand] =
    &[&SLOWLOG, &SLOWLOG_GET, &SLOWLOG_LEN, &SLOWLOG_RESET, &SLOWLOG_HELP];

/// For operators, and unlike others of theirs also from scripts.
const READS: Flags = ALWAYS.union(Flags::ADMIN);

/// Entries returned when the request does not say how many.
const COUNT_DEFAULT: usize = 10;

const fn slowlog(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    examples: &'static str,
) -> Command {
    declare(name, usage, summary, "2.2.12", READS, examples)
}

static SLOWLOG: FrontCommand = FrontCommand {
    command: declare(
        "slowlog",
        "SLOWLOG subcommand [argument ...]",
        "The log of slow requests.",
        "2.2.12",
        Flags::empty(),
        "",
    ),
    handler: CONTAINER,
};

static SLOWLOG_GET: FrontCommand = FrontCommand {
    command: slowlog(
        "slowlog|get",
        "SLOWLOG GET [count]",
        "Returns the latest slow requests: 10, or as many as asked for, -1 being all. Each has its id, \
         when it ended, its microseconds, arguments, client address and client name.",
        r#"
            > SLOWLOG GET -2
            (error) ERR count should be greater than or equal to -1
        "#,
    ),
    handler: Handler::Now(|session, args, reply| {
        if args.len() > 3 {
            return Err(Refusal::Arity("slowlog|get".to_owned()));
        }
        let asked = (args.len() > 2).then(|| parse_i64(args.get(2)));
        let count = match asked {
            None => COUNT_DEFAULT,
            Some(Some(-1)) => usize::MAX,
            Some(Some(count)) if count >= 0 => count as usize,
            Some(_) => {
                return Err(Refusal::fixed("ERR count should be greater than or equal to -1"));
            }
        };
        let entries = session.server.slow_log.latest(count);
        reply.array(entries.len());
        for entry in entries {
            reply.array(6);
            reply.integer(entry.id as i64);
            reply.integer(entry.at as i64);
            reply.integer(entry.took.as_micros() as i64);
            reply.array(entry.arguments.len());
            entry.arguments.iter().for_each(|argument| reply.bulk(argument));
            reply.bulk(&entry.peer);
            reply.bulk(&entry.name);
        }
        Ok(())
    }),
};

static SLOWLOG_LEN: FrontCommand = FrontCommand {
    command: slowlog(
        "slowlog|len",
        "SLOWLOG LEN",
        "Returns how many slow requests are held.",
        r#"
            > SLOWLOG RESET
            OK
            > SLOWLOG LEN
            (integer) 0
        "#,
    ),
    handler: Handler::Now(|session, _, reply| {
        reply.count(session.server.slow_log.len());
        Ok(())
    }),
};

static SLOWLOG_RESET: FrontCommand = FrontCommand {
    command: slowlog(
        "slowlog|reset",
        "SLOWLOG RESET",
        "Forgets the slow requests.",
        r#"
            > SLOWLOG RESET
            OK
        "#,
    ),
    handler: Handler::Now(|session, _, reply| {
        session.server.slow_log.reset();
        reply.ok();
        Ok(())
    }),
};

static SLOWLOG_HELP: FrontCommand = FrontCommand {
    command: declare("slowlog|help", "SLOWLOG HELP", "Prints this help.", "6.2.0", ALWAYS, ""),
    handler: HELP,
};
