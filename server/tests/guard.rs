//! What a replica makes of a master that lost its data, that is silent, or that sends nonsense.

mod support;

use engine::journal::{
    Deadline, Effect, FrameBuilder, HistoryId, Lineage, Payload, Record, ShardSet, Transaction,
};
use engine::types::{DbIndex, Lsn, ShardId, TxId, shard_of};
use replication::handshake::Terms;
use replication::wire::{self, Kind};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::compare;
use support::load;
use support::node::Node;
use support::scenario::{self, QUICK_TIMEOUT};
use support::wait;

/// What `INFO replication` of a node says of `field`.
fn info(node: &Node, field: &str) -> String {
    let text = node.ask(&["INFO", "replication"]).unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim().strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().to_owned()
}

fn size(node: &Node) -> i64 {
    node.must(&["DBSIZE"]).integer().expect("DBSIZE counts")
}

/// The guard opened at the first write to a master that had lost everything.
#[test]
fn a_master_that_lost_its_data_and_took_a_write_does_not_wipe_a_replica() {
    let seed = support::seed();
    let mut master = Node::start("master", 2, &[QUICK_TIMEOUT]);
    let replica = Node::start("replica", 1, &[QUICK_TIMEOUT]);
    let end = Node::start("end", 2, &[QUICK_TIMEOUT]);
    let breaks = ["--break_replication_on_master_restart", QUICK_TIMEOUT];
    let strict = Node::start("strict", 1, &breaks);
    load::fill(&master, 500, seed);
    scenario::follow(&replica, master.port);
    scenario::follow(&strict, master.port);
    scenario::wait_stable(&replica);
    scenario::follow(&end, replica.port);
    compare::assert_same(&master, &end);
    compare::assert_same(&master, &strict);
    let had = size(&replica);

    master.restart(&[]);
    master.must(&["SET", "a", "1"]);
    for node in [&replica, &strict] {
        wait::until("the guard holds", || info(node, "replica_guard_master_keys") == "1");
        assert_eq!(info(node, "replica_guard_holding"), "1");
        assert_eq!(info(node, "replica_guard_own_keys"), had.to_string());
        assert_eq!(size(node), had);
        node.assert_logged("the guard holds", 1);
    }
    assert!(compare::is_stable(&end), "who follows a guarded node goes on");
    assert_eq!(size(&end), had);

    // It asks again: a master that is filled anew is followed.
    load::fill(&master, 1000, seed ^ 1);
    assert!(size(&master) >= had);
    compare::assert_same(&master, &replica);
    compare::assert_same(&master, &end);
    assert_eq!(info(&replica, "replica_guard_holding"), "0");

    // But not by who was told to break instead, unless an operator says so.
    wait::until("it has asked once more", || {
        info(&strict, "replica_guard_master_keys").parse().is_ok_and(|keys: i64| keys >= had)
    });
    assert_eq!(size(&strict), had);
    scenario::follow(&strict, master.port);
    compare::assert_same(&master, &strict);
}

/// Each time that a guarded replica asked, its master counted and logged a full sync.
#[test]
fn a_guard_that_asks_again_and_again_leaves_no_full_sync_in_the_statistics() {
    let mut master = Node::start("master", 2, &[QUICK_TIMEOUT]);
    let replica = Node::start("replica", 1, &[QUICK_TIMEOUT]);
    master.must(&["MSET", "a", "1", "b", "2", "c", "3"]);
    scenario::follow(&replica, master.port);
    compare::assert_same(&master, &replica);
    master.restart(&[]);
    master.must(&["SET", "a", "1"]);
    wait::until("the guard holds", || info(&replica, "replica_guard_holding") == "1");
    let asked = || info(&replica, "psync_attempts").parse::<u64>().unwrap_or_default();
    let before = asked();
    wait::until("it has asked again and again", || asked() >= before + 2);
    let stats = master.ask(&["INFO", "stats"]).expect("statistics");
    for line in ["sync_full:0", "sync_partial_err:0", "sync_partial_ok:0"] {
        assert!(stats.lines().any(|known| known.trim() == line), "{line}: {stats}");
    }
    assert!(!stats.contains("sync_full_reason"), "{stats}");
    assert_eq!(scenario::syncs(&master), (1, 0), "the one of before");
    replica.assert_logged("full sync from", 1);
    scenario::follow(&replica, master.port);
    compare::assert_same(&master, &replica);
    let stats = master.ask(&["INFO", "stats"]).expect("statistics");
    for line in ["sync_full:1", "sync_partial_err:1"] {
        assert!(stats.lines().any(|known| known.trim() == line), "{line}: {stats}");
    }
    assert_eq!(scenario::syncs(&master), (2, 0));
}

