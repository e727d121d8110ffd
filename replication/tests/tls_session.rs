//! Sessions against each other over byte pipes: who is believed, who is refused, with which words.

mod tls_workshop;

use std::io::IoSlice;
use std::sync::OnceLock;

use replication::tls::{
    AuthClients, ClientTls, Protocols, ServerTls, SessionState, TlsError, TlsSession, TlsSettings,
};
use tls_workshop::Workshop;

/// All certificates of this test program, made once.
///
/// | name    | signed by | version | name in it                       |
/// |---------|-----------|---------|----------------------------------|
/// | server  | ca        | v1      | CN localhost                     |
/// | replica | ca        | v1      | CN replica                       |
/// | named   | ca        | v3      | SAN db.example.com and addresses |
/// | ...     |           |         | see below                        |
fn shop() -> &'static Workshop {
    static SHOP: OnceLock<Workshop> = OnceLock::new();
    SHOP.get_or_init(|| {
        let shop = Workshop::new();
        shop.authority("ca", "/CN=ca");
        // Another authority of the same name: only its signature tells.
        shop.authority("twin", "/CN=ca");
        shop.authority("foreign", "/CN=foreign");
        shop.certificate("server", "/CN=localhost", "ca");
        shop.certificate("replica", "/O=Works/CN=replica", "ca");
        shop.certificate("shouting", "/CN=LocalHost", "ca");
        let names = "DNS:db.example.com,DNS:*.wild.example.com,IP:127.0.0.1,IP:::1";
        shop.certificate_with_names("named", "/CN=localhost", "ca", names);
        shop.certificate_with_names("named-replica", "/CN=replica", "ca", "DNS:replica");
        // v3 without alternative names, as an extension file makes it.
        shop.write("v3.cnf", "keyUsage=digitalSignature,keyEncipherment\n");
        shop.request("plain-v3", "/CN=localhost", "");
        shop.sign("plain-v3", "ca", "-extfile v3.cnf");
        shop.write("client-only.cnf", "extendedKeyUsage=clientAuth\n");
        shop.request("client-only", "/CN=localhost", "");
        shop.sign("client-only", "ca", "-extfile client-only.cnf");
        shop.write("server-only.cnf", "extendedKeyUsage=serverAuth\n");
        shop.request("server-only", "/CN=localhost", "");
        shop.sign("server-only", "ca", "-extfile server-only.cnf");
        shop.certificate("foreign-server", "/CN=localhost", "foreign");
        shop.certificate_with_names("foreign-v3", "/CN=localhost", "foreign", "DNS:localhost");
        shop.certificate("twin-server", "/CN=localhost", "twin");
        shop.certificate_with_names("twin-v3", "/CN=localhost", "twin", "DNS:localhost");
        shop.authority("own", "/CN=localhost");
        // An authority made by the seed's first step and signed by itself: v1 too.
        shop.request("old-ca", "/CN=old-ca", "");
        shop.openssl(
            "x509 -req -in old-ca-req.pem -signkey old-ca-key.pem -days 365 -out old-ca-cert.pem",
        );
        shop.certificate("old-server", "/CN=localhost", "old-ca");
        shop.certificate_with_names("old-v3", "/CN=other", "old-ca", "DNS:localhost");
        // A certificate that is no authority signs another one.
        shop.certificate("pretender", "/CN=localhost", "named");
        // An intermediate authority, and a server below it.
        shop.write("mid.cnf", "basicConstraints=critical,CA:TRUE\n");
        shop.request("mid", "/CN=mid", "");
        shop.sign("mid", "ca", "-extfile mid.cnf");
        shop.certificate_with_names("below", "/CN=localhost", "mid", "DNS:localhost");
        let mut chain = shop.bytes("below-cert.pem");
        chain.extend(shop.bytes("mid-cert.pem"));
        shop.write("below-cert.pem", chain);
        shop.certificate("below-v1", "/CN=localhost", "mid");
        let mut chain = shop.bytes("below-v1-cert.pem");
        chain.extend(shop.bytes("mid-cert.pem"));
        shop.write("below-v1-cert.pem", chain);
        for (name, curve) in [("ec256", "prime256v1"), ("ec384", "secp384r1")] {
            shop.openssl(&format!("ecparam -name {curve} -genkey -noout -out {name}-key.pem"));
            shop.openssl(&format!(
                "req -new -key {name}-key.pem -out {name}-req.pem -subj /CN=localhost"
            ));
            shop.sign(name, "ca", "");
        }
        shop
    })
}

