//! CLIENT LIST and CLIENT INFO: one line per connection, with Redis's fields.
//!
//! The links of replication live on the replication executor and are not among the clients. They are
//! shown beside them: on a replica the link to the master (`flags=M`), on a master each replica's
//! control connection and flows (`flags=S`), with ids far above those of clients.

use super::common::{FrontCommand, Handler, OTHERS, OWN, declare, integer, over_all};
use crate::clients::Client;
use crate::connection::Session;
use engine::command::{Args, Outcome, Refusal};
use engine::resp::{Output, ReplyWriter};
use replication::info::{Info, Replica, Speaks, Upstream};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::atomic::Ordering;

/// Ids from here on are links of replication; below 2^53, as some clients keep ids in doubles.
const LINK_IDS: u64 = 1 << 52;

/// The id of a replica's link to its master.
pub(super) const MASTER_LINK_ID: u64 = LINK_IDS;

/// Flows of one replica that have an id of their own.
const FLOWS: u64 = 1 << 11;

/// Redis's classes of clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    Normal,
    Master,
    Replica,
    Pubsub,
}

impl Class {
    /// That of a connection.
    pub(super) fn of(client: &Client) -> Class {
        if client.is_subscriber() { Class::Pubsub } else { Class::Normal }
    }

    pub(super) fn parse(word: &[u8]) -> Result<Class, Refusal> {
        Ok(match word.to_ascii_lowercase().as_slice() {
            b"normal" => Class::Normal,
            b"master" => Class::Master,
            b"replica" | b"slave" => Class::Replica,
            b"pubsub" => Class::Pubsub,
            _ => {
                return Err(Refusal::quoting("ERR Unknown client type '", word, "'"));
            }
        })
    }
}

/// Which connections are asked for.
enum Wanted {
    All,
    Class(Class),
    Ids(BTreeSet<u64>),
}

impl Wanted {
    fn read(mut args: Args<'_>) -> Result<Wanted, Refusal> {
        args.seek(2);
        if args.left() == 0 {
            return Ok(Wanted::All);
        }
        if args.left() == 2 && args.word("type") {
            return Class::parse(args.required()?).map(Wanted::Class);
        }
        if args.left() < 2 || !args.word("id") {
            return Err(Refusal::Syntax);
        }
        let mut ids = BTreeSet::new();
        while let Some(id) = args.next() {
            let id = integer(id, "ERR Invalid client ID")?;
            ids.extend(u64::try_from(id).ok());
        }
        Ok(Wanted::Ids(ids))
    }

    fn has(&self, class: Class, id: u64) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Class(wanted) => *wanted == class,
            Wanted::Ids(ids) => ids.contains(&id),
        }
    }
}

pub(super) static LIST: FrontCommand = over_all(declare(
    "client|list",
    "CLIENT LIST [TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
    "All connections, one line each.",
    "2.4.0",
    OTHERS,
    "",
    Handler::Later(|session, args, out| Box::pin(list(session, args, out))),
));

async fn list(session: &mut Session, args: Args<'_>, out: &mut Output) -> Outcome {
    let wanted = Wanted::read(args)?;
    let info = session.server.replication.info(&session.front).await;
    let mut text = String::new();
    let names = command_names(session);
    for client in session.server.clients.all() {
        if wanted.has(Class::of(&client), client.id) {
            write_client(&mut text, &names, &client);
        }
    }
    links(&info, |class, id, line| {
        if wanted.has(class, id) {
            text.push_str(line);
        }
    });
    ReplyWriter::new(out, session.protocol).verbatim(*b"txt", text);
    Ok(())
}

pub(super) static INFO: FrontCommand = declare(
    "client|info",
    "CLIENT INFO",
    "This connection's line of CLIENT LIST.",
    "6.2.0",
    OWN,
    "",
    Handler::Now(|session, _, reply| {
        let mut text = String::new();
        write_client(&mut text, &command_names(session), &session.client);
        reply.verbatim(*b"txt", text);
        Ok(())
    }),
);

/// The names of all commands, by id.
fn command_names(session: &Session) -> Vec<&'static str> {
    let mut names = vec![""; session.server.registry.len()];
    for entry in session.server.registry.iter_all() {
        names[usize::from(entry.id)] = entry.name();
    }
    names
}

