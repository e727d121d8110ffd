//! What the journal says is told to a Redis that follows, and then it holds the same.
//!
//! `REDIS_SERVER=...` names another server than Debian's, with `PEERS=62`, `70` or `74` for the words that it
//! knows.

mod model_common;
mod tell_follower;

use engine::journal::{Decoder, FrameEntry, bounds};
use engine::model::{Client, DBS, ModelNode, World, registry};
use engine::resp::{Reply, encode_command};
use engine::tell::{Peers, Sayings, Teller, say_global};
use engine::types::DbIndex;
use model_common::{Words, borrowed, check_quiet, examples, seed, seeds};
use std::collections::BTreeMap;
use tell_follower::Follower;

/// Writes of every type. A key's letter is that of its type; `$k` is any key, `$v` a value, `$n` a small number,
/// `$d` a database, `$i` the next number of an entry, `$e` one that was given before, `$p` milliseconds.
const REQUESTS: &[&str] = &[
    "SET $s $v",
    "SET $s $n",
    "SET $s $v PX $p",
    "SET $s $v KEEPTTL",
    "SETRANGE $s $n $v",
    "APPEND $s $v",
    "INCR $s",
    "INCRBYFLOAT $s 1.5",
    "GETDEL $s",
    "GETEX $s PX $p",
    "MSET $s $v $s $v $l $v",
    "MSETNX $s $v $s $v",
    "SETBIT $s $n 1",
    "BITOP XOR $s $s $s",
    "BITFIELD $s SET u8 $n 3 INCRBY i5 $n 7",
    "PFADD $y $v $v $n $v",
    "PFADD $y $v $v $v $v $v $v $v $v",
    "PFMERGE $y $y $y",
    "PFCOUNT $y",
    "DEL $k $k",
    "UNLINK $k",
    "PEXPIRE $k $p",
    "PEXPIRE $k $p GT",
    "PERSIST $k",
    "RENAME $k $k",
    "RENAMENX $k $k",
    "COPY $k $k REPLACE",
    "COPY $k $k DB $d",
    "MOVE $k $d",
    "SORT $l ALPHA STORE $l",
    "SADD $t $v $n $v",
    "SADD $t $n $n $n",
    "SREM $t $n $v",
    "SPOP $t",
    "SPOP $t 2",
    "SMOVE $t $t $n",
    "SUNIONSTORE $t $t $t",
    "SDIFFSTORE $t $t $t",
    "ZADD $z $n $v $n $v $n $n",
    "ZADD $z 0.1 $n -inf $v 1e300 $n -1e-9 $v",
    "ZINCRBY $z $n $n",
    "ZREM $z $n $v",
    "ZPOPMIN $z 2",
    "ZPOPMAX $z",
    "ZREMRANGEBYRANK $z 3 9",
    "ZREMRANGEBYSCORE $z $n +inf",
    "ZUNIONSTORE $z 2 $z $t",
    "ZRANGESTORE $z $z 0 -2",
    "GEOADD $z $n 15 $v",
    "LPUSH $l $v $n $m",
    "RPUSH $l $v $m $m $v",
    "RPUSHX $l $m $m",
    "LPOP $l 2",
    "RPOP $l",
    "LTRIM $l 1 -2",
    "LTRIM $l 0 20",
    "LSET $l 1 $v",
    "LINSERT $l BEFORE $m $v",
    "LINSERT $l AFTER $m $m",
    "LREM $l 1 $m",
    "LREM $l -2 $m",
    "LREM $l 0 $m",
    "LMOVE $l $l LEFT RIGHT",
    "HSET $h $m $v $n $v",
    "HSET $h $v $v $m $n",
    "HINCRBY $h $n 2",
    "HINCRBYFLOAT $h $n 0.1",
    "HDEL $h $m $n",
    "HPEXPIRE $h $p FIELDS 2 $m $m",
    "HPERSIST $h FIELDS 1 $m",
    "HSETEX $h PX $p FIELDS 1 $m $v",
    "XADD $x $i $m $v $n $n",
    "XADD $x $i $m $v",
    "XADD $x $i $m $m",
    "XADD $x MAXLEN ~ 9 $i $v $n",
    "XADD $x MAXLEN = 5 $i $v $n",
    "XTRIM $x MINID = $e",
    "XTRIM $x MAXLEN 12",
    "XDEL $x $e $e",
    "XSETID $x $i",
    "XSETID $x $i ENTRIESADDED 900 MAXDELETEDID 3-1",
    "XGROUP CREATE $x $g $e MKSTREAM",
    "XGROUP CREATE $x $g 0 ENTRIESREAD 2",
    "XGROUP SETID $x $g $e",
    "XGROUP SETID $x $g $e ENTRIESREAD 5",
    "XGROUP DESTROY $x $g",
    "XGROUP CREATECONSUMER $x $g $c",
    "XGROUP DELCONSUMER $x $g $c",
    "XREADGROUP GROUP $g $c COUNT 3 STREAMS $x >",
    "XREADGROUP GROUP $g $c COUNT 5 STREAMS $x >",
    "XREADGROUP GROUP $g $c NOACK COUNT 1 STREAMS $x >",
    "XREADGROUP GROUP $g $c STREAMS $x 0",
    "XACK $x $g $e $e",
    "XCLAIM $x $g $c 0 $e $e",
    "XCLAIM $x $g $c 0 $e RETRYCOUNT 7 FORCE LASTID $e",
    "XAUTOCLAIM $x $g $c 0 0 COUNT 3",
    "PUBLISH news $v",
    "SPUBLISH news $v",
    // Reads delete what they find expired.
    "TTL $k",
];

