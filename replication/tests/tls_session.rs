//! Sessions against each other over byte pipes: who is believed, who is refused, with which words.

mod tls_workshop;

use std::io::IoSlice;
use std::sync::OnceLock;

use replication::tls::{
    AuthClients, ClientTls, Protocols, ServerTls, Session, SessionState, TlsError, TlsSettings,
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
    client: Session,
    server: Session,
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
            client: Session::client(&client, host).expect("a client's session"),
            server: Session::server(&server).expect("a server's session"),
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

    fn say(side: &mut Session, text: &[u8]) {
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
