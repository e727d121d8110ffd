//! Large requests, which go on in slices: on a node of their own, inside a MULTI on another, and in short requests
//! that never go on on a third. All three answer and end the same, and the log says so too.

use super::model_common::{Words, borrowed, check_quiet, check_twin, words};
use engine::model::{ModelNode, World};
use engine::resp::Reply;

/// How the replies of short requests are the large one's.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Joined {
    /// Their sum.
    Sum,
    /// One behind the other.
    Row,
    /// The last one.
    Last,
    /// There are none.
    None,
}

/// A large request, and the short ones that do the same.
struct Large {
    whole: Words,
    short: Vec<Words>,
    joined: Joined,
}

struct Making {
    dice: fastrand::Rng,
    /// The next number of an entry.
    next: u64,
}

impl Making {
    fn many(&mut self) -> usize {
        let counts = [1, 31, 33, 65, 129, 257, 300, 513, 700, 1500, 3000, 7000];
        counts[self.dice.usize(..counts.len())]
    }

    fn member(&mut self) -> String {
        match self.dice.u8(..5) {
            0 => self.dice.u32(..9000).to_string(),
            _ => format!("m{}", self.dice.u32(..9000)),
        }
    }

    fn key(&mut self, of: &str) -> String {
        format!("{of}{}", self.dice.u8(..2))
    }

    /// A command with a word or more for each of many elements.
    fn each(
        &mut self,
        start: &str,
        joined: Joined,
        element: impl Fn(&mut Making) -> String,
    ) -> Large {
        let elements: Vec<String> = (0..self.many()).map(|_| element(self)).collect();
        let short = elements.iter().map(|element| words(&format!("{start} {element}"))).collect();
        let whole = start.split(' ').map(str::to_owned).chain(elements);
        let whole = whole.flat_map(|word| words(&word)).collect();
        Large { whole, short, joined }
    }

    /// The same request again and again, as often as the large one says.
    fn times(&mut self, line: &str, short: &str, joined: Joined) -> Large {
        let many = self.many();
        let whole = words(&line.replace("$n", &many.to_string()));
        Large { whole, short: vec![words(short); many], joined }
    }

    fn alone(&mut self, line: &str) -> Large {
        Large { whole: words(line), short: vec![words(line)], joined: Joined::None }
    }

    fn entries(&mut self, key: &str) -> Large {
        let (many, size) = (self.many() as u64, [1, 1, 1000][self.dice.usize(..3)]);
        let text = "v".repeat(if many > 1500 { 1 } else { size });
        let first = self.next;
        self.next += many;
        let short = (first..first + many).map(|id| words(&format!("XADD {key} {id}-1 f {text}")));
        Large { whole: Words::new(), short: short.collect(), joined: Joined::None }
    }

    fn trimmed(&mut self) -> Large {
        let (key, n, next) = (self.key("x"), self.many(), self.next);
        let of = ["MAXLEN", "MINID"][self.dice.usize(..2)];
        let threshold = if of == "MAXLEN" { n as u64 } else { next.saturating_sub(n as u64) };
        let (how, entry) = match self.dice.u8(..5) {
            0 => ("~", String::new()),
            1 => ("~", format!("LIMIT {}", self.many())),
            _ => ("=", String::new()),
        };
        if self.dice.bool() {
            return self.alone(&format!("XTRIM {key} {of} {how} {threshold} {entry}"));
        }
        self.next += 1;
        self.alone(&format!("XADD {key} {of} {how} {threshold} {entry} {next}-1 job 1"))
    }

