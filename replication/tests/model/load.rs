//! What clients do: random writes of all kinds, and readers that look for half-seen frames.

use crate::collections;
use crate::member::{Cluster, Member};
use engine::model::{Client, registry};
use engine::resp::Reply;
use engine::types::DbIndex;
use std::cell::Cell;
use std::rc::Rc;

/// A request as words.
type Words = Vec<Vec<u8>>;

/// How clients behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) rounds: usize,
    /// Different keys.
    pub(crate) keys: usize,
    /// One request in so many is about whole databases; 0 for none.
    pub(crate) upheaval_every: usize,
    /// One value in so many is larger than what the journal copies; 0 for none.
    pub(crate) large_every: usize,
    /// Databases are emptied too, not only swapped.
    pub(crate) flushes: bool,
    /// Clients pause so long now and then that everything can be sent meanwhile, in milliseconds.
    pub(crate) pause: u64,
    /// Keys that a client adds now and then.
    pub(crate) added: usize,
    /// So many of a hundred requests are about collections.
    pub(crate) collections: u8,
}

/// `$k` is a key, `$h` one with a HyperLogLog, `$v` a value, `$n` a small number, `$d` a database, `$t` a
/// point in time soon.
const REQUESTS: &[&str] = &[
    "SET $k $v",
    "SET $k $n",
    "SET $k $n PX $n",
    "SET $k $n PX $n",
    "SET $k $v KEEPTTL",
    "SETRANGE $k $n $v",
    "APPEND $k $v",
    "APPEND $k $v",
    "INCR $k",
    "INCR $k",
    "INCRBYFLOAT $k 1.5",
    "DECRBY $k $n",
    "GETDEL $k",
    "GETEX $k PX $n",
    "SETNX $k $v",
    "MSET $k $v $k $v $k $v",
    "MSET $k $n $k $n",
    "MSETNX $k $v $k $v",
    "SETBIT $k $n 1",
    "BITOP XOR $k $k $k",
    "DEL $k",
    "DEL $k $k",
    "PEXPIRE $k $n",
    "PEXPIREAT $k $t",
    "EXPIRE $k 1",
    "PERSIST $k",
    "RENAME $k $k",
    "RENAMENX $k $k",
    "COPY $k $k REPLACE",
    "COUNTERS.ADD $k one $n two $n three $n",
    "COUNTERS.MOVE $k $k one",
    "COUNTERS.ADD $k one $n two $n three $n",
    "PFADD $h $v $n",
    "PFADD $h $v $v $v",
    "PFMERGE $h $h $h",
    "DEL $h",
    "COPY $k $k DB $d REPLACE",
    "MOVE $k $d",
    "GET $k",
    "EXISTS $k $k $k",
];

/// What is asked rarely: whole databases.
const UPHEAVALS: [&str; 4] = ["SWAPDB $d $d", "SWAPDB 0 $d", "FLUSHDB", "FLUSHALL"];

struct Requests {
    dice: fastrand::Rng,
    load: Load,
    now: u64,
}

impl Requests {
    fn next(&mut self) -> Words {
        if self.load.upheaval_every > 0 && self.dice.usize(..self.load.upheaval_every) == 0 {
            let line = UPHEAVALS[self.dice.usize(..if self.load.flushes { 4 } else { 2 })];
            return self.filled(line);
        }
        if self.dice.u8(..100) < self.load.collections {
            return self.of_collections().request();
        }
        let line = REQUESTS[self.dice.usize(..REQUESTS.len())];
        self.filled(line)
    }

    fn of_collections(&mut self) -> collections::Words<'_> {
        let most = [0, 6000][usize::from(self.load.large_every > 0)];
        // Fewer than there are in all: so that what is done to one meets what was done to it before.
        let keys = self.load.keys.div_ceil(4);
        collections::Words { dice: &mut self.dice, keys, most, now: self.now }
    }

    fn filled(&mut self, line: &str) -> Words {
        line.split(' ').map(|word| self.word(word)).collect()
    }

    fn word(&mut self, word: &str) -> Vec<u8> {
        match word {
            "$k" => format!("key:{}", self.dice.usize(..self.load.keys)).into_bytes(),
            "$h" => format!("hll:{}", self.dice.usize(..self.load.keys)).into_bytes(),
            "$v" if self.load.large_every > 0 && self.dice.usize(..self.load.large_every) == 0 => {
                // What a flow's credit just holds, what goes in pieces, what the journal refers to.
                let length = [2_500_000, 600_000, 300_000, 70_000][self.dice.usize(..8).min(3)];
                vec![self.dice.alphanumeric() as u8; length]
            }
            "$v" => format!("value-{}", self.dice.u32(..1000)).into_bytes(),
            "$n" => self.dice.u32(1..300).to_string().into_bytes(),
            "$d" => self.dice.u32(..3).to_string().into_bytes(),
            "$t" => (self.now + self.dice.u64(..200)).to_string().into_bytes(),
            other => other.as_bytes().to_vec(),
        }
    }

    /// Keys that are only ever written together, so that whoever reads them sees them equal.
    fn together(&mut self) -> Vec<Words> {
        let keys = triple(self.dice.usize(..4));
        let value = self.dice.u32(..).to_string().into_bytes();
        let set = |key: &Vec<u8>| vec![b"SET".to_vec(), key.clone(), value.clone()];
        match self.dice.u8(..6) {
            0 => vec![[vec![b"DEL".to_vec()], keys].concat()],
            1 | 2 => {
                let mut words = vec![vec![b"MULTI".to_vec()]];
                words.extend(keys.iter().map(set));
                words.push(vec![b"EXEC".to_vec()]);
                words
            }
            _ => {
                let pairs = keys.into_iter().flat_map(|key| [key, value.clone()]);
                vec![std::iter::once(b"MSET".to_vec()).chain(pairs).collect()]
            }
        }
    }
}

