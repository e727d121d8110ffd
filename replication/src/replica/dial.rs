//! Connecting to a master: name, socket, TLS, password, introduction.
//!
//! ```text
//!   look up ─► connect (all addresses side by side) ─► TLS ─► requests in one write ─► their replies
//! ```
//!
//! Each step has a deadline of its own and its own words when it fails: an operator reads them in
//! REPLICAOF's reply. On a long road every step takes a round trip or two, and they add up to more
//! than a deadline over all of them would allow.

use crate::handshake::{self, Words};
use crate::settings::Settings;
use crate::tls::{ClientTls, Session};
use crate::transport::Transport;
use crate::wire;
use engine::resp::client::{Reply, ReplyReader, encode_command};
use engine::rt::{self, Stream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Whom to reach and how.
#[derive(Clone)]
pub struct Target {
    /// As the operator gave it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Where it is, if that is known: flows go to the very address that the control connection
    /// reached, whatever else its name stands for.
    pub address: Option<SocketAddr>,
    /// TLS towards the master, if it is turned on.
    pub tls: Option<Arc<ClientTls>>,
    /// Passwords.
    pub settings: Settings,
    /// The longest that one step may take.
    pub limit: Duration,
}

/// Why a master was not reached, or would not have us.
#[derive(Debug)]
pub struct Failure {
    /// In words.
    pub text: String,
    /// A step took longer than it may: perhaps the road is long.
    pub late: bool,
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure { text, late: false }
    }
}

fn late(text: String) -> Failure {
    Failure { text, late: true }
}

/// A connection on which requests are asked and answered.
pub struct Call {
    /// The connection.
    pub transport: Transport,
    /// What it reached.
    pub address: SocketAddr,
    buffer: Vec<u8>,
    limit: Duration,
    /// The reply to AUTH is still to come.
    authenticating: bool,
}

impl Call {
    /// Connects, speaks TLS if that is turned on, and sends the password, if there is one, with the
    /// first `requests`: one round trip for all of them. Their replies are to be taken with
    /// [`answer`](Call::answer), in order.
    pub async fn dial(target: &Target, requests: &[Words]) -> Result<Call, Failure> {
        let limit = target.limit;
        let (stream, address) = connect(target).await?;
        let _ = stream.set_nodelay(true);
        let transport = secure(target, stream, address).await?;
        let auth = handshake::auth(&target.settings.master_user, &target.settings.master_password);
        let authenticating = auth.is_some();
        let mut call = Call { transport, address, buffer: Vec::new(), limit, authenticating };
        let mut out = Vec::new();
        auth.iter().chain(requests).for_each(|request| encode(&mut out, request));
        call.send(&out).await?;
        Ok(call)
    }

    /// Sends a request and waits for its reply.
    pub async fn ask(&mut self, request: &Words) -> Result<Reply, Failure> {
        let mut out = Vec::new();
        encode(&mut out, request);
        self.send(&out).await?;
        self.answer(request).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match rt::timeout(self.limit, self.transport.write_all(bytes)).await {
            Ok(sent) => Ok(sent.map_err(|error| lost(&error))?),
            Err(_) => {
                Err(late(format!("the master took no request within {}", millis(self.limit))))
            }
        }
    }

    /// The reply to `request`, which was sent.
    pub async fn answer(&mut self, request: &Words) -> Result<Reply, Failure> {
        if std::mem::take(&mut self.authenticating) {
            let reply = self.next_reply("AUTH").await?;
            if !reply.is_ok() {
                return Err(format!("could not authenticate to master: {}", words(&reply)).into());
            }
        }
        let name = request.first().map_or(&[][..], Vec::as_slice);
        self.next_reply(&String::from_utf8_lossy(name)).await
    }

    async fn next_reply(&mut self, name: &str) -> Result<Reply, Failure> {
        let limit = self.limit;
        let reading = async {
            let mut reader = ReplyReader::new(handshake::REPLY_LIMITS);
            loop {
                match reader.next(&self.buffer) {
                    Ok(Some((reply, used))) => {
                        self.buffer.drain(..used);
                        return Ok(reply);
                    }
                    Ok(None) => {}
                    Err(error) => return Err(format!("the master does not speak RESP: {error}")),
                }
                match self.transport.read(&mut self.buffer, 16 * 1024).await {
                    Ok(0) => return Err("the master closed the connection".to_owned()),
                    Ok(_) => {}
                    Err(error) => return Err(lost(&error)),
                }
            }
        };
        match rt::timeout(limit, reading).await {
            Ok(outcome) => outcome.map_err(Failure::from),
            Err(_) => {
                Err(late(format!("the master did not answer {name} within {}", millis(limit))))
            }
        }
    }

    /// The connection for messages, with what has arrived beyond the last reply.
    pub fn into_parts(self) -> (Transport, Vec<u8>) {
        (self.transport, self.buffer)
    }
}

async fn connect(target: &Target) -> Result<(Stream, SocketAddr), Failure> {
    let addresses = match target.address {
        Some(address) => vec![address],
        None => resolve(target).await?,
    };
    match rt::connect_any(&addresses, target.limit).await {
        Ok(connected) => Ok(connected),
        Err(rt::Unreached { text, late }) => {
            Err(Failure { text: format!("could not connect to master: {text}"), late })
        }
    }
}

async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, Failure> {
    let Target { host, port, limit, .. } = target;
    let unresolved = |why: String| format!("could not resolve master dns: {why}");
    match rt::timeout(*limit, rt::resolve(host, *port)).await {
        Ok(found) => Ok(found.map_err(unresolved)?),
        Err(_) => {
            let why = format!("no answer for {host} within {}", millis(*limit));
            Err(late(unresolved(why)))
        }
    }
}

async fn secure(target: &Target, stream: Stream, to: SocketAddr) -> Result<Transport, Failure> {
    let Some(tls) = &target.tls else { return Ok(Transport::plain(stream)) };
    let session = Session::client(tls, &target.host).map_err(|error| error.to_string())?;
    let transport = Transport::tls(stream, session);
    match rt::timeout(target.limit, transport.handshake()).await {
        Ok(Ok(())) => Ok(transport),
        Ok(Err(error)) => Err(format!("could not connect to master: {error}").into()),
        Err(_) => Err(late(format!(
            "could not connect to master: {to} did not finish the TLS handshake within {}",
            millis(target.limit)
        ))),
    }
}

fn encode(out: &mut Vec<u8>, request: &Words) {
    let request: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
    encode_command(out, &request);
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn lost(error: &std::io::Error) -> String {
    format!("the connection to the master was lost: {error}")
}

/// A reply as an operator reads it.
pub fn words(reply: &Reply) -> String {
    match reply {
        Reply::Error(text) | Reply::Simple(text) | Reply::Bulk(text) => wire::words(text),
        other => format!("{other:?}"),
    }
}
