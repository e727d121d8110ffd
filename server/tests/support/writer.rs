//! Random writes of all types, until they are enough.

use super::client::{Client, request};
use super::redis::Redis;
use super::wait;
use fastrand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

type Request = Vec<Vec<u8>>;

/// A thread that writes all kinds of things to a server until it is stopped.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(mut client: Client, seed: u64) -> Writer {
        let lines = known(&mut client);
        Writer::start_with(client, lines, seed)
    }

    /// The same with what another server knows too, which gets it from the first one.
    pub(crate) fn start_for(mut client: Client, other: &mut Client, seed: u64) -> Writer {
        let others = known(other);
        let both = known(&mut client).into_iter().filter(|line| others.contains(line));
        Writer::start_with(client, both.collect(), seed)
    }

    fn start_with(mut client: Client, lines: Vec<&'static str>, seed: u64) -> Writer {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let held = Arc::new(AtomicBool::new(false));
        let shared = (stop.clone(), held.clone(), written.clone());
        let thread = thread::spawn(move || {
            let (stop, held, written) = shared;
            let mut random = Rng::with_seed(seed);
            while !stop.load(Ordering::Relaxed) {
                if held.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                }
                let requests = buffer(&mut random, &lines);
                client.pipeline(&requests);
                written.fetch_add(requests.len() as u64, Ordering::Relaxed);
                // Not as fast as it can: a machine with other tests on it must be able to follow.
                thread::sleep(Duration::from_millis(1));
            }
        });
        Writer { stop, held, written, thread: Some(thread) }
    }

    /// It rests until it is told that it may go on, but for what it has begun.
    pub(crate) fn rest(&self, rests: bool) {
        self.held.store(rests, Ordering::Relaxed);
    }

    /// Waits until so many more requests were answered.
    pub(crate) fn wait_for(&self, more: u64) {
        let goal = self.written.load(Ordering::Relaxed) + more;
        wait::until("the writer goes on", || {
            assert!(self.thread.as_ref().is_some_and(|thread| !thread.is_finished()));
            self.written.load(Ordering::Relaxed) >= goal
        });
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || !matches!(ended, Some(Err(_))), "the writer failed");
    }
}

/// The lines whose command is known there: one that is not would undo the MULTI that it stands in.
fn known(client: &mut Client) -> Vec<&'static str> {
    let known = |line: &&str| {
        let name = line.split(' ').next().expect("a line begins with a command");
        let reply = client.must(&["COMMAND", "INFO", name]);
        reply.elements().is_some_and(|found| found[0].elements().is_some_and(|it| !it.is_empty()))
    };
    LINES.iter().copied().filter(known).collect()
}