/// REPLICAOF overrides the guard; given between two attempts, while the master was down, it was taken for
/// nothing new.
#[test]
fn whoever_says_replicaof_again_while_the_master_is_down_means_it() {
    let mut master = Node::start("master", 2, &[QUICK_TIMEOUT]);
    let replica = Node::start("replica", 1, &[QUICK_TIMEOUT]);
    master.must(&["MSET", "a", "1", "b", "2", "c", "3"]);
    scenario::follow(&replica, master.port);
    compare::assert_same(&master, &replica);
    master.kill();
    wait::until("the link is down", || info(&replica, "master_link_status") == "down");
    let port = master.port.to_string();
    let answer = replica.ask(&["REPLICAOF", "127.0.0.1", &port]).expect("an answer");
    assert!(answer.contains("Already connected"), "{answer}");
    master.restart(&[]);
    master.must(&["SET", "z", "1"]);
    compare::assert_same(&master, &replica);
    assert_eq!((size(&replica), replica.logged("the guard holds")), (1, 0));
}

/// What a hostile master says once the replica is in stable sync.
struct Poison {
    /// Per flow.
    flows: [Vec<u8>; 2],
    control: Vec<u8>,
    /// The replica has said on a flow that it is stable.
    is_stable: AtomicBool,
}

/// A master of two flows whose full sync is empty and right, and that then says what it should not.
fn hostile(poison: Poison) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let poison = Arc::new(poison);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let poison = poison.clone();
            std::thread::spawn(move || answer(stream, &poison));
        }
    });
    port
}

/// A request as words; `None` at the end.
fn request(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let mut number = |sign: char| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let count: usize = line.trim_end().strip_prefix(sign)?.parse().ok()?;
        let mut bytes = vec![0; if sign == '$' { count + 2 } else { 0 }];
        reader.read_exact(&mut bytes).ok()?;
        Some((count, String::from_utf8_lossy(&bytes).trim_end().to_owned()))
    };
    let (count, _) = number('*')?;
    (0..count).map(|_| number('$').map(|(_, word)| word)).collect()
}

fn terms() -> Terms {
    let history = HistoryId([7; 20]);
    Terms {
        full: true,
        reason: "nothing to continue from".to_owned(),
        session: 1,
        chain: vec!["hostile".to_owned()],
        lineage: Lineage::unrelated(history, 2),
        history,
        from: vec![Lsn(0); 2],
        to: None,
        seed: 1,
        walks: 2,
        dbs: 16,
        keys: 0,
    }
}

fn answer(mut stream: TcpStream, poison: &Poison) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let words = request(&mut reader)?;
        let line = words.iter().map(String::as_str).collect::<Vec<_>>();
        let reply = match line.as_slice() {
            ["PING"] => "+PONG\r\n".to_owned(),
            ["REPLCONF", "capa", ..] => {
                format!("*2\r\n$9\r\ndamselfly\r\n:{}\r\n", wire::VERSION)
            }
            ["DFLY", "FOLLOW", ..] => {
                let fields = terms().to_fields();
                let bulk = |field: &String| format!("${}\r\n{field}\r\n", field.len());
                let bulks: String = fields.iter().map(bulk).collect();
                format!("*{}\r\n{bulks}", fields.len())
            }
            _ => "+OK\r\n".to_owned(),
        };
        stream.write_all(reply.as_bytes()).ok()?;
        match line.as_slice() {
            ["DFLY", "FOLLOW", ..] => break,
            ["DFLY", "FLOW", _, index] => {
                return flow(stream, reader, poison, index.parse().ok()?);
            }
            _ => {}
        }
    }
    wait::until("the replica is stable", || poison.is_stable.load(Ordering::Relaxed));
    stream.write_all(&poison.control).ok()?;
    std::io::copy(&mut reader, &mut std::io::sink()).ok()?;
    Some(())
}

