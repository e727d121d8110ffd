//! A byte stream to another program: a socket, with TLS over it or not.
//!
//! Used for clients and for replication links alike. One task may read while another writes. With TLS
//! the session is driven by hand: one system call carries several records. A transport may move to
//! another executor with its TLS state ([`Transport::park`]).
//!
//! It never falls back to plaintext: what it was made as it stays.

use crate::roads::{Line, Roads};
use crate::tls::{SessionState, TlsError, TlsSession};
use engine::rt::{
    Accepted, Notify, Peer, Stream, Task, now_millis, sleep, spawn_local, timeout, yield_now,
};
use engine::types::Millis;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Ciphertext read at once: four TLS records.
const CIPHERTEXT_READ: usize = 64 * 1024;

/// For so long the end of a connection waits for its last bytes to be taken.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// See the module's doc.
pub struct Transport {
    stream: Stream,
    /// In a box: it is twenty times as large as a socket, and most connections have none.
    tls: Option<Box<Tls>>,
}

struct Tls {
    session: RefCell<TlsSession>,
    /// Ciphertext on its way out, and how much of it has gone. Kept here, so that a task that is
    /// cancelled while it sends leaves the rest to the next one.
    outgoing: RefCell<(Vec<u8>, usize)>,
    /// A task is sending ciphertext.
    sending: Cell<bool>,
    /// It has ended.
    sent: Notify,
}

thread_local! {
    /// Whether a handshake of this executor has its turn, and those that wait for theirs.
    static TURNS: (Cell<bool>, Rc<Notify>) = (Cell::new(false), Rc::new(Notify::new()));
}

/// The right to do one step of a handshake. A signature takes milliseconds: when many clients come at
/// once, their steps do not follow on each other, but everybody else is served in between.
struct Turn(Rc<Notify>);

impl Turn {
    async fn take() -> io::Result<Turn> {
        let waiting = TURNS.with(|(_, waiting)| waiting.clone());
        while TURNS.with(|(taken, _)| taken.get()) {
            if waiting.wait().await.is_err() {
                return Err(io::Error::other("TLS: too many handshakes wait for their turn"));
            }
        }
        TURNS.with(|(taken, _)| taken.set(true));
        Ok(Turn(waiting))
    }

    /// Lets everybody else go first.
    async fn give_back(self) {
        yield_now().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURNS.with(|(taken, _)| taken.set(false));
        self.0.notify_one();
    }
}

/// What to do while another task sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// Leave what waits to it.
    Leave,
    /// Wait until it is done.
    Await,
}

/// The right to send, and what is sent.
struct Sending<'a> {
    tls: &'a Tls,
    bytes: Vec<u8>,
    position: usize,
}

impl Sending<'_> {
    fn begin(tls: &Tls) -> Sending<'_> {
        tls.sending.set(true);
        let (bytes, position) = tls.outgoing.take();
        Sending { tls, bytes, position }
    }

    /// Whether there is something to send; takes what the session has made meanwhile.
    fn has_more(&mut self) -> bool {
        if self.position == self.bytes.len() {
            self.bytes.clear();
            self.position = 0;
            self.tls.session.borrow_mut().take_ciphertext(&mut self.bytes);
        }
        !self.bytes.is_empty()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.position..]
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        *self.tls.outgoing.borrow_mut() = (std::mem::take(&mut self.bytes), self.position);
        self.tls.sending.set(false);
        self.tls.sent.notify_all();
    }
}

/// Takes what was read.
pub trait Taker {
    /// More of it.
    fn take(&mut self, bytes: &[u8]);

    /// Where `take` would append all of it, unless some of it goes elsewhere.
    fn only_buffer(&mut self) -> Option<&mut Vec<u8>>;
}

impl Taker for Vec<u8> {
    fn take(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn only_buffer(&mut self) -> Option<&mut Vec<u8>> {
        Some(self)
    }
}

/// A transport between two executors.
pub struct Parked {
    accepted: Accepted,
    session: Option<TlsSession>,
    /// Plaintext that was read and not used yet.
    pub unread: Vec<u8>,
}

impl Transport {
    /// Plaintext over `stream`.
    pub fn plain(stream: Stream) -> Transport {
        Transport { stream, tls: None }
    }

