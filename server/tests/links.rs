//! Links whose other end is far, silent or gone, and operators who do not wait for them.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::certificates::Certificates;
use support::client::{Client, request, text};
use support::compare;
use support::load;
use support::node::{Node, free_port};
use support::proxy::Proxy;
use support::scenario;
use support::wait;

/// At once, on a machine that is busy with other tests; the steps that are not waited for would take 20
/// seconds.
const AT_ONCE: Duration = Duration::from_secs(8);

/// Something that answers like a master, until a request holds `stop`: from there on it is silent until
/// it is let go.
struct SilentMaster {
    port: u16,
    /// Connections on which it fell silent.
    silent: Arc<AtomicUsize>,
    go_on: Arc<AtomicBool>,
}

impl SilentMaster {
    fn at(stop: &'static str) -> SilentMaster {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (silent, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, goes) = (silent.clone(), go_on.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (counted, goes) = (counted.clone(), goes.clone());
                thread::spawn(move || converse(&stream, stop, &counted, &goes));
            }
        });
        SilentMaster { port, silent, go_on }
    }

    fn wait_until_silent(&self, connections: usize) {
        wait::until("the link has come so far", || {
            self.silent.load(Ordering::SeqCst) >= connections
        });
    }
}

fn converse(stream: &TcpStream, stop: &str, silent: &AtomicUsize, go_on: &AtomicBool) {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    while let Some(words) = read_request(&mut reader) {
        if words.contains(stop) {
            silent.fetch_add(1, Ordering::SeqCst);
            while !go_on.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
        }
        let reply = match words.as_str() {
            "PING" => "+PONG\r\n",
            words if words.contains("damselfly") => "*2\r\n$9\r\ndamselfly\r\n:2\r\n",
            _ => "+OK\r\n",
        };
        if writer.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<String> {
    let number = |reader: &mut dyn BufRead| -> Option<usize> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.get(1..)?.trim_end().parse().ok()
    };
    let mut words = Vec::new();
    for _ in 0..number(reader)? {
        let mut word = vec![0; number(reader)? + 2];
        reader.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Some(words.join(" "))
}

fn replicaof(node: &Node, port: u16) -> String {
    text(&node.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]))
}

/// `REPLICAOF NO ONE`, which must be done at once.
fn promote_at_once(node: &Node, state: &str) {
    let began = Instant::now();
    let reply = text(&node.call(&["REPLICAOF", "NO", "ONE"]));
    assert_eq!(reply, "OK", "{state}");
    assert!(began.elapsed() < AT_ONCE, "{state}: it took {:?}", began.elapsed());
    assert!(scenario::role(node).starts_with("master"), "{state}");
}

#[test]
fn no_one_takes_effect_at_once_in_every_state_of_the_link() {
    let node = Node::start("node", 2, &[]);
    let mut other = Node::start("other", 1, &[]);
    let follow_untried = |port: u16| {
        let mut client = node.client();
        client.must(&["MULTI"]);
        client.must(&["SLAVEOF", "127.0.0.1", &port.to_string()]);
        client.must(&["EXEC"]);
        let role = scenario::role(&node);
        assert!(role.starts_with("replica 127.0.0.1"), "from EXEC's OK on: {role}");
    };
    // Connected, and never a word.
    for stop in ["PING", "listening-port", "DFLY CHECK", "DFLY FOLLOW"] {
        let silent = SilentMaster::at(stop);
        follow_untried(silent.port);
        silent.wait_until_silent(1);
        promote_at_once(&node, stop);
        // Nor does another master wait for it.
        follow_untried(silent.port);
        silent.wait_until_silent(2);
        let began = Instant::now();
        scenario::follow(&node, other.port);
        assert!(began.elapsed() < AT_ONCE, "{stop}: it took {:?}", began.elapsed());
        scenario::wait_stable(&node);
        promote_at_once(&node, "stable");
    }
    // Nobody there: between two attempts.
    follow_untried(free_port());
    promote_at_once(&node, "pausing");
    // Paused in stable sync, and held by the guard.
    other.must(&["SET", "key", "value"]);
    scenario::follow(&node, other.port);
    compare::assert_same(&other, &node);
    node.must(&["DEBUG", "REPLICA", "PAUSE"]);
    promote_at_once(&node, "paused");
    scenario::follow(&node, other.port);
    compare::assert_same(&other, &node);
    other.restart(&[]);
    wait::until("the guard holds", || node.logged("guard") > 0);
    promote_at_once(&node, "guarded");
    assert_eq!(text(&node.must(&["GET", "key"])), "value");
}

