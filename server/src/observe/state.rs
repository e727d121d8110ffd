//! What is gathered to answer one HTTP request.

use crate::clients;
use crate::http::{self, Request};
use crate::observe::info::{View, node};
use crate::observe::metrics::{DRAGONFLY_PREFIX, Lag, Metric, Replica, ReplicaState, Samples};
use crate::observe::picture::Picture;
use crate::server::{Counters, Server};
use engine::exec::Front;
use engine::shard::Piece;
use replication::info::{self, DropKind, Info, LinkState, Upstream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// What the page that was asked for shows, as of one moment.
pub struct Observed {
    metrics: String,
    health: Result<(), String>,
    replication: http::Replication,
    status: Option<Vec<(String, String)>>,
}

/// Gathers what a request needs, and no more: a probe must not cost a round through all shards.
/// `admin`: it came over the admin port.
pub async fn state(
    front: &Rc<Front>,
    server: &Arc<Server>,
    request: &Request,
    admin: bool,
) -> Observed {
    let mut observed = Observed {
        metrics: String::new(),
        health: health(server),
        replication: http::Replication::Master,
        status: None,
    };
    match request.path.as_str() {
        "/metrics" => {
            let picture = Picture::take(front, server).await;
            let mut prefixes = vec![picture.config.metrics_prefix.as_str()];
            if picture.config.metrics_dragonfly_names && prefixes[0] != DRAGONFLY_PREFIX {
                prefixes.push(DRAGONFLY_PREFIX);
            }
            observed.metrics = samples(&picture, server).render(&prefixes);
        }
        "/readyz" => observed.replication = replication(&server.replication.info(front).await),
        "/" if is_admitted(server, request, admin) => {
            let picture = Picture::take(front, server).await;
            observed.status = Some(node::summary(&View { picture: &picture, server, admin: true }));
        }
        _ => {}
    }
    observed
}

/// Whether the status page is for whoever asks: what commands ask for, it asks for too.
fn is_admitted(server: &Server, request: &Request, admin: bool) -> bool {
    let config = server.settings.config();
    let password = &config.requirepass;
    password.is_empty() || (admin && config.admin_nopass) || request.shows_password(password)
}

fn health(server: &Server) -> Result<(), String> {
    if server.stopping.load(Ordering::Acquire) {
        return Err("stopping".to_owned());
    }
    if server.status.is_loading() {
        return Err("loading".to_owned());
    }
    Ok(())
}

fn replication(info: &Info) -> http::Replication {
    match &info.upstream {
        None => http::Replication::Master,
        // Of a Redis there are no flows.
        Some(upstream)
            if upstream.state == LinkState::StableSync && upstream.applied.is_empty() =>
        {
            http::Replication::StableByBytes
        }
        Some(upstream) if upstream.state == LinkState::StableSync => {
            http::Replication::Stable { lag_records: upstream.lags().into_iter().max() }
        }
        Some(upstream) => http::Replication::NotStable(upstream.state.word().to_owned()),
    }
}

fn samples(picture: &Picture, server: &Server) -> Samples {
    let mut samples = Samples::new();
    put_node(&mut samples, picture, server);
    put_clients(&mut samples, picture, server);
    put_memory(&mut samples, picture);
    put_commands(&mut samples, picture, server);
    put_keys(&mut samples, picture);
    put_snapshots(&mut samples, server);
    put_replication(&mut samples, picture);
    if let Some(upstream) = &picture.replication.upstream {
        put_upstream(&mut samples, upstream);
    }
    samples
}

fn put_node(samples: &mut Samples, picture: &Picture, server: &Server) {
    samples.put_labelled(Metric::Version, &[env!("CARGO_PKG_VERSION")], 1.0);
    let is_master = picture.replication.upstream.is_none();
    samples.put(Metric::Master, f64::from(u8::from(is_master)));
    samples.put(Metric::UptimeSeconds, server.started.elapsed().as_secs() as f64);
    samples.put(Metric::Shards, f64::from(server.node.shards()));
    for (executor, pieces) in server.node.pieces().iter().enumerate() {
        for piece in Piece::ALL {
            let (executor, longest) = (executor.to_string(), pieces.longest(piece));
            let labels = [executor.as_str(), piece.name()];
            samples.put_labelled(Metric::LongestWorkSeconds, &labels, longest.as_secs_f64());
        }
    }
    let tls = server.tls.current();
    let (server, client) = (tls.server.as_ref(), tls.client.as_ref());
    let identities = [
        server.map(|tls| tls.identity()),
        server.and_then(|tls| tls.authority()),
        client.and_then(|tls| tls.identity()),
        client.and_then(|tls| tls.authority()),
    ];
    let mut files = Vec::new();
    for identity in identities.into_iter().flatten() {
        if !files.contains(&identity.file.as_str()) {
            let left = identity.seconds_left(SystemTime::now()) as f64;
            samples.put_labelled(Metric::TlsCertExpirySeconds, &[&identity.file], left);
            files.push(identity.file.as_str());
        }
    }
}

fn put_clients(samples: &mut Samples, picture: &Picture, server: &Server) {
    let (clients, counters) = (&picture.clients, &server.counters);
    let get = |counter| Counters::get(counter) as f64;
    samples.put_labelled(Metric::ConnectedClients, &["main"], clients.normal as f64);
    samples.put_labelled(Metric::ConnectedClients, &["admin"], clients.admin as f64);
    samples.put_labelled(Metric::OtherConnections, &["arriving"], clients.arriving as f64);
    samples.put_labelled(Metric::OtherConnections, &["http"], clients.http as f64);
    samples.put(Metric::MaxClients, f64::from(clients::places(&picture.config)));
    samples.put(Metric::BlockedClients, get(&counters.blocked));
    samples.put(Metric::ConnectionsReceived, get(&counters.connections));
    let denied = get(&counters.denied);
    let too_many = (get(&counters.rejected) - denied).max(0.0);
    samples.put_labelled(Metric::ConnectionsRefused, &["maxclients"], too_many);
    samples.put_labelled(Metric::ConnectionsRefused, &["protected_mode"], denied);
    let not_secured = get(&counters.tls_failed);
    samples.put_labelled(Metric::ConnectionsRefused, &["tls_error"], not_secured);
    for (limit, count) in [
        ("output", &counters.output_disconnections),
        ("query", &counters.query_disconnections),
        ("timeout", &counters.timed_out),
    ] {
        samples.put_labelled(Metric::ClientsClosed, &[limit], get(count));
    }
    let heard = server.hub.counts();
    samples.put(Metric::PubsubClients, clients.subscribers as f64);
    samples.put_labelled(Metric::PubsubNames, &["channel"], heard.channels as f64);
    samples.put_labelled(Metric::PubsubNames, &["pattern"], heard.patterns as f64);
    samples.put_labelled(Metric::PubsubNames, &["shard"], heard.sharded as f64);
    samples.put_labelled(Metric::TlsHandshakes, &["started"], get(&counters.tls_started));
    samples.put_labelled(Metric::TlsHandshakes, &["completed"], get(&counters.tls_completed));
    samples.put_labelled(Metric::TlsHandshakes, &["resumed"], get(&counters.tls_resumed));
    samples.put(Metric::NetInputBytes, get(&counters.input_bytes));
    samples.put(Metric::NetOutputBytes, get(&counters.output_bytes));
}

fn put_memory(samples: &mut Samples, picture: &Picture) {
    let memory = &picture.memory;
    samples.put(Metric::MemoryUsedBytes, memory.used as f64);
    samples.put(Metric::MemoryUsedPeakBytes, memory.peak as f64);
    samples.put(Metric::MemoryMaxBytes, memory.max as f64);
    samples.put(Metric::UsedMemoryRssBytes, memory.resident as f64);
    for (class, bytes) in [
        ("dataset", memory.dataset()),
        ("tables", memory.tables),
        ("replication_log", memory.journals),
        ("client_buffers", memory.clients),
        ("startup", memory.startup),
    ] {
        samples.put_labelled(Metric::MemoryByClassBytes, &[class], bytes as f64);
    }
}

fn put_commands(samples: &mut Samples, picture: &Picture, server: &Server) {
    samples.put(Metric::CommandsProcessed, picture.commands_total() as f64);
    for entry in server.registry.iter_all() {
        let stats = picture.commands[usize::from(entry.id)];
        if stats.calls > 0 {
            let seconds = stats.nanos as f64 / 1e9;
            samples.put_labelled(Metric::Commands, &[entry.name()], stats.calls as f64);
            samples.put_labelled(Metric::CommandsDurationSeconds, &[entry.name()], seconds);
        }
    }
    for (word, count) in picture.errors.sorted() {
        samples.put_labelled(Metric::ErrorReplies, &[word], count as f64);
    }
    let refused = picture.errors.sorted().into_iter().find(|(word, _)| *word == "OOM");
    samples.put(Metric::OomErrors, refused.map_or(0, |(_, count)| count) as f64);
}

fn put_keys(samples: &mut Samples, picture: &Picture) {
    let keys = &picture.keys;
    samples.put(Metric::KeyspaceHits, keys.hits as f64);
    samples.put(Metric::KeyspaceMisses, keys.misses as f64);
    samples.put(Metric::KeyspaceMutations, keys.mutations as f64);
    samples.put(Metric::ExpiredKeys, keys.expired as f64);
    samples.put(Metric::EvictedKeys, keys.evicted as f64);
    for (index, db) in
        picture.dbs.iter().enumerate().filter(|(index, db)| *index == 0 || db.keys > 0)
    {
        let name = format!("db{index}");
        samples.put_labelled(Metric::DbKeys, &[&name], db.keys as f64);
        samples.put_labelled(Metric::DbKeysExpiring, &[&name], db.expires as f64);
    }
}

fn put_snapshots(samples: &mut Samples, server: &Server) {
    let (last, now) = (server.snapshots.last(), server.snapshots.under_way());
    let one_if = |yes: bool| f64::from(u8::from(yes));
    samples.put(Metric::SnapshotInProgress, one_if(now.is_some()));
    samples.put(Metric::SnapshotHeldBytes, engine::cut::held_total() as f64);
    if let Some(now) = now {
        let figures = now.figures();
        samples.put(Metric::SnapshotKeys, figures.keys as f64);
        samples.put(Metric::SnapshotKeysExpected, figures.keys_total as f64);
        samples.put(Metric::SnapshotBytes, figures.bytes as f64);
        if let Some(left) = figures.eta_seconds {
            samples.put(Metric::SnapshotEtaSeconds, left);
        }
    }
    samples.put(Metric::SnapshotsWritten, last.count as f64);
    samples.put(Metric::SnapshotLastStatus, one_if(last.is_ok));
    samples.put(Metric::SnapshotLastTime, last.unix_seconds() as f64);
    if let Some(took) = last.took {
        samples.put(Metric::SnapshotLastSeconds, took.as_secs_f64());
    }
}

fn put_replication(samples: &mut Samples, picture: &Picture) {
    let info = &picture.replication;
    for state in ReplicaState::ALL {
        let count = info.replicas.iter().filter(|replica| state_of(replica) == state).count();
        samples.put_labelled(Metric::ConnectedReplicas, &[state.word()], count as f64);
    }
    for replica in &info.replicas {
        samples.put_replica(&shown(replica));
    }
    let counters = &info.counters;
    for (reason, count) in &counters.full_reasons {
        samples.put_labelled(Metric::FullSyncs, &[reason], *count as f64);
    }
    samples.put_labelled(Metric::PartialSyncs, &["ok"], counters.partial_ok as f64);
    samples.put_labelled(Metric::PartialSyncs, &["refused"], counters.partial_err as f64);
    samples.put(Metric::PsyncCount, counters.partial_ok as f64);
    let reconnects = info.upstream.as_ref().map_or(0, |upstream| upstream.reconnects);
    samples.put(Metric::ReplicaReconnects, reconnects as f64);
    for (kind, count) in DropKind::ALL.into_iter().zip(counters.dropped) {
        samples.put_labelled(Metric::ReplicasDropped, &[kind.word()], count as f64);
    }
    let most = crate::effect::journals_bytes(&picture.config) / info.journals.len().max(1) as u64;
    for (shard, journal) in info.journals.iter().enumerate() {
        let shard = shard.to_string();
        let age = journal.oldest_age_ms as f64 / 1e3;
        samples.put_labelled(Metric::BacklogBytes, &[&shard], journal.bytes as f64);
        samples.put_labelled(Metric::BacklogMaxBytes, &[&shard], most as f64);
        samples.put_labelled(Metric::BacklogOldestAgeSeconds, &[&shard], age);
        samples.put_labelled(Metric::JournalLsn, &[&shard], journal.head.0 as f64);
    }
}

fn state_of(replica: &info::Replica) -> ReplicaState {
    match replica.state {
        info::ReplicaState::Preparation => ReplicaState::Preparation,
        info::ReplicaState::FullSync => ReplicaState::FullSync,
        info::ReplicaState::CatchingUp => ReplicaState::CatchingUp,
        info::ReplicaState::StableSync => ReplicaState::StableSync,
    }
}

fn shown(replica: &info::Replica) -> Replica {
    let millis = replica.lags.iter().map(|lag| lag.millis).max().unwrap_or(0);
    let stream_bytes = match replica.speaks {
        info::Speaks::Journals => 0,
        info::Speaks::Commands { lag_bytes } => lag_bytes,
    };
    Replica {
        ip: replica.ip.clone(),
        port: replica.port,
        state: state_of(replica),
        lag: Lag {
            shard_records: replica.lags.iter().map(|lag| lag.records).collect(),
            bytes: replica.lags.iter().map(|lag| lag.bytes).sum::<u64>() + stream_bytes,
            seconds: millis as f64 / 1e3,
        },
        progress_ratio: replica.progress.as_ref().map(info::Progress::ratio),
        eta_seconds: replica.progress.as_ref().and_then(|progress| progress.eta_seconds),
    }
}

fn put_upstream(samples: &mut Samples, upstream: &Upstream) {
    let one_if = |yes: bool| f64::from(u8::from(yes));
    let (is_up, is_syncing) =
        (upstream.state == LinkState::StableSync, upstream.state == LinkState::FullSync);
    samples.put(Metric::MasterLinkStatus, one_if(is_up));
    samples.put(Metric::MasterSyncInProgress, one_if(is_syncing));
    if is_up || is_syncing {
        samples.put(Metric::MasterLastIoSeconds, upstream.last_io_ms as f64 / 1e3);
    }
    if let Some(position) = upstream.position() {
        samples.put(Metric::SlaveReplOffset, position as f64);
    }
    if is_up && let Some(most) = upstream.lags().into_iter().max() {
        samples.put(Metric::MasterLagRecords, most as f64);
    }
    samples.put(Metric::ReplicaGuardHolding, one_if(upstream.guard.is_some()));
    if let Some(held) = &upstream.guard {
        samples.put(Metric::ReplicaGuardOwnKeys, held.own_keys as f64);
        samples.put(Metric::ReplicaGuardMasterKeys, held.master_keys as f64);
    }
}

impl http::HttpState for Observed {
    fn metrics(&self) -> String {
        self.metrics.clone()
    }

    fn health(&self) -> Result<(), String> {
        self.health.clone()
    }

    fn replication(&self) -> http::Replication {
        self.replication.clone()
    }

    fn status(&self) -> Option<Vec<(String, String)>> {
        self.status.clone()
    }
}