    /// TLS over `stream`. The handshake happens on the way, or by [`handshake`](Transport::handshake).
    pub fn tls(stream: Stream, session: TlsSession) -> Transport {
        let tls = Tls {
            session: RefCell::new(session),
            outgoing: RefCell::default(),
            sending: Cell::new(false),
            sent: Notify::new(),
        };
        Transport { stream, tls: Some(Box::new(tls)) }
    }

    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether TLS is spoken and took up an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.session.borrow().is_resumed())
    }

    /// The socket.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The other end's address.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.stream.peer()
    }

    /// The socket alone, to be closed.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Takes the connection off this executor. `unread` is plaintext that was read and not used.
    pub fn park(self, unread: Vec<u8>) -> Parked {
        let accepted = self.stream.into_accepted();
        let session = self.tls.map(|tls| tls.session.into_inner());
        Parked { accepted, session, unread }
    }

    /// Takes a parked connection over into the current executor.
    pub fn unpark(parked: Parked) -> (Transport, Vec<u8>) {
        let stream = Stream::from_accepted(parked.accepted);
        let transport = match parked.session {
            Some(session) => Transport::tls(stream, session),
            None => Transport::plain(stream),
        };
        (transport, parked.unread)
    }

    /// Finishes a server's TLS handshake whose first bytes were read already; answers with plaintext
    /// that came along with its end. Handshakes of one executor take turns ([`Turn`]).
    pub async fn handshake_after(&self, first: &[u8]) -> io::Result<Vec<u8>> {
        let Some(tls) = &self.tls else { return Ok(first.to_vec()) };
        let mut plaintext = Vec::new();
        let mut received = first.to_vec();
        loop {
            let turn = Turn::take().await?;
            let fed = tls.session.borrow_mut().feed(&received, &mut plaintext).map_err(tls_error);
            turn.give_back().await;
            // Alerts and handshake flights are owed at once, also after an error.
            self.send_waiting(tls, Others::Leave).await?;
            fed?;
            if tls.session.borrow().state() != SessionState::Handshaking {
                return Ok(plaintext);
            }
            received.clear();
            let keep = |bytes: &[u8]| received.extend_from_slice(bytes);
            self.stream.read_with(CIPHERTEXT_READ, keep).await?;
            if received.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Finishes a client's TLS handshake: nothing to do for plaintext.
    pub async fn handshake(&self) -> io::Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let mut nothing = Vec::new();
        self.send_waiting(tls, Others::Leave).await?;
        while tls.session.borrow().state() == SessionState::Handshaking {
            if self.read_tls(tls, &mut nothing).await? == Fed::End {
                tls.session.borrow_mut().end_of_input().map_err(tls_error)?;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if nothing.is_empty() {
            Ok(())
        } else {
            Err(io::Error::other("TLS: data before the handshake was over"))
        }
    }

    /// Reads what there is, at most `limit` bytes, and gives it to `taker`; waits until there is
    /// something. 0: the other side has ended. May be cancelled: nothing is lost by that.
    pub async fn read(&self, taker: &mut impl Taker, limit: usize) -> io::Result<usize> {
        let Some(tls) = &self.tls else {
            let take = |bytes: &[u8]| {
                taker.take(bytes);
                bytes.len()
            };
            return self.stream.read_with(limit, take).await;
        };
        loop {
            // In a box: a connection that only waits is as large as its largest way of waiting.
            match Box::pin(self.read_tls(tls, taker)).await? {
                Fed::Plaintext(read) => return Ok(read),
                Fed::Nothing => {}
                Fed::End => return Ok(0),
            }
        }
    }

    async fn read_tls(&self, tls: &Tls, taker: &mut impl Taker) -> io::Result<Fed> {
        let feed = |bytes: &[u8]| match bytes {
            [] => Ok(None),
            bytes => tls.feed(bytes, taker).map(Some).map_err(tls_error),
        };
        let fed = self.stream.read_with(CIPHERTEXT_READ, feed).await.and_then(|fed| fed);
        // Alerts, handshake flights and key updates are owed at once, also after an error.
        let sent = self.send_waiting(tls, Others::Leave).await;
        let fed = fed?;
        sent?;
        let closed = tls.session.borrow().state() == SessionState::PeerClosed;
        Ok(match fed {
            None => Fed::End,
            Some(0) if closed => Fed::End,
            Some(0) => Fed::Nothing,
            Some(read) => Fed::Plaintext(read),
        })
    }

    /// Writes all of `bytes`.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match &self.tls {
            None => self.stream.write_all(bytes).await,
            Some(_) => Box::pin(self.write_vectored(&mut [IoSlice::new(bytes)])).await,
        }
    }

    /// Writes all of `slices`.
    pub async fn write_vectored(&self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let Some(tls) = &self.tls else { return self.stream.write_vectored(slices).await };
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let taken = tls.session.borrow_mut().write(slices).map_err(tls_error)?;
            IoSlice::advance_slices(&mut slices, taken);
            self.send_waiting(tls, Others::Await).await?;
        }
        Ok(())
    }

    /// Sends the ciphertext that waits. One task at a time does; it sends what others leave to it.
    async fn send_waiting(&self, tls: &Tls, others: Others) -> io::Result<()> {
        while tls.sending.get() {
            if others == Others::Leave {
                return Ok(());
            }
            if tls.sent.wait().await.is_err() {
                return Err(io::Error::other("too many tasks write on one connection"));
            }
        }
        let mut sending = Sending::begin(tls);
        while sending.has_more() {
            sending.position += self.stream.write_some(sending.rest()).await?;
        }
        Ok(())
    }

    /// Says farewell (TLS) and ends our side; errors do not matter any more.
    pub async fn close(&self) {
        if let Some(tls) = &self.tls {
            tls.session.borrow_mut().close();
            // Whoever does not read must not keep the connection.
            let _ = timeout(FAREWELL_MAX, self.send_waiting(tls, Others::Await)).await;
        }
        let _ = self.stream.shutdown_write();
    }
}

