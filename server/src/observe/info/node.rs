//! The process: server, clients, memory, persistence, CPU, certificates.

use super::view::{Lines, View, human};
use crate::clients;
use crate::config::MaxmemoryPolicy;
use crate::config::REDIS_VERSION;
use crate::log;
use crate::memory;
use crate::server::Counters;
use crate::snapshots::UnderWay;
use replication::info::LinkState;
use replication::tls::Identity;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(super) fn server(view: &View<'_>, lines: &mut Lines) {
    let (server, config) = (view.server, &view.picture.config);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let uptime = server.started.elapsed().as_secs();
    lines.put("redis_version", REDIS_VERSION);
    lines.put("redis_git_sha1", "00000000");
    lines.put("redis_git_dirty", 0);
    lines.put("redis_build_id", concat!("damselfly-", env!("CARGO_PKG_VERSION")));
    lines.put("redis_mode", "standalone");
    lines.put("damselfly_version", env!("CARGO_PKG_VERSION"));
    if !view.hides() {
        lines.put("os", os());
        lines.put("thread_count", u32::from(server.node.shards()) + 1);
    }
    lines.put("arch_bits", usize::BITS);
    lines.put("monotonic_clock", "POSIX clock_gettime");
    lines.put("multiplexing_api", "io_uring");
    lines.put("process_id", std::process::id());
    let systemd = std::env::var_os("NOTIFY_SOCKET").is_some();
    lines.put("process_supervised", if systemd { "systemd" } else { "no" });
    lines.put("run_id", &server.run_id);
    lines.put("tcp_port", server.ports.main());
    lines.put("admin_port", server.ports.admin());
    lines.put("server_time_usec", now.as_micros());
    lines.put("uptime_in_seconds", uptime);
    lines.put("uptime_in_days", uptime / (24 * 60 * 60));
    lines.put("hz", config.hz);
    lines.put("configured_hz", config.hz);
    lines.put("lru_clock", now.as_secs() & 0xff_ffff);
    lines.put("shards", server.node.shards());
    let executable = std::env::current_exe().unwrap_or_default();
    lines.put("executable", executable.display());
    let file = server.settings.file().map(|path| path.display().to_string());
    lines.put("config_file", file.unwrap_or_default());
    lines.put("io_threads_active", 0);
    lines.put("log_bytes_waiting", server.log.waiting());
    lines.put("log_lines_lost", log::lost_lines());
}

/// Name, release and machine of the kernel.
fn os() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let name = read("/proc/sys/kernel/ostype");
    let release = read("/proc/sys/kernel/osrelease");
    format!("{name} {release} {}", std::env::consts::ARCH)
}

pub(super) fn clients(view: &View<'_>, lines: &mut Lines) {
    let clients = &view.picture.clients;
    lines.put("connected_clients", clients.normal + clients.admin);
    lines.put("cluster_connections", 0);
    lines.put("maxclients", clients::places(&view.picture.config));
    lines.put("max_clients", clients::places(&view.picture.config));
    lines.put("client_read_buffer_bytes", clients.input_bytes);
    lines.put("timeout_disconnects", Counters::get(&view.server.counters.timed_out));
    lines.put("client_recent_max_input_buffer", clients.input_most);
    lines.put("client_recent_max_output_buffer", clients.output_most);
    lines.put("blocked_clients", Counters::get(&view.server.counters.blocked));
    lines.put("tracking_clients", 0);
    lines.put("clients_in_timeout_table", 0);
    lines.put("total_blocking_keys", view.picture.awaited.0);
    lines.put("total_blocking_keys_on_nokey", view.picture.awaited.1);
    lines.put("pubsub_clients", clients.subscribers);
    lines.put("watching_clients", clients.watching);
    lines.put("admin_clients", clients.admin);
    lines.put("arriving_connections", clients.arriving);
    lines.put("http_connections", clients.http);
}

