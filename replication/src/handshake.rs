//! What a replica and its master say before data flows, as RESP on an ordinary client port.
//!
//! ```text
//!   replica                                        master
//!   AUTH [user] password                           +OK
//!   PING                                           +PONG
//!   REPLCONF listening-port P [ip-address A]       +OK
//!   REPLCONF capa eof capa psync2 capa damselfly   array: "damselfly", version    (a Redis: +OK)
//!   DFLY CHECK version node chain databases        +OK, or why not
//!   (all of these in one write: a round trip)
//!   DFLY FOLLOW version node chain position dbs    array: the terms (below)
//!   ... from here on the control connection carries messages of `wire`
//!   for each flow a connection of its own:
//!   AUTH ..., DFLY FLOW session index              +OK, then messages of `wire`
//! ```
//!
//! A chain is the node ids from a node up to its topmost master, its own first: whoever finds itself in
//! the chain of its would-be master refuses, so circles of any length are (J7).

use crate::chain::WAITING_MAX;
use crate::{planted, wire};
use engine::journal::{AHEAD, HistoryId, Lineage, Position};
use engine::resp::ReplyLimits;
use engine::resp::client::Reply;
use engine::types::Lsn;

/// What a master's answer may be. The longest by far are terms: a lineage of 16 branches over 1024
/// shards takes less than 400 KB.
pub const REPLY_LIMITS: ReplyLimits = ReplyLimits { bytes: 1024 * 1024, depth: 4 };

/// A request as words.
pub type Words = Vec<Vec<u8>>;

/// The request to authenticate, if there is something to show.
pub fn auth(user: &str, password: &str) -> Option<Words> {
    let shown = [user, password].into_iter().filter(|word| !word.is_empty());
    (!password.is_empty()).then(|| words(std::iter::once("AUTH").chain(shown)))
}

/// Where clients reach this node; an empty address lets the master use the connection's.
pub fn introduction(port: u16, address: &str) -> Words {
    let port = port.to_string();
    let mut said = vec!["REPLCONF", "listening-port", &port];
    if !address.is_empty() {
        said.extend(["ip-address", address]);
    }
    words(said)
}

/// What this node understands; a Damselfly answers with more than OK.
pub fn capabilities() -> Words {
    words("REPLCONF capa eof capa psync2 capa damselfly".split(' '))
}

/// Whether the master would have this node, whose chain this is, its own id first, and which has so
/// many databases.
pub fn ask_check(chain: &[String], dbs: usize) -> Words {
    let mut request = asked("CHECK", chain);
    request.push(dbs.to_string().into_bytes());
    request
}

/// To be fed, from a position if there is one.
pub fn ask_follow(chain: &[String], position: Option<&Position>, dbs: usize) -> Words {
    let mut request = asked("FOLLOW", chain);
    let position = position.map_or_else(|| "?".to_owned(), Position::to_string);
    request.extend([position.into_bytes(), dbs.to_string().into_bytes()]);
    request
}

/// To make this connection one flow of a session.
pub fn ask_flow(session: u64, index: usize) -> Words {
    words(["DFLY", "FLOW", &session.to_string(), &index.to_string()])
}

fn asked(what: &str, chain: &[String]) -> Words {
    let node = chain.first().map_or("", String::as_str);
    words(["DFLY", what, &wire::VERSION.to_string(), node, &chain.join(",")])
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Words {
    words.into_iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// Who wants to follow this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asker {
    /// The protocol version that it speaks.
    pub version: u32,
    /// Its chain of node ids.
    pub chain: Vec<String>,
    /// How many databases it has, if it says so.
    pub dbs: Option<usize>,
}

/// What a replica said about itself with REPLCONF.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// Where clients reach it.
    pub listening_port: u16,
    /// Under which address, if it said so.
    pub ip_address: Option<String>,
    /// Whether it speaks our protocol.
    pub is_damselfly: bool,
    /// What it can do where it follows as a Redis does.
    pub able: Able,
}

