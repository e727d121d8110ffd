//! Against the real OpenSSL, over loopback sockets: the seed's own lines, and certificates that our
//! own side would not even load.

mod tls_workshop;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use replication::tls::{ClientTls, ServerTls, SessionState, TlsError, TlsSession, TlsSettings};
use tls_workshop::{Workshop, passphrase};

/// Ends a process of this test when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `openssl` in the workshop and leaves its pipes to the caller.
fn start(shop: &Workshop, line: &str) -> Running {
    let child = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(shop.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is needed for this test");
    Running(child)
}

/// Moves bytes between a session and its socket until `enough` holds.
fn drive(
    session: &mut TlsSession,
    socket: &mut TcpStream,
    got: &mut Vec<u8>,
    enough: impl Fn(&TlsSession, &[u8]) -> bool,
) -> Result<(), TlsError> {
    // Only a broken test waits that long.
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    let mut piece = [0; 4096];
    loop {
        while session.wants_write() {
            let sent = session.send_with(|slices| socket.write_vectored(slices));
            sent.expect("send to openssl");
        }
        if enough(session, got) {
            return Ok(());
        }
        let outcome = match socket.read(&mut piece) {
            Ok(0) => session.end_of_input(),
            Ok(length) => session.feed(&piece[..length], got).map(|_| ()),
            Err(error) => panic!("nothing from openssl: {error}"),
        };
        if let Err(error) = outcome {
            while session.wants_write() {
                // openssl may be gone already; the alert is a courtesy.
                if session.send_with(|slices| socket.write_vectored(slices)).is_err() {
                    break;
                }
            }
            return Err(error);
        }
    }
}

/// Our link to an `openssl s_server` with the certificate of `name`.
fn call_s_server(
    shop: &Workshop,
    name: &str,
    more: &str,
    client: &TlsSettings,
) -> Result<TlsSession, TlsError> {
    let line = format!(
        "s_server -accept 127.0.0.1:0 -cert {name}-cert.pem -key {name}-key.pem -naccept 1 {more}"
    );
    let mut openssl = start(shop, &line);
    let mut lines = BufReader::new(openssl.0.stdout.take().expect("its output")).lines();
    let port = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("ACCEPT ")?.rsplit(':').next()?.parse::<u16>().ok())
        .expect("s_server tells its port");
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("connect to s_server");
    let tls = ClientTls::load(client, true).expect("settings of the client");
    let mut session = TlsSession::client(&tls, "localhost").expect("a session");
    let mut got = Vec::new();
    drive(&mut session, &mut socket, &mut got, |session, _| session.state() == SessionState::Open)?;
    // What we say arrives there: s_server prints it.
    session.write(&[std::io::IoSlice::new(b"from damselfly\n")]).expect("write");
    drive(&mut session, &mut socket, &mut got, |session, _| !session.wants_write())?;
    let heard = lines.map_while(Result::ok).any(|line| line.contains("from damselfly"));
    assert!(heard, "s_server did not print what was sent");
    Ok(session)
}

/// Waits for s_client, but not for one that has given up before it called.
fn accept(listener: &TcpListener, openssl: &mut Running) -> TcpStream {
    listener.set_nonblocking(true).expect("a listener that does not wait");
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false).expect("a socket that waits");
                return socket;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("no call from s_client: {error}"),
        }
        if openssl.0.try_wait().expect("ask for its state").is_some() {
            let mut told = String::new();
            let mut errors = openssl.0.stderr.take().expect("its errors");
            errors.read_to_string(&mut told).expect("what it complains about");
            panic!("s_client gave up: {told}");
        }
        std::thread::yield_now();
    }
}

/// An `openssl s_client` calls us; the subject it has proved, if it showed a certificate.
fn serve_s_client(
    shop: &Workshop,
    more: &str,
    server: &TlsSettings,
) -> Result<Option<String>, TlsError> {
    let tls = ServerTls::load(server, true).expect("settings of the server");
    serve_with(shop, more, &tls).map(|(subject, _)| subject)
}

