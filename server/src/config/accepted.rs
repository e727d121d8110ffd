//! Names that operators carry from Redis and Dragonfly, and that change nothing here.
//!
//! Two sorts. `without_effect`: any value of the right kind is taken, kept and shown by `CONFIG GET`;
//! what it would tune does not exist here, or is always so. `only`: another value would ask for
//! something that this program does not do and whose absence matters (persistence, access rules,
//! another protocol): it is refused, with the help text as the reason. Never the one for the other.

use super::setting::{Alias, Effect, Group, Setting, boolean, integer, size, text};

const fn idle(shape: Setting, name: &'static str, help: &'static str) -> Setting {
    shape.without_effect().described(name, Group::Accepted, help)
}

const fn fixed(
    name: &'static str,
    allowed: &'static [&'static str],
    shape: Setting,
    help: &'static str,
) -> Setting {
    shape.only(allowed).described(name, Group::Accepted, help)
}

const fn count(default: &'static str) -> Setting {
    integer(default, i32::MIN as i64, u32::MAX as i64)
}

/// The bounds of Redis's own numbers.
const fn int(default: &'static str, min: i64) -> Setting {
    integer(default, min, i32::MAX as i64)
}

const fn long(default: &'static str) -> Setting {
    integer(default, 0, i64::MAX)
}

const NO: &[&str] = &["false"];
const YES: &[&str] = &["true"];
const NONE: &[&str] = &[""];

const GLOG: &str = "a switch of Dragonfly's logger; see loglevel and minloglevel";
const SCHEDULER: &str = "tunes a mechanism of Dragonfly's scheduler that has no counterpart here";
const SNAPSHOT: &str = "snapshots are files in dir, as they are";
const ENCODING: &str =
    "tunes an encoding of Redis or Dragonfly; collections here are trees of packed pages";
const LAZY: &str = "large values are always released in the background";
const READS: &str = "a client is read as far as its requests are answered, at most 1 MiB ahead";
const PUBSUB: &str = "see client_output_buffer_limit, class pubsub";
const SCRIPTS: &str = "kept for tools; there are no scripts yet";
const ALWAYS: &str = "always so, by design";
const CLUSTER: &str = "there is no cluster mode yet";
const SEARCH: &str = "there is no search yet";
const FILTERS: &str = "there are no probabilistic filters yet";
const SLOTS: &str = "keys are cut by their slot, always";
const RETIRED: &str = "retired by Dragonfly too";
const TIERED: &str = "values are kept in memory only";
const DEFRAG: &str = "memory is not defragmented";
const RULES: &str = "rules about commands are not enforced yet, so none may be given";

