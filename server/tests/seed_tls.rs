//! TLS and the admin port as operators use them: whole command lines, certificates by `openssl`,
//! `redis-cli` as the client. Ports come from the environment or are put in place of the documented
//! ones; the rest of each line runs as it is written.

mod support;
#[path = "../../replication/tests/tls_workshop/mod.rs"]
mod tls_workshop;

use replication::tls::{ClientTls, SessionState, TlsSession};
use server::config::{Config, Start, start};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::node::free_port;
use support::wait;
use tls_workshop::Workshop;

const MASTER: &str = "dragonfly --tls --tls_key_file=server-key.pem --tls_cert_file=server-cert.pem \
                      --tls_ca_cert_file=ca-cert.pem";
const REPLICA: &str = "dragonfly --tls --tls_key_file=replica-client-key.pem \
                       --tls_cert_file=replica-client-cert.pem --tls_ca_cert_file=ca-cert.pem \
                       --tls_replication=true --port 6380";
const CLI: &str = "redis-cli --tls --key ./client-key.pem --cert ./client-cert.pem --cacert \
                   ./ca-cert.pem -p 6380";
const MASTER_WITH_ADMIN: &str = "dragonfly --tls --tls_key_file=server-key.pem --tls_cert_file=server-cert.pem \
     --tls_ca_cert_file=ca-cert.pem -admin_port=6380 --no_tls_on_admin_port=true";
const REPLICA_WITH_ADMIN: &str = "dragonfly --tls --tls_key_file=replica-client-key.pem --tls_cert_file=replica-client-cert.pem \
     --tls_ca_cert_file=ca-cert.pem --port 6381 -admin_port=6382";
/// What a plain client reads on a port that wants TLS.
const NOT_TLS: &str = "Bad TLS header, double check if you enabled TLS for your client.";

/// The program, started by a documented line; killed when dropped.
struct Running {
    child: Child,
    port: u16,
    log: std::path::PathBuf,
}

impl Running {
    /// Runs a line in the workshop. `port` is the main port, which the line may say itself.
    fn start(shop: &Workshop, line: &str, port: u16, variables: &[(&str, &str)]) -> Running {
        let log = shop.path(&format!("log-{port}"));
        let mut command = command(shop, line, variables);
        command.env("DFLY_port", port.to_string());
        command.stderr(File::create(&log).expect("a log file"));
        let child = command.spawn().expect("the program can be started");
        let mut running = Running { child, port, log };
        wait::until_some(&format!("ready: {line}"), || {
            let log = running.log();
            let ended = running.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "{line}: {ended:?}\n{log}");
            log.contains("ready").then_some(())
        });
        running
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&self, signal: i32) {
        // SAFETY: no pointers are passed; the process is our child and not yet waited for.
        let sent = unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        assert_eq!(sent, 0, "signal {signal}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- port {} ---\n{}", self.port, self.log());
        }
    }
}

fn command(shop: &Workshop, line: &str, variables: &[(&str, &str)]) -> Command {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("dragonfly"), "{line}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_damselfly"));
    command.args(words).current_dir(shop.path("."));
    command.env("DFLY_proactor_threads", "1").env("DFLY_pin", "off");
    command.envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs a documented `redis-cli` line with commands on its standard input; what it printed.
fn redis_cli(shop: &Workshop, line: &str, input: &str) -> String {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).current_dir(shop.path("."));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("redis-cli is needed for this test");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(format!("{input}\n").as_bytes()).expect("write to redis-cli");
    drop(stdin);
    let output = child.wait_with_output().expect("redis-cli ends");
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}

/// The documented client line for another port.
fn cli(shop: &Workshop, port: u16, input: &str) -> String {
    redis_cli(shop, &CLI.replace("6380", &port.to_string()), input)
}

fn plain_cli(shop: &Workshop, port: u16, input: &str) -> String {
    redis_cli(shop, &format!("redis-cli -p {port}"), input)
}

/// An authority, and the three pairs of keys that the lines name. 2048 bits, to be quick.
fn shop_with(certify: impl Fn(&Workshop, &str)) -> Workshop {
    let shop = Workshop::new();
    shop.authority("ca", "/CN=ca");
    for name in ["server", "replica-client", "client"] {
        certify(&shop, name);
    }
    shop
}