/// A small generator of piece lengths; its seed is printed with every failure.
struct Pieces {
    random: fastrand::Rng,
    seed: u64,
}

impl Pieces {
    fn new() -> Pieces {
        let fixed = std::env::var("TLS_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = fixed.unwrap_or_else(|| fastrand::u64(..));
        Pieces { random: fastrand::Rng::with_seed(seed), seed }
    }

    /// Cuts some bytes off the front: often a few, sometimes many.
    fn cut(&mut self, pipe: &mut Vec<u8>) -> Vec<u8> {
        let most = if self.random.bool() { 7 } else { 20_000 };
        let length = self.random.usize(1..=most).min(pipe.len());
        pipe.drain(..length).collect()
    }
}

/// A client and a server with the wires between them.
struct Pair {
    client: TlsSession,
    server: TlsSession,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    at_server: Vec<u8>,
    at_client: Vec<u8>,
    pieces: Pieces,
}

impl Pair {
    fn new(client: &TlsSettings, server: &TlsSettings, host: &str) -> Pair {
        let client = ClientTls::load(client, true).expect("settings of the client");
        let server = ServerTls::load(server, true).expect("settings of the server");
        Pair {
            client: TlsSession::client(&client, host).expect("a client's session"),
            server: TlsSession::server(&server).expect("a server's session"),
            to_server: Vec::new(),
            to_client: Vec::new(),
            at_server: Vec::new(),
            at_client: Vec::new(),
            pieces: Pieces::new(),
        }
    }

    /// Moves bytes both ways until nothing moves; the first error of each side.
    fn run(&mut self) -> (Result<(), TlsError>, Result<(), TlsError>) {
        let (mut client, mut server) = (Ok(()), Ok(()));
        loop {
            self.client.take_ciphertext(&mut self.to_server);
            self.server.take_ciphertext(&mut self.to_client);
            if self.to_server.is_empty() && self.to_client.is_empty() {
                return (client, server);
            }
            let piece = self.pieces.cut(&mut self.to_server);
            let fed = self.server.feed(&piece, &mut self.at_server);
            server = server.and(fed.map(|_| ()));
            let piece = self.pieces.cut(&mut self.to_client);
            let fed = self.client.feed(&piece, &mut self.at_client);
            client = client.and(fed.map(|_| ()));
        }
    }

