//! Connections that are no clients yet, or never become any: each is counted, has a deadline and is
//! shown, whatever it does or does not say.

mod support;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::certificates::Certificates;
use support::client::{Client, text};
use support::node::Node;
use support::wait;

fn start(flags: &[&str]) -> Node {
    Node::start("node", 2, &[&["--pin=off"], flags].concat())
}

fn open(node: &Node, count: usize, first: &[u8]) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(("127.0.0.1", node.port)).expect("a connection");
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
        stream.write_all(first).expect("written");
        stream
    };
    (0..count).map(open).collect()
}

/// A number of INFO CLIENTS, asked over the admin port.
fn clients(node: &Node, field: &str) -> usize {
    let info = node.ask(&["INFO", "clients"]).expect("an answer");
    let mut lines = info.lines();
    let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("{field} in {info}"))
}

/// Everything until the end; a reset is an end too.
fn rest(mut stream: &TcpStream) -> String {
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "it must end by itself");
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// The answer to one request over HTTP, whose connection ends after it.
fn page(port: u16, target: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
    let request = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).expect("written");
    rest(&stream)
}

#[test]
fn two_hundred_silent_connections_end_after_the_timeout() {
    let node = start(&["--timeout=2"]);
    for first in [b"".as_slice(), b"GET /", b"*1\r\n$4\r\nPI", b"GET /livez HTTP/1.1\r\nHost:"] {
        let silent = open(&node, 50, first);
        wait::until("they are seen", || {
            clients(&node, "connected_clients") + clients(&node, "http_connections") > 50
        });
        for stream in &silent {
            assert_eq!(rest(stream), "", "{first:?}");
        }
    }
    wait::until("nobody is left", || clients(&node, "connected_clients") == 1);
    assert_eq!(clients(&node, "http_connections"), 0);
}

#[test]
fn a_timeout_that_is_set_later_is_for_those_who_wait_already() {
    let node = start(&[]);
    let silent = open(&node, 20, b"");
    let mut asked = open(&node, 20, b"PING\r\n");
    asked.iter_mut().for_each(|stream| stream.read_exact(&mut [0; 7]).expect("a reply"));
    let mut blocked = Client::connect(node.port).expect("a connection");
    blocked.send_raw(b"WAIT 1 0\r\n").expect("written");
    wait::until("it waits", || clients(&node, "blocked_clients") == 1);
    node.must(&["CONFIG", "SET", "timeout", "1"]);
    for stream in silent.iter().chain(&asked) {
        assert_eq!(rest(stream), "");
    }
    assert_eq!(clients(&node, "blocked_clients"), 1, "who waits for an answer is not silent");
    // And those who began to wait under a limit are not bound by it when it is gone.
    let mut later = Client::connect(node.port).expect("a connection");
    later.must(&["PING"]);
    node.must(&["CONFIG", "SET", "timeout", "0"]);
    wait::let_pass(Duration::from_millis(1500));
    later.must(&["PING"]);
}

#[test]
fn connections_that_ask_for_pages_count_and_end() {
    let node = start(&["--maxclients=10", "--timeout=2"]);
    let mut scrapers = open(&node, 10, b"GET /livez HTTP/1.1\r\n\r\n");
    for stream in &mut scrapers {
        stream.read_exact(&mut [0; 15]).expect("an answer");
    }
    assert_eq!(clients(&node, "http_connections"), 10);
    assert_eq!(clients(&node, "connected_clients"), 1, "the one that asks");
    assert_eq!(rest(&open(&node, 1, b"PING\r\n")[0]), "-ERR max number of clients reached\r\n");
    let metrics = page(node.admin_port, "/metrics", "");
    assert!(metrics.contains("dfly_other_connections{stage=\"http\"} 11"), "{metrics}");
    for stream in &scrapers {
        assert!(rest(stream).ends_with("OK\n"));
    }
    wait::until("their places are free", || clients(&node, "http_connections") == 0);
    assert_eq!(text(&Client::connect(node.port).expect("room").must(&["PING"])), "PONG");
}

#[test]
fn tls_handshakes_that_never_end_count_and_end() {
    let certificates = Certificates::make();
    let mut flags = certificates.flags();
    let socket = certificates.path("socket");
    flags.push("--maxclients=20".to_owned());
    flags.push("--timeout=2".to_owned());
    flags.push(format!("--unixsocket={socket}"));
    let node = start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let silent = open(&node, 10, b"");
    // The header of a handshake, and nothing of what it promises.
    let begun = open(&node, 10, &[0x16, 3, 1, 2, 0, 1]);
    wait::until("they are seen", || clients(&node, "arriving_connections") == 20);
    assert_eq!(rest(&open(&node, 1, b"")[0]), "", "there is no room");
    for stream in silent.iter().chain(&begun) {
        assert_eq!(rest(stream), "");
    }
    wait::until("their places are free", || clients(&node, "arriving_connections") == 0);
    let metrics = page(node.admin_port, "/metrics", "");
    let failed = "dfly_listener_accept_error_total{reason=\"tls_error\"} 21";
    assert!(metrics.contains(failed), "{metrics}");
    // A Unix socket is plain, as in Redis.
    let mut local = UnixStream::connect(&socket).expect("the socket");
    local.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
    local.write_all(b"PING\r\n").expect("written");
    let mut reply = [0; 7];
    local.read_exact(&mut reply).expect("a reply");
    assert_eq!(&reply, b"+PONG\r\n");
}