/// Requests of one write, some of them in MULTI. What a key happens to hold may refuse some.
fn buffer(random: &mut Rng, lines: &[&'static str]) -> Vec<Request> {
    let mut requests = vec![request(&["SELECT", &random.u8(..3).to_string()])];
    for _ in 0..random.usize(1..12) {
        if random.u8(..6) > 0 {
            requests.push(draw(random, lines));
            continue;
        }
        requests.push(request(&["MULTI"]));
        for _ in 0..random.usize(1..8) {
            let is_other = random.u8(..12) == 0;
            if is_other {
                requests.push(request(&["SELECT", &random.u8(..3).to_string()]));
            }
            requests.push(draw(random, lines));
        }
        requests.push(request(&["EXEC"]));
    }
    match random.u16(..400) {
        0 => requests.push(request(&["FLUSHDB"])),
        1 | 2 => requests.push(request(&["SWAPDB", "1", "2"])),
        3 => requests.push(request(&["FLUSHALL", "ASYNC"])),
        _ => {}
    }
    requests
}

/// `%s` and so on are keys of a type, now and then of another; `#` a number, `%v` a value, `%T` an instant that is
/// near.
const LINES: &[&str] = &[
    "SET %s %v",
    "SET %s %v PX #00",
    "SETEX %s # %v",
    "APPEND %s %v",
    "INCRBY %n #",
    "INCRBYFLOAT %n 0.5",
    "SETRANGE %s # %v",
    "GETDEL %s",
    "GETEX %s PX #00",
    "MSET %s %v %s %v %n #",
    "MSETNX %s %v %s %v",
    "SETBIT %b # 1",
    "BITOP XOR %b %b %s",
    "BITFIELD %b INCRBY u8 # 3",
    "PFADD %p %v %v",
    "PFMERGE %p %p %p",
    "LPUSH %l %v %v %v",
    "RPUSH %l %v #",
    "RPOP %l 2",
    "LMOVE %l %l LEFT RIGHT",
    "RPOPLPUSH %l %l",
    "LINSERT %l BEFORE %v %v",
    "LREM %l 1 %v",
    "LTRIM %l 0 20",
    "LMPOP 2 %l %l LEFT COUNT 2",
    "SORT %l ALPHA STORE %l",
    "SADD %e %v # %v",
    "SADD %e # # #",
    "SPOP %e",
    "SPOP %e 3",
    "SMOVE %e %e %v",
    "SREM %e #",
    "SUNIONSTORE %e %e %e",
    "SDIFFSTORE %e %e %e",
    "HSET %h %v # f# %v",
    "HINCRBY %h count #",
    "HINCRBYFLOAT %h float 0.25",
    "HDEL %h f#",
    "HPEXPIRE %h #00 FIELDS 1 f#",
    "HPEXPIREAT %h %T FIELDS 2 f# f#",
    "HPERSIST %h FIELDS 1 f#",
    "HSETEX %h PX #00 FIELDS 2 f# %v f# #",
    "HSETEX %h FNX KEEPTTL FIELDS 1 f# %v",
    "HGETEX %h EX # FIELDS 1 f#",
    "HGETDEL %h FIELDS 2 f# f#",
    "ZADD %z # %v # %v",
    "ZADD %z GT # %v",
    "ZINCRBY %z 1.5 %v",
    "ZPOPMIN %z",
    "ZMPOP 1 %z MAX COUNT 2",
    "ZUNIONSTORE %z 2 %z %z",
    "ZRANGESTORE %z %z 0 3",
    "ZREMRANGEBYRANK %z 5 -1",
    "SET %s %v IFEQ %v",
    "DELIFEQ %s %v",
    "BITOP DIFF %b %b %b",
    "GEOADD %g 13.# 38.# %v",
    "GEOSEARCHSTORE %z %g FROMLONLAT 13 38 BYRADIUS 90 km",
    "XADD %x * f %v",
    "XADD %x MAXLEN ~ 20 * f %v g #",
    "XADD %x NOMKSTREAM MINID = 0-1 * f #",
    "XTRIM %x MAXLEN 15",
    "XGROUP CREATE %x group 0 MKSTREAM",
    "XREADGROUP GROUP group alice COUNT 2 STREAMS %x >",
    "XREADGROUP GROUP group bob COUNT 1 NOACK STREAMS %x >",
    "XAUTOCLAIM %x group carol 0 0 COUNT 2",
    "XGROUP SETID %x group $",
    "XSETID %x 9999999999999-#",
    "EXPIRE %s #",
    "PEXPIRE %l #00",
    "PEXPIREAT %e %T",
    "PEXPIREAT %h %T",
    "PERSIST %s",
    "PERSIST %e",
    "RENAME %s %s",
    "RENAME %l %l",
    "RENAMENX %z %z",
    "COPY %h %h REPLACE",
    "COPY %e %e DB 1",
    "MOVE %s 2",
    "DEL %s %l %z",
    "UNLINK %e %h",
    "DEL %x",
    "PUBLISH channel %v",
    "SPUBLISH channel %v",
    "EVAL redis.call('SET',KEYS[1],ARGV[1]);redis.call('SADD',KEYS[2],ARGV[1]) 2 %s %e %v",
    "FCALL put 1 %s %v",
    "EVAL return{redis.call('INCR',KEYS[1]),redis.call('SPOP',KEYS[2])} 2 %n %e",
];

fn draw(random: &mut Rng, lines: &[&'static str]) -> Request {
    let line = lines[random.usize(..lines.len())];
    let word = |word: &str| word.to_owned();
    let mut words: Vec<String> = match line.strip_prefix("EVAL ") {
        None => line.split(' ').map(word).collect(),
        Some(script) => {
            let (script, rest) = script.rsplit_once(" 2 ").expect("a script of two keys");
            let start = ["EVAL", script, "2"].into_iter().map(word);
            start.chain(rest.split(' ').map(word)).collect()
        }
    };
    let is_script = line.starts_with("EVAL");
    for word in words.iter_mut().skip(if is_script { 3 } else { 1 }) {
        if let Some(kind) = word.strip_prefix('%') {
            *word = match kind {
                "v" => value(random),
                "T" => (now_millis() + random.i64(-50..2000)).to_string(),
                kind => format!("{kind}{}", random.u8(..30)),
            };
        } else if word.contains('#') {
            *word = word.replace('#', &random.u8(1..100).to_string());
        }
    }
    words.into_iter().map(String::into_bytes).collect()
}

fn value(random: &mut Rng) -> String {
    match random.u8(..40) {
        0 => "long ".repeat(random.usize(..200)),
        1..=20 => random.u16(..50).to_string(),
        _ => format!("value {}", random.u16(..50)),
    }
}

fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock after 1970").as_millis() as i64
}

/// Data of every type in several databases, in small forms and large.
pub(crate) fn fill(redis: &Redis) {
    let mut client = redis.client();
    let mut must = |words: &[&[u8]]| drop(client.must(words));
    must(&[b"SET", b"binary \x00\xff\r\n", b"\x00\x01\xfe\xff"]);
    must(&[b"SET", b"large", &vec![b'x'; 20 << 20]]);
    must(&[b"SET", b"packed", "abc".repeat(5000).as_bytes()]);
    must(&[b"SET", b"integer", b"-12345"]);
    must(&[b"SET", b"dies", b"x", b"PX", b"9000000"]);
    must(&[b"PFADD", b"hyperloglog", b"a", b"b", b"c"]);
    for count in [3, 2000] {
        let name = |kind: &str| format!("{kind}:{count}").into_bytes();
        for number in 0..count {
            let (text, figure) = (format!("element {number}"), number.to_string());
            must(&[b"RPUSH", &name("list"), text.as_bytes()]);
            must(&[b"SADD", &name("set"), text.as_bytes()]);
            must(&[b"SADD", &name("intset"), figure.as_bytes()]);
            must(&[b"HSET", &name("hash"), text.as_bytes(), figure.as_bytes()]);
            must(&[b"ZADD", &name("zset"), figure.as_bytes(), text.as_bytes()]);
            must(&[b"XADD", &name("stream"), b"*", b"field", text.as_bytes()]);
        }
        must(&[b"EXPIRE", &name("hash"), b"3600"]);
        must(&[b"XGROUP", b"CREATE", &name("stream"), b"group", b"0"]);
        must(&[
            b"XREADGROUP",
            b"GROUP",
            b"group",
            b"me",
            b"COUNT",
            b"2",
            b"STREAMS",
            &name("stream"),
            b">",
        ]);
    }
    for database in ["3", "15"] {
        must(&[b"SELECT", database.as_bytes()]);
        must(&[b"SET", b"where", database.as_bytes()]);
        must(&[b"LPUSH", b"list", b"a", b"b"]);
    }
}
