//! What the program does to the machine: its threads sit where they belong, idle it costs nothing, a
//! client that stalls and half-closes costs nothing either, and it starts again and again on one port.

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;
use support::client::text;
use support::node::Node;
use support::{process, scenario, wait};

/// CPU time over a while, as a part of that while.
fn load_over(pid: u32, time: Duration) -> f64 {
    let before = process::cpu_time(pid);
    wait::let_pass(time);
    let spent = process::cpu_time(pid) - before;
    spent.as_secs_f64() / time.as_secs_f64()
}

#[test]
fn pinned_executors_have_a_cpu_each() {
    let cpus = process::allowed_cpus();
    if cpus < 2 {
        return println!("one CPU: nothing to pin");
    }
    let shards = (cpus - 1).min(3) as u16;
    let node = Node::start("pinned", shards, &["--pin=on"]);
    let is_one = |list: &str| list.parse::<usize>().is_ok();
    let mut taken = Vec::new();
    for index in 0..=shards {
        let name = if index == shards { "repl".to_owned() } else { format!("shard-{index}") };
        // Some helper threads of an executor carry its name as well.
        let threads = process::threads(node.pid());
        let lists: Vec<&String> =
            threads.values().filter(|(thread, _)| *thread == name).map(|(_, list)| list).collect();
        let own = lists.iter().find(|list| is_one(list));
        taken.push(own.unwrap_or_else(|| panic!("{name} may run on {lists:?}")).to_string());
    }
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), usize::from(shards) + 1, "each has its own: {taken:?}");
}

#[test]
fn unpinned_executors_may_run_anywhere() {
    let node = Node::start("unpinned", 2, &["--pin=off"]);
    if process::allowed_cpus() < 2 {
        return println!("one CPU: there is no anywhere");
    }
    for (name, list) in process::threads(node.pid()).into_values() {
        assert!(list.parse::<usize>().is_err(), "{name} may only run on {list}");
    }
}

#[test]
fn an_idle_pair_costs_less_than_one_percent() {
    let (master, replica) = (Node::start("master", 2, &[]), Node::start("replica", 2, &[]));
    master.must(&["SET", "key", "value"]);
    let time = Duration::from_secs(if support::soak() { 20 } else { 4 });
    // A busy machine makes every wake-up dearer: the best of a few windows is what the program needs.
    let idle =
        |node: &Node| (0..3).map(|_| load_over(node.pid(), time / 2)).fold(f64::MAX, f64::min);
    let alone = idle(&master);
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    let (of_master, of_replica) = (idle(&master), idle(&replica));
    println!("idle: {alone:.4} alone, {of_master:.4} as master, {of_replica:.4} as replica");
    assert!(alone < 0.01, "{alone:.4} of a CPU while idle");
    assert!(of_master < 0.01, "{of_master:.4} of a CPU as an idle master");
    assert!(of_replica < 0.01, "{of_replica:.4} of a CPU as an idle replica");
}

#[test]
fn a_stalled_client_that_half_closes_burns_no_cpu() {
    let node = Node::start("node", 1, &[]);
    let mut client = node.client();
    let value = vec![b'v'; 1 << 20];
    client.must(&[b"SET".as_slice(), b"big", &value]);
    // Asks for far more than sockets hold, reads nothing, and ends its side.
    let stalled = node.client();
    let mut request = Vec::new();
    for _ in 0..64 {
        request.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n");
    }
    (&mut &*stalled.stream()).write_all(&request).expect("requests can be sent");
    stalled.stream().shutdown(Shutdown::Write).expect("a socket can be half-closed");
    // It has begun to answer, so it stands at a full socket now.
    wait::until("replies wait in the socket", || {
        let mut byte = [0; 1];
        stalled.stream().peek(&mut byte).is_ok_and(|read| read > 0)
    });
    let spent = (0..3).map(|_| load_over(node.pid(), Duration::from_secs(1)));
    let spent = spent.fold(f64::MAX, f64::min);
    println!("with a stalled client: {spent:.4} of a CPU");
    assert!(spent < 0.05, "{spent:.4} of a CPU for a client that reads nothing");
    assert_eq!(text(&client.must(&["PING"])), "PONG", "others are served");
}

#[test]
fn many_restarts_on_one_port_without_a_stall() {
    let restarts = if support::soak() { 200 } else { 20 };
    let mut node = Node::start("node", 2, &[]);
    for round in 0..restarts {
        if round % 2 == 0 {
            assert_eq!(node.stop(), Some(0), "SIGTERM ends it with 0");
        } else {
            node.kill();
        }
        // Fails when it does not serve in time.
        node.restart(&[]);
        let mut client = node.client();
        client.set_reply_limit(Duration::from_secs(10));
        // Keys on both shards, over both executors.
        for index in 0..10 {
            client.must(&["SET", &format!("key:{index}"), "value"]);
        }
        assert_eq!(client.must(&["DBSIZE"]).integer(), Some(10), "round {round}");
    }
}