/// The same with loaded settings; also what s_client printed.
fn serve_with(
    shop: &Workshop,
    more: &str,
    tls: &ServerTls,
) -> Result<(Option<String>, String), TlsError> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let mut openssl = start(
        shop,
        &format!("s_client -connect 127.0.0.1:{port} -servername localhost -ign_eof {more}"),
    );
    openssl.0.stdin.as_mut().expect("its input").write_all(b"PING\n").expect("type PING");
    let mut socket = accept(&listener, &mut openssl);
    let mut session = TlsSession::server(tls).expect("a session");
    let mut got = Vec::new();
    drive(&mut session, &mut socket, &mut got, |_, got| got.ends_with(b"PING\n"))?;
    session.write(&[std::io::IoSlice::new(b"+PONG from damselfly\r\n")]).expect("write");
    session.close();
    drive(&mut session, &mut socket, &mut got, |session, _| !session.wants_write())?;
    let subject = session.peer_subject();
    drop(socket);
    let mut told = String::new();
    let mut output = openssl.0.stdout.take().expect("its output");
    output.read_to_string(&mut told).expect("what s_client says");
    assert!(told.contains("+PONG from damselfly"), "s_client says: {told}");
    assert!(told.contains("Verify return code: 0 (ok)"), "s_client says: {told}");
    Ok((subject, told))
}

/// The walk-through of the documentation, line for line, with `-subj` in place of the questions.
#[test]
fn the_documented_openssl_lines_make_certificates_that_work() {
    let shop = Workshop::new();
    shop.openssl(
        "req -x509 -newkey rsa:4096 -nodes -keyout ca-key.pem -out ca-cert.pem -subj /CN=ca",
    );
    let requests = [
        // Not encrypted, as written; and without -nodes, as advised for production.
        ("server", "-nodes"),
        ("replica-client", "-passout pass:secret"),
    ];
    for (name, nodes) in requests {
        shop.openssl(&format!(
            "req -newkey rsa:4096 {nodes} -keyout {name}-key.pem -out {name}-req.pem \
             -subj /CN=localhost"
        ));
        shop.openssl(&format!(
            "x509 -req -in {name}-req.pem -days 365 -CA ca-cert.pem -CAkey ca-key.pem \
             -CAcreateserial -out {name}-cert.pem"
        ));
    }
    let text = shop.openssl("x509 -in server-cert.pem -noout -text");
    if shop.openssl("version").starts_with("OpenSSL 3.0") {
        assert!(text.contains("Version: 1 (0x0)"), "no longer the case this is about: {text}");
    }
    let server = shop.settings("server", "ca");
    let client = TlsSettings {
        key_passphrase: passphrase("secret"),
        ..shop.settings("replica-client", "ca")
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let more = format!("-CAfile ca-cert.pem -Verify 1 -verify_return_error {version}");
        call_s_server(&shop, "server", &more, &client)
            .unwrap_or_else(|error| panic!("{version}: {error}"));
        let more = format!(
            "-CAfile ca-cert.pem -cert replica-client-cert.pem -key replica-client-key.pem \
             -pass pass:secret {version}"
        );
        let subject = serve_s_client(&shop, &more, &server);
        assert_eq!(subject, Ok(Some("CN=localhost".to_owned())), "{version}");
    }
}

#[test]
fn sessions_are_resumed_when_caching_is_on_and_only_under_the_same_load() {
    let shop = Workshop::new();
    shop.authority("ca", "/CN=ca");
    shop.certificate("server", "/CN=localhost", "ca");
    shop.certificate("client", "/CN=client", "ca");
    let off = shop.settings("server", "ca");
    let on = TlsSettings {
        session_caching: true,
        session_cache_timeout: Duration::from_secs(300),
        ..off.clone()
    };
    let load = |settings| ServerTls::load(settings, true).expect("settings of the server");
    let own = "-CAfile ca-cert.pem -cert client-cert.pem -key client-key.pem";
    for version in ["-tls1_2", "-tls1_3"] {
        let first = format!("{own} {version} -sess_out session.pem");
        let second = format!("{own} {version} -sess_in session.pem");
        let tls = load(&on);
        for (line, tls, word) in [(&first, &tls, "New, "), (&second, &tls, "Reused, ")] {
            let (subject, told) = serve_with(&shop, line, tls).expect("a session");
            assert_eq!(subject.as_deref(), Some("CN=client"), "{version}");
            assert!(told.contains(word), "{version}: {word} {told}");
        }
        // After a reload the certificate has to be shown again.
        let (_, told) = serve_with(&shop, &second, &load(&on)).expect("a session");
        assert!(told.contains("New, "), "{version}: {told}");
    }
    // Without caching even a good session of old is not taken up.
    let line = format!("{own} -tls1_3 -sess_in session.pem");
    let (_, told) = serve_with(&shop, &line, &load(&off)).expect("a session");
    assert!(told.contains("New, "), "caching is off: {told}");
}

