//! Following and being followed: REPLICAOF, ROLE, WAIT, and what nodes say to each other.

use super::declare::{FrontCommand, declare};
use crate::clients::{UNBLOCKED, UNBLOCKED_BY_CLIENT, Unblocked};
use crate::config::{ReplyStyle, Upstream};
use crate::connection::Handler;
use crate::connection::{Handoff, Session};
use crate::server::Counters;
use engine::command::{Args, Command, Flags, Group, Outcome, Refusal};
use engine::journal::Position;
use engine::resp::number::parse_i64;
use engine::resp::{Output, ReplyWriter};
use engine::rt;
use engine::types::Lsn;
use replication::followed::hello::{Asking, From};
use replication::handshake::{Filter, Terms};
use replication::info::{Info, LinkState, ReplicaState};
use replication::{Asker, Introduction, Request, Takeover};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(super) const COMMANDS: &[&FrontCommand] = &[
    &REPLICAOF,
    &SLAVEOF,
    &ROLE,
    &WAIT,
    &REPLCONF,
    &SYNC,
    &PSYNC,
    &DFLY,
    &DFLY_CHECK,
    &DFLY_FOLLOW,
    &DFLY_FLOW,
    &DFLY_REPLICAOFFSET,
];

/// For operators, whatever state the node is in.
const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::STALE).union(Flags::LOADING);

/// For operators and, unlike in Redis, also while a full sync loads: whoever follows the wrong master
/// must be able to say so.
const FOLLOWS: Flags = ADMIN.union(Flags::NO_ASYNC_LOADING);

static REPLICAOF: FrontCommand = FrontCommand {
    command: declare(
        "replicaof",
        "REPLICAOF host port",
        "Follows another node, or nobody (NO ONE).",
        "5.0.0",
        FOLLOWS,
        r#"
            > REPLICAOF NO ONE
            OK
        "#,
    ),
    handler: Handler::Later(|session, args, out| Box::pin(replicaof(session, args, out))),
};

static SLAVEOF: FrontCommand = FrontCommand {
    command: declare(
        "slaveof",
        "SLAVEOF host port",
        "The older name of REPLICAOF.",
        "1.0.0",
        FOLLOWS,
        r#"
            > SLAVEOF NO ONE
            OK
        "#,
    ),
    handler: Handler::Later(|session, args, out| Box::pin(replicaof(session, args, out))),
};

async fn replicaof(session: &mut Session, args: Args<'_>, out: &mut Output) -> Outcome {
    let (host, port) = (args.get(1), args.get(2));
    let front = session.front.clone();
    let server = session.server.clone();
    if host.eq_ignore_ascii_case(b"no") {
        if !port.eq_ignore_ascii_case(b"one") {
            return Err(Refusal::Syntax);
        }
        return change_role(session, Request::Promote, None, out).await;
    }
    let number = parse_i64(port).and_then(|port| u16::try_from(port).ok());
    let port = number.filter(|port| *port > 0);
    let port = port.ok_or(Refusal::fixed("ERR Invalid master port"))?;
    let host = std::str::from_utf8(host).map_err(|_| Refusal::Syntax)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let asked = Request::Already((host.clone(), port));
    if let Some(order) = server.replication.ask::<Option<u64>>(&front, asked).await {
        server.settings.put_replicaof(order, Some(Upstream { host, port }));
        ReplyWriter::new(out, session.protocol).simple("OK Already connected to specified master");
        return Ok(());
    }
    // Sentinel sends it inside MULTI, where nobody may wait for another machine.
    let at_once = session.in_exec;
    let request = Request::Follow { host: host.clone(), port, at_once };
    let upstream = Some(Upstream { host, port });
    change_role(session, request, upstream, out).await
}

