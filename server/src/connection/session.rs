//! What a connection remembers between requests.

use super::input::Input;
use super::queue::Multi;
use super::stopwatch::{Stopwatch, Watched};
use super::subscriber::Subscriber;
use super::unread::Unread;
use crate::clients::Client;
use crate::config::{Config, OutputLimit};
use crate::gates::{self, Asker};
use crate::pauses;
use crate::server::Server;
use engine::command::{Args, Entry, Flags, Outcome, Refusal, ReplyRoom, Run, Walk, Who};
use engine::db::{WatchFlag, WatchKey};
use engine::exec::{Front, Pipeline};
use engine::resp::{Output, Protocol, ReplyWriter};
use engine::rt;
use engine::shard::Piece;
use engine::types::{DbIndex, Lsn, shard_of};
use replication::transport::Transport;
use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long one visit to the shard may take before the others get their turn: a client that sends as fast
/// as it can must not have the executor for itself. Long enough for some hundred requests, so that going
/// round costs little.
pub(super) const VISIT_MAX: Duration = rt::task::POLL_INTERVAL;

/// An answer that comes this soon still reaches a client that has ended its side and reads on, as
/// `printf ... | nc` does.
const FAREWELL: Duration = Duration::from_millis(100);

/// How long what only reads goes on for a client that has ended its side: as `printf ... | nc` does, which reads on.
pub(super) const READ_FAREWELL: Duration = Duration::from_secs(5);

/// From when on the client of a wide command that only reads is watched: most are done long before.
const WATCHED_AFTER: Duration = Duration::from_millis(50);

/// `CLIENT REPLY`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyMode {
    /// Replies are sent.
    On,
    /// None is.
    Off,
    /// The next command's is not.
    SkipNext,
    /// This command's is not.
    Skip,
}

/// The connection leaves this executor: the replication executor takes it over.
pub struct Handoff(pub replication::Takeover);

/// A function that answers at once.
pub(super) type Now = fn(&mut Session, Args<'_>, &mut ReplyWriter<'_>) -> Outcome;

/// A function that has to wait for others.
pub(super) type Later = for<'a> fn(&'a mut Session, Args<'a>, &'a mut Output) -> Waiting<'a>;

/// What a [`Later`] function returns.
pub(super) type Waiting<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// The function of a front command.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Answers at once.
    Now(Now),
    /// Waits; a fence in its connection's pipeline.
    Later(Later),
}

/// The functions of the commands that run where the connection lives, by command id.
pub type Handlers = &'static [Option<Handler>];

/// A connection's state.
pub struct Session {
    /// This executor.
    pub front: Rc<Front>,
    /// The program.
    pub server: Arc<Server>,
    handlers: Handlers,
    /// What others see of this connection.
    pub client: Arc<Client>,
    /// The connection itself: whoever waits for others watches whether its client is still there.
    transport: Rc<Transport>,
    /// What it has sent while a request of it waited.
    pub(super) unread: Unread,
    /// The settings as of the last read buffer.
    pub config: Arc<Config>,
    config_generation: u64,
    /// Requests on their way.
    pub pipeline: Pipeline,
    /// Large parts of replies that stand before what is being written.
    pub parts: Vec<Output>,
    /// What goes along with all requests: among it what the replies that are made just now may take.
    pub who: Who,
    /// SELECT.
    pub db: DbIndex,
    /// HELLO.
    pub protocol: Protocol,
    /// Whether AUTH was passed or is not needed.
    pub authenticated: bool,
    /// MULTI.
    pub multi: Option<Multi>,
    /// EXEC is running: what would wait for others answers at once.
    pub in_exec: bool,
    /// Time in which the running command slept.
    pub(super) slept: Duration,
    /// EXEC has begun to reply: each of its commands judges for itself whether its reply is wanted.
    pub(super) replies_apart: bool,
    /// A write over several shards whose journal positions have not been asked for: most connections
    /// never ask (WAIT).
    pub wrote_wide: bool,
    /// WATCH: raised when one of the keys was touched.
    pub watch_flag: Option<WatchFlag>,
    /// WATCH: the keys.
    pub watched: HashSet<WatchKey>,
    /// No gate of the node's own was closed when the running visit began: while it lasts, nobody waits and
    /// nothing is asked but what this connection itself can change.
    is_open: bool,
    /// When the running visit to the shard began.
    pub(super) visit_began: Instant,
    /// Who was slow.
    pub(super) stopwatch: Stopwatch,
    /// What it listens to, if it does.
    pub(super) subscriber: Option<Box<Subscriber>>,
    /// The reply of the running command is sent whatever CLIENT REPLY says.
    speaks_up: bool,
    /// What is being sent are messages, which the inbox counts.
    pub(super) delivers: bool,
    /// CLIENT REPLY.
    reply_mode: ReplyMode,
    /// The connection ends after what was written so far.
    pub close: bool,
    /// The connection leaves this executor.
    pub handoff: Option<Handoff>,
    /// What a replica has said about itself (REPLCONF) before it asks to follow.
    pub replica: replication::Introduction,
}

