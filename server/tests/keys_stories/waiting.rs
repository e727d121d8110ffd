//! Clients that wait for keys: who is served, in which order, and what else ends a wait.

use super::support::client::{Client, request, text};
use super::support::node::Node;
use super::support::wait;
use engine::resp::client::encode_command;
use std::thread;
use std::time::{Duration, Instant};

/// A client that has sent a request and waits for its answer.
pub(crate) fn waiting(port: u16, words: &[&str]) -> Client {
    let mut client = Client::connect(port).expect("the node listens");
    send(&mut client, words);
    client
}

fn send(client: &mut Client, words: &[&str]) {
    let mut bytes = Vec::new();
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    encode_command(&mut bytes, &words);
    client.send_raw(&bytes).expect("the node reads");
}

pub(crate) fn answer(client: &mut Client) -> String {
    text(&client.read().expect("an answer"))
}

pub(crate) fn until_blocked(control: &mut Client, count: usize) {
    wait::until(&format!("{count} clients wait"), || {
        let info = text(&control.must(&["INFO", "clients"]));
        info.lines().any(|line| line == format!("blocked_clients:{count}"))
    });
}

/// Gives a key of which some clients wait its elements, in order, in every way in which a list gets any.
fn push_all(port: u16, key: usize, rounds: usize) {
    let mut client = Client::connect(port).expect("the node listens");
    let (name, temporary) = (format!("k{key}"), format!("t{key}"));
    let element = |round: usize| format!("{key}-{round}");
    let mut round = 0;
    while round < rounds {
        let (one, two) = (element(round), element(round + 1));
        let has_two = round + 1 < rounds;
        match fastrand::u8(0..5) {
            0 if has_two => {
                let push = |element: &str| request(&["RPUSH", &name, element]);
                let all = [request(&["MULTI"]), push(&one), push(&two), request(&["EXEC"])];
                client.pipeline(&all);
                round += 2;
            }
            1 if has_two => {
                client.must(&["RPUSH", &temporary, &one, &two]);
                wait::until("nothing stands in the way", || {
                    text(&client.must(&["RENAMENX", &temporary, &name])) == "1"
                });
                round += 2;
            }
            2 => {
                client.must(&["RPUSH", &temporary, &one]);
                client.must(&["LMOVE", &temporary, &name, "LEFT", "RIGHT"]);
                round += 1;
            }
            3 if has_two => {
                client.must(&["RPUSH", &name, &one, &two]);
                round += 2;
            }
            _ => {
                client.must(&["RPUSH", &name, &one]);
                round += 1;
            }
        }
    }
}

/// Keys that are waited for, where a process may open as many files as that takes; else as many as it may.
const KEYS: usize = 1000;

/// Clients at each of them.
const ROUNDS: usize = 10;

/// Who push.
const WRITERS: usize = 16;

/// How many files this process, and those that it starts, may have open from now on.
fn raised_limit_of_open_files() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives both calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

