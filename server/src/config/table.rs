//! The one list of settings that the program reads.
//!
//! An entry is `/// help`, `name: type = shape;` and it is everything: the flag, the field of
//! [`Config`], `CONFIG GET` and `SET`, the flagfile, the help and the docs follow from it. The order
//! here is the order of the manual. Names that are known but change nothing are in
//! [`super::accepted`].

use std::fmt;
use std::time::Duration;

use super::setting::{
    Alias, Group, Setting, boolean, choice, integer, list, milliseconds, of_kind, seconds, size,
    text,
};
use super::typed::{
    LogLevel, MaxmemoryPolicy, OldestFollower, Pin, ReplyStyle, SlowReplicaPolicy, TlsAuthClients,
    take,
};
use super::upstream::Upstream;
use super::value::{Kind, OutputLimits, Value};
use engine::db::Events;

/// The largest size a setting takes, as in Redis. What is read counts up to 1 EiB: see [`super::typed`].
const SIZE_MAX: u64 = i64::MAX as u64;
/// The largest whole number that Redis takes where it has 32 and 64 bits.
const INT_MAX: i64 = i32::MAX as i64;
const LONG_MAX: i64 = i64::MAX;
/// The longest duration in seconds: about 68 years, the most that Redis takes.
const SECONDS_MAX: u64 = i32::MAX as u64;
/// The longest duration in milliseconds: about 49 days.
const MILLIS_MAX: u64 = u32::MAX as u64;
/// As long as [`SECONDS_MAX`], in milliseconds.
const SECONDS_MAX_IN_MILLIS: u64 = SECONDS_MAX * 1000;
/// The longest time in microseconds: some 292,000 years, the most that Redis takes.
const MICROS_MAX: i64 = i64::MAX;
/// The most executors: beyond any machine that io_uring runs on, and below what a `ShardId` counts.
const THREADS_MAX: i64 = 1024;

/// The smallest log: Redis makes a smaller one as large. In it a few records have room.
const BACKLOG_MIN: i64 = 16 * 1024;
/// The least bound of a request's bytes, as in Redis.
const QUERY_MIN: u64 = 1 << 20;
/// The shortest time-out of a link in milliseconds: below it, a busy machine looks like a dead one.
const TIMEOUT_MIN: u64 = 100;
/// The shortest time between two signs of life in a stream, in seconds, as in Redis.
const PING_MIN: u64 = 1;
/// The shortest time in milliseconds in which a connection can be made.
const CONNECT_MIN: u64 = 10;

const fn named(name: &'static str) -> Alias {
    Alias::same(name)
}

