//! Writes to collections of all types: few keys of each, so that some become long; moves between keys of other
//! shards; and a long one of each type.

use super::client::request;
use super::node::Node;
use fastrand::Rng;

type Request = Vec<Vec<u8>>;

/// Elements of a collection that the log refers to.
const LONG: usize = 2500;

/// The same of one that goes to a replica in pieces: not all of them, full syncs of these tests are slowed.
const LONGER: usize = 9000;

/// `$l` `$s` `$z` `$h` `$x` is a key of one type, `$e` an element, `$n` a number, `$m` a moment soon.
const LINES: &[&str] = &[
    "RPUSH $l $e $e $e",
    "RPUSH $l $e $e $e",
    "LPUSH $l $e $e",
    "LPOP $l",
    "RPOP $l 3",
    "LMOVE $l $l LEFT RIGHT",
    "LMOVE $l $l RIGHT LEFT",
    "LINSERT $l AFTER $e $e",
    "LREM $l 1 $e",
    "LTRIM $l 0 2000",
    "SADD $s $e $e $e $e",
    "SADD $s $e $e $e $e",
    "SADD $s $n $n $n",
    "SREM $s $e",
    "SPOP $s 2",
    "SMOVE $s $s $e",
    "SUNIONSTORE $s $s $s",
    "SINTERSTORE $s $s $s",
    "SDIFFSTORE $s $s $s",
    "SORT $s ALPHA LIMIT 0 100 STORE $l",
    "ZADD $z $n $e $n $e $n $e",
    "ZADD $z $n $e $n $e $n $e",
    "ZINCRBY $z 0.5 $e",
    "ZREM $z $e",
    "ZPOPMIN $z 2",
    "ZREMRANGEBYSCORE $z $n $n",
    "ZUNIONSTORE $z 2 $z $s",
    "ZRANGESTORE $z $z 0 500",
    "GEOADD $z 13.36 38.11 $e",
    "HSET $h $e $e $e $n",
    "HSET $h $e $e $e $n",
    "HDEL $h $e",
    "HPEXPIRE $h 500 FIELDS 2 $e $e",
    "HEXPIRE $h 5000 FIELDS 1 $e",
    "HSETEX $h PX 300 FIELDS 1 $e $e",
    "HGETDEL $h FIELDS 1 $e",
    "HPERSIST $h FIELDS 1 $e",
    "XADD $x * $e $e $e $n",
    "XADD $x * $e $e $e $n",
    "XADD $x MAXLEN ~ 2000 * $e $e",
    "XTRIM $x MAXLEN 1500",
    "XGROUP CREATE $x group 0 MKSTREAM",
    "XREADGROUP GROUP group consumer-$n COUNT 5 STREAMS $x >",
    "XREADGROUP GROUP group consumer COUNT 5 STREAMS $x >",
    "XAUTOCLAIM $x group other 0 0 COUNT 3",
    "RENAME $l $l",
    "RENAME $x $x",
    "COPY $s $s REPLACE",
    "COPY $z $z REPLACE",
    "COPY $h $h REPLACE",
    "COPY $x $x REPLACE",
    "DEL $l",
    "DEL $z",
    "PEXPIRE $s 2000",
    "PERSIST $s",
];

/// One request, of so many keys of each type.
pub(super) fn draw(random: &mut Rng, keys: u64) -> Request {
    let line = LINES[random.usize(..LINES.len())];
    line.split(' ').map(|word| draw_word(random, keys, word)).collect()
}

fn draw_word(random: &mut Rng, keys: u64, word: &str) -> Vec<u8> {
    let number = random.u64(..60);
    match word {
        "$l" | "$s" | "$z" | "$h" | "$x" => format!("{}:{}", &word[1..], random.u64(..keys)),
        "$e" if random.u8(..20) == 0 => "long".repeat(random.usize(1..100)),
        "$e" => format!("element:{}", random.u32(..800)),
        "$n" => number.to_string(),
        other => other.replace("$n", &(number % 4).to_string()),
    }
    .into_bytes()
}

/// Errors that follow from what a key happens to hold.
pub(super) fn is_expected(error: &str) -> bool {
    ["NOGROUP", "BUSYGROUP"].iter().any(|code| error.starts_with(code))
}

/// Puts a long one of each type, while others may write.
pub(super) fn fill(node: &Node, random: &mut Rng) {
    let mut client = node.client();
    let longer = random.usize(..5);
    let length = |kind: usize| if kind == longer { LONGER } else { LONG };
    for (number, kind) in ["list", "set", "zset", "hash"].into_iter().enumerate() {
        let (prefix, elements) = (&kind[..1], length(number).to_string());
        let words = ["DEBUG", "POPULATE", "1", prefix, "40", "RAND", "TYPE", kind, "ELEMENTS"];
        client.must(&[&words[..], &[&elements]].concat());
    }
    let entry = |number: usize| request(&["XADD", "x:0", "*", "number", &format!("{number:040}")]);
    let mut requests: Vec<Request> = (0..length(4)).map(entry).collect();
    requests.push(request(&["XGROUP", "CREATE", "x:0", "group", "0"]));
    let words = "XREADGROUP GROUP group reader COUNT 1000 STREAMS x:0 >";
    requests.push(request(&words.split(' ').collect::<Vec<_>>()));
    client.pipeline(&requests);
}