const UPHEAVALS: &[&str] = &["SWAPDB $d $d", "SWAPDB 0 $d", "FLUSHDB", "FLUSHALL"];

struct Requests {
    dice: fastrand::Rng,
    /// Numbers of entries that were given.
    entries: u64,
    /// Deadlines are to come for the follower too; it would hide what is over for itself.
    is_ahead: bool,
}

impl Requests {
    fn next(&mut self) -> Words {
        let line = loop {
            let lines = if self.dice.u8(..150) == 0 { UPHEAVALS } else { REQUESTS };
            let line = lines[self.dice.usize(..lines.len())];
            if self.is_ahead || !line.contains("$p") {
                break line;
            }
        };
        line.split(' ').map(|word| self.word(word)).collect()
    }

    fn word(&mut self, word: &str) -> Vec<u8> {
        let dice = &mut self.dice;
        let key = |letter: char, number: u8| format!("{letter}:{number}");
        let text = match word {
            "$k" => {
                let letter = ['s', 'y', 'l', 'h', 't', 'z', 'x'][dice.usize(..7)];
                key(letter, dice.u8(..3))
            }
            "$v" if dice.u8(..100) == 0 => "v".repeat(70_000),
            "$v" => format!("value-{}", dice.u32(..1000)),
            "$n" => dice.u32(1..300).to_string(),
            "$m" => format!("m{}", dice.u8(..8)),
            "$d" => dice.u8(..3).to_string(),
            "$p" => dice.u32(1..3000).to_string(),
            "$g" => format!("group-{}", dice.u8(..2)),
            "$c" => format!("consumer-{}", dice.u8(..3)),
            "$i" => {
                self.entries += 1;
                format!("{}-1", self.entries)
            }
            "$e" => format!("{}-1", (self.entries + 1).saturating_sub(dice.u64(..40)).max(1)),
            _ => match word.strip_prefix('$').and_then(|letter| letter.chars().next()) {
                Some(letter) => key(letter, dice.u8(..3)),
                None => word.to_owned(),
            },
        };
        text.into_bytes()
    }
}

/// Who follows, and in which words.
fn peers() -> Peers {
    match std::env::var("PEERS").as_deref() {
        Ok("62") => Peers::From62,
        Ok("74") => Peers::From74,
        Ok("70") | Err(_) => Peers::From70,
        Ok(other) => panic!("PEERS is 62, 70 or 74, not {other}"),
    }
}

/// What a journal says, as one stream of commands.
fn stream_of(journal: &[u8], peers: Peers) -> Vec<u8> {
    let (mut teller, mut said) = (Teller::new(peers, 1 << 30), Sayings::default());
    let (mut out, mut at, mut selected) = (Vec::new(), 0, None);
    while let Some((frame, length)) = Decoder::new().next(&journal[at..]).expect("whole frames") {
        for entry in frame.entries() {
            if let FrameEntry::Global(global) = &entry {
                say_global(*global, &mut said);
            }
            teller.say(&entry, &mut said).unwrap_or_else(|error| panic!("{entry:?}: {error}"));
        }
        let is_many = said.len() > 1;
        if is_many {
            encode_command(&mut out, &[b"MULTI"]);
        }
        for (db, command) in said.iter() {
            if db.is_some() && db != selected {
                selected = db;
                let number = db.map_or(0, |db| db.0).to_string();
                encode_command(&mut out, &[b"SELECT", number.as_bytes()]);
            }
            out.extend_from_slice(command);
        }
        if is_many {
            encode_command(&mut out, &[b"EXEC"]);
        }
        said.clear();
        at += length;
    }
    assert!(!teller.is_in_value(), "no value is left in the middle");
    out
}

