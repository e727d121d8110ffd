//! The one list of metrics, and their text for Prometheus.
//!
//! A metric is one entry: name without prefix, kind, labels, help. The server gathers [`Samples`] for
//! each scrape; they are published through the `metrics` facade into a recorder of their own and
//! rendered by it. A fresh recorder per scrape is what keeps a replica that left, or a lag that is
//! not known, from being shown for ever: what was not gathered is not there.
//!
//! ```text
//!   Samples (enum Metric + labels + value) --> metrics::Recorder --> PrometheusRecorder --> text
//! ```
//!
//! Every family has HELP and TYPE; our counters end in `_total`, but for a few of Dragonfly's names
//! that dashboards already use.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write;

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

/// The prefix of every metric, where `--metrics_prefix` says nothing else.
pub const PREFIX: &str = "dfly_";
/// Dragonfly's prefix, for its dashboards: see `--metrics_dragonfly_names`.
pub const DRAGONFLY_PREFIX: &str = "dragonfly_";

/// How a metric moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only up, from the start of the process on.
    Counter,
    /// Up and down.
    Gauge,
}

/// What a metric is.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// Which one.
    pub metric: Metric,
    /// The name without its prefix.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// The names of its labels, in the order in which a sample gives their values.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

macro_rules! metrics_table {
    ($( $(#[doc = $help:literal])+ $metric:ident = $kind:ident $name:literal [$($label:literal),*]; )+) => {
        /// A metric of the list.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Metric { $( $(#[doc = $help])+ $metric, )+ }

        /// Every metric, in the order of the manual.
        pub static METRICS: &[Declaration] = &[ $( Declaration {
            metric: Metric::$metric,
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: concat!($($help),+),
        }, )+ ];
    };
}

metrics_table! {
    /// Always 1; the label is the program's version.
    Version = Gauge "version" ["version"];
    /// 1 while this node follows nobody, 0 while it is a replica.
    Master = Gauge "master" [];
    /// Seconds since the program started.
    UptimeSeconds = Counter "uptime_in_seconds" [];
    /// How many shards the keys are cut into.
    Shards = Gauge "shards" [];
    /// The longest piece of work that an executor did without letting anybody else run, by kind, since the
    /// start or CONFIG RESETSTAT. Time in which the kernel had its thread wait for a CPU is left out. Pieces in
    /// which memory was touched for the first time, which the kernel or the machine below takes its time to find, are of
    /// the kind memory.
    LongestWorkSeconds = Gauge "longest_work_seconds" ["executor", "kind"];

    /// Open client connections, by listener.
    ConnectedClients = Gauge "connected_clients" ["listener"];
    /// Open connections that are no clients: their TLS handshake is not over (arriving), or they ask for
    /// pages (http). They count for max_clients.
    OtherConnections = Gauge "other_connections" ["stage"];
    /// The most client connections allowed.
    MaxClients = Gauge "max_clients" [];
    /// Clients that wait in a blocking command.
    BlockedClients = Gauge "blocked_clients" [];
    /// Connections accepted.
    ConnectionsReceived = Counter "connections_received_total" [];
    /// Connections refused, by reason.
    ConnectionsRefused = Counter "listener_accept_error_total" ["reason"];
    /// Clients closed because of a limit: client_output_buffer_limit (output), client_query_buffer_limit
    /// (query), timeout (timeout).
    ClientsClosed = Counter "client_limit_disconnections_total" ["limit"];
    /// Clients that listen to channels.
    PubsubClients = Gauge "pubsub_clients" [];
    /// Names that clients listen to: channels, patterns, channels of SSUBSCRIBE (shard).
    PubsubNames = Gauge "pubsub_names" ["kind"];
    /// TLS handshakes of clients: started, completed, and those of them that resumed a session.
    TlsHandshakes = Counter "tls_handshakes_total" ["status"];
    /// Seconds until the certificate of a file expires, an authority's too (the first of its file to
    /// expire); negative when it has.
    TlsCertExpirySeconds = Gauge "tls_cert_expiry_seconds" ["file"];

    /// Bytes that the data and the replication log take.
    MemoryUsedBytes = Gauge "memory_used_bytes" [];
    /// The most that memory_used_bytes has been.
    MemoryUsedPeakBytes = Gauge "memory_used_peak_bytes" [];
    /// The value of maxmemory that is in force.
    MemoryMaxBytes = Gauge "memory_max_bytes" [];
    /// Resident memory of the process.
    UsedMemoryRssBytes = Gauge "used_memory_rss_bytes" [];
    /// Memory by what it is used for.
    MemoryByClassBytes = Gauge "memory_by_class_bytes" ["class"];
    /// Commands refused because memory had run out.
    OomErrors = Counter "oom_errors_total" [];

    /// Commands run, by name.
    Commands = Counter "commands_total" ["cmd"];
    /// Seconds spent in commands, by name. It only grows; it is a gauge because the counters of the
    /// recorder are whole numbers.
    CommandsDurationSeconds = Gauge "commands_duration_seconds" ["cmd"];
    /// Commands run.
    CommandsProcessed = Counter "commands_processed_total" [];
    /// Error replies, by their first word.
    ErrorReplies = Counter "error_replies_total" ["prefix"];

    /// Reads that found their key.
    KeyspaceHits = Counter "keyspace_hits_total" [];
    /// Reads that did not find their key.
    KeyspaceMisses = Counter "keyspace_misses_total" [];
    /// Changes of keys.
    KeyspaceMutations = Counter "keyspace_mutations_total" [];
    /// Keys removed at their deadline.
    ExpiredKeys = Counter "expired_keys_total" [];
    /// Keys removed to make room.
    EvictedKeys = Counter "evicted_keys_total" [];
    /// Keys, by database.
    DbKeys = Gauge "db_keys" ["db"];
    /// Keys with a deadline, by database.
    DbKeysExpiring = Gauge "db_keys_expiring" ["db"];

    /// 1 while a snapshot is written.
    SnapshotInProgress = Gauge "snapshot_in_progress" [];
    /// Keys that the snapshot under way has written.
    SnapshotKeys = Gauge "snapshot_keys" [];
    /// Keys that the snapshot under way will have.
    SnapshotKeysExpected = Gauge "snapshot_keys_expected" [];
    /// Bytes that the snapshot under way has written.
    SnapshotBytes = Gauge "snapshot_bytes" [];
    /// Bytes of changed keys that are held as they were until the snapshot under way has them.
    SnapshotHeldBytes = Gauge "snapshot_held_bytes" [];
    /// Seconds that the snapshot under way will take at its present rate.
    SnapshotEtaSeconds = Gauge "snapshot_eta_seconds" [];
    /// Snapshots written since the start.
    SnapshotsWritten = Counter "snapshots_written_total" [];
    /// 1 if the last snapshot was written, 0 if it failed; 1 before there is any.
    SnapshotLastStatus = Gauge "snapshot_last_status" [];
    /// When the last snapshot was written, in seconds since 1970; the start of the program before there is any.
    SnapshotLastTime = Gauge "snapshot_last_time_seconds" [];
    /// Seconds that the last snapshot took, written or not.
    SnapshotLastSeconds = Gauge "snapshot_last_seconds" [];

    /// Bytes received from clients.
    NetInputBytes = Counter "net_input_bytes_total" [];
    /// Bytes sent to clients.
    NetOutputBytes = Counter "net_output_bytes_total" [];

    /// Replicas, by the state of their session.
    ConnectedReplicas = Gauge "connected_replicas" ["replica_state"];
    /// Records that a replica in stable sync has not acknowledged: the largest number over its
    /// shards.
    ReplicaLagRecords = Gauge "connected_replica_lag_records" ["replica_ip", "replica_port", "replica_state"];
    /// Bytes of the log that a replica in stable sync has not acknowledged, over all shards.
    ReplicaLagBytes = Gauge "connected_replica_lag_bytes" ["replica_ip", "replica_port", "replica_state"];
    /// Age of the oldest record that a replica in stable sync has not acknowledged.
    ReplicaLagSeconds = Gauge "connected_replica_lag_seconds" ["replica_ip", "replica_port", "replica_state"];
    /// Records of one shard that a replica in stable sync has not acknowledged.
    ShardLagRecords = Gauge "shard_lag_records" ["shard", "replica_ip", "replica_port"];
    /// Progress of a full sync, from 0 to 1.
    FullSyncProgressRatio = Gauge "full_sync_progress_ratio" ["replica_ip", "replica_port"];
    /// Seconds that a full sync will take at its present rate.
    FullSyncEtaSeconds = Gauge "full_sync_eta_seconds" ["replica_ip", "replica_port"];
    /// Full syncs begun for replicas, by the reason why they are not partial ones.
    FullSyncs = Counter "full_sync_total" ["reason"];
    /// Partial syncs that replicas asked for: ok, or refused in favour of a full one.
    PartialSyncs = Counter "partial_sync_total" ["result"];
    /// Partial syncs given: Dragonfly's name.
    PsyncCount = Counter "replication_psync_count" [];
    /// Replicas that this node let go of: the journal does not reach back (journal), nothing was heard (silent), nothing moved (stalled), connections were missing (not_connected), or their source was gone (broken_off).
    ReplicasDropped = Counter "replicas_dropped_total" ["reason"];

    /// Bytes of a shard's replication log.
    BacklogBytes = Gauge "backlog_bytes" ["shard"];
    /// The bound of backlog_bytes.
    BacklogMaxBytes = Gauge "backlog_max_bytes" ["shard"];
    /// Age of the oldest record in a shard's log.
    BacklogOldestAgeSeconds = Gauge "backlog_oldest_age_seconds" ["shard"];
    /// The position of a shard's last record.
    JournalLsn = Counter "journal_records_total" ["shard"];

    /// 1 while the link to the master is up.
    MasterLinkStatus = Gauge "master_link_status" [];
    /// Seconds since something arrived from the master.
    MasterLastIoSeconds = Gauge "master_last_io_seconds_ago" [];
    /// 1 while a full sync from the master runs.
    MasterSyncInProgress = Gauge "master_sync_in_progress" [];
    /// Records that the master is known to have and that are not applied here: the largest number over
    /// its shards, in stable sync only. The master tells its heads about once a second.
    MasterLagRecords = Gauge "master_lag_records" [];
    /// Records of the master that are applied here, over all shards; of a Redis, bytes of its stream.
    SlaveReplOffset = Gauge "slave_repl_offset" [];
    /// How often the link to the master was made anew.
    ReplicaReconnects = Counter "replica_reconnect_count" [];
    /// 1 while the guard keeps a master of another history from wiping this replica.
    ReplicaGuardHolding = Gauge "replica_guard_holding" [];
    /// While the guard holds: keys here.
    ReplicaGuardOwnKeys = Gauge "replica_guard_own_keys" [];
    /// While the guard holds: keys that the master told of.
    ReplicaGuardMasterKeys = Gauge "replica_guard_master_keys" [];
}

impl Metric {
    /// What is declared about it.
    pub fn declaration(self) -> &'static Declaration {
        // The enum and the list come from one macro, in one order; a test compares them.
        &METRICS[self as usize]
    }
}

/// A session's state, as labels say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplicaState {
    /// Shaking hands.
    Preparation,
    /// Receiving everything.
    FullSync,
    /// It reads the rest of the journal that was before the one of now.
    CatchingUp,
    /// An exact copy that follows.
    StableSync,
}

