//! CONFIG: settings read and changed while the program runs.

use super::common::{ADMIN, ALWAYS, CONTAINER, FrontCommand, HELP, Handler, declare, few_names};
use crate::config::{Change, Group, Refusal as SettingRefusal};
use crate::connection::Session;
use crate::memory;
use crate::server::Server;
use engine::command::{Args, Flags, Outcome, Refusal};
use engine::glob::PATTERN_BYTES_MAX;
use engine::resp::{Output, ReplyWriter};
use engine::rt;
use replication::Request;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) const COMMANDS: &[&FrontCommand] =
    &[&CONFIG, &CONFIG_GET, &CONFIG_SET, &CONFIG_REWRITE, &CONFIG_RESETSTAT, &CONFIG_HELP];

static CONFIG: FrontCommand = FrontCommand {
    command: declare(
        "config",
        "CONFIG subcommand [argument ...]",
        "Reads and changes settings.",
        "2.0.0",
        Flags::empty(),
        "",
    ),
    handler: CONTAINER,
};

static CONFIG_GET: FrontCommand = FrontCommand {
    command: declare(
        "config|get",
        "CONFIG GET parameter [parameter ...]",
        "Returns settings whose names fit one of the patterns, with their values.",
        "2.0.0",
        ADMIN,
        r#"
            > CONFIG GET maxmemory-policy
            1) "maxmemory-policy"
            2) "noeviction"
        "#,
    ),
    handler: Handler::Now(|session, args, reply| {
        few_names(args)?;
        let patterns: Vec<&[u8]> = args.from(2).collect();
        // All of them are read before the first is used, which takes many times their own bytes.
        if patterns.iter().map(|pattern| pattern.len()).sum::<usize>() > PATTERN_BYTES_MAX {
            return Err(Refusal::LongPattern);
        }
        let pairs = session.server.settings.get(&patterns);
        reply.map(pairs.len());
        for (name, value) in pairs {
            reply.bulk(name);
            reply.bulk(value);
        }
        Ok(())
    }),
};

static CONFIG_SET: FrontCommand = FrontCommand {
    command: declare(
        "config|set",
        "CONFIG SET parameter value [parameter value ...]",
        "Changes settings: all of them or, if one is refused, none.",
        "2.0.0",
        ADMIN,
        r#"
            > CONFIG SET maxmemory-samples 10
            OK
            > CONFIG SET maxmemory-samples ten
            (error) ERR CONFIG SET failed (possibly related to argument 'maxmemory-samples') - argument couldn't be parsed into an integer
        "#,
    ),
    handler: Handler::Later(|session, args, out| Box::pin(set(session, args, out))),
};

async fn set(session: &mut Session, args: Args<'_>, out: &mut Output) -> Outcome {
    if args.len() % 2 != 0 {
        return Err(Refusal::Syntax);
    }
    let words: Vec<&[u8]> = args.from(2).collect();
    let pairs: Vec<(&[u8], &[u8])> = words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let server = session.server.clone();
    server.settings.set(&pairs, |change| prepare(&server, change))?;
    server.reconfigure(&session.front).await;
    if words.iter().step_by(2).any(|name| name.eq_ignore_ascii_case(b"maxmemory")) {
        memory::warn_if_short(server.settings.config().maxmemory);
    }
    for name in words.iter().step_by(2) {
        // The value may be a secret.
        tracing::info!("CONFIG SET {} by {}", name.escape_ascii(), session.client.peer);
    }
    ReplyWriter::new(out, session.protocol).ok();
    Ok(())
}

