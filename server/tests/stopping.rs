//! Ends that do not come about, are taken back, or are insisted on; and snapshots that others ask for than clients.

mod support;

use support::client::{Client, text};
use support::node::Node;
use support::redis::Redis;
use support::snapshots::info;
use support::{scenario, wait};

/// What SHUTDOWN is answered with; nothing where the connection ends.
fn shutdown(client: &mut Client, words: &[&str]) -> Option<String> {
    client.try_call(&[&["SHUTDOWN"], words].concat()).ok().map(|reply| text(&reply))
}

const REFUSED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";

/// The connection was closed as if it had ended; and an interrupt after that ended it without its data.
#[test]
fn who_cannot_save_says_so_and_goes_on_whoever_asks() {
    let mut node = Node::start("node", 2, &["--dbfilename=dump.rdb"]);
    node.must(&["SET", "a", "1"]);
    let file = node.file("dump.rdb");
    std::fs::create_dir_all(file.join("full")).expect("a directory of that name");
    let mut client = node.client();
    for words in [&[][..], &["SAVE"], &["NOW"], &["NOW", "SAVE"]] {
        assert_eq!(shutdown(&mut client, words).as_deref(), Some(REFUSED), "{words:?}");
        client.must(&["SET", "a", "2"]);
    }
    let refused = || node.logged("not ending, as the data could not be saved");
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGINT] {
        let before = refused();
        node.signal(signal);
        wait::until("it tries and goes on", || refused() > before);
        wait::until("it takes writes", || {
            node.ask(&["SET", "a", "3"]).is_some_and(|reply| reply == "OK")
        });
    }
    assert_eq!(shutdown(&mut client, &["ABORT"]).as_deref(), Some("ERR No shutdown in progress."));
    assert_eq!(shutdown(&mut client, &["FORCE"]), None);
    assert_eq!(node.exit_code(), Some(0));
    node.assert_logged("ending without a snapshot", 1);
}

#[test]
fn an_end_that_waits_for_replicas_can_be_taken_back_or_insisted_on() {
    let flags = ["--pin=off", "--shutdown_timeout=600", "--dbfilename=dump.rdb"];
    let (mut master, replica) =
        (Node::start("master", 1, &flags), Node::start("replica", 1, &["--pin=off"]));
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    replica.freeze();
    master.must(&["SET", "a", "1"]);
    let (mut first, mut second) = (master.client(), master.client());
    first.send_raw(b"SHUTDOWN\r\n").expect("it is taken");
    wait::until("it waits", || master.logged("stopping: waiting up to 600 s") == 1);
    assert!(text(&second.call(&["SET", "a", "2"])).contains("takes no more writes"));
    assert!(text(&second.call(&["PSYNC", "?", "-1"])).starts_with("NOMASTERLINK"));
    assert_eq!(shutdown(&mut second, &["ABORT"]).as_deref(), Some("OK"));
    assert_eq!(text(&first.read().expect("an answer")), REFUSED);
    second.must(&["SET", "a", "2"]);
    assert_eq!(shutdown(&mut second, &["ABORT"]).as_deref(), Some("ERR No shutdown in progress."));
    assert!(!master.file("dump.rdb").exists());
    // An interrupt behind any word to end ends it at once, and leaves nothing half behind.
    let half = master.file(&format!("temp-{}-9.rdb", master.pid()));
    std::fs::write(&half, "REDIS").expect("a file");
    master.signal(libc::SIGTERM);
    wait::until("it waits again", || master.logged("stopping: waiting up to 600 s") == 2);
    master.signal(libc::SIGTERM);
    assert_eq!(second.call(&["GET", "a"]), engine::resp::client::Reply::Bulk(b"2".to_vec()));
    master.signal(libc::SIGINT);
    assert_eq!(master.exit_code(), Some(1));
    assert!(!half.exists() && !master.file("dump.rdb").exists());
}

/// The last snapshot waited for a copy that nobody would have the rest of.
#[test]
fn an_end_does_not_wait_for_a_copy_of_a_follower() {
    let mut node = Node::start("node", 2, &["--dbfilename=dump.rdb"]);
    node.must(&["DEBUG", "POPULATE", "500000", "key", "50"]);
    let mut follower = Client::connect(node.port).expect("the node serves");
    follower.send_raw(b"PSYNC ? -1\r\n").expect("it is taken");
    wait::until("a copy is made", || node.logged("a copy of 500000 keys") == 1);
    assert_eq!(shutdown(&mut node.client(), &["NOW"]), None);
    assert_eq!(node.exit_code(), Some(0));
    node.assert_logged("a copy for Redis replicas ends", 1);
    node.restart(&[]);
    assert_eq!(text(&node.must(&["DBSIZE"])), "500000");
}

