//! A snapshot under writes, and a start from it.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::bench::{Bench, clean};
use super::beside::longest_piece;
use super::rows::{SAMPLE_INTERVAL, SYNC_TIMEOUT, WRITER_DEPTH};
use super::{Goal, Table, spoiled};
use crate::load::{self, Command, Config, Pace, Until};
use crate::peer::{Program, Server};
use crate::process;

/// How long the writer runs by itself, for its latencies without a snapshot.
const ALONE: Duration = Duration::from_secs(10);

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
        let stop = AtomicBool::new(false);
        client.demand(&["CONFIG", "RESETSTAT"])?;
        let (saved, report) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| load::run_until_stopped(&writes, &stop));
            let saved = watched(server);
            stop.store(true, Ordering::Relaxed);
            let report = writer.join().unwrap_or_else(|_| Err(spoiled("the writer panicked")));
            (saved, report)
        });
        let (saved, report) = (saved?, clean(report?, "writes beside a snapshot")?);
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
        let times = report.latency.p99 / alone.latency.p99;
        figure("writer's p99 / alone", times, Some((None, P99_MOST)));
        if let Program::Damselfly(..) = self.subject.program {
            figure("longest piece ms", longest_piece(server)?, Some((None, 1.0)));
        }
        Ok(())
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
    // Let the writes get going.
    std::thread::sleep(Duration::from_secs(1));
    let family = || process::family_bytes(server.pid()).ok_or_else(|| spoiled("no memory"));
    let cpu = || process::family_cpu_seconds(server.pid()).ok_or_else(|| spoiled("no CPU time"));
    let (before, cpu_before) = (family()? as f64, cpu()?);
    let mut client = server.client()?;
    let start = Instant::now();
    client.demand(&["BGSAVE"])?;
    let mut peak = before;
    while client.info("persistence", "rdb_bgsave_in_progress")?.as_deref() != Some("0") {
        peak = peak.max(family()? as f64);
        if start.elapsed() > SYNC_TIMEOUT {
            return Err(spoiled("the snapshot does not end"));
        }
        std::thread::sleep(SAMPLE_INTERVAL);
    }
    let seconds = start.elapsed().as_secs_f64();
    if client.info("persistence", "rdb_last_bgsave_status")?.as_deref() != Some("ok") {
        return Err(spoiled("the snapshot failed"));
    }
    Ok(Saved { seconds, before, peak, cpu_seconds: cpu()? - cpu_before })
}
