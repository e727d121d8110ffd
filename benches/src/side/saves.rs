//! A snapshot under writes, and a start from it.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use super::bench::{Bench, clean, under};
use super::beside::longest_pieces;
use super::rows::{GETS_GOING, SAMPLE_INTERVAL, SYNC_TIMEOUT, WRITER_DEPTH};
use super::table::Samples;
use super::{Goal, Table, spoiled};
use crate::client::Client;
use crate::load::{self, Command, Config, Pace, Until};
use crate::peer::{Program, Server};
use crate::process;

/// How long the writer runs by itself, for its latencies without a snapshot.
const ALONE: Duration = Duration::from_secs(10);

/// So often a snapshot is written while another client reads.
const TURNS: usize = 7;

/// What that client asks for in a second: a pipeline of one, which waits for nobody else's requests.
const READ_RATE: f64 = 2000.0;

/// Until it has connected.
const CONNECTS: Duration = Duration::from_millis(100);

/// Of fewer there is no p99.
const READS_MIN: u64 = 500;

/// Goals beside the peer, and beside what is without a snapshot.
const TIME_MOST: f64 = 0.6;
const CPU_MOST: f64 = 0.6;
const LOAD_MOST: f64 = 0.5;
const PEAK_MOST: f64 = 1.1;
const P99_MOST: f64 = 1.5;

const FILE: &str = "dump.rdb";

impl Bench<'_> {
    pub(super) fn saves(&self, table: &mut Table) -> io::Result<()> {
        let directory = self.plan.directory.join("snapshots");
        fs::create_dir_all(&directory)?;
        let place = directory.display().to_string();
        let flags = ["--dir", &place, "--dbfilename", FILE].map(String::from);
        let flags = [&self.subject.extra[..], &flags[..]].concat();
        {
            let server = Server::start(&self.subject.program, None, &flags)?;
            let fill = Config::fill(server.address, self.plan.sync_keys, self.plan.value_bytes);
            clean(load::run(&fill)?, "fill")?;
            self.save(&server, table)?;
        }
        let start = Instant::now();
        let server = Server::start(&self.subject.program, None, &flags)?;
        let figure = "start from the snapshot: seconds";
        table.push(figure, self.column, start.elapsed().as_secs_f64());
        table.aim(figure, &[Goal { of: 1, beside: Some(0), most: LOAD_MOST }]);
        let keys = server.client()?.demand(&["DBSIZE"])?.integer();
        if keys.is_none_or(|keys| (keys as u64) < self.plan.sync_keys) {
            return Err(spoiled(format!("{keys:?} keys came back")));
        }
        drop(server);
        fs::remove_dir_all(directory)
    }

    fn save(&self, server: &Server, table: &mut Table) -> io::Result<()> {
        let mut client = server.client()?;
        let writes = Config {
            pipeline: WRITER_DEPTH,
            pace: Pace::Open { rate: self.plan.write_rate },
            until: Until::Elapsed(ALONE),
            keys: self.plan.sync_keys,
            ..self.load(server, Command::Set, 1)
        };
        let alone = clean(load::run(&writes)?, "writes")?;
        let writes = Config { until: Until::Elapsed(SYNC_TIMEOUT), ..writes };
        client.demand(&["CONFIG", "RESETSTAT"])?;
        let what = (GETS_GOING, "writes beside a snapshot");
        let (saved, report) = under(&writes, what, || watched(server))?;
        let mut figure = |what: &str, value: f64, goal: Option<(Option<usize>, f64)>| {
            let name = format!("snapshot under writes: {what}");
            table.push(&name, self.column, value);
            if let Some((beside, most)) = goal {
                table.aim(&name, &[Goal { of: 1, beside, most }]);
            }
        };
        figure("seconds", saved.seconds, Some((Some(0), TIME_MOST)));
        figure("CPU s, with children", saved.cpu_seconds, Some((Some(0), CPU_MOST)));
        figure("peak / before", saved.peak / saved.before, Some((None, PEAK_MOST)));
        figure("writer's p99 ms", report.latency.p99 / 1e3, None);
        figure("writer's p99 ms, alone", alone.latency.p99 / 1e3, None);
        if let Program::Damselfly(..) = self.subject.program {
            let (own, touching) = longest_pieces(server)?;
            figure("longest piece ms", own, Some((None, 1.0)));
            figure("the same with a first touch of memory ms", touching, None);
        }
        let floor = Server::start(&self.plan.floor.program, None, &[])?;
        let [asked, floor] = self.others(server, &floor, &writes)?;
        figure("another client's p99 ms", asked.beside / 1e3, None);
        figure("another client's p99 ms, without", asked.without / 1e3, None);
        figure("another client's p99 / without", asked.times(), Some((None, P99_MOST)));
        figure("p99 of a floor's client ms", floor.beside / 1e3, None);
        figure("p99 of a floor's client / without", floor.times(), None);
        Ok(())
    }

    /// The p99 of a client that reads while another one writes: beside snapshots, and for as long after each of them.
    /// It goes before both the writer and the server: what it waits for is the server, not its turn on one of few CPUs.
    /// Then the same of a client of the floor, which has nothing else to do: what that one waits, it waits for the machine.
    /// Of each the median: a machine is not as quiet at one time as at another.
    fn others(&self, server: &Server, floor: &Server, writes: &Config) -> io::Result<[Reads; 2]> {
        let mut samples: [[Samples; 2]; 2] = Default::default();
        under(writes, (GETS_GOING, "writes beside snapshots"), || {
            for _ in 0..TURNS {
                for (asked, [beside, without]) in [server, floor].into_iter().zip(&mut samples) {
                    let snapshot = |client: &mut Client| written(client, || Ok(()));
                    let (took, p99) = self.reads_beside(server, asked, snapshot)?;
                    beside.push(p99);
                    let looking = |client: &mut Client| looked_at(client, took);
                    let (_, p99) = self.reads_beside(server, asked, looking)?;
                    without.push(p99);
                }
            }
            Ok(())
        })?;
        let median =
            |samples: &Samples| samples.median().ok_or_else(|| spoiled("nothing was read"));
        let reads = |[beside, without]: &[Samples; 2]| {
            Ok::<_, io::Error>(Reads { beside: median(beside)?, without: median(without)? })
        };
        Ok([reads(&samples[0])?, reads(&samples[1])?])
    }

    /// Has something done by the server while a client of `asked` reads: how long it took, and the client's p99, in us.
    fn reads_beside(
        &self,
        server: &Server,
        asked: &Server,
        what: impl FnOnce(&mut Client) -> io::Result<Duration>,
    ) -> io::Result<(Duration, f64)> {
        let reads = Config {
            pipeline: 1,
            pace: Pace::Open { rate: READ_RATE },
            until: Until::Elapsed(SYNC_TIMEOUT),
            keys: self.plan.sync_keys,
            goes_first: true,
            ..self.load(asked, Command::Get, 1)
        };
        let mut client = server.client()?;
        let (took, report) =
            under(&reads, (CONNECTS, "reads beside a snapshot"), || what(&mut client))?;
        if report.requests < READS_MIN {
            return Err(spoiled(format!("{} reads say nothing of the p99", report.requests)));
        }
        Ok((took, report.latency.p99))
    }
}

