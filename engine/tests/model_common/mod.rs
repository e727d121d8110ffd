//! What the tests of the model share: seeds, examples, random requests, twins.
#![allow(dead_code, reason = "each test binary uses its own part of it")]
#![allow(clippy::print_stdout, reason = "a seed is printed")]

use engine::command::Entry;
use engine::db::{Keyspace, Role};
use engine::model::{Client, DBS, ModelNode, registry};
use engine::resp::{Limits, Parsed, Parser, Reply};
use engine::shard::Shard;
use engine::types::{DbIndex, Millis, ShardId};

/// `SEED` from the environment, or a new one; printed in either case.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    seed
}

/// `count` seeds that follow from [`seed`], times `SEEDS` from the environment (a nightly run); only
/// that one when it was given.
pub(crate) fn seeds(count: u64) -> Vec<u64> {
    let first = seed();
    let factor = std::env::var("SEEDS").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    let count = if std::env::var_os("SEED").is_some() { 1 } else { count * factor };
    (0..count).map(|index| first.wrapping_add(index)).collect()
}

/// A request as words.
pub(crate) type Words = Vec<Vec<u8>>;

/// A request of an example and the reply that it shows.
pub(crate) struct Example {
    pub(crate) line: String,
    pub(crate) request: Words,
    pub(crate) reply: String,
}

/// The words of a line, quoted as in redis-cli.
pub(crate) fn words(line: &str) -> Words {
    let bytes = format!("{line}\r\n").into_bytes();
    let mut parser = Parser::new();
    match parser.next(&bytes, &Limits::default()) {
        Ok(Parsed::Incomplete { .. }) | Err(_) => panic!("not a request: {line}"),
        Ok(_) => parser.args(&bytes).iter().map(<[u8]>::to_vec).collect(),
    }
}

/// The examples of a command.
pub(crate) fn examples(entry: &Entry) -> Vec<Example> {
    let text = entry.command.examples;
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let indent = lines().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let mut examples: Vec<Example> = Vec::new();
    for line in lines().map(|line| line[indent..].trim_end()) {
        match line.strip_prefix("> ") {
            Some(line) => examples.push(Example {
                line: line.to_owned(),
                request: words(line),
                reply: String::new(),
            }),
            None => {
                let example = examples.last_mut().expect("an example begins with a request");
                if !example.reply.is_empty() {
                    example.reply.push('\n');
                }
                example.reply.push_str(line);
            }
        }
    }
    examples
}

/// A reply as redis-cli shows it, types of RESP3 in the words of RESP2.
pub(crate) fn render(reply: &Reply, indent: &str) -> String {
    match reply {
        Reply::Simple(text) => String::from_utf8_lossy(text).into_owned(),
        Reply::Error(text) => format!("(error) {}", String::from_utf8_lossy(text)),
        Reply::Integer(number) => format!("(integer) {number}"),
        Reply::Boolean(value) => format!("(integer) {}", i32::from(*value)),
        Reply::Bulk(bytes) | Reply::Verbatim { text: bytes, .. } | Reply::BigNumber(bytes) => {
            quoted(bytes)
        }
        Reply::Double(number) => format!("\"{number}\""),
        Reply::Nil => "(nil)".to_owned(),
        Reply::Array(list) | Reply::Set(list) | Reply::Push(list) => rendered_list(list, indent),
        Reply::Map(pairs) => {
            let flat: Vec<Reply> =
                pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect();
            rendered_list(&flat, indent)
        }
    }
}

fn rendered_list(list: &[Reply], indent: &str) -> String {
    if list.is_empty() {
        return "(empty array)".to_owned();
    }
    let width = list.len().to_string().len();
    let inner = format!("{indent}{}", " ".repeat(width + 2));
    let element = |(index, reply): (usize, &Reply)| {
        let prefix = if index == 0 { "" } else { indent };
        format!("{prefix}{:>width$}) {}", index + 1, render(reply, &inner))
    };
    list.iter().enumerate().map(element).collect::<Vec<_>>().join("\n")
}