fn shop() -> Workshop {
    shop_with(|shop, name| shop.certificate(name, "/CN=localhost", "ca"))
}

/// What is written to one node arrives at the other; both through the documented client.
fn check_copies(shop: &Workshop, master: u16, replica: u16) {
    assert_eq!(cli(shop, master, "SET k some-value"), "OK");
    wait::until("the copy has the key", || cli(shop, replica, "GET k") == "some-value");
    assert!(cli(shop, replica, "ROLE").starts_with("replica"));
    assert!(cli(shop, replica, "SET k other").starts_with("READONLY"));
}

/// Bytes that a plain client is answered with.
fn plain_answer(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer and the end");
    answer
}

#[test]
fn the_documented_lines_replicate_over_tls() {
    let shop = Workshop::new();
    shop.openssl(
        "req -x509 -newkey rsa:4096 -nodes -keyout ca-key.pem -out ca-cert.pem -subj /CN=ca",
    );
    for name in ["server", "replica-client", "client"] {
        shop.openssl(&format!(
            "req -newkey rsa:4096 -nodes -keyout {name}-key.pem -out {name}-req.pem \
             -subj /CN=localhost"
        ));
        shop.openssl(&format!(
            "x509 -req -in {name}-req.pem -days 365 -CA ca-cert.pem -CAkey ca-key.pem \
             -CAcreateserial -out {name}-cert.pem"
        ));
    }
    let master = Running::start(&shop, MASTER, free_port(), &[]);
    let port = free_port();
    let line = REPLICA.replace("6380", &port.to_string());
    let replica = Running::start(&shop, &line, port, &[]);
    let order = format!("REPLICAOF LOCALHOST {}", master.port);
    assert_eq!(cli(&shop, replica.port, &order), "OK");
    check_copies(&shop, master.port, replica.port);
    for node in [&master, &replica] {
        let answer = plain_answer(node.port);
        assert!(answer.contains(NOT_TLS), "{answer}");
    }
    // A client without a certificate is not let in.
    let line = format!("redis-cli --tls --cacert ./ca-cert.pem -p {}", master.port);
    let answer = redis_cli(&shop, &line, "GET k");
    assert!(!answer.contains("some-value"), "{answer}");
}

#[test]
fn the_documented_admin_ports_replicate_in_plaintext() {
    let shop = shop();
    let (port, admin) = (free_port(), free_port());
    let line = MASTER_WITH_ADMIN.replace("6380", &admin.to_string());
    let master = Running::start(&shop, &line, port, &[]);
    let (port, own_admin) = (free_port(), free_port());
    let line = REPLICA_WITH_ADMIN
        .replace("6381", &port.to_string())
        .replace("6382", &own_admin.to_string());
    let replica = Running::start(&shop, &line, port, &[]);
    let order = format!("REPLICAOF localhost {admin}");
    assert_eq!(plain_cli(&shop, own_admin, &order), "OK");
    check_copies(&shop, master.port, replica.port);
    for node in [&master, &replica] {
        let answer = plain_answer(node.port);
        assert!(answer.contains(NOT_TLS), "{answer}");
    }
    // The admin port of the replica speaks TLS as well.
    assert_eq!(cli(&shop, own_admin, "GET k"), "some-value");
    drop(replica);

    let (port, own_admin) = (free_port(), free_port());
    let line = REPLICA_WITH_ADMIN
        .replace("6381", &port.to_string())
        .replace("6382", &own_admin.to_string());
    let strict = format!("{line} --admin_plaintext_loopback=false");
    let _replica = Running::start(&shop, &strict, port, &[]);
    let answer = plain_answer(own_admin);
    assert!(answer.contains(NOT_TLS), "{answer}");
    assert_eq!(cli(&shop, own_admin, "PING"), "PONG");
}