impl Session {
    /// A fresh connection's state.
    pub fn new(
        front: Rc<Front>,
        server: Arc<Server>,
        handlers: Handlers,
        client: Arc<Client>,
        transport: Rc<Transport>,
    ) -> Session {
        let config = server.settings.config();
        let mut session = Session {
            is_open: false,
            visit_began: rt::monotonic(),
            stopwatch: Stopwatch::new(&config),
            front,
            config_generation: server.settings.generation(),
            server,
            handlers,
            client,
            transport,
            unread: Unread::default(),
            config,
            pipeline: Pipeline::default(),
            who: Who { room: ReplyRoom::of(0), ..Who::default() },
            parts: Vec::new(),
            db: DbIndex(0),
            protocol: Protocol::Resp2,
            authenticated: false,
            multi: None,
            in_exec: false,
            slept: Duration::ZERO,
            replies_apart: false,
            wrote_wide: false,
            watch_flag: None,
            watched: HashSet::new(),
            subscriber: None,
            speaks_up: false,
            delivers: false,
            reply_mode: ReplyMode::On,
            close: false,
            handoff: None,
            replica: replication::Introduction::default(),
        };
        session.authenticated = session.needs_no_password();
        session.who.room.set_most(session.output_limit().hard_bytes);
        session
    }

    /// When it is closed because it does not read its replies.
    pub(super) fn output_limit(&self) -> OutputLimit {
        let limits = self.config.client_output_buffer_limit;
        if self.client.is_subscriber() { limits.pubsub } else { limits.normal }
    }

    /// It has begun to listen to something, or ended: other limits and gates are for it.
    pub(super) fn subscriptions_changed(&mut self) {
        self.who.room.set_most(self.output_limit().hard_bytes);
        self.is_open = false;
    }

    /// What the running command says is sent though CLIENT REPLY wants no replies.
    pub fn speaks_up(&mut self) {
        // Where replies are wanted no end of a command takes it back: the next one that is silent would speak.
        self.speaks_up = self.is_silent();
    }

    /// Whether every password is right, and none is needed.
    pub fn needs_no_password(&self) -> bool {
        self.config.requirepass.is_empty() || (self.client.admin && self.config.admin_nopass)
    }

    /// Whether commands are open to this connection. A password set later leaves those alone who
    /// came in without one.
    pub fn may_ask(&self) -> bool {
        self.authenticated || self.needs_no_password()
    }

    /// The most bytes of one request, or of MULTI's queue. Below a megabyte (Redis's least) nothing
    /// sensible could be said.
    pub fn request_limit(&self) -> u64 {
        self.config.client_query_buffer_limit.max(1 << 20)
    }

    /// The bytes of [`parts`](Session::parts).
    pub fn parts_bytes(&self) -> usize {
        self.parts.iter().map(Output::whole).sum()
    }

    /// SELECT.
    pub fn select(&mut self, db: DbIndex) {
        self.db = db;
        self.client.db.store(db.0, Ordering::Relaxed);
    }

    /// HELLO.
    pub fn speak(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        // Who listens may ask for more or less.
        self.is_open = false;
        let number = if protocol == Protocol::Resp3 { 3 } else { 2 };
        self.client.protocol.store(number, Ordering::Relaxed);
    }

    /// Whether there are more replies than may wait. Then the connection is to end, and what stands behind
    /// in what was read is not done.
    pub(super) fn is_over_output(&mut self, out: &Output) -> bool {
        let is_over = !self.who.room.is_open_to(out.whole());
        self.close |= is_over;
        is_over
    }

    /// CLIENT NO-TOUCH.
    pub fn set_no_touch(&mut self, on: bool) {
        self.client.no_touch.store(on, Ordering::Relaxed);
        self.who.no_touch = on;
    }

    /// Whether the reply of the command that runs just now is not sent.
    pub fn is_silent(&self) -> bool {
        matches!(self.reply_mode, ReplyMode::Off | ReplyMode::Skip)
    }

    /// CLIENT REPLY as it stands.
    pub fn reply_mode(&self) -> ReplyMode {
        self.reply_mode
    }