/// Changes whom this node follows. It goes on when the client leaves while it waits.
async fn change_role(
    session: &mut Session,
    request: Request,
    upstream: Option<Upstream>,
    out: &mut Output,
) -> Outcome {
    let (server, front) = (session.server.clone(), session.front.clone());
    let mut change = rt::spawn_local(async move {
        let outcome: Result<u64, String> = server.replication.ask(&front, request).await;
        if let Ok(order) = outcome {
            server.settings.put_replicaof(order, upstream);
        }
        outcome
    });
    match session.unless_gone(&mut change).await {
        Some(outcome) => drop(outcome.map_err(Refusal::made)?),
        None => {
            // It goes on; how it comes out is not known yet.
            change.detach();
            session.close = true;
            return Ok(());
        }
    }
    ReplyWriter::new(out, session.protocol).ok();
    Ok(())
}

static ROLE: FrontCommand = FrontCommand {
    command: declare(
        "role",
        "ROLE",
        "Says whether this node is a master or a replica, and how its links are.",
        "2.8.12",
        Flags::NOSCRIPT
            .union(Flags::LOADING)
            .union(Flags::STALE)
            .union(Flags::FAST)
            .union(Flags::ADMIN_CATEGORY)
            .union(Flags::DANGEROUS),
        r#"
            > ROLE
            1) "master"
            2) (empty array)
        "#,
    ),
    handler: Handler::Later(|session, _, out| {
        Box::pin(async move {
            let info = session.server.replication.info(&session.front).await;
            let redis = session.config.replication_reply_style == ReplyStyle::Redis;
            let mut reply = ReplyWriter::new(out, session.protocol);
            if redis {
                role_redis(&info, &mut reply)
            } else {
                role_dragonfly(&info, &mut reply)
            }
            Ok(())
        })
    }),
};

fn role_dragonfly(info: &Info, reply: &mut ReplyWriter<'_>) {
    match &info.upstream {
        Some(upstream) => {
            reply.array(4);
            reply.bulk("replica");
            reply.bulk(&upstream.host);
            reply.bulk(upstream.port.to_string());
            reply.bulk(upstream.state.word());
        }
        None => {
            reply.array(2);
            reply.bulk("master");
            reply.array(info.replicas.len());
            for replica in &info.replicas {
                reply.array(3);
                reply.bulk(&replica.ip);
                reply.bulk(replica.port.to_string());
                reply.bulk(replica.state.word());
            }
        }
    }
}

fn role_redis(info: &Info, reply: &mut ReplyWriter<'_>) {
    match &info.upstream {
        Some(upstream) => {
            reply.array(5);
            reply.bulk("slave");
            reply.bulk(&upstream.host);
            reply.integer(i64::from(upstream.port));
            reply.bulk(match upstream.state {
                LinkState::Connecting | LinkState::Refused => "connect",
                LinkState::Handshake => "handshake",
                LinkState::FullSync => "sync",
                LinkState::StableSync => "connected",
            });
            // As Redis: -1 where there is no position.
            reply.integer(upstream.position().map_or(-1, |position| position as i64));
        }
        None => {
            reply.array(3);
            reply.bulk("master");
            reply.integer(info.stream.as_ref().map_or(info.offset, |stream| stream.offset) as i64);
            // As Redis: clients send reads to those that are listed.
            let online = || info.replicas.iter().filter(|it| it.state == ReplicaState::StableSync);
            reply.array(online().count());
            for replica in online() {
                reply.array(3);
                reply.bulk(&replica.ip);
                reply.bulk(replica.port.to_string());
                reply.bulk(replica.offset.to_string());
            }
        }
    }
}

/// It is about what this connection wrote: Redis counts it among `@connection`.
const WAIT_DECLARED: Command = declare(
    "wait",
    "WAIT numreplicas timeout",
    "Waits until so many replicas have everything that this connection wrote.",
    "3.0.0",
    Flags::BLOCKING.union(Flags::NOSCRIPT),
    r#"
            > WAIT 0 100
            (integer) 0
        "#,
);

