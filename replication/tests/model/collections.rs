//! What clients do to collections: every type, moves between keys, limits crossed both ways, long ones.

use engine::model::ModelNode;
use fastrand::Rng;

/// A word stands for itself, or begins with `$`: `$l` `$s` `$z` `$h` `$x` is a key of one type's own, now and then one
/// that all share. `$e` is an element, `$E` several, sometimes very many; `$f` a field, `$P` fields with values,
/// `$S` scores with members; `$c` a score, `$i` an index, `$n` a small number, `$d` a database, `$t` soon, `$q` an id
/// of a stream, `$g` a group, `$u` a consumer.
pub(super) const REQUESTS: &[&str] = &[
    "LPUSH $l $E",
    "RPUSH $l $E",
    "RPUSH $l $E",
    "RPUSH $l $e",
    "RPUSHX $l $e",
    "LPOP $l",
    "RPOP $l $n",
    "LSET $l $i $e",
    "LINSERT $l BEFORE $e $e",
    "LREM $l $i $e",
    "LTRIM $l $i $n",
    "LMOVE $l $l LEFT RIGHT",
    "LMOVE $l $l RIGHT LEFT",
    "RPOPLPUSH $l $l",
    "LMPOP 2 $l $l LEFT COUNT $n",
    "BLMOVE $l $l LEFT RIGHT 1",
    "BLPOP $l $l 1",
    "SADD $s $E",
    "SADD $s $E",
    "SADD $s $n $n $n",
    "SREM $s $e $e",
    "SPOP $s",
    "SPOP $s $n",
    "SMOVE $s $s $e",
    "SMOVE $s $s $e",
    "SINTERSTORE $s $s $s",
    "SUNIONSTORE $s $s $s",
    "SDIFFSTORE $s $s $s",
    "SORT $s ALPHA STORE $l",
    "SORT $l BY nosort GET # STORE $l",
    "HSET $h $P",
    "HSET $h $P",
    "HSET $h $f $e",
    "HSETNX $h $f $e",
    "HDEL $h $f $f",
    "HINCRBY $h $f $n",
    "HINCRBYFLOAT $h $f 0.5",
    "HEXPIRE $h 1 FIELDS 2 $f $f",
    "HPEXPIRE $h $n FIELDS 2 $f $f",
    "HPEXPIREAT $h $t FIELDS 1 $f",
    "HPEXPIREAT $h 1 FIELDS 1 $f",
    "HPERSIST $h FIELDS 2 $f $f",
    "HSETEX $h PX $n FIELDS 2 $f $e $f $e",
    "HSETEX $h KEEPTTL FIELDS 1 $f $e",
    "HGETEX $h PX $n FIELDS 2 $f $f",
    "HGETEX $h PERSIST FIELDS 1 $f",
    "HGETDEL $h FIELDS 2 $f $f",
    "HGETALL $h",
    "ZADD $z $S",
    "ZADD $z $S",
    "ZADD $z GT CH $c $e",
    "ZINCRBY $z $c $e",
    "ZREM $z $e $e",
    "ZPOPMIN $z",
    "ZPOPMAX $z $n",
    "ZMPOP 2 $z $z MIN COUNT $n",
    "BZPOPMIN $z $z 1",
    "ZREMRANGEBYRANK $z $i $i",
    "ZREMRANGEBYSCORE $z $c $c",
    "ZREMRANGEBYLEX $z - [e-2",
    "ZUNIONSTORE $z 2 $z $s WEIGHTS 2 1",
    "ZINTERSTORE $z 2 $z $z AGGREGATE MAX",
    "ZDIFFSTORE $z 2 $z $z",
    "ZRANGESTORE $z $z $i $n",
    "ZRANGESTORE $z $z $c $c BYSCORE",
    "GEOADD $z 13.361389 38.115556 $e 15.087269 37.502669 $e",
    "GEOSEARCHSTORE $z $z FROMLONLAT 15 37 BYRADIUS 300 km ASC STOREDIST",
    "XADD $x * $P",
    "XADD $x * $P",
    "XADD $x * $f $e",
    "XADD $x MAXLEN $n * $f $e",
    "XADD $x MAXLEN ~ $n * $f $e",
    "XADD $x $q $f $e",
    "XDEL $x $q $q $q",
    "XTRIM $x MAXLEN $n",
    "XTRIM $x MINID $q",
    "XSETID $x $t-5",
    "XGROUP CREATE $x $g 0 MKSTREAM",
    "XGROUP CREATE $x $g 0 MKSTREAM",
    "XGROUP CREATE $x $g $ ENTRIESREAD 3",
    "XGROUP SETID $x $g $q",
    "XGROUP DESTROY $x $g",
    "XGROUP CREATECONSUMER $x $g $u",
    "XGROUP DELCONSUMER $x $g $u",
    "XREADGROUP GROUP $g $u COUNT $n STREAMS $x >",
    "XREADGROUP GROUP $g $u COUNT $n STREAMS $x >",
    "XREADGROUP GROUP $g $u COUNT 5 STREAMS $x $x > >",
    "XREADGROUP GROUP $g $u NOACK COUNT 2 STREAMS $x >",
    "XREADGROUP GROUP $g $u STREAMS $x 0",
    "XACK $x $g $q $q $q",
    "XCLAIM $x $g $u 0 $q $q",
    "XCLAIM $x $g $u 0 $q FORCE RETRYCOUNT 7",
    "XCLAIM $x $g $u 0 $q JUSTID",
    "XAUTOCLAIM $x $g $u $n 0 COUNT 5",
    "XAUTOCLAIM $x $g $u 0 0 JUSTID",
    "RENAME $l $l",
    "RENAME $h $h",
    "RENAME $x $x",
    "RENAMENX $z $z",
    "COPY $s $s REPLACE",
    "COPY $z $z DB $d REPLACE",
    "COPY $x $x REPLACE",
    "COPY $h $h REPLACE",
    "COPY $l $l DB $d REPLACE",
    "MOVE $x $d",
    "MOVE $h $d",
    "DEL $l $s",
    "UNLINK $z",
    "DEL $x",
    "DEL $h",
    "PEXPIRE $l $n",
    "PEXPIRE $h $n",
    "PERSIST $h",
    "PEXPIREAT $z $t",
];

