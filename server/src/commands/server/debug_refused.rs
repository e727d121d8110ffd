//! DEBUG: what Redis's test suite asks for and this program does not have, each with the reason.

use super::common::{ADMIN, FrontCommand, Handler, declare};
use crate::connection::Session;
use engine::command::{Args, Outcome, Refusal};
use engine::resp::ReplyWriter;

pub(super) const COMMANDS: &[&FrontCommand] = &[
    &AOF_FLUSH_SLEEP,
    &ASSERT,
    &CHANGE_REPL_ID,
    &CLIENT_EVICTION,
    &CONFIG_REWRITE_FORCE_ALL,
    &CRASH_AND_RECOVER,
    &DICT_RESIZING,
    &HTSTATS,
    &HTSTATS_KEY,
    &JMAP,
    &LEAK,
    &LISTPACK,
    &LOADAOF,
    &MALLCTL,
    &MALLCTL_STR,
    &OOM,
    &PANIC,
    &PAUSE_CRON,
    &QUICKLIST,
    &QUICKLIST_PACKED_THRESHOLD,
    &REPLICATE,
    &REPLYBUFFER,
    &RESTART,
    &SDSLEN,
    &SEGFAULT,
    &SET_DISABLE_DENY_SCRIPTS,
    &SET_SKIP_CHECKSUM,
    &STRUCTSIZE,
    &ZIPLIST,
];

/// Whoever asks is told what the summary says.
const fn refused(name: &'static str, usage: &'static str, why: &'static str) -> FrontCommand {
    FrontCommand {
        command: declare(name, usage, why, "1.0.0", ADMIN, ""),
        handler: Handler::Now(refuse),
    }
}

fn refuse(session: &mut Session, args: Args<'_>, _: &mut ReplyWriter<'_>) -> Outcome {
    let why = session.server.registry.resolve(&args)?.command.summary;
    Err(Refusal::quoting("ERR ", why.as_bytes(), ""))
}

const ENDS: &str = "Refused: a node is not ended for a test. Use SHUTDOWN, or a signal.";
const NO_FILES: &str = "Refused: there is no append-only file to read.";
const NO_TABLES: &str =
    "Refused: there are no such tables inside. MEMORY USAGE and INFO memory have figures.";
const NO_PACKS: &str = "Refused: values are trees of pages and have no such parts. OBJECT ENCODING names Redis's form.";
const NO_ALLOCATOR: &str = "Refused: the allocator has no such settings. MEMORY STATS has figures.";

static AOF_FLUSH_SLEEP: FrontCommand =
    refused("debug|aof-flush-sleep", "DEBUG AOF-FLUSH-SLEEP microseconds", NO_FILES);
static ASSERT: FrontCommand = refused("debug|assert", "DEBUG ASSERT", ENDS);
static CHANGE_REPL_ID: FrontCommand = refused(
    "debug|change-repl-id",
    "DEBUG CHANGE-REPL-ID",
    "Refused: a history's name is its data's. REPLICAOF and then REPLICAOF NO ONE begin another one.",
);
static CLIENT_EVICTION: FrontCommand = refused(
    "debug|client-eviction",
    "DEBUG CLIENT-EVICTION",
    "Refused: clients are not evicted, they have limits (client_output_buffer_limit).",
);
static CONFIG_REWRITE_FORCE_ALL: FrontCommand = refused(
    "debug|config-rewrite-force-all",
    "DEBUG CONFIG-REWRITE-FORCE-ALL",
    "Refused: CONFIG REWRITE writes what differs from the defaults. CONFIG GET * shows all.",
);
static CRASH_AND_RECOVER: FrontCommand =
    refused("debug|crash-and-recover", "DEBUG CRASH-AND-RECOVER [milliseconds]", ENDS);
static DICT_RESIZING: FrontCommand =
    refused("debug|dict-resizing", "DEBUG DICT-RESIZING <0 | 1>", NO_TABLES);
static HTSTATS: FrontCommand = refused("debug|htstats", "DEBUG HTSTATS db [full]", NO_TABLES);
static HTSTATS_KEY: FrontCommand =
    refused("debug|htstats-key", "DEBUG HTSTATS-KEY key [full]", NO_TABLES);
static JMAP: FrontCommand = refused("debug|jmap", "DEBUG JMAP", NO_TABLES);
static LEAK: FrontCommand =
    refused("debug|leak", "DEBUG LEAK string", "Refused: memory is not lost on purpose.");
static LISTPACK: FrontCommand = refused("debug|listpack", "DEBUG LISTPACK key", NO_PACKS);
static LOADAOF: FrontCommand = refused("debug|loadaof", "DEBUG LOADAOF", NO_FILES);
static MALLCTL: FrontCommand = refused("debug|mallctl", "DEBUG MALLCTL name [value]", NO_ALLOCATOR);
static MALLCTL_STR: FrontCommand =
    refused("debug|mallctl-str", "DEBUG MALLCTL-STR name [value]", NO_ALLOCATOR);
static OOM: FrontCommand = refused("debug|oom", "DEBUG OOM", ENDS);
static PANIC: FrontCommand = refused("debug|panic", "DEBUG PANIC", ENDS);
static PAUSE_CRON: FrontCommand = refused(
    "debug|pause-cron",
    "DEBUG PAUSE-CRON <0 | 1>",
    "Refused: the background keeps memory and the replication log bounded. SET-ACTIVE-EXPIRE 0 stops expiry alone.",
);
static QUICKLIST: FrontCommand =
    refused("debug|quicklist", "DEBUG QUICKLIST key [0 | 1]", NO_PACKS);
static QUICKLIST_PACKED_THRESHOLD: FrontCommand = refused(
    "debug|quicklist-packed-threshold",
    "DEBUG QUICKLIST-PACKED-THRESHOLD size",
    "Refused: large elements of lists stand apart from a fixed size on, which nobody sees in a reply.",
);
static REPLICATE: FrontCommand = refused(
    "debug|replicate",
    "DEBUG REPLICATE string",
    "Refused: replicas get what happened to the data, no commands.",
);
static REPLYBUFFER: FrontCommand = refused(
    "debug|replybuffer",
    "DEBUG REPLYBUFFER <PEAK-RESET-TIME | RESIZING> value",
    "Refused: a connection gives its buffers back when they are empty, whatever their peak was.",
);
static RESTART: FrontCommand = refused("debug|restart", "DEBUG RESTART [milliseconds]", ENDS);
static SDSLEN: FrontCommand = refused("debug|sdslen", "DEBUG SDSLEN key", NO_TABLES);
static SEGFAULT: FrontCommand = refused("debug|segfault", "DEBUG SEGFAULT", ENDS);
static SET_DISABLE_DENY_SCRIPTS: FrontCommand = refused(
    "debug|set-disable-deny-scripts",
    "DEBUG SET-DISABLE-DENY-SCRIPTS <0 | 1>",
    "Refused: what scripts may not call is not open to a switch.",
);
static SET_SKIP_CHECKSUM: FrontCommand = refused(
    "debug|set-skip-checksum-validation",
    "DEBUG SET-SKIP-CHECKSUM-VALIDATION <0 | 1>",
    "Refused: a payload with a wrong checksum is refused, whoever asks.",
);
static STRUCTSIZE: FrontCommand = refused("debug|structsize", "DEBUG STRUCTSIZE", NO_TABLES);
static ZIPLIST: FrontCommand = refused("debug|ziplist", "DEBUG ZIPLIST key", NO_PACKS);