static WAIT: FrontCommand = FrontCommand {
    command: Command { group: Group::Connection, ..WAIT_DECLARED },
    handler: Handler::Later(|session, args, out| {
        Box::pin(async move {
            if session.server.status.is_replica() {
                return Err(Refusal::fixed(
                    "ERR WAIT cannot be used with replica instances. Please also note that since \
                     Redis 4.0 if a replica is configured to be writable (which is not the default) \
                     writes to replicas are just local and are not propagated.",
                ));
            }
            let replicas = parse_i64(args.get(1)).ok_or(Refusal::NotInteger)?;
            let timeout = parse_i64(args.get(2))
                .ok_or(Refusal::fixed("ERR timeout is not an integer or out of range"))?;
            let timeout =
                u64::try_from(timeout).map_err(|_| Refusal::fixed("ERR timeout is negative"))?;
            let limit = match timeout {
                // Inside MULTI nobody waits.
                _ if session.in_exec => Some(Duration::ZERO),
                0 => None,
                timeout => Some(Duration::from_millis(timeout)),
            };
            let replicas = replicas.max(0) as usize;
            match wait_for_replicas(session, replicas, limit).await? {
                Some(count) => ReplyWriter::new(out, session.protocol).integer(count as i64),
                None => session.close = true,
            }
            Ok(())
        })
    }),
};

/// `None`: the client has left.
async fn wait_for_replicas(
    session: &mut Session,
    replicas: usize,
    limit: Option<Duration>,
) -> Result<Option<usize>, Refusal> {
    let positions = session.written().await;
    let given_up = Arc::new(AtomicBool::new(false));
    let request = Request::Wait { positions, replicas, limit, given_up: given_up.clone() };
    Counters::add(&session.server.counters.blocked, 1);
    session.client.begin_wait(given_up.clone());
    let answer = session.server.replication.ask::<Option<usize>>(&session.front, request);
    let count = session.unless_gone(answer).await;
    let unblocked = session.client.end_wait();
    Counters::take(&session.server.counters.blocked, 1);
    given_up.store(true, Ordering::Release);
    match count {
        None => Ok(None),
        Some(None) => Err(Refusal::fixed(UNBLOCKED)),
        Some(_) if unblocked == Some(Unblocked::ByError) => {
            Err(Refusal::fixed(UNBLOCKED_BY_CLIENT))
        }
        Some(count) => Ok(count),
    }
}

/// The longest name that a replica may give itself: as long as names of hosts get.
const IP_ADDRESS_MAX: usize = 255;

static REPLCONF: FrontCommand = FrontCommand {
    command: declare(
        "replconf",
        "REPLCONF [option value ...]",
        "What a replica says about itself.",
        "3.0.0",
        ADMIN.union(Flags::ALLOW_BUSY),
        "",
    ),
    handler: Handler::Now(|session, mut args, reply| {
        let mut asks_for_damselfly = false;
        while let Some(option) = args.next() {
            let value = args.required()?;
            let text = String::from_utf8_lossy(value).into_owned();
            match option.to_ascii_lowercase().as_slice() {
                b"listening-port" => {
                    session.replica.listening_port =
                        text.parse().map_err(|_| Refusal::NotInteger)?;
                }
                b"ip-address" => {
                    // It stands in lines of INFO and the log: a name or an address, nothing else.
                    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:%[]".contains(c);
                    if value.len() > IP_ADDRESS_MAX {
                        return Err(Refusal::made(format!(
                            "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                            value.len()
                        )));
                    }
                    if !text.chars().all(plain) {
                        return Err(Refusal::fixed(
                            "ERR REPLCONF ip-address must be a name or an address",
                        ));
                    }
                    // Nothing is where it connects from.
                    session.replica.ip_address = Some(text).filter(|text| !text.is_empty());
                }
                b"capa" => {
                    asks_for_damselfly |= value == b"damselfly";
                    session.replica.able.eof |= value.eq_ignore_ascii_case(b"eof");
                    session.replica.able.psync2 |= value.eq_ignore_ascii_case(b"psync2");
                }
                // What a follower says once it follows, and a master to its followers: asks for no answer.
                b"ack" | b"getack" => return Ok(()),
                b"rdb-only" => {
                    session.replica.able.rdb_only =
                        parse_i64(value).ok_or(Refusal::NotInteger)? != 0;
                }
                b"rdb-filter-only" => session.replica.able.filter = filter(value)?,
                b"version" => {
                    let major = text.split('.').next().and_then(|major| major.parse::<u32>().ok());
                    session.replica.able.valkey9 = major.is_some_and(|major| major >= 9);
                }
                b"client-id" | b"client-version" => {}
                _ => {
                    return Err(Refusal::quoting("ERR Unrecognized REPLCONF option: ", option, ""));
                }
            }
        }
        if asks_for_damselfly {
            session.replica.is_damselfly = true;
            reply.array(2);
            reply.bulk("damselfly");
            reply.integer(i64::from(replication::wire::VERSION));
        } else {
            reply.ok();
        }
        Ok(())
    }),
};

