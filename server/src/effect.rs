//! What settings mean for shards, replication and TLS: from [`Config`] to their own plain values.

use crate::config::{
    Config, MaxmemoryPolicy, OldestFollower, OutputLimit, REDIS_VERSION, TlsAuthClients,
};
use crate::memory::{self, Bound, Gauge};
use engine::db::{Encodings, Policy, PolicyKind, Small};
use engine::journal::Bounds;
use engine::pubsub::Limits;
use engine::shard::Shard;
use engine::tell::Peers;
use replication::guard::Rules;
use replication::settings::Followed;
use replication::tls::{AuthClients, Passphrase, TlsSettings};
use std::path::PathBuf;
use std::time::Duration;

/// The journals take at least so much over all shards, whatever maxmemory says.
const JOURNALS_MIN: u64 = 64 * 1024 * 1024;

/// The share of what is granted that `maxmemory=0` means, in percent.
const GRANTED_SHARE: u64 = 80;

/// `maxmemory`, worked out.
pub fn maxmemory(config: &Config) -> u64 {
    match config.maxmemory {
        0 => memory::granted() / 100 * GRANTED_SHARE,
        bytes => bytes,
    }
}

/// Keys compared per victim: each is a look-up, and more do not find a better one.
const SAMPLES_MAX: u32 = 64;

/// The share of the journals' bytes that the stream for Redis replicas takes.
const STREAM_SHARE: u64 = 4;

/// What all journals together may take.
pub fn journals_bytes(config: &Config) -> u64 {
    match config.repl_backlog_size {
        0 => (maxmemory(config) / 10).max(JOURNALS_MIN),
        bytes => bytes,
    }
}

/// What of the stream for Redis replicas is kept: unlike the journals it does not give way to data, so it takes a share
/// of them where nobody said how much.
pub fn stream_bytes(config: &Config) -> u64 {
    match config.repl_backlog_size {
        0 => journals_bytes(config) / STREAM_SHARE,
        bytes => bytes,
    }
}

/// The bounds of all journals together.
fn journals_bounds(config: &Config) -> Bounds {
    let age = config.shard_repl_backlog_time_ms;
    Bounds { bytes: journals_bytes(config), age: (!age.is_zero()).then_some(age) }
}

/// The bounds of one shard's journal now. What the data leaves it may change with every write.
pub fn journal_bounds(config: &Config, shards: u16) -> Bounds {
    let mut all = journals_bounds(config);
    let bound = bound(config);
    if config.maxmemory > 0 && !bound.evicts {
        all.bytes = engine::db::journals_beside(memory::data(), all.bytes, bound.bytes);
    }
    Bounds { bytes: all.bytes / u64::from(shards.max(1)), ..all }
}

/// What commands that need memory are measured against.
pub fn bound(config: &Config) -> Bound {
    Bound {
        bytes: maxmemory(config),
        evicts: config.maxmemory_policy != MaxmemoryPolicy::NoEviction,
    }
}

/// What subscribers may have waiting.
pub fn inbox_limits(config: &Config) -> Limits {
    limits(config.client_output_buffer_limit.pubsub)
}

/// What those who follow as a Redis does may have waiting: what the stream keeps anyway at least, or else who is granted a
/// partial sync would be ended for what it lacks.
fn replica_limits(config: &Config) -> Limits {
    let limits = limits(config.client_output_buffer_limit.replica);
    match limits.hard_bytes {
        0 => limits,
        hard => Limits { hard_bytes: hard.max(stream_bytes(config)), ..limits },
    }
}

fn limits(limit: OutputLimit) -> Limits {
    let OutputLimit { hard_bytes, soft_bytes, soft_time } = limit;
    Limits { hard_bytes, soft_bytes, soft_time }
}

/// The share of maxmemory that changed keys may take while a snapshot is written, or a copy for a replica.
const HELD_SHARE: u64 = 4;
/// And the least.
const HELD_MIN: u64 = 64 * 1024 * 1024;

/// What may be held of changed keys while a moment is read.
pub fn held_max(config: &Config) -> u64 {
    (maxmemory(config) / HELD_SHARE).max(HELD_MIN)
}

/// Gives a shard its part of the settings.
pub fn on_shard(config: &Config, shard: &mut Shard) {
    shard.keys.set_policy(policy(config));
    shard.keys.set_encodings(encodings(config));
    shard.keys.set_events(config.notify_keyspace_events);
    let gauge = Gauge::new(bound(config));
    // Without a limit of the operator's own, the machine's limit is far away: not worth a look at
    // every command.
    shard.gate.pressure = (config.maxmemory > 0)
        .then(|| Box::new(move || gauge.pressure()) as Box<dyn Fn() -> engine::db::Pressure>);
}

