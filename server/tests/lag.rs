//! Lag can be watched: nothing while idle, growing while the replica stands still, in records, bytes and
//! milliseconds, by shard, and nothing again afterwards; INFO, `/metrics` and ROLE tell the same.
//! What Sentinel sends works.

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use support::client::{request, text};
use support::compare;
use support::node::Node;
use support::scenario;
use support::wait;

/// INFO's lines of one section.
fn info(node: &Node, section: &str) -> BTreeMap<String, String> {
    let reply = text(&node.must(&["INFO", section]));
    let pairs = reply.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// `name=value` pairs of one line.
fn fields(line: &str) -> BTreeMap<String, String> {
    let pairs = line.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn number(fields: &BTreeMap<String, String>, name: &str) -> u64 {
    let value = fields.get(name).unwrap_or_else(|| panic!("{name} is missing in {fields:?}"));
    value.parse().unwrap_or_else(|_| panic!("{name}={value}"))
}

/// Records, bytes, milliseconds of one line.
fn lag_of(fields: &BTreeMap<String, String>) -> (u64, u64, u64) {
    let [records, bytes, millis] =
        ["lag_records", "lag_bytes", "lag_ms"].map(|name| number(fields, name));
    (records, bytes, millis)
}

/// One HTTP request to the client port.
fn get(node: &Node, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", node.port)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request can be sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("an answer in text");
    reply
}

/// Values of a metric by its labels.
fn metric(page: &str, name: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter_map(|line| line.strip_prefix(name));
    let samples = lines.filter_map(|rest| match rest.strip_prefix('{') {
        Some(rest) => rest.split_once("} "),
        None => rest.strip_prefix(' ').map(|value| ("", value)),
    });
    samples
        .map(|(labels, value)| (labels.to_owned(), value.trim().parse().expect("a number")))
        .collect()
}

fn largest(values: &BTreeMap<String, f64>) -> f64 {
    values.values().copied().fold(-1.0, f64::max)
}

fn write(node: &Node, keys: u64) {
    let requests: Vec<_> = (0..keys)
        .map(|index| request(&["SET".to_owned(), format!("key:{index}"), "v".repeat(100)]))
        .collect();
    node.client().pipeline(&requests);
}

/// The line of the one replica and those of its shards.
fn lags(master: &Node) -> Option<((u64, u64, u64), Vec<(u64, u64, u64)>)> {
    let lines = info(master, "replication");
    let whole = fields(lines.get("slave0")?);
    if whole.get("sync_state")? != "stable_sync" {
        return None;
    }
    assert_eq!(whole["lag"], whole["lag_records"], "the seed's name says the same: {whole:?}");
    let shards = (0..).map_while(|shard| lines.get(&format!("replica0_shard{shard}")));
    Some((lag_of(&whole), shards.map(|line| lag_of(&fields(line))).collect()))
}

#[test]
fn lag_is_nothing_idle_grows_while_the_replica_stands_still_and_goes_away() {
    let flags = ["--replication_timeout=60000"];
    let (master, replica) = (Node::start("master", 2, &flags), Node::start("replica", 3, &flags));
    let page = get(&master, "/metrics");
    assert!(metric(&page, "dfly_connected_replica_lag_records").is_empty());
    // Counters are there from the start, or nobody sees them grow.
    let dropped = metric(&page, "dfly_replicas_dropped_total");
    assert_eq!((dropped.len(), largest(&dropped)), (5, 0.0), "{dropped:?}");
    assert_eq!(metric(&page, "dfly_oom_errors_total").len(), 1);
    assert_eq!(metric(&page, "dfly_replica_reconnect_count").len(), 1);
    scenario::follow(&replica, master.port);
    write(&master, 1000);
    compare::wait_caught_up(&master, &replica);
    let nothing = || lags(&master) == Some(((0, 0, 0), vec![(0, 0, 0); 2]));
    wait::until("lag is 0 when all is acknowledged", nothing);
    let page = get(&master, "/metrics");
    assert_eq!(largest(&metric(&page, "dfly_connected_replica_lag_records")), 0.0);
    assert_eq!(largest(&metric(&page, "dfly_connected_replica_lag_bytes")), 0.0);
    assert_eq!(largest(&metric(&page, "dfly_connected_replica_lag_seconds")), 0.0);
    assert_eq!(metric(&page, "dfly_shard_lag_records").len(), 2, "one sample a shard");

    replica.freeze();
    let mut before = (0, 0, 0);
    for _ in 0..3 {
        write(&master, 1000);
        wait::until("lag grows in all units", || {
            lags(&master)
                .is_some_and(|(now, _)| now.0 > before.0 && now.1 > before.1 && now.2 > before.2)
        });
        before = lags(&master).expect("stable sync").0;
    }
    let ((records, bytes, millis), shards) = lags(&master).expect("stable sync");
    assert!(millis > 0 && bytes > 3000 * 100, "{bytes} bytes, {millis} ms");
    assert_eq!(shards.len(), 2);
    assert_eq!(shards.iter().map(|lag| lag.0).max(), Some(records), "the largest over the shards");
    assert!(shards.iter().all(|lag| lag.0 > 500 && lag.1 > 50_000 && lag.2 > 0), "{shards:?}");
    let total: u64 = shards.iter().map(|lag| lag.0).sum();
    assert!(total >= 3000, "{shards:?}: 3000 records were written");

    // Nothing moves now, so all must tell the same.
    let page = get(&master, "/metrics");
    assert_eq!(largest(&metric(&page, "dfly_connected_replica_lag_records")), records as f64);
    assert_eq!(largest(&metric(&page, "dfly_connected_replica_lag_bytes")), bytes as f64);
    assert!(
        largest(&metric(&page, "dfly_connected_replica_lag_seconds")) * 1000.0 >= millis as f64
    );
    assert_eq!(largest(&metric(&page, "dfly_shard_lag_records")), records as f64);
    assert_eq!(scenario::role(&master), format!("master 127.0.0.1 {} stable_sync", replica.port));
    let not_ready = get(&master, &format!("/readyz?max_lag_records={}", records - 1));
    println!("readyz of the master: {}", not_ready.lines().next().unwrap_or_default());

    replica.thaw();
    compare::wait_caught_up(&master, &replica);
    wait::until("lag is 0 again", nothing);
    let page = get(&master, "/metrics");
    assert_eq!(largest(&metric(&page, "dfly_connected_replica_lag_records")), 0.0);
    let own = info(&replica, "replication");
    assert_eq!((own["role"].as_str(), own["master_link_status"].as_str()), ("slave", "up"));
    wait::until("the replica knows that it lacks nothing", || {
        info(&replica, "replication").get("master_lag_records").is_some_and(|lag| lag == "0")
    });
}

#[test]
fn lag_has_no_number_outside_stable_sync() {
    // So slow that the full sync is still under way when we look.
    let master = Node::start("master", 1, &["--snapshot_egress_limit_bytes=20000"]);
    let replica = Node::start("replica", 1, &[]);
    write(&master, 3000);
    scenario::follow(&replica, master.port);
    scenario::wait_full_sync(&replica);
    wait::until("the master sends items", || scenario::role(&master).ends_with("full_sync"));
    let line = fields(&info(&master, "replication")["slave0"]);
    assert_eq!(line["sync_state"], "full_sync", "{line:?}");
    assert!(!line.contains_key("lag") && !line.contains_key("lag_records"), "{line:?}");
    assert!(line.contains_key("sync_perc"), "progress is shown: {line:?}");
    let page = get(&master, "/metrics");
    assert!(metric(&page, "dfly_connected_replica_lag_records").is_empty(), "no sample");
    assert!(!info(&replica, "replication").contains_key("master_lag_records"));
}

/// It said 0, and 200, until the link was broken after 30 seconds.
#[test]
fn a_lag_that_nobody_knows_is_not_shown_and_nobody_is_ready_by_it() {
    let [master, replica, end] = ["master", "replica", "end"].map(|it| Node::start(it, 1, &[]));
    let proxy = support::proxy::Proxy::to(master.port);
    scenario::follow(&replica, proxy.port);
    scenario::wait_follows(&master, &replica);
    // A replica of the replica said 0 as long as that one had nothing more to tell.
    scenario::follow(&end, replica.port);
    let ready = |node: &Node, bound: &str| get(node, &format!("/readyz{bound}"));
    let is_shown = |node: &Node| {
        let by_info = info(node, "replication").contains_key("master_lag_records");
        let page = get(node, "/metrics");
        let by_metric = !metric(&page, "dfly_master_lag_records").is_empty();
        (by_info, by_metric, ready(node, "?max_lag_records=1000").starts_with("HTTP/1.1 200"))
    };
    let both = [&replica, &end];
    let are_shown = |shown| both.iter().all(|node| is_shown(node) == shown);
    wait::until("the lag is known", || are_shown((true, true, true)));
    proxy.stall();
    write(&master, 100);
    wait::until_within(Duration::from_secs(20), "it is not known", || {
        are_shown((false, false, false))
    });
    for node in both {
        let said = ready(node, "?max_lag_records=1000");
        assert!(said.starts_with("HTTP/1.1 503") && said.contains("is not known"), "{said}");
        assert!(ready(node, "").starts_with("HTTP/1.1 200"), "the link is still up");
    }
    proxy.heal();
    wait::until("it is known again", || are_shown((true, true, true)));
}

/// It said 0, as its own master had no more: that one was behind itself.
#[test]
fn at_the_end_of_a_chain_the_lag_is_to_its_beginning() {
    let [master, replica, end] = ["master", "replica", "end"].map(|it| Node::start(it, 1, &[]));
    scenario::follow(&replica, master.port);
    scenario::wait_follows(&master, &replica);
    scenario::follow(&end, replica.port);
    let lag = |node: &Node| {
        let info = info(node, "replication");
        info.get("master_lag_records").map(|lag| lag.parse::<u64>().expect("a number"))
    };
    wait::until("all is applied", || lag(&replica) == Some(0) && lag(&end) == Some(0));
    replica.must(&["DEBUG", "REPLICA", "PAUSE"]);
    write(&master, 1000);
    wait::until("both are behind", || [&replica, &end].iter().all(|node| lag(node) >= Some(1000)));
    replica.must(&["DEBUG", "REPLICA", "RESUME"]);
    wait::until("both have all", || lag(&replica) == Some(0) && lag(&end) == Some(0));
}

/// It began with 100 % and nothing left, and was at 100 % while seconds of data were under way.
#[test]
fn the_progress_of_a_full_sync_is_what_has_come() {
    let master = Node::start("master", 1, &["--snapshot_egress_limit_bytes=100000"]);
    let replica = Node::start("replica", 1, &[]);
    let proxy = support::proxy::Proxy::to(master.port);
    write(&master, 3000);
    scenario::follow(&replica, proxy.port);
    scenario::wait_full_sync(&replica);
    let own = |name: &str| {
        let found = info(&replica, "replication").get(name).cloned();
        found.map(|value| value.parse::<f64>().expect("a number"))
    };
    wait::until("some keys have come", || {
        own("master_sync_keys_done").is_some_and(|done| done > 0.0)
    });
    proxy.stall();
    // What was on its way is taken.
    let mut known = None;
    wait::until("nothing comes any more", || {
        wait::let_pass(Duration::from_millis(100));
        known.replace(own("master_sync_keys_done")) == Some(own("master_sync_keys_done"))
    });
    let (done, total) = (own("master_sync_keys_done"), own("master_sync_keys_total"));
    let perc = own("master_sync_perc").expect("a full sync is under way");
    assert!(total == Some(3000.0) && done < total && perc < 100.0, "{done:?} {total:?} {perc}");
    let expected = done.expect("known") / 30.0;
    assert!((perc - expected).abs() < 0.02, "{perc} {expected}");
    proxy.heal();
    master.must(&["CONFIG", "SET", "snapshot_egress_limit_bytes", "0"]);
    scenario::wait_follows(&master, &replica);
}

#[test]
fn syncs_are_counted_with_their_reasons() {
    let flags = [scenario::QUICK_TIMEOUT];
    let (master, replica) = (Node::start("master", 2, &flags), Node::start("replica", 1, &flags));
    let proxy = support::proxy::Proxy::to(master.port);
    scenario::follow(&replica, proxy.port);
    scenario::wait_follows(&master, &replica);
    for _ in 0..2 {
        let (_, partial) = scenario::syncs(&master);
        proxy.cut();
        wait::until("the link comes back", || scenario::syncs(&master).1 > partial);
        write(&master, 10);
        scenario::wait_follows(&master, &replica);
    }
    let stats = info(&master, "stats");
    assert_eq!(
        (stats["sync_full"].as_str(), stats["sync_partial_ok"].as_str()),
        ("1", "2"),
        "{stats:?}"
    );
    assert!(stats.keys().any(|name| name.starts_with("sync_full_reason_")), "{stats:?}");
}

#[test]
fn what_sentinel_sends_to_promote_and_to_demote_works() {
    let flagfile = std::env::temp_dir().join(format!("damselfly-sentinel-{}", std::process::id()));
    let (master, other) = (Node::start("master", 2, &[]), Node::start("other", 1, &[]));
    let line = format!("--replicaof=127.0.0.1:{}\n", master.port);
    std::fs::write(&flagfile, line).expect("a flagfile can be written");
    let flag = format!("--flagfile={}", flagfile.display());
    let mut replica = Node::start("replica", 1, &[&flag]);
    write(&master, 100);
    compare::assert_same(&master, &replica);

    // A connection of an ordinary client, which is to be closed.
    let mut bystander = support::client::Client::connect(replica.port).expect("a connection");
    bystander.must(&["PING"]);
    let transaction = |node: &Node, of: [&str; 2]| {
        let requests = [
            request(&["MULTI"]),
            request(&["SLAVEOF", of[0], of[1]]),
            request(&["CONFIG", "REWRITE"]),
            request(&["CLIENT", "KILL", "TYPE", "normal"]),
            request(&["CLIENT", "KILL", "TYPE", "pubsub"]),
            request(&["EXEC"]),
        ];
        let replies = node.client().pipeline(&requests);
        let outcome = replies[5].elements().unwrap_or_else(|| panic!("{replies:?}")).to_vec();
        assert!(outcome[0].is_ok() && outcome[1].is_ok(), "{outcome:?}");
        assert!(outcome.iter().all(|reply| reply.error().is_none()), "{outcome:?}");
    };
    transaction(&replica, ["NO", "ONE"]);
    assert!(scenario::role(&replica).starts_with("master"));
    assert!(bystander.try_call(&["PING"]).is_err(), "CLIENT KILL has closed it");
    assert_eq!(replica.must(&["DBSIZE"]).integer(), Some(100));
    let written = std::fs::read_to_string(&flagfile).expect("the flagfile");
    assert!(!written.contains(&master.port.to_string()), "REWRITE forgot the master: {written}");
    replica.must(&["SET", "key", "of the new master"]);
    replica.restart(&[]);
    assert!(scenario::role(&replica).starts_with("master"), "also after a restart");

    // The way back: a master that nobody has asked whether it can be reached.
    write(&other, 50);
    transaction(&replica, ["127.0.0.1", &other.port.to_string()]);
    compare::assert_same(&other, &replica);
    replica.restart(&[]);
    compare::assert_same(&other, &replica);
    std::fs::remove_file(&flagfile).expect("the flagfile can be removed");
}