impl ReplicaState {
    /// All of them.
    pub const ALL: [ReplicaState; 4] = [
        ReplicaState::Preparation,
        ReplicaState::FullSync,
        ReplicaState::CatchingUp,
        ReplicaState::StableSync,
    ];

    /// The label's value.
    pub fn word(self) -> &'static str {
        match self {
            ReplicaState::Preparation => "preparation",
            ReplicaState::FullSync => "full_sync",
            ReplicaState::CatchingUp => "catching_up",
            ReplicaState::StableSync => "stable_sync",
        }
    }
}

/// How far a replica is behind.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Lag {
    /// Records, per shard of this master.
    pub shard_records: Vec<u64>,
    /// Bytes over all shards.
    pub bytes: u64,
    /// Age of the oldest record not acknowledged.
    pub seconds: f64,
}

/// One replica of this node.
#[derive(Clone, PartialEq, Debug)]
pub struct Replica {
    /// Its address, as it announced it.
    pub ip: String,
    /// Its port, as it announced it.
    pub port: u16,
    /// Where its session stands.
    pub state: ReplicaState,
    /// Shown in stable sync only: elsewhere a number would mean nothing.
    pub lag: Lag,
    /// Progress from 0 to 1, shown during a full sync only.
    pub progress_ratio: Option<f64>,
    /// Remaining time, shown during a full sync only.
    pub eta_seconds: Option<f64>,
}

