//! Conversations of a link, valid and mutated, for both of its sides: what a master reads from a replica
//! that connects, and what a replica reads from its master.
//!
//! ```text
//!   requests   AUTH, REPLCONF, DFLY ...           replica -> master   RESP, then positions and chains
//!   answers    OK, who the master is, terms       master -> replica   RESP, then `Terms`
//!   flows      Start, Log, Items, Passed, ...     master -> replica   `wire`, then `Gather`
//!   signs      Ack, Alive, Progress, Ping, End    both ways           `wire`
//! ```
//!
//! What is valid comes out as it went in, however its bytes are cut. Whatever the bytes are, nobody
//! panics, what is held stays bounded, and the end is the same at every cut: progress or an error.
//!
//! Every run draws a fresh seed and prints it; `SEED=n cargo test --profile tests -p replication --test
//! handshake_fuzz` repeats one round, `SEEDS=n` runs so many.

use engine::journal::{
    Change, Deadline, Decoder, Effect, FrameBuilder, FrameEntry, Global, HistoryId, ItemInPieces,
    Lineage, Payload, Position, Record, ShardSet, Transaction,
};
use engine::resp::client::{Reply, ReplyReader};
use engine::resp::{Limits, Parsed, Parser, Protocol, ReplyWriter, encode_command};
use engine::types::{DbIndex, Lsn, Millis, ShardId, TxId, shard_of};
use fastrand::Rng;
use replication::handshake::{self, Terms, Words};
use replication::relay::Relay;
use replication::replica::gather::{Dispatch, FLOW_CREDIT, Gather};
use replication::wire::{self, Kind, News, Said};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Plays rounds, each from a seed of its own.
#[allow(clippy::print_stdout, reason = "seeds are printed")]
fn rounds(name: &str, count: u64, round: impl Fn(&mut Rng)) {
    let (first, count) = match number("SEED") {
        Some(seed) => (seed, 1),
        None => (fastrand::u64(..u64::MAX / 2), number("SEEDS").unwrap_or(count)),
    };
    println!("{name}: SEED={first}, {count} rounds");
    for seed in first..first + count {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| round(&mut Rng::with_seed(seed)))) {
            println!("{name}: failed in the round of SEED={seed}");
            resume_unwind(panic);
        }
    }
}

/// How long the pieces are in which bytes arrive.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Bytes,
    UpTo(usize),
}

impl Cut {
    fn piece(self, random: &mut Rng) -> usize {
        match self {
            Cut::Whole => usize::MAX / 2,
            Cut::Bytes => 1,
            Cut::UpTo(most) => random.usize(1..=most),
        }
    }

    fn any(random: &mut Rng) -> Cut {
        match random.u8(..4) {
            0 => Cut::Bytes,
            1 => Cut::UpTo(7),
            2 => Cut::UpTo(60),
            _ => Cut::UpTo(1000),
        }
    }
}