    fn say(side: &mut TlsSession, text: &[u8]) {
        let taken = side.write(&[IoSlice::new(text)]).expect("write plaintext");
        assert_eq!(taken, text.len());
    }
}

/// What should come of a handshake.
#[derive(Clone, Copy)]
enum Expect {
    Open,
    /// Parts of the client's sentence and of the server's; an empty part says nothing.
    Refused(&'static str, &'static str),
}

fn check(what: &str, client: &TlsSettings, server: &TlsSettings, host: &str, expected: Expect) {
    for protocols in [Protocols::Tls12, Protocols::Tls13] {
        let client = TlsSettings { protocols, ..client.clone() };
        let pair = Pair::new(&client, server, host);
        check_pair(&format!("{what}, {protocols:?}"), pair, expected);
    }
}

fn check_pair(what: &str, mut pair: Pair, expected: Expect) {
    let seed = pair.pieces.seed;
    Pair::say(&mut pair.client, b"PING");
    let (client, server) = pair.run();
    match expected {
        Expect::Open => {
            assert_eq!((client, server), (Ok(()), Ok(())), "{what}, seed {seed}");
            assert_eq!(pair.at_server, b"PING", "{what}, seed {seed}");
            assert_eq!(pair.client.state(), SessionState::Open);
            assert_eq!(pair.server.state(), SessionState::Open);
        }
        Expect::Refused(client_part, server_part) => {
            for (side, outcome, part) in
                [("client", client, client_part), ("server", server, server_part)]
            {
                let Err(error) = outcome else {
                    panic!("{what}: the {side} was content, seed {seed}");
                };
                let text = error.to_string();
                assert!(text.contains(part), "{what}: {side} says: {text}");
                assert!(text.starts_with("TLS: "), "{what}: {side} says: {text}");
            }
            assert!(pair.at_server.is_empty(), "{what}: plaintext got through");
        }
    }
}

use Expect::{Open, Refused};

/// The server shows `certificate`; the client believes `authority` and has called `host`.
fn check_master(certificate: &str, authority: &str, host: &str, expected: Expect) {
    let shop = shop();
    let client = shop.settings("", authority);
    let server = shop.settings(certificate, "");
    let what = format!("{certificate} by {authority} as {host}");
    check(&what, &client, &server, host, expected);
}

#[test]
fn a_master_is_believed_when_authority_dates_and_name_are_right() {
    for (certificate, authority, host) in [
        ("server", "ca", "localhost"),
        ("server", "ca", "LOCALHOST"),
        ("shouting", "ca", "localhost"),
        ("plain-v3", "ca", "LocalHost"),
        ("named", "ca", "db.example.com"),
        ("named", "ca", "DB.EXAMPLE.COM."),
        ("named", "ca", "one.wild.example.com"),
        ("named", "ca", "127.0.0.1"),
        ("named", "ca", "::1"),
        ("named", "ca", "[::1]"),
        ("ec256", "ca", "localhost"),
        ("ec384", "ca", "localhost"),
        ("old-server", "old-ca", "localhost"),
        ("old-v3", "old-ca", "localhost"),
        ("own", "own", "localhost"),
        ("below", "ca", "localhost"),
        ("server-only", "ca", "localhost"),
    ] {
        check_master(certificate, authority, host, Open);
    }
}

#[test]
fn a_master_that_is_not_who_it_should_be_is_refused_with_the_reason() {
    // What a server hears differs between the versions; that it hears of it at all is the point.
    let cases: &[(&str, &str, &str, &'static str)] = &[
        ("foreign-server", "ca", "localhost", "unknown authority (CN=foreign)"),
        ("foreign-v3", "ca", "localhost", "unknown authority (CN=foreign)"),
        ("twin-server", "ca", "localhost", "another one of the same name (CN=ca)"),
        ("twin-v3", "ca", "localhost", "another one of the same name (CN=ca)"),
        ("server", "ca", "127.0.0.1", "wrong name: it is for 'localhost' by its CN"),
        ("plain-v3", "ca", "other", "wrong name: it is for 'localhost' by its CN"),
        // Where there are alternative names the CN does not count.
        ("named", "ca", "localhost", "wrong name: it is for 'db.example.com', '*.wild.example.com"),
        ("named", "ca", "a.b.wild.example.com", "wrong name"),
        ("named", "ca", "127.0.0.2", "'127.0.0.1', '::1'"),
        ("old-v3", "old-ca", "other", "wrong name: it is for 'localhost'"),
        ("own", "ca", "localhost", "certificate of 'localhost' is"),
        ("own", "own", "other", "wrong name: it is for 'localhost'"),
        // v1 below an intermediate is not signed directly by a given authority.
        ("below-v1", "ca", "localhost", "unknown authority (CN=mid)"),
        ("pretender", "ca", "localhost", "unknown authority (CN=localhost)"),
        ("pretender", "named", "localhost", "not marked as an authority"),
        ("client-only", "ca", "localhost", "not meant for this side"),
    ];
    for (certificate, authority, host, part) in cases {
        check_master(certificate, authority, host, Refused(part, "the other side refused"));
    }
}

#[test]
fn an_expected_name_replaces_the_host_s() {
    let shop = shop();
    let server = shop.settings("server", "");
    let expecting = |name: &str| TlsSettings {
        replication_expected_name: Some(name.to_owned()),
        ..shop.settings("", "ca")
    };
    check("right", &expecting("LocalHost"), &server, "10.0.0.7", Open);
    let refused = Refused("certificate of 'other' has the wrong name", "refused");
    check("wrong", &expecting("other"), &server, "localhost", refused);
}

#[test]
fn a_client_shows_a_certificate_as_the_server_wants_it() {
    let shop = shop();
    let yes = shop.settings("server", "ca");
    let optional = TlsSettings { auth_clients: Some(AuthClients::Optional), ..yes.clone() };
    let no = TlsSettings { auth_clients: Some(AuthClients::No), ..yes.clone() };
    for name in ["replica", "named-replica", "ec256", "below", "plain-v3", "client-only"] {
        let client = shop.settings(name, "ca");
        check(name, &client, &yes, "localhost", Open);
        check(name, &client, &optional, "localhost", Open);
        check(name, &client, &no, "localhost", Open);
    }
    let nobody = shop.settings("", "ca");
    check("nobody, optional", &nobody, &optional, "localhost", Open);
    check("nobody, no", &nobody, &no, "localhost", Open);
    let pairs = [
        ("", "client certificate", "the client sent no certificate and one is required"),
        ("foreign-server", "refused", "client certificate 'CN=localhost' is signed by an unknown"),
        ("foreign-v3", "refused", "client certificate 'CN=localhost' is signed by an unknown"),
        ("twin-server", "refused", "another one of the same name (CN=ca)"),
        ("twin-v3", "refused", "another one of the same name (CN=ca)"),
        ("below-v1", "refused", "unknown authority (CN=mid)"),
        ("server-only", "refused", "not meant for this side of a connection"),
    ];
    for (name, client_part, server_part) in pairs {
        let client = shop.settings(name, "ca");
        let refused = Refused(client_part, server_part);
        check(&format!("'{name}', yes"), &client, &yes, "localhost", refused);
        if !name.is_empty() {
            check(&format!("'{name}', optional"), &client, &optional, "localhost", refused);
        }
    }
}

fn open_pair() -> Pair {
    let shop = shop();
    let mut pair =
        Pair::new(&shop.settings("replica", "ca"), &shop.settings("server", "ca"), "localhost");
    assert_eq!(pair.run(), (Ok(()), Ok(())), "seed {}", pair.pieces.seed);
    pair
}

#[test]
fn an_open_session_knows_who_the_other_side_is() {
    let pair = open_pair();
    assert_eq!(pair.client.state(), SessionState::Open);
    assert_eq!(pair.client.peer_subject().as_deref(), Some("CN=localhost"));
    assert_eq!(pair.server.peer_subject().as_deref(), Some("CN=replica,O=Works"));
    assert_eq!(pair.client.protocol(), Some("TLSv1.3"));
    assert_eq!(pair.server.cipher(), pair.client.cipher());
    assert_eq!(pair.client.cipher().as_deref(), Some("TLS_AES_256_GCM_SHA384"));
    let shop = shop();
    let client = TlsSettings {
        protocols: Protocols::Tls12,
        ciphers: "ECDHE-RSA-AES128-GCM-SHA256".to_owned(),
        ..shop.settings("", "ca")
    };
    let mut pair = Pair::new(&client, &shop.settings("server", ""), "localhost");
    assert_eq!(pair.client.protocol(), None);
    assert_eq!(pair.run(), (Ok(()), Ok(())));
    assert_eq!(pair.server.protocol(), Some("TLSv1.2"));
    assert_eq!(pair.server.cipher().as_deref(), Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
    assert_eq!(pair.server.peer_subject(), None);
}

#[test]
fn a_megabyte_arrives_whole_however_the_wire_cuts_it() {
    let mut pair = open_pair();
    let seed = pair.pieces.seed;
    let sent: Vec<u8> = (0..1 << 20).map(|_| pair.pieces.random.u8(..)).collect();
    let mut rest = &sent[..];
    let mut refusals = 0;
    while !rest.is_empty() {
        // Three slices of one length or another, as a chunk of the log and its frame would be.
        let end = pair.pieces.random.usize(1..100_000).min(rest.len());
        let (middle, last) = (end / 3, end / 2);
        let slices = [
            IoSlice::new(&rest[..middle]),
            IoSlice::new(&rest[middle..last]),
            IoSlice::new(&rest[last..end]),
        ];
        let taken = pair.server.write(&slices).expect("write plaintext");
        rest = &rest[taken..];
        if taken == end {
            continue;
        }
        // The bound is reached: what waits is about 256 KiB and the records' headers.
        refusals += 1;
        let waiting = pair.server.take_ciphertext(&mut pair.to_client);
        assert!((200_000..300_000).contains(&waiting), "{waiting} bytes wait, seed {seed}");
        assert_eq!(pair.run(), (Ok(()), Ok(())), "seed {seed}");
    }
    assert_eq!(pair.run(), (Ok(()), Ok(())), "seed {seed}");
    assert!(refusals >= 3, "the bound was never felt: {refusals}, seed {seed}");
    assert!(pair.at_client == sent, "what arrived differs, seed {seed}");
}

#[test]
fn records_survive_a_socket_that_takes_a_few_bytes_at_a_time() {
    let mut pair = open_pair();
    let seed = pair.pieces.seed;
    let sent = vec![7; 100_000];
    Pair::say(&mut pair.client, &sent);
    let random = &mut pair.pieces.random;
    let wire = &mut pair.to_server;
    let mut calls = 0;
    while pair.client.wants_write() {
        calls += 1;
        let room = random.usize(0..3000);
        let outcome = pair.client.send_with(|slices| {
            assert!(slices.len() > 1 || calls > 1, "many records go out in one call");
            if room == 0 {
                return Err(std::io::ErrorKind::WouldBlock.into());
            }
            let before = wire.len();
            let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
            wire.extend(bytes.take(room));
            Ok(wire.len() - before)
        });
        match outcome {
            Ok(taken) => assert!(taken <= room, "seed {seed}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    assert_eq!(pair.run(), (Ok(()), Ok(())), "seed {seed}");
    assert!(pair.at_server == sent, "what arrived differs, seed {seed}");
}

#[test]
fn an_end_is_a_farewell_or_an_error() {
    let mut pair = open_pair();
    Pair::say(&mut pair.client, b"last words");
    pair.client.close();
    assert_eq!(pair.client.state(), SessionState::Closed);
    let refused = pair.client.write(&[IoSlice::new(b"more")]).expect_err("after the farewell");
    assert_eq!(refused.to_string(), "TLS: written after the farewell");
    assert_eq!(pair.run(), (Ok(()), Ok(())));
    assert_eq!(pair.at_server, b"last words");
    assert_eq!(pair.server.state(), SessionState::PeerClosed);
    assert_eq!(pair.server.end_of_input(), Ok(()));
    // Half closed: the answer still gets through, and what follows a farewell does not.
    Pair::say(&mut pair.server, b"answer");
    pair.server.close();
    assert_eq!(pair.run(), (Ok(()), Ok(())));
    assert_eq!(pair.at_client, b"answer");
    assert_eq!(pair.server.feed(b"noise", &mut pair.at_server), Ok(0));
    assert_eq!(pair.client.end_of_input(), Ok(()));

    let mut pair = open_pair();
    let cut = pair.server.end_of_input().expect_err("no farewell");
    assert!(cut.to_string().contains("without saying so"), "{cut}");
    assert_eq!(pair.server.state(), SessionState::Failed);
    assert_eq!(pair.server.feed(b"x", &mut pair.at_server), Err(cut), "an error stays");

    let shop = shop();
    let mut pair = Pair::new(&shop.settings("", "ca"), &shop.settings("server", ""), "localhost");
    let silent = pair.client.end_of_input().expect_err("no answer");
    assert!(silent.to_string().contains("does it speak TLS on this port?"), "{silent}");
}

#[test]
fn plain_text_on_either_side_is_called_by_its_name() {
    let shop = shop();
    let fresh = || Pair::new(&shop.settings("", "ca"), &shop.settings("server", ""), "localhost");
    for (plain, shown) in [
        (&b"-ERR Protocol error: invalid length\r\n"[..], "'-ERR Protocol error: invalid length'"),
        (b"-NOAUTH Authentication required.\r\n", "'-NOAUTH Authentication required.'"),
        (b"+OK\r\n", "'+OK'"),
    ] {
        let mut pair = fresh();
        let error = pair.client.feed(plain, &mut pair.at_client).expect_err("plain text");
        let text = error.to_string();
        assert!(text.starts_with("TLS: the other side does not speak TLS"), "{text}");
        assert!(text.contains(shown), "{text}");
    }
    let secret = b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n";
    let mut pair = fresh();
    let error = pair.server.feed(secret, &mut pair.at_server).expect_err("plain text");
    assert_eq!(error.to_string(), "TLS: the client does not speak TLS");
    assert!(pair.at_server.is_empty());
    // Byte by byte it is the same.
    let mut pair = fresh();
    let errors = secret.iter().map(|byte| pair.server.feed(&[*byte], &mut pair.at_server).err());
    assert_eq!(errors.flatten().next(), Some(error));
}

#[test]
fn damage_anywhere_on_the_wire_is_noticed() {
    let mut pair = open_pair();
    let seed = pair.pieces.seed;
    Pair::say(&mut pair.client, &[1; 5000]);
    pair.client.take_ciphertext(&mut pair.to_server);
    let at = pair.pieces.random.usize(5..pair.to_server.len());
    pair.to_server[at] ^= 0x10;
    let (client, server) = pair.run();
    let text = server.expect_err("a damaged record").to_string();
    assert_eq!(text, "TLS: a record was damaged on its way", "byte {at}, seed {seed}");
    let text = client.expect_err("an alert").to_string();
    assert!(text.starts_with("TLS: the other side refused"), "{text}, seed {seed}");
    assert!(pair.at_server.is_empty());
}

#[test]
fn no_received_bytes_make_a_session_panic() {
    let shop = shop();
    let seed = Pieces::new().seed;
    eprintln!("TLS_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..300 {
        let mut pair =
            Pair::new(&shop.settings("replica", "ca"), &shop.settings("server", "ca"), "localhost");
        pair.pieces.random = random.fork();
        // A handshake in which each piece may be damaged, cut short or doubled.
        for _ in 0..random.usize(1..12) {
            pair.client.take_ciphertext(&mut pair.to_server);
            pair.server.take_ciphertext(&mut pair.to_client);
            let mut piece = pair.pieces.cut(&mut pair.to_server);
            damage(&mut random, &mut piece);
            let _ = pair.server.feed(&piece, &mut pair.at_server);
            let mut piece = pair.pieces.cut(&mut pair.to_client);
            damage(&mut random, &mut piece);
            let _ = pair.client.feed(&piece, &mut pair.at_client);
        }
        assert!(pair.at_client.is_empty() && pair.at_server.is_empty());
    }
}

fn damage(random: &mut fastrand::Rng, piece: &mut Vec<u8>) {
    match random.u8(..8) {
        0 if !piece.is_empty() => {
            let at = random.usize(..piece.len());
            piece[at] = random.u8(..);
        }
        1 => piece.truncate(random.usize(..=piece.len())),
        2 => piece.extend_from_within(..),
        _ => {}
    }
}

#[test]
fn sides_that_cannot_agree_say_on_what() {
    let shop = shop();
    let only = |protocols| TlsSettings { protocols, ..shop.settings("server", "ca") };
    let cases = [(Protocols::Tls12, Protocols::Tls13), (Protocols::Tls13, Protocols::Tls12)];
    for (client, server) in cases {
        let pair = Pair::new(&only(client), &only(server), "localhost");
        let refused = Refused("protocol version in common", "no protocol version in common");
        check_pair(&format!("{client:?} with {server:?}"), pair, refused);
    }
    let suite = |name: &str| TlsSettings {
        protocols: Protocols::Tls12,
        ciphers: name.to_owned(),
        ..shop.settings("server", "ca")
    };
    let client = suite("ECDHE-RSA-AES128-GCM-SHA256");
    let pair = Pair::new(&client, &suite("ECDHE-RSA-AES256-GCM-SHA384"), "localhost");
    check_pair("ciphers", pair, Refused("no agreement on ciphers", "no cipher suite in common"));
}

#[test]
fn a_session_moves_to_another_thread_between_two_bytes() {
    let mut pair = open_pair();
    Pair::say(&mut pair.client, b"before and after");
    pair.client.take_ciphertext(&mut pair.to_server);
    let second = pair.to_server.split_off(pair.to_server.len() / 2);
    let first = std::mem::take(&mut pair.to_server);
    let mut server = pair.server;
    let mut got = Vec::new();
    assert_eq!(server.feed(&first, &mut got), Ok(0));
    let thread = std::thread::spawn(move || {
        server.feed(&second, &mut got).expect("the second half");
        got
    });
    assert_eq!(thread.join().expect("the other thread"), b"before and after");
}