    /// CLIENT REPLY.
    pub fn set_reply_mode(&mut self, mode: ReplyMode) {
        self.reply_mode = mode;
        self.who.silent = self.is_silent();
    }

    /// A command begins: `CLIENT REPLY SKIP` before it was meant for it.
    pub fn begin_command(&mut self) {
        if self.reply_mode == ReplyMode::SkipNext {
            self.set_reply_mode(ReplyMode::Skip);
        }
    }

    /// A request of nothing: as in Redis, `CLIENT REPLY SKIP` before it was meant for it.
    pub(super) fn skip_nothing(&mut self) {
        if self.reply_mode == ReplyMode::SkipNext {
            self.reply_mode = ReplyMode::On;
        }
    }

    /// Lets go of the reply from `start` on, and of the room that it took where nothing else waits.
    pub fn drop_reply(&self, start: usize, out: &mut Output) {
        out.truncate(start);
        if out.is_empty() && self.parts.is_empty() {
            self.who.room.give_back();
        }
    }

    /// A command ends. Takes its reply, from `start` on, back when nobody wants it.
    pub fn end_command(&mut self, start: usize, out: &mut Output) {
        let speaks_up = std::mem::take(&mut self.speaks_up);
        if matches!(self.reply_mode, ReplyMode::Off | ReplyMode::Skip | ReplyMode::SkipNext)
            && !speaks_up
        {
            self.drop_reply(start, out);
        }
        if self.reply_mode == ReplyMode::Skip {
            self.set_reply_mode(ReplyMode::On);
        }
    }

    /// Takes over settings that changed, and notes the time of the request.
    pub fn refresh(&mut self) {
        let generation = self.server.settings.generation();
        if generation != self.config_generation {
            self.config = self.server.settings.config();
            self.config_generation = generation;
            self.stopwatch.configure(&self.config);
            self.who.room.set_most(self.output_limit().hard_bytes);
        }
        self.is_open = gates::are_open(&self.server, &self.config, &self.client);
        let now = rt::monotonic();
        self.stopwatch.start(now);
        self.visit_began = now;
        let age = now.duration_since(self.client.since).as_millis() as u64;
        self.client.last_request_ms.store(age, Ordering::Relaxed);
    }