/// What alone is to be in a copy: functions are all that may be asked for.
fn filter(words: &[u8]) -> Result<Filter, Refusal> {
    let words = || words.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    match words().find(|word| !word.eq_ignore_ascii_case(b"functions")) {
        Some(word) => Err(Refusal::quoting("ERR Unsupported rdb-filter-only option: ", word, "")),
        None if words().next().is_some() => Ok(Filter::Functions),
        None => Ok(Filter::Nothing),
    }
}

/// For replicas; not while a copy is loaded, and not in MULTI, whose answers would stand in its way.
const FOLLOWED: Flags =
    Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_MULTI).union(Flags::NO_ASYNC_LOADING);

static SYNC: FrontCommand = FrontCommand {
    command: declare(
        "sync",
        "SYNC",
        "Makes this connection a replica's, as Redis did before 2.8: a copy and what follows.",
        "1.0.0",
        FOLLOWED,
        "",
    ),
    handler: Handler::Later(|session, _, _| Box::pin(followed(session, From::Sync))),
};

static PSYNC: FrontCommand = FrontCommand {
    command: declare(
        "psync",
        "PSYNC replicationid offset [FAILOVER]",
        "Makes this connection a replica's: what follows from there on, or a copy first.",
        "2.8.0",
        FOLLOWED,
        "",
    ),
    handler: Handler::Later(|session, args, _| {
        Box::pin(async move {
            if args.len() > 3 {
                return Err(Refusal::fixed("ERR PSYNC FAILOVER is not supported"));
            }
            let offset = parse_i64(args.get(2)).ok_or(Refusal::NotInteger)?;
            followed(session, From::read(args.get(1), offset)).await
        })
    }),
};

/// Hands the connection over to those who are followed. What is answered is theirs, unless it is refused.
async fn followed(session: &mut Session, from: From) -> Outcome {
    granted::<()>(session, Request::MayFollow).await?;
    let Introduction { listening_port: port, ip_address, able, .. } = session.replica.clone();
    let ip = ip_address.unwrap_or_else(|| peer_ip(session));
    let asking = Asking { from, able, ip, port };
    session.handoff = Some(Handoff(Takeover::Follower(Box::new(asking))));
    Ok(())
}

/// What replication grants, or why not.
async fn granted<T: 'static>(session: &Session, request: Request) -> Result<T, Refusal> {
    let outcome: Result<T, String> = session.server.replication.ask(&session.front, request).await;
    outcome.map_err(Refusal::made)
}

/// The address that the other end connected from.
fn peer_ip(session: &Session) -> String {
    let peer = &session.client.peer;
    peer.rsplit_once(':').map_or(peer.as_str(), |(ip, _)| ip).replace(['[', ']'], "")
}

static DFLY: FrontCommand = FrontCommand {
    command: declare(
        "dfly",
        "DFLY subcommand [argument ...]",
        "What nodes say to each other.",
        "7.2.0",
        ADMIN,
        "",
    ),
    handler: Handler::Now(|_, _, _| Err(Refusal::Syntax)),
};

