//! `damselfly demo`: a master and its replica on this machine, shown at work.
//!
//! It starts two nodes as children of its own (this same program, on free ports of the loopback), with
//! different shard counts, and goes through what replication is for:
//!
//! ```text
//!   master (1 shard) <---- relay ----- replica (2 shards)
//!     writes                |            copy, lag, frozen, thawed
//!                           `- is cut: the replica comes back and gets what it lacks
//!     killed                             promoted, keeps everything, takes writes
//! ```
//!
//! Everything shown is asked of the nodes over their ports, as any client could; whatever is not as it
//! should be ends the demo with exit code 1. It leaves nothing behind.

mod client;
mod node;
mod relay;

use client::{Client, text};
use node::Node;
use relay::Relay;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// No step takes longer on a machine that works.
const STEP_MAX: Duration = Duration::from_secs(60);

/// How often a condition is asked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Runs the demo; the error is one line.
pub fn run() -> Result<(), String> {
    let mut show = Show { began: Instant::now() };
    let mut stage = Stage::build(&mut show)?;
    first_copy(&mut show, &mut stage)?;
    frozen_replica(&mut show, &mut stage)?;
    cut_link(&mut show, &mut stage)?;
    promotion(&mut show, stage)?;
    show.say("done: every key was where it belongs at every step");
    Ok(())
}

/// Writes what happens, with the time since the beginning.
struct Show {
    began: Instant,
}

impl Show {
    fn say(&mut self, line: &str) {
        // Nobody reads any more: the steps are checked all the same.
        let _ = writeln!(io::stdout(), "[{:6.2} s] {line}", self.began.elapsed().as_secs_f64());
    }

    fn step(&mut self, title: &str) {
        let _ = writeln!(io::stdout(), "\n== {title}");
    }
}

/// Two nodes, the way between them, and how many keys were written.
struct Stage {
    master: Node,
    replica: Node,
    to_master: Client,
    to_replica: Client,
    relay: Relay,
    keys: usize,
}

impl Stage {
    fn build(show: &mut Show) -> Result<Stage, String> {
        show.step("a master with 1 shard and a replica with 2");
        let master = Node::start("master", 1)?;
        let replica = Node::start("replica", 2)?;
        let relay = Relay::start(master.port)?;
        let (to_master, to_replica) =
            (Client::connect(master.port)?, Client::connect(replica.port)?);
        show.say(&format!("the master listens on port {}", master.port));
        show.say(&format!("the replica listens on port {}", replica.port));
        Ok(Stage { master, replica, to_master, to_replica, relay, keys: 0 })
    }

    /// Writes `more` keys to the master.
    fn write(&mut self, more: usize) -> Result<(), String> {
        let keys = self.keys..self.keys + more;
        let commands = keys.map(|key| vec!["SET".into(), name(key), value(key)]).collect();
        self.to_master.all_ok(commands)?;
        self.keys += more;
        Ok(())
    }

    /// Every key that was ever written must be there, with its value and no other.
    fn check_copy(&mut self) -> Result<(), String> {
        check_keys(&mut self.to_replica, self.keys)
    }

    /// What the master's metric says, if the replica is in stable sync.
    fn lag(&self) -> Result<Option<u64>, String> {
        let lag = client::metric(self.master.port, "dfly_connected_replica_lag_records")?;
        Ok(lag.map(|lag| lag as u64))
    }

    fn wait_for_no_lag(&mut self, show: &mut Show) -> Result<(), String> {
        let before = Instant::now();
        until("the replica has everything", || Ok(self.lag()? == Some(0)))?;
        let waited = before.elapsed().as_millis();
        show.say(&format!("lag 0 after {waited} ms; checking all {} keys", self.keys));
        self.check_copy()
    }

    /// Prints what both nodes answer to ROLE.
    fn show_roles(&mut self, show: &mut Show) -> Result<(), String> {
        for (node, client) in [("master", &mut self.to_master), ("replica", &mut self.to_replica)] {
            let reply = client.ask(&["ROLE"])?;
            show.say(&format!("{node:>8}> ROLE    {}", text(&reply)));
        }
        Ok(())
    }

    /// Prints the master's line about its replica.
    fn show_info(&mut self, show: &mut Show) -> Result<(), String> {
        let reply = text(&self.to_master.ask(&["INFO", "REPLICATION"])?);
        let line = reply.lines().find(|line| line.starts_with("slave0:"));
        let line = line.ok_or_else(|| format!("INFO REPLICATION names no replica: {reply}"))?;
        show.say(&format!("  master> INFO    {line}"));
        Ok(())
    }
}