#[test]
fn certificates_with_names_and_of_elliptic_curves_replicate_too() {
    let with_names = |shop: &Workshop, name: &str| {
        let names = "DNS:localhost,IP:127.0.0.1";
        shop.certificate_with_names(name, "/CN=anything", "ca", names);
    };
    let elliptic = |shop: &Workshop, name: &str| {
        shop.openssl(&format!("ecparam -name prime256v1 -genkey -noout -out {name}-key.pem"));
        shop.openssl(&format!(
            "req -new -key {name}-key.pem -out {name}-req.pem -subj /CN=localhost"
        ));
        shop.sign(name, "ca", "");
    };
    for (shop, host) in [
        (shop_with(with_names), "LOCALHOST"),
        (shop_with(with_names), "127.0.0.1"),
        (shop_with(elliptic), "LOCALHOST"),
    ] {
        let master = Running::start(&shop, MASTER, free_port(), &[]);
        let port = free_port();
        let line = REPLICA.replace("6380", &port.to_string());
        let replica = Running::start(&shop, &line, port, &[]);
        let order = format!("REPLICAOF {host} {}", master.port);
        assert_eq!(cli(&shop, replica.port, &order), "OK", "{host}");
        check_copies(&shop, master.port, replica.port);
    }
}

#[test]
fn without_an_authority_the_roots_of_the_system_decide() {
    let shop = shop_with(|shop, name| {
        shop.certificate_with_names(name, "/CN=localhost", "ca", "DNS:localhost");
    });
    shop.authority("foreign", "/CN=foreign");
    let password = [("DFLY_requirepass", "secret"), ("DFLY_masterauth", "secret")];
    let master = Running::start(
        &shop,
        "dragonfly --tls --tls_key_file=server-key.pem --tls_cert_file=server-cert.pem",
        free_port(),
        &password,
    );
    for (root, is_good) in [("ca-cert.pem", true), ("foreign-cert.pem", false)] {
        let port = free_port();
        let line = REPLICA
            .replace("6380", &port.to_string())
            .replace("--tls_ca_cert_file=ca-cert.pem", "");
        let root = shop.path(root).display().to_string();
        let mut variables = password.to_vec();
        variables.push(("SSL_CERT_FILE", &root));
        variables.push(("SSL_CERT_DIR", ""));
        let _replica = Running::start(&shop, &line, port, &variables);
        let order = format!("AUTH secret\nREPLICAOF LOCALHOST {}", master.port);
        let answer = cli(&shop, port, &order);
        if is_good {
            assert_eq!(answer, "OK\nOK");
        } else {
            assert!(answer.contains("unknown authority (CN=ca)"), "{answer}");
            assert!(cli(&shop, port, "AUTH secret\nROLE").starts_with("OK\nmaster"));
        }
    }
}

#[test]
fn encrypted_keys_open_with_a_passphrase_from_a_file_or_the_environment() {
    let shop = shop();
    // Without -nodes, as is advised for production.
    shop.openssl(
        "req -newkey rsa:2048 -passout pass:secret -keyout server-key.pem -out server-req.pem \
         -subj /CN=localhost",
    );
    shop.sign("server", "ca", "");
    shop.write("passphrase", "secret\n");
    shop.write("wrong", "guessed\n");
    let with_file = |name: &str| format!("{MASTER} --tls_key_file_pass_file={name}");
    let lines: [(String, &[(&str, &str)]); 2] = [
        (with_file("passphrase"), &[]),
        (MASTER.to_owned(), &[("DFLY_tls_key_file_pass", "secret")]),
    ];
    for (line, variables) in lines {
        let node = Running::start(&shop, &line, free_port(), variables);
        assert_eq!(cli(&shop, node.port, "PING"), "PONG");
        assert!(!node.log().contains("secret"), "{}", node.log());
    }
    check_refused(&shop, MASTER, &["server-key.pem", "is encrypted and no passphrase is given"]);
    check_refused(&shop, &with_file("wrong"), &["server-key.pem", "the passphrase is wrong"]);
}

/// The line must end with exit code 1 and one line that holds all parts.
fn check_refused(shop: &Workshop, line: &str, parts: &[&str]) {
    let port = free_port().to_string();
    let output = command(shop, line, &[("DFLY_port", &port)]).stderr(Stdio::piped()).output();
    let output = output.expect("the program can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{line}: {said}");
    assert_eq!(said.lines().count(), 1, "{line}: {said}");
    assert!(said.starts_with("damselfly: "), "{line}: {said}");
    for part in parts {
        assert!(said.contains(part), "{line}: '{part}' is missing in: {said}");
    }
}