/// What one who follows as a Redis does can do, as REPLCONF said it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Able {
    /// Its copy may end in a mark, where its length is not known before.
    pub eof: bool,
    /// It may be told that the stream has another name now.
    pub psync2: bool,
    /// It wants the copy alone.
    pub rdb_only: bool,
    /// What is to be in its copy.
    pub filter: Filter,
    /// It is a Valkey 9, or a later one: who says a version is a Valkey.
    pub valkey9: bool,
}

/// What a copy has in it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Filter {
    /// Everything.
    #[default]
    All,
    /// Libraries of functions.
    Functions,
    /// Nothing but what it says of itself.
    Nothing,
}

/// The master's answer to `DFLY FOLLOW`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether the items have to be sent; else the flows continue from `from`.
    pub full: bool,
    /// Why, in words.
    pub reason: String,
    /// Names the session.
    pub session: u64,
    /// The master's chain of node ids, its own first.
    pub chain: Vec<String>,
    /// The master's histories.
    pub lineage: Lineage,
    /// The history whose journals are sent.
    pub history: HistoryId,
    /// Where the flows begin (of a full sync only the count counts).
    pub from: Vec<Lsn>,
    /// Where they end, because a younger history begins there.
    pub to: Option<Vec<Lsn>>,
    /// The seed of the sender's hash.
    pub seed: u64,
    /// How many shards of the sender bring items.
    pub walks: usize,
    /// How many databases the sender has.
    pub dbs: usize,
    /// Keys that the sender holds: an empty one may be guarded against.
    pub keys: u64,
}

impl Terms {
    /// Whether the replica drops what it has and its master never had, or has lost: as the reason says, of which only the first
    /// is told.
    pub fn takes_back(&self) -> bool {
        self.full && self.reason.contains(AHEAD)
    }

    /// As the fields of the reply.
    pub fn to_fields(&self) -> Vec<String> {
        vec![
            if self.full { "FULL" } else { "PARTIAL" }.to_owned(),
            self.reason.clone(),
            self.session.to_string(),
            self.chain.join(","),
            self.lineage.to_string(),
            self.history.to_string(),
            lsns_to_text(&self.from),
            self.to.as_ref().map_or_else(|| "-".to_owned(), |to| lsns_to_text(to)),
            self.seed.to_string(),
            self.walks.to_string(),
            self.dbs.to_string(),
            self.keys.to_string(),
        ]
    }

    /// Out of the reply.
    pub fn from_reply(reply: &Reply) -> Result<Terms, String> {
        let fields = texts(reply)?;
        let [full, reason, session, chain, lineage, history, from, to, seed, walks, dbs, keys] =
            fields.as_slice()
        else {
            return Err(format!("the master's terms have {} fields", fields.len()));
        };
        let bad = |what: &str| format!("the master's terms name a bad {what}");
        let terms = Terms {
            full: match full.as_str() {
                "FULL" => true,
                "PARTIAL" => false,
                _ => return Err(bad("kind of sync")),
            },
            reason: wire::words(reason.as_bytes()),
            session: session.parse().map_err(|_| bad("session"))?,
            chain: chain.split(',').map(str::to_owned).collect(),
            lineage: lineage.parse().map_err(|_| bad("lineage"))?,
            history: history.parse().map_err(|_| bad("history"))?,
            from: lsns_from_text(from).ok_or_else(|| bad("position"))?,
            to: match to.as_str() {
                "-" => None,
                to => Some(lsns_from_text(to).ok_or_else(|| bad("end"))?),
            },
            seed: seed.parse().map_err(|_| bad("seed"))?,
            walks: walks
                .parse()
                .ok()
                .filter(|walks| (1..=usize::from(engine::limits::SHARDS_MAX)).contains(walks))
                .ok_or_else(|| bad("walk count"))?,
            dbs: dbs
                .parse()
                .ok()
                .filter(|dbs| (1..=65536).contains(dbs))
                .ok_or_else(|| bad("database count"))?,
            keys: keys.parse().map_err(|_| bad("key count"))?,
        };
        terms.agrees().map(|()| terms)
    }

    /// Whether the fields fit each other: who adopts them relies on it, at a promotion at the latest.
    fn agrees(&self) -> Result<(), String> {
        let flows = self.from.len();
        if self.lineage.shards_of(&self.history).is_some_and(|shards| shards != flows) {
            return Err("the master's terms name a history of another number of shards".to_owned());
        }
        let Some(to) = &self.to else { return Ok(()) };
        let ends = self.from.iter().zip(to).all(|(from, to)| from <= to);
        if self.full || to.len() != flows || !ends {
            return Err("the master's terms end where they do not begin".to_owned());
        }
        Ok(())
    }

