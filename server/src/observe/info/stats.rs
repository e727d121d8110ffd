//! Counters and keys.

use super::view::{Lines, View};
use crate::server::Counters;
use engine::shard::Piece;

pub(super) fn stats(view: &View<'_>, lines: &mut Lines) {
    let (picture, counters) = (view.picture, &view.server.counters);
    let (keys, rates) = (&picture.keys, &picture.rates);
    let syncs = &picture.replication.counters;
    lines.put("total_connections_received", Counters::get(&counters.connections));
    lines.put("total_commands_processed", picture.commands_total());
    lines.put("instantaneous_ops_per_sec", rates.commands.round());
    lines.put("total_net_input_bytes", Counters::get(&counters.input_bytes));
    lines.put("total_net_output_bytes", Counters::get(&counters.output_bytes));
    lines.put("instantaneous_input_kbps", format_args!("{:.2}", rates.input_bytes / 1024.0));
    lines.put("instantaneous_output_kbps", format_args!("{:.2}", rates.output_bytes / 1024.0));
    lines.put("rejected_connections", Counters::get(&counters.rejected));
    lines.put("total_handshakes_started", Counters::get(&counters.tls_started));
    lines.put("total_handshakes_completed", Counters::get(&counters.tls_completed));
    let oom = picture.errors.sorted().into_iter().find(|(word, _)| *word == "OOM");
    lines.put("oom_rejections", oom.map_or(0, |(_, count)| count));
    lines.put("sync_full", syncs.full);
    lines.put("sync_partial_ok", syncs.partial_ok);
    lines.put("sync_partial_err", syncs.partial_err);
    for (reason, count) in &syncs.full_reasons {
        lines.put(format_args!("sync_full_reason_{}", field(reason)), count);
    }
    lines.put("replicas_dropped", syncs.dropped.iter().sum::<u64>());
    lines.put("expired_keys", keys.expired);
    lines.put("expired_stale_perc", "0.00");
    lines.put("expired_time_cap_reached_count", 0);
    lines.put("evicted_keys", keys.evicted);
    lines.put("evicted_clients", 0);
    lines.put("total_eviction_exceeded_time", 0);
    lines.put("current_eviction_exceeded_time", 0);
    lines.put("keyspace_hits", keys.hits);
    lines.put("keyspace_misses", keys.misses);
    lines.put("keyspace_mutations", keys.mutations);
    let heard = view.server.hub.counts();
    lines.put("pubsub_channels", heard.channels);
    lines.put("pubsub_patterns", heard.patterns);
    lines.put("pubsubshard_channels", heard.sharded);
    for unused in [
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
        "unexpected_error_replies",
    ] {
        lines.put(unused, 0);
    }
    lines.put("total_error_replies", picture.errors.total());
    let closed =
        [("query", &counters.query_disconnections), ("output", &counters.output_disconnections)];
    for (side, count) in closed {
        let field = format_args!("client_{side}_buffer_limit_disconnections");
        lines.put(field, Counters::get(count));
    }
    lines.put("open_transactions", picture.open_entries);
}

/// A reason as a part of a field's name.
fn field(reason: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    reason.chars().map(plain).collect()
}

pub(super) fn keyspace(view: &View<'_>, lines: &mut Lines) {
    for (index, db) in view.picture.dbs.iter().enumerate().filter(|(_, db)| db.keys > 0) {
        let (keys, expires, ttl) = (db.keys, db.expires, db.mean_ttl());
        let value = format_args!("keys={keys},expires={expires},avg_ttl={ttl}");
        lines.put(format_args!("db{index}"), value);
    }
}

/// The longest piece of work that each executor did without letting anybody else run, by kind, in
/// microseconds: the shards' executors, then that of replication.
pub(super) fn debug(view: &View<'_>, lines: &mut Lines) {
    for (executor, pieces) in view.server.node.pieces().iter().enumerate() {
        let longest =
            |piece: Piece| format!("{}={}", piece.name(), pieces.longest(piece).as_micros());
        let kinds = Piece::ALL.map(longest).join(",");
        lines.put(format_args!("longest_usec_executor_{executor}"), kinds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_becomes_a_name() {
        assert_eq!(field("Nothing-to: go"), "nothing_to__go");
    }
}