fn mutate(random: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bytes.len());
        match random.u8(..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.insert(at, random.u8(..)),
            4 => {
                // A stretch is said once more, elsewhere.
                let from = random.usize(..=bytes.len());
                let to = random.usize(from..=bytes.len()).min(from + 40);
                let stretch = bytes[from..to].to_vec();
                bytes.splice(at..at, stretch);
            }
            5 => {
                let to = random.usize(at..=bytes.len()).min(at + 40);
                bytes.drain(at..to);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
}

/// A text that somebody may have configured, or that breaks a line protocol.
fn text(random: &mut Rng) -> String {
    let words =
        ["", "a", "replica-1", "10.0.0.7", "::1", "pass word", "$3\r\n", "\r\n", "?", "-", ","];
    match random.usize(..words.len() + 2) {
        0 => (0..random.usize(..40)).map(|_| random.char(..)).collect(),
        1 => random.u64(..).to_string(),
        place => words[place - 2].to_owned(),
    }
}

fn history(random: &mut Rng) -> HistoryId {
    let mut id = [0; 20];
    random.fill(&mut id);
    HistoryId(id)
}

fn lsns(random: &mut Rng, count: usize) -> Vec<Lsn> {
    let lsn = |_| match random.u8(..8) {
        0 => Lsn(0),
        1 => Lsn(random.u64(..=wire::LSN_MAX)),
        _ => Lsn(random.u64(..5000)),
    };
    (0..count).map(lsn).collect()
}

fn shard_count(random: &mut Rng) -> usize {
    if random.u8(..50) == 0 { 1024 } else { random.usize(1..6) }
}

/// A chain of node ids, as nodes make them.
fn chain(random: &mut Rng) -> Vec<String> {
    (0..random.usize(1..5)).map(|_| history(random).to_string()).collect()
}

// ---- requests: what a master reads ----

/// Requests as words, how many bytes they took, and whether the parser gave up.
type Requests = (Vec<Words>, usize, bool);

fn parse(bytes: &[u8], cut: Cut, random: &mut Rng) -> Requests {
    let (bulk_bytes, request_bytes) = (100_000, 200_000);
    let limits = Limits { bulk_bytes, arguments: 50, request_bytes, ..Limits::STANDARD };
    let (mut parser, mut found, mut start, mut arrived) = (Parser::new(), Vec::new(), 0, 0);
    loop {
        let buffer = &bytes[start..arrived];
        match parser.next(buffer, &limits) {
            Err(_) => return (found, start, true),
            Ok(Parsed::Incomplete { .. }) if arrived == bytes.len() => {
                return (found, start, false);
            }
            Ok(Parsed::Incomplete { .. }) => {
                arrived = (arrived + cut.piece(random)).min(bytes.len());
            }
            Ok(Parsed::Request { consumed }) => {
                found.push(parser.args(buffer).iter().map(<[u8]>::to_vec).collect());
                start += consumed;
            }
            Ok(Parsed::Empty { consumed }) => start += consumed,
            Ok(Parsed::Long { .. }) => unreachable!("nothing is long here"),
        }
    }
}

/// What a replica asks in a session's beginning.
fn requests(random: &mut Rng) -> Vec<Words> {
    let mut requests: Vec<Words> =
        handshake::auth(&text(random), &text(random)).into_iter().collect();
    requests.push(vec![b"PING".to_vec()]);
    requests.push(handshake::introduction(random.u16(..), &text(random)));
    requests.push(handshake::capabilities());
    let chain = chain(random);
    requests.push(handshake::ask_check(&chain, random.usize(..100)));
    let shards = shard_count(random);
    let position = Position { history: history(random), lsns: lsns(random, shards) };
    requests.push(handshake::ask_follow(&chain, random.bool().then_some(&position), 16));
    requests.push(handshake::ask_flow(random.u64(..), random.usize(..1024)));
    requests
}

/// What a master makes of the words of DFLY CHECK and DFLY FOLLOW: it may refuse, and must not panic.
fn understand(words: &Words) -> Option<(Vec<String>, Option<Position>)> {
    let [_, _, version, _, chain, rest @ ..] = words.as_slice() else { return None };
    let version = std::str::from_utf8(version).ok()?.parse().ok()?;
    let chain: Vec<String> = String::from_utf8_lossy(chain).split(',').map(str::to_owned).collect();
    let is_well = handshake::check(version, &chain, &["somebody else".to_owned()]).is_ok();
    assert_eq!(is_well, version == wire::VERSION && chain[0] != "somebody else");
    let position = match rest {
        [text, _dbs] if text != b"?" => {
            let position: Position = std::str::from_utf8(text).ok()?.parse().ok()?;
            assert!((1..=1024).contains(&position.lsns.len()));
            assert_eq!(position.to_string().parse(), Ok(position.clone()));
            // Of whatever history and length: it is judged, not believed.
            let lineage = Lineage::unrelated(position.history, 2);
            let _ = lineage.judge(&position, &[]);
            Some(position)
        }
        _ => None,
    };
    Some((chain, position))
}

#[test]
fn a_master_reads_what_a_replica_asks() {
    rounds("requests", 800, |random| {
        let said = requests(random);
        let mut bytes = Vec::new();
        for words in &said {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            encode_command(&mut bytes, &words);
        }
        for cut in [Cut::Whole, Cut::Bytes, Cut::any(random)] {
            assert_eq!(parse(&bytes, cut, random), (said.clone(), bytes.len(), false), "{cut:?}");
        }
        for words in said.iter().filter(|words| words.len() > 4 && words[0] == b"DFLY") {
            let (chain, position) = understand(words).expect("a replica asks what is understood");
            let position = position.map_or_else(|| "?".to_owned(), |position| position.to_string());
            assert_eq!(chain.join(",").into_bytes(), words[4]);
            if words[1] == b"FOLLOW" {
                assert_eq!(words[5], position.into_bytes());
            }
        }
        mutate(random, &mut bytes);
        let whole = parse(&bytes, Cut::Whole, random);
        for words in &whole.0 {
            understand(words);
        }
        for cut in [Cut::Bytes, Cut::any(random)] {
            assert_eq!(parse(&bytes, cut, random), whole, "{cut:?}: {}", bytes.escape_ascii());
        }
    });
}

// ---- answers: what a replica reads before data flows ----

fn terms(random: &mut Rng) -> Terms {
    let shards = shard_count(random);
    let current = history(random);
    let mut lineage = Lineage::unrelated(current, shards as u16);
    let (mut to, mut of) = (None, (current, shards));
    for _ in 0..random.usize(..4) {
        let at = lsns(random, usize::from(lineage.shards()));
        to = (of == (lineage.current(), at.len())).then(|| at.clone());
        let (next, shards) = (history(random), shard_count(random));
        lineage = lineage.branch_off(next, shards as u16, at);
        if random.bool() {
            (of, to) = ((next, shards), None);
        }
    }
    let full = random.bool();
    let to = to.filter(|_| !full);
    let from = match &to {
        Some(to) => to.iter().map(|lsn| Lsn(random.u64(..=lsn.0))).collect(),
        None => lsns(random, of.1),
    };
    Terms {
        full,
        reason: ["continues", "trimmed: shard 0", "", "unknown history"][random.usize(..4)].into(),
        session: random.u64(..),
        chain: chain(random),
        lineage,
        history: of.0,
        from,
        to,
        seed: random.u64(..),
        walks: random.usize(1..=1024),
        dbs: random.usize(1..=16),
        keys: random.u64(..),
    }
}

fn put_fields(out: &mut Vec<u8>, fields: &[String]) {
    let mut reply = ReplyWriter::new(out, Protocol::Resp2);
    reply.array(fields.len());
    fields.iter().for_each(|field| reply.bulk(field));
}

/// Replies, how many bytes they took, and whether the reader gave up.
type Replies = (Vec<Reply>, usize, bool);

fn read(bytes: &[u8], cut: Cut, random: &mut Rng) -> Replies {
    let (mut found, mut start, mut arrived) = (Vec::new(), 0, 0);
    let mut reader = ReplyReader::new(handshake::REPLY_LIMITS);
    loop {
        match reader.next(&bytes[start..arrived]) {
            Err(_) => return (found, start, true),
            Ok(Some((reply, length))) => {
                found.push(reply);
                start += length;
                // As a link does: one for each question.
                reader = ReplyReader::new(handshake::REPLY_LIMITS);
            }
            Ok(None) if arrived == bytes.len() => return (found, start, false),
            Ok(None) => arrived = (arrived + cut.piece(random)).min(bytes.len()),
        }
    }
}

/// What a replica adopts must hold together: it relies on it later, where nothing can be refused any
/// more.
fn check_adopted(terms: &Terms) {
    assert!((1..=1024).contains(&terms.from.len()) && (1..=1024).contains(&terms.walks));
    let fields = terms.to_fields().into_iter().map(|field| Reply::Bulk(field.into_bytes()));
    assert_eq!(Terms::from_reply(&Reply::Array(fields.collect())).as_ref(), Ok(terms));
    // Its journals are numbered from there on, and a promotion branches off.
    let ends = terms.from.iter().map(|lsn| Lsn(lsn.0 + (1 << 32))).collect::<Vec<_>>();
    let _: u64 = ends.iter().map(|lsn| lsn.0).sum();
    if terms.lineage.current() == terms.history {
        let _ = terms.lineage.clone().branch_off(HistoryId([0xfe; 20]), 3, ends.clone());
    }
    assert!(
        terms.to.is_none() || !terms.is_over(&terms.from) || terms.to.as_ref() == Some(&terms.from)
    );
}

#[test]
fn a_replica_reads_what_a_master_answers() {
    rounds("answers", 800, |random| {
        let terms = terms(random);
        let mut bytes = b"+OK\r\n+PONG\r\n+OK\r\n*2\r\n$9\r\ndamselfly\r\n:1\r\n+OK\r\n".to_vec();
        let mut fields = terms.to_fields();
        put_fields(&mut bytes, &fields);
        let whole = read(&bytes, Cut::Whole, random);
        assert!(whole.0.len() == 6 && whole.1 == bytes.len() && !whole.2);
        assert_eq!(Terms::from_reply(&whole.0[5]).as_ref(), Ok(&terms));
        check_adopted(&terms);
        for cut in [Cut::Bytes, Cut::any(random)] {
            assert_eq!(read(&bytes, cut, random), whole, "{cut:?}");
        }
        // A field is another one.
        let (here, there) = (random.usize(..fields.len()), random.usize(..fields.len()));
        fields[here] = match random.u8(..5) {
            0 => fields[there].clone(),
            1 => text(random),
            2 => handshake::lsns_to_text(&lsns(random, 3)),
            3 => ["18446744073709551615", "+1", "007", "FULL", "0"][random.usize(..5)].to_owned(),
            _ => self::terms(random).to_fields().swap_remove(here),
        };
        let mut other = Vec::new();
        put_fields(&mut other, &fields);
        let replies = read(&other, Cut::any(random), random);
        if let Ok(terms) = Terms::from_reply(&replies.0[0]) {
            check_adopted(&terms);
        }
        // Bytes are others.
        mutate(random, &mut bytes);
        let whole = read(&bytes, Cut::Whole, random);
        for terms in whole.0.iter().filter_map(|reply| Terms::from_reply(reply).ok()) {
            check_adopted(&terms);
        }
        for cut in [Cut::Bytes, Cut::any(random)] {
            assert_eq!(read(&bytes, cut, random), whole, "{cut:?}: {}", bytes.escape_ascii());
        }
    });
}

#[test]
fn an_answer_that_never_ends_is_given_up() {
    let endless: [&[u8]; 3] = [b"+", b"$1048570\r\n", b"*300000\r\n"];
    for begin in endless {
        let mut reader = ReplyReader::new(handshake::REPLY_LIMITS);
        let mut buffer = begin.to_vec();
        while let Ok(None) = reader.next(&buffer) {
            assert!(buffer.len() <= 2 * handshake::REPLY_LIMITS.bytes, "more and more is kept");
            buffer.resize(buffer.len() + 16 * 1024, b'x');
        }
    }
}

// ---- flows: what a replica reads while data flows ----

const DBS: usize = 3;

/// One thing that a master says on a flow.
enum Saying {
    Log(Vec<u8>),
    Items(Vec<u8>),
    Message(Vec<u8>),
}

/// What a master says on all flows, and what must come of it.
struct Talk {
    /// How many shards the replica has.
    shards: u16,
    walks: usize,
    starts: Vec<Lsn>,
    flows: Vec<Vec<Saying>>,
    /// By database and key: what happens to it, in order.
    entries: BTreeMap<(u16, Vec<u8>), Vec<String>>,
    ends: Vec<Lsn>,
    next_tx: u64,
}

impl Talk {
    fn any(random: &mut Rng) -> Talk {
        let flows = random.usize(1..=4);
        let starts: Vec<Lsn> = lsns(random, flows);
        let mut talk = Talk {
            shards: random.u16(1..=4),
            walks: if random.bool() { random.usize(1..=3) } else { 0 },
            ends: starts.clone(),
            starts,
            flows: (0..flows).map(|_| Vec::new()).collect(),
            entries: BTreeMap::new(),
            next_tx: 1,
        };
        let mut syncing: Vec<usize> = (0..if talk.walks > 0 { flows } else { 0 }).collect();
        for _ in 0..random.usize(..30) {
            talk.say(random, &mut syncing);
        }
        for flow in syncing {
            talk.message(flow, Kind::CutDone, &[]);
        }
        talk
    }

    fn say(&mut self, random: &mut Rng, syncing: &mut Vec<usize>) {
        let flow = random.usize(..self.flows.len());
        let is_syncing = syncing.contains(&flow);
        match random.u8(..10) {
            0..=3 => {
                let count = random.usize(1..4);
                let frame = self.frame(random, flow, count, true);
                self.ends[flow].0 += count as u64;
                self.flows[flow].push(Saying::Log(frame.to_wire(None)));
            }
            4 | 5 => self.transaction(random),
            6 if is_syncing => {
                let count = random.usize(1..6);
                let frame = self.frame(random, flow, count, false);
                self.flows[flow].push(Saying::Items(frame.to_wire(None)));
            }
            9 if is_syncing => self.large_item(random, flow),
            7 if is_syncing => {
                let mut numbers = vec![random.u64(..self.walks as u64)];
                numbers.extend((0..DBS).map(|_| random.u64(..)));
                self.message(flow, Kind::Passed, &numbers);
            }
            8 if is_syncing && random.bool() => {
                syncing.retain(|other| *other != flow);
                self.message(flow, Kind::CutDone, &[]);
            }
            _ => self.message(flow, Kind::Ping, &[random.u64(..=wire::LSN_MAX), random.u64(..)]),
        }
    }

    /// An item in pieces, with whatever comes between them; its key is one that nothing else happens to.
    fn large_item(&mut self, random: &mut Rng, flow: usize) {
        let number = random.u64(..);
        let flows = self.flows.len() as u16;
        let mut keys = (0u32..).map(|index| format!("large:{number}:{index}").into_bytes());
        let key = keys.find(|key| shard_of(key, flows).index() == flow).expect("some key fits");
        let db = DbIndex(random.u16(..DBS as u16));
        let value = vec![b'v'; random.usize(..3000)];
        let payload = Payload::Bytes(&value);
        let mut item = ItemInPieces::new(db, &key, &payload, Deadline::None);
        let mut told = Vec::new();
        let mut records = item.begin();
        loop {
            told.extend_from_slice(&records);
            self.flows[flow].push(Saying::Items(records));
            if random.bool() {
                let between = self.frame(random, flow, 1, true);
                self.ends[flow].0 += 1;
                self.flows[flow].push(Saying::Log(between.to_wire(None)));
            }
            if item.is_over() {
                break;
            }
            records = item.next(random.usize(1..2000));
        }
        let mut entries = Vec::new();
        note_entries(&told, &mut entries);
        let effects = entries.into_iter().map(|(_, _, effect)| effect).collect();
        self.entries.insert((db.0, key), effects);
    }

    fn message(&mut self, flow: usize, kind: Kind, numbers: &[u64]) {
        let mut message = Vec::new();
        wire::put_numbers(&mut message, kind, numbers);
        self.flows[flow].push(Saying::Message(message));
    }

    /// A frame of records on one flow's keys; of the journal, or of items.
    fn frame(&mut self, random: &mut Rng, flow: usize, count: usize, is_log: bool) -> FrameBuilder {
        let mut frame = FrameBuilder::new();
        for _ in 0..count {
            let key = loop {
                let key = format!("key:{}", random.u32(..60)).into_bytes();
                if shard_of(&key, self.flows.len() as u16).index() == flow {
                    break key;
                }
            };
            let most = if random.u8(..20) == 0 { 2000 } else { 20 };
            let value = vec![b'v'; random.usize(..most)];
            let payload = Payload::Bytes(&value);
            let effect = match random.u8(..if is_log { 5 } else { 2 }) {
                0 => Effect::Put { value: payload, deadline: Deadline::None },
                1 => Effect::Put { value: payload, deadline: Deadline::At(Millis(random.u64(..))) },
                2 => Effect::Remove,
                3 => Effect::Change(Change::new(0, &value)),
                _ => Effect::SetDeadline(None),
            };
            let db = DbIndex(random.u16(..DBS as u16));
            let record = Record { db, key: &key, effect };
            frame.push(&record);
            self.entries
                .entry((db.0, key.clone()))
                .or_default()
                .push(format!("{:?}", record.effect));
        }
        frame
    }

    /// One transaction on several flows; sometimes one of whole databases, on all of them.
    fn transaction(&mut self, random: &mut Rng) {
        let flows = self.flows.len();
        let global = (random.u8(..4) == 0).then(|| match random.u8(..3) {
            0 => Global::FlushAll,
            1 => Global::FlushDb(DbIndex(random.u16(..DBS as u16))),
            _ => Global::SwapDb(DbIndex(random.u16(..DBS as u16)), DbIndex(0)),
        });
        let mut members: Vec<usize> =
            (0..flows).filter(|_| global.is_some() || random.bool()).collect();
        if members.is_empty() {
            members.push(random.usize(..flows));
        }
        let set = ShardSet::of(members.iter().map(|flow| ShardId(*flow as u16)));
        let id = TxId(self.next_tx);
        self.next_tx += random.u64(1..3);
        for flow in members {
            let count = random.usize(..3);
            let mut frame = self.frame(random, flow, count, true);
            global.iter().for_each(|global| frame.push_entry(&FrameEntry::Global(*global)));
            self.ends[flow].0 += frame.entry_count().max(1);
            let transaction = Transaction { id, shards: set.shards() };
            self.flows[flow].push(Saying::Log(frame.to_wire(Some(transaction))));
        }
    }

    /// The bytes of one flow: frames that follow each other are put into messages at any cuts.
    fn bytes(&self, flow: usize, random: &mut Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        wire::put_numbers(&mut bytes, Kind::Start, &[self.starts[flow].0]);
        let (mut open, mut open_kind) = (Vec::new(), Kind::Log);
        let mut close = |open: &mut Vec<u8>, kind: Kind, bytes: &mut Vec<u8>| {
            let mut at = 0;
            while at < open.len() {
                let most = [3, 30, 3000][random.usize(..3)];
                let end = (at + random.usize(0..=most)).min(open.len());
                wire::put_bytes(bytes, kind, &open[at..end]);
                at = end;
            }
            open.clear();
        };
        for saying in &self.flows[flow] {
            let (kind, frame) = match saying {
                Saying::Log(frame) => (Kind::Log, frame),
                Saying::Items(frame) => (Kind::Items, frame),
                Saying::Message(message) => {
                    close(&mut open, open_kind, &mut bytes);
                    bytes.extend_from_slice(message);
                    continue;
                }
            };
            if kind != open_kind {
                close(&mut open, open_kind, &mut bytes);
                open_kind = kind;
            }
            open.extend_from_slice(frame);
        }
        close(&mut open, open_kind, &mut bytes);
        bytes
    }
}

/// A replica's side of some flows.
struct Replica {
    gather: Option<Gather>,
    relay: Relay,
    starts: Vec<Option<Lsn>>,
    shards: u16,
    walks: usize,
    /// What had been read of each flow and not used.
    buffers: Vec<Vec<u8>>,
    /// What was handed out, in order.
    handed: Vec<(u16, Vec<u8>, String)>,
    completed: u64,
}

impl Replica {
    fn new(flows: usize, shards: u16, walks: usize) -> Replica {
        Replica {
            gather: None,
            relay: Relay::starting_at(&[]),
            starts: vec![None; flows],
            shards,
            walks,
            buffers: vec![Vec::new(); flows],
            handed: Vec::new(),
            completed: 0,
        }
    }

    fn wants_more(&self, flow: usize) -> bool {
        match &self.gather {
            Some(gather) => gather.wants_more(flow as u16),
            None => self.starts[flow].is_none(),
        }
    }

    /// A piece arrives; everything that may be applied is.
    fn arrives(&mut self, flow: usize, piece: &[u8]) -> Result<(), String> {
        self.buffers[flow].extend_from_slice(piece);
        if self.gather.is_none() {
            self.starts[flow] = wire::take_start(&mut self.buffers[flow])?;
            let Some(starts) = self.starts.iter().copied().collect::<Option<Vec<Lsn>>>() else {
                return Ok(());
            };
            self.relay = Relay::starting_at(&starts);
            self.gather = Some(Gather::new(&starts, self.shards, 1, self.walks, DBS));
            return (0..self.buffers.len()).try_for_each(|flow| self.take(flow));
        }
        self.take(flow)
    }

    fn take(&mut self, flow: usize) -> Result<(), String> {
        let Some(gather) = &mut self.gather else { return Ok(()) };
        let whole = gather.receive(flow as u16, &mut self.buffers[flow]);
        assert!(self.buffers[flow].len() <= wire::HEADER + wire::PAYLOAD_MAX || whole.is_err());
        whole?;
        while let Some(dispatch) = gather.next()? {
            let (unit, parts) = match dispatch {
                Dispatch::Batch(batch) => {
                    (batch.unit, BTreeMap::from([(batch.shard, batch.frames)]))
                }
                Dispatch::AsOne(as_one) => (as_one.unit, as_one.parts),
            };
            for frames in parts.values() {
                note_entries(frames, &mut self.handed);
            }
            for _ in parts {
                gather.completed(unit, &mut self.relay, Millis(1));
                self.completed += 1;
            }
        }
        let (buffered, in_flight) = gather.held();
        assert!(buffered <= FLOW_CREDIT + 2 * wire::PAYLOAD_MAX && in_flight == 0);
        Ok(())
    }

    fn by_key(&self) -> BTreeMap<(u16, Vec<u8>), Vec<String>> {
        let mut by_key: BTreeMap<(u16, Vec<u8>), Vec<String>> = BTreeMap::new();
        for (db, key, effect) in &self.handed {
            by_key.entry((*db, key.clone())).or_default().push(effect.clone());
        }
        by_key
    }
}

fn note_entries(frames: &[u8], handed: &mut Vec<(u16, Vec<u8>, String)>) {
    let (mut rest, mut decoder) = (frames, Decoder::new());
    while let Some((frame, used)) = decoder.next(rest).expect("what is handed out is frames") {
        for entry in frame.entries() {
            if let FrameEntry::Record(record) = entry {
                handed.push((record.db.0, record.key.to_vec(), format!("{:?}", record.effect)));
            }
        }
        rest = &rest[used..];
    }
    assert!(rest.is_empty(), "what is handed out is whole");
}

/// Lets the bytes of all flows arrive, in turns and pieces as the dice fall.
fn play(
    replica: &mut Replica,
    flows: &[Vec<u8>],
    cut: Cut,
    random: &mut Rng,
) -> Result<(), String> {
    let mut arrived = vec![0; flows.len()];
    loop {
        let open: Vec<usize> = (0..flows.len())
            .filter(|flow| arrived[*flow] < flows[*flow].len() && replica.wants_more(*flow))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let flow = open[random.usize(..open.len())];
        let from = arrived[flow];
        arrived[flow] = (from + cut.piece(random)).min(flows[flow].len());
        replica.arrives(flow, &flows[flow][from..arrived[flow]])?;
    }
}

#[test]
fn a_replica_takes_what_a_master_sends_however_it_is_cut() {
    rounds("flows", 1_000, |random| {
        let talk = Talk::any(random);
        let cut = Cut::any(random);
        let flows: Vec<Vec<u8>> =
            (0..talk.flows.len()).map(|flow| talk.bytes(flow, random)).collect();
        let mut replica = Replica::new(flows.len(), talk.shards, talk.walks);
        play(&mut replica, &flows, cut, random).expect("a valid conversation is taken");
        let gather = replica.gather.as_ref().expect("all flows have begun");
        assert_eq!(gather.applied(), talk.ends, "{cut:?}");
        assert_eq!(replica.relay.positions(), talk.ends, "{cut:?}");
        assert!(gather.is_complete() && replica.buffers.iter().all(Vec::is_empty));
        assert_eq!(replica.by_key(), talk.entries, "{cut:?}");
    });
}

#[test]
fn a_replica_ends_the_same_at_every_cut_whatever_a_master_sends() {
    rounds("broken flows", 1_500, |random| {
        let talk = Talk::any(random);
        let mut flows: Vec<Vec<u8>> =
            (0..talk.flows.len()).map(|flow| talk.bytes(flow, random)).collect();
        let broken = random.usize(..flows.len());
        mutate(random, &mut flows[broken]);
        let mut ends = Vec::new();
        for cut in [Cut::Whole, Cut::Bytes, Cut::any(random)] {
            let mut replica = Replica::new(flows.len(), talk.shards, talk.walks);
            let outcome = play(&mut replica, &flows, cut, random);
            let applied = replica.gather.as_ref().map(Gather::applied);
            // Whatever came: nobody waits for what was never handed out.
            assert!(replica.gather.as_ref().is_none_or(Gather::is_settled), "{outcome:?}");
            ends.push((outcome, applied, replica.by_key()));
        }
        // Several flows come in any order, and one that is broken ends the others where they are.
        if flows.len() > 1 {
            return;
        }
        let (outcome, applied, handed) = &ends[0];
        for (other, other_applied, other_handed) in &ends[1..] {
            assert_eq!(other.is_err(), outcome.is_err(), "{other:?}, as a whole {outcome:?}");
            if outcome.is_ok() {
                assert_eq!((applied, handed), (other_applied, other_handed));
            }
            // The error may be seen a little sooner or later: what came before it is the same.
            for (key, effects) in handed {
                let others = other_handed.get(key).map_or(&[][..], Vec::as_slice);
                let same = effects.len().min(others.len());
                assert_eq!(effects[..same], others[..same], "{key:?}");
            }
        }
    });
}

// ---- signs: what both sides say beside the data ----

/// All messages as words, and whether the reader gave up.
fn messages(
    bytes: &[u8],
    cut: Cut,
    random: &mut Rng,
    of: impl Fn(Kind, &[u8]) -> Result<String, String>,
) -> (Vec<String>, Result<(), String>) {
    let (mut buffer, mut arrived, mut said) = (Vec::new(), 0, Vec::new());
    while arrived < bytes.len() {
        let end = (arrived + cut.piece(random)).min(bytes.len());
        buffer.extend_from_slice(&bytes[arrived..end]);
        arrived = end;
        loop {
            match wire::next(&buffer) {
                Err(error) => return (said, Err(error)),
                Ok(None) => break,
                Ok(Some((kind, payload, used))) => {
                    match of(kind, payload) {
                        Ok(words) => said.push(words),
                        Err(error) => return (said, Err(error)),
                    }
                    buffer.drain(..used);
                }
            }
        }
    }
    (said, Ok(()))
}

#[test]
fn both_sides_read_signs_of_life_and_news() {
    let head = Lsn(1000);
    rounds("signs", 3_000, |random| {
        let (mut acks, mut acked) = (Vec::new(), Vec::new());
        let (mut news, mut told) = (Vec::new(), Vec::new());
        for _ in 0..random.usize(..12) {
            let lsn = random.u64(..=head.0);
            if random.bool() {
                wire::put_numbers(&mut acks, Kind::Ack, &[lsn]);
                acked.push(format!("{:?}", Said::Ack(Lsn(lsn))));
            } else {
                wire::put_numbers(&mut acks, Kind::Alive, &[]);
                acked.push(format!("{:?}", Said::Alive));
            }
            told.push(match random.u8(..5) {
                4 => {
                    let piece = text(random).into_bytes();
                    wire::put_libraries(&mut news, piece.len(), &piece);
                    News::Libraries(piece.len() as u64, piece)
                }
                0 => {
                    let text = text(random);
                    wire::put_bytes(&mut news, Kind::End, text.as_bytes());
                    let why = wire::words(text.as_bytes());
                    News::End { fell_out: why.starts_with(wire::FELL_OUT), why }
                }
                1 => {
                    let heads = lsns(random, 3);
                    let numbers: Vec<u64> = heads.iter().map(|lsn| lsn.0).collect();
                    wire::put_numbers(&mut news, Kind::Ping, &numbers);
                    News::Heads(heads)
                }
                2 => {
                    wire::put_numbers(&mut news, Kind::Progress, &[lsn, u64::MAX]);
                    News::Progress(lsn, u64::MAX)
                }
                _ => {
                    wire::put_numbers(&mut news, Kind::Alive, &[]);
                    News::Alive(None)
                }
            });
        }
        let told: Vec<String> = told.iter().map(|news| format!("{news:?}")).collect();
        let said = |kind: Kind, payload: &[u8]| {
            let said = Said::of(kind, payload, head)?;
            assert!(!matches!(said, Said::Ack(lsn) if lsn > head));
            Ok(format!("{said:?}"))
        };
        let heard = |kind: Kind, payload: &[u8]| {
            let news = News::of(kind, payload)?;
            if let News::Heads(heads) = &news {
                assert!(heads.iter().all(|head| head.0 <= wire::LSN_MAX));
            }
            Ok(format!("{news:?}"))
        };
        for cut in [Cut::Whole, Cut::Bytes, Cut::any(random)] {
            assert_eq!(messages(&acks, cut, random, said), (acked.clone(), Ok(())));
            assert_eq!(messages(&news, cut, random, heard), (told.clone(), Ok(())));
        }
        mutate(random, &mut acks);
        mutate(random, &mut news);
        let whole_acks = messages(&acks, Cut::Whole, random, said);
        let whole_news = messages(&news, Cut::Whole, random, heard);
        for cut in [Cut::Bytes, Cut::any(random)] {
            assert_eq!(messages(&acks, cut, random, said), whole_acks);
            assert_eq!(messages(&news, cut, random, heard), whole_news);
        }
    });
}