#[test]
fn ten_thousand_who_wait_get_each_element_once_in_the_order_in_which_they_came() {
    // Beside those who wait: other tests of this process, and what a node keeps for itself.
    let keys = (raised_limit_of_open_files().saturating_sub(2000) / ROUNDS).min(KEYS);
    assert!(keys >= 100, "too few files may be open");
    super::support::seed();
    let node = Node::start("waiting", 4, &["--maxclients=10100"]);
    let mut control = Client::connect(node.port).expect("the node listens");
    let mut clients = Vec::new();
    for round in 0..ROUNDS {
        for key in 0..keys {
            let (name, other) = (format!("k{key}"), format!("never{}", key * ROUNDS + round));
            let client = match (key + round) % 5 {
                0 => waiting(node.port, &["BLPOP", &other, &name, "0"]),
                1 => waiting(node.port, &["BLMOVE", &name, &other, "LEFT", "LEFT", "0"]),
                2 => waiting(node.port, &["BLMPOP", "0", "2", &name, &other, "LEFT"]),
                _ => waiting(node.port, &["BLPOP", &name, "100"]),
            };
            clients.push((client, key, round));
        }
        // The next ones come later.
        until_blocked(&mut control, clients.len());
    }
    let port = node.port;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            thread::spawn(move || {
                (writer..keys).step_by(WRITERS).for_each(|key| push_all(port, key, ROUNDS));
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().expect("it pushes"));
    for (client, key, round) in &mut clients {
        let element = format!("{key}-{round}");
        let expected = match (*key + *round) % 5 {
            1 => element,
            _ => format!("k{key} {element}"),
        };
        assert_eq!(answer(client), expected);
    }
    until_blocked(&mut control, 0);
    for key in 0..keys {
        assert_eq!(text(&control.must(&["EXISTS", &format!("k{key}"), &format!("t{key}")])), "0");
    }
}

#[test]
fn a_wait_ends_by_time_by_others_and_with_its_client() {
    let node = Node::start("ends", 2, &[]);
    let mut control = Client::connect(node.port).expect("the node listens");
    // Time.
    let began = Instant::now();
    let mut client = waiting(node.port, &["BLPOP", "a", "b", "0.25"]);
    assert_eq!(answer(&mut client), "(nil)");
    assert!(began.elapsed() >= Duration::from_millis(250));
    // What stands before it is answered before, what stands behind waits.
    send(&mut client, &["SET", "s", "1"]);
    send(&mut client, &["BRPOP", "a", "b", "0"]);
    send(&mut client, &["GET", "s"]);
    assert_eq!(answer(&mut client), "OK");
    until_blocked(&mut control, 1);
    control.must(&["RPUSH", "b", "one"]);
    assert_eq!(answer(&mut client), "b one");
    assert_eq!(answer(&mut client), "1");
    // CLIENT UNBLOCK.
    let id = text(&client.must(&["CLIENT", "ID"]));
    for (how, reply) in
        [("TIMEOUT", "(nil)"), ("ERROR", "UNBLOCKED client unblocked via CLIENT UNBLOCK")]
    {
        send(&mut client, &["BLMOVE", "a", "b", "LEFT", "LEFT", "0"]);
        until_blocked(&mut control, 1);
        let list = text(&control.must(&["CLIENT", "LIST", "ID", &id]));
        assert!(list.contains(" flags=b "), "{list}");
        assert_eq!(text(&control.must(&["CLIENT", "UNBLOCK", &id, how])), "1");
        assert_eq!(answer(&mut client), reply);
        assert_eq!(text(&control.must(&["CLIENT", "UNBLOCK", &id])), "0");
    }
    // A client that has gone, or was killed, takes nothing.
    let gone = waiting(node.port, &["BLPOP", "a", "b", "0"]);
    until_blocked(&mut control, 1);
    drop(gone);
    until_blocked(&mut control, 0);
    send(&mut client, &["BLPOP", "a", "b", "0"]);
    until_blocked(&mut control, 1);
    control.must(&["CLIENT", "KILL", "ID", &id]);
    until_blocked(&mut control, 0);
    assert_eq!(text(&control.must(&["RPUSH", "a", "still here"])), "1");
    assert_eq!(text(&control.must(&["BLPOP", "a", "0"])), "a still here");
}

#[test]
fn a_list_that_comes_in_any_way_wakes_who_waits_for_it() {
    let node = Node::start("wakes", 3, &[]);
    let mut control = Client::connect(node.port).expect("the node listens");
    let mut client = Client::connect(node.port).expect("the node listens");
    let pushes: &[&[&[&str]]] = &[
        &[&["RPUSH", "other", "x"], &["RENAME", "other", "k"]],
        &[&["RPUSH", "other", "x"], &["COPY", "other", "k"], &["DEL", "other"]],
        &[&["SELECT", "1"], &["RPUSH", "k", "x"], &["MOVE", "k", "0"], &["SELECT", "0"]],
        &[&["SELECT", "1"], &["RPUSH", "k", "x"], &["SWAPDB", "0", "1"], &["SELECT", "0"]],
        &[&["MULTI"], &["SET", "k", "text"], &["DEL", "k"], &["LPUSH", "k", "x"], &["EXEC"]],
        &[&["SET", "k", "text"], &["DEL", "k"], &["LPUSH", "k", "x"]],
    ];
    for requests in pushes {
        for wait in [&["BLPOP", "k", "0"][..], &["BLPOP", "never", "other2", "k", "0"]] {
            send(&mut client, wait);
            until_blocked(&mut control, 1);
            for request in *requests {
                control.must(request);
            }
            assert_eq!(answer(&mut client), "k x", "{requests:?}");
            control.must(&["FLUSHALL"]);
        }
    }
    // A transaction that leaves nothing behind wakes nobody; one that waits inside of one does not wait.
    send(&mut client, &["BLPOP", "k", "0"]);
    until_blocked(&mut control, 1);
    let inside = [&["MULTI"][..], &["LPUSH", "k", "1"], &["LPOP", "k"], &["EXEC"]];
    inside.iter().for_each(|words| drop(control.must(words)));
    let inside =
        [&["MULTI"][..], &["BLPOP", "k", "k2", "0"], &["BLMOVE", "k", "k2", "LEFT", "LEFT", "0"]];
    inside.iter().for_each(|words| drop(control.must(words)));
    assert_eq!(text(&control.must(&["EXEC"])), "(nil) (nil)");
    until_blocked(&mut control, 1);
    control.must(&["LPUSH", "k", "2"]);
    assert_eq!(answer(&mut client), "k 2");
}

#[test]
fn who_waits_on_a_node_that_becomes_a_replica_is_told_so() {
    let master = Node::start("master", 1, &[]);
    let node = Node::start("node", 2, &[]);
    let mut control = Client::connect(node.port).expect("the node listens");
    let mut clients: Vec<Client> = [
        &["BLPOP", "a", "0"][..],
        &["BLPOP", "a", "b", "c", "0"],
        &["BLMOVE", "a", "b", "LEFT", "LEFT", "0"],
    ]
    .iter()
    .map(|words| waiting(node.port, words))
    .collect();
    until_blocked(&mut control, clients.len());
    control.must(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    for client in &mut clients {
        assert_eq!(
            answer(client),
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
        );
    }
    until_blocked(&mut control, 0);
    let mut late = Client::connect(node.port).expect("the node listens");
    assert!(text(&late.call(&["BLPOP", "a", "0"])).starts_with("READONLY"));
    // What is served on a master is told to its replica as what was taken.
    let mut waits = waiting(master.port, &["BLPOP", "a", "0"]);
    let mut control = Client::connect(master.port).expect("the node listens");
    until_blocked(&mut control, 1);
    control.must(&["RPUSH", "a", "1", "2", "3"]);
    assert_eq!(answer(&mut waits), "a 1");
    let mut replica = Client::connect(node.port).expect("the node listens");
    wait::until("the replica has it", || text(&replica.call(&["LRANGE", "a", "0", "-1"])) == "2 3");
}

#[test]
fn a_setting_that_is_changed_leaves_those_who_wait_their_ears() {
    // Every CONFIG SET tells the shards which key events are wanted, and forgot who waits.
    let node = Node::start("node", 1, &[]);
    let mut control = node.client();
    let mut waiter = waiting(node.port, &["BLPOP", "q", "0"]);
    until_blocked(&mut control, 1);
    for (setting, value) in [
        ("slowlog-max-len", "100"),
        ("notify-keyspace-events", "KEA"),
        ("notify-keyspace-events", ""),
    ] {
        control.must(&["CONFIG", "SET", setting, value]);
    }
    control.must(&["RPUSH", "q", "v"]);
    assert_eq!(answer(&mut waiter), "q v");
}
