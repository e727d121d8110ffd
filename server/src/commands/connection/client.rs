//! CLIENT's subcommands about one's own connection: names, replies, eviction and access clocks.

use super::common::{FrontCommand, Handler, OTHERS, OWN, at_most, declare, integer, plain, switch};
use crate::clients::Unblocked;
use crate::connection::ReplyMode;
use engine::command::{Flags, Refusal};
use std::sync::atomic::Ordering;

pub(super) static CLIENT: FrontCommand = declare(
    "client",
    "CLIENT subcommand [argument ...]",
    "Commands about connections.",
    "2.4.0",
    Flags::SENSITIVE,
    "",
    // The registry resolves to the subcommands.
    Handler::Now(|_, _, _| Err(Refusal::Syntax)),
);

pub(super) static ID: FrontCommand = declare(
    "client|id",
    "CLIENT ID",
    "The connection's number; no two connections of one run have the same.",
    "5.0.0",
    OWN,
    "",
    Handler::Now(|session, _, reply| {
        reply.integer(session.client.id as i64);
        Ok(())
    }),
);

pub(super) static GETNAME: FrontCommand = declare(
    "client|getname",
    "CLIENT GETNAME",
    "The connection's name.",
    "2.6.9",
    OWN,
    r#"
        > CLIENT GETNAME
        (nil)
    "#,
    Handler::Now(|session, _, reply| {
        let words = session.client.words();
        let name = words.name.as_bytes();
        reply.bulk_or_nil((!name.is_empty()).then_some(name));
        Ok(())
    }),
);

