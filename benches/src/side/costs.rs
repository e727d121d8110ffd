//! CPU time per request: beside the floor and the peer, and of two shards beside one.

use std::io;

use super::bench::{Bench, clean, cpu};
use super::{Goal, Plan, Subject, Table, depth_factor, spoiled};
use crate::load::{self, Command, Config, KeyOrder, Until};
use crate::peer::{Program, Server};

/// The columns beside the floor.
const FLOOR: usize = 0;
const PEER: usize = 1;
const OURS: usize = 2;
const BOUNDED: usize = 3;

/// The columns of the shards.
const ONE: usize = 0;
const TWO: usize = 1;

/// A transaction is so many SETs between MULTI and EXEC.
const TRANSACTION: usize = 10;

/// With a bound that is far away, only what the bound itself costs is seen.
pub(super) fn beside_the_floor(plan: &Plan) -> (Vec<Subject>, &'static [(usize, usize)]) {
    let [peer, ours] = &plan.peers;
    let bounded = ours.with("with maxmemory", &["--maxmemory=16gb"]);
    let subjects = vec![plan.floor.clone(), peer.clone(), ours.clone(), bounded];
    (subjects, &[(OURS, FLOOR), (OURS, PEER), (BOUNDED, OURS)])
}

/// Each shard on a CPU of its own.
pub(super) fn one_and_two_shards(plan: &Plan) -> (Vec<Subject>, &'static [(usize, usize)]) {
    let ours = &plan.peers[1];
    let subject = |shards: u16| {
        let name = if shards == 1 { "one shard" } else { "two shards" };
        let mut subject = ours.with(name, &["--pin=on"]);
        if let Program::Damselfly(_, count) = &mut subject.program {
            *count = usize::from(shards);
        }
        subject
    };
    (vec![subject(1), subject(2)], &[(TWO, ONE)])
}

/// One row: what is asked, how, and what it is to cost at most.
struct Cost {
    name: &'static str,
    command: Command,
    connections: usize,
    pipeline: usize,
    value_bytes: usize,
    /// Fewer requests and fewer keys than usual by this factor: for those that are large.
    fewer: u64,
    /// Times the floor's, and times the peer's.
    goals: [Option<f64>; 2],
}

impl Cost {
    fn small(name: &'static str, command: Command, pipeline: usize, floor: f64, peer: f64) -> Cost {
        let goals = [Some(floor), Some(peer)];
        Cost { name, command, connections: 50, pipeline, value_bytes: 32, fewer: 1, goals }
    }

    fn beside_the_peer(name: &'static str, command: Command, peer: f64, bytes: usize) -> Cost {
        let (goals, fewer) = ([None, Some(peer)], if bytes > 4096 { 20 } else { 4 });
        Cost { name, command, connections: 50, pipeline: 16, value_bytes: bytes, fewer, goals }
    }
}

fn costs() -> Vec<Cost> {
    use Command::{Get, Multi, Set};
    let alone = |cost: Cost| Cost { connections: 1, fewer: 4, ..cost };
    vec![
        alone(Cost::small("SET alone, pipeline 1", Set, 1, 1.2, 1.0)),
        alone(Cost::small("GET alone, pipeline 1", Get, 1, 1.2, 1.0)),
        Cost::small("SET pipeline 1", Set, 1, 1.15, 1.0),
        Cost::small("GET pipeline 1", Get, 1, 1.15, 1.0),
        Cost::small("SET pipeline 16", Set, 16, 1.6, 0.42),
        Cost::small("GET pipeline 16", Get, 16, 1.6, 0.42),
        Cost::small("SET pipeline 100", Set, 100, 3.0, 0.25),
        Cost::small("GET pipeline 100", Get, 100, 3.0, 0.25),
        Cost::beside_the_peer("SET of 1 KB, pipeline 16", Set, 0.7, 1024),
        Cost::beside_the_peer("SET of 16 KB, pipeline 16", Set, 0.7, 16 * 1024),
        Cost::beside_the_peer("MULTI of 10 SETs, pipeline 16", Multi(TRANSACTION), 0.5, 32),
    ]
}