/// The full sync, and when the replica says that it is stable, the rest.
fn flow(mut stream: TcpStream, mut reader: impl Read, poison: &Poison, index: usize) -> Option<()> {
    let mut start = Vec::new();
    wire::put_numbers(&mut start, Kind::Start, &[0]);
    wire::put_numbers(&mut start, Kind::CutDone, &[]);
    stream.write_all(&start).ok()?;
    let (mut said, mut piece) = (Vec::new(), [0; 64]);
    let is_acked = |said: &[u8]| {
        let mut at = 0;
        while let Ok(Some((kind, _, used))) = wire::next(&said[at..]) {
            if kind == Kind::Ack {
                return true;
            }
            at += used;
        }
        false
    };
    while !is_acked(&said) {
        let read = reader.read(&mut piece).ok().filter(|read| *read > 0)?;
        said.extend_from_slice(&piece[..read]);
    }
    poison.is_stable.store(true, Ordering::Relaxed);
    stream.write_all(poison.flows.get(index)?).ok()?;
    std::io::copy(&mut reader, &mut std::io::sink()).ok()?;
    Some(())
}

/// A message with a frame that sets a key of flow `flow`.
fn set(flow: usize, transaction: Option<(u64, &[u16])>) -> Vec<u8> {
    let mut keys = (0..).map(|number| format!("key:{number}"));
    let key = keys.find(|key| shard_of(key.as_bytes(), 2).index() == flow).expect("some key fits");
    let mut frame = FrameBuilder::new();
    let effect = Effect::Put { value: Payload::Bytes(b"value"), deadline: Deadline::None };
    frame.push(&Record { db: DbIndex(0), key: key.as_bytes(), effect });
    let frame = match transaction {
        None => frame.to_wire(None),
        Some((id, shards)) => {
            let set = ShardSet::of(shards.iter().map(|shard| ShardId(*shard)));
            frame.to_wire(Some(Transaction { id: TxId(id), shards: set.shards() }))
        }
    };
    let mut message = Vec::new();
    wire::put_bytes(&mut message, Kind::Log, &frame);
    message
}

/// A frame out of order left a unit that was never settled: the link said up, and NO ONE never answered.
#[test]
fn nonsense_from_a_master_ends_the_link_with_a_reason_and_no_one_works_afterwards() {
    let replica = Node::start("replica", 2, &[QUICK_TIMEOUT]);
    let both: &[u16] = &[0, 1];
    let end = |text: &[u8]| {
        let mut message = Vec::new();
        wire::put_bytes(&mut message, Kind::End, text);
        message
    };
    let flows = |zero: &[Vec<u8>], one: &[Vec<u8>]| Poison {
        flows: [zero.concat(), one.concat()],
        control: Vec::new(),
        is_stable: AtomicBool::new(false),
    };
    let rows = [
        ("cross", flows(&[set(0, None), set(0, Some((1, both)))], &[set(1, Some((2, both)))])),
        ("belongs to another flow", flows(&[set(0, None), set(1, None)], &[set(1, None)])),
        ("does not belong to its flow", flows(&[set(0, Some((1, &[1])))], &[])),
        ("damaged on its way here", flows(&[set(0, None), vec![99; 12]], &[])),
        ("the master sent Ack", flows(&[set(0, None), wire::header(Kind::Ack, &[]).to_vec()], &[])),
        ("is not a record", flows(&[], &[wire::header(Kind::Log, &[255]).to_vec(), vec![255]])),
        ("ended the session: it  x", Poison { control: end(b"it\r\nx"), ..flows(&[], &[]) }),
        ("damaged on its way here", Poison { control: vec![0; 12], ..flows(&[], &[]) }),
    ];
    for (why, poison) in rows {
        let before = replica.logged(why);
        scenario::follow(&replica, hostile(poison));
        wait::until(why, || replica.logged(why) > before);
        let mut client = replica.client();
        client.set_reply_limit(Duration::from_secs(20));
        // It may be in the middle of the next full sync: then a refusal is right, but an answer it must be.
        wait::until("NO ONE is taken", || {
            support::client::text(&client.call(&["REPLICAOF", "NO", "ONE"])) == "OK"
        });
        assert_eq!(support::client::text(&client.must(&["SET", "mine", why])), "OK");
    }
}

