//! Connecting to a master: name, socket, TLS, password, introduction.
//!
//! ```text
//!   look up ─► connect (all addresses side by side) ─► TLS ─► requests in one write ─► their replies
//! ```
//!
//! Each step is told to who watches over its deadline (`steps`), and has its own words when it fails: an
//! operator reads them in REPLICAOF's reply.

use super::reason::Reason;
use super::steps::{Place, Step, Steps};
use crate::bell::Bell;
use crate::handshake::{self, Words};
use crate::settings::Settings;
use crate::tls::{ClientTls, TlsSession, TlsStore};
use crate::transport::Transport;
use crate::wire;
use engine::resp::client::{Reply, ReplyReader, encode_command};
use engine::rt::{self, Stream};
use futures_lite::future;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Told at which step a connection is, or that everything is answered on it.
pub type Watch = Rc<dyn Fn(Place, Option<Step>)>;

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
    /// The longest that an address may take to answer.
    pub limit: Duration,
    /// Who has to be told of each step.
    pub watch: Watch,
}

/// A connection on which requests are asked and answered.
pub struct Call {
    /// The connection.
    pub transport: Transport,
    /// What it reached.
    pub address: SocketAddr,
    buffer: Vec<u8>,
    place: Place,
    watch: Watch,
    /// The reply to AUTH is still to come.
    authenticating: bool,
}

impl Call {
    /// Connects, speaks TLS if that is turned on, and sends the password, if there is one, with the
    /// first `requests`: one round trip for all of them. Their replies are to be taken with
    /// [`answer`](Call::answer), in order.
    pub async fn dial(target: &Target, place: Place, requests: &[Words]) -> Result<Call, Reason> {
        let watch = target.watch.clone();
        let (stream, address) = connect(target, place).await?;
        let _ = stream.set_nodelay(true);
        let transport = secure(target, place, stream, address).await?;
        let auth = handshake::auth(&target.settings.master_user, &target.settings.master_password);
        let authenticating = auth.is_some();
        let buffer = Vec::new();
        let mut call = Call { transport, address, buffer, place, watch, authenticating };
        let mut out = Vec::new();
        auth.iter().chain(requests).for_each(|request| encode(&mut out, request));
        call.send(&out).await?;
        Ok(call)
    }

    /// Asks for terms and waits for them; `asked` says that we have a position to continue from.
    pub async fn follow(&mut self, request: &Words, asked: bool) -> Result<Reply, Reason> {
        let mut out = Vec::new();
        encode(&mut out, request);
        self.send(&out).await?;
        (self.watch)(self.place, Some(Step::Follow { asked }));
        self.next_reply().await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        (self.watch)(self.place, Some(Step::Send));
        Ok(self.transport.write_all(bytes).await.map_err(|error| lost(&error))?)
    }

    /// The reply to `request`, which was sent.
    pub async fn answer(&mut self, request: &Words) -> Result<Reply, Reason> {
        if std::mem::take(&mut self.authenticating) {
            (self.watch)(self.place, Some(Step::Answer("AUTH".to_owned())));
            let reply = self.next_reply().await?;
            if !reply.is_ok() {
                return Err(format!("could not authenticate to master: {}", words(&reply)).into());
            }
        }
        let name = request.first().map_or(&[][..], Vec::as_slice);
        let name = String::from_utf8_lossy(name).into_owned();
        (self.watch)(self.place, Some(Step::Answer(name)));
        self.next_reply().await
    }

    async fn next_reply(&mut self) -> Result<Reply, Reason> {
        let mut reader = ReplyReader::new(handshake::REPLY_LIMITS);
        loop {
            match reader.take(&mut self.buffer) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(error) => return Err(format!("the master does not speak RESP: {error}").into()),
            }
            match self.transport.read(&mut self.buffer, 16 * 1024).await {
                Ok(0) => return Err("the master closed the connection".to_owned().into()),
                Ok(_) => {}
                Err(error) => return Err(lost(&error).into()),
            }
        }
    }

    /// The connection for messages, with what has arrived beyond the last reply.
    pub fn into_parts(self) -> (Transport, Vec<u8>) {
        (self.transport, self.buffer)
    }
}

/// TLS towards a master, if it is turned on.
pub fn client_tls(tls: &TlsStore, settings: &Settings) -> Result<Option<Arc<ClientTls>>, Reason> {
    if !settings.tls {
        return Ok(None);
    }
    let missing = "tls_replication is on but its certificates are not loaded";
    tls.current().client.map(Some).ok_or_else(|| missing.to_owned().into())
}

/// Tries a master at `host` before anything is changed here, where a step may take so long: `work` is given who
/// has to be told of each.
pub async fn try_within<T, F: Future<Output = Result<T, Reason>>>(
    host: &str,
    limit: Duration,
    work: impl FnOnce(Watch) -> F,
) -> Result<T, Reason> {
    let steps = Rc::new(RefCell::new(Steps::new(limit, limit, Instant::now())));
    let bell = Rc::new(Bell::default());
    let watch: Watch = {
        let (steps, bell) = (steps.clone(), bell.clone());
        Rc::new(move |place, step| {
            steps.borrow_mut().note(place, step, Instant::now());
            bell.ring();
        })
    };
    let late = async {
        loop {
            let due = steps.borrow().due();
            match due {
                None => bell.wait().await,
                Some(due) => {
                    bell.wait_for(due.saturating_duration_since(Instant::now())).await;
                }
            }
            if let Some((place, step)) = steps.borrow().late(Instant::now()) {
                return Err(Reason::Late { host: host.to_owned(), place, step, limit });
            }
        }
    };
    future::or(work(watch), late).await
}

async fn connect(target: &Target, place: Place) -> Result<(Stream, SocketAddr), Reason> {
    let addresses = match target.address {
        Some(address) => vec![address],
        None => {
            (target.watch)(place, Some(Step::Resolve));
            let found = rt::resolve(&target.host, target.port).await;
            found.map_err(|why| format!("could not resolve master dns: {why}"))?
        }
    };
    (target.watch)(place, Some(Step::Connect));
    let connected = rt::connect_any(&addresses, target.limit).await;
    connected.map_err(|rt::Unreached { text, late }| Reason::Unreached { text, late })
}

async fn secure(
    target: &Target,
    place: Place,
    stream: Stream,
    to: SocketAddr,
) -> Result<Transport, Reason> {
    let Some(tls) = &target.tls else { return Ok(Transport::plain(stream)) };
    let session = TlsSession::client(tls, &target.host).map_err(|error| error.to_string())?;
    let transport = Transport::tls(stream, session);
    (target.watch)(place, Some(Step::Secure(to)));
    match transport.handshake().await {
        Ok(()) => Ok(transport),
        Err(error) => Err(format!("could not connect to master: {error}").into()),
    }
}

fn encode(out: &mut Vec<u8>, request: &Words) {
    let request: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
    encode_command(out, &request);
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