/// What may still refuse a change: certificates that cannot be loaded. They are read whenever one of
/// their settings is named, also with the value that it has: `CONFIG SET tls true` after the files
/// were replaced.
///
/// A key and its certificate may be named one after the other, and then `tls true`, as Dragonfly's
/// operators do: between the two the old pair stays in use. A pair that is named as a whole is judged.
fn prepare(server: &Server, change: &Change<'_>) -> Result<(), SettingRefusal> {
    let most = crate::clients::places_max();
    if change.names("maxclients") && change.after.maxclients > most {
        let text = format!(
            "The operating system is not able to handle the specified number of clients, try with {most}"
        );
        return Err(SettingRefusal::new("maxclients", text));
    }
    let Some(setting) = change.named.iter().find(|setting| setting.group == Group::Tls) else {
        return Ok(());
    };
    let names_both = |one, other| change.names(one) && change.names(other);
    let judged = change.names("tls")
        || change.names("tls_replication")
        || names_both("tls_key_file", "tls_cert_file")
        || names_both("tls_client_key_file", "tls_client_cert_file");
    match server.reload_tls(change.after) {
        Err(error) if error.is_about_pair() && !judged => {
            tracing::warn!("{} is set and the old certificate stays in use: {error}", setting.name);
            Ok(())
        }
        outcome => outcome.map_err(|error| SettingRefusal::new(setting.name, error.to_string())),
    }
}

static CONFIG_REWRITE: FrontCommand = FrontCommand {
    command: declare(
        "config|rewrite",
        "CONFIG REWRITE",
        "Writes the settings that were changed into the flagfile.",
        "2.8.0",
        ADMIN,
        "",
    ),
    handler: Handler::Later(|session, _, out| Box::pin(rewrite(session, out))),
};

const REWRITE_RUNS: Refusal =
    Refusal::fixed("ERR Rewriting config file: another rewrite has not ended yet");

/// Whether a rewrite is under way: of a disk that hangs one thread waits, not one for each request.
static REWRITING: AtomicBool = AtomicBool::new(false);

/// The one rewrite that is under way.
struct Rewriting;

impl Rewriting {
    fn begin() -> Option<Rewriting> {
        (!REWRITING.swap(true, Ordering::AcqRel)).then_some(Rewriting)
    }
}

impl Drop for Rewriting {
    fn drop(&mut self) {
        REWRITING.store(false, Ordering::Release);
    }
}

/// The disk is waited for on a thread of its own: a shard must not stand still for it.
async fn rewrite(session: &mut Session, out: &mut Output) -> Outcome {
    let one = Rewriting::begin().ok_or(REWRITE_RUNS)?;
    let (sender, mut outcome) = rt::mailbox();
    let settings = session.server.settings.clone();
    let writing = std::thread::Builder::new().name("rewrite".to_owned());
    writing
        .spawn(move || {
            let outcome = settings.rewrite();
            // Before it is told: whoever hears of it may ask for the next.
            drop(one);
            drop(sender.push(outcome));
        })
        .map_err(|error| Refusal::made(format!("ERR Rewriting config file: {error}")))?;
    let lost = || Err("ERR Rewriting config file: it was interrupted".to_owned());
    let Some(outcome) = session.unless_gone(outcome.recv()).await else {
        session.close = true;
        return Ok(());
    };
    let rewritten = outcome.unwrap_or_else(lost).map_err(Refusal::made)?;
    tracing::info!(
        "CONFIG REWRITE: {} settings written to {}",
        rewritten.settings,
        rewritten.path.display()
    );
    for name in &rewritten.overruled {
        tracing::warn!("CONFIG REWRITE: the command line gives {name} too and may overrule it");
    }
    ReplyWriter::new(out, session.protocol).ok();
    Ok(())
}

static CONFIG_RESETSTAT: FrontCommand = FrontCommand {
    command: declare(
        "config|resetstat",
        "CONFIG RESETSTAT",
        "Zeroes the counters that INFO shows.",
        "2.0.0",
        ADMIN,
        r#"
            > CONFIG RESETSTAT
            OK
        "#,
    ),
    handler: Handler::Later(|session, _, out| {
        Box::pin(async move {
            let server = session.server.clone();
            session.front.call_all(|shard| shard.reset_stats()).await;
            server.replication.ask::<()>(&session.front, Request::ResetCounters).await;
            server.front_stats.reset();
            server.histograms.reset();
            server.counters.reset();
            server.node.pieces().iter().for_each(|pieces| pieces.reset());
            ReplyWriter::new(out, session.protocol).ok();
            Ok(())
        })
    }),
};

static CONFIG_HELP: FrontCommand = FrontCommand {
    command: declare("config|help", "CONFIG HELP", "Prints this help.", "5.0.0", ALWAYS, ""),
    handler: HELP,
};