/// What was thrown away came back after a crash.
#[test]
fn flushall_is_saved_where_save_asks_for_snapshots() {
    let mut node = Node::start("node", 2, &["--dbfilename=dump.rdb", "--save=3600 1000000"]);
    for (saves, flush) in [("2", &["FLUSHALL", "SYNC"][..]), ("4", &["FLUSHALL"])] {
        node.must(&["SET", "a", "1"]);
        node.must(&["SAVE"]);
        let mut client = node.client();
        client.must(&["MULTI"]);
        client.must(flush);
        client.must(&["EXEC"]);
        wait::until("it is saved", || info(&node, "rdb_saves") == saves);
        assert_eq!(info(&node, "rdb_changes_since_last_save"), "0");
    }
    node.kill();
    node.restart(&[]);
    assert_eq!(text(&node.must(&["DBSIZE"])), "0");
    // Without points, as in Redis, nothing is.
    node.must(&["CONFIG", "SET", "save", ""]);
    node.must(&["SET", "b", "1"]);
    node.must(&["SAVE"]);
    node.must(&["FLUSHALL"]);
    node.kill();
    node.restart(&["--save="]);
    assert_eq!(text(&node.must(&["DBSIZE"])), "1");
}

/// The file of before was the newest, as a name with the time in it is never there yet: what was thrown away came back.
#[test]
fn an_end_without_keys_is_written_where_a_file_says_otherwise() {
    let mut node = Node::start("node", 2, &["--dbfilename=data-{timestamp}.rdb"]);
    node.must(&["SET", "a", "1"]);
    assert_eq!(node.stop(), Some(0));
    node.restart(&[]);
    assert_eq!(text(&node.must(&["GET", "a"])), "1");
    node.must(&["FLUSHALL"]);
    assert_eq!(node.stop(), Some(0));
    node.restart(&[]);
    assert_eq!(text(&node.must(&["DBSIZE"])), "0");
}

/// A file whose name is of a time that has not come yet was loaded instead of what was written after it.
#[test]
fn what_is_written_last_is_loaded_whatever_the_clock_says() {
    let mut node = Node::start("node", 1, &["--dbfilename=data-{timestamp}.rdb"]);
    node.must(&["SET", "a", "1"]);
    node.must(&["SAVE"]);
    let written = std::fs::read_dir(node.file(".")).expect("a directory").flatten();
    let written = written
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|it| it == "rdb"));
    std::fs::rename(written.expect("a file"), node.file("data-2100-01-01T00-00-00.rdb"))
        .expect("it is renamed");
    node.must(&["SET", "a", "2"]);
    node.must(&["DEBUG", "RELOAD"]);
    assert_eq!(text(&node.must(&["GET", "a"])), "2");
    node.must(&["SET", "a", "3"]);
    assert_eq!(node.stop(), Some(0));
    node.restart(&[]);
    assert_eq!(text(&node.must(&["GET", "a"])), "3");
}

/// Libraries of functions were forgotten where there were no keys beside them.
#[test]
fn an_end_without_keys_keeps_libraries_of_functions() {
    let redis = Redis::start(&[]);
    let mut client = redis.client();
    let code = "#!lua name=mine\nredis.register_function('f', function() return 1 end)";
    client.must(&["FUNCTION", "LOAD", code]);
    let payload = client.must(&["FUNCTION", "DUMP"]);
    let payload = payload.bytes().expect("a payload");
    let mut node = Node::start("node", 2, &["--dbfilename=dump.rdb"]);
    node.must(&[b"FUNCTION".as_slice(), b"RESTORE", payload]);
    assert_eq!(node.stop(), Some(0));
    node.restart(&[]);
    assert!(text(&node.must(&["FUNCTION", "LIST"])).contains("mine"));
}

#[test]
fn the_clock_of_snapshots_is_set_while_it_runs_and_shown_with_the_rest() {
    let node = Node::start("node", 1, &["--dbfilename=dump.rdb"]);
    node.must(&["CONFIG", "SET", "snapshot_cron", "0 3 * * mon-fri"]);
    let shown = text(&node.must(&["CONFIG", "GET", "snapshot_cron"]));
    assert_eq!(shown, "snapshot_cron 0 3 * * mon-fri");
    for wrong in ["0 3 * *", "61 * * * *", "0 0 31 2 *"] {
        let reply = text(&node.call(&["CONFIG", "SET", "snapshot_cron", wrong]));
        assert!(reply.starts_with("ERR"), "{wrong}: {reply}");
    }
    assert_eq!(text(&node.must(&["CONFIG", "GET", "snapshot_cron"])), shown);
    node.must(&["SET", "a", "1"]);
    node.must(&["SAVE"]);
    let metrics = {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", node.port)).expect("a port");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("it is taken");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it is answered");
        text
    };
    for line in [
        "dfly_snapshot_in_progress 0",
        "dfly_snapshot_last_status 1",
        "dfly_snapshots_written_total 1",
        "dfly_snapshot_last_seconds ",
        "dfly_snapshot_last_time_seconds ",
    ] {
        assert!(metrics.lines().any(|found| found.starts_with(line)), "{line}: {metrics}");
    }
    assert!(!metrics.contains("\ndfly_snapshot_keys "), "none is under way");
}
