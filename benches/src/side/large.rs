//! One collection with millions of elements: what is done to it as a whole, beside a client that GETs and one
//! that keeps writing into that very collection.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::bench::Bench;
use super::beside::{Asked, ask, request};
use super::{Goal, Table, spoiled};
use crate::client::Client;
use crate::peer::Server;
use crate::process;

/// Elements of one request of the fill.
const FILLED_AT_ONCE: u64 = 500;

/// What a whole value that a cut or a reply holds may take beside the value.
const PEAK_MOST: f64 = 1.1;

/// A key on another shard than the collection, where there are several: its slot is among the last.
const ELSEWHERE: &str = "{last shard}";

/// Longest wait until what was deleted is freed.
const FREED_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest wait for a replica.
const SYNC_TIMEOUT: Duration = Duration::from_secs(300);

/// A type: how elements are put, and one that is written again and again.
struct Large {
    name: &'static str,
    /// The command and the words of an element, in which `#` stands for its number.
    put: &'static str,
    element: &'static [&'static str],
}

const TYPES: [Large; 5] = [
    Large { name: "list", put: "RPUSH", element: &["element:#"] },
    Large { name: "hash", put: "HSET", element: &["field:#", "value"] },
    Large { name: "set", put: "SADD", element: &["member:#"] },
    Large { name: "sorted set", put: "ZADD", element: &["#", "member:#"] },
    Large { name: "stream", put: "XADD", element: &["1-#", "field", "value"] },
];

impl Large {
    /// Requests that put elements, and how many they are.
    fn puts(&self, key: &str, from: u64, count: u64) -> (Vec<u8>, usize) {
        let each = if self.put == "XADD" { 1 } else { FILLED_AT_ONCE };
        let (mut out, mut requests) = (Vec::new(), 0);
        let mut number = from;
        while number < from + count {
            let end = (number + each).min(from + count);
            let texts: Vec<String> = (number..end)
                .flat_map(|number| {
                    let number = (number + 1).to_string();
                    self.element.iter().map(move |word| word.replace('#', &number))
                })
                .collect();
            let mut words: Vec<&[u8]> = vec![self.put.as_bytes(), key.as_bytes()];
            words.extend(texts.iter().map(|text| text.as_bytes()));
            out.extend(request(&words));
            (number, requests) = (end, requests + 1);
        }
        (out, requests)
    }
}