    /// Asks the gates about a command that was found.
    pub fn admit(
        &self,
        entry: Result<&'static Entry, &Refusal>,
    ) -> Result<&'static Entry, Refusal> {
        let entry = entry.map_err(Refusal::clone)?;
        self.client.last_command.store(u32::from(entry.id), Ordering::Relaxed);
        self.pass_gates(entry)?;
        Ok(entry)
    }

    /// The same during a visit, in which nobody has waited since it began.
    #[inline]
    pub(super) fn admit_in_visit(
        &self,
        entry: Result<&'static Entry, &Refusal>,
    ) -> Result<&'static Entry, Refusal> {
        match entry {
            Ok(entry) if self.is_open && self.multi.is_none() && self.may_ask() => {
                self.client.last_command.store(u32::from(entry.id), Ordering::Relaxed);
                Ok(entry)
            }
            entry => self.admit(entry),
        }
    }

    /// Whether the gates are open for a command, as things stand now.
    pub(super) fn pass_gates(&self, entry: &Entry) -> Result<(), Refusal> {
        let Session { server, config, client, .. } = self;
        let (may_ask, is_queueing) = (self.may_ask(), self.multi.is_some());
        gates::pass(&Asker { server, config, client, may_ask, is_queueing }, entry)
    }

    /// Whether the request cannot be part of a pipeline, for the connection's reasons.
    pub fn must_run_alone(&self, entry: &Entry) -> bool {
        self.multi.is_some()
            || self.hushes_alone(entry)
            || matches!(self.handler(entry), Some(Handler::Later(_)))
            || self.server.clients.pause().is_some()
    }

    /// Whether the request must run alone because its reply may not be wanted. With `CLIENT REPLY OFF`
    /// data commands need not: nobody wants any of the pipeline's replies.
    fn hushes_alone(&self, entry: &Entry) -> bool {
        match self.reply_mode {
            ReplyMode::On => false,
            ReplyMode::Off => entry.command.is_front(),
            ReplyMode::SkipNext | ReplyMode::Skip => true,
        }
    }

    /// Whether a refusal needs the slow way: it has to wait for replies before it, spoils a MULTI, or
    /// nobody wants to read it.
    pub fn refuses_alone(&self) -> bool {
        !self.pipeline.is_empty() || self.multi.is_some() || self.reply_mode != ReplyMode::On
    }

    /// The function of a command that runs here.
    pub fn handler(&self, entry: &Entry) -> Option<Handler> {
        self.handlers[usize::from(entry.id)]
    }

    /// Writes why a request was not admitted.
    pub fn reject(&self, args: &Args<'_>, refusal: &Refusal, out: &mut Output) {
        self.note_rejected(args);
        self.refuse(refusal, out);
    }

    /// Counts a request that was not admitted, also one of too few or too many arguments.
    pub fn note_rejected(&self, args: &Args<'_>) {
        if let Some(entry) = self.server.registry.named(args) {
            self.server.front_stats.rejected(entry.id);
        }
    }

    /// Writes the error of a command that ran and failed.
    pub fn refuse(&self, refusal: &Refusal, out: &mut Output) {
        self.server.counters.note_error(&refusal.text());
        ReplyWriter::new(out, self.protocol).error(refusal.bytes());
    }

    /// The stopwatch, and whom it tells.
    fn watch_time(&mut self) -> (&mut Stopwatch, Watched<'_>) {
        let here = (self.front.me.0, self.front.node.shards());
        let Session { stopwatch, server, client, config, .. } = self;
        (stopwatch, Watched { server, client, config, here })
    }

    /// Ends the stretch of what ran here.
    pub(super) fn look_at_clock(&mut self, input: &Input) {
        let (stopwatch, watched) = self.watch_time();
        stopwatch.look(&watched, input);
    }

    /// The visit to the shard is over: how long it was. The stopwatch has just looked at the clock, unless
    /// nobody wants to know who was slow.
    pub(super) fn note_visit(&self) {
        let took = self.stopwatch.last_look().saturating_duration_since(self.visit_began);
        self.front.pieces.note(Piece::Visit, took);
    }

    /// Ends the stretch of what a flush has waited for.
    pub(super) fn look_after_flush(&mut self, input: &Input) {
        let (stopwatch, watched) = self.watch_time();
        stopwatch.after_flush(&watched, input);
    }

    /// A command that ran by itself took so long.
    pub(super) fn took(&mut self, entry: &Entry, args: &Args<'_>, took: Duration) {
        let (stopwatch, watched) = self.watch_time();
        stopwatch.alone(&watched, entry, args, took);
    }

    /// A call that was timed anyhow goes into its command's distribution.
    pub(super) fn note_latency(&self, entry: &Entry, took: Duration) {
        if self.config.latency_tracking {
            self.server.histograms.note(entry.id, took);
        }
    }

    /// Notes that a command ran.
    pub fn ran(&mut self) {
        let commands = self.client.commands.load(Ordering::Relaxed);
        self.client.commands.store(commands + 1, Ordering::Relaxed);
    }

    /// Waits while CLIENT PAUSE holds this command up; answers whether it had to.
    ///
    /// CLIENT's own commands pass, or nobody could end a pause. EXEC writes if its queue does, and a message counts
    /// as a write: replicas are told it.
    /// If the client leaves meanwhile, the connection is to [`close`](Session::close).
    pub async fn wait_for_pause(&mut self, entry: &Entry) -> bool {
        let queue_writes = || self.multi.as_ref().is_some_and(Multi::may_change);
        let writes = entry.may_change() || (entry.name() == "exec" && queue_writes());
        let exempt = self.client.admin || entry.name().starts_with("client|");
        let mut waited = false;
        while let Some(pause) = self.server.clients.pause() {
            let killed = self.client.killed.load(Ordering::Acquire);
            if exempt || killed || (pause.only_writes && !writes) {
                break;
            }
            waited = true;
            let left = pause.until.saturating_duration_since(Instant::now());
            let ended = async {
                self.gone().await;
                true
            };
            let slept = async {
                pauses::sleep(left).await;
                false
            };
            if futures_lite::future::or(ended, slept).await {
                self.close = true;
                break;
            }
        }
        waited
    }

    /// Whether a request may wait for others for as long as it takes: what stands before it in its
    /// pipeline is answered first.
    pub fn may_wait_long(&self, entry: &Entry) -> bool {
        let waits = entry.command.flags.intersects(Flags::BLOCKING.union(Flags::ADMIN));
        // A long walk passes messages on meanwhile.
        let walks = matches!(entry.command.run, Run::Walk(Walk { long: true, .. }));
        let waits = waits || (walks && self.subscriber.is_some());
        (waits && self.multi.is_none()) || self.server.clients.pause().is_some()
    }

    /// The output of `wait`, unless the client leaves before or is killed; then the wait is dropped.
    ///
    /// For waits that may last. What waits for keys does not need it: whoever holds keys waits for
    /// nothing but other shards. As in Redis, a client that ends its side has left.
    pub async fn unless_gone<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        self.unless_gone_for(FAREWELL, wait).await
    }

    /// As [`unless_gone`](Session::unless_gone), but a client that has ended its side has this long.
    pub async fn unless_gone_for<T>(
        &self,
        farewell: Duration,
        wait: impl Future<Output = T>,
    ) -> Option<T> {
        let gone = async {
            self.gone().await;
            rt::sleep(farewell).await;
            None
        };
        let waited = futures_lite::future::or(async { Some(wait.await) }, gone);
        match &self.subscriber {
            // In a box, as most connections listen to nothing. Part of EXEC's reply may have gone out already.
            Some(subscriber) if !self.in_exec => {
                Box::pin(subscriber.pass_on_during(&self.transport, self.protocol, waited)).await
            }
            _ => waited.await,
        }
    }

    /// Waits for the pipeline's replies, as [`Pipeline::flush`]. Where that takes long the client is watched: what
    /// only reads ends soon after it has left, and so does the connection.
    pub(super) async fn flush_or_leave(
        &mut self,
        front: &Rc<Front>,
        out: &mut Output,
    ) -> io::Result<bool> {
        let limit = self.request_limit();
        let Session { pipeline, unread, transport, client, who, .. } = self;
        let beside = || async {
            unread.until_gone(transport, limit, &client.input_bytes).await;
            rt::sleep(READ_FAREWELL).await;
            who.room.leave();
        };
        let more = pipeline.flush_beside(front, out, beside).await;
        if self.who.room.is_left() {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(more)
        }
    }

    /// The outcome of a wide command that only reads and may take long; it ends soon after the client has left.
    pub(super) async fn or_leave<T>(&self, wide: impl Future<Output = T>) -> T {
        let late = async {
            rt::sleep(WATCHED_AFTER).await;
            self.gone().await;
            rt::sleep(READ_FAREWELL).await;
            self.who.room.leave();
            std::future::pending().await
        };
        futures_lite::future::or(wide, Box::pin(late)).await
    }

    /// Waits until the client has ended its side; what it sends meanwhile is kept.
    async fn gone(&self) {
        let (limit, shown) = (self.request_limit(), &self.client.input_bytes);
        // In a box: a connection that only waits is as large as its largest way of waiting.
        Box::pin(self.unread.until_gone(&self.transport, limit, shown)).await;
    }

    /// Per shard, the journal position after this connection's last write: what WAIT waits for.
    pub async fn written(&mut self) -> Vec<Lsn> {
        let wrote_wide = std::mem::take(&mut self.wrote_wide);
        if !wrote_wide && self.pipeline.written().is_empty() {
            return Vec::new();
        }
        let heads = self.front.call_all(|shard| shard.head()).await;
        if wrote_wide {
            for (shard, lsn) in self.front.node.all_shards().zip(heads.iter().copied()) {
                if lsn != Lsn(0) {
                    self.pipeline.wrote(shard, lsn);
                }
            }
        }
        // What was written to a journal that has ended since (this node was a replica meanwhile) may have a number
        // that the present one has not reached: all of the present one holds it too.
        let written = self.pipeline.written().iter();
        written.zip(heads).map(|(written, head)| head.min(*written)).collect()
    }

    /// Watches a key.
    pub async fn watch(&mut self, key: &[u8]) {
        let flag = self.watch_flag.get_or_insert_with(|| Arc::new(AtomicBool::new(false))).clone();
        let (db, key) = (self.db, Box::<[u8]>::from(key));
        if !self.watched.insert((db, key.clone())) {
            return;
        }
        self.client.watched.store(self.watched.len() as u32, Ordering::Relaxed);
        let shard = shard_of(&key, self.front.node.shards());
        self.front.call(shard, move |shard| shard.keys.watch(db, &key, &flag)).await;
    }

    /// Ends all watches.
    pub async fn forget_watches(&mut self) {
        let Some(flag) = self.watch_flag.take() else { return };
        self.client.watched.store(0, Ordering::Relaxed);
        for (index, (db, key)) in std::mem::take(&mut self.watched).into_iter().enumerate() {
            breathe_after(index).await;
            let shard = shard_of(&key, self.front.node.shards());
            let flag = flag.clone();
            self.front.call(shard, move |shard| shard.keys.unwatch(db, &key, &flag)).await;
        }
    }
}

/// Lets others have their turn now and then, where something is done for each of many keys.
pub(crate) async fn breathe_after(done: usize) {
    /// Some 100 us.
    const KEYS_IN_A_ROW: usize = 256;
    if done % KEYS_IN_A_ROW == KEYS_IN_A_ROW - 1 {
        rt::yield_now().await;
    }
}