#[test]
fn bad_files_are_refused_at_the_start_with_their_name() {
    let shop = shop();
    shop.openssl("x509 -in server-cert.pem -outform DER -out server-cert.der");
    shop.dated("old", "ca", "20200101000000Z", "20200201000000Z", "");
    let line = |from: &str, to: &str| MASTER.replace(from, to);
    let cases: &[(String, &[&str])] = &[
        (line("server-key.pem", "client-key.pem"), &["client-key.pem", "does not match"]),
        (line("server-key.pem", "absent.pem"), &["absent.pem", "cannot be read"]),
        (line("server-cert.pem", "server-cert.der"), &["server-cert.der", "only .pem files"]),
        (line("=ca-cert.pem", "=server-cert.der"), &["server-cert.der", "only .pem files"]),
        (line("=server-", "=old-"), &["old-cert.pem", "has expired on"]),
        (line("--tls_key_file=server-key.pem", ""), &["--tls_key_file"]),
        (line("--tls_cert_file=server-cert.pem", ""), &["tls_cert_file"]),
        (line("--tls_ca_cert_file=ca-cert.pem", ""), &["no authentication method"]),
        (format!("{MASTER} --tls_auth_clients=perhaps"), &["tls_auth_clients"]),
        (format!("{MASTER} --no_such_flag"), &["no_such_flag"]),
        (format!("{MASTER} --admin_port=many"), &["admin_port"]),
    ];
    for (line, parts) in cases {
        check_refused(&shop, line, parts);
    }
}

#[test]
fn a_master_that_is_not_as_it_should_be_is_refused_in_the_reply() {
    let shop = shop();
    shop.authority("foreign", "/CN=foreign");
    shop.certificate("misnamed", "/CN=somebody.else", "ca");
    shop.certificate("stranger", "/CN=localhost", "foreign");
    let serve = |name: &str| {
        let line = MASTER.replace("=server-", &format!("={name}-"));
        Running::start(&shop, &line, free_port(), &[])
    };
    let (good, misnamed) = (serve("server"), serve("misnamed"));
    let stranger = serve("stranger");
    let plain = Running::start(&shop, "dragonfly", free_port(), &[]);
    let port = free_port();
    let replica = Running::start(&shop, &REPLICA.replace("6380", &port.to_string()), port, &[]);
    assert_eq!(cli(&shop, port, "SET own 1"), "OK");
    for (what, master, part) in [
        ("a foreign certificate", &stranger, "unknown authority (CN=foreign)"),
        ("a wrong name", &misnamed, "wrong name"),
        ("TLS against plaintext", &plain, "TLS"),
    ] {
        let answer = cli(&shop, port, &format!("REPLICAOF LOCALHOST {}", master.port));
        assert!(answer.contains(part), "{what}: {answer}");
        assert!(answer.lines().count() == 1 && !answer.starts_with("OK"), "{what}: {answer}");
        // Link and data stay as they were.
        assert!(cli(&shop, port, "ROLE").starts_with("master"), "{what}");
        assert_eq!(cli(&shop, port, "GET own"), "1", "{what}");
    }
    let answer = plain_cli(&shop, plain.port, &format!("REPLICAOF LOCALHOST {}", good.port));
    assert!(answer.contains("TLS") && !answer.starts_with("OK"), "plaintext against TLS: {answer}");
    assert!(plain_cli(&shop, plain.port, "ROLE").starts_with("master"));
    // The name that the certificate carries can be named.
    let set = "CONFIG SET tls_replication_expected_name somebody.else";
    assert_eq!(cli(&shop, port, set), "OK");
    let order = format!("REPLICAOF LOCALHOST {}", misnamed.port);
    assert_eq!(cli(&shop, port, &order), "OK");
    drop(replica);
}

