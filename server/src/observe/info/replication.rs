//! Who follows whom, and how far behind.
//!
//! `role` says `slave` and rows begin with `slave`, because Sentinel and exporters read them so. The
//! rows of shards begin with `replica`: Sentinel takes every line that begins with `slave` and a digit
//! for a replica.
//!
//! A lag is shown in stable sync only; before it, what the replica lacks is not known.

use super::view::{Lines, View};
use crate::config::Config;
use crate::effect;
use replication::info::{Info, Lag, LinkState, Replica, ReplicaState, Speaks, Upstream};

pub(super) fn replication(view: &View<'_>, lines: &mut Lines) {
    let (info, config) = (&view.picture.replication, &*view.picture.config);
    match &info.upstream {
        None => lines.put("role", "master"),
        Some(upstream) => {
            let redis = config.info_replication_valkey_compatible;
            lines.put("role", if redis { "slave" } else { "replica" });
            put_upstream(upstream, info, config, lines);
        }
    }
    lines.put("connected_slaves", info.replicas.len());
    if config.min_replicas_to_write > 0 && info.upstream.is_none() {
        lines.put("min_slaves_good_slaves", view.server.status.good_replicas());
    }
    for (index, replica) in info.replicas.iter().enumerate().filter(|_| !view.hides()) {
        put_replica(index, replica, config.info_replication_valkey_compatible, lines);
    }
    lines.put("master_failover_state", "no-failover");
    put_history(info, config, lines);
}

fn put_history(info: &Info, config: &Config, lines: &mut Lines) {
    const NOBODY: &str = "0000000000000000000000000000000000000000";
    if let Some(stream) = &info.stream {
        // Whoever follows as a Redis does, and tools that look at both ends, know this node by its stream.
        lines.put("master_replid", &stream.id);
        lines.put("master_replid2", NOBODY);
        lines.put("master_repl_offset", stream.offset);
        lines.put("second_repl_offset", -1);
        lines.put("repl_backlog_active", 1);
        lines.put("repl_backlog_size", effect::stream_bytes(config));
        lines.put("repl_backlog_first_byte_offset", stream.first + 1);
        lines.put("repl_backlog_histlen", stream.bytes);
        lines.put("damselfly_history", &info.history);
        return;
    }
    lines.put("master_replid", &info.history);
    let (parent, branched) = match &info.parent {
        Some((parent, offset)) => (parent.as_str(), *offset as i64 + 1),
        None => (NOBODY, -1),
    };
    lines.put("master_replid2", parent);
    lines.put("master_repl_offset", info.offset);
    lines.put("second_repl_offset", branched);
    let bytes: u64 = info.journals.iter().map(|journal| journal.bytes).sum();
    let first: u64 = info.journals.iter().map(|journal| journal.first.0).sum();
    lines.put("repl_backlog_active", u8::from(bytes > 0));
    lines.put("repl_backlog_size", effect::journals_bytes(config));
    lines.put("repl_backlog_first_byte_offset", first);
    lines.put("repl_backlog_histlen", bytes);
}

/// What a row of INFO says of all flows together: the most records and milliseconds, all bytes.
fn whole(lags: &[Lag]) -> Lag {
    Lag {
        records: lags.iter().map(|lag| lag.records).max().unwrap_or(0),
        bytes: lags.iter().map(|lag| lag.bytes).sum(),
        millis: lags.iter().map(|lag| lag.millis).max().unwrap_or(0),
    }
}

/// What Redis calls such a state.
fn redis_word(state: ReplicaState) -> &'static str {
    match state {
        ReplicaState::Preparation => "wait_bgsave",
        ReplicaState::FullSync | ReplicaState::CatchingUp => "send_bulk",
        ReplicaState::StableSync => "online",
    }
}

/// A Redis: in its words alone. Its lag is in seconds, and 0 before it is online, as there.
fn put_follower(index: usize, replica: &Replica, lines: &mut Lines) {
    let state = redis_word(replica.state);
    let Replica { ip, port, offset, last_ack_ms, .. } = replica;
    let lag = if replica.state == ReplicaState::StableSync { last_ack_ms / 1000 } else { 0 };
    let row = format_args!("ip={ip},port={port},state={state},offset={offset},lag={lag}");
    lines.put(format_args!("slave{index}"), row);
}

fn put_replica(index: usize, replica: &Replica, redis: bool, lines: &mut Lines) {
    if replica.speaks != Speaks::Journals {
        return put_follower(index, replica, lines);
    }
    let state = if redis { redis_word(replica.state) } else { replica.state.word() };
    let mut row =
        format!("ip={},port={},state={state},offset={}", replica.ip, replica.port, replica.offset);
    let lag = whole(&replica.lags);
    let is_stable = replica.state == ReplicaState::StableSync;
    if is_stable {
        row.push_str(&format!(",lag={}", lag.records));
    }
    row.push_str(&format!(",type=replica,sync_state={}", replica.state.word()));
    if is_stable {
        let Lag { records, bytes, millis } = lag;
        row.push_str(&format!(",lag_records={records},lag_bytes={bytes},lag_ms={millis}"));
        row.push_str(&format!(",last_ack_ms={}", replica.last_ack_ms));
    }
    if let Some(progress) = &replica.progress {
        row.push_str(&format!(
            ",sync_keys_done={},sync_keys_total={},sync_perc={:.2},sync_keys_per_sec={:.0}",
            progress.done,
            progress.total,
            progress.ratio() * 100.0,
            progress.rate,
        ));
        if let Some(seconds) = progress.eta_seconds {
            row.push_str(&format!(",sync_eta_seconds={:.0}", seconds.ceil()));
        }
    }
    lines.put(format_args!("slave{index}"), row);
    for (shard, lag) in replica.lags.iter().enumerate().filter(|_| is_stable) {
        let Lag { records, bytes, millis } = lag;
        let value = format_args!("lag_records={records},lag_bytes={bytes},lag_ms={millis}");
        lines.put(format_args!("replica{index}_shard{shard}"), value);
    }
}

