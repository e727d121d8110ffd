//! A session with a Redis: one connection, on which it sends an RDB and then commands, and we say how far we are.
//!
//! ```text
//!   read ─► load ─► shards          until the RDB has ended
//!   read ─► stream ─► shards        from there on
//!   speak: "\n" while we load, then REPLCONF ACK
//! ```
//!
//! It ends when anything breaks; what was handed to shards is waited for, so that afterwards the position says
//! exactly what is applied.

use super::machine::{Happened, Machine};
use super::payload::Extent;
use crate::bell::Bell;
use crate::here::Here;
use crate::info::Progress;
use crate::replica::helm::Steered;
use crate::replica::reason::Reason;
use crate::standing::{AtRest, StreamPosition};
use crate::transport::Transport;
use engine::exec::Front;
use engine::resp::client::encode_command;
use engine::rt::{self, Task};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// See the module's doc.
pub(crate) struct Session {
    link: Rc<dyn Steered<Machine>>,
    /// The attempt that brought it.
    attempt: u64,
    pub(super) front: Rc<Front>,
    transport: Transport,
    /// What had arrived before the session began.
    unread: RefCell<Vec<u8>>,
    extent: RefCell<Option<Extent>>,
    /// Where the stream begins, and when all is over where it is applied.
    pub(super) position: RefCell<StreamPosition>,
    /// Bytes of the stream that are applied.
    pub(super) applied: Cell<u64>,
    is_loading: Cell<bool>,
    /// How far the RDB is loaded, in keys.
    pub(super) progress: Cell<Option<Progress>>,
    pub(super) began: Instant,
    last_io: Cell<Instant>,
    /// There is something to be said.
    says: Bell,
    /// It has ended, or is held, or goes on: who waits for something looks up.
    pub(super) broke: Bell,
    speaking: RefCell<Option<Task<()>>>,
    /// So many want nothing handed out, so that the data stands at one place of the stream; and whether it does.
    holds: Cell<u32>,
    is_at_rest: Cell<bool>,
    held: Bell,
    is_done: Cell<bool>,
    done: Bell,
}

/// What a session is made of.
pub(super) struct Opened {
    pub(super) transport: Transport,
    /// What has arrived.
    pub(super) unread: Vec<u8>,
    /// Where the stream goes on.
    pub(super) from: StreamPosition,
    /// The RDB that comes before, if one does.
    pub(super) extent: Option<Extent>,
}

impl Session {
    /// The session of an attempt of `link` on `here`.
    pub(super) fn new(
        here: &Here,
        (link, attempt): (Rc<dyn Steered<Machine>>, u64),
        opened: Opened,
    ) -> Rc<Session> {
        let Opened { transport, unread, from, extent } = opened;
        let now = Instant::now();
        Rc::new(Session {
            link,
            attempt,
            front: here.front.clone(),
            transport,
            unread: RefCell::new(unread),
            is_loading: Cell::new(extent.is_some()),
            extent: RefCell::new(extent),
            applied: Cell::new(from.offset),
            position: RefCell::new(from),
            progress: Cell::new(None),
            began: now,
            last_io: Cell::new(now),
            says: Bell::default(),
            broke: Bell::default(),
            speaking: RefCell::default(),
            holds: Cell::new(0),
            is_at_rest: Cell::new(false),
            held: Bell::default(),
            is_done: Cell::new(false),
            done: Bell::default(),
        })
    }

    /// Begins to say how far we are.
    pub(super) fn begin(self: &Rc<Session>) {
        *self.speaking.borrow_mut() = Some(rt::spawn_local(speak(self.clone())));
    }

    /// What had arrived, and the RDB that comes, if one does.
    pub(super) fn take_opened(&self) -> (Vec<u8>, Option<Extent>) {
        (self.unread.take(), self.extent.take())
    }

    /// The RDB is loaded: commands come.
    pub(super) fn loaded(&self) {
        if self.is_loading.replace(false) {
            self.happened(Happened::Loaded);
        }
    }

    /// Everything that was handed out is applied.
    pub(super) fn end(&self) {
        self.is_done.set(true);
        self.done.ring();
        self.held.ring();
    }

    /// Hands out nothing more until all who held it have [let it go](Session::let_go), and waits until what was is applied.
    pub(super) async fn hold(&self) {
        self.holds.set(self.holds.get() + 1);
        let goes = GoesOnUnlessHeld(self);
        self.broke.ring();
        while !self.is_at_rest.get() && !self.is_done.get() {
            self.held.wait().await;
        }
        // A bell is heard by one: whoever else waits for the same looks next.
        self.held.ring();
        std::mem::forget(goes);
    }