fn write_client(text: &mut String, names: &[&'static str], client: &Client) {
    let age = client.since.elapsed();
    let idle = age.as_millis() as u64
        - client.last_request_ms.load(Ordering::Relaxed).min(age.as_millis() as u64);
    let queued = client.queued.load(Ordering::Relaxed);
    let queued_bytes = client.queued_bytes.load(Ordering::Relaxed);
    let (input, output) =
        (client.input_bytes.load(Ordering::Relaxed), client.output_bytes.load(Ordering::Relaxed));
    let command = client.last_command.load(Ordering::Relaxed);
    let command = names.get(command as usize).copied().unwrap_or("NULL");
    let (pushed, messages) = client.inbox().map_or((0, 0), |inbox| inbox.waiting());
    let pieces = client.output_pieces.load(Ordering::Relaxed) + messages as u64;
    let buffers = input + client.output_memory() + queued_bytes + pushed;
    let memory = (size_of::<Client>() + size_of::<Session>()) as u64 + buffers;
    let words = client.words().clone();
    let fields = Fields {
        id: client.id,
        peer: &client.peer,
        local: &client.local,
        fd: client.fd,
        name: &words.name,
        age: age.as_secs(),
        idle: idle / 1000,
        flags: &flags_of(client),
        db: client.db.load(Ordering::Relaxed),
        channels: client.channels.load(Ordering::Relaxed),
        patterns: client.patterns.load(Ordering::Relaxed),
        shard_channels: client.shard_channels.load(Ordering::Relaxed),
        pieces,
        queued: if queued == u32::MAX { -1 } else { i64::from(queued) },
        watched: client.watched.load(Ordering::Relaxed),
        input,
        queued_bytes,
        output: output + pushed,
        memory,
        command,
        user: &words.user,
        protocol: client.protocol.load(Ordering::Relaxed),
        library: &words.library,
        version: &words.version,
    };
    fields.write(text);
}

fn flags_of(client: &Client) -> String {
    let mut flags = String::new();
    for (on, letter) in [
        (client.is_subscriber(), 'P'),
        (client.queued.load(Ordering::Relaxed) != u32::MAX, 'x'),
        (client.waits(), 'b'),
        (client.killed.load(Ordering::Relaxed), 'A'),
        (client.peer.starts_with("unix:"), 'U'),
        (client.no_evict.load(Ordering::Relaxed), 'e'),
        (client.no_touch.load(Ordering::Relaxed), 'T'),
    ] {
        if on {
            flags.push(letter);
        }
    }
    if flags.is_empty() { "N".to_owned() } else { flags }
}

/// One line.
#[derive(Default)]
struct Fields<'a> {
    id: u64,
    peer: &'a str,
    local: &'a str,
    fd: i32,
    name: &'a str,
    age: u64,
    idle: u64,
    flags: &'a str,
    db: u16,
    channels: u32,
    patterns: u32,
    shard_channels: u32,
    /// Buffers, values and messages in which output waits.
    pieces: u64,
    queued: i64,
    watched: u32,
    input: u64,
    queued_bytes: u64,
    /// What the limits of waiting output are compared with.
    output: u64,
    memory: u64,
    command: &'a str,
    user: &'a str,
    protocol: u8,
    library: &'a str,
    version: &'a str,
}

impl Fields<'_> {
    fn write(&self, text: &mut String) {
        // A Redis first fills a buffer of fixed size (`rbs`, `rbp`, `obl`). There is none here: all that waits stands
        // in the list (`oll`, `omem`), and its limits count all of it.
        let _ = writeln!(
            text,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} \
             ssub={} multi={} watch={} qbuf={} qbuf-free=0 argv-mem=0 multi-mem={} rbs=0 rbp=0 \
             obl=0 oll={} omem={} tot-mem={} events=r cmd={} user={} redir=-1 resp={} lib-name={} \
             lib-ver={}",
            self.id,
            self.peer,
            self.local,
            self.fd,
            self.name,
            self.age,
            self.idle,
            self.flags,
            self.db,
            self.channels,
            self.patterns,
            self.shard_channels,
            self.queued,
            self.watched,
            self.input,
            self.queued_bytes,
            self.pieces,
            self.output,
            self.memory,
            self.command,
            self.user,
            self.protocol,
            self.library,
            self.version,
        );
    }
}

/// Shows every link of replication: class, id, line.
/// Connections of a replica besides the first: one for each journal. A Redis has none.
fn flows(replica: &Replica) -> u64 {
    match replica.speaks {
        Speaks::Journals => (replica.lags.len() as u64).min(FLOWS - 1),
        _ => 0,
    }
}

fn links(info: &Info, mut show: impl FnMut(Class, u64, &str)) {
    if let Some(upstream) = &info.upstream {
        let line = Fields {
            id: MASTER_LINK_ID,
            peer: &master_address(upstream),
            idle: upstream.last_io_ms / 1000,
            flags: "M",
            ..link()
        };
        let mut text = String::new();
        line.write(&mut text);
        show(Class::Master, MASTER_LINK_ID, &text);
    }
    for replica in &info.replicas {
        let base = replica_base(replica);
        for flow in 0..=flows(replica) {
            let name = match flow {
                0 => format!("repl_ctrl_{base}"),
                flow => format!("repl_flow_{}", base + flow),
            };
            let line = Fields {
                id: base + flow,
                peer: &replica_address(replica),
                name: &name,
                idle: replica.last_ack_ms / 1000,
                flags: "S",
                ..link()
            };
            let mut text = String::new();
            line.write(&mut text);
            show(Class::Replica, base + flow, &text);
        }
    }
}

/// What all links have in common: no request queue, no user of ours.
fn link() -> Fields<'static> {
    Fields {
        fd: -1,
        queued: -1,
        command: "replconf",
        user: "(superuser)",
        protocol: 2,
        ..Fields::default()
    }
}

/// Ids of a replica's links, as long as its session lasts: forty bits of the session and eleven of the flow;
/// the lowest block is the master link's.
fn replica_base(replica: &Replica) -> u64 {
    let sessions = (1 << 40) - 1;
    LINK_IDS + (replica.session % sessions + 1) * FLOWS
}

/// Whether an id is that of a link of replication.
pub(super) fn is_link_id(id: u64) -> bool {
    id >= LINK_IDS
}

/// Whether an id is that of one of a replica's links.
pub(super) fn is_link_of(replica: &Replica, id: u64) -> bool {
    let base = replica_base(replica);
    (base..=base + flows(replica)).contains(&id)
}

/// The address of a replica, as CLIENT LIST shows it.
pub(super) fn replica_address(replica: &Replica) -> String {
    address(&replica.ip, replica.port)
}

/// The address of the link to the master, as CLIENT LIST shows it.
pub(super) fn master_address(upstream: &Upstream) -> String {
    address(&upstream.host, upstream.port)
}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
