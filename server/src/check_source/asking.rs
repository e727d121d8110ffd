//! A plain, blocking connection to the server that is looked at, with TLS or without.

use super::address::Address;
use engine::resp::ReplyLimits;
use engine::resp::client::{Reply, ReplyReader, encode_command};
use replication::handshake;
use replication::tls::{ClientTls, TlsSession};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The longest that a connection to one address may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The longest that replies to what is asked at once may take.
const REPLIES_MAX: Duration = Duration::from_secs(20);
/// The longest reply: statistics and pages of keys are far shorter.
const LIMITS: ReplyLimits = ReplyLimits { bytes: 64 << 20, depth: 8 };
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// A request, as words.
pub(super) type Words = Vec<Vec<u8>>;

/// A request out of a line without blanks in its words.
pub(super) fn words(line: &str) -> Words {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// The connection.
pub(super) struct Source {
    stream: TcpStream,
    tls: Option<TlsSession>,
    unread: Vec<u8>,
    /// Bytes of requests that were sent.
    pub(super) sent: u64,
    /// As whom we ask.
    pub(super) user: String,
}

impl Source {
    /// Connects, and speaks TLS if that is wanted.
    pub(super) fn reach(address: &Address, tls: Option<&ClientTls>) -> Result<Source, String> {
        let place = || format!("{}:{}", address.host, address.port);
        let found = (address.host.as_str(), address.port).to_socket_addrs();
        let found = found.map_err(|error| format!("cannot look up {}: {error}", address.host))?;
        let mut outcome = Err(format!("{} has no address", address.host));
        for one in found.take(ADDRESSES_MAX) {
            outcome =
                connect(one).map_err(|error| format!("cannot connect to {}: {error}", place()));
            if outcome.is_ok() {
                break;
            }
        }
        let tls = tls.map(|tls| TlsSession::client(tls, &address.host)).transpose();
        let tls = tls.map_err(|error| error.to_string())?;
        let user = if address.user.is_empty() { "default" } else { &address.user };
        Ok(Source { stream: outcome?, tls, unread: Vec::new(), sent: 0, user: user.to_owned() })
    }

    /// Shows the password, if there is one, and greets: what the server has against us, if anything.
    pub(super) fn introduce(&mut self, address: &Address) -> Result<Result<(), String>, String> {
        let mut requests = Vec::from_iter(handshake::auth(&address.user, &address.password));
        requests.push(words("PING"));
        for request in requests {
            // One by one: a server that has no password set refuses AUTH, and is said so, not what follows.
            let reply = self.ask(request)?;
            if let Some(error) = reply.error() {
                return Ok(Err(String::from_utf8_lossy(error).into_owned()));
            }
        }
        Ok(Ok(()))
    }

    /// One request, one reply.
    pub(super) fn ask(&mut self, request: Words) -> Result<Reply, String> {
        let reply = self.ask_all(&[request])?.pop();
        reply.ok_or_else(|| "no reply".to_owned())
    }

    /// Requests in one write; their replies in order.
    pub(super) fn ask_all(&mut self, requests: &[Words]) -> Result<Vec<Reply>, String> {
        let until = Instant::now() + REPLIES_MAX;
        let mut out = Vec::new();
        for request in requests {
            let words: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
            encode_command(&mut out, &words);
        }
        self.sent += out.len() as u64;
        self.send(&out)?;
        requests.iter().map(|_| self.reply(until)).collect()
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        let Some(tls) = &mut self.tls else {
            return self.stream.write_all(bytes).map_err(|error| format!("cannot send: {error}"));
        };
        while !bytes.is_empty() {
            let taken = tls.write(&[IoSlice::new(bytes)]).map_err(|error| error.to_string())?;
            flush(tls, &mut self.stream)?;
            if taken == 0 {
                return Err("TLS: the other side does not take what is asked".to_owned());
            }
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn reply(&mut self, until: Instant) -> Result<Reply, String> {
        let mut reader = ReplyReader::new(LIMITS);
        loop {
            match reader.take(&mut self.unread) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(error) => {
                    return Err(format!("what answers there speaks another protocol: {error}"));
                }
            }
            self.read(until)?;
        }
    }

    fn read(&mut self, until: Instant) -> Result<(), String> {
        let silent = || format!("no reply within {} s", REPLIES_MAX.as_secs());
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(silent());
        }
        let mut bytes = [0; 16 * 1024];
        let set = self.stream.set_read_timeout(Some(left));
        let read = match set.and_then(|()| self.stream.read(&mut bytes)) {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(silent());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(format!("cannot read: {error}")),
        };
        if let Some(tls) = &mut self.tls {
            match read {
                0 => tls.end_of_input().map_err(|error| error.to_string())?,
                _ => drop(
                    tls.feed(&bytes[..read], &mut self.unread)
                        .map_err(|error| error.to_string())?,
                ),
            }
            flush(tls, &mut self.stream)?;
        } else {
            self.unread.extend_from_slice(&bytes[..read]);
        }
        match read {
            0 => Err(
                "the connection was closed there without a word (does it speak TLS on this port?)"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_MAX)?;
    stream.set_write_timeout(Some(REPLIES_MAX))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn flush(tls: &mut TlsSession, stream: &mut TcpStream) -> Result<(), String> {
    let mut records = Vec::new();
    tls.take_ciphertext(&mut records);
    stream.write_all(&records).map_err(|error| format!("cannot send: {error}"))
}
