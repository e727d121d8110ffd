//! The rows: each is measured once per call for one program, and puts its figures into the table.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::bench::{Bench, clean, cpu, resident, resident_at_rest, under};
use super::{Goal, Plan, Subject, Table, costs, spoiled, types};
use crate::load::{self, Command, Config, Pace, Until};
use crate::peer::{Certificates, Server};
use crate::process;

/// How long writes are let alone before something is measured under them.
pub(super) const GETS_GOING: Duration = Duration::from_secs(1);

/// Longest wait for a full sync.
pub(super) const SYNC_TIMEOUT: Duration = Duration::from_secs(600);

/// How often memory is looked at during a sync.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// Most requests in flight per connection of the writes beside a full sync: so deep that a stall
/// does not slow the writer down, but is seen in its latencies.
pub(super) const WRITER_DEPTH: usize = 1000;

/// A row, or a family of rows that share their servers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Row {
    /// SET and GET at these pipeline depths.
    Requests(Vec<usize>),
    /// Resident memory per key.
    Memory,
    /// Full sync of an idle master, and of one that is written to.
    FullSync,
    /// The master's CPU time per write with 0, 1 and 2 replicas; encrypted or not.
    Replicas {
        /// Whether the replicas' links are encrypted.
        tls: bool,
    },
    /// CPU time per request beside the floor and the peer: few and many connections, deep and
    /// shallow pipelines, small and large values.
    Costs,
    /// CPU time per request of two shards on two CPUs beside one shard's.
    Shards,
    /// CPU time per request of collections, large and small, and what small ones weigh.
    Types,
    /// Memory of a process that does nothing, and of connections that do nothing.
    Rest,
    /// What another client waits beside long requests.
    Waits,
    /// The same beside what is done to collections of millions.
    Large,
    /// A snapshot under writes, and a start from it.
    Saves,
    /// Following a redis-server.
    Following,
}

/// Runs the plan and returns the tables that have rows. `progress` is told what is going on.
pub fn run(plan: &Plan, progress: &mut dyn Write) -> io::Result<Vec<Table>> {
    let mut tables: Vec<(Vec<Subject>, Table)> = Vec::new();
    for row in &plan.rows {
        let (subjects, ratios) = columns(plan, row);
        let names: Vec<String> = subjects.iter().map(|subject| subject.name.clone()).collect();
        let known = tables
            .iter()
            .position(|(others, _)| others.iter().map(|other| &other.name).eq(names.iter()));
        let place = known.unwrap_or_else(|| {
            tables.push((subjects.clone(), Table::new(names, ratios)));
            tables.len() - 1
        });
        let table = &mut tables[place].1;
        for repeat in 0..plan.repeats {
            for (column, subject) in subjects.iter().enumerate() {
                let (name, of) = (&subject.name, plan.repeats);
                writeln!(progress, "{row:?}: {name}, run {} of {of}", repeat + 1)?;
                let bench = Bench { plan, column, subject };
                match row {
                    Row::Requests(depths) => bench.requests(depths, table)?,
                    Row::Memory => bench.memory(table)?,
                    Row::FullSync => bench.full_sync(table)?,
                    Row::Replicas { tls } => bench.replicas(*tls, table)?,
                    Row::Costs => bench.costs(table)?,
                    Row::Shards => bench.shards(table)?,
                    Row::Types => bench.types(table)?,
                    Row::Rest => bench.rest(table)?,
                    Row::Waits => bench.waits(table)?,
                    Row::Large => bench.large(table)?,
                    Row::Saves => bench.saves(table)?,
                    Row::Following => bench.following(table)?,
                }
            }
        }
    }
    Ok(tables.into_iter().map(|(_, table)| table).filter(|table| !table.is_empty()).collect())
}

/// The columns of a row, and the ratios that are shown.
fn columns(plan: &Plan, row: &Row) -> (Vec<Subject>, &'static [(usize, usize)]) {
    match row {
        Row::Costs => costs::beside_the_floor(plan),
        Row::Shards => costs::one_and_two_shards(plan),
        Row::Types => types::beside_the_floor(plan, peers(plan)),
        _ => (peers(plan), &[(1, 0)]),
    }
}

/// The two programs, under names of their own.
fn peers(plan: &Plan) -> Vec<Subject> {
    let [first, second] = &plan.peers;
    if first.name != second.name {
        return plan.peers.to_vec();
    }
    let numbered =
        |subject: &Subject, number: u32| subject.with(&format!("{} {number}", subject.name), &[]);
    vec![numbered(first, 1), numbered(second, 2)]
}

