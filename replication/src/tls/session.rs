//! One TLS connection as bytes in and bytes out; whoever owns the socket moves them.
//!
//! ```text
//!   socket --recv--> feed() ==> plaintext, into the caller's buffer
//!   socket <--send-- send_with() <== records <-- write() <== slices of plaintext
//! ```
//!
//! After every `feed`, also one that failed, send what `wants_write` says is there: the handshake's
//! answer, or the alert that tells the other side why. Plaintext slices are encrypted where they
//! lie and records are sent from where they were made; nothing is joined in between. A session is
//! `Send`: a connection may be handed to another executor at any byte.

use std::io::{self, BufRead, ErrorKind, IoSlice, Write};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConnection, Connection, HandshakeKind, ServerConnection};

use super::load::{ClientTls, ServerTls};
use super::x509::Certificate;
use super::{TlsError, ciphers, explain};

/// What a plain client on a TLS port is told (Dragonfly's words), before the connection is closed.
pub const BAD_TLS_HEADER: &str =
    "-ERR Bad TLS header, double check if you enabled TLS for your client.\r\n";

/// Plaintext that may wait inside a session for the socket: one chunk of the log, so that a chunk
/// can be handed over whole, and a stalled socket pins no more than that per connection.
const WAITING_LIMIT: usize = 256 << 10;

/// The header of a record: type, version, length.
const HEADER_LENGTH: usize = 5;
/// A record's type: a handshake message; what every client begins with.
const HANDSHAKE: u8 = 0x16;
/// A record's type: an alert; a server may begin with one.
const ALERT: u8 = 0x15;

/// Whether the first bytes of a client are a TLS handshake record; `None` while they are too few to
/// say. Five bytes always decide.
pub fn looks_like_tls(first: &[u8]) -> Option<bool> {
    looks_like_record(first, &[HANDSHAKE])
}

fn looks_like_record(first: &[u8], types: &[u8]) -> Option<bool> {
    let byte = |at: usize| first.get(at).copied();
    if !types.contains(&byte(0)?) {
        return Some(false);
    }
    // Major version 3, minor 0 (as SSL 3 would say it) to 4; rustls judges the details.
    if byte(1)? != 3 || byte(2)? > 4 {
        return Some(false);
    }
    let length = u16::from_be_bytes([byte(3)?, byte(4)?]);
    Some((1..=1 << 14).contains(&length))
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Keys are being agreed on; plaintext written now waits.
    Handshaking,
    /// Plaintext flows. (In TLS 1.3 a client gets here before the server has judged its
    /// certificate: a refusal comes as an error of a later `feed`.)
    Open,
    /// The other side has said that nothing follows; we may still write.
    PeerClosed,
    /// We have said that nothing follows.
    Closed,
    /// An error ended the session; every further call repeats it.
    Failed,
}

/// A TLS connection without its socket.
pub struct TlsSession {
    connection: Connection,
    state: SessionState,
    /// The first bytes of the other side, until they are seen to be TLS.
    first: Vec<u8>,
    is_tls: bool,
    failure: Option<TlsError>,
}

impl TlsSession {
    /// Our end of a link to the master that is reached as `host`.
    pub fn client(tls: &ClientTls, host: &str) -> Result<TlsSession, TlsError> {
        let name = tls.name_for(host)?;
        let connection = ClientConnection::new(tls.config(), name)
            .map_err(|error| TlsError::new(explain::session_error(&error, None)))?;
        Ok(TlsSession::new(Connection::Client(connection)))
    }

    /// Our end of a connection that a client has opened.
    pub fn server(tls: &ServerTls) -> Result<TlsSession, TlsError> {
        let connection = ServerConnection::new(tls.config())
            .map_err(|error| TlsError::new(explain::session_error(&error, None)))?;
        Ok(TlsSession::new(Connection::Server(connection)))
    }

    fn new(mut connection: Connection) -> TlsSession {
        connection.set_buffer_limit(Some(WAITING_LIMIT));
        TlsSession {
            connection,
            state: SessionState::Handshaking,
            first: Vec::with_capacity(HEADER_LENGTH),
            is_tls: false,
            failure: None,
        }
    }