/// Up to when values are kept in their small forms.
fn encodings(config: &Config) -> Encodings {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Encodings {
        hll_sparse_max_bytes: size(config.hll_sparse_max_bytes),
        hash: Small {
            entries: config.hash_max_listpack_entries,
            value: size(config.hash_max_listpack_value),
        },
        list_max_listpack_size: config.list_max_listpack_size,
        set_max_intset_entries: config.set_max_intset_entries,
        set: Small {
            entries: config.set_max_listpack_entries,
            value: size(config.set_max_listpack_value),
        },
        sorted_set: Small {
            entries: config.zset_max_listpack_entries,
            value: size(config.zset_max_listpack_value),
        },
        stream_node: Small {
            entries: config.stream_node_max_entries,
            value: size(config.stream_node_max_bytes),
        },
    }
}

fn policy(config: &Config) -> Policy {
    Policy {
        kind: PolicyKind::named(config.maxmemory_policy.word()).unwrap_or_default(),
        samples: config.maxmemory_samples.min(SAMPLES_MAX) as usize,
        lfu_log_factor: config.lfu_log_factor,
        lfu_decay_minutes: config.lfu_decay_time,
    }
}

/// Where clients reach this node: the port of the setting, else the main one, else the admin port.
fn announced_port(config: &Config, port: u16) -> u16 {
    let ports = [config.announce_port, port, config.admin_port];
    ports.into_iter().find(|port| *port != 0).unwrap_or_default()
}

/// What replication needs to know.
pub fn replication(config: &Config, port: u16) -> replication::Settings {
    replication::Settings {
        tls: config.tls_replication,
        master_user: config.masteruser.clone(),
        master_password: config.masterauth.clone(),
        announce_port: announced_port(config, port),
        announce_ip: config.replica_announce_ip.clone(),
        connect_timeout: config.master_connect_timeout_ms,
        reconnect_timeout: config.master_reconnect_timeout_ms,
        reconnect_pause: config.master_reconnect_timeout_ms.max(Duration::from_millis(100)),
        timeout: config.replication_timeout,
        acks_interval: config.replication_acks_interval,
        partial_sync: config.replica_partial_sync,
        guard: Rules {
            is_on: config.replica_guard,
            breaks_on_restart: config.break_replication_on_master_restart,
        },
        full_sync_bytes_per_second: config.snapshot_egress_limit_bytes,
        journals_bounds: journals_bounds(config),
        journal_ttl: config.repl_backlog_ttl,
        good_replica_lag: config.min_replicas_max_lag,
        followed: Followed {
            ping: config.repl_ping_replica_period,
            limits: replica_limits(config),
            held_max: held_max(config),
            backlog_bytes: stream_bytes(config),
            redis_version: REDIS_VERSION,
            oldest: match config.oldest_redis_replica {
                OldestFollower::Redis62 => Peers::From62,
                OldestFollower::Redis70 => Peers::From70,
                OldestFollower::Redis74 => Peers::From74,
            },
        },
    }
}

/// What TLS needs to know.
pub fn tls(config: &Config) -> TlsSettings {
    let path = |text: &String| (!text.is_empty()).then(|| PathBuf::from(text));
    let passphrase = if config.tls_key_file_pass_file.is_empty() {
        (!config.tls_key_file_pass.is_empty())
            .then(|| Passphrase::Value(config.tls_key_file_pass.clone().into()))
    } else {
        Some(Passphrase::File(PathBuf::from(&config.tls_key_file_pass_file)))
    };
    let expected = &config.tls_replication_expected_name;
    TlsSettings {
        tls: config.tls,
        tls_replication: config.tls_replication,
        cert_file: path(&config.tls_cert_file),
        key_file: path(&config.tls_key_file),
        key_passphrase: passphrase,
        client_cert_file: path(&config.tls_client_cert_file),
        client_key_file: path(&config.tls_client_key_file),
        client_key_passphrase: (!config.tls_client_key_file_pass.is_empty())
            .then(|| Passphrase::Value(config.tls_client_key_file_pass.clone().into())),
        ca_cert_file: path(&config.tls_ca_cert_file),
        ca_cert_dir: path(&config.tls_ca_cert_dir),
        auth_clients: match config.tls_auth_clients {
            TlsAuthClients::Auto => None,
            TlsAuthClients::Yes => Some(AuthClients::Yes),
            TlsAuthClients::No => Some(AuthClients::No),
            TlsAuthClients::Optional => Some(AuthClients::Optional),
        },
        replication_expected_name: (!expected.is_empty()).then(|| expected.clone()),
        // What cannot be read has been refused before.
        protocols: config.tls_protocols.parse().unwrap_or_default(),
        ciphers: config.tls_ciphers.clone(),
        cipher_suites: config.tls_cipher_suites.clone(),
        prefer_server_ciphers: config.tls_prefer_server_ciphers,
        session_caching: config.tls_session_caching,
        session_cache_timeout: config.tls_session_cache_timeout,
    }
}