#[test]
fn a_link_with_tls_never_says_anything_in_plaintext() {
    let shop = shop();
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
    let master = listener.local_addr().expect("an address").port();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut first = [0; 1];
            let read = stream.read(&mut first).unwrap_or(0);
            // What a plain node would say; then the link is broken.
            let _ = stream.write_all(b"-ERR no TLS here\r\n");
            if tell.send(first[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    let port = free_port();
    let line = REPLICA.replace("6380", &port.to_string());
    let line = format!("{line} --replicaof=localhost:{master}");
    let _replica = Running::start(&shop, &line, port, &[]);
    for attempt in 0..3 {
        let first = told.recv_timeout(wait::PATIENCE).expect("the replica tries again");
        assert_eq!(first, [0x16], "attempt {attempt} does not begin with a TLS handshake");
    }
}

/// What `openssl` says about a connection with these words more.
fn s_client(shop: &Workshop, port: u16, more: &str) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-CAfile", "ca-cert.pem"])
        .args(["-cert", "client-cert.pem", "-key", "client-key.pem"])
        .args(more.split_whitespace())
        .current_dir(shop.path("."))
        .stdin(Stdio::null())
        .output()
        .expect("openssl is needed for this test");
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// The subject that a server shows, as `openssl` sees it.
fn subject(shop: &Workshop, port: u16) -> String {
    let text = s_client(shop, port, "");
    let line = text.lines().find(|line| line.starts_with("subject="));
    line.unwrap_or_else(|| panic!("{text}")).replace(' ', "")
}

#[test]
fn certificates_are_read_anew_by_config_set_and_by_sighup() {
    let shop = shop();
    let node = Running::start(&shop, MASTER, free_port(), &[]);
    assert_eq!(subject(&shop, node.port), "subject=CN=localhost");
    shop.certificate("server", "/CN=second", "ca");
    assert_eq!(cli(&shop, node.port, "CONFIG SET tls true"), "OK");
    assert_eq!(subject(&shop, node.port), "subject=CN=second");
    shop.certificate("server", "/CN=third", "ca");
    node.signal(libc::SIGHUP);
    wait::until("SIGHUP is followed", || subject(&shop, node.port) == "subject=CN=third");
    // What cannot be used is refused, and what was in use stays.
    shop.write("server-cert.pem", "broken");
    let answer = cli(&shop, node.port, "CONFIG SET tls true");
    assert!(answer.contains("server-cert.pem"), "{answer}");
    assert_eq!(subject(&shop, node.port), "subject=CN=third");
    node.signal(libc::SIGHUP);
    wait::until("the log says why", || node.log().contains("stay as they were"));
    assert_eq!(subject(&shop, node.port), "subject=CN=third");
}

#[test]
fn a_key_and_its_certificate_may_be_set_one_after_the_other() {
    let shop = shop();
    shop.certificate("second", "/CN=second", "ca");
    let node = Running::start(&shop, MASTER, free_port(), &[]);
    let set = |what: &str| cli(&shop, node.port, &format!("CONFIG SET {what}"));
    // Dragonfly's order. Between the two the old pair is shown.
    assert_eq!(set("tls_key_file second-key.pem"), "OK");
    assert_eq!(subject(&shop, node.port), "subject=CN=localhost");
    assert!(node.log().contains("tls_key_file is set and the old certificate stays in use"));
    assert_eq!(set("tls_cert_file second-cert.pem"), "OK");
    assert_eq!(set("tls true"), "OK");
    assert_eq!(subject(&shop, node.port), "subject=CN=second");
    assert!(cli(&shop, node.port, "INFO tls").contains("tls_cert_file:second-cert.pem"));
    // A pair is judged when it is loaded: as a whole, or by `tls true`.
    let wrong = set("tls_key_file server-key.pem tls_cert_file second-cert.pem");
    assert!(wrong.contains("server-key.pem' does not match"), "{wrong}");
    assert_eq!(set("tls-key-file server-key.pem"), "OK");
    let wrong = set("tls true");
    assert!(wrong.contains("server-key.pem' does not match"), "{wrong}");
    assert_eq!(subject(&shop, node.port), "subject=CN=second");
    // What is wrong beside the pair is refused at once all the same.
    let wrong = set("tls_protocols TLSv1");
    assert!(wrong.contains("TLSv1.2 and TLSv1.3"), "{wrong}");

    let plain = Running::start(&shop, "dragonfly --requirepass=p", free_port(), &[]);
    for what in ["tls_key_file server-key.pem", "tls_cert_file server-cert.pem", "tls true"] {
        let answer = plain_cli(&shop, plain.port, &format!("AUTH p\nCONFIG SET {what}"));
        assert_eq!(answer, "OK\nOK", "{what}");
    }
    assert_eq!(subject(&shop, plain.port), "subject=CN=localhost");
}

#[test]
fn replaced_files_are_taken_up_by_themselves() {
    let shop = shop();
    shop.certificate("next", "/CN=next", "ca");
    let node = Running::start(&shop, MASTER, free_port(), &[]);
    let rename = |from: &str, to: &str| {
        std::fs::rename(shop.path(from), shop.path(to)).expect("a file can be renamed");
    };
    // Half of a pair: the old one stays, and it is said once, however often it is looked at.
    rename("next-cert.pem", "server-cert.pem");
    let said = "the files of TLS have changed, the old ones stay in use";
    wait::until("it is said", || node.log().contains(said));
    assert_eq!(subject(&shop, node.port), "subject=CN=localhost");
    wait::let_pass(Duration::from_millis(4500));
    assert_eq!(node.log().matches(said).count(), 1);
    rename("next-key.pem", "server-key.pem");
    wait::until("the pair is in use", || subject(&shop, node.port) == "subject=CN=next");
    assert!(node.log().contains("the files of TLS have changed and are in use now"));
    // Written in place.
    shop.certificate("server", "/CN=last", "ca");
    wait::until("in use as well", || subject(&shop, node.port) == "subject=CN=last");
}

#[test]
fn a_session_is_taken_up_again_unless_caching_is_off() {
    let shop = shop();
    for (more, word) in [("", "Reused, "), ("--tls_session_caching=no", "New, ")] {
        let node = Running::start(&shop, &format!("{MASTER} {more}"), free_port(), &[]);
        for version in ["-tls1_2", "-tls1_3"] {
            shop.write("sends", "PING\r\nQUIT\r\n");
            let connect = |more: &str| {
                // Tickets of TLS 1.3 come after the handshake: something must be read.
                let mut child = Command::new("openssl")
                    .args(["s_client", "-connect", &format!("127.0.0.1:{}", node.port)])
                    .args(
                        "-CAfile ca-cert.pem -cert client-cert.pem -key client-key.pem".split(' '),
                    )
                    .args(format!("{version} -ign_eof {more}").split_whitespace())
                    .current_dir(shop.path("."))
                    .stdin(File::open(shop.path("sends")).expect("words to send"))
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .expect("openssl is needed for this test");
                let mut told = String::new();
                let mut out = child.stdout.take().expect("a pipe");
                out.read_to_string(&mut told).expect("text");
                child.wait().expect("it ends");
                assert!(told.contains("+PONG"), "{told}");
                told
            };
            let first = connect("-sess_out session.pem");
            assert!(first.contains("New, "), "{version}: {first}");
            if shop.path("session.pem").exists() {
                let second = connect("-sess_in session.pem");
                assert!(second.contains(word), "{more} {version}: {second}");
            } else {
                assert_eq!(word, "New, ", "{version}: no ticket came");
            }
            let _ = std::fs::remove_file(shop.path("session.pem"));
        }
        let info = cli(&shop, node.port, "INFO tls");
        let resumed = info.contains("tls_handshakes_resumed:2");
        assert_eq!(resumed, word == "Reused, ", "{more}: {info}");
    }
}

#[test]
fn versions_and_ciphers_are_those_that_were_chosen() {
    let shop = shop();
    let chosen = "--tls_protocols=TLSv1.2 --tls_ciphers=ECDHE-RSA-AES128-GCM-SHA256";
    let node = Running::start(&shop, &format!("{MASTER} {chosen}"), free_port(), &[]);
    let told = s_client(&shop, node.port, "");
    assert!(told.contains("ECDHE-RSA-AES128-GCM-SHA256"), "{told}");
    assert!(s_client(&shop, node.port, "-tls1_3").contains("alert"));
    let set = "CONFIG SET tls-protocols TLSv1.3 tls-ciphersuites TLS_AES_128_GCM_SHA256";
    assert_eq!(cli(&shop, node.port, set), "OK");
    let told = s_client(&shop, node.port, "");
    assert!(told.contains("TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256"), "{told}");
    assert_eq!(
        cli(&shop, node.port, "CONFIG GET tls-ciphersuites"),
        "tls-ciphersuites\nTLS_AES_128_GCM_SHA256"
    );
    check_refused(&shop, &format!("{MASTER} --tls_ciphers=RC4-MD5"), &["unknown cipher 'RC4-MD5'"]);
    check_refused(&shop, &format!("{MASTER} --tls_protocols=SSLv3"), &["TLSv1.2 and TLSv1.3"]);
}

#[test]
fn a_link_may_have_a_certificate_of_its_own() {
    let shop = shop();
    let master = Running::start(&shop, MASTER, free_port(), &[]);
    let line = "dragonfly --tls_replication --tls_client_key_file=client-key.pem \
                --tls_client_cert_file=client-cert.pem --tls_ca_cert_file=ca-cert.pem";
    let replica = Running::start(&shop, line, free_port(), &[]);
    let order = format!("REPLICAOF LOCALHOST {}", master.port);
    assert_eq!(plain_cli(&shop, replica.port, &order), "OK");
    assert_eq!(cli(&shop, master.port, "SET k some-value"), "OK");
    wait::until("the copy", || plain_cli(&shop, replica.port, "GET k") == "some-value");
    let info = plain_cli(&shop, replica.port, "INFO tls");
    assert!(info.contains("tls_cert_file:client-cert.pem"), "{info}");
    // The authority's end is shown, by both.
    for info in [info, cli(&shop, master.port, "INFO tls")] {
        assert!(info.contains("tls_ca_cert_file:ca-cert.pem"), "{info}");
        assert!(info.contains("tls_ca_cert_subject:CN=ca"), "{info}");
        let mut lines = info.lines();
        let left = lines.find_map(|line| line.strip_prefix("tls_ca_cert_expires_in_seconds:"));
        let days = left.expect(&info).trim().parse::<u64>().expect(&info) / 86_400;
        assert!((364..=365).contains(&days), "{info}");
    }
    let mut stream = TcpStream::connect(("127.0.0.1", replica.port)).expect("connect");
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("write");
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).expect("an answer");
    for file in ["ca-cert.pem", "client-cert.pem"] {
        let sample = format!("dfly_tls_cert_expiry_seconds{{file=\"{file}\"}} 3");
        assert!(metrics.contains(&sample), "{sample}: {metrics}");
    }
}

#[test]
fn what_is_open_to_everybody_is_said_at_the_start() {
    let shop = shop();
    let line = "dragonfly --tls --tls_key_file=server-key.pem --tls_cert_file=server-cert.pem";
    let open = format!("{line} --tls_auth_clients=no");
    let node = Running::start(&shop, &open, free_port(), &[]);
    assert!(node.log().contains("--tls_auth_clients=no without --requirepass"), "{}", node.log());
    let anybody = format!("redis-cli --tls --cacert ./ca-cert.pem -p {}", node.port);
    assert_eq!(redis_cli(&shop, &anybody, "PING"), "PONG");
    check_refused(&shop, line, &["no authentication method"]);
    // The example of the admin port.
    let admin = free_port().to_string();
    let line = MASTER_WITH_ADMIN.replace("6380", &admin);
    let node = Running::start(&shop, &line, free_port(), &[]);
    for part in [admin.as_str(), "--no_tls_on_admin_port", "--admin_bind", "--requirepass"] {
        let log = node.log();
        let warning = log.lines().find(|line| line.contains("the admin port")).unwrap_or_default();
        assert!(warning.contains(part), "{part}: {log}");
    }
}

/// A client's handshake, as far as its last word.
fn shake_hands(tls: &ClientTls, mut stream: TcpStream) {
    let mut session = TlsSession::client(tls, "localhost").expect("a session");
    let (mut out, mut plaintext, mut buffer) = (Vec::new(), Vec::new(), [0; 16 * 1024]);
    loop {
        session.take_ciphertext(&mut out);
        stream.write_all(&out).expect("written");
        out.clear();
        if session.state() == SessionState::Open {
            return;
        }
        let read = stream.read(&mut buffer).expect("an answer");
        session.feed(&buffer[..read], &mut plaintext).expect("a handshake");
    }
}

#[test]
fn fifty_handshakes_at_once_hold_up_nobody() {
    const CLIENTS: usize = 50;
    let shop = Workshop::new();
    shop.authority("ca", "/CN=ca");
    // The costliest key that is in use.
    shop.openssl(
        "req -newkey rsa:4096 -nodes -keyout server-key.pem -out server-req.pem -subj /CN=localhost",
    );
    shop.sign("server", "ca", "");
    let admin = free_port();
    let line = format!(
        "dragonfly --tls --tls_key_file=server-key.pem --tls_cert_file=server-cert.pem \
         --requirepass=p --admin_port={admin} --no_tls_on_admin_port --admin_nopass"
    );
    let node = Running::start(&shop, &line, free_port(), &[]);
    let client = ClientTls::load(&shop.settings("", "ca"), true).expect("settings of the client");
    let connect = |port| TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let streams: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(node.port)).collect();
    let (together, left) = (Barrier::new(CLIENTS + 1), AtomicUsize::new(CLIENTS));
    let mut other = connect(admin);
    other.set_nodelay(true).expect("an option");
    let mut answers = 0;
    std::thread::scope(|scope| {
        for stream in streams {
            scope.spawn(|| {
                together.wait();
                shake_hands(&client, stream);
                left.fetch_sub(1, Ordering::AcqRel);
            });
        }
        together.wait();
        while left.load(Ordering::Acquire) > 0 {
            other.write_all(b"PING\r\n").expect("written");
            other.read_exact(&mut [0; 7]).expect("an answer");
            answers += 1;
        }
    });
    // One after each handshake or two, whatever each of them takes; not one after all of them.
    assert!(answers >= CLIENTS / 4, "{answers} answers during {CLIENTS} handshakes");
}