    /// How far this session is.
    pub fn state(&self) -> SessionState {
        self.state
    }

    /// Takes bytes from the socket, all of them, and appends what they say to `plaintext`; returns
    /// how many bytes were appended (never more than came in). What follows the other side's farewell is ignored.
    pub fn feed(
        &mut self,
        mut ciphertext: &[u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        self.check_failure()?;
        self.check_first(ciphertext)?;
        let before = plaintext.len();
        while !ciphertext.is_empty() && self.state != SessionState::PeerClosed {
            let taken = self.connection.read_tls(&mut ciphertext);
            let taken = taken.map_err(|error| self.fail(format!("TLS: {error}")))?;
            // Whatever an earlier session on this thread left behind is not ours.
            explain::take_refusal();
            let progress = self.connection.process_new_packets();
            // Plaintext in front of a bad record was genuine, but a caller has no use for it once
            // the session has failed.
            let progress = progress.map_err(|error| {
                let text = explain::session_error(&error, explain::take_refusal());
                self.fail_with(TlsError::of_session(text, &error))
            })?;
            self.drain(plaintext)?;
            if self.state == SessionState::Handshaking && !self.connection.is_handshaking() {
                self.state = SessionState::Open;
            }
            if progress.peer_has_closed() && self.state != SessionState::Closed {
                self.state = SessionState::PeerClosed;
            }
            if taken == 0 {
                break;
            }
        }
        Ok(plaintext.len() - before)
    }

    /// The socket's end of input. Without the other side's farewell before it, it is an error: the
    /// last bytes may be missing.
    pub fn end_of_input(&mut self) -> Result<(), TlsError> {
        self.check_failure()?;
        let text = match self.state {
            SessionState::PeerClosed | SessionState::Closed => return Ok(()),
            SessionState::Handshaking if !self.is_tls => {
                "TLS: the other side closed the connection without an answer (does it speak TLS on \
                 this port?)"
            }
            SessionState::Handshaking => {
                "TLS: the other side closed the connection during the handshake"
            }
            _ => "TLS: the other side closed the connection without saying so",
        };
        Err(self.fail(text.to_owned()))
    }

    /// Encrypts plaintext; returns how many bytes were taken. Fewer than given means: send first.
    pub fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, TlsError> {
        self.check_failure()?;
        if self.state == SessionState::Closed {
            return Err(TlsError::new("TLS: written after the farewell"));
        }
        let taken = self.connection.writer().write_vectored(slices);
        let taken = taken.map_err(|error| self.fail(format!("TLS: {error}")))?;
        // TLS 1.3 renews its keys by itself. TLS 1.2 cannot: after 2^24 records under AES-GCM rustls
        // queues a farewell and then swallows what it is given. Once that farewell is sent, taken
        // plaintext that makes no record is the sign of it.
        let open = matches!(self.state, SessionState::Open | SessionState::PeerClosed);
        if open && taken > 0 && !self.wants_write() {
            return Err(self.fail("TLS: the keys of this connection are used up".to_owned()));
        }
        Ok(taken)
    }

    /// Whether there are records to be sent.
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Hands the waiting records to `send` (one vectored system call) and forgets what it took.
    /// Call it while `wants_write`; an error of `send` is returned as it is and loses nothing.
    pub fn send_with(
        &mut self,
        send: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.connection.write_tls(&mut Sender(send))
    }

    /// Appends all waiting records to `ciphertext`, for those who cannot send from slices; returns
    /// how many bytes that were.
    pub fn take_ciphertext(&mut self, ciphertext: &mut Vec<u8>) -> usize {
        let before = ciphertext.len();
        // Writing into a Vec does not fail, and takes everything.
        while self.wants_write() && self.connection.write_tls(ciphertext).is_ok_and(|n| n > 0) {}
        ciphertext.len() - before
    }

    /// Says that nothing follows; the farewell still has to be sent.
    pub fn close(&mut self) {
        if !matches!(self.state, SessionState::Closed | SessionState::Failed) {
            self.connection.send_close_notify();
            self.state = SessionState::Closed;
        }
    }

    /// The subject of the certificate that the other side has proved, if it showed one.
    pub fn peer_subject(&self) -> Option<String> {
        let chain: &[CertificateDer<'_>] = self.connection.peer_certificates()?;
        Certificate::parse(chain.first()?).ok().map(|leaf| leaf.subject())
    }

    /// Whether the handshake took up an earlier session, without any signature.
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// `TLSv1.3` or `TLSv1.2`, once agreed on.
    pub fn protocol(&self) -> Option<&'static str> {
        match self.connection.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            rustls::ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            _ => None,
        }
    }