    fn next(&mut self) -> Large {
        let (l, s, h, z) = (self.key("l"), self.key("s"), self.key("h"), self.key("z"));
        let (x, g) = (self.key("x"), self.key("g"));
        let (a, b) = (self.dice.u32(..2000), self.dice.u32(..2000));
        let end = ["L", "R"][self.dice.usize(..2)];
        let member = |making: &mut Making| making.member();
        let number = |making: &mut Making| format!("{}-1", making.dice.u64(..making.next + 5));
        let way = ["", "CH ", "NX ", "XX CH ", "GT CH "][self.dice.usize(..5)];
        let pair = |making: &mut Making| format!("{} {}", making.dice.u32(..999), making.member());
        let place = |making: &mut Making| {
            format!("{} {} {}", making.dice.u32(..90), making.dice.u32(..80), making.member())
        };
        match self.dice.u8(..38) {
            0..=2 => self.each(&format!("SADD {s}"), Joined::Sum, member),
            3 => self.each(&format!("SREM {s}"), Joined::Sum, member),
            4..=5 => self.each(&format!("HSET {h}"), Joined::Sum, |making| {
                format!("{} {}", making.member(), making.member())
            }),
            6 => self.each(&format!("HDEL {h}"), Joined::Sum, member),
            7 => self.each(&format!("HMGET {h}"), Joined::Row, member),
            8..=9 => self.each(format!("ZADD {z} {way}").trim_end(), Joined::Sum, pair),
            10 => self.each(&format!("ZREM {z}"), Joined::Sum, member),
            11 => self.each(&format!("GEOADD {g}"), Joined::Sum, place),
            12..=13 => self.each(&format!("{end}PUSH {l}"), Joined::Last, |making| {
                making.dice.u32(..50).to_string()
            }),
            14 => self.times(&format!("{end}POP {l} $n"), &format!("{end}POP {l}"), Joined::Row),
            15 => self.times(&format!("LREM {l} $n 7"), &format!("LREM {l} 1 7"), Joined::Sum),
            16 => self.times(&format!("LREM {l} -$n 8"), &format!("LREM {l} -1 8"), Joined::Sum),
            17 => self.alone(&format!("LREM {l} 0 {}", a % 50)),
            18 => self.alone(&format!("LTRIM {l} {} -{}", a / 2, b / 2)),
            19 => self.times(&format!("ZPOPMIN {z} $n"), &format!("ZPOPMIN {z}"), Joined::Row),
            20 => self.times(&format!("ZPOPMAX {z} $n"), &format!("ZPOPMAX {z}"), Joined::Row),
            21 => self.alone(&format!("ZREMRANGEBYRANK {z} {} {}", a.min(b), a.max(b))),
            22 => {
                let (from, to) = (a.min(b) / 2, a.max(b) / 2);
                let short = (from..=to)
                    .map(|score| words(&format!("ZREMRANGEBYSCORE {z} {score} {score}")));
                let whole = words(&format!("ZREMRANGEBYSCORE {z} {from} {to}"));
                Large { whole, short: short.collect(), joined: Joined::Sum }
            }
            23 => self.alone(&format!("SUNIONSTORE {s} s0 s1")),
            24 => self.alone(&format!("ZUNIONSTORE {z} 2 z0 z1")),
            25 => self.alone(&format!("SORT {l} ALPHA STORE l1")),
            26 => self.alone(&format!("LINSERT {l} BEFORE 9 new")),
            27..=30 => self.entries(&x),
            31..=34 => self.trimmed(),
            35 => self.each(&format!("XDEL {x}"), Joined::Sum, number),
            36 => self.each(&format!("PFADD p{}", a % 2), Joined::None, member),
            _ => self.alone(&format!("DEL {}", self_key(a, &[l, s, h, z, x, g]))),
        }
    }
}

fn self_key(a: u32, keys: &[String]) -> &str {
    &keys[a as usize % keys.len()]
}

/// What short requests' replies make.
fn joined(replies: Vec<Reply>, how: Joined) -> Option<Reply> {
    let flat = |reply: Reply| match reply {
        Reply::Array(list) => list,
        Reply::Nil => Vec::new(),
        other => vec![other],
    };
    match how {
        Joined::None => None,
        Joined::Last => replies.into_iter().last(),
        Joined::Row => Some(Reply::Array(replies.into_iter().flat_map(flat).collect())),
        Joined::Sum => {
            replies.into_iter().try_fold(Reply::Integer(0), |sum, reply| match (sum, reply) {
                (Reply::Integer(sum), Reply::Integer(more)) => Some(Reply::Integer(sum + more)),
                _ => None,
            })
        }
    }
}

/// What a node answers to requests, each of them on its own.
fn ask(node: &ModelNode, requests: &[Words]) -> Vec<Reply> {
    let (mut client, requests) = (node.client(0), requests.to_vec());
    node.world().block_on(async move {
        let requests: Vec<_> = requests.iter().map(borrowed).collect();
        engine::model::decode_replies(&client.pipeline(&requests).await)
    })
}

pub(super) fn check(seed: u64, steps: usize, shards: u16) {
    let node = || ModelNode::in_world(&World::new(seed), shards);
    let (own, multi, short) = (node(), node(), node());
    let mut making = Making { dice: fastrand::Rng::with_seed(seed), next: 1 };
    for step in 0..steps {
        let large = making.next();
        if large.whole.is_empty() {
            for node in [&own, &multi, &short] {
                ask(node, &large.short);
            }
            continue;
        }
        let line = large.whole.iter().take(9).map(|word| word.escape_ascii().to_string());
        let count = large.whole.len();
        let line = line.collect::<Vec<_>>().join(" ");
        let what = format!("SEED={seed} step {step}: {line} ... ({count} words)");
        let reply = ask(&own, std::slice::from_ref(&large.whole)).remove(0);
        let bracket = |word: &str| vec![word.as_bytes().to_vec()];
        let all = ask(&multi, &[bracket("MULTI"), large.whole.clone(), bracket("EXEC")]);
        assert_eq!(all.last(), Some(&Reply::Array(vec![reply.clone()])), "in a MULTI: {what}");
        let replies = ask(&short, &large.short);
        if let Some(joined) = joined(replies, large.joined) {
            let is_nothing = reply == Reply::Nil && joined == Reply::Array(Vec::new());
            assert!(is_nothing || joined == reply, "one by one: {what}: {reply:?}");
        }
        for node in [&multi, &short] {
            assert_eq!(node.digest(), own.digest(), "{what}");
        }
    }
    for node in [&own, &multi] {
        check_quiet(node, &format!("SEED={seed}"));
        check_twin(node, &format!("SEED={seed}"));
    }
}
