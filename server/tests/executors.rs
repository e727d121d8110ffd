//! What the program does to the machine: its threads sit where they belong, idle it costs nothing, a
//! client that stalls and half-closes costs nothing either, and it starts again and again on one port.

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;
use support::client::text;
use support::node::Node;
use support::{process, scenario, wait};

/// What no idle program takes on any machine, however slow at waking: a thread that spins takes 1.
const SPINS: f64 = 0.25;

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

/// How often an idle node may wake up in a second, all its threads together: its clocks tick some ten
/// times a second and executor (30 to 50 were counted), and a link sends its beats. The count is the
/// program's doing; what a wake-up costs is the machine's, from 50 to 500 us of CPU time.
const IDLE_WAKE_UPS: f64 = 80.0;

#[test]
fn an_idle_pair_sleeps() {
    let (master, replica) = (Node::start("master", 2, &[]), Node::start("replica", 2, &[]));
    master.must(&["SET", "key", "value"]);
    let time = Duration::from_secs(if support::soak() { 20 } else { 4 }) / 2;
    let idle = |what: &str, node: &Node| {
        // The best of a few windows: what the program needs, without what just ended in it.
        let window = || {
            let before = process::wake_ups(node.pid());
            let load = load_over(node.pid(), time);
            ((process::wake_ups(node.pid()) - before) as f64 / time.as_secs_f64(), load)
        };
        let (woken, load) =
            (0..3).map(|_| window()).min_by(|a, b| a.0.total_cmp(&b.0)).expect("three windows");
        println!("{what}: {woken:.0} wake-ups a second, {load:.4} of a CPU");
        assert!(woken < IDLE_WAKE_UPS, "{woken:.0} wake-ups a second, {what}");
        assert!(load < SPINS, "{load:.4} of a CPU, {what}");
    };
    idle("idle alone", &master);
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    idle("idle as a master", &master);
    idle("idle as a replica", &replica);
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
    (&mut stalled.stream()).write_all(&request).expect("requests can be sent");
    stalled.stream().shutdown(Shutdown::Write).expect("a socket can be half-closed");
    // It has begun to answer, so it stands at a full socket now.
    wait::until("replies wait in the socket", || {
        let mut byte = [0; 1];
        stalled.stream().peek(&mut byte).is_ok_and(|read| read > 0)
    });
    let spent = (0..3).map(|_| load_over(node.pid(), Duration::from_secs(1)));
    let spent = spent.fold(f64::MAX, f64::min);
    println!("with a stalled client: {spent:.4} of a CPU");
    assert!(spent < SPINS, "{spent:.4} of a CPU for a client that reads nothing");
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

/// Blocks of 2 MB, or pages of 4 KB where the kernel has no larger ones.
const TOUCHED_AHEAD: u64 = 8;

#[test]
fn memory_that_a_node_grows_into_was_touched_by_a_thread_of_its_own() {
    let node = Node::start("growing", 1, &["--pin=off"]);
    let ahead = || process::first_touches(node.pid(), "ahead");
    let before = ahead();
    for round in 0..20 {
        node.must(&["DEBUG", "POPULATE", "20000", &format!("round{round}"), "1000"]);
    }
    wait::until("blocks were touched ahead", || ahead() >= before + TOUCHED_AHEAD);
    let resident = process::resident_bytes(node.pid());
    node.must(&["FLUSHALL"]);
    wait::until("memory goes back to the system", || {
        process::resident_bytes(node.pid()) < resident / 4
    });
}