    /// The cipher suite's standard name, once agreed on.
    pub fn cipher(&self) -> Option<String> {
        self.connection.negotiated_cipher_suite().map(|suite| ciphers::standard_name(&suite))
    }

    fn drain(&mut self, plaintext: &mut Vec<u8>) -> Result<(), TlsError> {
        let mut reader = self.connection.reader();
        let outcome = loop {
            match reader.fill_buf() {
                Ok([]) => break Ok(()),
                Ok(chunk) => {
                    let length = chunk.len();
                    plaintext.extend_from_slice(chunk);
                    reader.consume(length);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(format!("TLS: {error}")),
            }
        };
        outcome.map_err(|text| self.fail(text))
    }

    /// Judges the first bytes before rustls does: "not TLS" is the most frequent mistake of all and
    /// deserves its own words.
    fn check_first(&mut self, ciphertext: &[u8]) -> Result<(), TlsError> {
        if self.is_tls {
            return Ok(());
        }
        let missing = HEADER_LENGTH - self.first.len();
        self.first.extend(ciphertext.iter().take(missing));
        let verdict = match self.connection {
            Connection::Client(_) => looks_like_record(&self.first, &[HANDSHAKE, ALERT]),
            Connection::Server(_) => looks_like_record(&self.first, &[HANDSHAKE]),
        };
        match (verdict, &self.connection) {
            (None, _) => Ok(()),
            (Some(true), _) => {
                self.is_tls = true;
                Ok(())
            }
            // What a client sends in the clear may be a password: it is not repeated.
            (Some(false), Connection::Server(_)) => {
                Err(self.fail("TLS: the client does not speak TLS".to_owned()))
            }
            (Some(false), Connection::Client(_)) => {
                let shown = preview(&self.first, ciphertext);
                Err(self
                    .fail(format!("TLS: the other side does not speak TLS (it says '{shown}')")))
            }
        }
    }

    fn check_failure(&self) -> Result<(), TlsError> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    fn fail(&mut self, text: String) -> TlsError {
        self.fail_with(TlsError::new(text))
    }

    fn fail_with(&mut self, failure: TlsError) -> TlsError {
        self.state = SessionState::Failed;
        self.failure = Some(failure.clone());
        failure
    }
}

impl std::fmt::Debug for TlsSession {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TlsSession").field("state", &self.state).finish_non_exhaustive()
    }
}

/// The beginning of a plain answer, on one line.
fn preview(first: &[u8], ciphertext: &[u8]) -> String {
    const SHOWN: usize = 60;
    // The first bytes may have come one by one, so that the last piece does not hold them all.
    let whole = if ciphertext.len() >= first.len() { ciphertext } else { first };
    let line = whole.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    line[..line.len().min(SHOWN)].escape_ascii().to_string()
}

/// Lets rustls write records through the caller's vectored send.
struct Sender<F>(F);