/// What was gathered for one scrape.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    samples: Vec<(Metric, Vec<String>, f64)>,
    /// Where each series stands among them.
    seen: HashMap<(Metric, Vec<String>), usize>,
}

/// More series than any board can show: names in labels that grow without end must not take memory.
const SAMPLES_MAX: usize = 20_000;

impl Samples {
    /// Nothing yet.
    pub fn new() -> Samples {
        Samples::default()
    }

    /// Adds a metric without labels.
    pub fn put(&mut self, metric: Metric, value: f64) {
        self.put_labelled(metric, &[], value);
    }

    /// Adds a metric with the values of its labels, in the declared order. Of two values for one
    /// series the first holds; of two replicas that announce the same address the worse one, so that
    /// the one that lags does not hide behind the other. A wrong number of labels is a mistake of the caller; such a sample is
    /// left out, since a scrape must not bring the server down.
    pub fn put_labelled(&mut self, metric: Metric, labels: &[&str], value: f64) {
        let wanted = metric.declaration().labels.len();
        debug_assert_eq!(labels.len(), wanted, "labels of {metric:?}");
        if labels.len() != wanted || self.samples.len() >= SAMPLES_MAX {
            return;
        }
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        match self.seen.entry((metric, labels)) {
            Entry::Vacant(place) => {
                let labels = place.key().1.clone();
                place.insert(self.samples.len());
                self.samples.push((metric, labels, value));
            }
            Entry::Occupied(place) if metric.declaration().labels.contains(&"replica_ip") => {
                let (_, _, known) = &mut self.samples[*place.get()];
                *known = match metric {
                    // Of two full syncs the one that is less far.
                    Metric::FullSyncProgressRatio => known.min(value),
                    _ => known.max(value),
                };
            }
            Entry::Occupied(_) => {}
        }
    }

