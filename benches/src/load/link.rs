//! A socket, plain or with TLS, that never waits once it is connected.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::config::Tls;

/// Longest wait for a connection and for the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What TLS connections have in common.
pub(crate) struct TlsContext {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsContext {
    /// Reads the files that `tls` names.
    pub(crate) fn new(tls: &Tls) -> io::Result<TlsContext> {
        let invalid = |what: &str, error: &dyn std::fmt::Display| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{what}: {error}"))
        };
        let read_certificates = |path: &std::path::Path| {
            CertificateDer::pem_file_iter(path)
                .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
                .map_err(|error| invalid(&path.display().to_string(), &error))
        };
        let mut roots = RootCertStore::empty();
        for certificate in read_certificates(&tls.authorities)? {
            roots.add(certificate).map_err(|error| invalid("trusted authority", &error))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid("TLS versions", &error))?
            .with_root_certificates(roots);
        let config = match &tls.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| invalid(&key.display().to_string(), &error))?;
                builder
                    .with_client_auth_cert(read_certificates(certificate)?, key)
                    .map_err(|error| invalid("client certificate", &error))?
            }
        };
        let name = ServerName::try_from(tls.name.clone())
            .map_err(|error| invalid("server name", &error))?;
        Ok(TlsContext { config: Arc::new(config), name })
    }
}

pub(super) struct Link {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Link {
    pub(super) fn connect(
        address: std::net::SocketAddr,
        tls: Option<&TlsContext>,
    ) -> io::Result<Link> {
        let mut socket = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        socket.set_nodelay(true)?;
        let tls = match tls {
            None => None,
            Some(context) => {
                socket.set_read_timeout(Some(CONNECT_TIMEOUT))?;
                let mut session =
                    ClientConnection::new(context.config.clone(), context.name.clone())
                        .map_err(io::Error::other)?;
                // What is written at once is bounded by the pipeline, not here.
                session.set_buffer_limit(None);
                while session.is_handshaking() {
                    session.complete_io(&mut socket)?;
                }
                Some(Box::new(session))
            }
        };
        socket.set_nonblocking(true)?;
        Ok(Link { socket, tls })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Sends from `bytes` what the socket takes now; how much. With TLS everything is taken, and
    /// `has_unsent` says whether ciphertext is left.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(session) = &mut self.tls else { return or_none(self.socket.write(bytes)) };
        session.writer().write_all(bytes)?;
        while session.wants_write() {
            match session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if is_not_now(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(bytes.len())
    }

    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether ciphertext waits for the socket.
    pub(super) fn has_unsent(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.wants_write())
    }

    /// Writes what has arrived to the beginning of `spare`: how much, or nothing if there is
    /// nothing now. A closed connection is an error: replies are outstanding, or it would not be
    /// read.
    pub(super) fn receive(&mut self, spare: &mut [u8]) -> io::Result<Option<usize>> {
        let received = match &mut self.tls {
            None => self.socket.read(spare),
            Some(session) => receive_tls(session, &mut self.socket, spare),
        };
        match received {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => Ok(Some(length)),
            Err(error) if is_not_now(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn receive_tls(
    session: &mut ClientConnection,
    socket: &mut TcpStream,
    input: &mut [u8],
) -> io::Result<usize> {
    loop {
        match session.reader().read(input) {
            Err(error) if is_not_now(&error) => {}
            read => return read,
        }
        if session.read_tls(socket)? == 0 {
            return Ok(0);
        }
        session.process_new_packets().map_err(io::Error::other)?;
    }
}

fn or_none(sent: io::Result<usize>) -> io::Result<usize> {
    match sent {
        Err(error) if is_not_now(&error) => Ok(0),
        sent => sent,
    }
}

fn is_not_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