impl Bench<'_> {
    fn requests(&self, depths: &[usize], table: &mut Table) -> io::Result<()> {
        let server = self.full(self.plan.keys, None)?;
        for depth in depths {
            for (name, command) in [("SET", Command::Set), ("GET", Command::Get)] {
                let report = clean(load::run(&self.load(&server, command, *depth))?, name)?;
                if report.missing > 0 {
                    return Err(spoiled(format!("{} filled keys are missing", report.missing)));
                }
                let figure = |what: &str| format!("{name} pipeline {depth}: {what}");
                table.push(&figure("CPU us per request"), self.column, cpu(&report)?);
                let thousands = report.throughput() / 1000.0;
                table.push(&figure("thousand per second"), self.column, thousands);
                table.push(&figure("p50 us"), self.column, report.latency.p50);
                table.push(&figure("p99 us"), self.column, report.latency.p99);
                table.push(&figure("p99.9 us"), self.column, report.latency.p999);
            }
        }
        Ok(())
    }

    fn memory(&self, table: &mut Table) -> io::Result<()> {
        let (server, keys) = (self.start(None)?, self.plan.sync_keys);
        let empty = resident(&server)?;
        let fill = Config::fill(server.address, keys, self.plan.value_bytes);
        clean(load::run(&fill)?, "fill")?;
        let bytes = resident_at_rest(&server)?;
        table.push("resident bytes per key", self.column, bytes as f64 / keys as f64);
        let grown = bytes.saturating_sub(empty) as f64;
        table.push("the same without the empty process", self.column, grown / keys as f64);
        table.aim("resident bytes per key", &[Goal { of: 1, beside: None, most: 87.0 }]);
        let goal = Goal { of: 1, beside: None, most: 77.1 };
        table.aim("the same without the empty process", &[goal]);
        Ok(())
    }

    fn full_sync(&self, table: &mut Table) -> io::Result<()> {
        let master = self.full(self.plan.sync_keys, None)?;
        for (name, rate) in [("idle", None), ("under writes", Some(self.plan.write_rate))] {
            let writes = rate.map(|rate| Config {
                pipeline: WRITER_DEPTH,
                pace: Pace::Open { rate },
                until: Until::Elapsed(SYNC_TIMEOUT),
                keys: self.plan.sync_keys,
                ..self.load(&master, Command::Set, 1)
            });
            let (sync, report) = match &writes {
                None => (self.sync_one(&master)?, None),
                Some(writes) => {
                    let what = (GETS_GOING, "writes beside a full sync");
                    let (sync, report) = under(writes, what, || self.sync_one(&master))?;
                    (sync, Some(report))
                }
            };
            let figure = |what: &str| format!("full sync {name}: {what}");
            table.push(&figure("seconds"), self.column, sync.seconds);
            table.push(&figure("master memory before, MB"), self.column, sync.before / 1e6);
            table.push(&figure("master memory peak, MB"), self.column, sync.peak / 1e6);
            table.push(&figure("peak / before"), self.column, sync.peak / sync.before);
            table.push(&figure("master CPU s, with children"), self.column, sync.cpu_seconds);
            if let Some(report) = report {
                table.push(&figure("writer's p99 ms"), self.column, report.latency.p99 / 1e3);
                table.push(&figure("writer's worst ms"), self.column, report.latency.max / 1e3);
            }
        }
        Ok(())
    }

    /// Brings up a replica of `master` and looks on until it has everything.
    fn sync_one(&self, master: &Server) -> io::Result<Sync> {
        let replica = self.start(None)?;
        let family = || process::family_bytes(master.pid()).ok_or_else(|| spoiled("no memory"));
        let cpu =
            || process::family_cpu_seconds(master.pid()).ok_or_else(|| spoiled("no CPU time"));
        let (before, cpu_before) = (family()? as f64, cpu()?);
        let mut client = replica.client()?;
        let start = Instant::now();
        replica.follow(master)?;
        let mut peak = before;
        let keys = self.plan.sync_keys as i64;
        loop {
            peak = peak.max(family()? as f64);
            // While a replica loads, it may answer nothing but errors.
            let is_up = Server::is_in_sync(&mut client).unwrap_or(false);
            if is_up && client.demand(&["DBSIZE"])?.integer().is_some_and(|size| size >= keys) {
                break;
            }
            if start.elapsed() > SYNC_TIMEOUT {
                return Err(spoiled("the full sync does not end"));
            }
            std::thread::sleep(SAMPLE_INTERVAL);
        }
        let seconds = start.elapsed().as_secs_f64();
        Ok(Sync { seconds, before, peak, cpu_seconds: cpu()? - cpu_before })
    }

    fn replicas(&self, tls: bool, table: &mut Table) -> io::Result<()> {
        const DEPTH: usize = 16;
        let certificates = match tls {
            true => Some(Certificates::make(&self.plan.directory.join("certificates"))?),
            false => None,
        };
        let certificates = certificates.as_ref();
        let master = self.full(self.plan.keys, certificates)?;
        let link = if tls { "TLS" } else { "plain" };
        let mut replicas = Vec::new();
        let mut costs = Vec::new();
        for count in 0..=2 {
            if count > 0 {
                let replica = self.start(certificates)?;
                replica.follow(&master)?;
                await_sync(&replica, self.plan.keys)?;
                replicas.push(replica);
            }
            let writes = self.load(&master, Command::Set, DEPTH);
            let report = clean(load::run(&writes)?, "writes")?;
            let name = format!("replicas {count}, {link}: master CPU us per write");
            costs.push(cpu(&report)?);
            table.push(&name, self.column, costs[count]);
        }
        let name = format!("second replica, {link}: further CPU us per write");
        table.push(&name, self.column, costs[2] - costs[1]);
        Ok(())
    }
}

/// What a full sync was like.
struct Sync {
    seconds: f64,
    before: f64,
    peak: f64,
    cpu_seconds: f64,
}

/// Waits until the replica has so many keys and its link stands.
pub(super) fn await_sync(replica: &Server, keys: u64) -> io::Result<()> {
    let mut client = replica.client()?;
    let start = Instant::now();
    while !(Server::is_in_sync(&mut client).unwrap_or(false)
        && client.demand(&["DBSIZE"])?.integer().is_some_and(|size| size as u64 >= keys))
    {
        if start.elapsed() > SYNC_TIMEOUT {
            return Err(spoiled("the replica does not come into sync"));
        }
        std::thread::sleep(SAMPLE_INTERVAL);
    }
    Ok(())
}
