//! What a connection remembers between requests.

use super::Multi;
use crate::clients::Client;
use crate::commands::Handler;
use crate::config::Config;
use crate::gates;
use crate::server::Server;
use engine::command::{Args, Entry, Refusal};
use engine::db::{WatchFlag, WatchKey};
use engine::exec::{Front, Pipeline};
use engine::resp::{Protocol, ReplyWriter};
use engine::rt;
use engine::types::{DbIndex, Lsn, shard_of};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// `CLIENT REPLY`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyMode {
    /// Replies are sent.
    On,
    /// None is.
    Off,
    /// The next command's is not.
    SkipNext,
}

/// The connection leaves this executor: the replication executor takes it over.
pub struct Handoff(pub replication::Takeover);

/// A connection's state.
pub struct Session {
    /// This executor.
    pub front: Rc<Front>,
    /// The program.
    pub server: Arc<Server>,
    /// What others see of this connection.
    pub client: Arc<Client>,
    /// The settings as of the last read buffer.
    pub config: Arc<Config>,
    config_generation: u64,
    /// Requests on their way.
    pub pipeline: Pipeline,
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
    /// WATCH: raised when one of the keys was touched.
    pub watch_flag: Option<WatchFlag>,
    /// WATCH: the keys.
    pub watched: Vec<WatchKey>,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// The connection ends after what was written so far.
    pub close: bool,
    /// The connection leaves this executor.
    pub handoff: Option<Handoff>,
    /// What a replica has said about itself (REPLCONF) before it asks to follow.
    pub replica: replication::Introduction,
}

impl Session {
    /// A fresh connection's state.
    pub fn new(front: Rc<Front>, server: Arc<Server>, client: Arc<Client>) -> Session {
        let config = server.settings.config();
        let nopass = config.requirepass.is_empty() || (client.admin && config.admin_nopass);
        Session {
            front,
            config_generation: server.settings.generation(),
            server,
            client,
            config,
            pipeline: Pipeline::default(),
            db: DbIndex(0),
            protocol: Protocol::Resp2,
            authenticated: nopass,
            multi: None,
            in_exec: false,
            watch_flag: None,
            watched: Vec::new(),
            reply_mode: ReplyMode::On,
            close: false,
            handoff: None,
            replica: replication::Introduction::default(),
        }
    }

    /// Takes over settings that changed, and notes the time of the request.
    pub fn refresh(&mut self) {
        let generation = self.server.settings.generation();
        if generation != self.config_generation {
            self.config = self.server.settings.config();
            self.config_generation = generation;
        }
        let age = self.client.since.elapsed().as_millis() as u64;
        self.client.last_request_ms.store(age, Ordering::Relaxed);
    }

    /// Asks the gates about a command that was found.
    pub fn admit(&self, entry: Result<&'static Entry, Refusal>) -> Result<&'static Entry, Refusal> {
        let entry = entry?;
        gates::pass(self, entry)?;
        Ok(entry)
    }

    /// Whether the request cannot be part of a pipeline, for the connection's reasons.
    pub fn must_run_alone(&self, entry: &Entry) -> bool {
        self.multi.is_some()
            || self.reply_mode != ReplyMode::On
            || matches!(self.handler(entry), Some(Handler::Later(_)))
            || self.server.clients.pause().is_some()
    }

    /// The function of a command that runs here.
    pub fn handler(&self, entry: &Entry) -> Option<Handler> {
        self.server.handlers[usize::from(entry.id)]
    }

    /// Writes why a request was not admitted.
    pub fn reject(&mut self, args: &Args<'_>, refusal: &Refusal, out: &mut Vec<u8>) {
        if let Ok(entry) = self.server.registry.resolve(args) {
            self.server.front_stats.rejected(entry.id);
        }
        self.refuse(refusal, out);
    }

    /// Writes an error. A refused command spoils a MULTI.
    pub fn refuse(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        self.server.counters.note_error(&refusal.text());
        if let Some(multi) = &mut self.multi {
            multi.spoiled = true;
        }
        ReplyWriter::new(out, self.protocol).error(refusal.text().as_bytes());
    }

    /// Notes that a command ran.
    pub fn ran(&mut self, entry: &Entry) {
        self.client.last_command.store(u32::from(entry.id), Ordering::Relaxed);
        let commands = self.client.commands.load(Ordering::Relaxed);
        self.client.commands.store(commands + 1, Ordering::Relaxed);
    }

    /// Waits while CLIENT PAUSE holds this command up.
    pub async fn wait_for_pause(&self, entry: &Entry) {
        while let Some(pause) = self.server.clients.pause() {
            let exempt = self.client.admin || entry.name().starts_with("client|");
            if exempt || (pause.only_writes && !entry.writes()) {
                return;
            }
            // A pause may be ended early: look again soon.
            let left = pause.until.saturating_duration_since(Instant::now());
            rt::sleep(left.min(Duration::from_millis(10))).await;
        }
    }

    /// After a write over several shards: what WAIT has to wait for.
    pub async fn note_wide_write(&mut self) {
        let heads = self.front.call_all(|shard| shard.head()).await;
        for (shard, lsn) in self.front.node.all_shards().zip(heads) {
            if lsn != Lsn(0) {
                self.pipeline.wrote(shard, lsn);
            }
        }
    }

    /// Watches a key.
    pub async fn watch(&mut self, key: &[u8]) {
        let flag = self.watch_flag.get_or_insert_with(|| Arc::new(AtomicBool::new(false))).clone();
        let (db, key) = (self.db, Box::<[u8]>::from(key));
        if self.watched.iter().any(|watched| watched.0 == db && watched.1 == key) {
            return;
        }
        self.watched.push((db, key.clone()));
        self.client.watched.store(self.watched.len() as u32, Ordering::Relaxed);
        let shard = shard_of(&key, self.front.node.shards());
        self.front.call(shard, move |shard| shard.keys.watch(db, &key, &flag)).await;
    }

    /// Ends all watches.
    pub async fn forget_watches(&mut self) {
        let Some(flag) = self.watch_flag.take() else { return };
        self.client.watched.store(0, Ordering::Relaxed);
        for (db, key) in std::mem::take(&mut self.watched) {
            let shard = shard_of(&key, self.front.node.shards());
            let flag = flag.clone();
            self.front.call(shard, move |shard| shard.keys.unwatch(db, &key, &flag)).await;
        }
    }
}
