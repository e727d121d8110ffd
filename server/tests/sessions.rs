//! Sessions with replicas, from the master's side: they end when their sockets do, one node has one, they
//! can be ended, and neither a large value nor the log of a former master costs what it should not.

mod support;

use replication::wire::{self, Kind};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use support::client::{Client, request, text};
use support::compare;
use support::node::Node;
use support::scenario::{self, QUICK_TIMEOUT};
use support::wait;

fn info(node: &Node, section: &str, field: &str) -> String {
    let all = node.ask(&["INFO", section]).unwrap_or_default();
    let lines = all.lines().filter_map(|line| line.trim().split_once(':'));
    lines
        .into_iter()
        .find(|(name, _)| *name == field)
        .map(|(_, value)| value.to_owned())
        .unwrap_or_default()
}

fn number(node: &Node, section: &str, field: &str) -> u64 {
    info(node, section, field).parse().unwrap_or_default()
}

/// `count` keys of `size` bytes each; the replies that are errors.
fn fill(node: &Node, count: usize, size: usize) -> usize {
    let (mut client, value) = (node.client(), vec![b'v'; size]);
    let mut errors = 0;
    for first in (0..count).step_by(1000) {
        let set = |key: usize| request(&[b"SET", format!("key:{key}").as_bytes(), &value]);
        let sets: Vec<_> = (first..count.min(first + 1000)).map(set).collect();
        errors += client.pipeline(&sets).iter().filter(|reply| text(reply) != "OK").count();
    }
    errors
}

/// A replica's handshake by hand, up to the terms: its control connection and the session.
fn shake_hands(master: &Node, node: &str) -> (Client, String) {
    let mut client = master.client();
    client.must(&["REPLCONF", "capa", "dragonfly"]);
    let version = wire::VERSION.to_string();
    let terms = client.must(&["DFLY", "FOLLOW", &version, node, node, "?"]);
    let session = terms.elements().map(|fields| text(&fields[2]));
    (client, session.expect("terms name the session"))
}

/// Connects a flow by hand.
fn attach(master: &Node, session: &str, flow: usize) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", master.port)).expect("a flow");
    stream.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
    stream.write_all(format!("DFLY FLOW {session} {flow}\r\n").as_bytes()).expect("asked for");
    stream
}

#[test]
fn a_handshake_that_is_given_up_leaves_nobody_behind() {
    let mut master = Node::start("master", 2, &[]);
    let kept: Vec<_> = (0..7).map(|node| shake_hands(&master, &format!("n{node}"))).collect();
    wait::until("all of them", || info(&master, "replication", "connected_slaves") == "7");
    drop(kept);
    let began = Instant::now();
    wait::until("none of them", || info(&master, "replication", "connected_slaves") == "0");
    assert!(began.elapsed() < Duration::from_secs(10), "sooner than any time-out of theirs");
    assert_eq!(number(&master, "stats", "sync_full"), 0, "they have only asked");
    // Nobody is waited for who has nothing yet.
    let waits = shake_hands(&master, "waits");
    let began = Instant::now();
    assert_eq!(master.stop(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    drop(waits);
}

#[test]
fn a_handshake_that_comes_late_does_not_end_the_newer_session() {
    let master = Node::start("master", 1, &[]);
    let connected = || info(&master, "replication", "connected_slaves");
    let runs = || info(&master, "replication", "slave0").contains("full_sync");
    let (_control, session) = shake_hands(&master, "same");
    let flow = attach(&master, &session, 0);
    wait::until("it runs", runs);
    // One that was on its way for long, and that nobody goes on with.
    let late = shake_hands(&master, "same");
    wait::until("both", || connected() == "2");
    drop(late);
    wait::until("one of them", || connected() == "1");
    assert!(runs(), "the one that is at work");
    assert_eq!(master.logged("the same node began"), 0);
    // One node has one session: the last that comes with all its connections.
    let (_waits, older) = shake_hands(&master, "same");
    let (_second, newer) = shake_hands(&master, "same");
    let other = shake_hands(&master, "other");
    wait::until("all of them", || connected() == "4");
    let second = attach(&master, &newer, 0);
    wait::until("the newer one, and that of another node", || connected() == "2");
    // It is said once the replica has been told.
    let said = || master.logged("the same node began another session");
    wait::until("both are ended for that", || said() == 2);
    let mut fed = Vec::new();
    let ended = attach(&master, &older, 0).read_to_end(&mut fed);
    assert!(ended.is_err() || !fed.contains(&b'\0'), "it is not fed any more: {fed:?}");
    wait::until("the newer one goes on", runs);
    assert_eq!((connected().as_str(), number(&master, "stats", "sync_full")), ("2", 2));
    drop((flow, second, other));
}

/// Reads a flow to its end and says when which messages came.
fn listen(mut flow: TcpStream) -> Receiver<(Instant, Kind)> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let (mut said, mut piece, mut at) = (Vec::new(), vec![0; 64 * 1024], "+OK\r\n".len());
        while let Ok(read @ 1..) = flow.read(&mut piece) {
            said.extend_from_slice(&piece[..read]);
            while let Some(Ok(Some((kind, _, used)))) = said.get(at..).map(wire::next) {
                at += used;
                let _ = tell.send((Instant::now(), kind));
            }
            said.drain(..at.min(said.len()));
            at = 0;
        }
    });
    told
}