    /// Adds what is to be shown about one replica: lag in stable sync, progress in a full sync.
    pub fn put_replica(&mut self, replica: &Replica) {
        let (ip, port) = (replica.ip.as_str(), replica.port.to_string());
        let state = replica.state.word();
        match replica.state {
            ReplicaState::Preparation | ReplicaState::CatchingUp => {}
            ReplicaState::FullSync => {
                if let Some(ratio) = replica.progress_ratio {
                    self.put_labelled(Metric::FullSyncProgressRatio, &[ip, &port], ratio);
                }
                if let Some(seconds) = replica.eta_seconds {
                    self.put_labelled(Metric::FullSyncEtaSeconds, &[ip, &port], seconds);
                }
            }
            ReplicaState::StableSync => {
                let labels = [ip, &port, state];
                let most = replica.lag.shard_records.iter().copied().max().unwrap_or(0);
                self.put_labelled(Metric::ReplicaLagRecords, &labels, most as f64);
                self.put_labelled(Metric::ReplicaLagBytes, &labels, replica.lag.bytes as f64);
                self.put_labelled(Metric::ReplicaLagSeconds, &labels, replica.lag.seconds);
                for (shard, records) in replica.lag.shard_records.iter().enumerate() {
                    let labels = [&shard.to_string(), ip, &port];
                    self.put_labelled(Metric::ShardLagRecords, &labels, *records as f64);
                }
            }
        }
    }