macro_rules! settings {
    ($( $group:ident { $( $(#[doc = $help:literal])+ $field:ident : $type:ty = $shape:expr; )+ } )+) => {
        /// Every setting that the program reads, with its value: a consistent picture at one moment.
        #[derive(Clone, PartialEq)]
        pub struct Config { $( $( $(#[doc = $help])+ pub $field: $type, )+ )+ }

        /// The settings that the program reads.
        pub(super) static SETTINGS: &[Setting] = &[ $( $(
            $shape.described(stringify!($field), Group::$group, concat!($($help),+)),
        )+ )+ ];

        impl Config {
            /// From the values of [`SETTINGS`], in their order.
            pub(super) fn from_values(values: &[Value]) -> Config {
                let mut values = values.iter();
                Config { $( $( $field: take(stringify!($field), values.next()), )+ )+ }
            }
        }

        impl fmt::Debug for Config {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut settings = SETTINGS.iter();
                let mut shown = f.debug_struct("Config");
                $( $(
                    match settings.next().is_none_or(|setting| setting.secret) {
                        true => shown.field(stringify!($field), &"(hidden)"),
                        false => shown.field(stringify!($field), &self.$field),
                    };
                )+ )+
                shown.finish()
            }
        }
    };
}

settings! {
    Network {
        /// Port for clients. 0 turns it off, -1 takes any free port.
        port: i32 = integer("6379", -1, 65535);
        /// Addresses to listen on: * is all of IPv4, ::* all of IPv6; one with - before it is done
        /// without on a machine that does not have it. Empty is all of them; without a password and
        /// without TLS under systemd, empty is the loopback only.
        bind: Vec<String> = list("");
        /// A second port with privileges: not counted by maxclients, not held up by CLIENT PAUSE. 0
        /// turns it off.
        admin_port: u16 = integer("0", 0, 65535);
        /// Addresses that the admin port listens on. Empty is the value of bind.
        admin_bind: Vec<String> = list("");
        /// Redis's port for TLS: with port=0 it is the client port, and tls is on. Both ports together
        /// are not served: admin_port can stay plaintext beside a TLS client port.
        tls_port: u16 = integer("0", 0, 65535).aliases(&[named("tls-port")]);
        /// Path of a Unix socket to listen on. Empty is none.
        unixsocket: String = text("");
        /// Permissions of the Unix socket in octal, for example 770. Empty leaves the umask's.
        unixsocketperm: String = text("");
        /// The most client connections at a time. Replication links and the admin port do not count.
        maxclients: u32 = integer("64000", 1, u32::MAX as i64).mutable();
        /// Seconds without a command after which a client is closed. 0 is never.
        timeout: Duration = seconds("0", SECONDS_MAX).mutable();
        /// Seconds between the keepalive probes of an idle connection; Linux takes up to 32767. 0 turns
        /// them off.
        tcp_keepalive: Duration = seconds("300", SECONDS_MAX).aliases(&[named("tcp-keepalive")]).mutable();
        /// Small packets leave at once.
        tcp_nodelay: bool = boolean("true");
        /// How many connections may wait to be accepted.
        tcp_backlog: u16 = integer("256", 1, 65535).aliases(&[named("tcp-backlog")]);
        /// A connection whose sent data is not acknowledged for so long is closed. 0 is the kernel's
        /// own limit.
        tcp_user_timeout: Duration = milliseconds("0", MILLIS_MAX);
        /// The most bytes that one client's request may hold while it arrives, and that its MULTI may
        /// queue: a larger request ends the connection, a larger MULTI is refused.
        client_query_buffer_limit: u64 = size("1gb", SIZE_MAX).at_least(QUERY_MIN).aliases(&[named("client-query-buffer-limit")]).mutable();
        /// When a client that does not read its replies is closed: class (normal, replica, pubsub),
        /// hard limit, soft limit, and the seconds for which the soft limit may be exceeded. Replies
        /// count while they are made: whoever asks for more than the hard limit is closed before that is
        /// in memory. 0 is no limit; for who follows as a Redis does memory has one all the same: a quarter of
        /// maxmemory.
        client_output_buffer_limit: OutputLimits = of_kind(Kind::OutputLimits, "normal 576mb 256mb 60 slave 256mb 64mb 60 pubsub 32mb 8mb 60")
            .aliases(&[named("client-output-buffer-limit")]).mutable();
        /// Which key events are said to subscribers: K in channels of keys, E in channels of events, and g $ l s
        /// h z t x e (together A), n and m for kinds of events, as in Redis. Empty is none.
        notify_keyspace_events: Events = of_kind(Kind::Events, "").aliases(&[named("notify-keyspace-events")]).mutable();
        /// HTTP (metrics, health, status page) is answered on the client port.
        primary_port_http_enabled: bool = boolean("true").aliases(&[named("http_admin_console")]).mutable();
    }
    Access {
        /// The password of the default user. Empty asks for none. Also read from the variable
        /// DFLY_PASSWORD.
        requirepass: String = text("").secret().mutable();
        /// The password that this node shows to its master.
        masterauth: String = text("").secret().mutable();
        /// The user name that this node shows to its master. Empty is the default user.
        masteruser: String = text("").mutable();
        /// While there is no password, clients from other machines are refused, on every port.
        protected_mode: bool = boolean("false").aliases(&[named("protected-mode")]).mutable();
        /// Commands that are answered on the admin port only. The name of a command stands for its
        /// subcommands too.
        restricted_commands: Vec<String> = list("");
        /// INFO shows replicas, operating system and number of threads on the admin port only.
        managed_service_info: bool = boolean("false").mutable();
        /// No password is asked on the admin port.
        admin_nopass: bool = boolean("false");
    }
    Tls {
        /// TLS on the client port, and on the admin port unless no_tls_on_admin_port; a Unix socket is
        /// always plain. CONFIG SET tls true reads the certificate files anew.
        tls: bool = boolean("false").mutable();
        /// The server's certificate (PEM), followed by its intermediates.
        tls_cert_file: String = text("").aliases(&[named("tls-cert-file")]).mutable();
        /// The private key of tls_cert_file (PEM), plain or encrypted.
        tls_key_file: String = text("").aliases(&[named("tls-key-file")]).mutable();
        /// The passphrase of an encrypted tls_key_file. Give it as the variable
        /// DFLY_tls_key_file_pass or in a flagfile: a command line can be read by every user.
        tls_key_file_pass: String = text("").aliases(&[named("tls-key-file-pass")]).secret().mutable();
        /// A file whose first line is the passphrase of an encrypted tls_key_file.
        tls_key_file_pass_file: String = text("").mutable();
        /// The certificate that this node shows its master (PEM), where it is not tls_cert_file.
        tls_client_cert_file: String = text("").aliases(&[named("tls-client-cert-file")]).mutable();
        /// The private key of tls_client_cert_file (PEM), plain or encrypted.
        tls_client_key_file: String = text("").aliases(&[named("tls-client-key-file")]).mutable();
        /// The passphrase of an encrypted tls_client_key_file.
        tls_client_key_file_pass: String = text("").aliases(&[named("tls-client-key-file-pass")]).secret().mutable();
        /// CA certificates (PEM) that clients and the master must be signed by. Empty asks clients
        /// for no certificate, and checks the master against the system's roots.
        tls_ca_cert_file: String = text("").aliases(&[named("tls-ca-cert-file")]).mutable();
        /// A directory of CA certificates, each a PEM file.
        tls_ca_cert_dir: String = text("").aliases(&[named("tls-ca-cert-dir")]).mutable();
        /// Whether clients must show a certificate: auto is yes exactly when a CA is configured. With no
        /// or optional, and without requirepass, everybody may connect: the log says so at the start.
        tls_auth_clients: TlsAuthClients = choice(TlsAuthClients::WORDS, "auto").aliases(&[named("tls-auth-clients")]).mutable();
        /// The link to the master uses TLS.
        tls_replication: bool = boolean("false").aliases(&[named("tls-replication")]).mutable();
        /// The name that the master's certificate must carry, where it is not the host name of
        /// REPLICAOF.
        tls_replication_expected_name: String = text("").mutable();
        /// The versions that are spoken, with clients and masters: TLSv1.2, TLSv1.3, or both of them.
        /// There is nothing older.
        tls_protocols: String = text("TLSv1.2 TLSv1.3").aliases(&[named("tls-protocols")]).mutable();
        /// The ciphers of TLS 1.2, as OpenSSL lists them, of those that there are: AES-GCM and ChaCha20
        /// with forward secrecy. Empty is all of them.
        tls_ciphers: String = text("DEFAULT:!MEDIUM").aliases(&[named("tls-ciphers")]).mutable();
        /// The cipher suites of TLS 1.3. Empty is all of them.
        tls_cipher_suites: String = text("").aliases(&[named("tls-ciphersuites")]).mutable();
        /// The order of this node's list decides which cipher is taken, not that of the client's.
        tls_prefer_server_ciphers: bool = boolean("false").aliases(&[named("tls-prefer-server-ciphers")]).mutable();
        /// Clients may take up an earlier session again (tickets), which spares the costly part of the
        /// handshake.
        tls_session_caching: bool = boolean("true").aliases(&[named("tls-session-caching")]).mutable();
        /// Seconds for which a session can be taken up again; up to twice as long while its key is still
        /// read, and a week at most. 0 is never.
        tls_session_cache_timeout: Duration = seconds("300", SECONDS_MAX).aliases(&[named("tls-session-cache-timeout")]).mutable();
        /// The admin port takes plaintext although tls is on.
        no_tls_on_admin_port: bool = boolean("false");
        /// The admin port takes plaintext from the loopback although tls is on.
        admin_plaintext_loopback: bool = boolean("true").mutable();
    }
    Engine {
        /// How many shard executors run. 0 is one per CPU, less one for replication.
        proactor_threads: u16 = integer("0", 0, THREADS_MAX);
        /// How many shards the keys are cut into, at most proactor_threads. 0 is one per shard executor.
        num_shards: u16 = integer("0", 0, THREADS_MAX);
        /// Whether executors are bound to one CPU each: auto does so from 4 CPUs up when there are no
        /// more executors than CPUs.
        pin: Pin = choice(Pin::WORDS, "auto").aliases(&[named("proactor_affinity_mode")]);
        /// How many databases SELECT can choose from.
        dbnum: u16 = integer("16", 1, 16384).aliases(&[named("databases")]);
        /// The most memory for data, the replication log included. 0 is 80 % of what the machine or
        /// the control group grants.
        maxmemory: u64 = size("0", u64::MAX).mutable();
        /// Dragonfly's word for maxmemory_policy=allkeys-lru, where no policy is given.
        cache_mode: bool = boolean("false");
        /// What is removed when maxmemory is reached.
        maxmemory_policy: MaxmemoryPolicy = choice(MaxmemoryPolicy::WORDS, "noeviction").aliases(&[named("maxmemory-policy")]).mutable();
        /// How many keys are compared to find one to remove; more than 64 are no better than 64.
        maxmemory_samples: u32 = integer("5", 1, INT_MAX).aliases(&[named("maxmemory-samples")]).mutable();
        /// How slowly the LFU counter grows: larger is slower.
        lfu_log_factor: u32 = integer("10", 0, INT_MAX).aliases(&[named("lfu-log-factor")]).mutable();
        /// Minutes after which an unused key's LFU counter falls by one. 0 is never.
        lfu_decay_time: u32 = integer("1", 0, INT_MAX).aliases(&[named("lfu-decay-time")]).mutable();
        /// A sparse HyperLogLog that would be longer than this becomes dense: 12 KiB, and faster.
        hll_sparse_max_bytes: u64 = size("3000", LONG_MAX as u64).aliases(&[named("hll-sparse-max-bytes")]).mutable();
        /// A hash of more fields than this is no listpack any more: found by their hash and listed in no
        /// order, instead of as they were put.
        hash_max_listpack_entries: u64 = integer("512", 0, LONG_MAX).aliases(&[named("hash-max-listpack-entries"), named("hash-max-ziplist-entries")]).mutable();
        /// A hash with a field or value longer than this is no listpack any more.
        hash_max_listpack_value: u64 = size("64", LONG_MAX as u64).aliases(&[named("hash-max-listpack-value"), named("hash-max-ziplist-value")]).mutable();
        /// A list of more elements than this is a quicklist and no listpack; negative: of more than
        /// 4, 8, 16, 32 or 64 KiB (-1 to -5).
        list_max_listpack_size: i32 = integer("-2", i32::MIN as i64, INT_MAX).aliases(&[named("list-max-listpack-size"), named("list-max-ziplist-size")]).mutable();
        /// A set of whole numbers with more members than this is no intset any more.
        set_max_intset_entries: u64 = integer("512", 0, LONG_MAX).aliases(&[named("set-max-intset-entries")]).mutable();
        /// A set of more members than this is no listpack any more.
        set_max_listpack_entries: u64 = integer("128", 0, LONG_MAX).aliases(&[named("set-max-listpack-entries")]).mutable();
        /// A set with a member longer than this is no listpack any more.
        set_max_listpack_value: u64 = size("64", LONG_MAX as u64).aliases(&[named("set-max-listpack-value")]).mutable();
        /// A sorted set of more members than this is no listpack any more.
        zset_max_listpack_entries: u64 = integer("128", 0, LONG_MAX).aliases(&[named("zset-max-listpack-entries"), named("zset-max-ziplist-entries")]).mutable();
        /// A sorted set with a member longer than this is no listpack any more.
        zset_max_listpack_value: u64 = size("64", LONG_MAX as u64).aliases(&[named("zset-max-listpack-value"), named("zset-max-ziplist-value")]).mutable();
        /// How many bytes of entries of a stream are trimmed together where the limit is approximate (~).
        stream_node_max_bytes: u64 = size("4096", LONG_MAX as u64).aliases(&[named("stream-node-max-bytes")]).mutable();
        /// How many entries of a stream are trimmed together where the limit is approximate (~). 0 is any number.
        stream_node_max_entries: u64 = integer("100", 0, LONG_MAX).aliases(&[named("stream-node-max-entries")]).mutable();
        /// How often in a second each shard does its background work (expiry, statistics): 1 to 500,
        /// what is beyond is taken as that.
        hz: u32 = integer("100", 0, INT_MAX).kept_within(1, 500).mutable();
    }
    Replication {
        /// The master to follow from the start: host:port, [IPv6 address]:port, or nothing.
        /// CONFIG REWRITE keeps what REPLICAOF changed.
        replicaof: Option<Upstream> = of_kind(Kind::Upstream, "").aliases(&[named("slaveof")]);
        /// The address that this node tells its master to be reached at. Empty is that of the
        /// connection.
        replica_announce_ip: String = text("").aliases(&[named("replica-announce-ip"), named("slave-announce-ip")]).mutable();
        /// The port that this node tells its master to be reached at. 0 is the value of port.
        announce_port: u16 = integer("0", 0, 65535).aliases(&[named("replica-announce-port"), named("slave-announce-port")]).mutable();
        /// Sentinel promotes the replica with the smallest number; 0 is never promoted.
        replica_priority: u32 = integer("100", 0, INT_MAX).aliases(&[named("replica-priority"), named("slave-priority")]).mutable();
        /// INFO tells Sentinel to count this replica in; no: it is there for other purposes.
        replica_announced: bool = boolean("true").aliases(&[named("replica-announced")]).mutable();
        /// A master refuses writes unless so many replicas are in stable sync and close enough. 0
        /// turns this off.
        min_replicas_to_write: u32 = integer("0", 0, INT_MAX).aliases(&[named("min-replicas-to-write"), named("min-slaves-to-write")]).mutable();
        /// A replica counts for min_replicas_to_write while its last acknowledgement is at most so
        /// many seconds old. 0 turns min_replicas_to_write off.
        min_replicas_max_lag: Duration = seconds("10", SECONDS_MAX).aliases(&[named("min-replicas-max-lag"), named("min-slaves-max-lag")]).mutable();
        /// The most bytes of the replication log in memory, over all shards. 0 is 10 % of maxmemory
        /// and at least 64 MiB; another below 16 KiB is taken as 16 KiB. It counts as used memory,
        /// and under noeviction gives way to the data.
        repl_backlog_size: u64 = size("0", SIZE_MAX).kept_within(BACKLOG_MIN, LONG_MAX).aliases(&[named("repl-backlog-size"), named("shard_repl_backlog_max_bytes")]).mutable();
        /// For how long the log is kept after the last replica left. 0 is for ever.
        repl_backlog_ttl: Duration = seconds("3600", LONG_MAX as u64).aliases(&[named("repl-backlog-ttl")]).mutable();
        /// The oldest Redis that follows this node. With 6.2 all can. From 7.0 on they are told how many entries a stream ever
        /// had. Once there are functions (7.0) or fields of hashes that expire (7.4), older ones cannot follow any
        /// more, whatever this says: the stream ends and another one begins. Counts for those who take a full copy, once
        /// nobody follows from before.
        oldest_redis_replica: OldestFollower = choice(OldestFollower::WORDS, "6.2").mutable();
        /// How often the stream that a Redis is sent which follows this node says PING, in seconds. Nodes of Damselfly
        /// show each other every second that they live.
        repl_ping_replica_period: Duration = seconds("10", INT_MAX as u64).at_least(PING_MIN).aliases(&[named("repl-ping-replica-period"), named("repl-ping-slave-period")]).mutable();
        /// Records older than this leave the log although it is not full; at least a second. 0 is no
        /// such limit.
        shard_repl_backlog_time_ms: Duration = milliseconds("0", MILLIS_MAX).mutable();
        /// What happens to a replica that falls out of the log: drop ends it, and it comes back with a
        /// full sync. Writers never wait for it.
        repl_slow_replica_policy: SlowReplicaPolicy = choice(SlowReplicaPolicy::WORDS, "drop").mutable();
        /// A link on which nothing arrives for so long is broken and made anew, and so is one whose data
        /// does not move although there is something to move. Both ends give signs of life as often as
        /// the shorter time-out of the two needs.
        replication_timeout: Duration = milliseconds("30000", SECONDS_MAX_IN_MILLIS).at_least(TIMEOUT_MIN).aliases(&[Alias::seconds("repl-timeout")]).mutable();
        /// The longest time between two acknowledgements of a replica that receives records.
        replication_acks_interval: Duration = milliseconds("1000", 60_000).mutable();
        /// How long each step of a first connection to the master may take: look-up, connection, TLS, each reply.
        master_connect_timeout_ms: Duration = milliseconds("20000", MILLIS_MAX).at_least(CONNECT_MIN).mutable();
        /// The same for later connections; a master that is farther away is given more, up to 5 seconds a step. Also the longest pause between two attempts.
        master_reconnect_timeout_ms: Duration = milliseconds("1000", MILLIS_MAX).at_least(CONNECT_MIN).mutable();
        /// After a break the replica asks to continue where it was.
        replica_partial_sync: bool = boolean("true").mutable();
        /// A replica whose copy is whole refuses, when it reconnects by itself, to be wiped by a master
        /// of another, unrelated history that holds fewer keys. REPLICAOF overrides it.
        replica_guard: bool = boolean("true").mutable();
        /// A replica whose copy is whole refuses, when it reconnects by itself, to be wiped by a master
        /// whose history is not the one of before, however many keys it holds. REPLICAOF overrides it.
        break_replication_on_master_restart: bool = boolean("false").mutable();
        /// The most bytes a second that each shard sends for a full sync. 0 is no limit.
        snapshot_egress_limit_bytes: u64 = size("0", SIZE_MAX).mutable();
        /// The shape of ROLE: dragonfly says master and replica, redis has Redis's fields, auto is
        /// dragonfly. INFO says role:slave in every style, so that Sentinel and exporters work: see
        /// info_replication_valkey_compatible.
        replication_reply_style: ReplyStyle = choice(ReplyStyle::WORDS, "auto").mutable();
        /// INFO speaks of replicas as Redis and Valkey do: role:slave and state=online. Without it,
        /// role:replica and state=stable_sync, which Sentinel and exporters do not understand.
        info_replication_valkey_compatible: bool = boolean("true").mutable();
        /// Before it stops, a master waits so many seconds for its replicas to have everything.
        shutdown_timeout: Duration = seconds("10", SECONDS_MAX).aliases(&[named("shutdown-timeout")]).mutable();
    }
    Operation {
        /// The working directory. Empty is where the program was started.
        dir: String = text("");
        /// The file that a snapshot is written to, in dir: by SAVE and BGSAVE, by the setting save, and
        /// when the program ends. {timestamp} in it is the time, in UTC. Empty turns all of that off.
        dbfilename: String = text("dump.rdb").mutable();
        /// Snapshots are of several files: one for each shard, which writes it by itself and loads it again, and a summary of the
        /// name that dbfilename says. A Redis loads each part alone. Without it a snapshot is one file.
        snapshot_parts: bool = boolean("false").mutable();
        /// When a snapshot is written by itself: pairs of seconds and changes, as in 3600 1 300 100. Empty
        /// is never.
        save: Vec<String> = list("").mutable();
        /// When a snapshot is written by the clock, whether anything was changed or not, in UTC: minute hour day month
        /// weekday as in crontab, as in 0 3 * * *. Empty is never.
        snapshot_cron: String = text("").mutable();
        /// Writes are refused while snapshots fail and save asks for some.
        stop_writes_on_bgsave_error: bool = boolean("true").aliases(&[named("stop-writes-on-bgsave-error")]).mutable();
        /// A file for the process number. Empty is none.
        pidfile: String = text("");
        /// How much is logged.
        loglevel: LogLevel = choice(LogLevel::WORDS, "notice").mutable();
        /// The least level that is logged: 0 notices, 1 warnings, 2 errors, 3 nothing. The stricter
        /// one of this and loglevel holds.
        minloglevel: u8 = integer("0", 0, 3).mutable();
        /// The file to log to. Empty is standard error, or log_dir. SIGHUP and SIGUSR1 open it anew.
        logfile: String = text("");
        /// The directory to log to, in the file damselfly.log, where no logfile is given.
        log_dir: String = text("");
        /// Log to standard error only, whatever logfile and log_dir say.
        logtostderr: bool = boolean("false");
        /// Log to standard error as well as to a file.
        alsologtostderr: bool = boolean("false");
        /// Requests that take so many microseconds or longer stand in the slow log. 0 is all requests,
        /// -1 turns the log off. Below 1000 each request is timed by itself, which costs some
        /// throughput of pipelines.
        slowlog_log_slower_than: i64 = integer("10000", -1, MICROS_MAX).aliases(&[named("slowlog-log-slower-than")]).mutable();
        /// The most entries of the slow log: the oldest ones go. It holds a million at most.
        slowlog_max_len: u64 = integer("128", 0, LONG_MAX).aliases(&[named("slowlog-max-len")]).mutable();
        /// Commands that take so many milliseconds or longer are events of LATENCY. 0 turns this off.
        latency_monitor_threshold: u64 = integer("0", 0, LONG_MAX).aliases(&[named("latency-monitor-threshold")]).mutable();
        /// LATENCY HISTOGRAM and INFO latencystats are kept.
        latency_tracking: bool = boolean("true").aliases(&[named("latency-tracking")]).mutable();
        /// What every metric's name begins with; dragonfly_ for boards made for Dragonfly.
        metrics_prefix: String = text("dfly_").mutable();
        /// Every metric is also shown under Dragonfly's prefix, dragonfly_.
        metrics_dragonfly_names: bool = boolean("false").mutable();
    }
}