#[test]
fn links_of_replicas_do_not_count_for_maxclients() {
    let master = start(&["--maxclients=3"]);
    let mut clients = open(&master, 3, b"SET k v\r\n");
    clients.iter_mut().for_each(|stream| stream.read_exact(&mut [0; 5]).expect("a reply"));
    let replica = start(&[]);
    replica.must(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    let mut copy = Client::connect(replica.port).expect("a connection");
    wait::until("the copy", || text(&copy.call(&["GET", "k"])) == "v");
    for first in [b"PING\r\n".as_slice(), b"GET / HTTP/1.1\r\n\r\n", b"", b"*1\r\n"] {
        let told = rest(&open(&master, 1, first)[0]);
        assert_eq!(told, "-ERR max number of clients reached\r\n", "{first:?}");
    }
    wait::until("only clients count", || self::clients(&master, "connected_clients") == 4);
    assert_eq!(self::clients(&master, "arriving_connections"), 0);
    drop(clients);
    wait::until("their places are free", || {
        Client::connect(master.port).is_ok_and(|mut new| new.try_call(&["PING"]).is_ok())
    });
}

#[test]
fn wrong_requests_for_pages_are_told_so_in_http() {
    let node = start(&[]);
    let check = |target: &str, status: &str| {
        let answer = page(node.port, target, "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target:.40}: {answer}");
    };
    check(&format!("/{}", "a".repeat(3000)), "404");
    check(&format!("/{}", "a".repeat(9000)), "414");
    check("/readyz?max_lag_records=abc", "400");
    check("/readyz?max_lag_records=1", "200");
}

#[test]
fn one_connection_gets_every_page_under_every_name_until_it_says_close() {
    let node = start(&["--requirepass=secret"]);
    let mut stream = open(&node, 1, b"").remove(0);
    let requests = [
        ("GET http://host:6379/livez", "", "200 OK"),
        ("HEAD HTTP://host/metrics", "", "200 OK"),
        ("GET /l%69vez?a=b", "", "200 OK"),
        ("POST /livez", "Content-Length: 2\r\n\r\nhi", "405 Method Not Allowed"),
        ("GET http://host", "", "401 Unauthorized"),
        ("GET /readyz?max%5flag_records=%31", "", "200 OK"),
        ("GET /nowhere", "Connection: close\r\n", "404 Not Found"),
        ("GET /livez", "", "it is closed"),
    ];
    let mut all = String::new();
    for (request, more, _) in requests {
        let end = if more.contains("\r\n\r\n") { "" } else { "\r\n" };
        all.push_str(&format!("{request} HTTP/1.1\r\n{more}{end}"));
    }
    stream.write_all(all.as_bytes()).expect("written");
    let answers = rest(&stream);
    let statuses = answers.lines().filter_map(|line| line.split_once("HTTP/1.1 "));
    let statuses: Vec<&str> = statuses.map(|(_, status)| status).collect();
    let expected: Vec<&str> = requests[..7].iter().map(|(_, _, status)| *status).collect();
    assert_eq!(statuses, expected, "{answers}");
    assert!(answers.contains("Allow: GET, HEAD\r\n"), "{answers}");
}

#[test]
fn the_status_page_asks_for_the_password_and_probes_do_not() {
    let node = start(&["--requirepass=secret", "--admin_nopass"]);
    let status = |port: u16, target: &str, header: &str| {
        page(port, target, header).split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for target in ["/metrics", "/healthz", "/livez", "/readyz"] {
        assert_eq!(status(node.port, target, ""), "200", "{target}");
    }
    assert_eq!(status(node.port, "/", ""), "401");
    assert!(page(node.port, "/", "").contains("WWW-Authenticate: Basic "));
    // default:wrong and default:secret
    let basic = |word: &str| format!("Authorization: Basic {word}\r\n");
    assert_eq!(status(node.port, "/", &basic("ZGVmYXVsdDp3cm9uZw==")), "401");
    assert_eq!(status(node.port, "/", &basic("ZGVmYXVsdDpzZWNyZXQ=")), "200");
    assert_eq!(status(node.admin_port, "/", ""), "200", "no password is asked on the admin port");
}
