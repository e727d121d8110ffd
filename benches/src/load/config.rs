//! What a run is told.

use super::command::{Command, Mix};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// When requests are sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pace {
    /// The next batch when the last one is answered.
    Closed,
    /// At a fixed rate over all connections, however the server fares. `pipeline` bounds what one
    /// connection has in flight; what finds no room waits, and its waiting counts.
    Open {
        /// Requests per second.
        rate: f64,
    },
}

/// When a run ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// After so many requests.
    Requests(u64),
    /// After so long.
    Elapsed(Duration),
}

/// How keys are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyOrder {
    /// Uniformly at random.
    Random,
    /// One after the other from 0: with as many SETs as keys, a fill.
    Sequential,
    /// At random among those that live on the connection's own shard, as a client of a cluster
    /// chooses its connection. Connections are dealt out to the shards in turn.
    Own {
        /// How many shards there are.
        shards: u16,
        /// Where the first connection is served.
        first: u16,
    },
}

/// How TLS is spoken.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM file of the authorities that are trusted.
    pub authorities: PathBuf,
    /// PEM files of the certificate and key that are shown, if any.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must carry.
    pub name: String,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server listens.
    pub address: SocketAddr,
    /// How many connections.
    pub connections: usize,
    /// How many threads share them.
    pub threads: usize,
    /// Closed loop: requests per batch. Open loop: most requests in flight per connection.
    pub pipeline: usize,
    /// Closed or open loop.
    pub pace: Pace,
    /// When to end.
    pub until: Until,
    /// How many keys there are.
    pub keys: u64,
    /// How they are chosen.
    pub order: KeyOrder,
    /// Size of values.
    pub value_bytes: usize,
    /// What is asked.
    pub mix: Mix,
    /// AUTH before the first request: user (or none) and password.
    pub credentials: Option<(Option<String>, String)>,
    /// TLS, if it is to be spoken.
    pub tls: Option<Tls>,
    /// Beginning of the random numbers.
    pub seed: u64,
    /// Process whose CPU time and memory are measured; otherwise looked for by the port.
    pub server_pid: Option<u32>,
    /// Its threads go before others of this machine, where that is allowed: as clients that have a machine of their own.
    pub goes_first: bool,
}

impl Config {
    /// Fifty connections, closed loop without pipelining, 100 k SETs of 32 bytes over 1 M random
    /// keys.
    pub fn new(address: SocketAddr) -> Config {
        Config {
            address,
            connections: 50,
            threads: 1,
            pipeline: 1,
            pace: Pace::Closed,
            until: Until::Requests(100_000),
            keys: 1_000_000,
            order: KeyOrder::Random,
            value_bytes: 32,
            mix: Mix::only(Command::Set),
            credentials: None,
            tls: None,
            seed: 1,
            server_pid: None,
            goes_first: false,
        }
    }

    /// A run that sets every key once.
    pub fn fill(address: SocketAddr, keys: u64, value_bytes: usize) -> Config {
        Config {
            connections: 8,
            pipeline: 100,
            until: Until::Requests(keys),
            keys,
            order: KeyOrder::Sequential,
            value_bytes,
            ..Config::new(address)
        }
    }
}