#[test]
fn a_no_one_is_seen_wherever_the_link_stands_just_then() {
    let (master, node) = (Node::start("master", 2, &[]), Node::start("node", 3, &[]));
    load::fill(&master, 200, support::seed());
    for round in 0..40 {
        scenario::follow(&node, master.port);
        // Any moment of connecting, agreeing, dropping what is here, copying, following.
        thread::sleep(Duration::from_micros(fastrand::u64(0..4000)));
        let began = Instant::now();
        let reply = text(&node.call(&["REPLICAOF", "NO", "ONE"]));
        assert!(began.elapsed() < AT_ONCE, "round {round}: it took {:?}", began.elapsed());
        assert!(reply == "OK" || reply.starts_with("LOADING "), "round {round}: {reply}");
    }
}

#[test]
fn another_master_named_while_the_shards_change_is_not_missed() {
    let (first, second) = (Node::start("first", 1, &[]), Node::start("second", 1, &[]));
    let node = Node::start("node", 2, &[]);
    for round in 0..6 {
        // A transaction that keeps its key for a tenth of a second: a session that begins waits for it.
        node.must(&["SETBIT", "big", "134217727", "1"]);
        let (mut busy, mut asking) = (node.client(), node.client());
        let mut requests = vec![support::client::request(&["MULTI"])];
        requests.resize(40, support::client::request(&["BITCOUNT", "big"]));
        busy.pipeline(&requests);
        asking.must(&["MULTI"]);
        asking.must(&["SLAVEOF", "127.0.0.1", &first.port.to_string()]);
        asking.must(&["EXEC"]);
        let busy = thread::spawn(move || busy.call(&["EXEC"]));
        thread::sleep(Duration::from_millis(fastrand::u64(0..60)));
        let began = Instant::now();
        scenario::follow(&node, second.port);
        assert!(began.elapsed() < AT_ONCE, "round {round}: it took {:?}", began.elapsed());
        busy.join().expect("a reply");
        scenario::wait_stable(&node);
        promote_at_once(&node, "stable");
    }
}

#[test]
fn what_was_asked_for_later_stands() {
    let (node, other) = (Node::start("node", 1, &[]), Node::start("other", 1, &[]));
    node.must(&["SET", "key", "value"]);
    let slow = SilentMaster::at("DFLY CHECK");
    let ask_in_background = |slow: &SilentMaster| {
        let (port, admin) = (slow.port, node.admin_port);
        let asking = thread::spawn(move || {
            let mut client = Client::connect(admin).expect("a connection");
            text(&client.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]))
        });
        slow.wait_until_silent(1);
        asking
    };
    let asking = ask_in_background(&slow);
    promote_at_once(&node, "while another REPLICAOF tries its master");
    slow.go_on.store(true, Ordering::SeqCst);
    let reply = asking.join().expect("a reply");
    assert!(reply.starts_with("ERR overtaken"), "{reply}");
    assert!(scenario::role(&node).starts_with("master"), "it is not wiped after the failover");
    assert_eq!(text(&node.must(&["GET", "key"])), "value");

    // Many who ask for the same at once are told the same.
    let asking: Vec<_> = (0..30)
        .map(|_| {
            let mut client = node.client();
            let port = other.port.to_string();
            thread::spawn(move || text(&client.call(&["REPLICAOF", "localhost", &port])))
        })
        .collect();
    for asked in asking {
        let reply = asked.join().expect("a reply");
        assert!(reply.starts_with("OK"), "{reply}");
    }
    scenario::wait_stable(&node);
    assert_eq!(scenario::syncs(&other).0, 1, "one link, not thirty after each other");

    // Also what changes nothing is later than what was asked for before.
    let slow = SilentMaster::at("DFLY CHECK");
    let asking = ask_in_background(&slow);
    let reply = text(&node.call(&["REPLICAOF", "localhost", &other.port.to_string()]));
    assert_eq!(reply, "OK Already connected to specified master");
    slow.go_on.store(true, Ordering::SeqCst);
    let reply = asking.join().expect("a reply");
    assert!(reply.starts_with("ERR overtaken"), "{reply}");
    assert!(scenario::role(&node).contains(&other.port.to_string()), "it follows whom it followed");
}