#[test]
fn signs_of_life_go_out_while_a_full_sync_waits_for_an_open_key() {
    let slow = "--snapshot_egress_limit_bytes=100000";
    let master = Node::start("master", 2, &[slow]);
    assert_eq!(fill(&master, 1000, 1000), 0);
    master.must(&["SETBIT", "big", "80000000", "1"]);
    let (mut control, session) = shake_hands(&master, "fake");
    let flows: Vec<_> = (0..2).map(|flow| listen(attach(&master, &session, flow))).collect();
    // It needs a sign every 50 ms.
    let mut alive = Vec::new();
    wire::put_alive(&mut alive, Duration::from_millis(200));
    control.send_raw(&alive).expect("sent");
    for flow in &flows {
        let items = |(_, kind)| kind == Kind::Items;
        assert!(flow.iter().any(items), "the full sync is under way");
    }
    // A transaction that has all keys open for a second or so.
    let mut client = master.client();
    let mut requests = vec![request(&["MULTI"])];
    requests.extend((0..1000).map(|key| request(&["SET", &format!("key:{key}"), "new"])));
    requests.resize(requests.len() + 600, request(&["BITCOUNT", "big"]));
    client.pipeline(&requests);
    let began = Instant::now();
    let open = std::thread::spawn(move || {
        client.call(&["EXEC"]);
        Instant::now()
    });
    master.must(&["CONFIG", "SET", "snapshot_egress_limit_bytes", "0"]);
    let ended = open.join().expect("an answer");
    let lasted = ended - began;
    for flow in &flows {
        let came: Vec<(Instant, Kind)> = flow.try_iter().collect();
        let within: Vec<_> = came.iter().filter(|(at, _)| *at > began && *at < ended).collect();
        let mut kinds = BTreeMap::new();
        for (_, kind) in &within {
            *kinds.entry(format!("{kind:?}")).or_insert(0) += 1;
        }
        let signs = kinds.get("Ping").copied().unwrap_or_default();
        // A quarter of those that are due: the machine may be busy.
        assert!(signs >= lasted.as_millis() / 200, "{kinds:?} in {lasted:?}");
        let passed = kinds.get("Passed").copied().unwrap_or_default();
        assert!(passed < 50, "a walk that waits says nothing: {kinds:?}");
    }
}

#[test]
fn a_full_sync_that_is_slowed_takes_longer_than_the_time_out_and_succeeds() {
    let flags = ["--replication_timeout=1000", "--snapshot_egress_limit_bytes=100000"];
    let master = Node::start("master", 2, &flags);
    let replica = Node::start("replica", 1, &flags[..1]);
    let proxy = support::proxy::Proxy::to(master.port);
    assert_eq!(fill(&master, 100, 500), 0);
    // A large value passed in one go, and silence followed.
    let value = vec![b'v'; 600_000];
    master.must(&[b"SET".as_slice(), b"huge", &value]);
    scenario::follow(&replica, proxy.port);
    scenario::wait_full_sync(&replica);
    let (began, mut round) = (Instant::now(), 0);
    let mut client = master.client();
    wait::until("the copy is whole", || {
        round += 1;
        // Over both shards: one part waits for the other, which stands behind the large value.
        client.must(&["MSET", "key:1", &round.to_string(), "key:2", "x", "key:3", "y"]);
        let (bytes, seconds) = (proxy.bytes() as f64, began.elapsed().as_secs_f64());
        let most = 2.0 * 100_000.0 * (seconds + 1.0) + 200_000.0;
        assert!(bytes < most, "{bytes} bytes in {seconds} s");
        compare::is_stable(&replica)
    });
    assert!(began.elapsed() > Duration::from_secs(4), "{:?}", began.elapsed());
    compare::assert_same(&master, &replica);
    assert_eq!(scenario::syncs(&master), (1, 0), "{}", replica.log());
    assert_eq!(info(&replica, "replication", "master_link_reconnects"), "0");
}