/// What a key holds, as it is shown, and its deadline.
type Shown = (String, Vec<String>, String);

/// What cannot be the same is left out: see the room's front page.
struct Looking {
    peers: Peers,
    /// The node's clock is ahead of the follower's, which takes no time of delivery that is to come.
    is_ahead: bool,
}

impl Looking {
    fn shown(&self, reply: &Reply, out: &mut Vec<String>) {
        let Some(elements) = reply.elements() else { return out.push(format!("{reply:?}")) };
        let mut left: &[&[u8]] =
            &[b"radix-tree-keys", b"radix-tree-nodes", b"seen-time", b"active-time", b"lag"];
        if self.peers == Peers::From62 {
            left = &[
                b"radix-tree-keys",
                b"radix-tree-nodes",
                b"seen-time",
                b"active-time",
                b"lag",
                b"max-deleted-entry-id",
                b"entries-added",
                b"recorded-first-entry-id",
                b"entries-read",
                b"entries",
            ];
        }
        out.push("(".to_owned());
        let mut elements = elements.iter();
        while let Some(element) = elements.next() {
            match element.bytes() {
                Some(name) if left.contains(&name) => drop(elements.next()),
                Some(b"pel" | b"pending") if self.is_ahead => {
                    let pending = elements.next().and_then(Reply::elements).unwrap_or_default();
                    for one in pending {
                        let mut parts = one.elements().unwrap_or_default().to_vec();
                        let time = parts.len().saturating_sub(2);
                        parts.remove(time);
                        self.shown(&Reply::Array(parts), out);
                    }
                }
                _ => self.shown(element, out),
            }
        }
        out.push(")".to_owned());
    }

    fn key(&self, ask: &mut dyn FnMut(&[&[u8]]) -> Reply, key: &[u8]) -> Option<Shown> {
        let kind = String::from_utf8_lossy(ask(&[b"TYPE", key]).bytes()?).into_owned();
        let look: &[&[u8]] = match kind.as_str() {
            "string" => &[b"GET", key],
            "list" => &[b"LRANGE", key, b"0", b"-1"],
            "hash" => &[b"HGETALL", key],
            "set" => &[b"SMEMBERS", key],
            "zset" => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
            "stream" => &[b"XRANGE", key, b"-", b"+"],
            _ => return None,
        };
        let reply = ask(look);
        let elements = reply.elements().unwrap_or_default();
        let mut parts = Vec::new();
        match kind.as_str() {
            "hash" => {
                for pair in elements.chunks(2) {
                    let name = pair[0].bytes()?;
                    let at = match self.peers {
                        Peers::From74 => ask(&[b"HPEXPIRETIME", key, b"FIELDS", b"1", name]),
                        _ => Reply::Nil,
                    };
                    parts.push(format!("{pair:?} {at:?}"));
                }
                parts.sort();
            }
            "zset" => {
                // Each server writes a score in its own way.
                for pair in elements.chunks(2) {
                    let score = String::from_utf8_lossy(pair[1].bytes()?).into_owned();
                    let score: f64 = score.parse().ok()?;
                    parts.push(format!("{:?} {score:?}", pair[0]));
                }
            }
            "set" => {
                parts = elements.iter().map(|member| format!("{member:?}")).collect();
                parts.sort();
            }
            "stream" => {
                self.shown(&reply, &mut parts);
                self.shown(&ask(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]), &mut parts);
            }
            _ => self.shown(&reply, &mut parts),
        }
        let deadline = match self.peers {
            Peers::From62 => format!("{}", ask(&[b"PTTL", key]).integer()? >= 0),
            _ => format!("{:?}", ask(&[b"PEXPIRETIME", key])),
        };
        Some((kind, parts, deadline))
    }

    fn all(&self, ask: &mut dyn FnMut(&[&[u8]]) -> Reply) -> BTreeMap<(usize, Vec<u8>), Shown> {
        let mut all = BTreeMap::new();
        for db in 0..3.min(DBS) {
            ask(&[b"SELECT", db.to_string().as_bytes()]);
            let keys = ask(&[b"KEYS", b"*"]);
            for key in keys.elements().unwrap_or_default().iter().filter_map(Reply::bytes) {
                if let Some(shown) = self.key(ask, key) {
                    all.insert((db, key.to_vec()), shown);
                }
            }
        }
        all
    }
}

