//! MEMORY: what memory is used for. (MEMORY USAGE is about a key and lives with the keys.)

use super::common::{ALWAYS, FrontCommand, HELP, Handler, declare};
use crate::memory;
use crate::observe::info::human;
use crate::observe::{Memory, Picture};
use engine::command::{Command, Flags};
use engine::resp::ReplyWriter;

pub(super) const COMMANDS: &[&FrontCommand] =
    &[&MEMORY_STATS, &MEMORY_DOCTOR, &MEMORY_PURGE, &MEMORY_MALLOC_STATS, &MEMORY_HELP];

const fn command(name: &'static str, usage: &'static str, summary: &'static str) -> Command {
    declare(name, usage, summary, "4.0.0", Flags::empty(), "")
}

static MEMORY_STATS: FrontCommand = FrontCommand {
    command: command(
        "memory|stats",
        "MEMORY STATS",
        "Returns what memory is used for, in figures.",
    ),
    handler: Handler::Later(|session, _, out| {
        Box::pin(async move {
            let picture = Picture::take(&session.front, &session.server).await;
            put_stats(&picture, &mut ReplyWriter::new(out, session.protocol));
            Ok(())
        })
    }),
};

fn put_stats(picture: &Picture, reply: &mut ReplyWriter<'_>) {
    let memory = &picture.memory;
    let keys = picture.keys_total() as u64;
    let counts = [
        ("peak.allocated", memory.peak),
        ("total.allocated", memory.used),
        ("startup.allocated", memory.startup),
        ("replication.backlog", memory.journals),
        ("clients.slaves", 0),
        ("clients.normal", memory.clients),
        ("cluster.links", 0),
        ("aof.buffer", 0),
        ("lua.caches", 0),
        ("functions.caches", 0),
        ("overhead.tables", memory.tables),
        ("overhead.total", memory.overhead()),
        ("keys.count", keys),
        ("keys.bytes-per-key", memory.dataset().checked_div(keys).unwrap_or(0)),
        ("dataset.bytes", memory.dataset()),
        ("allocator.allocated", memory.used),
        ("allocator.active", memory.resident),
        ("allocator.resident", memory.resident),
    ];
    let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
    let net = memory.used.saturating_sub(memory.startup);
    let ratios = [
        ("dataset.percentage", percent(memory.dataset().min(net), net)),
        ("peak.percentage", percent(memory.used, memory.peak)),
        ("fragmentation", memory.fragmentation()),
    ];
    reply.map(counts.len() + ratios.len() + 1);
    for (name, count) in counts {
        reply.bulk(name);
        reply.integer(count as i64);
    }
    for (name, ratio) in ratios {
        reply.bulk(name);
        reply.double(ratio);
    }
    reply.bulk("fragmentation.bytes");
    reply.integer(memory.resident as i64 - memory.used as i64);
}

static MEMORY_DOCTOR: FrontCommand = FrontCommand {
    command: command(
        "memory|doctor",
        "MEMORY DOCTOR",
        "Says whether something about memory is odd.",
    ),
    handler: Handler::Later(|session, _, out| {
        Box::pin(async move {
            let picture = Picture::take(&session.front, &session.server).await;
            let text = diagnosis(&picture.memory);
            ReplyWriter::new(out, session.protocol).verbatim(*b"txt", text);
            Ok(())
        })
    }),
};

/// Below it, nothing can be said: the program itself is most of what is used.
const SMALL: u64 = 5 * 1024 * 1024;

fn diagnosis(memory: &Memory) -> String {
    if memory.used.saturating_sub(memory.startup) < SMALL {
        return "This node holds too little data for a diagnosis.".to_owned();
    }
    let mut findings = Vec::new();
    if memory.used > memory.max / 100 * 90 {
        findings.push(format!(
            "Memory is nearly exhausted: {} of {} (maxmemory) are in use.",
            human(memory.used),
            human(memory.max)
        ));
    }
    if memory.peak > memory.used / 2 * 3 {
        findings.push(format!(
            "Once {} were in use, much more than the {} of now; what was freed may still be resident.",
            human(memory.peak),
            human(memory.used)
        ));
    }
    if memory.fragmentation() > 1.4 {
        findings.push(format!(
            "{} are resident for {} in use: MEMORY PURGE gives back what is free.",
            human(memory.resident),
            human(memory.used)
        ));
    }
    if memory.journals > memory.used / 2 {
        findings.push(format!(
            "The replication log takes {}, more than the data: see repl_backlog_size.",
            human(memory.journals)
        ));
    }
    match findings.is_empty() {
        true => "Nothing about memory is odd.".to_owned(),
        false => findings.join("\n"),
    }
}

static MEMORY_PURGE: FrontCommand = FrontCommand {
    command: command("memory|purge", "MEMORY PURGE", "Gives freed memory back to the system."),
    handler: Handler::Later(|session, _, out| {
        Box::pin(async move {
            // The allocator's heaps belong to threads: each clears its own.
            session.front.call_all(|_| memory::collect()).await;
            ReplyWriter::new(out, session.protocol).ok();
            Ok(())
        })
    }),
};

static MEMORY_MALLOC_STATS: FrontCommand = FrontCommand {
    command: command(
        "memory|malloc-stats",
        "MEMORY MALLOC-STATS",
        "Returns what the allocator says about itself.",
    ),
    handler: Handler::Now(|_, _, reply| {
        let text = format!(
            "allocator: mimalloc\nin use: {}\nmost in use: {}\nresident: {}\n",
            memory::used(),
            memory::peak(),
            memory::resident()
        );
        reply.verbatim(*b"txt", text);
        Ok(())
    }),
};

static MEMORY_HELP: FrontCommand = FrontCommand {
    command: declare("memory|help", "MEMORY HELP", "Prints this help.", "4.0.0", ALWAYS, ""),
    handler: HELP,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doctor_names_what_is_odd_and_nothing_else() {
        let gigabyte = 1 << 30;
        let healthy = Memory {
            used: gigabyte,
            peak: gigabyte,
            resident: gigabyte,
            max: 8 * gigabyte,
            ..Memory::default()
        };
        let check = |memory: Memory, word: &str| {
            let text = diagnosis(&memory);
            assert!(text.contains(word) && text.lines().count() == 1, "{text}");
        };
        check(healthy, "Nothing");
        check(Memory { used: 1024, ..healthy }, "too little");
        check(Memory { max: gigabyte, ..healthy }, "exhausted");
        check(Memory { peak: 4 * gigabyte, ..healthy }, "Once 4.00G");
        check(Memory { resident: 2 * gigabyte, ..healthy }, "PURGE");
        check(Memory { journals: gigabyte, ..healthy }, "repl_backlog_size");
    }
}