    /// The text for Prometheus, with names under each of these prefixes.
    pub fn render(&self, prefixes: &[&str]) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        prefixes.iter().for_each(|prefix| self.publish(&recorder, prefix));
        recorder.handle().render()
    }

    fn publish(&self, recorder: &PrometheusRecorder, prefix: &str) {
        const METADATA: Metadata<'static> = Metadata::new("damselfly", Level::INFO, None);
        for (metric, values, value) in &self.samples {
            let declaration = metric.declaration();
            let name = format!("{prefix}{}", declaration.name);
            let help = SharedString::from(help(declaration));
            let labels: Vec<Label> = declaration
                .labels
                .iter()
                .zip(values)
                .map(|(label, value)| Label::new(*label, value.clone()))
                .collect();
            let key = Key::from_parts(name.clone(), labels);
            match declaration.kind {
                Kind::Counter => {
                    recorder.describe_counter(KeyName::from(name), None, help);
                    recorder.register_counter(&key, &METADATA).absolute(*value as u64);
                }
                Kind::Gauge => {
                    recorder.describe_gauge(KeyName::from(name), None, help);
                    recorder.register_gauge(&key, &METADATA).set(*value);
                }
            }
        }
    }
}

/// The help text as one line.
fn help(declaration: &Declaration) -> String {
    declaration.help.split_whitespace().collect::<Vec<_>>().join(" ")
}

const HEAD: &str = "# Metrics

<!-- Written from the table of metrics: UPDATE=1 cargo test -p server --test config_docs -->

`/metrics` answers on the client port (unless `--primary_port_http_enabled=false`) and on the admin port,
without a password, in Prometheus's text format. Every name has the prefix `dfly_`, or
that of `--metrics_prefix` (`dragonfly_` for boards made for Dragonfly); with `--metrics_dragonfly_names`
it is there twice, the second time with the prefix `dragonfly_`.

A number that is not known is not shown: lag only in stable sync, progress only during a full sync, the
link to the master only on a replica, and `master_lag_records` only while the master says how far it is: after
three seconds of its silence it is gone, and `/readyz?max_lag_records=N` answers 503.

Replicas that announce the same address share their samples, and the worse number is shown; `INFO REPLICATION`
has a row for each.

| Metric | Kind | Labels | Meaning |
| --- | --- | --- | --- |
";