/// Tells a follower what the node's journal says beyond what it was told, and compares.
fn check(node: &ModelNode, follower: &mut Follower, looking: &Looking, what: &str) {
    let mut db = DbIndex(0);
    let mut ask = |words: &[&[u8]]| {
        if words[0] == b"SELECT" {
            db = DbIndex(String::from_utf8_lossy(words[1]).parse().expect("a number"));
            return Reply::Nil;
        }
        let words: Words = words.iter().map(|word| word.to_vec()).collect();
        let mut client = node.client(0);
        client.db = db;
        node.world().block_on(async move { client.run(&borrowed(&words)).await })
    };
    // What is over is hidden here at once; the follower has it until it is told. A beat looks at a part of the keys.
    (0..300).for_each(|_| node.heartbeat());
    let wanted = looking.all(&mut ask);
    let told = stream_of(&node.journal(0), looking.peers);
    follower.tell(&told);
    follower.wait();
    assert_eq!(follower.errors(), "", "{what}");
    let found = looking.all(&mut |words| follower.ask(words));
    for key in wanted.keys().chain(found.keys()) {
        assert_eq!(found.get(key), wanted.get(key), "{what}: {}", String::from_utf8_lossy(&key.1));
    }
}

fn empty(follower: &mut Follower) {
    let mut flush = Vec::new();
    encode_command(&mut flush, &[b"FLUSHALL"]);
    follower.tell(&flush);
}

/// Some clients that write at random.
fn shake(node: &ModelNode, dice: &mut fastrand::Rng, is_ahead: bool, rounds: usize) {
    let mut requests = Requests { dice: dice.fork(), entries: 3, is_ahead };
    let mut client: Client = node.client(dice.u16(..=node.shards()));
    let world = node.world().clone();
    node.world().spawn("client".to_owned(), async move {
        for _ in 0..rounds {
            client.db = DbIndex(requests.dice.u16(..6).saturating_sub(3));
            let many = requests.dice.usize(1..5);
            let mut batch: Vec<_> = (0..many).map(|_| requests.next()).collect();
            if requests.dice.usize(..4) == 0 {
                batch.insert(0, vec![b"MULTI".to_vec()]);
                batch.push(vec![b"EXEC".to_vec()]);
            }
            client.pipeline(&batch.iter().map(borrowed).collect::<Vec<_>>()).await;
            world.sleep(requests.dice.u64(..20)).await;
        }
    });
    let mut steps = 0;
    while node.world().step() {
        steps += 1;
        if steps % 100 == 0 {
            node.heartbeat();
        }
    }
}

#[test]
fn a_redis_that_is_told_the_journal_of_random_writes_holds_the_same() {
    let mut follower = Follower::start();
    for seed in seeds(24) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (above, piece) = [(0, 0), (8, 5), (60_000, 9_000)][dice.usize(..3)];
        bounds::set(above, piece);
        let world = World::new(seed);
        let is_ahead = dice.bool();
        if is_ahead {
            world.advance(100_000_000_000);
        }
        let node = ModelNode::in_world(&world, 1);
        shake(&node, &mut dice, is_ahead, if is_ahead { 300 } else { 600 });
        check_quiet(&node, &format!("SEED={seed}"));
        let looking = Looking { peers: peers(), is_ahead };
        check(&node, &mut follower, &looking, &format!("SEED={seed}"));
        empty(&mut follower);
    }
}

#[test]
fn a_redis_that_is_told_the_journal_of_every_commands_examples_holds_the_same() {
    let (mut follower, seed) = (Follower::start(), seed());
    bounds::set(0, 0);
    for entry in registry().iter_all() {
        let world = World::new(seed);
        // Whatever they let end in seconds is there for the follower.
        world.advance(100_000_000_000);
        let node = ModelNode::in_world(&world, 1);
        for example in examples(entry) {
            if example.request[0].to_ascii_uppercase().starts_with(b"COUNTERS.") {
                continue;
            }
            let mut client = node.client(0);
            let request = example.request;
            node.world().block_on(async move { client.pipeline(&[borrowed(&request)]).await });
        }
        let looking = Looking { peers: peers(), is_ahead: true };
        check(&node, &mut follower, &looking, entry.command.name);
        empty(&mut follower);
    }
}