#[test]
fn a_link_over_a_long_road_comes_back_after_a_cut() {
    let certificates = Certificates::make();
    let mut secured = certificates.flags();
    secured.extend(["--requirepass=secret", "--masterauth=secret"].map(str::to_owned));
    secured.extend(["--no_tls_on_admin_port", "--admin_nopass"].map(str::to_owned));
    for (flags, one_way, shards) in [(vec![], 150, 2), (secured, 70, 2), (vec![], 60, 64)] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let (master, replica) =
            (Node::start("master", shards, &flags), Node::start("replica", 2, &flags));
        let proxy = Proxy::to(master.port);
        scenario::follow(&replica, proxy.port);
        scenario::wait_stable(&replica);
        proxy.delay(Duration::from_millis(one_way));
        proxy.cut();
        master.must(&["SET", "key", "value"]);
        wait::until("the replica has what was written while it was away", || {
            text(&replica.call(&["GET", "key"])) == "value"
        });
        scenario::wait_stable(&replica);
        assert_eq!(scenario::syncs(&master), (1, 1), "{one_way} ms each way, {shards} flows");
    }
}

#[test]
fn a_node_is_never_a_master_before_it_follows_whom_it_was_started_to_follow() {
    let mut node = Node::start("node", 2, &[]);
    let flag = format!("--replicaof=127.0.0.1:{}", free_port());
    for _ in 0..8 {
        node.kill();
        let (port, ended) = (node.port, Arc::new(AtomicBool::new(false)));
        let over = ended.clone();
        let writing = thread::spawn(move || {
            // The first to be served when the port opens.
            let mut replies = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let Ok(mut client) = Client::connect(port) else { continue };
                let requests = [&["ROLE"][..], &["INFO", "replication"], &["SET", "key", "value"]];
                let requests = requests.map(support::client::request);
                if let Ok(answers) = client.try_pipeline(&requests) {
                    replies.extend(answers.iter().map(text));
                    break;
                }
            }
            replies
        });
        node.restart(&[&flag]);
        wait::until("somebody was served", || writing.is_finished());
        ended.store(true, Ordering::SeqCst);
        let replies = writing.join().expect("replies");
        assert!(replies[0].starts_with("replica 127.0.0.1"), "{replies:?}");
        assert!(replies[1].contains("role:slave"), "{replies:?}");
        assert!(replies[2].starts_with("READONLY"), "{replies:?}");
    }
}

#[test]
fn replicaof_says_why_a_master_would_refuse_and_the_old_link_goes_on() {
    let (old, node) = (Node::start("old", 1, &[]), Node::start("node", 2, &[]));
    // A replica whose own master is gone.
    let orphan = format!("--replicaof=127.0.0.1:{}", free_port());
    let middle = Node::start("middle", 1, &[&orphan]);
    let bigger = Node::start("bigger", 1, &["--dbnum=32"]);
    old.must(&["SET", "key", "value"]);
    scenario::follow(&node, old.port);
    compare::assert_same(&old, &node);
    for (master, why) in [(&middle, "not in stable sync itself"), (&bigger, "--dbnum=32")] {
        let reply = replicaof(&node, master.port);
        assert!(reply.starts_with("ERR ") && reply.contains(why), "{reply}");
        assert!(compare::is_stable(&node), "the old link goes on");
    }
    // Where nothing is tried first, it asks again and again, and leaves no session behind.
    let mut client = node.client();
    client.must(&["MULTI"]);
    client.must(&["REPLICAOF", "127.0.0.1", &bigger.port.to_string()]);
    client.must(&["EXEC"]);
    wait::until("it has asked", || node.logged("--dbnum=32") > 0);
    assert_eq!(scenario::syncs(&bigger).0, 0);
    assert_eq!(text(&node.must(&["GET", "key"])), "value", "what it has it keeps");
    scenario::follow(&node, old.port);
    scenario::wait_stable(&node);
    assert_eq!(scenario::syncs(&old).0, 1, "nothing was missed");
}

