//! What is said before the stream: who we are, and what the master says of itself.
//!
//! ```text
//!   AUTH [user] password                                +OK
//!   PING                                                +PONG
//!   REPLCONF listening-port P [ip-address A]            +OK
//!   REPLCONF capa eof capa psync2 capa damselfly        +OK            (a Damselfly: an array)
//!   REPLCONF version 9.1.0                              +OK            (others than Valkey: an error)
//!   INFO                                                a text         (or no permission)
//!   CONFIG GET databases                                "databases" n  (or no permission)
//!   (all of these in one write: a round trip)
//!   PSYNC id offset                                     +FULLRESYNC, +CONTINUE
//! ```

use crate::handshake::{self, Words};
use crate::replica::dial::words;
use crate::replica::reason::Reason;
use crate::standing::StreamPosition;
use engine::resp::client::Reply;

/// What a master says of itself, as far as it lets us ask.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Facts {
    /// What it is, for the log.
    pub(super) version: String,
    /// The names of its history: the current one, and the one before.
    pub(super) ids: Vec<String>,
    /// Keys in all databases; none if it does not say.
    pub(super) keys: Option<u64>,
    /// Databases that it has, or as many as those in use need.
    pub(super) dbs: usize,
}

/// The version of Valkey whose form of data we read: for who says none Valkey 9 writes that of Valkey 8, and gives
/// up where the data needs a newer one (fields of hashes that expire).
const READS: &str = "9.1.0";

/// The requests, but AUTH, in order.
pub(super) fn requests(port: u16, address: &str) -> [Words; 6] {
    let words = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    [
        words("PING"),
        handshake::introduction(port, address),
        handshake::capabilities(),
        words(&format!("REPLCONF version {READS}")),
        words("INFO"),
        words("CONFIG GET databases"),
    ]
}

/// The request for the stream: from a position, or from the beginning.
pub(super) fn ask(from: Option<&StreamPosition>) -> Words {
    let (id, offset) = match from {
        Some(StreamPosition { id, offset, .. }) => (id.clone(), (offset + 1).to_string()),
        None => ("?".to_owned(), "-1".to_owned()),
    };
    ["PSYNC", &id, &offset].iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// What the replies to [`requests`] say.
pub(super) fn understand(replies: &[Reply; 6]) -> Result<Facts, Reason> {
    let [ping, introduction, capabilities, _, info, databases] = replies;
    for greeting in [ping, introduction] {
        // Who cannot save answers PING as well with that, and feeds replicas all the same.
        if greeting.error().is_some_and(|error| !handshake::is_misconf(error)) {
            return Err(format!("could not greet master: {}", words(greeting)).into());
        }
    }
    if capabilities.elements().is_some() {
        return Err(Reason::OtherKind);
    }
    let mut facts = facts(info.bytes().unwrap_or_default());
    if let Some([_, count]) = databases.elements()
        && let Some(count) = count.bytes().and_then(|count| std::str::from_utf8(count).ok())
    {
        facts.dbs = count.parse().unwrap_or(facts.dbs);
    }
    Ok(facts)
}

fn facts(info: &[u8]) -> Facts {
    let text = String::from_utf8_lossy(info);
    let (mut facts, mut keys) = (Facts::default(), 0);
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        match name {
            // Valkey says both: what it is, and what it is compatible with.
            "redis_version" => facts.version = format!("Redis {value}"),
            "valkey_version" => facts.version = format!("Valkey {value}"),
            "master_replid" | "master_replid2" => facts.ids.push(value.to_owned()),
            _ => {
                let Some(index) = name.strip_prefix("db").and_then(|index| index.parse().ok())
                else {
                    continue;
                };
                facts.dbs = facts.dbs.max(usize::saturating_add(index, 1));
                let count = value.strip_prefix("keys=").and_then(|rest| rest.split(',').next());
                let count = count.and_then(|count| count.parse().ok()).unwrap_or(0);
                keys = u64::saturating_add(keys, count);
            }
        }
    }
    facts.keys = (!facts.ids.is_empty()).then_some(keys);
    facts
}

impl Facts {
    /// Whether a node with so many databases has room for those of this master.
    pub(super) fn fits(&self, own: usize) -> Result<(), Reason> {
        handshake::has_room(Some(own), self.dbs).map_err(|text| {
            let text = text.strip_prefix("ERR ").unwrap_or(&text);
            Reason::Senseless(text.to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::types::DbIndex;

    const INFO: &str = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n\
        # Replication\r\nrole:master\r\nmaster_replid:aaa\r\nmaster_replid2:000\r\n\
        # Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=0\r\ndb9:keys=7,expires=0,avg_ttl=0,subexpiry=0\r\n";

    fn ok() -> Reply {
        Reply::Simple(b"OK".to_vec())
    }

    #[test]
    fn what_a_master_says_of_itself_is_understood() {
        let count =
            Reply::Array(vec![Reply::Bulk(b"databases".to_vec()), Reply::Bulk(b"32".to_vec())]);
        let info = Reply::Bulk(INFO.as_bytes().to_vec());
        let said = |capabilities, info, databases| {
            let unknown = Reply::Error(b"ERR Unrecognized REPLCONF option: version".to_vec());
            let pong = Reply::Simple(b"PONG".to_vec());
            understand(&[pong, ok(), capabilities, unknown, info, databases])
        };
        let facts = said(ok(), info.clone(), count).unwrap();
        let ids = vec!["aaa".to_owned(), "000".to_owned()];
        let expected = Facts { version: "Valkey 9.1.2".to_owned(), ids, keys: Some(12), dbs: 32 };
        assert_eq!(facts, expected);
        assert!(facts.fits(32).is_ok());
        assert!(
            matches!(facts.fits(16), Err(Reason::Senseless(text)) if text.contains("--dbnum=32"))
        );
        // Where CONFIG is not allowed, databases in use tell; where INFO is not either, nothing does.
        let no = Reply::Error(b"NOPERM no".to_vec());
        assert_eq!(said(ok(), info, no.clone()).unwrap().dbs, 10);
        assert_eq!(said(ok(), no.clone(), no.clone()), Ok(Facts::default()));
        let array = Reply::Array(Vec::new());
        assert_eq!(said(array, no.clone(), no.clone()), Err(Reason::OtherKind));
        let refused =
            understand(&[Reply::Error(b"NOAUTH x".to_vec()), ok(), ok(), ok(), no.clone(), no]);
        assert!(matches!(refused, Err(Reason::Words(text)) if text.contains("NOAUTH")));
    }

    #[test]
    fn a_position_is_shown_as_a_redis_shows_it() {
        let from = StreamPosition { id: "abc".to_owned(), offset: 9, db: DbIndex(0) };
        let text = |words: Words| String::from_utf8(words.join(&b' ')).unwrap();
        assert_eq!(text(ask(Some(&from))), "PSYNC abc 10");
        assert_eq!(text(ask(None)), "PSYNC ? -1");
    }
}