static DFLY_CHECK: FrontCommand = FrontCommand {
    command: declare(
        "dfly|check",
        "DFLY CHECK version node chain [databases]",
        "Whether this node would take the asker as its replica.",
        "7.2.0",
        ADMIN,
        "",
    ),
    handler: Handler::Later(|session, args, out| {
        Box::pin(async move {
            granted::<()>(session, Request::Check(asker(args, 5)?)).await?;
            ReplyWriter::new(out, session.protocol).ok();
            Ok(())
        })
    }),
};

static DFLY_FOLLOW: FrontCommand = FrontCommand {
    command: declare(
        "dfly|follow",
        "DFLY FOLLOW version node chain position [databases]",
        "Begins a session that feeds the asker.",
        "7.2.0",
        ADMIN,
        "",
    ),
    handler: Handler::Later(|session, args, out| Box::pin(follow(session, args, out))),
};

async fn follow(session: &mut Session, args: Args<'_>, out: &mut Output) -> Outcome {
    let position = match args.get(5) {
        b"?" => None,
        text => {
            let text = std::str::from_utf8(text).map_err(|_| Refusal::Syntax)?;
            Some(text.parse::<Position>().map_err(|_| Refusal::Syntax)?)
        }
    };
    let request = Request::Agree {
        asker: asker(args, 6)?,
        position,
        introduction: session.replica.clone(),
        peer_ip: peer_ip(session),
    };
    let terms: Terms = granted(session, request).await?;
    let mut reply = ReplyWriter::new(out, session.protocol);
    let fields = terms.to_fields();
    reply.array(fields.len());
    fields.iter().for_each(|field| reply.bulk(field));
    session.handoff = Some(Handoff(Takeover::Control(terms.session)));
    Ok(())
}

static DFLY_FLOW: FrontCommand = FrontCommand {
    command: declare(
        "dfly|flow",
        "DFLY FLOW session index",
        "Makes this connection one flow of a session.",
        "7.2.0",
        ADMIN,
        "",
    ),
    handler: Handler::Now(|session, args, reply| {
        let number = |text: &[u8]| {
            parse_i64(text).and_then(|n| u64::try_from(n).ok()).ok_or(Refusal::NotInteger)
        };
        let (id, index) = (number(args.get(2))?, number(args.get(3))?);
        session.handoff = Some(Handoff(Takeover::Flow(id, index as usize)));
        reply.ok();
        Ok(())
    }),
};

static DFLY_REPLICAOFFSET: FrontCommand = FrontCommand {
    command: declare(
        "dfly|replicaoffset",
        "DFLY REPLICAOFFSET",
        "On a master, the next LSN of every shard's journal.",
        "7.2.0",
        ADMIN,
        "",
    ),
    handler: Handler::Later(|session, _, out| {
        Box::pin(async move {
            let info = session.server.replication.info(&session.front).await;
            let mut reply = ReplyWriter::new(out, session.protocol);
            reply.array(info.journals.len());
            for journal in &info.journals {
                reply.integer(next_lsn(journal.head));
            }
            Ok(())
        })
    }),
};

/// How Dragonfly's tools count: the LSN that comes next.
pub(super) fn next_lsn(Lsn(last): Lsn) -> i64 {
    last as i64 + 1
}

/// Who asks; its number of databases is argument `dbs`, if it is there.
fn asker(args: Args<'_>, dbs: usize) -> Result<Asker, Refusal> {
    let number = |text: &[u8]| parse_i64(text).ok_or(Refusal::NotInteger);
    let version = u32::try_from(number(args.get(2))?).map_err(|_| Refusal::NotInteger)?;
    let chain = String::from_utf8_lossy(args.get(4)).split(',').map(str::to_owned).collect();
    let dbs = match args.from(dbs).next() {
        Some(text) => Some(usize::try_from(number(text)?).map_err(|_| Refusal::NotInteger)?),
        None => None,
    };
    Ok(Asker { version, chain, dbs })
}