    /// Goes on.
    pub(crate) fn let_go(&self) {
        self.holds.set(self.holds.get() - 1);
        self.broke.ring();
    }

    /// What it says of the data while it is held.
    pub(crate) fn at_rest(&self) -> AtRest {
        let stream = Some(self.position.borrow().clone());
        AtRest { is_exact: self.link.helm().machine().is_exact(), stream }
    }

    /// Whether nothing is to be handed out.
    pub(super) fn is_held(&self) -> bool {
        self.holds.get() > 0
    }

    /// All is applied that was handed out, up to `position`: waits until it may go on, or has ended.
    pub(super) async fn rest(&self, position: StreamPosition) {
        *self.position.borrow_mut() = position;
        self.is_at_rest.set(true);
        self.held.ring();
        while self.is_held() && !self.is_broken() {
            self.broke.wait().await;
        }
        self.is_at_rest.set(false);
    }

    /// The session has ended: closes its connection and waits until everything that was handed out is applied.
    pub(super) async fn drain(&self) {
        let _ = self.transport.stream().shutdown();
        self.broke.ring();
        let speaking = self.speaking.borrow_mut().take();
        if let Some(speaking) = speaking {
            speaking.cancel().await;
        }
        while !self.is_done.get() {
            self.done.wait().await;
        }
    }

    /// How far we are is to be said.
    pub(super) fn say(&self) {
        self.says.ring();
    }

    /// Bytes of the stream that are applied; none while the RDB loads.
    pub(super) fn applied(&self) -> u64 {
        self.applied.get()
    }

    /// Where the stream is applied, when all is over.
    pub(super) fn position(&self) -> Option<StreamPosition> {
        self.is_done.get().then(|| self.position.borrow().clone())
    }

    /// How far a full sync is.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.progress.get().filter(|_| self.is_loading.get())
    }

    /// Time since something arrived.
    pub(super) fn idle(&self) -> Duration {
        self.last_io.get().elapsed()
    }

    /// Whether it has ended.
    pub(super) fn is_broken(&self) -> bool {
        !self.link.helm().machine().is_in_session_of(self.attempt)
    }

    pub(super) fn happened(&self, happened: Happened) {
        self.link.happened(self.attempt, happened);
    }

    /// Where the master is reached.
    pub(super) fn peer_addr(&self) -> Option<std::net::SocketAddr> {
        self.transport.peer_addr()
    }

    /// Whether what comes wakes anybody; not while it is left to become more.
    pub(super) fn listen(&self, to_what_comes: bool) {
        self.transport.stream().listen(to_what_comes);
    }

    /// Reads what there is; may be dropped, and has read nothing then.
    pub(super) async fn read(&self, buffer: &mut Vec<u8>) -> Result<(), Reason> {
        while self.link.is_paused() && !self.is_broken() {
            rt::sleep(Duration::from_millis(20)).await;
        }
        self.happened(Happened::Reads);
        let rests = RestsUnlessRead(self);
        let read = self.transport.read(buffer, READ_BYTES).await;
        std::mem::forget(rests);
        self.happened(Happened::Read);
        match read {
            Ok(0) => Err("the master closed the connection".to_owned().into()),
            Ok(_) => {
                self.last_io.set(Instant::now());
                Ok(())
            }
            Err(error) => Err(format!("the connection to the master was lost: {error}").into()),
        }
    }
}

/// Somebody waits until it is held: dropped where that is given up.
struct GoesOnUnlessHeld<'a>(&'a Session);

impl Drop for GoesOnUnlessHeld<'_> {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

/// A read under way: dropped where that is given up.
struct RestsUnlessRead<'a>(&'a Session);

impl Drop for RestsUnlessRead<'_> {
    fn drop(&mut self) {
        self.0.happened(Happened::Rests);
    }
}

/// Says how far we are, whenever the machine says that it is time.
async fn speak(session: Rc<Session>) {
    loop {
        session.says.wait().await;
        let mut bytes = Vec::new();
        if session.is_loading.get() {
            // It waits for nothing yet but that we live.
            bytes.push(b'\n');
        } else {
            let applied = session.applied.get().to_string();
            encode_command(&mut bytes, &[b"REPLCONF", b"ACK", applied.as_bytes()]);
        }
        if let Err(error) = session.transport.write_all(&bytes).await {
            let reason = format!("the connection to the master was lost: {error}");
            session.happened(Happened::Broke(reason.into()));
            return;
        }
    }
}