fn first_copy(show: &mut Show, stage: &mut Stage) -> Result<(), String> {
    show.step("REPLICAOF: an exact copy");
    stage.write(50_000)?;
    show.say(&format!("{} keys written to the master, which nobody follows yet", stage.keys));
    let port = stage.relay.port.to_string();
    let reply = stage.to_replica.ask(&["REPLICAOF", "127.0.0.1", &port])?;
    show.say(&format!(" replica> REPLICAOF 127.0.0.1 {port}    {}", text(&reply)));
    if !reply.is_ok() {
        return Err(format!("REPLICAOF was refused: {}", text(&reply)));
    }
    until("the replica follows", || Ok(stage.lag()?.is_some()))?;
    stage.write(50_000)?;
    show.say(&format!("{} keys now, half of them written while the replica follows", stage.keys));
    stage.wait_for_no_lag(show)?;
    stage.show_roles(show)?;
    stage.show_info(show)?;
    let reply = stage.to_replica.ask(&["SET", "mine", "1"])?;
    show.say(&format!(" replica> SET mine 1    {}", text(&reply)));
    match reply.error() {
        Some(error) if error.starts_with(b"READONLY") => Ok(()),
        _ => Err("a replica took a write".to_owned()),
    }
}

fn frozen_replica(show: &mut Show, stage: &mut Stage) -> Result<(), String> {
    show.step("the replica is frozen (SIGSTOP): the master goes on, and the lag shows it");
    stage.replica.signal(libc::SIGSTOP)?;
    let before = Instant::now();
    stage.write(20_000)?;
    show.say(&format!("20000 keys written in {} ms", before.elapsed().as_millis()));
    until("the lag shows", || Ok(stage.lag()?.is_some_and(|lag| lag > 0)))?;
    stage.show_info(show)?;
    stage.replica.signal(libc::SIGCONT)?;
    show.say("thawed");
    stage.wait_for_no_lag(show)
}

fn cut_link(show: &mut Show, stage: &mut Stage) -> Result<(), String> {
    show.step("the link is cut: the replica comes back by itself and gets what it lacks");
    let partial = "dfly_partial_sync_total";
    let before = client::metric(stage.master.port, partial)?.unwrap_or(0.0);
    stage.relay.cut();
    until("the link is down", || {
        let role = text(&stage.to_replica.ask(&["ROLE"])?);
        Ok(!role.contains("stable_sync"))
    })?;
    stage.write(20_000)?;
    stage.show_roles(show)?;
    show.say("20000 keys written meanwhile; the link is mended");
    stage.relay.mend();
    until("the replica follows again", || Ok(stage.lag()?.is_some()))?;
    stage.wait_for_no_lag(show)?;
    let after = client::metric(stage.master.port, partial)?.unwrap_or(0.0);
    if after <= before {
        return Err("the replica did not continue where it was".to_owned());
    }
    show.say("it was a partial sync: only what was missing was sent");
    Ok(())
}

fn promotion(show: &mut Show, mut stage: Stage) -> Result<(), String> {
    show.step("the master is killed (SIGKILL): the replica is promoted");
    stage.master.signal(libc::SIGKILL)?;
    let reply = stage.to_replica.ask(&["REPLICAOF", "NO", "ONE"])?;
    show.say(&format!(" replica> REPLICAOF NO ONE    {}", text(&reply)));
    let role = text(&stage.to_replica.ask(&["ROLE"])?);
    show.say(&format!(" replica> ROLE    {role}"));
    if !role.starts_with("master") {
        return Err(format!("after its promotion the node is {role}"));
    }
    show.say(&format!("checking all {} keys", stage.keys));
    stage.check_copy()?;
    let reply = stage.to_replica.ask(&["SET", "mine", "1"])?;
    show.say(&format!(" replica> SET mine 1    {}", text(&reply)));
    if !reply.is_ok() {
        return Err(format!("the promoted node takes no writes: {}", text(&reply)));
    }
    let code = stage.replica.stop()?;
    show.say(&format!("stopped with SIGTERM: exit code {code}"));
    if code == 0 { Ok(()) } else { Err(format!("the node ended with exit code {code}")) }
}

fn name(key: usize) -> String {
    format!("user:{key}")
}

fn value(key: usize) -> String {
    format!("value {key} of the demo")
}

fn check_keys(client: &mut Client, keys: usize) -> Result<(), String> {
    let size = client.ask(&["DBSIZE"])?.integer();
    if size != Some(keys as i64) {
        return Err(format!("the copy holds {size:?} keys, not {keys}"));
    }
    let replies = client.ask_all((0..keys).map(|key| vec!["GET".into(), name(key)]).collect())?;
    let wrong = replies
        .iter()
        .enumerate()
        .find(|(key, reply)| reply.bytes() != Some(value(*key).as_bytes()));
    match wrong {
        None => Ok(()),
        Some((key, reply)) => Err(format!("{} is {} in the copy", name(key), text(reply))),
    }
}

/// Asks until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let begun = Instant::now();
    while !is_so()? {
        if begun.elapsed() > STEP_MAX {
            return Err(format!("after {} s still not so: {what}", STEP_MAX.as_secs()));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}
