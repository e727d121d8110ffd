//! Connecting to a master: name, socket, TLS, password, introduction.
//!
//! Every step has its deadline and its own words when it fails: an operator reads them in REPLICAOF's
//! reply.

use crate::handshake;
use crate::service::Settings;
use crate::tls::{ClientTls, Session};
use crate::transport::Transport;
use crate::wire;
use engine::resp::client::{Reply, ReplyReader, encode_command};
use engine::rt::{self, Stream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whom to reach and how.
pub struct Target<'a> {
    /// As the operator gave it.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// TLS towards the master, if it is turned on.
    pub tls: Option<Arc<ClientTls>>,
    /// Passwords and timeouts.
    pub settings: &'a Settings,
}

/// A connection on which requests are asked and answered.
pub struct Call {
    /// The connection.
    pub transport: Transport,
    buffer: Vec<u8>,
    deadline: Instant,
}

impl Call {
    /// Connects, speaks TLS if that is turned on, and authenticates.
    pub async fn dial(target: &Target<'_>, limit: Duration) -> Result<Call, String> {
        let deadline = Instant::now() + limit;
        let Target { host, port, .. } = target;
        let connecting = connect(target, deadline);
        let transport = match rt::timeout(limit, connecting).await {
            Ok(transport) => transport?,
            Err(_) => {
                return Err(format!(
                    "could not connect to master: {host}:{port} did not answer within {} ms",
                    limit.as_millis()
                ));
            }
        };
        let _ = transport.stream().set_nodelay(true);
        let mut call = Call { transport, buffer: Vec::new(), deadline };
        call.authenticate(target.settings).await?;
        Ok(call)
    }

    async fn authenticate(&mut self, settings: &Settings) -> Result<(), String> {
        let request = handshake::auth(&settings.master_user, &settings.master_password);
        let Some(request) = request else { return Ok(()) };
        match self.ask(&request).await? {
            reply if reply.is_ok() => Ok(()),
            reply => Err(format!("could not authenticate to master: {}", words(&reply))),
        }
    }

    /// Sends a request and waits for its reply.
    pub async fn ask<W: AsRef<[u8]>>(&mut self, request: &[W]) -> Result<Reply, String> {
        let request: Vec<&[u8]> = request.iter().map(AsRef::as_ref).collect();
        let mut out = Vec::new();
        encode_command(&mut out, &request);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let asking = async {
            self.transport.write_all(&out).await.map_err(|error| lost(&error))?;
            let mut reader = ReplyReader::new(handshake::REPLY_LIMITS);
            loop {
                match reader.next(&self.buffer) {
                    Ok(Some((reply, used))) => {
                        self.buffer.drain(..used);
                        return Ok(reply);
                    }
                    Ok(None) => {}
                    Err(error) => return Err(format!("the master does not speak RESP: {error:?}")),
                }
                match self.transport.read(&mut self.buffer, 16 * 1024).await {
                    Ok(0) => return Err("the master closed the connection".to_owned()),
                    Ok(_) => {}
                    Err(error) => return Err(lost(&error)),
                }
            }
        };
        match rt::timeout(left, asking).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!(
                "the master did not answer {} in time",
                String::from_utf8_lossy(request[0])
            )),
        }
    }

    /// The connection for messages, with what has arrived beyond the last reply.
    pub fn into_parts(self) -> (Transport, Vec<u8>) {
        (self.transport, self.buffer)
    }
}

async fn connect(target: &Target<'_>, deadline: Instant) -> Result<Transport, String> {
    let Target { host, port, .. } = target;
    let addresses = rt::resolve(host, *port)
        .await
        .map_err(|error| format!("could not resolve master dns: {error}"))?;
    let mut failure = format!("could not resolve master dns: {host} has no address");
    for address in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        match Stream::connect(address, left).await {
            Ok(stream) => return secure(target, stream).await,
            Err(error) => failure = format!("could not connect to master: {address}: {error}"),
        }
    }
    Err(failure)
}

async fn secure(target: &Target<'_>, stream: Stream) -> Result<Transport, String> {
    let Some(tls) = &target.tls else { return Ok(Transport::plain(stream)) };
    let session = Session::client(tls, target.host).map_err(|error| error.to_string())?;
    let transport = Transport::tls(stream, session);
    match transport.handshake().await {
        Ok(()) => Ok(transport),
        Err(error) => Err(format!("could not connect to master: {error}")),
    }
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