#[test]
fn what_is_out_of_date_is_refused_on_both_sides() {
    let shop = Workshop::new();
    shop.authority("ca", "/CN=ca");
    shop.certificate("server", "/CN=localhost", "ca");
    let v3 = "subjectAltName=DNS:localhost";
    let dates = [
        ("old", "20200101000000Z", "20200201000000Z", "has expired on Feb  1 00:00:00 2020 GMT"),
        ("young", "20900101000000Z", "20950101000000Z", "begins on Jan  1 00:00:00 2090 GMT"),
    ];
    for (name, start, end, part) in dates {
        for extensions in ["", v3] {
            shop.dated(name, "ca", start, end, extensions);
            for version in ["-tls1_2", "-tls1_3"] {
                let what = format!("{name} {extensions} {version}");
                let client = shop.settings("", "ca");
                let called = call_s_server(&shop, name, version, &client).map(|_| ());
                let text = called.expect_err(&what).to_string();
                assert!(text.contains("certificate of 'localhost'"), "{what}: {text}");
                assert!(text.contains(part), "{what}: {text}");
                let more = format!("-cert {name}-cert.pem -key {name}-key.pem {version}");
                let served = serve_s_client(&shop, &more, &shop.settings("server", "ca"));
                let text = served.expect_err(&what).to_string();
                assert!(text.contains("client certificate 'CN=localhost'"), "{what}: {text}");
                assert!(text.contains(part), "{what}: {text}");
            }
        }
    }
}

/// The master is believed by the system's roots alone: a v3 certificate with its name is, a v1
/// certificate is not. The roots come from the environment, so a child of this program looks.
#[test]
fn public_roots_vouch_for_v3_certificates_only() {
    const TASK: &str = "DAMSELFLY_TEST_PUBLIC_ROOTS";
    if let Ok(directory) = std::env::var(TASK) {
        return call_with_public_roots(&directory);
    }
    let shop = Workshop::new();
    shop.authority("ca", "/CN=ca");
    shop.certificate("old", "/CN=localhost", "ca");
    shop.certificate_with_names("new", "/CN=other", "ca", "DNS:localhost");
    // v3, named in the CN only: for a public root that is no name.
    shop.write("v3.cnf", "keyUsage=digitalSignature\n");
    shop.request("unnamed", "/CN=localhost", "");
    shop.sign("unnamed", "ca", "-extfile v3.cnf");
    let status = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "public_roots_vouch_for_v3_certificates_only"])
        .env(TASK, shop.path(""))
        .env("SSL_CERT_FILE", shop.path("ca-cert.pem"))
        .env_remove("SSL_CERT_DIR")
        .status()
        .expect("run this program again");
    assert!(status.success());
}

fn call_with_public_roots(directory: &str) {
    let shop = Workshop::at(directory);
    let client = TlsSettings::default();
    call_s_server(&shop, "new", "", &client).expect("a v3 certificate with its name");
    let refused = |name| call_s_server(&shop, name, "", &client).map(|_| ());
    let text = refused("old").expect_err("v1").to_string();
    assert!(text.contains("only an authority of --tls_ca_cert_file can vouch"), "{text}");
    let text = refused("unnamed").expect_err("no alternative name").to_string();
    assert!(text.contains("has the wrong name: it is for 'localhost' by its CN"), "{text}");
}