/// The settings without effect, by sort.
pub(super) static SETTINGS: &[Setting] = &[
    // ---- Taken, kept and shown. ----
    idle(integer("1", 1, 10), "active_expire_effort", "expiry has a budget of its own")
        .aliases(&[Alias::same("active-expire-effort")]),
    idle(boolean("true"), "activerehashing", "the table grows segment by segment").aliases(&[]),
    idle(boolean("false"), "background_snapshotting", SCHEDULER),
    idle(count("2"), "compression_level", "a full sync is not compressed by this setting"),
    idle(text("3"), "compression_mode", "a full sync is not compressed by this setting"),
    idle(boolean("true"), "df_snapshot_format", "snapshots are RDB files, always: see snapshot_parts"),
    idle(boolean("true"), "enable_heartbeat_eviction", "see maxmemory_policy"),
    idle(count("10"), "interpreter_per_thread", SCRIPTS),
    idle(count("1"), "io_threads", "see proactor_threads").aliases(&[Alias::same("io-threads")]),
    idle(boolean("true"), "journal_omit_redundant_writes", SCHEDULER),
    idle(boolean("false"), "keep_legacy_memory_metrics", "the metrics are listed in the docs"),
    idle(count("8192"), "keys_output_limit", "KEYS answers in full, in slices"),
    idle(boolean("true"), "lazyfree_lazy_eviction", LAZY)
        .aliases(&[Alias::same("lazyfree-lazy-eviction")]),
    idle(boolean("true"), "lazyfree_lazy_expire", LAZY)
        .aliases(&[Alias::same("lazyfree-lazy-expire")]),
    idle(boolean("true"), "lazyfree_lazy_server_del", LAZY)
        .aliases(&[Alias::same("lazyfree-lazy-server-del")]),
    idle(boolean("true"), "lazyfree_lazy_user_del", LAZY)
        .aliases(&[Alias::same("lazyfree-lazy-user-del")]),
    idle(boolean("true"), "lazyfree_lazy_user_flush", LAZY)
        .aliases(&[Alias::same("lazyfree-lazy-user-flush")]),
    idle(boolean("true"), "lock_on_hashtags", "slots always follow the hash tag"),
    idle(count("30"), "logbufsecs", GLOG),
    idle(long("5000"), "lua_time_limit", SCRIPTS)
        .aliases(&[Alias::same("lua-time-limit"), Alias::same("busy-reply-threshold")]),
    idle(count("200"), "max_log_size", "files are rotated from outside: see logfile"),
    idle(boolean("true"), "migrate_connections", SCHEDULER),
    idle(boolean("true"), "multi_exec_squash", SCHEDULER),
    idle(boolean("false"), "omit_basic_usage", GLOG),
    idle(text("64kb"), "max_client_iobuf_len", READS),
    idle(text("128mb"), "pipeline_buffer_limit", READS),
    idle(count("10000"), "pipeline_queue_limit", READS),
    idle(count("1"), "pipeline_squash", SCHEDULER),
    fixed(
        "pipeline_order",
        &["relaxed"],
        text("relaxed"),
        "commands of one pipeline on different shards may become visible in another order; replies \
         are always in order",
    ),
    idle(text("196mb"), "publish_buffer_limit", PUBSUB),
    idle(boolean("true"), "rdbchecksum", "snapshots carry a checksum always, and it is compared; one of 0, as Redis writes with this off, says that there is none"),
    idle(boolean("true"), "rdbcompression", "strings in snapshots are compressed where that pays, always"),
    idle(
        boolean("true"),
        "replica_delete_expired",
        "a replica never expires on its own account; it hides what has expired from readers",
    ),
    idle(boolean("true"), "replicaof_no_one_start_journal", ALWAYS),
    idle(count("1500"), "replication_dispatch_threshold", SCHEDULER),
    idle(
        text("1mb"),
        "replication_stream_output_limit",
        "a slow replica never holds up a writer: it reads the log, see repl_backlog_size",
    ),
    idle(boolean("true"), "repl_diskless_sync", ALWAYS)
        .aliases(&[Alias::same("repl-diskless-sync")]),
    idle(int("0", 0), "repl_diskless_sync_delay", "a full sync starts at once")
        .aliases(&[Alias::same("repl-diskless-sync-delay")]),
    idle(text("disabled"), "repl_diskless_load", "a full sync is never stored in a file")
        .aliases(&[Alias::same("repl-diskless-load")]),
    idle(boolean("false"), "repl_disable_tcp_nodelay", "see tcp_nodelay")
        .aliases(&[Alias::same("repl-disable-tcp-nodelay")]),
    idle(text("64kb"), "serialization_max_chunk_size", "large values are always sent in pieces"),
    idle(
        count("0"),
        "shard_repl_backlog_len",
        "the log is bounded in bytes and age, not in records: see repl_backlog_size",
    ),
    idle(count("2"), "stderrthreshold", GLOG),
    idle(text("no"), "supervised", "systemd is told by itself, where NOTIFY_SOCKET is set"),
    idle(
        int("20480", 0),
        "tls_session_cache_size",
        "clients keep their sessions themselves, in tickets: nothing is kept here",
    )
    .aliases(&[Alias::same("tls-session-cache-size")]),
    idle(count("0"), "v", GLOG),
    idle(boolean("false"), "version_check", "this program never asks anybody for its version"),
    idle(text(""), "vmodule", GLOG),
    // ---- Dragonfly's tuning. ----
    idle(long("32"), "acllog_max_len", "there are no access rules yet"),
    idle(text(""), "availability_zone", "kept for tools"),
    idle(boolean("true"), "background_heartbeat", SCHEDULER),
    idle(boolean("true"), "backing_file_direct", TIERED),
    idle(count("0"), "conn_io_thread_start", "see proactor_threads"),
    idle(count("0"), "conn_io_threads", "see proactor_threads"),
    idle(boolean("false"), "conn_use_incoming_cpu", SCHEDULER),
    idle(boolean("false"), "colorlogtostderr", GLOG),
    idle(boolean("true"), "enable_heartbeat_rss_eviction", "see maxmemory_policy"),
    idle(boolean("true"), "enable_tcp_defer_accept", SCHEDULER),
    idle(count("0"), "epoll_file_threads", "the executors need io_uring"),
    idle(text("0.1"), "eviction_memory_budget_threshold", "see maxmemory_policy"),
    idle(count("100"), "max_eviction_per_heartbeat", "see maxmemory_policy"),
    idle(count("4"), "max_segment_to_consider", "see maxmemory_samples"),
    idle(count("1048576"), "max_multi_bulk_len", "a request has at most 1048576 arguments"),
    idle(count("60"), "mem_defrag_check_sec_interval", DEFRAG),
    idle(text("0.8"), "mem_defrag_page_utilization_threshold", DEFRAG),
    idle(text("0.7"), "mem_defrag_threshold", DEFRAG),
    idle(text("0.2"), "mem_defrag_waste_threshold", DEFRAG),
    idle(count("8096"), "multi_eval_squash_buffer", SCHEDULER),
    idle(text("64mb"), "request_cache_limit", SCHEDULER),
    idle(text("512kb"), "registered_buffer_size", SCHEDULER),
    idle(boolean("false"), "s3_ec2_metadata", SNAPSHOT),
    idle(text(""), "s3_endpoint", SNAPSHOT),
    idle(boolean("true"), "s3_sign_payload", SNAPSHOT),
    idle(boolean("true"), "s3_use_https", SNAPSHOT),
    idle(count("50000"), "scheduler_background_budget", SCHEDULER),
    idle(count("50"), "scheduler_background_sleep_prob", SCHEDULER),
    idle(count("5"), "scheduler_background_warrant", SCHEDULER),
    idle(boolean("true"), "serialization_tagged_chunks", ALWAYS),
    idle(count("0"), "shard_thread_busy_polling_usec", SCHEDULER),
    idle(text("0.15"), "table_growth_margin", "the table grows segment by segment"),
    idle(text("0"), "tiered_max_file_size", TIERED),
    idle(count("64"), "tiered_min_value_size", TIERED),
    idle(text("0.5"), "tiered_offload_threshold", TIERED),
    idle(text("0.1"), "tiered_upload_threshold", TIERED),
    idle(count("0"), "uring_recv_buffer_cnt", SCHEDULER),
    // ---- The rest of Dragonfly's list: tuning of what is not here, or is always so. ----
    idle(text(""), "allocation_tracker", "memory is counted by the thread that takes it"),
    idle(boolean("false"), "always_flush_pipeline", SCHEDULER),
    idle(count("100"), "async_dispatch_quota", SCHEDULER),
    idle(boolean("false"), "background_debug_jobs", SCHEDULER),
    idle(count("2"), "cf_bucket_size", FILTERS),
    idle(count("1"), "cf_expansion_factor", FILTERS),
    idle(count("1024"), "cf_initial_size", FILTERS),
    idle(count("32"), "cf_max_expansions", FILTERS),
    idle(count("20"), "cf_max_iterations", FILTERS),
    idle(count("3000"), "cluster_coordinator_connect_timeout_ms", CLUSTER),
    idle(count("3000"), "cluster_coordinator_response_timeout_ms", CLUSTER),
    idle(boolean("false"), "cluster_flush_decommit_memory", CLUSTER),
    idle(boolean("false"), "cluster_search", CLUSTER),
    idle(count("500"), "container_iteration_yield_interval_usec", SCHEDULER),
    idle(boolean("false"), "deserialize_hnsw_index", SEARCH),
    idle(text("50mb"), "disk_backpressure_file_max_bytes", READS),
    idle(text("/tmp/"), "disk_backpressure_folder", READS),
    idle(boolean("true"), "enable_memcache_io_loop_v2", SCHEDULER),
    idle(boolean("true"), "enable_pipeline_squashing_v2", SCHEDULER),
    idle(boolean("false"), "enable_resp_io_loop_v2", SCHEDULER),
    idle(boolean("false"), "experimental_cluster_shard_by_slot", SLOTS),
    idle(boolean("true"), "experimental_io_loop_v2", RETIRED),
    idle(boolean("true"), "experimental_replicaof_v2", RETIRED),
    idle(count("0"), "fiber_safety_margin", SCHEDULER),
    idle(boolean("true"), "get_zero_copy", "large values are never copied to be sent"),
    idle(text(""), "huffman_table", "strings are not packed"),
    idle(count("30"), "iobuf_min_shrink_interval_sec", SCHEDULER),
    idle(boolean("true"), "jsonpathv2", "there are no JSON values yet"),
    idle(int("0", 0), "list_compress_depth", ENCODING).aliases(&[Alias::same("list-compress-depth")]),
    idle(count("0"), "list_compress_dict_threshold", ENCODING),
    idle(count("0"), "list_tiering_prefetch_depth", TIERED),
    idle(count("0"), "list_tiering_threshold", TIERED),
    idle(count("1024"), "listpack_max_bytes", ENCODING),
    idle(count("64"), "listpack_max_field_len", ENCODING),
    idle(text(""), "locktag_delimiter", SLOTS),
    idle(text(""), "locktag_prefix", SLOTS),
    idle(count("0"), "locktag_skip_n_end_delimiters", SLOTS),
    idle(count("0"), "log_squash_info_threshold_usec", SCHEDULER),
    idle(boolean("false"), "lua_allow_undeclared_auto_correct", SCRIPTS),
    idle(boolean("false"), "lua_auto_async", SCRIPTS),
    idle(text(""), "lua_float_as_int_shas", SCRIPTS),
    idle(boolean("false"), "lua_resp2_legacy_float", SCRIPTS),
    idle(text(""), "lua_undeclared_keys_shas", SCRIPTS),
    idle(count("200"), "max_busy_read_usec", SCHEDULER),
    idle(count("1000"), "max_busy_squash_usec", SCHEDULER),
    idle(count("100"), "max_squashed_cmd_num", SCHEDULER),
    idle(count("1000000"), "maxsearchresults", SEARCH).aliases(&[Alias::same("MAXSEARCHRESULTS")]),
    idle(boolean("false"), "mget_dedup_keys", SCHEDULER),
    idle(text("0.2"), "migration_buckets_cpu_budget", CLUSTER),
    idle(count("10"), "migration_buckets_serialization_threshold", CLUSTER),
    idle(count("500"), "migration_buckets_sleep_usec", CLUSTER),
    idle(count("30000"), "migration_finalization_timeout_ms", CLUSTER),
    idle(count("1"), "pause_wait_timeout", "a pause begins when what runs has ended"),
    idle(boolean("true"), "pipeline_parse_in_proactor", SCHEDULER),
    idle(boolean("true"), "pipeline_prioritize_large_batches", SCHEDULER),
    idle(count("1073741824"), "pipeline_squash_limit", SCHEDULER),
    idle(count("0"), "pipeline_wait_batch_usec", SCHEDULER),
    idle(count("0"), "pubsub_slow_subscriber_timeout_ms", PUBSUB),
    idle(boolean("false"), "rdb_load_dry_run", SNAPSHOT),
    idle(boolean("true"), "rdb_sbf_chunked", SNAPSHOT),
    idle(boolean("true"), "s3_use_helio_client", SNAPSHOT),
    idle(count("10240"), "search_query_string_bytes", SEARCH),
    idle(boolean("true"), "search_reject_legacy_field", SEARCH),
    idle(count("0"), "send_timeout", "see tcp_user_timeout and client_output_buffer_limit"),
    idle(boolean("false"), "serialize_hnsw_index", SEARCH),
    idle(text(""), "shard_round_robin_prefix", SLOTS),
    idle(count("2000"), "slot_migration_connection_timeout_ms", CLUSTER),
    idle(count("0"), "slot_migration_throttle_us", CLUSTER),
    idle(count("0"), "squash_stats_latency_lower_limit", RETIRED),
    idle(text("0"), "squashed_reply_size_limit", SCHEDULER),
    idle(count("8192"), "subset_knn_search_threshold", SEARCH),
    idle(boolean("true"), "tiered_experimental_cooling", TIERED),
    idle(boolean("false"), "tiered_experimental_hash_support", TIERED),
    idle(boolean("false"), "tiered_experimental_list_support", TIERED),
    idle(text("256kb"), "tiered_max_pending_stash_bytes", TIERED),
    idle(count("5000"), "tiered_min_ttl_to_offload_ms", TIERED),
    idle(count("200"), "tiered_storage_write_depth", TIERED),
    idle(text("256mb"), "tiering_disk_storage_initial_size", TIERED),
    idle(count("96"), "tx_queue_warning_len", SCHEDULER),
    idle(boolean("true"), "unlink_experimental_async", LAZY),
    idle(boolean("true"), "use_oah_set", ENCODING),
    idle(count("0"), "write_connection_throttling_sleep_usec", SCHEDULER),
    idle(boolean("false"), "alsologtoemail", GLOG),
    idle(boolean("false"), "colorlogtostdout", GLOG),
    idle(boolean("true"), "drop_log_memory", GLOG),
    idle(text(""), "log_backtrace_at", GLOG),
    idle(boolean("true"), "log_file_header", GLOG),
    idle(text(""), "log_link", GLOG),
    idle(boolean("true"), "log_prefix", GLOG),
    idle(boolean("false"), "log_utc_time", GLOG),
    idle(boolean("true"), "log_year_in_prefix", GLOG),
    idle(count("0"), "logbuflevel", GLOG),
    idle(count("300"), "logcleansecs", GLOG),
    idle(text("0664"), "logfile_mode", GLOG),
    idle(boolean("false"), "logtostdout", GLOG),
    idle(boolean("true"), "stop_logging_if_full_disk", "a full disk never stops the program, and lost lines are counted"),
    idle(boolean("true"), "symbolize_stacktrace", GLOG),
    idle(boolean("true"), "timestamp_in_logfile_name", GLOG),
    // ---- One value only. ----
    fixed("aclfile", NONE, text(""), "there are no users but the default one yet"),
    fixed("activedefrag", NO, boolean("false"), "memory is not defragmented"),
    fixed("appendonly", NO, boolean("false"), "there is no append-only file"),
    fixed(
        "cluster_announce_ip",
        NONE,
        text(""),
        "there is no cluster mode yet; what masters, INFO and Sentinel are told is replica_announce_ip",
    )
    .aliases(&[Alias::same("cluster-announce-ip")]),
    fixed("cluster_node_id", NONE, text(""), CLUSTER),
    fixed("cluster_enabled", NO, boolean("false"), "there is no cluster mode yet")
        .aliases(&[Alias::same("cluster-enabled")]),
    fixed("cluster_mode", NONE, text(""), "there is no cluster mode yet"),
    fixed("command_alias", NONE, text(""), RULES),
    fixed("daemonize", NO, boolean("false"), "the service manager keeps it in the background"),
    fixed("default_lua_flags", NONE, text(""), "there are no scripts yet"),
    fixed(
        "experimental_cascaded_partial_sync",
        YES,
        boolean("true"),
        "a replica always feeds replicas of its own, and they continue where they were",
    ),
    fixed("expose_http_api", NO, boolean("false"), "there are no commands over HTTP"),
    fixed("force_epoll", NO, boolean("false"), "the executors need io_uring"),
    fixed("memcached_port", &["0"], count("0"), "the memcached protocol is not spoken"),
    fixed(
        "metrics_port",
        &["0"],
        count("0"),
        "metrics are on port (see primary_port_http_enabled) and on admin_port, not on one of their own",
    ),
    fixed(
        "oom_deny_ratio",
        &["1", "1.0"],
        text("1.0"),
        "keys are evicted, or writes refused, as soon as maxmemory is reached, the replication log \
         included: set maxmemory to what may be used",
    ),
    fixed(
        "rss_oom_deny_ratio",
        &["0"],
        text("0"),
        "maxmemory is compared with what is allocated; writes are not refused because of resident \
         memory",
    ),
    fixed(
        "proto_max_bulk_len",
        &["536870912"],
        size("512mb", i64::MAX as u64),
        "the longest string is 512 MiB",
    )
    .aliases(&[Alias::same("proto-max-bulk-len"), Alias::same("max_bulk_len")]),
    fixed("rdb_ignore_expiry", NO, boolean("false"), SNAPSHOT),
    fixed("rename_command", NONE, text(""), RULES).aliases(&[Alias::same("rename-command")]),
    fixed("replica_read_only", YES, boolean("true"), "a replica is an exact copy of its master")
        .aliases(&[Alias::same("replica-read-only"), Alias::same("slave-read-only")]),
    fixed(
        "replica_serve_stale_data",
        YES,
        boolean("true"),
        "a replica answers reads while its link is down; see master_link_status in INFO",
    )
    .aliases(&[Alias::same("replica-serve-stale-data"), Alias::same("slave-serve-stale-data")]),
    fixed("save_schedule", NONE, text(""), "see save"),
    fixed("tiered_prefix", NONE, text(""), "values are kept in memory only"),
    fixed("user", NONE, text(""), "start it as the right user, for example by User= of systemd"),
];

/// Whether a name is here only because others know it.
pub fn is_without_effect(setting: &Setting) -> bool {
    setting.effect != Effect::Real
}