fn quoted(bytes: &[u8]) -> String {
    let escaped = |&byte: &u8| match byte {
        b'"' => "\\\"".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\t' => "\\t".to_owned(),
        7 => "\\a".to_owned(),
        8 => "\\b".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    format!("\"{}\"", bytes.iter().map(escaped).collect::<String>())
}

/// A request of borrowed words.
pub(crate) fn borrowed(request: &Words) -> Vec<&[u8]> {
    request.iter().map(Vec::as_slice).collect()
}

/// Requests of all kinds, most of them writes; `$k` is a key, `$v` a value, `$n` a small number, `$d` a database. Those whose
/// command this build does not have are left out.
const REQUESTS: &[&str] = &[
    "SET $k $v",
    "SET $k $n",
    "SET $k $v PX $n",
    "SET $k $v KEEPTTL",
    "SETRANGE $k $n $v",
    "APPEND $k $v",
    "APPEND $k $v",
    "INCR $k",
    "INCRBYFLOAT $k 1.5",
    "DECRBY $k $n",
    "GETDEL $k",
    "GETEX $k PX $n",
    "SETNX $k $v",
    "MSET $k $v $k $v $k $v",
    "MSETNX $k $v $k $v",
    "SETBIT $k $n 1",
    "BITOP XOR $k $k $k",
    "BITFIELD $k INCRBY u8 $n 3",
    "DEL $k",
    "DEL $k $k",
    "UNLINK $k",
    "PEXPIRE $k $n",
    "PEXPIRE $k $n GT",
    "PERSIST $k",
    "RENAME $k $k",
    "RENAMENX $k $k",
    "COPY $k $k REPLACE",
    "COUNTERS.ADD $k $v $n",
    "COUNTERS.ADD $k one $n two $n three $n",
    "COUNTERS.MOVE $k $k one",
    "COUNTERS.ADD $k one $n two $n three $n",
    "COUNTERS.GET $k one",
    "SADD $k $v $n $v",
    "SADD $k $n $n $n",
    "SADD $k $v $v",
    "SREM $k $n $n",
    "SPOP $k",
    "SPOP $k 2",
    "SMOVE $k $k $n",
    "SUNIONSTORE $k $k $k",
    "SDIFFSTORE $k $k $k",
    "SINTER $k $k",
    "COPY $k $k DB $d",
    "MOVE $k $d",
    "ZADD $k $n $v $n $v $n $n",
    "ZADD $k GT CH $n $n $n $v",
    "ZINCRBY $k $n $n",
    "ZREM $k $n $v",
    "ZPOPMIN $k 2",
    "ZPOPMAX $k",
    "ZREMRANGEBYRANK $k 3 9",
    "ZREMRANGEBYSCORE $k $n +inf",
    "ZUNIONSTORE $k 2 $k $k",
    "ZINTERSTORE $k 2 $k $k WEIGHTS 2 1",
    "ZRANGESTORE $k $k 0 -2",
    "ZMPOP 2 $k $k MAX COUNT 2",
    "ZRANGE $k 0 -1",
    "GEOADD $k $n 15 $v",
    "GEOSEARCHSTORE $k $k FROMLONLAT 15 15 BYRADIUS 9000 km",
    // Reads delete what they find expired.
    "GET $k",
    "EXISTS $k $k $k",
    "TTL $k",
];

/// What is asked rarely: whole databases.
const UPHEAVALS: &[&str] = &["SWAPDB $d $d", "SWAPDB 0 $d", "FLUSHDB", "FLUSHALL"];

/// Makes random requests.
pub(crate) struct Requests {
    pub(crate) random: fastrand::Rng,
    /// How many different keys there are.
    pub(crate) keys: usize,
    /// One request in so many is about whole databases; 0 for none.
    pub(crate) upheaval_every: usize,
    lines: Vec<&'static str>,
}

impl Requests {
    pub(crate) fn new(random: fastrand::Rng, keys: usize, upheaval_every: usize) -> Requests {
        let known = |line: &&&str| {
            let name = line.split(' ').next().unwrap();
            // The SET of an early build knows no options.
            let plain = !line.starts_with("SET ") || line.split(' ').count() == 3;
            registry().find(name.as_bytes()).is_some_and(|entry| plain || entry.arity < 0)
        };
        let lines = REQUESTS.iter().filter(known).copied().collect();
        Requests { random, keys, upheaval_every, lines }
    }

    pub(crate) fn next(&mut self) -> Words {
        if self.upheaval_every > 0 && self.random.usize(..self.upheaval_every) == 0 {
            let line = UPHEAVALS[self.random.usize(..UPHEAVALS.len())];
            return self.filled(line);
        }
        let line = self.lines[self.random.usize(..self.lines.len())];
        self.filled(line)
    }

    pub(crate) fn key(&mut self) -> Vec<u8> {
        format!("key:{}", self.random.usize(..self.keys)).into_bytes()
    }

    fn filled(&mut self, line: &str) -> Words {
        let mut word = |word: &str| match word {
            "$k" => self.key(),
            // Short ones, and now and then one that the journal refers to instead of copying.
            "$v" if self.random.usize(..200) == 0 => vec![b'v'; 70_000],
            "$v" => format!("value-{}", self.random.u32(..1000)).into_bytes(),
            "$n" => self.random.u32(1..300).to_string().into_bytes(),
            "$d" => self.random.u32(..3).to_string().into_bytes(),
            other => other.as_bytes().to_vec(),
        };
        line.split(' ').map(&mut word).collect()
    }
}

/// An empty shard that follows: other seed, and a clock far ahead, which must not matter.
pub(crate) fn follower(id: u16, shards: u16) -> Shard {
    let keys = Keyspace::new(DBS, 0x5eed + u64::from(id));
    let mut shard = Shard::new(ShardId(id), shards, keys, registry().len());
    shard.keys.set_role(Role::Replica);
    shard.set_now(Millis(u64::MAX / 2));
    shard
}

/// Checks that followers which are fed with nothing but the journals hold the same data.
pub(crate) fn check_twin(node: &ModelNode, what: &str) {
    for id in 0..node.shards() {
        let mut twin = follower(id, node.shards());
        let journal = node.journal(id);
        if let Err(broken) = twin.apply_frames(&journal, None) {
            panic!("{what}: shard {id}: {broken}");
        }
        let (digest, lens) = node.with_shard(id, |shard| {
            let expires = (0..DBS as u16).map(|db| shard.keys.expires(engine::types::DbIndex(db)));
            (shard.keys.digest(), (shard.keys.total_len(), expires.sum::<usize>()))
        });
        let twin_expires = (0..DBS as u16).map(|db| twin.keys.expires(engine::types::DbIndex(db)));
        assert_eq!((twin.keys.total_len(), twin_expires.sum()), lens, "{what}: shard {id}");
        assert_eq!(twin.keys.digest(), digest, "{what}: shard {id}");
        node.with_shard(id, |shard| check_slices(shard, what));
    }
}

/// Checks that every value is as long as it says, and the same in slices.
fn check_slices(shard: &engine::shard::Shard, what: &str) {
    for db in (0..DBS as u16).map(engine::types::DbIndex) {
        let mut cursor = Some(engine::table::Cursor::START);
        while let Some(at) = cursor {
            cursor = shard.keys.table(db).walk(at, &mut |_, item| {
                let Some(object) = item.object() else { return };
                let (mut whole, mut slices) = (Vec::new(), Vec::new());
                object.encode(&mut whole);
                assert_eq!(whole.len(), object.encoded_len(), "{what}: {object:?}");
                for from in (0..whole.len()).step_by(whole.len().div_ceil(9).max(1)) {
                    let to = whole.len().min(from + whole.len().div_ceil(9).max(1));
                    object.encode_range(from..to, &mut slices);
                    assert_eq!(slices.len(), to, "{what}: {object:?}");
                }
                assert!(slices == whole, "{what}: {object:?}");
            });
        }
    }
}

/// Checks that all tasks have ended and that no key is open any more.
pub(crate) fn check_quiet(node: &ModelNode, what: &str) {
    let unfinished = node.world().run();
    assert!(unfinished.is_empty(), "{what}: these wait for ever: {unfinished:?}");
    assert_eq!(node.open_entries(), 0, "{what}: keys are open though nobody works");
}

/// Four clients that write at random, in pipelines and transactions, while a test looks.
#[derive(Clone, Copy)]
pub(crate) struct Shaking {
    /// Batches of each.
    pub(crate) rounds: usize,
    /// Requests of a batch, at most.
    pub(crate) most: usize,
    /// Keys that they write to.
    pub(crate) hot: usize,
    pub(crate) upheaval_every: usize,
}

impl Shaking {
    /// They begin. `further` may add a request to a batch, by the client's number and the round.
    pub(crate) fn start(
        self,
        node: &ModelNode,
        dice: &mut fastrand::Rng,
        further: impl Fn(usize, usize, &mut Client) -> Option<Words> + Copy + 'static,
    ) {
        for number in 0..4 {
            let mut client = node.client(dice.u16(..=node.shards()));
            let mut requests = Requests::new(dice.fork(), self.hot, self.upheaval_every);
            let world = node.world().clone();
            node.world().spawn(format!("client {number}"), async move {
                for round in 0..self.rounds {
                    client.db = DbIndex(requests.random.u16(..3));
                    let mut batch: Vec<_> = (0..requests.random.usize(1..=self.most))
                        .map(|_| requests.next())
                        .collect();
                    if requests.random.bool() {
                        batch.insert(0, words("MULTI"));
                        batch.push(words("EXEC"));
                    }
                    batch.extend(further(number, round, &mut client));
                    let batch: Vec<_> = batch.iter().map(borrowed).collect();
                    client.pipeline(&batch).await;
                    if requests.random.u8(..4) == 0 {
                        world.sleep(requests.random.u64(..30)).await;
                    }
                }
            });
        }
    }
}