/// Writes to many shards at once until the node ends; what was acknowledged, by key.
fn write_until_the_end(port: u16, writer: usize) -> BTreeMap<String, u64> {
    let mut acked = BTreeMap::new();
    let Ok(mut client) = Client::connect(port) else { return acked };
    let keys: Vec<String> = (0..6).map(|key| format!("w{writer}:{key}")).collect();
    for round in 1.. {
        let number = round.to_string();
        let set = |key: &String| request(&["SET", key, &number]);
        let requests = match writer % 3 {
            0 => {
                let words = keys.iter().flat_map(|key| [key.as_str(), number.as_str()]);
                vec![request(&std::iter::once("MSET").chain(words).collect::<Vec<_>>())]
            }
            1 => keys.iter().map(set).collect(),
            _ => {
                let mut requests = vec![request(&["MULTI"])];
                requests.extend(keys.iter().map(set));
                requests.push(request(&["EXEC"]));
                requests
            }
        };
        let Ok(replies) = client.try_pipeline(&requests) else { break };
        match (writer % 3, replies.last()) {
            (1, _) => {
                let done = keys.iter().zip(&replies).filter(|(_, reply)| reply.is_ok());
                acked.extend(done.map(|(key, _)| (key.clone(), round)));
                if !replies.iter().all(|reply| reply.is_ok()) {
                    break;
                }
            }
            (_, Some(reply)) if reply.error().is_none() => {
                acked.extend(keys.iter().map(|key| (key.clone(), round)));
            }
            _ => break,
        }
    }
    acked
}

#[test]
fn everything_acknowledged_before_a_stop_is_on_the_last_replica() {
    let mut master = Node::start("master", 4, &["--pin=off"]);
    let replica = Node::start("replica", 2, &["--pin=off", "--replica_guard=false"]);
    for round in 0..6 {
        if round > 0 {
            master.restart(&[]);
        }
        scenario::follow(&replica, master.port);
        scenario::wait_stable(&replica);
        let port = master.port;
        let writers: Vec<_> = (0..6)
            .map(|writer| std::thread::spawn(move || write_until_the_end(port, writer)))
            .collect();
        wait::let_pass(Duration::from_millis(fastrand::u64(30..150)));
        assert_eq!(master.stop(), Some(0));
        let acked: Vec<_> =
            writers.into_iter().map(|writer| writer.join().expect("what was acked")).collect();
        assert!(acked.iter().any(|keys| !keys.is_empty()));
        let mut client = replica.client();
        for (key, number) in acked.iter().flatten() {
            let has = text(&client.must(&["GET", key])).parse::<u64>().unwrap_or_default();
            assert!(has >= *number, "round {round}: {key} is {has}, acknowledged was {number}");
        }
    }
}