impl<F: FnMut(&[IoSlice<'_>]) -> io::Result<usize>> Write for Sender<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (self.0)(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// A connection is handed from the listener's executor to the replication executor.
const _: fn() = || {
    fn movable<T: Send>() {}
    movable::<TlsSession>();
};

#[cfg(test)]
mod tests {
    use super::*;

    fn check(first: &[u8], expected: Option<bool>) {
        assert_eq!(looks_like_tls(first), expected, "{first:02x?}");
    }

    #[test]
    fn five_bytes_tell_tls_from_plain_commands() {
        check(b"", None);
        check(b"\x16", None);
        check(b"\x16\x03\x01\x02", None);
        check(b"\x16\x03\x01\x02\x00", Some(true));
        check(b"\x16\x03\x03\x40\x00\x01", Some(true));
        check(b"\x16\x03\x03\x40\x01", Some(false));
        check(b"\x16\x03\x01\x00\x00", Some(false));
        check(b"\x16\x02", Some(false));
        check(b"\x16\x03\x07", Some(false));
        check(b"*1\r\n$", Some(false));
        check(b"P", Some(false));
        check(b"GET / HTTP/1.1", Some(false));
        check(b"\x15\x03\x01\x00\x02", Some(false));
    }

    #[test]
    fn a_plain_answer_is_shown_on_one_short_line() {
        assert_eq!(preview(b"-ERR ", b"-ERR unknown\r\nmore"), "-ERR unknown");
        assert_eq!(preview(b"-ERR", b"R"), "-ERR");
        assert_eq!(preview(b"\x00\x01", b"\x00\x01\xff"), "\\x00\\x01\\xff");
        assert_eq!(preview(b"aaaaa", &[b'a'; 100]).len(), 60);
    }

    /// A server that speaks TLS 1.2 with a suite that is used up after a few records, and a client
    /// for it.
    fn short_lived_pair() -> (TlsSession, TlsSession) {
        use std::sync::Arc;

        use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
        use rustls::pki_types::PrivateKeyDer;
        use rustls::pki_types::pem::PemObject;
        use rustls::{SupportedCipherSuite, Tls12CipherSuite};

        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str| directory.path().join(name);
        let line = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem \
                    -subj /CN=localhost";
        let mut openssl = std::process::Command::new("openssl");
        let status = openssl.args(line.split(' ').filter(|word| !word.is_empty()));
        let output = status.current_dir(directory.path()).output().expect("openssl is needed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        let suite = cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384;
        let SupportedCipherSuite::Tls12(usual) = suite else { panic!("it is a suite of 1.2") };
        let short = Tls12CipherSuite {
            common: rustls::crypto::CipherSuiteCommon { confidentiality_limit: 8, ..usual.common },
            ..*usual
        };
        let mut provider = default_provider();
        provider.cipher_suites = vec![SupportedCipherSuite::Tls12(Box::leak(Box::new(short)))];
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .expect("TLS 1.2")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(file("cert.pem")).expect("a certificate")],
                PrivateKeyDer::from_pem_file(file("key.pem")).expect("a key"),
            )
            .expect("a server");
        let server = ServerConnection::new(Arc::new(config)).expect("a server");
        let settings = super::super::TlsSettings {
            ca_cert_file: Some(file("cert.pem")),
            ..Default::default()
        };
        let tls = ClientTls::load(&settings, true).expect("a client");
        let client = TlsSession::client(&tls, "localhost").expect("a client");
        (client, TlsSession::new(Connection::Server(server)))
    }

    #[test]
    fn keys_that_are_used_up_end_a_session_of_tls_1_2_with_an_error() {
        let (mut client, mut server) = short_lived_pair();
        let (mut wire, mut got) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            wire.clear();
            client.take_ciphertext(&mut wire);
            server.feed(&wire, &mut got).expect("the client's half");
            wire.clear();
            server.take_ciphertext(&mut wire);
            client.feed(&wire, &mut got).expect("the server's half");
        }
        assert_eq!(server.state(), SessionState::Open);
        let mut written = 0;
        let error = loop {
            match server.write(&[IoSlice::new(b"x")]) {
                Ok(taken) => written += taken,
                Err(error) => break error,
            }
            assert!(written < 20, "a session that takes everything and sends nothing");
            wire.clear();
            server.take_ciphertext(&mut wire);
            client.feed(&wire, &mut got).expect("records, then a farewell");
        };
        assert_eq!(error.to_string(), "TLS: the keys of this connection are used up");
        assert!((5..=8).contains(&got.len()), "{} records were sent", got.len());
        assert_eq!(client.state(), SessionState::PeerClosed);
    }
}