/// A master that closes each connection at once: how many came.
fn closing_master() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let came = Arc::new(AtomicUsize::new(0));
    let counted = came.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (port, came)
}

#[test]
fn a_replicaof_to_the_same_master_does_not_wait_for_the_next_attempt() {
    let (port, came) = closing_master();
    let node = Node::start("node", 1, &["--master_reconnect_timeout_ms=60000"]);
    node.client().pipeline(&["MULTI", "REPLICAOF", "EXEC"].map(|word| match word {
        "REPLICAOF" => request(&[word, "127.0.0.1", &port.to_string()]),
        word => request(&[word]),
    }));
    // By then the pauses are at their longest: 5 s.
    wait::until("some attempts were made", || came.load(Ordering::SeqCst) >= 7);
    let (before, asked) = (came.load(Ordering::SeqCst), Instant::now());
    let reply = node.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    assert_eq!(text(&reply), "OK Already connected to specified master");
    wait::until("another attempt", || came.load(Ordering::SeqCst) > before);
    let waited = asked.elapsed();
    assert!(waited < Duration::from_secs(4), "the attempt came after {waited:?}");
}

#[test]
fn a_replica_calls_itself_by_a_name_or_an_address_and_by_nothing_else() {
    let master = Node::start("master", 1, &[]);
    let mut client = master.client();
    let plain = "ERR REPLCONF ip-address must be a name or an address";
    let long = "a".repeat(256);
    let rows: [(&[u8], &str); 12] = [
        (b"replica-1.example_net", "OK"),
        (b"192.0.2.1", "OK"),
        (b"[2001:db8::1%eth0]", "OK"),
        (&long.as_bytes()[1..], "OK"),
        (b"", "OK"),
        (b"a b", plain),
        (b"a,state=online", plain),
        (b"a\r\nslave1:ip=b", plain),
        (b"a\0", plain),
        (b"\xff", plain),
        ("n\u{e4}me".as_bytes(), plain),
        (
            long.as_bytes(),
            "ERR REPLCONF ip-address provided by replica instance is too long: 256 bytes",
        ),
    ];
    for (name, expected) in rows {
        let reply = client.call(&[b"REPLCONF".as_slice(), b"ip-address", name]);
        assert_eq!(text(&reply), expected, "{name:?}");
    }
    // What was taken last is shown, and nothing is where it comes from.
    for (name, shown) in [("replica-1.example_net", "replica-1.example_net"), ("", "127.0.0.1")] {
        let mut client = master.client();
        client.must(&["REPLCONF", "listening-port", "7", "ip-address", "before"]);
        client.must(&["REPLCONF", "ip-address", name]);
        client.call(&["REPLCONF", "ip-address", "a b"]);
        let version = replication::wire::VERSION.to_string();
        client.must(&["DFLY", "FOLLOW", &version, "fake", "fake", "?"]);
        let row = format!("ip={shown},port=7,");
        wait::until(&row, || text(&master.must(&["INFO", "replication"])).contains(&row));
        drop(client);
        wait::until("it is gone", || {
            text(&master.must(&["INFO", "replication"])).contains("connected_slaves:0")
        });
    }
}