impl Line for Transport {
    async fn read(&self, buffer: &mut Vec<u8>, most: usize) -> Result<usize, String> {
        self.read(buffer, most).await.map_err(|error| error.to_string())
    }

    async fn write(&self, bytes: &[u8]) -> Result<(), String> {
        self.write_all(bytes).await.map_err(|error| error.to_string())
    }

    async fn write_both(&self, head: &[u8], body: &[u8]) -> Result<(), String> {
        let mut slices = [IoSlice::new(head), IoSlice::new(body)];
        self.write_vectored(&mut slices).await.map_err(|error| error.to_string())
    }

    fn close(&self) {
        let _ = self.stream().shutdown();
    }
}

/// The program's connections, its executor's clock and tasks.
#[derive(Clone, Copy)]
pub struct Sockets;

impl Roads for Sockets {
    type Line = Transport;
    type Task = Task<()>;
    const PARTS_BYTES_MAX: u64 = 1024 * 1024;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn millis(&self) -> Millis {
        now_millis()
    }

    async fn sleep(&self, time: Duration) {
        sleep(time).await;
    }

    fn spawn(&self, _what: &'static str, task: impl Future<Output = ()> + 'static) -> Task<()> {
        spawn_local(task)
    }

    async fn cancel(&self, task: Task<()>) {
        task.cancel().await;
    }
}

impl Tls {
    fn feed(&self, ciphertext: &[u8], taker: &mut impl Taker) -> Result<usize, TlsError> {
        let mut session = self.session.borrow_mut();
        if let Some(buffer) = taker.only_buffer() {
            return session.feed(ciphertext, buffer);
        }
        let mut plaintext = Vec::with_capacity(ciphertext.len());
        let fed = session.feed(ciphertext, &mut plaintext);
        taker.take(&plaintext);
        fed
    }
}

#[derive(PartialEq, Eq)]
enum Fed {
    Plaintext(usize),
    Nothing,
    End,
}

/// Whether a connection ended for the certificate of one of its sides, or for want of one.
pub fn is_about_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    inner.is_some_and(TlsError::is_about_certificate)
}

fn tls_error(error: TlsError) -> io::Error {
    io::Error::other(error)
}