/// The link flapped for ever where a time-out was shorter than the second between two signs of life.
#[test]
fn a_time_out_below_a_second_on_either_side_leaves_the_link_up() {
    let (short, default) = ("--replication_timeout=700", "--replication_timeout=30000");
    let pairs = [(default, short), (short, default)].map(|(above, below)| {
        let master = Node::start("master", 2, &[above]);
        let replica = Node::start("replica", 1, &[below]);
        master.must(&["SET", "key", "value"]);
        scenario::follow(&replica, master.port);
        scenario::wait_stable(&replica);
        (master, replica)
    });
    // And where it is changed while the link is up.
    let (master, replica) = (Node::start("master", 1, &[]), Node::start("replica", 2, &[]));
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    master.must(&["CONFIG", "SET", "replication_timeout", "700"]);
    for node in [&master, &replica] {
        for (setting, value, bounds) in [
            ("repl-timeout", "0", "1 and 2147483647"),
            ("replication_timeout", "99", "100 and 2147483647000"),
            ("master_connect_timeout_ms", "0", "10 and 4294967295"),
            ("client-query-buffer-limit", "0", "1048576 and 9223372036854775807"),
        ] {
            let refused = node.call(&["CONFIG", "SET", setting, value]);
            let text = support::client::text(&refused);
            assert!(
                text.contains(&format!("argument must be between {bounds} inclusive")),
                "{text}"
            );
        }
    }
    // What is tested is that nothing happens, beyond the time that a silence is borne at the beginning.
    wait::let_pass(Duration::from_secs(7));
    for (master, replica) in pairs.iter().chain([&(master, replica)]) {
        assert_eq!(info(replica, "master_link_reconnects"), "0", "{}", replica.log());
        assert_eq!(scenario::syncs(master), (1, 0));
        master.must(&["SET", "key", "later"]);
        compare::assert_same(master, replica);
        let own = replica.must(&["DEBUG", "REPLICA", "OFFSET"]);
        let own = own.elements().and_then(|both| both.get(1)).expect("a session and offsets");
        assert_eq!(own, &master.must(&["DFLY", "REPLICAOFFSET"]), "a barrier compares them");
    }
}

/// A replica that gives signs of life and takes nothing was kept for ever.
#[test]
fn a_replica_whose_data_stands_still_is_dropped_and_comes_back() {
    let master = Node::start("master", 2, &[QUICK_TIMEOUT]);
    let replica = Node::start("replica", 2, &[QUICK_TIMEOUT]);
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    replica.must(&["DEBUG", "REPLICA", "PAUSE"]);
    master.must(&["SET", "key", "value"]);
    let dropped = "its data did not move";
    wait::until("the master drops it", || master.logged(dropped) > 0);
    replica.must(&["DEBUG", "REPLICA", "RESUME"]);
    compare::assert_same(&master, &replica);
    assert_eq!(scenario::syncs(&master).0, 1, "it continues where it was");
    // It was counted nowhere, and a line of INFO was all that was said.
    let stats = master.ask(&["INFO", "stats"]).unwrap_or_default();
    assert!(stats.contains("replicas_dropped:1\r\n"), "{stats}");
    let warned = master.lines_with(dropped).iter().all(|line| line.contains("WARN"));
    assert!(warned, "{:?}", master.lines_with(dropped));
}

/// INFO said online when everything was sent, long before the replica had it.
#[test]
fn a_replica_is_online_once_it_says_so() {
    let master = Node::start("master", 1, &[]);
    master.must(&["SET", "key", "value"]);
    let mut control = master.client();
    let version = wire::VERSION.to_string();
    let terms = control.must(&["DFLY", "FOLLOW", &version, "fake", "fake", "?"]);
    let session = terms.elements().map(|fields| support::client::text(&fields[2]));
    let session = session.expect("terms name the session");
    let mut flow = TcpStream::connect(("127.0.0.1", master.port)).expect("a flow");
    flow.write_all(format!("DFLY FLOW {session} 0\r\n").as_bytes()).expect("it is asked for");
    let (mut said, mut piece, mut start) = (Vec::new(), [0; 4096], None);
    let mut is_complete = false;
    while !is_complete {
        let read = flow.read(&mut piece).expect("a full sync");
        said.extend_from_slice(&piece[..read]);
        let mut at = "+OK\r\n".len().min(said.len());
        while let Some((kind, payload, used)) = wire::next(&said[at..]).expect("messages") {
            if kind == Kind::Start {
                start = wire::numbers::<1>(payload).ok();
            }
            is_complete |= kind == Kind::CutDone;
            at += used;
        }
    }
    let state = || info(&master, "slave0");
    assert!(state().contains("state=send_bulk,offset=0,"), "{}", state());
    assert!(!state().contains("lag="), "{}", state());
    let complete = "is complete: 1 keys, ";
    assert_eq!(master.logged(complete), 0);
    let mut ack = Vec::new();
    wire::put_numbers(&mut ack, Kind::Ack, &start.expect("the flow has begun"));
    flow.write_all(&ack).expect("it is acknowledged");
    wait::until("it is online", || state().contains("state=online,offset=1,lag=0"));
    master.assert_logged(complete, 1);
}