#[test]
fn a_replicaof_goes_on_when_its_client_leaves_in_the_middle() {
    let node = Node::start("node", 2, &[]);
    for half in [false, true] {
        let silent = SilentMaster::at("DFLY CHECK");
        let port = silent.port.to_string();
        let mut client = Client::connect(node.port).expect("a client");
        let mut words = Vec::new();
        let asked = [b"REPLICAOF".as_slice(), b"127.0.0.1", port.as_bytes()];
        engine::resp::client::encode_command(&mut words, &asked);
        client.send_raw(&words).expect("sent");
        silent.wait_until_silent(1);
        let clients = || text(&node.must(&["INFO", "clients"]));
        if half {
            // It has ended its side: it is answered while that may reach it, and is not kept.
            client.stream().shutdown(std::net::Shutdown::Write).expect("half of it ends");
            assert!(client.read().is_err(), "nothing is said before it is decided");
        } else {
            drop(client);
        }
        wait::until("nobody is left", || clients().contains("connected_clients:1\r"));
        assert!(scenario::role(&node).starts_with("master"), "nothing is decided");
        silent.go_on.store(true, Ordering::SeqCst);
        wait::until("it is carried out", || scenario::role(&node).contains(&port));
        promote_at_once(&node, "nobody waits for it");
    }
    // Who half-closes and is answered soon gets its answer.
    let master = Node::start("master", 1, &[]);
    let mut client = Client::connect(node.port).expect("a client");
    let line = format!("REPLICAOF no one\r\nREPLICAOF 127.0.0.1 {}\r\nROLE\r\n", master.port);
    client.send_raw(line.as_bytes()).expect("sent");
    client.stream().shutdown(std::net::Shutdown::Write).expect("half of it ends");
    assert_eq!(text(&client.read().expect("the first answer")), "OK");
    wait::until("the second is carried out", || {
        scenario::role(&node).contains(&master.port.to_string())
    });
}

/// A damaged byte in a plaintext link was taken in silently: the copy was another one, and the link up.
#[test]
fn a_byte_that_is_damaged_on_its_way_ends_the_link_and_never_gets_into_the_copy() {
    let (master, replica) = (Node::start("master", 2, &[]), Node::start("replica", 1, &[]));
    let below = Node::start("below", 2, &[]);
    let proxy = Proxy::to(master.port);
    let damaged = || replica.logged("was damaged on its way here");
    let value = |mark: &str| format!("{mark}{}", "v".repeat(200));
    for key in 0..200 {
        master.must(&["SET", &format!("key:{key}"), &value("of-a-full-sync")]);
    }
    // So large that it goes in pieces.
    master.must(&["SET", "large", &"in-pieces".repeat(50_000)]);
    for mark in ["of-a-full-sync", "in-pieces"] {
        let before = damaged();
        proxy.damage(mark.as_bytes());
        replica.must(&["REPLICAOF", "NO", "ONE"]);
        scenario::follow(&replica, proxy.port);
        wait::until("the damage is seen", || proxy.has_damaged() && damaged() > before);
        compare::assert_same(&master, &replica);
    }
    scenario::follow(&below, replica.port);
    scenario::wait_stable(&below);
    let (before, partial) = (damaged(), scenario::syncs(&master).1);
    proxy.damage(b"of-a-record");
    master.must(&["SET", "key:7", &value("of-a-record")]);
    wait::until("the damage is seen", || proxy.has_damaged() && damaged() > before);
    wait::until("it goes on where it was", || scenario::syncs(&master).1 > partial);
    master.must(&["SET", "key:8", "later"]);
    compare::assert_same(&master, &replica);
    compare::assert_same(&master, &below);
    assert_eq!(text(&below.must(&["GET", "key:7"])), value("of-a-record"));
}