/// The text of `docs/operating/metrics.md`.
pub fn metrics_page() -> String {
    let mut page = HEAD.to_owned();
    for declaration in METRICS {
        let kind = match declaration.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let labels: Vec<String> =
            declaration.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(" ");
        let help = help(declaration);
        let _ = writeln!(page, "| `{PREFIX}{}` | {kind} | {labels} | {help} |", declaration.name);
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A strict reader of Prometheus's text format 0.0.4, enough to refuse what a scraper refuses:
    /// series by name and labels. Every family needs HELP and TYPE before its samples, in one piece.
    fn read(text: &str) -> Result<HashMap<String, f64>, String> {
        let mut series = HashMap::new();
        let mut families: HashMap<&str, (bool, bool)> = HashMap::new();
        let mut open = "";
        for line in text.lines().filter(|line| !line.is_empty()) {
            let wrong = |what: &str| format!("{what}: {line}");
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (sort, name, rest) = (words.next(), words.next(), words.next());
                let (name, rest) =
                    (name.ok_or_else(|| wrong("no name"))?, rest.unwrap_or_default());
                if name != open && families.contains_key(name) {
                    return Err(wrong("family in two pieces"));
                }
                open = name;
                let (help, kind) = families.entry(name).or_default();
                let seen = match (sort, rest) {
                    (Some("HELP"), text) if !text.is_empty() => help,
                    (Some("TYPE"), "counter" | "gauge") => kind,
                    _ => return Err(wrong("comment")),
                };
                if std::mem::replace(seen, true) {
                    return Err(wrong("said twice"));
                }
                continue;
            }
            let end = line.find(|c: char| !is_name(c)).ok_or_else(|| wrong("no value"))?;
            let name = &line[..end];
            if name != open || families.get(name) != Some(&(true, true)) {
                return Err(wrong("sample outside its family"));
            }
            let after = match line[end..].strip_prefix('{') {
                Some(labels) => read_labels(labels).ok_or_else(|| wrong("labels"))?,
                None => &line[end..],
            };
            let value = after.strip_prefix(' ').ok_or_else(|| wrong("no blank"))?;
            let value: f64 = value.parse().map_err(|_| wrong("no number"))?;
            let key = line[..line.len() - after.len()].to_owned();
            if series.insert(key, value).is_some() {
                return Err(wrong("series twice"));
            }
        }
        Ok(series)
    }

    fn is_name(c: char) -> bool {
        c.is_ascii_alphanumeric() || c == '_' || c == ':'
    }

    /// What follows the labels and their closing brace.
    fn read_labels(mut text: &str) -> Option<&str> {
        let mut names = HashSet::new();
        loop {
            let equals = text.find("=\"")?;
            let name = text[..equals].trim_start();
            if name.is_empty() || !name.chars().all(is_name) || !names.insert(name) {
                return None;
            }
            text = &text[equals + 2..];
            let mut escaped = false;
            let end = text.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })?;
            text = &text[end + 1..];
            match text.as_bytes().first()? {
                b',' => text = &text[1..],
                b'}' => return Some(&text[1..]),
                _ => return None,
            }
        }
    }

    /// Counters that keep Dragonfly's name although it does not end in `_total`.
    const DRAGONFLY_COUNTERS: &[Metric] =
        &[Metric::UptimeSeconds, Metric::PsyncCount, Metric::ReplicaReconnects];

    /// One sample for every metric, each label with a value that needs escaping.
    fn everything() -> Samples {
        let mut samples = Samples::new();
        for declaration in METRICS {
            let labels = vec!["a\"b\\c\nd"; declaration.labels.len()];
            samples.put_labelled(declaration.metric, &labels, 3.0);
        }
        samples
    }

    fn replica(state: ReplicaState) -> Replica {
        let lag = Lag { shard_records: vec![3, 9, 0], bytes: 700, seconds: 0.25 };
        let (progress_ratio, eta_seconds) = (Some(0.5), Some(12.0));
        Replica { ip: "10.0.0.2".to_owned(), port: 6379, state, lag, progress_ratio, eta_seconds }
    }

    #[test]
    fn the_reader_of_the_tests_refuses_what_a_scraper_refuses() {
        let head = "# HELP a x\n# TYPE a gauge\n";
        assert_eq!(read(&format!("{head}a 1\n")).expect("valid").len(), 1);
        assert_eq!(read(&format!("{head}a{{b=\"c\\\"d\"}} 1\n")).expect("valid").len(), 1);
        for wrong in [
            "a 1\n".to_owned(),
            "# HELP a x\na 1\n".to_owned(),
            format!("{head}a x\n"),
            format!("{head}a 1\na 1\n"),
            format!("{head}b 1\n"),
            format!("{head}{head}a 1\n"),
            format!("{head}a{{b=\"c\"\n"),
            format!("{head}a{{b=\"c\",b=\"d\"}} 1\n"),
            format!("{head}# HELP b x\n# TYPE b gauge\nb 1\na 1\n"),
            "# HELP a x\n# TYPE a thing\na 1\n".to_owned(),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_metric_is_rendered_as_a_scraper_wants_it() {
        let text = everything().render(&[PREFIX]);
        let series = read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(series.len(), METRICS.len());
        for (name, value) in &series {
            assert!(name.starts_with(PREFIX), "{name}");
            assert_eq!(*value, 3.0, "{name}");
        }
    }

    #[test]
    fn every_metric_has_a_second_name_when_it_is_wanted() {
        let text = everything().render(&[PREFIX, DRAGONFLY_PREFIX]);
        let series = read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(series.len(), 2 * METRICS.len());
        assert!(text.contains("\ndragonfly_master 3\n") && text.contains("\ndfly_master 3\n"));
    }

    #[test]
    fn the_list_is_in_the_order_of_its_enum_and_names_are_well_formed() {
        let mut names = HashSet::new();
        for (index, declaration) in METRICS.iter().enumerate() {
            assert_eq!(declaration.metric as usize, index, "{}", declaration.name);
            assert!(names.insert(declaration.name), "{} twice", declaration.name);
            assert!(declaration.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            assert!(!declaration.help.trim().is_empty(), "{}", declaration.name);
            let total = declaration.name.ends_with("_total");
            let excused = DRAGONFLY_COUNTERS.contains(&declaration.metric);
            assert_eq!(total || excused, declaration.kind == Kind::Counter, "{}", declaration.name);
            for label in declaration.labels {
                assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{label}");
            }
        }
    }

    #[test]
    fn lag_is_a_number_in_stable_sync_only() {
        let check = |state: ReplicaState, want: &[(&str, f64)]| {
            let mut samples = Samples::new();
            samples.put_replica(&replica(state));
            let got = read(&samples.render(&[PREFIX])).expect("valid text");
            let want: HashMap<String, f64> =
                want.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            assert_eq!(got, want, "{state:?}");
        };
        check(ReplicaState::Preparation, &[]);
        check(ReplicaState::CatchingUp, &[]);
        check(
            ReplicaState::FullSync,
            &[
                (
                    "dfly_full_sync_progress_ratio{replica_ip=\"10.0.0.2\",replica_port=\"6379\"}",
                    0.5,
                ),
                ("dfly_full_sync_eta_seconds{replica_ip=\"10.0.0.2\",replica_port=\"6379\"}", 12.0),
            ],
        );
        let own = "{replica_ip=\"10.0.0.2\",replica_port=\"6379\",replica_state=\"stable_sync\"}";
        let shard = |shard: u8| {
            format!(
                "dfly_shard_lag_records{{shard=\"{shard}\",replica_ip=\"10.0.0.2\",\
                 replica_port=\"6379\"}}"
            )
        };
        check(
            ReplicaState::StableSync,
            &[
                (&format!("dfly_connected_replica_lag_records{own}"), 9.0),
                (&format!("dfly_connected_replica_lag_bytes{own}"), 700.0),
                (&format!("dfly_connected_replica_lag_seconds{own}"), 0.25),
                (&shard(0), 3.0),
                (&shard(1), 9.0),
                (&shard(2), 0.0),
            ],
        );
    }

    /// The lagging one of two replicas that announced the same address could vanish.
    #[test]
    fn of_two_replicas_at_one_address_the_larger_lag_is_shown() {
        let near = replica(ReplicaState::StableSync);
        let lag = Lag { shard_records: vec![900, 0, 0], bytes: 70_000, seconds: 2.5 };
        let far = Replica { lag, ..near.clone() };
        for pair in [[&near, &far], [&far, &near]] {
            let mut samples = Samples::new();
            pair.iter().for_each(|replica| samples.put_replica(replica));
            let series = read(&samples.render(&[PREFIX])).expect("valid text");
            let value = |name: &str| {
                let found = series.iter().find(|(series, _)| series.contains(name));
                found.map(|(_, value)| *value)
            };
            assert_eq!(value("connected_replica_lag_records"), Some(900.0));
            assert_eq!(value("connected_replica_lag_bytes"), Some(70_000.0));
            assert_eq!(value("connected_replica_lag_seconds"), Some(2.5));
            assert_eq!(value("shard_lag_records{shard=\"0\""), Some(900.0));
            assert_eq!(value("shard_lag_records{shard=\"1\""), Some(9.0));
        }
    }

    #[test]
    fn a_series_is_shown_once_and_series_are_bounded() {
        let mut samples = Samples::new();
        samples.put(Metric::Master, 1.0);
        samples.put(Metric::Master, 0.0);
        for number in 0..SAMPLES_MAX + 10 {
            samples.put_labelled(Metric::Commands, &[&number.to_string()], 1.0);
        }
        assert_eq!(samples.samples.len(), SAMPLES_MAX);
        let series = read(&samples.render(&[PREFIX])).expect("valid text");
        assert_eq!(series.get("dfly_master"), Some(&1.0));
    }

    #[test]
    fn nothing_gathered_is_nothing_shown() {
        assert_eq!(Samples::new().render(&[PREFIX, DRAGONFLY_PREFIX]), "");
    }
}