    /// Whether `applied` has come to where the flows end.
    pub fn is_over(&self, applied: &[Lsn]) -> bool {
        let Some(to) = &self.to else { return false };
        applied.len() == to.len() && applied.iter().zip(to).all(|(applied, to)| applied >= to)
    }
}

/// Whether a node whose chain is `own` would have the asker, whose chain is `asker`, as its replica.
pub fn check(version: u32, asker: &[String], own: &[String]) -> Result<(), String> {
    if version != wire::VERSION {
        return Err(format!(
            "ERR this node speaks version {} of the replication protocol, not {version}",
            wire::VERSION
        ));
    }
    let asker = asker.first().map(String::as_str).unwrap_or_default();
    if own.first().is_some_and(|me| me == asker) {
        return Err("ERR a node cannot follow itself".to_owned());
    }
    if own.iter().any(|node| node == asker) {
        return Err("ERR this would close a cycle: this node follows you already".to_owned());
    }
    Ok(())
}

/// Whether a node with `asker` databases (if it said so) has room for those of one with `own`.
pub fn has_room(asker: Option<usize>, own: usize) -> Result<(), String> {
    match asker {
        Some(asker) if asker < own => Err(format!(
            "ERR the master has {own} databases, this node has {asker}: start it with --dbnum={own}"
        )),
        _ => Ok(()),
    }
}

/// A node feeds others only while its data is somebody's: as a master, or in stable sync with its own
/// (J7); and not while its role changes, since the journals of before end there. One that waits for its
/// master names those who wait for each other, itself first; `asker` is the chain of who asks.
pub fn may_feed(
    is_changing: bool,
    is_stable: bool,
    asker: &[String],
    waiting: &[String],
) -> Result<(), String> {
    if is_changing {
        return Err("ERR this node is changing its role".to_owned());
    }
    if is_stable || planted::feeds_while_syncing() {
        return Ok(());
    }
    if asker.first().is_some_and(|asker| waiting.contains(asker)) {
        return Err(format!("{CIRCLE}{NAMED}{}", waiting.join(",")));
    }
    Err(format!(
        "ERR this node is a replica and not in stable sync itself{NAMED}{}",
        waiting.join(",")
    ))
}

/// Whether a node says that it takes no writes because it could not save: all the more it is to be followed.
pub fn is_misconf(error: &[u8]) -> bool {
    error.starts_with(b"MISCONF ")
}

/// What is told to one of several nodes that follow each other in a circle.
const CIRCLE: &str = "ERR these nodes follow each other in a circle and wait for each other: end it with \
                      REPLICAOF NO ONE on the one whose data counts";

/// What stands before the names of those who wait.
const NAMED: &str = "; waiting nodes: ";

/// What a refusal says in words, and the names of those who wait.
pub fn waits(refusal: &[u8]) -> (String, Vec<String>) {
    /// The longest name of a node that is taken.
    const NAME_MAX: usize = 64;
    let refusal = String::from_utf8_lossy(refusal);
    let (text, names) = refusal.split_once(NAMED).unwrap_or((&refusal, ""));
    let names = names.split(',').filter(|name| (1..=NAME_MAX).contains(&name.len()));
    // Our own node names itself in front of them.
    let names = names.take(WAITING_MAX).map(str::to_owned).collect();
    (wire::words(text.as_bytes()), names)
}

fn texts(reply: &Reply) -> Result<Vec<String>, String> {
    match reply {
        Reply::Error(text) => Err(waits(text).0),
        Reply::Array(items) => items
            .iter()
            .map(|item| match item {
                Reply::Bulk(text) | Reply::Simple(text) => {
                    String::from_utf8(text.clone()).map_err(|_| "an answer is not text".to_owned())
                }
                other => Err(format!("an unexpected answer: {other:?}")),
            })
            .collect(),
        other => Err(format!("an unexpected answer: {other:?}")),
    }
}