#[test]
fn a_node_that_stops_waits_no_longer_when_its_last_replica_has_left() {
    let mut master = Node::start("master", 2, &["--shutdown_timeout=60"]);
    let mut replica = Node::start("replica", 1, &[]);
    scenario::follow(&replica, master.port);
    scenario::wait_follows(&master, &replica);
    replica.freeze();
    master.must(&["SET", "k", "v"]);
    master.signal(libc::SIGTERM);
    wait::until("it waits", || master.logged("waiting up to") > 0);
    let began = Instant::now();
    replica.kill();
    assert_eq!(master.stop(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn links_of_replication_are_ended_like_clients_and_come_back_partially() {
    let master = Node::start("master", 2, &[]);
    let replica = Node::start("replica", 2, &[]);
    scenario::follow(&replica, master.port);
    scenario::wait_follows(&master, &replica);
    let mut partial = 0;
    let mut comes_back = || {
        partial += 1;
        wait::until("a partial sync", || number(&master, "stats", "sync_partial_ok") == partial);
        scenario::wait_stable(&replica);
        wait::until("its row", || info(&master, "replication", "slave0").contains("stable_sync"));
    };
    let listed = |node: &Node, class: &str, field: &str| {
        let list = text(&node.must(&["CLIENT", "LIST", "TYPE", class]));
        let word = list.split(' ').find_map(|word| word.strip_prefix(field));
        word.unwrap_or_default().to_owned()
    };
    assert_eq!(listed(&master, "replica", "flags="), "S");
    assert_eq!(listed(&replica, "master", "flags="), "M");
    for class in ["replica", "slave"] {
        assert_eq!(text(&master.must(&["CLIENT", "KILL", "TYPE", class])), "1", "{class}");
        comes_back();
    }
    let id = listed(&master, "replica", "id=");
    assert_eq!(text(&master.must(&["CLIENT", "KILL", "ID", &id])), "1");
    comes_back();
    assert_eq!(text(&master.must(&["CLIENT", "KILL", "ID", &id])), "0", "it is another one now");
    let address = listed(&master, "replica", "addr=");
    assert_eq!(text(&master.must(&["CLIENT", "KILL", "ADDR", &address])), "1");
    comes_back();
    assert_eq!(text(&replica.must(&["CLIENT", "KILL", "TYPE", "master"])), "1");
    comes_back();
    let id = listed(&replica, "master", "id=");
    assert_eq!(text(&replica.must(&["CLIENT", "KILL", "ID", &id])), "1");
    comes_back();
    assert_eq!(text(&master.must(&["CLIENT", "KILL", "TYPE", "master"])), "0");
    assert_eq!(number(&master, "stats", "sync_full"), 1);
}

#[test]
fn a_normal_connection_does_not_end_an_admin_one() {
    let node = Node::start("node", 1, &[]);
    let (mut admin, mut normal) = (node.client(), Client::connect(node.port).expect("a client"));
    let id = text(&admin.must(&["CLIENT", "ID"]));
    assert_eq!(text(&normal.must(&["CLIENT", "KILL", "ID", &id])), "0");
    let id = text(&normal.must(&["CLIENT", "ID"]));
    assert_eq!(text(&admin.must(&["CLIENT", "KILL", "ID", &id])), "1");
    admin.must(&["PING"]);
}

#[test]
fn a_value_above_the_log_costs_no_replica_a_full_sync() {
    let flags = [QUICK_TIMEOUT, "--repl_backlog_size=2mb"];
    let master = Node::start("master", 2, &flags);
    let replica = Node::start("replica", 2, &flags);
    scenario::follow(&replica, master.port);
    scenario::wait_follows(&master, &replica);
    let value = vec![b'v'; 8_000_000];
    let mut client = master.client();
    for round in 0..3 {
        client.must(&[b"SET".as_slice(), b"k", &value]);
        client.must(&["RENAME", "k", "k2"]);
        client.must(&["COPY", "k2", "k3", "REPLACE"]);
        client.must(&["SET", "small", &round.to_string()]);
        compare::wait_caught_up(&master, &replica);
    }
    // Who missed just that one record continues with it.
    replica.must(&["CLIENT", "KILL", "TYPE", "master"]);
    client.must(&[b"SET".as_slice(), b"k4", &value]);
    scenario::wait_follows(&master, &replica);
    compare::assert_same(&master, &replica);
    assert_eq!(number(&master, "stats", "sync_full"), 1);
}

#[test]
fn a_promoted_node_has_the_memory_that_its_master_had() {
    let flags = ["--maxmemory=150mb", "--repl_backlog_size=40mb", "--maxmemory_policy=allkeys-lru"];
    let mut master = Node::start("master", 1, &flags);
    let replica = Node::start("replica", 3, &flags);
    scenario::follow(&replica, master.port);
    scenario::wait_follows(&master, &replica);
    assert_eq!(fill(&master, 40_000, 1000), 0);
    compare::wait_caught_up(&master, &replica);
    // Step by step: a replica that fell out of the log would begin a new one.
    for _ in 0..8 {
        assert_eq!(fill(&master, 10_000, 1000), 0);
        compare::wait_caught_up(&master, &replica);
    }
    // Relays are trimmed ten times a second.
    wait::until("the logs hold the bound of the node, and no more", || {
        (30_000_000..=40 << 20).contains(&number(&replica, "memory", "mem_replication_backlog"))
    });
    master.kill();
    replica.must(&["REPLICAOF", "NO", "ONE"]);
    for _ in 0..2 {
        assert_eq!(fill(&replica, 40_000, 1000), 0, "errors");
    }
    assert_eq!(number(&replica, "stats", "evicted_keys"), 0);
    assert_eq!(text(&replica.must(&["DBSIZE"])), "40000");
    let below =
        |bound: u64| move |node: &Node| number(node, "memory", "mem_replication_backlog") <= bound;
    wait::until("own and relayed logs share the bound", || below(41 << 20)(&replica));
    // The former master's log is let go when nobody wants it.
    replica.must(&["CONFIG", "SET", "repl_backlog_ttl", "1"]);
    wait::until("it is let go", || replica.logged("the former master's journal") > 0);
}

#[test]
fn a_replica_is_shown_where_it_is_reached() {
    let master = Node::start("master", 1, &["--bind=::1,127.0.0.1"]);
    let replica = Node::start("replica", 1, &["--port=0"]);
    let port = master.port.to_string();
    replica.must(&["REPLICAOF", "::1", &port]);
    wait::until("its row", || info(&master, "replication", "slave0").starts_with("ip=::1,"));
    let expected = format!("ip=::1,port={},", replica.admin_port);
    let row = info(&master, "replication", "slave0");
    assert!(row.starts_with(&expected), "{row} instead of {expected}");
}