impl Bench<'_> {
    pub(super) fn large(&self, table: &mut Table) -> io::Result<()> {
        for large in &TYPES {
            let server = self.start(None)?;
            let (step, mut from) = (1_000_000, 0);
            while from < self.plan.elements {
                let count = step.min(self.plan.elements - from);
                let (puts, requests) = large.puts("{k}1", from, count);
                ask(&server, &puts, requests)?;
                from += count;
            }
            self.one_large(&server, large, table)?;
        }
        Ok(())
    }

    fn one_large(&self, server: &Server, large: &Large, table: &mut Table) -> io::Result<()> {
        let name = |what: &str| format!("{} {what}", large.name);
        let asked = |words: &[&str]| -> Vec<u8> {
            request(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
        };
        let mut client = server.client()?;
        // A copy may share what it is made of: to delete one may free next to nothing.
        let steps: [(&str, Vec<u8>); 3] = [
            ("COPY", asked(&["COPY", "{k}1", "{k}2"])),
            ("RENAME", asked(&["RENAME", "{k}2", ELSEWHERE])),
            ("DUMP", asked(&["DUMP", "{k}1"])),
        ];
        let mut beside = |asked: Asked, what: &str, work: &mut dyn FnMut() -> io::Result<()>| {
            self.beside_a_writer(server, asked, &name(what), large, table, work)
        };
        for (what, request) in &steps {
            beside(Asked::Server, what, &mut || ask(server, request, 1))?;
        }
        client.demand(&["DEL", ELSEWHERE])?;
        let mut payload = None;
        beside(Asked::Floor, "DUMP", &mut || {
            payload = Some(client.demand(&["DUMP", "{k}1"])?);
            Ok(())
        })?;
        let payload = payload
            .as_ref()
            .and_then(|payload| payload.bytes())
            .ok_or_else(|| spoiled("DUMP answers no bytes"))?;
        let restore = request(&[b"RESTORE", b"restored", b"0", payload]);
        // What was restored shares nothing: all of it is freed, and the answer may come before.
        let ends = [
            ("PEXPIRE", asked(&["PEXPIRE", "restored", "1"])),
            ("DEL", asked(&["DEL", "restored"])),
        ];
        for (what, end) in &ends {
            let before = used(&mut client)?;
            let asked = if *what == "PEXPIRE" { Asked::Server } else { Asked::Floor };
            beside(asked, "RESTORE", &mut || ask(server, &restore, 1))?;
            let enough = before + used(&mut client)?.saturating_sub(before) / 4;
            beside(Asked::Server, what, &mut || {
                ask(server, end, 1)?;
                until_freed(&mut client, enough)
            })?;
        }
        for asked in [Asked::Server, Asked::Floor] {
            self.synced(server, asked, &name("full sync"), large, table)?;
        }
        Ok(())
    }

    /// A replica comes while the collection is written to.
    fn synced(
        &self,
        server: &Server,
        asked: Asked,
        name: &str,
        large: &Large,
        table: &mut Table,
    ) -> io::Result<()> {
        let memory =
            || process::family_bytes(server.pid()).ok_or_else(|| spoiled("no memory is known"));
        let before = memory()? as f64;
        let replica = self.start(None)?;
        let mut peak = before;
        self.beside_a_writer(server, asked, name, large, table, || {
            replica.follow(server)?;
            let mut client = replica.client()?;
            let start = Instant::now();
            while !Server::is_in_sync(&mut client).unwrap_or(false) {
                peak = peak.max(memory()? as f64);
                if start.elapsed() > SYNC_TIMEOUT {
                    return Err(spoiled("the replica does not come into sync"));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        })?;
        if asked == Asked::Floor {
            return Ok(());
        }
        let figure = format!("{name}: master's peak / before");
        table.push(&figure, self.column, peak / before);
        table.aim(&figure, &[Goal { of: 1, beside: None, most: PEAK_MOST }]);
        Ok(())
    }

    fn beside_a_writer(
        &self,
        server: &Server,
        asked: Asked,
        name: &str,
        large: &Large,
        table: &mut Table,
        work: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| write_into(server, large, &is_over));
            let done = match asked {
                Asked::Server => self.beside(server, name, table, work),
                Asked::Floor => self.beside_a_floor(server, name, table, work),
            };
            is_over.store(true, Ordering::Relaxed);
            let written = writer.join().unwrap_or_else(|_| Err(spoiled("the writer panicked")));
            done.and(written)
        })
    }
}

/// Bytes that the server says are in use.
fn used(client: &mut Client) -> io::Result<u64> {
    let used = client.info("memory", "used_memory")?;
    used.and_then(|used| used.parse().ok()).ok_or_else(|| spoiled("no memory is told"))
}

/// Waits until no more than `enough` bytes are in use: an expired key goes later, and what it held later still.
fn until_freed(client: &mut Client, enough: u64) -> io::Result<()> {
    let start = Instant::now();
    while used(client)? > enough {
        if start.elapsed() > FREED_TIMEOUT {
            return Err(spoiled("what was deleted is not freed"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Keeps writing elements: about a thousand requests a second.
fn write_into(server: &Server, large: &Large, is_over: &AtomicBool) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut client = server.client()?;
    while !is_over.load(Ordering::Relaxed) {
        let number = random.u64(..1_000_000);
        let texts: Vec<String> = match large.put {
            "XADD" => ["*", "field", "value"].map(String::from).to_vec(),
            _ => large.element.iter().map(|word| word.replace('#', &number.to_string())).collect(),
        };
        let mut words = vec![large.put, "{k}1"];
        words.extend(texts.iter().map(String::as_str));
        client.demand(&words)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