pub(super) fn memory(view: &View<'_>, lines: &mut Lines) {
    let memory = &view.picture.memory;
    let percent = |part: u64, whole: u64| {
        let share = if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
        format!("{share:.2}%")
    };
    lines.put_bytes("used_memory", memory.used);
    lines.put_bytes("used_memory_rss", memory.resident);
    lines.put("used_memory_peak_rss", memory.resident_peak);
    lines.put_bytes("used_memory_peak", memory.peak);
    lines.put("used_memory_peak_perc", percent(memory.used, memory.peak));
    lines.put("used_memory_overhead", memory.overhead());
    lines.put("used_memory_startup", memory.startup);
    lines.put("used_memory_dataset", memory.dataset());
    let net = memory.used.saturating_sub(memory.startup);
    lines.put("used_memory_dataset_perc", percent(memory.dataset().min(net), net));
    lines.put("used_memory_tables", memory.tables);
    lines.put("table_used_memory", memory.tables);
    lines.put("object_used_memory", memory.dataset());
    lines.put("num_entries", view.picture.keys_total());
    lines.put("allocator_allocated", memory.used);
    lines.put("allocator_active", memory.resident);
    lines.put("allocator_resident", memory.resident);
    lines.put_bytes("total_system_memory", memory.system);
    for unused in ["lua", "vm_eval", "vm_functions", "vm_total", "functions", "scripts"] {
        lines.put(format_args!("used_memory_{unused}"), 0);
        if matches!(unused, "lua" | "vm_total" | "scripts") {
            lines.put(format_args!("used_memory_{unused}_human"), human(0));
        }
    }
    for unused in ["number_of_cached_scripts", "number_of_functions", "number_of_libraries"] {
        lines.put(unused, 0);
    }
    lines.put_bytes("maxmemory", memory.max);
    let policy = view.picture.config.maxmemory_policy;
    lines.put("maxmemory_policy", policy.word());
    let evicts = policy != MaxmemoryPolicy::NoEviction;
    lines.put("cache_mode", if evicts { "cache" } else { "store" });
    let ratio = format!("{:.2}", memory.fragmentation());
    lines.put("allocator_frag_ratio", &ratio);
    lines.put("allocator_frag_bytes", memory.resident.saturating_sub(memory.used));
    lines.put("allocator_rss_ratio", "1.00");
    lines.put("allocator_rss_bytes", 0);
    lines.put("rss_overhead_ratio", "1.00");
    lines.put("rss_overhead_bytes", 0);
    lines.put("mem_fragmentation_ratio", &ratio);
    lines.put("mem_fragmentation_bytes", memory.resident as i64 - memory.used as i64);
    lines.put("mem_not_counted_for_evict", memory.not_counted());
    lines.put("mem_replication_backlog", memory.journals);
    lines.put("psync_buffer_bytes", memory.journals);
    lines.put("mem_total_replication_buffers", memory.journals);
    lines.put("mem_clients_slaves", 0);
    lines.put("mem_clients_normal", memory.clients);
    lines.put("mem_cluster_links", 0);
    lines.put("mem_aof_buffer", 0);
    lines.put("mem_allocator", "mimalloc");
    lines.put("active_defrag_running", 0);
    lines.put("lazyfree_pending_objects", 0);
    lines.put("lazyfreed_objects", 0);
}

/// Snapshots under Redis's names: nothing forks here, so what a fork costs is 0.
pub(super) fn persistence(view: &View<'_>, lines: &mut Lines) {
    let loading = view.server.status.is_loading();
    lines.put("loading", u8::from(loading));
    lines.put("async_loading", 0);
    if view.server.loading.is_under_way() {
        from_a_file(view, lines);
    }
    let upstream = view.picture.replication.upstream.as_ref();
    let progress = upstream
        .filter(|upstream| upstream.state == LinkState::FullSync)
        .and_then(|upstream| upstream.progress.as_ref());
    if let (true, Some(progress)) = (loading, progress) {
        lines.put("loading_loaded_perc", format_args!("{:.2}", progress.ratio() * 100.0));
        if let Some(seconds) = progress.eta_seconds {
            lines.put("loading_eta_seconds", seconds.ceil());
        }
    }
    lines.put("load_state", if loading { "loading" } else { "done" });
    lines.put("current_cow_peak", 0);
    lines.put("current_cow_size", 0);
    lines.put("current_fork_perc", "0.00");
    snapshots(view, lines);
    lines.put("rdb_last_cow_size", 0);
    let far = view.server.loading.far();
    lines.put("rdb_last_load_keys_expired", far.expired);
    lines.put("rdb_last_load_keys_loaded", far.keys);
    lines.put("aof_enabled", 0);
    lines.put("aof_rewrite_in_progress", 0);
    lines.put("aof_rewrite_scheduled", 0);
    lines.put("aof_last_rewrite_time_sec", -1);
    lines.put("aof_current_rewrite_time_sec", -1);
    lines.put("aof_last_bgrewrite_status", "ok");
    lines.put("aof_rewrites", 0);
    lines.put("aof_last_write_status", "ok");
    lines.put("aof_last_cow_size", 0);
    lines.put("module_fork_in_progress", 0);
    lines.put("module_fork_last_cow_size", 0);
}

/// How far the data set is read that the start has found.
fn from_a_file(view: &View<'_>, lines: &mut Lines) {
    let far = view.server.loading.far();
    lines.put("loading_start_time", far.began);
    lines.put("loading_total_bytes", far.total);
    lines.put("loading_rdb_used_mem", 0);
    lines.put("loading_loaded_bytes", far.bytes);
    let share = far.bytes as f64 / far.total.max(1) as f64;
    lines.put("loading_loaded_perc", format_args!("{:.2}", share * 100.0));
    let since = engine::rt::now_millis().0 as f64 / 1000.0 - far.began as f64;
    let left = if share > 0.0 { since * (1.0 - share) / share } else { 1.0 };
    lines.put("loading_eta_seconds", left.ceil());
}