/// Each was told OK, and each found a replica that could not feed it: they stood so for ever, without a word.
#[test]
fn nodes_that_were_told_to_follow_each_other_at_the_same_moment_say_so() {
    for count in [2, 3] {
        let nodes: Vec<Node> = (0..count).map(|_| Node::start("node", 1, &[])).collect();
        for (place, node) in nodes.iter().enumerate() {
            let above = nodes[(place + 1) % count].port.to_string();
            // Taken at once, and so at the same moment as far as the nodes can tell.
            let mut client = node.client();
            for words in [&["MULTI"][..], &["REPLICAOF", "127.0.0.1", &above], &["EXEC"]] {
                client.must(words);
            }
        }
        let says = |node: &Node| {
            let info = node.ask(&["INFO", "replication"]).unwrap_or_default();
            let mut lines = info.lines();
            // A cycle, where one of them had come so far as to follow before it was asked itself.
            let told = |line: &str| line.contains("in a circle") || line.contains("close a cycle");
            lines.any(|line| line.starts_with("master_link_last_error:") && told(line))
        };
        wait::until("one of them says so", || nodes.iter().any(says));
        let words = ["follow each other in a circle", "would close a cycle"];
        let logged = |node: &Node| words.iter().any(|words| node.logged(words) > 0);
        let logged = nodes.iter().any(logged);
        assert!(logged, "and in its log");
        assert!(nodes.iter().all(|node| !node.log().contains("waiting nodes")), "in words");
        // Not one that had begun with a full sync: what it has is part of a copy.
        let is_promoted = |node: &&Node| node.call(&["REPLICAOF", "NO", "ONE"]).error().is_none();
        let top = wait::until_some("one can be promoted", || nodes.iter().find(is_promoted));
        top.must(&["SET", "key", "value"]);
        for node in nodes.iter().filter(|node| node.port != top.port) {
            wait::until("the others follow", || compare::is_stable(node));
            compare::assert_same(top, node);
        }
    }
}

/// It said `UnknownType(60)`.
#[test]
fn replicaof_of_an_http_server_says_so_in_words() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"<html>400 Bad Request</html>\r\n");
        }
    });
    let said = replicaof(&Node::start("node", 1, &[]), port);
    assert!(said.contains("does not speak RESP: a reply begins with '<'"), "{said}");
}

/// Its master's log said nothing.
#[test]
fn a_replica_that_is_turned_away_leaves_a_line_at_its_master() {
    let master = Node::start("master", 1, &["--requirepass=secret"]);
    let mut client = master.client();
    client.must(&["AUTH", "secret"]);
    for flag in ["--masterauth=", "--masterauth=wrong"] {
        let replica = Node::start("replica", 1, &[flag]);
        for _ in 0..3 {
            let said = replicaof(&replica, master.port);
            assert!(said.contains("NOAUTH") || said.contains("WRONGPASS"), "{said}");
        }
    }
    let lines = master.lines_with("was turned away");
    assert_eq!(lines.len(), 1, "once a minute: {lines:?}");
    assert!(lines[0].contains("a replica at 127.0.0.1:") && lines[0].contains("masterauth"));
    // A client without a password is nobody's replica.
    let other = Node::start("other", 1, &["--requirepass=secret"]);
    assert!(other.call(&["GET", "key"]).error().is_some());
    assert_eq!(other.logged("was turned away"), 0);
}

/// WAIT went on until its time was up, and CLIENT LIST did not show that it waits.
#[test]
fn a_wait_is_ended_by_client_unblock() {
    let node = Node::start("node", 1, &[]);
    let mut operator = node.client();
    let mut unblock = |id: &str, how: &[&str]| {
        operator.must(&[&["CLIENT", "UNBLOCK", id], how].concat()).integer()
    };
    for (how, answer) in [
        (&[][..], "0"),
        (&["TIMEOUT"], "0"),
        (&["ERROR"], "UNBLOCKED client unblocked via CLIENT UNBLOCK"),
    ] {
        let mut client = node.client();
        let id = client.must(&["CLIENT", "ID"]).integer().expect("a number").to_string();
        assert_eq!(unblock(&id, how), Some(0), "it does not wait");
        let waits = thread::spawn(move || client.call(&["WAIT", "1", "0"]));
        wait::until("it is shown to wait", || {
            let list = text(&node.must(&["CLIENT", "LIST", "ID", &id]));
            list.contains(" flags=b ")
        });
        let began = Instant::now();
        assert_eq!(unblock(&id, how), Some(1));
        let reply = waits.join().expect("an answer");
        let said = reply.error().map(|error| String::from_utf8_lossy(error).into_owned());
        let said = said.unwrap_or_else(|| text(&reply));
        assert_eq!(said, answer, "{how:?}");
        assert!(began.elapsed() < AT_ONCE);
        assert_eq!(unblock(&id, how), Some(0), "it is over");
    }
    assert_eq!(unblock("99999", &[]), Some(0));
    assert_eq!(unblock("-1", &[]), Some(0));
}