fn triple(number: usize) -> Vec<Vec<u8>> {
    ["a", "b", "c"].iter().map(|part| format!("{part}:{number}").into_bytes()).collect()
}

fn borrowed(requests: &[Words]) -> Vec<Vec<&[u8]>> {
    requests.iter().map(|words| words.iter().map(Vec::as_slice).collect()).collect()
}

fn somebody(
    cluster: &Cluster,
    dice: &mut fastrand::Rng,
    may: impl Fn(&Member) -> bool,
) -> Option<Rc<Member>> {
    let members: Vec<_> = cluster.members().into_iter().filter(|member| may(member)).collect();
    (!members.is_empty()).then(|| members[dice.usize(..members.len())].clone())
}

/// Writes to whoever is a master, for some rounds.
pub(crate) async fn write(cluster: Rc<Cluster>, load: Load, dice: fastrand::Rng, number: usize) {
    let mut requests = Requests { dice, load, now: 0 };
    for round in 0..load.rounds {
        let is_master = |member: &Member| !member.refuses_writes() && member.is_alive.get();
        let Some(member) = somebody(&cluster, &mut requests.dice, is_master) else {
            cluster.member(0).node.world().sleep(5).await;
            continue;
        };
        let executor = requests.dice.u16(..=member.node.shards());
        let mut client = member.node.client(executor);
        client.db = DbIndex(requests.dice.u16(..3));
        requests.now = member.node.world().now().0;
        let mut batch: Vec<Words> =
            (0..requests.dice.usize(1..5)).map(|_| requests.next()).collect();
        match requests.dice.u8(..4) {
            0 => {
                batch.insert(0, vec![b"MULTI".to_vec()]);
                batch.push(vec![b"EXEC".to_vec()]);
            }
            1 | 2 => batch.extend(requests.together()),
            _ => {}
        }
        if load.added > 0 && round % 2 == 0 {
            client.db = DbIndex(0);
            let line = format!("DEBUG POPULATE {} more-{number}-{round}", load.added);
            batch.push(line.split(' ').map(|word| word.as_bytes().to_vec()).collect());
        }
        client.pipeline(&borrowed(&batch)).await;
        if requests.dice.u8(..100) < load.collections / 8 {
            carry_over(&mut client, &mut requests).await;
        }
        if requests.dice.u8(..4) == 0 {
            member.node.world().sleep(requests.dice.u64(..load.pause)).await;
        }
    }
}

/// DUMP, and RESTORE under another name of the payload that it gives.
async fn carry_over(client: &mut Client, requests: &mut Requests) {
    let letter = ["l", "s", "z", "h", "x", "key"][requests.dice.usize(..6)];
    let mut words = requests.of_collections();
    let (from, to) = (words.key(letter), words.key(letter));
    let Reply::Bulk(payload) = client.run(&[b"DUMP", &from]).await else { return };
    let ttl = if requests.dice.bool() { b"0".as_slice() } else { b"90" };
    let reply = client.run(&[b"RESTORE", &to, ttl, &payload, b"REPLACE"]).await;
    if let Reply::Error(text) = &reply {
        let says_it_is_none = text.starts_with(b"ERR Bad data") || text.starts_with(b"ERR DUMP");
        assert!(!says_it_is_none, "RESTORE of what DUMP gave: {reply:?}");
    }
}

/// Reads what is only ever written together, until told to stop.
pub(crate) async fn read(cluster: Rc<Cluster>, mut dice: fastrand::Rng, stop: Rc<Cell<bool>>) {
    while !stop.get() {
        let Some(member) = somebody(&cluster, &mut dice, Member::is_readable) else {
            cluster.member(0).node.world().sleep(3).await;
            continue;
        };
        let syncs = cluster.syncs.get();
        let mut client = member.node.client(dice.u16(..=member.node.shards()));
        client.db = DbIndex(dice.u16(..3));
        let keys = triple(dice.usize(..4));
        let request: Vec<&[u8]> =
            std::iter::once(b"MGET".as_slice()).chain(keys.iter().map(Vec::as_slice)).collect();
        let reply = client.run(&request).await;
        // A reader that was let in just before a full sync began sees what it replaces.
        let same = member.is_readable() && cluster.syncs.get().0 == syncs.0;
        if same && !is_uniform(&reply) {
            let role = if member.is_replica() { "replica" } else { "master" };
            cluster.fail(format!("{role} {} shows half a frame: {reply:?}", member.name));
        }
        member.node.world().sleep(dice.u64(..4)).await;
    }
}

fn is_uniform(reply: &Reply) -> bool {
    match reply {
        Reply::Array(values) => values.windows(2).all(|pair| pair[0] == pair[1]),
        _ => false,
    }
}

/// Fills the databases that clients use.
pub(crate) async fn populate(mut client: Client, count: usize) {
    for (db, count) in [(0, count), (1, count / 4), (2, count / 4)] {
        client.db = DbIndex(db);
        client.words(&format!("DEBUG POPULATE {count}")).await;
    }
}

/// Whether the build has every command that clients use.
pub(crate) fn check_requests() {
    for line in REQUESTS.iter().chain(&UPHEAVALS).chain(collections::REQUESTS) {
        let name = line.split(' ').next().unwrap();
        assert!(registry().find(name.as_bytes()).is_some(), "no {name}");
    }
}
