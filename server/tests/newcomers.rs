//! An operator comes with what he has: a command line of Dragonfly's, a redis.conf, boards.

#[path = "newcomers/commands.rs"]
mod commands;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use support::client::{Client, text};
use support::node::Node;
use support::{scenario, wait};

fn lines(client: &mut Client, section: &str) -> String {
    text(&client.must(&["INFO", section]))
}

fn http(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page");
    page
}

#[test]
fn dragonflys_own_command_line_starts_us_and_says_what_changes_nothing() {
    let flags = [
        "--enable_resp_io_loop_v2=true",
        "--pipeline_wait_batch_usec=10",
        "--jsonpathv2=false",
        "--serialize_hnsw_index",
        "--fiber_safety_margin=1024",
        "--iobuf_min_shrink_interval_sec=60",
        "--max_busy_read_usec=300",
        "--async_dispatch_quota=50",
        "--squashed_reply_size_limit=0",
        "--send_timeout=20",
        "--MAXSEARCHRESULTS=5",
        "--nounlink_experimental_async",
        "--logbuflevel=-1",
        "--proactor_affinity_mode=off",
        "--cache_mode=true",
        "--maxmemory=512mb",
        "--managed_service_info",
        "--info_replication_valkey_compatible=false",
        "--metrics_prefix=dragonfly_",
        "--restricted_commands=CONFIG,flushall",
    ];
    let master = Node::start("seed", 1, &flags);
    let said = master.lines_with("change nothing here: ").join(" ");
    for flag in flags[..13].iter().map(|flag| flag.trim_start_matches("--")) {
        let name = flag.split('=').next().unwrap_or_default().trim_start_matches("no");
        assert!(said.contains(&name.to_lowercase()), "{name}: {said}");
    }
    let mut admin = master.client();
    let mut client = Client::connect(master.port).expect("a connection");
    let memory = lines(&mut client, "memory");
    assert!(memory.contains("maxmemory_policy:allkeys-lru"), "{memory}");
    for field in
        ["used_memory_peak_rss:", "object_used_memory:", "num_entries:0", "cache_mode:cache"]
    {
        assert!(memory.contains(field), "{field} {memory}");
    }
    for field in ["client_read_buffer_bytes:", "timeout_disconnects:0", "max_clients:"] {
        let clients = lines(&mut client, "clients");
        assert!(clients.contains(field), "{field} {clients}");
    }
    for request in [&["CONFIG", "GET", "port"][..], &["FLUSHALL"]] {
        let reply = text(&client.call(request));
        assert_eq!(reply, "ERR Cannot execute restricted command (admin only)", "{request:?}");
        admin.must(request);
    }

    let replica = Node::start(
        "other",
        2,
        &["--info_replication_valkey_compatible=false", "--replica-announced=no"],
    );
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    wait::until("the master shows its replica in Dragonfly's words", || {
        let seen = lines(&mut admin, "replication");
        seen.contains("slave0:") && seen.contains("state=stable_sync")
    });
    let hidden = lines(&mut client, "replication");
    assert!(hidden.contains("connected_slaves:1") && !hidden.contains("slave0:"), "{hidden}");
    assert!(!lines(&mut client, "server").contains("thread_count:"));
    assert!(lines(&mut admin, "server").contains("thread_count:2"));
    let own = lines(&mut replica.client(), "replication");
    assert!(own.contains("role:replica") && own.contains("replica_announced:0"), "{own}");

    let page = http(master.port, "/metrics");
    assert!(page.contains("dragonfly_connected_replica_lag_records{"), "{page}");
    assert!(!page.contains("dfly_master"), "{page}");
}

/// What every installed redis.conf has, in its order.
const REDIS_CONF: &str = "\
# Redis configuration file
bind 127.0.0.1 -::1
protected-mode yes
tcp-backlog 511
timeout 0
daemonize yes
pidfile /nowhere/at/all/redis-server.pid
loglevel notice
databases 8
always-show-logo no
proc-title-template \"{title} {listen-addr} {server-mode}\"
stop-writes-on-bgsave-error yes
dbfilename dump.rdb
save 900 1
replica-priority 7
appendonly no
appendfilename \"appendonly.aof\"
client-output-buffer-limit normal 0 0 0
client-output-buffer-limit replica 256mb 64mb 60
include parts/*.conf
";

#[test]
fn a_redis_conf_is_a_first_argument_and_what_it_asks_in_vain_is_named() {
    let parent = tempfile::tempdir().expect("a directory");
    let conf = parent.path().join("redis.conf");
    let parts = parent.path().join("parts");
    fs::create_dir(&parts).expect("a directory");
    fs::write(parts.join("10.conf"), "requirepass \"a b\"\n").expect("a file");
    let text_of_it = REDIS_CONF.replace("parts/", &format!("{}/", parts.display()));
    fs::write(&conf, text_of_it).expect("a file");
    // The node's own flags stand in front, and a file is a first argument: so by hand.
    let port = support::node::free_port();
    let log = parent.path().join("log");
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_damselfly"))
        .arg(&conf)
        .args(["--port", &port.to_string(), "--logfile", &log.display().to_string()])
        .spawn()
        .expect("the program can be started");
    let mut client = wait::until_some("it serves", || Client::connect(port).ok());
    client.must(&["AUTH", "a b"]);
    let get = |client: &mut Client, name: &str| text(&client.must(&["CONFIG", "GET", name]));
    assert_eq!(get(&mut client, "databases"), "databases 8");
    assert_eq!(get(&mut client, "protected-mode"), "protected-mode yes");
    assert_eq!(get(&mut client, "replica-priority"), "replica-priority 7");
    assert!(lines(&mut client, "server").contains("redis.conf\r\n"));
    let refused = text(&client.call(&["CONFIG", "REWRITE"]));
    assert!(refused.contains("a redis.conf is not rewritten"), "{refused}");
    program.kill().expect("a live process");
    program.wait().expect("a child");
    let said = fs::read_to_string(&log).expect("the log");
    for words in [
        "always-show-logo (",
        "appendfilename (",
        "redis.conf:6: 'daemonize yes' changes nothing",
        "cannot write /nowhere/at/all/redis-server.pid",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, said) = Node::refused(&["/nowhere/redis.conf"]);
    assert!(code == Some(1) && said.contains("/nowhere/redis.conf"), "{said}");
}

#[test]
fn an_error_repeats_the_bytes_of_a_client_as_they_came() {
    let node = Node::start("node", 1, &["--pin=off"]);
    let mut client = node.client();
    let reply = client.call(&[&b"no\xffsuch"[..], b"a\xfeb", b"c\r\nd"]);
    let expected =
        &b"ERR unknown command 'no\xffsuch', with args beginning with: 'a\xfeb' 'c  d' "[..];
    assert_eq!(reply.error(), Some(expected));
    let reply = client.call(&[&b"CONFIG"[..], b"\xff"]);
    assert_eq!(reply.error(), Some(&b"ERR unknown subcommand '\xff'. Try CONFIG HELP."[..]));
}