impl Bench<'_> {
    pub(super) fn costs(&self, table: &mut Table) -> io::Result<()> {
        let server = self.filled(self.plan.keys)?;
        for cost in costs() {
            let answers_oks = self.column != FLOOR || !matches!(cost.command, Command::Multi(_));
            if answers_oks {
                self.cost(&server, &cost, table)?;
            }
            let beside = |beside, most: Option<f64>| {
                most.map(|most| Goal { of: OURS, beside: Some(beside), most })
            };
            let [floor, peer] = cost.goals;
            let bounded = Goal { of: BOUNDED, beside: Some(OURS), most: 1.03 };
            let goals = [beside(FLOOR, floor), beside(PEER, peer), Some(bounded)];
            table.aim(&figure(cost.name), &goals.into_iter().flatten().collect::<Vec<_>>());
        }
        Ok(())
    }

    fn cost(&self, server: &Server, cost: &Cost, table: &mut Table) -> io::Result<()> {
        let (requests, keys) = (self.plan.requests, self.plan.keys);
        let config = Config {
            connections: cost.connections,
            until: Until::Requests(requests * depth_factor(cost.pipeline) / cost.fewer),
            keys: (keys / cost.fewer).max(1),
            value_bytes: cost.value_bytes,
            ..self.load(server, cost.command.clone(), cost.pipeline)
        };
        // The first SET of a size makes room for it, which is another matter.
        if cost.value_bytes != self.plan.value_bytes && self.column != FLOOR {
            let fill = Config::fill(server.address, config.keys, cost.value_bytes);
            clean(load::run(&fill)?, "fill")?;
        }
        let report = clean(load::run(&config)?, cost.name)?;
        if report.missing > 0 && self.column != FLOOR {
            return Err(spoiled(format!("{} filled keys are missing", report.missing)));
        }
        table.push(&figure(cost.name), self.column, cpu(&report)? * commands(&cost.command));
        Ok(())
    }

    pub(super) fn shards(&self, table: &mut Table) -> io::Result<()> {
        let server = self.filled(self.plan.keys)?;
        let shards = if self.column == TWO { 2 } else { 1 };
        for (name, command, own, most) in [
            ("SET, random keys", Command::Set, false, 1.5),
            ("GET, random keys", Command::Get, false, 1.5),
            ("MSET of 10 random keys", Command::Mset(10), false, 2.0),
            ("SET, keys of the connection's shard", Command::Set, true, 1.05),
            ("GET, keys of the connection's shard", Command::Get, true, 1.05),
        ] {
            let fewer = if matches!(command, Command::Mset(_)) { 10 } else { 1 };
            let mut config = self.load(&server, command, 16);
            config.until = Until::Requests(self.plan.requests * depth_factor(16) / fewer);
            if own {
                config.order = KeyOrder::Own { shards, first: next_shard(&server, shards)? };
            }
            let report = clean(load::run(&config)?, name)?;
            table.push(&figure(name), self.column, cpu(&report)?);
            table.aim(&figure(name), &[Goal { of: TWO, beside: Some(ONE), most }]);
        }
        Ok(())
    }

    fn filled(&self, keys: u64) -> io::Result<Server> {
        if self.subject.program.keeps_nothing() { self.start(None) } else { self.full(keys, None) }
    }
}

fn figure(name: &str) -> String {
    format!("{name}: CPU us")
}

/// Requests of one: a transaction counts as one, whatever stands in it.
fn commands(command: &Command) -> f64 {
    if let Command::Multi(count) = command { *count as f64 + 2.0 } else { 1.0 }
}

/// Which shard serves the next connection: they are dealt out in turn.
fn next_shard(server: &Server, shards: u16) -> io::Result<u16> {
    let count = server.client()?.info("stats", "total_connections_received")?;
    let count = count.and_then(|count| count.trim().parse::<u64>().ok());
    let count = count.ok_or_else(|| spoiled("the server does not count its connections"))?;
    Ok((count % u64::from(shards)) as u16)
}
