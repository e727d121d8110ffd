//! Long requests, each beside another client that waits.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::bench::Bench;
use super::beside::{ask, request};
use super::rows::await_sync;
use super::{Table, spoiled};
use crate::peer::Server;
use crate::process;

/// Keys of one request.
const KEYS: usize = 200_000;

/// Bytes of the longest strings.
const LONG: usize = 512 << 20;

/// Strings that are flushed away, and how long they are.
const FLUSHED: (&str, &str) = ("1000", "4194304");

/// Keys that expire at one instant, and how far off it is when they are put.
const EXPIRING: usize = 1_000_000;
const EXPIRING_IN: Duration = Duration::from_secs(6);

/// Longest wait for what happens by itself.
const BY_ITSELF: Duration = Duration::from_secs(60);

impl Bench<'_> {
    pub(super) fn waits(&self, table: &mut Table) -> io::Result<()> {
        self.many_keys(table)?;
        self.expiring(table)?;
        self.flushing(table)?;
        self.long_strings(table)?;
        self.held_by_a_replica(table)
    }

    fn many_keys(&self, table: &mut Table) -> io::Result<()> {
        let server = self.start(None)?;
        let names: Vec<Vec<u8>> =
            (0..KEYS).map(|number| format!("key:{number:012}").into_bytes()).collect();
        let words = |name: &'static [u8], value: Option<&'static [u8]>| {
            let mut words: Vec<&[u8]> = vec![name];
            names.iter().for_each(|name| {
                words.push(name);
                words.extend(value);
            });
            request(&words)
        };
        let value: &[u8] = &[b'v'; 32];
        for (name, asked) in [
            ("MSET of 200,000", words(b"MSET", Some(value))),
            ("MGET of 200,000", words(b"MGET", None)),
            ("DEL of 200,000", words(b"DEL", None)),
        ] {
            self.beside(&server, name, table, || ask(&server, &asked, 1))?;
        }
        let flood: Vec<u8> =
            names.iter().flat_map(|name| request(&[b"SET", name, value])).collect();
        self.beside(&server, "flood of SETs", table, || ask(&server, &flood, KEYS))?;
        let text = |seed: u64| -> Vec<u8> {
            let mut random = fastrand::Rng::with_seed(seed);
            std::iter::repeat_with(|| random.alphanumeric() as u8).take(11 * 1024).collect()
        };
        let pair = request(&[b"MSET", b"{lcs}1", &text(1), b"{lcs}2", &text(2)]);
        ask(&server, &pair, 1)?;
        let lcs = request(&[b"LCS", b"{lcs}1", b"{lcs}2"]);
        self.beside(&server, "LCS of two of 11 KB", table, || ask(&server, &lcs, 1))
    }

    fn expiring(&self, table: &mut Table) -> io::Result<()> {
        let server = self.start(None)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        let instant = (now + EXPIRING_IN).as_millis().to_string();
        let fill: Vec<u8> = (0..EXPIRING)
            .flat_map(|number| {
                let name = format!("key:{number:012}");
                request(&[b"SET", name.as_bytes(), b"value", b"PXAT", instant.as_bytes()])
            })
            .collect();
        ask(&server, &fill, EXPIRING)?;
        self.beside(&server, "1 M keys at one instant", table, || until_few_keys(&server))
    }

    fn flushing(&self, table: &mut Table) -> io::Result<()> {
        let server = self.start(None)?;
        server.client()?.demand(&["DEBUG", "POPULATE", FLUSHED.0, "key", FLUSHED.1])?;
        let flush = request(&[b"FLUSHALL"]);
        self.beside(&server, "FLUSHALL of 1,000 x 4 MB", table, || ask(&server, &flush, 1))
    }

    fn long_strings(&self, table: &mut Table) -> io::Result<()> {
        let server = self.start(None)?;
        let long = vec![b'x'; LONG];
        for name in [b"{long}1", b"{long}2"] {
            ask(&server, &request(&[b"SET", name, &long]), 1)?;
        }
        drop(long);
        let count = request(&[b"BITCOUNT", b"{long}1"]);
        self.beside(&server, "BITCOUNT of 512 MB", table, || ask(&server, &count, 1))?;
        let op = request(&[b"BITOP", b"OR", b"{long}1", b"{long}1", b"{long}2"]);
        self.beside(&server, "BITOP of 512 MB", table, || ask(&server, &op, 1))?;
        // The pages that it takes now are not new to the process.
        self.beside(&server, "the same once more", table, || ask(&server, &op, 1))
    }

    /// The replica stands still, so what it has not been sent is held.
    fn held_by_a_replica(&self, table: &mut Table) -> io::Result<()> {
        let (server, replica) = (self.start(None)?, self.start(None)?);
        replica.follow(&server)?;
        await_sync(&replica, 0)?;
        process::freeze(replica.pid())?;
        ask(&server, &request(&[b"SET", b"long", &vec![b'x'; LONG - 1]]), 1)?;
        let bits: Vec<u8> = (0..100_u64)
            .flat_map(|at| {
                let at = (at * (LONG as u64 / 100) * 8).to_string();
                request(&[b"SETBIT", b"long", at.as_bytes(), b"1"])
            })
            .collect();
        self.beside(&server, "SETBIT in 512 MB that a log holds", table, || {
            ask(&server, &bits, 100)
        })
    }
}

/// Until nobody but the other client's key is there.
fn until_few_keys(server: &Server) -> io::Result<()> {
    let mut client = server.client()?;
    let start = Instant::now();
    while client.demand(&["DBSIZE"])?.integer().is_none_or(|keys| keys > 1) {
        if start.elapsed() > BY_ITSELF {
            return Err(spoiled("the keys do not expire"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