/// LSNs as text: `12-0-7`.
pub fn lsns_to_text(lsns: &[Lsn]) -> String {
    let texts: Vec<String> = lsns.iter().map(|lsn| lsn.0.to_string()).collect();
    texts.join("-")
}

/// LSNs out of text; at least one, at most as many as a node may have shards.
pub fn lsns_from_text(text: &str) -> Option<Vec<Lsn>> {
    let most = usize::from(engine::limits::SHARDS_MAX);
    let lsn = |part: &str| part.parse().ok().and_then(|number| wire::lsn(number).ok());
    let lsns: Option<Vec<Lsn>> = text.split('-').take(most + 1).map(lsn).collect();
    lsns.filter(|lsns| lsns.len() <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_do_not_hold_together_are_refused() {
        let (one, two) = (HistoryId([1; 20]), HistoryId([2; 20]));
        let lineage = Lineage::unrelated(one, 2).branch_off(two, 1, vec![Lsn(5), Lsn(6)]);
        let fields = |full: &str, history: HistoryId, from: &str, to: &str, walks: &str| {
            let lineage = lineage.to_string();
            let history = history.to_string();
            let fields = [full, "", "1", "a", &lineage, &history, from, to, "9", walks, "16", "0"];
            Reply::Array(fields.map(|field| Reply::Bulk(field.as_bytes().to_vec())).to_vec())
        };
        let rows = [
            ("FULL", two, "0", "-", "1", ""),
            ("PARTIAL", one, "1-2", "5-6", "1", ""),
            ("PARTIAL", HistoryId([3; 20]), "1-2-3", "-", "1", ""),
            ("Full", two, "0", "-", "1", "kind of sync"),
            // A promotion would branch off at two positions of a history of one shard.
            ("FULL", two, "0-0", "-", "1", "another number of shards"),
            ("PARTIAL", one, "1", "-", "1", "another number of shards"),
            ("PARTIAL", one, "1-2", "5", "1", "where they do not begin"),
            ("PARTIAL", one, "1-7", "5-6", "1", "where they do not begin"),
            ("FULL", one, "0-0", "5-6", "1", "where they do not begin"),
            // Nobody would bring the items, and nothing would be what is left.
            ("FULL", two, "0", "-", "0", "walk count"),
            ("FULL", two, "0", "-", "1025", "walk count"),
            ("FULL", two, "18446744073709551615", "-", "1", "position"),
            ("FULL", two, "", "-", "1", "position"),
        ];
        for (full, history, from, to, walks, refusal) in rows {
            match Terms::from_reply(&fields(full, history, from, to, walks)) {
                Ok(_) => assert_eq!(refusal, "", "{full} {from} {to} {walks}"),
                Err(text) => assert!(!refusal.is_empty() && text.contains(refusal), "{text}"),
            }
        }
    }

    #[test]
    fn terms_survive_the_way_over_the_wire() {
        let history = HistoryId([7; 20]);
        let parent = HistoryId([3; 20]);
        let terms = Terms {
            full: false,
            reason: "continues".to_owned(),
            session: 9,
            chain: vec!["a".to_owned(), "b".to_owned()],
            lineage: Lineage::unrelated(parent, 2).branch_off(history, 3, vec![Lsn(4), Lsn(5)]),
            history: parent,
            from: vec![Lsn(1), Lsn(2)],
            to: Some(vec![Lsn(4), Lsn(5)]),
            seed: u64::MAX,
            walks: 3,
            dbs: 16,
            keys: 1,
        };
        let fields = terms.to_fields().into_iter().map(|field| Reply::Bulk(field.into_bytes()));
        assert_eq!(Terms::from_reply(&Reply::Array(fields.collect())), Ok(terms.clone()));
        let is_over = |lsns: [u64; 2]| terms.is_over(&lsns.map(Lsn));
        assert!(is_over([4, 5]) && is_over([5, 5]) && !is_over([3, 6]) && !is_over([6, 3]));
        assert!(Terms::from_reply(&Reply::Array(Vec::new())).is_err());
        assert_eq!(Terms::from_reply(&Reply::Error(b"ERR no".to_vec())), Err("ERR no".to_owned()));
    }
}