/// A name that CLIENT LIST can show.
pub(super) fn clean_name(name: &[u8]) -> Result<&str, Refusal> {
    plain(name).ok_or(Refusal::fixed(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

pub(super) static SETNAME: FrontCommand = declare(
    "client|setname",
    "CLIENT SETNAME connection-name",
    "Names the connection; an empty name takes it away.",
    "2.6.9",
    OWN,
    r#"
        > CLIENT SETNAME billing
        OK
        > CLIENT GETNAME
        "billing"
    "#,
    Handler::Now(|session, args, reply| {
        session.client.words().name = clean_name(args.get(2))?.to_owned();
        reply.ok();
        Ok(())
    }),
);

pub(super) static SETINFO: FrontCommand = declare(
    "client|setinfo",
    "CLIENT SETINFO <LIB-NAME | LIB-VER> value",
    "Says which library the client uses.",
    "7.2.0",
    OWN,
    r#"
        > CLIENT SETINFO LIB-NAME mylib
        OK
    "#,
    Handler::Now(|session, args, reply| {
        let (option, value) = (args.get(2), plain(args.get(3)));
        let (is_name, is_version) =
            (option.eq_ignore_ascii_case(b"lib-name"), option.eq_ignore_ascii_case(b"lib-ver"));
        if !is_name && !is_version {
            return Err(Refusal::quoting("ERR Unrecognized option '", option, "'"));
        }
        let value = value.map(str::to_owned).ok_or(Refusal::fixed(if is_name {
            "ERR lib-name cannot contain spaces, newlines or special characters."
        } else {
            "ERR lib-ver cannot contain spaces, newlines or special characters."
        }))?;
        let mut words = session.client.words();
        if is_name {
            words.library = value
        } else {
            words.version = value
        }
        reply.ok();
        Ok(())
    }),
);

pub(super) static REPLY: FrontCommand = declare(
    "client|reply",
    "CLIENT REPLY <ON | OFF | SKIP>",
    "Whether the connection wants replies.",
    "3.2.0",
    OWN,
    "",
    Handler::Now(|session, args, reply| {
        let mode = args.get(2);
        if mode.eq_ignore_ascii_case(b"on") {
            session.set_reply_mode(ReplyMode::On);
            reply.ok();
        } else if mode.eq_ignore_ascii_case(b"off") {
            session.set_reply_mode(ReplyMode::Off);
        } else if !mode.eq_ignore_ascii_case(b"skip") {
            return Err(Refusal::Syntax);
        } else if session.reply_mode() != ReplyMode::Off {
            session.set_reply_mode(ReplyMode::SkipNext);
        }
        Ok(())
    }),
);

pub(super) static NO_EVICT: FrontCommand = declare(
    "client|no-evict",
    "CLIENT NO-EVICT <ON | OFF>",
    "Whether the connection is spared when clients take too much memory. Noted and shown; \
     connections are bounded one by one and never evicted.",
    "7.0.0",
    OTHERS,
    "",
    Handler::Now(|session, args, reply| {
        session.client.no_evict.store(switch(args.get(2))?, Ordering::Relaxed);
        reply.ok();
        Ok(())
    }),
);

pub(super) static NO_TOUCH: FrontCommand = declare(
    "client|no-touch",
    "CLIENT NO-TOUCH <ON | OFF>",
    "Whether the connection's commands leave the access times of keys alone.",
    "7.2.0",
    OWN,
    "",
    Handler::Now(|session, args, reply| {
        session.set_no_touch(switch(args.get(2))?);
        reply.ok();
        Ok(())
    }),
);

pub(super) static UNBLOCK: FrontCommand = declare(
    "client|unblock",
    "CLIENT UNBLOCK client-id [TIMEOUT | ERROR]",
    "Ends the wait of a client (WAIT, BLPOP and its kin): as if its time were up, or with an error.",
    "5.0.0",
    OTHERS,
    r#"
        > CLIENT UNBLOCK 99999
        (integer) 0
    "#,
    Handler::Now(|session, args, reply| {
        at_most(&args, 4)?;
        let reason = (args.len() == 4).then(|| args.get(3).to_ascii_lowercase());
        let how = match reason.as_deref() {
            None | Some(b"timeout") => Unblocked::ByTimeout,
            Some(b"error") => Unblocked::ByError,
            Some(_) => {
                let text = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
                return Err(Refusal::fixed(text));
            }
        };
        let id = integer(args.get(2), "ERR value is not an integer or out of range")?;
        let client = u64::try_from(id).ok().and_then(|id| session.server.clients.find(id));
        let node = session.front.node.clone();
        let is_woken = client.is_some_and(|client| client.unblock(how, &node));
        if is_woken {
            session.server.replication.wake_waits();
        }
        reply.integer(i64::from(is_woken));
        Ok(())
    }),
);

pub(super) static GETREDIR: FrontCommand = declare(
    "client|getredir",
    "CLIENT GETREDIR",
    "To whom invalidation messages go: always -1, tracking is off.",
    "6.0.0",
    OWN,
    r#"
        > CLIENT GETREDIR
        (integer) -1
    "#,
    Handler::Now(|_, _, reply| {
        reply.integer(-1);
        Ok(())
    }),
);

const HELP_LINES: &[&str] = &[
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GETREDIR",
    "    Return the client ID we are redirecting to when tracking is enabled.",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made from the specified address",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made to specified local address",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "    * ID <client-id>",
    "      Kill connections by client id.",
    "    * MAXAGE <maxage>",
    "      Kill connections older than the specified age.",
    "LIST [options ...]",
    "    Return information about client connections. Options:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Return clients of specified type.",
    "    * ID <client-id> [<client-id> ...]",
    "      Return clients with the specified ids.",
    "UNPAUSE",
    "    Stop the current client pause, resuming traffic.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Suspend all, or just write, clients for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attr. Options are:",
    "    * LIB-NAME: the client lib name.",
    "    * LIB-VER: the client lib version.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Unblock the specified blocked client.",
    "NO-EVICT (ON|OFF)",
    "    Protect current client connection from eviction.",
    "NO-TOUCH (ON|OFF)",
    "    Will not touch LRU/LFU stats when this mode is on.",
    "HELP",
    "    Prints this help.",
];

pub(super) static HELP: FrontCommand = declare(
    "client|help",
    "CLIENT HELP",
    "What CLIENT can do.",
    "5.0.0",
    Flags::LOADING.union(Flags::STALE),
    "",
    Handler::Now(|_, _, reply| {
        reply.array(HELP_LINES.len());
        HELP_LINES.iter().for_each(|line| reply.simple(line));
        Ok(())
    }),
);
