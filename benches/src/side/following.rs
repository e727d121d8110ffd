//! Following a redis-server: how long the whole data set takes, and what a write of its stream costs the replica.

use std::io;
use std::time::Instant;

use super::bench::{Bench, clean};
use super::rows::{SAMPLE_INTERVAL, SYNC_TIMEOUT, await_sync};
use super::{Goal, Table, spoiled};
use crate::load::{self, Command};
use crate::peer::Server;
use crate::process;

/// Requests that are sent at once, as for the other rows of replicas.
const DEPTH: usize = 16;

/// Goals beside a replica of the peer's own.
const TIME_MOST: f64 = 1.0;
const CPU_MOST: f64 = 0.6;

impl Bench<'_> {
    pub(super) fn following(&self, table: &mut Table) -> io::Result<()> {
        // Whoever follows, the same program is followed.
        let peer = Bench { plan: self.plan, column: self.column, subject: &self.plan.peers[0] };
        let master = peer.full(self.plan.sync_keys, None)?;
        let replica = self.start(None)?;
        let cpu =
            || process::family_cpu_seconds(replica.pid()).ok_or_else(|| spoiled("no CPU time"));
        let (start, before) = (Instant::now(), cpu()?);
        replica.follow(&master)?;
        await_sync(&replica, self.plan.sync_keys)?;
        let mut figure = |what: &str, value: f64, most: Option<f64>| {
            let name = format!("following redis-server: {what}");
            table.push(&name, self.column, value);
            if let Some(most) = most {
                table.aim(&name, &[Goal { of: 1, beside: Some(0), most }]);
            }
        };
        figure("full sync, seconds", start.elapsed().as_secs_f64(), Some(TIME_MOST));
        figure("full sync, the replica's CPU s", cpu()? - before, None);
        let before = cpu()?;
        let writes = peer.load(&master, Command::Set, DEPTH);
        let report = clean(load::run(&writes)?, "writes")?;
        let head = offset(&master, "master_repl_offset")?;
        let start = Instant::now();
        while offset(&replica, "slave_repl_offset")? < head {
            if start.elapsed() > SYNC_TIMEOUT {
                return Err(spoiled("the replica does not catch up"));
            }
            std::thread::sleep(SAMPLE_INTERVAL);
        }
        let each = (cpu()? - before) * 1e6 / report.requests as f64;
        figure("stream, the replica's CPU us per write", each, Some(CPU_MOST));
        Ok(())
    }
}

fn offset(server: &Server, field: &str) -> io::Result<u64> {
    let text = server.client()?.info("replication", field)?;
    text.and_then(|text| text.trim().parse().ok()).ok_or_else(|| spoiled(format!("no {field}")))
}