fn config_of(words: &[String]) -> std::sync::Arc<Config> {
    let arguments = words.iter().map(OsString::from);
    match start(arguments.collect::<Vec<_>>(), Vec::new(), "test") {
        Start::Run(settings) => settings.config(),
        Start::Say { text, .. } => panic!("{words:?}: {text}"),
    }
}

#[test]
fn every_flag_of_the_lines_is_taken_in_every_spelling() {
    let rest = ["--tls_key_file=k.pem", "--tls_cert_file=c.pem", "--tls_ca_cert_file=a.pem"];
    for line in [MASTER, REPLICA, MASTER_WITH_ADMIN, REPLICA_WITH_ADMIN] {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let plain = format!("{:?}", config_of(&words));
        // Flags and values, whichever way the line joins them.
        let mut flags: Vec<(String, Option<String>)> = Vec::new();
        for word in &words[1..] {
            match (word.strip_prefix('-'), flags.last_mut()) {
                (Some(flag), _) => {
                    let flag = flag.trim_start_matches('-');
                    let (name, value) = match flag.split_once('=') {
                        Some((name, value)) => (name, Some(value.to_owned())),
                        None => (flag, None),
                    };
                    flags.push((name.to_owned(), value));
                }
                (None, Some(last)) => last.1 = Some(word.clone()),
                (None, None) => panic!("{line} begins with a value"),
            }
        }
        for dashes in ["-", "--"] {
            for joined in [true, false] {
                let mut spelled = vec!["dragonfly".to_owned()];
                for (name, value) in &flags {
                    let value = value.clone().unwrap_or_else(|| "true".to_owned());
                    match joined {
                        true => spelled.push(format!("{dashes}{name}={value}")),
                        false => spelled.extend([format!("{dashes}{name}"), value]),
                    }
                }
                assert_eq!(format!("{:?}", config_of(&spelled)), plain, "{spelled:?}");
            }
        }
    }
    for (spelling, is_on) in [
        ("--tls", true),
        ("-tls", true),
        ("--tls=true", true),
        ("--tls=false", false),
        ("--notls", false),
    ] {
        let words = ["dragonfly", spelling].into_iter().chain(rest).map(str::to_owned);
        assert_eq!(config_of(&words.collect::<Vec<_>>()).tls, is_on, "{spelling}");
    }
}