fn snapshots(view: &View<'_>, lines: &mut Lines) {
    let (last, now) = (view.server.snapshots.last(), view.server.snapshots.under_way());
    let figures = now.as_ref().map(UnderWay::figures).unwrap_or_default();
    lines.put("current_save_keys_processed", figures.keys);
    lines.put("current_save_keys_total", figures.keys_total);
    lines.put("current_save_bytes", figures.bytes);
    lines.put("current_save_held_bytes", engine::cut::held_total());
    if now.is_some() {
        lines.put("current_save_keys_per_sec", figures.keys_per_second.round());
        lines.put("current_save_bytes_per_sec", figures.bytes_per_second.round());
    }
    if let Some(left) = figures.eta_seconds {
        lines.put("current_save_eta_seconds", left.ceil());
    }
    let seconds = |time: Option<Duration>| time.map_or(-1, |time| time.as_secs() as i64);
    lines.put("rdb_changes_since_last_save", last.changes(view.picture.changes));
    lines.put("rdb_bgsave_in_progress", u8::from(now.is_some()));
    lines.put("rdb_last_save_time", last.unix_seconds());
    lines.put("rdb_last_bgsave_status", if last.is_ok { "ok" } else { "err" });
    lines.put("rdb_last_bgsave_error", &last.error);
    lines.put("rdb_last_bgsave_time_sec", seconds(last.took));
    lines.put("rdb_current_bgsave_time_sec", seconds(now.map(|now| now.since)));
    lines.put("rdb_saves", last.count);
}

pub(super) fn cpu(_: &View<'_>, lines: &mut Lines) {
    for (suffix, who) in [
        ("", libc::RUSAGE_SELF),
        ("_children", libc::RUSAGE_CHILDREN),
        ("_main_thread", libc::RUSAGE_THREAD),
    ] {
        let (system, user) = cpu_seconds(who);
        lines.put(format_args!("used_cpu_sys{suffix}"), format_args!("{system:.6}"));
        lines.put(format_args!("used_cpu_user{suffix}"), format_args!("{user:.6}"));
    }
}

/// System and user time. "Main thread" is whichever executor answers.
fn cpu_seconds(who: libc::c_int) -> (f64, f64) {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills the structure it is pointed to; zeroes are a valid rusage.
    let usage = unsafe {
        libc::getrusage(who, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (seconds(usage.ru_stime), seconds(usage.ru_utime))
}

pub(super) fn tls(view: &View<'_>, lines: &mut Lines) {
    let server = view.server;
    let current = server.tls.current();
    lines.put("tls", u8::from(current.server.is_some()));
    lines.put("tls_replication", u8::from(current.client.is_some()));
    let for_clients = current.server.as_ref().map(|tls| tls.identity());
    let for_master = current.client.as_ref().and_then(|tls| tls.identity());
    put_identity(lines, "tls_cert", for_clients.or(for_master));
    if for_clients.is_some() && for_master != for_clients {
        put_identity(lines, "tls_client_cert", for_master);
    }
    let of_clients = current.server.as_ref().and_then(|tls| tls.authority());
    let of_master = current.client.as_ref().and_then(|tls| tls.authority());
    put_identity(lines, "tls_ca_cert", of_clients.or(of_master));
    if current.server.is_some() {
        let counters = &server.counters;
        for (name, counter) in [
            ("started", &counters.tls_started),
            ("completed", &counters.tls_completed),
            ("resumed", &counters.tls_resumed),
            ("failed", &counters.tls_failed),
        ] {
            lines.put(format_args!("tls_handshakes_{name}"), Counters::get(counter));
        }
    }
}

fn put_identity(lines: &mut Lines, name: &str, identity: Option<&Identity>) {
    let Some(identity) = identity else { return };
    lines.put(format_args!("{name}_file"), &identity.file);
    lines.put(format_args!("{name}_subject"), &identity.subject);
    lines.put(format_args!("{name}_issuer"), &identity.issuer);
    lines.put(format_args!("{name}_not_before"), identity.not_before_text());
    lines.put(format_args!("{name}_not_after"), identity.not_after_text());
    let left = identity.seconds_left(SystemTime::now());
    lines.put(format_args!("{name}_expires_in_seconds"), left);
}

/// The lines of the HTTP status page.
pub(crate) fn summary(view: &View<'_>) -> Vec<(String, String)> {
    let (picture, server) = (view.picture, view.server);
    let role = match &picture.replication.upstream {
        None => format!("master of {} replicas", picture.replication.replicas.len()),
        Some(upstream) => {
            let (host, port, state) = (&upstream.host, upstream.port, upstream.state.word());
            format!("replica of {host}:{port}, {state}")
        }
    };
    let uptime = Instant::now().duration_since(server.started).as_secs();
    [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("role", role),
        ("uptime", format!("{uptime} s")),
        ("shards", server.node.shards().to_string()),
        ("keys", picture.keys_total().to_string()),
        ("clients", (picture.clients.normal + picture.clients.admin).to_string()),
        ("commands a second", format!("{:.0}", picture.rates.commands)),
        ("memory", format!("{} of {}", human(memory::used()), human(picture.memory.max))),
        ("replication log", human(picture.memory.journals)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