/// Has a snapshot written, and something done now and then meanwhile; how long that took.
fn written(
    client: &mut Client,
    mut meanwhile: impl FnMut() -> io::Result<()>,
) -> io::Result<Duration> {
    let start = Instant::now();
    client.demand(&["BGSAVE"])?;
    while client.info("persistence", "rdb_bgsave_in_progress")?.as_deref() != Some("0") {
        meanwhile()?;
        if start.elapsed() > SYNC_TIMEOUT {
            return Err(spoiled("the snapshot does not end"));
        }
        std::thread::sleep(SAMPLE_INTERVAL);
    }
    let took = start.elapsed();
    if client.info("persistence", "rdb_last_bgsave_status")?.as_deref() != Some("ok") {
        return Err(spoiled("the snapshot failed"));
    }
    Ok(took)
}

/// Only looks at the server as [`written`] does, for so long.
fn looked_at(client: &mut Client, time: Duration) -> io::Result<Duration> {
    let start = Instant::now();
    while start.elapsed() < time {
        client.info("persistence", "rdb_bgsave_in_progress")?;
        std::thread::sleep(SAMPLE_INTERVAL);
    }
    Ok(start.elapsed())
}

/// The p99 of who reads, in us.
struct Reads {
    beside: f64,
    without: f64,
}

impl Reads {
    fn times(&self) -> f64 {
        self.beside / self.without
    }
}

/// What a snapshot cost.
struct Saved {
    seconds: f64,
    before: f64,
    peak: f64,
    cpu_seconds: f64,
}

/// Has a snapshot written, and looks on.
fn watched(server: &Server) -> io::Result<Saved> {
    let family = || process::family_bytes(server.pid()).ok_or_else(|| spoiled("no memory"));
    let cpu = || process::family_cpu_seconds(server.pid()).ok_or_else(|| spoiled("no CPU time"));
    let (before, cpu_before) = (family()? as f64, cpu()?);
    let mut peak = before;
    let took = written(&mut server.client()?, || {
        peak = peak.max(family()? as f64);
        Ok(())
    })?;
    let seconds = took.as_secs_f64();
    Ok(Saved { seconds, before, peak, cpu_seconds: cpu()? - cpu_before })
}