fn put_upstream(upstream: &Upstream, info: &Info, config: &Config, lines: &mut Lines) {
    let is_up = upstream.state == LinkState::StableSync;
    let is_syncing = upstream.state == LinkState::FullSync;
    lines.put("master_host", &upstream.host);
    lines.put("master_port", upstream.port);
    lines.put("master_link_status", if is_up { "up" } else { "down" });
    lines.put("master_link_state", upstream.state.word());
    let has_link = is_up || is_syncing;
    let last_io = if has_link { (upstream.last_io_ms / 1000) as i64 } else { -1 };
    lines.put("master_last_io_seconds_ago", last_io);
    lines.put("master_sync_in_progress", u8::from(is_syncing));
    // Sentinel chooses by it.
    let offset = upstream.position().unwrap_or(0);
    lines.put("slave_read_repl_offset", offset);
    lines.put("slave_repl_offset", offset);
    if let Some(progress) = upstream.progress.as_ref().filter(|_| is_syncing) {
        lines.put("master_sync_keys_done", progress.done);
        lines.put("master_sync_keys_total", progress.total);
        lines.put("master_sync_perc", format_args!("{:.2}", progress.ratio() * 100.0));
        lines.put("master_sync_keys_per_sec", progress.rate.round());
        if let Some(seconds) = progress.eta_seconds {
            lines.put("master_sync_eta_seconds", seconds.ceil());
        }
        lines.put("master_sync_last_io_seconds_ago", upstream.last_io_ms / 1000);
    }
    if !is_up {
        let down = upstream.down_ms.unwrap_or(0) / 1000;
        lines.put("master_link_down_since_seconds", down);
        lines.put("master_link_last_error", upstream.last_error.as_deref().unwrap_or_default());
    } else if let lags = upstream.lags()
        && let Some(most) = lags.iter().max()
    {
        lines.put("master_lag_records", most);
        for (shard, lag) in lags.iter().enumerate() {
            lines.put(format_args!("master_lag_records_shard{shard}"), lag);
        }
    }
    lines.put("master_link_reconnects", upstream.reconnects);
    lines.put("slave_priority", config.replica_priority);
    lines.put("slave_read_only", 1);
    lines.put("replica_announced", u8::from(config.replica_announced));
    lines.put("replica_guard_holding", u8::from(upstream.guard.is_some()));
    if let Some(held) = &upstream.guard {
        lines.put("replica_guard_own_keys", held.own_keys);
        lines.put("replica_guard_master_keys", held.master_keys);
    }
    lines.put("psync_attempts", info.counters.psync_attempts);
    lines.put("psync_successes", info.counters.psync_successes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use replication::info::Progress;

    fn replica(state: ReplicaState) -> Replica {
        Replica {
            session: 1,
            ip: "10.0.0.2".to_owned(),
            port: 6380,
            state,
            offset: 120,
            lags: Vec::new(),
            last_ack_ms: 4,
            progress: None,
            speaks: Speaks::Journals,
        }
    }

    fn check(replica: &Replica, expected: &str) {
        let mut lines = Lines::default();
        put_replica(0, replica, true, &mut lines);
        assert_eq!(lines.0.replace("\r\n", "\n"), expected);
    }

    #[test]
    fn a_lag_is_shown_in_stable_sync_only_and_is_the_largest_over_the_shards() {
        let lags = vec![
            Lag { records: 3, bytes: 100, millis: 20 },
            Lag { records: 7, bytes: 50, millis: 10 },
        ];
        check(
            &Replica { lags: lags.clone(), ..replica(ReplicaState::StableSync) },
            "slave0:ip=10.0.0.2,port=6380,state=online,offset=120,lag=7,type=replica,\
             sync_state=stable_sync,lag_records=7,lag_bytes=150,lag_ms=20,last_ack_ms=4\n\
             replica0_shard0:lag_records=3,lag_bytes=100,lag_ms=20\n\
             replica0_shard1:lag_records=7,lag_bytes=50,lag_ms=10\n",
        );
        check(
            &Replica { lags, ..replica(ReplicaState::Preparation) },
            "slave0:ip=10.0.0.2,port=6380,state=wait_bgsave,offset=120,type=replica,\
             sync_state=preparation\n",
        );
    }

    #[test]
    fn a_redis_is_shown_in_its_own_words() {
        let speaks = Speaks::Commands { lag_bytes: 7 };
        for (state, word, lag) in [
            (ReplicaState::Preparation, "wait_bgsave", 0),
            (ReplicaState::FullSync, "send_bulk", 0),
            (ReplicaState::StableSync, "online", 2),
        ] {
            let expected =
                format!("slave0:ip=10.0.0.2,port=6380,state={word},offset=120,lag={lag}\n");
            check(&Replica { speaks, last_ack_ms: 2400, ..replica(state) }, &expected);
        }
    }

    #[test]
    fn a_full_sync_shows_its_progress() {
        let progress = Some(Progress::of(250, 1000, 5.0));
        check(
            &Replica { progress, ..replica(ReplicaState::FullSync) },
            "slave0:ip=10.0.0.2,port=6380,state=send_bulk,offset=120,type=replica,\
             sync_state=full_sync,sync_keys_done=250,sync_keys_total=1000,sync_perc=25.00,\
             sync_keys_per_sec=50,sync_eta_seconds=15\n",
        );
    }
}