/// What the words of requests are drawn from.
pub(super) struct Words<'a> {
    pub(super) dice: &'a mut Rng,
    /// Keys of each type.
    pub(super) keys: usize,
    /// Several elements are this many now and then, and long: so that a value goes in pieces; 0 for never.
    pub(super) most: usize,
    pub(super) now: u64,
}

impl Words<'_> {
    /// A request, drawn.
    pub(super) fn request(&mut self) -> Vec<Vec<u8>> {
        let line = REQUESTS[self.dice.usize(..REQUESTS.len())];
        self.filled(line)
    }

    fn filled(&mut self, line: &str) -> Vec<Vec<u8>> {
        line.split(' ').flat_map(|word| self.words(word)).collect()
    }

    /// A key of the type with this letter.
    pub(super) fn key(&mut self, letter: &str) -> Vec<u8> {
        // Of few keys some meet in one that all types share.
        let family = if self.dice.u8(..16) == 0 { "key" } else { letter };
        format!("{family}:{}", self.dice.usize(..self.keys)).into_bytes()
    }

    fn words(&mut self, word: &str) -> Vec<Vec<u8>> {
        let one = match word {
            "$l" | "$s" | "$z" | "$h" | "$x" => self.key(&word[1..]),
            "$E" => return self.several(|words| vec![words.element()]),
            "$P" => return self.several(|words| vec![words.field(), words.element()]),
            "$S" => return self.several(|words| vec![words.score(), words.element()]),
            "$e" => self.element(),
            "$f" => self.field(),
            "$c" => self.score(),
            "$i" => self.dice.i32(-6..20).to_string().into_bytes(),
            "$n" => self.dice.u32(1..200).to_string().into_bytes(),
            "$d" => self.dice.u32(..3).to_string().into_bytes(),
            "$t" => (self.now + self.dice.u64(..200)).to_string().into_bytes(),
            "$g" => format!("group-{}", self.dice.u32(..2)).into_bytes(),
            "$u" => format!("consumer-{}", self.dice.u32(..3)).into_bytes(),
            "$q" => {
                let past = self.now.saturating_sub(self.dice.u64(..60));
                format!("{past}-{}", self.dice.u32(..2)).into_bytes()
            }
            other if other.starts_with("$t") => {
                let soon = self.now + self.dice.u64(..10);
                format!("{soon}{}", &other[2..]).into_bytes()
            }
            other => other.as_bytes().to_vec(),
        };
        vec![one]
    }

    fn several(&mut self, mut each: impl FnMut(&mut Self) -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let count = match self.dice.u8(..40) {
            0 if self.most > 0 => self.most,
            // Beyond what is small.
            1 | 2 => 140,
            _ => self.dice.usize(1..6),
        };
        (0..count).flat_map(|_| each(self)).collect()
    }

    fn element(&mut self) -> Vec<u8> {
        match self.dice.u8(..60) {
            // Too long for what is small; too long for a leaf.
            0 => vec![b'e'; self.dice.usize(60..70)],
            1 => vec![b'e'; self.dice.usize(250..3000)],
            2..12 => self.dice.u32(..60).to_string().into_bytes(),
            12..20 => format!("e-{}", self.dice.u32(..5000)).into_bytes(),
            _ => format!("e-{}", self.dice.u32(..20)).into_bytes(),
        }
    }

    fn field(&mut self) -> Vec<u8> {
        let most = if self.dice.u8(..8) == 0 { 2000 } else { 12 };
        format!("f-{}", self.dice.u32(..most)).into_bytes()
    }

    fn score(&mut self) -> Vec<u8> {
        let whole = self.dice.i32(-5..40);
        let text = if self.dice.bool() { whole.to_string() } else { format!("{whole}.5") };
        text.into_bytes()
    }
}

/// A request that is always refused, or finds nothing to do, tests nothing.
#[test]
fn each_request_does_something_now_and_then() {
    let node = ModelNode::new(2, 1);
    let (mut dice, mut done) = (Rng::with_seed(1), vec![0; REQUESTS.len()]);
    for round in 0..20_000 {
        let (index, now) = (round % REQUESTS.len(), node.world().now().0);
        let mut words = Words { dice: &mut dice, keys: 2, most: 0, now };
        let request = words.filled(REQUESTS[index]);
        let written = |node: &ModelNode| {
            (0..2).map(|id| node.with_shard(id, |shard| shard.log.lsn().0)).sum::<u64>()
        };
        let (before, mut client) = (written(&node), node.client(0));
        node.world().block_on(async move {
            let request: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
            client.run(&request).await
        });
        done[index] += usize::from(written(&node) > before);
        node.world().advance(1);
    }
    let idle =
        REQUESTS.iter().zip(&done).filter(|(line, done)| **done == 0 && **line != "HGETALL $h");
    let idle: Vec<_> = idle.collect();
    assert!(idle.is_empty(), "{idle:?}");
}
