//! The whole node at about one moment: what INFO, the metrics and MEMORY STATS are written from.
//!
//! Shards are asked by one round of messages, replication by another; nothing is locked that a
//! request needs.

use crate::clients::Stage;
use crate::config::Config;
use crate::effect;
use crate::memory;
use crate::meters::latency::Distribution;
use crate::meters::stats::PerSecond;
use crate::server::{Counters, Server};
use engine::command::Entry;
use engine::db::KeyStats;
use engine::exec::Front;
use engine::shard::{CommandStats, ErrorCounts, Shard};
use engine::table::Cursor;
use engine::types::DbIndex;
use engine::value::Item;
use replication::info::Info;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// See the module's doc.
pub struct Picture {
    /// The settings.
    pub config: Arc<Config>,
    /// Replication on this node.
    pub replication: Info,
    /// Keys and keys with a deadline, by database.
    pub dbs: Vec<Db>,
    /// Counters of keys over all shards.
    pub keys: KeyStats,
    /// Changes of keys since the start, whatever was reset.
    pub changes: u64,
    /// Counters by command id, over shards and fronts.
    pub commands: Vec<CommandStats>,
    /// Error replies by their first word.
    pub errors: ErrorCounts,
    /// Memory.
    pub memory: Memory,
    /// Client connections.
    pub clients: Clients,
    /// Growth of the totals.
    pub rates: PerSecond,
    /// Entries that hold or wait for keys, over all shards.
    pub open_entries: usize,
    /// Keys that somebody waits for, and those of them where it does not matter what is there.
    pub awaited: (usize, usize),
}

/// One database over all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Db {
    /// Its keys.
    pub keys: usize,
    /// Those with a deadline.
    pub expires: usize,
    /// For how many of these the time they have left is known, and the milliseconds, all together: of
    /// a sample on each shard, stretched to the shard.
    pub left: (u64, u64),
}

impl Db {
    /// Milliseconds that a key with a deadline has left, in the mean.
    pub fn mean_ttl(&self) -> u64 {
        let (keys, millis) = self.left;
        millis.checked_div(keys).unwrap_or(0)
    }
}

/// Buckets looked at for the mean time to live of one database on one shard: some 20 microseconds.
const TTL_BUCKETS: usize = 128;

/// What [`Db::left`] says of one shard: a run of buckets at a random place stands for the whole.
fn left(shard: &Shard, db: DbIndex) -> (u64, u64) {
    let expires = shard.keys.expires(db) as u64;
    if expires == 0 {
        return (0, 0);
    }
    let (mut sum, mut count) = (0u64, 0u64);
    let (mut cursor, now) = (Cursor(fastrand::u64(..)), shard.keys.now());
    for _ in 0..TTL_BUCKETS {
        let next = shard.keys.table(db).walk(cursor, &mut |_, item: &Item| {
            if let Some(deadline) = item.deadline() {
                sum += deadline.0.saturating_sub(now.0);
                count += 1;
            }
        });
        // Around the end: a small table is looked at as a whole, at least once.
        cursor = next.unwrap_or(Cursor::START);
    }
    let whole = (u128::from(sum) * u128::from(expires)).checked_div(u128::from(count));
    whole.map_or((0, 0), |whole| (expires, whole as u64))
}

/// Memory of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// In use now.
    pub used: u64,
    /// The most that was in use.
    pub peak: u64,
    /// When the program began to serve.
    pub startup: u64,
    /// Resident.
    pub resident: u64,
    /// The most that was resident.
    pub resident_peak: u64,
    /// `maxmemory`, worked out.
    pub max: u64,
    /// Whether keys may be evicted.
    pub evicts: bool,
    /// What the machine grants.
    pub system: u64,
    /// Tables, items excluded.
    pub tables: u64,
    /// Journals: the shards', and those of a master that are relayed.
    pub journals: u64,
    /// Buffers of clients.
    pub clients: u64,
}

impl Memory {
    /// What is not data: the program itself, tables, journals, buffers.
    pub fn overhead(&self) -> u64 {
        (self.without_clients() + self.clients).min(self.used)
    }

    fn without_clients(&self) -> u64 {
        self.startup + self.tables + self.journals
    }

    /// Keys and values.
    pub fn dataset(&self) -> u64 {
        self.used - self.overhead()
    }

    /// What is not measured against `maxmemory`: what the journals hold beyond their share of it.
    pub fn not_counted(&self) -> u64 {
        self.journals - engine::db::journal_counted(self.journals, self.max, self.evicts)
    }

    /// Resident over used.
    pub fn fragmentation(&self) -> f64 {
        if self.used == 0 { 0.0 } else { self.resident as f64 / self.used as f64 }
    }
}

/// Client connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clients {
    /// Over the main listeners.
    pub normal: usize,
    /// Over the admin port.
    pub admin: usize,
    /// Input that waits, of all of them.
    pub input_bytes: u64,
    /// The longest waiting input.
    pub input_most: u64,
    /// The longest waiting output.
    pub output_most: u64,
    /// Those that watch keys.
    pub watching: usize,
    /// Those that listen to channels.
    pub subscribers: usize,
    /// Connections whose TLS handshake is not over: not clients yet.
    pub arriving: usize,
    /// Connections that ask for pages: no clients.
    pub http: usize,
}

/// What one shard tells.
struct ShardPart {
    dbs: Vec<Db>,
    keys: KeyStats,
    changes: u64,
    commands: Vec<CommandStats>,
    errors: ErrorCounts,
    tables: u64,
    open_entries: usize,
    awaited: (usize, usize),
}

fn look(shard: &mut Shard) -> ShardPart {
    let db = |index: usize| {
        let db = DbIndex(index as u16);
        let (keys, expires) = (shard.keys.len(db), shard.keys.expires(db));
        Db { keys, expires, left: left(shard, db) }
    };
    ShardPart {
        dbs: (0..shard.keys.db_count()).map(db).collect(),
        keys: shard.keys.stats,
        changes: shard.keys.changes().keys,
        commands: shard.stats.clone(),
        errors: shard.errors.clone(),
        tables: shard.keys.table_bytes() as u64,
        open_entries: shard.open_entries(),
        awaited: shard.keys.awaited_keys(),
    }
}

impl Picture {
    /// Asks everybody.
    pub async fn take(front: &Rc<Front>, server: &Arc<Server>) -> Picture {
        let parts = front.call_all(look).await;
        let replication = server.replication.info(front).await;
        let config = server.settings.config();
        let (clients, buffers) = clients(server);
        let journals = engine::journal::held_total();
        let mut picture = Picture {
            dbs: vec![Db::default(); server.node.dbs()],
            keys: KeyStats::default(),
            changes: 0,
            commands: vec![CommandStats::default(); server.registry.len()],
            errors: server.counters.errors(),
            memory: Memory {
                used: memory::used(),
                peak: memory::peak(),
                startup: memory::startup(),
                resident: memory::resident(),
                resident_peak: memory::resident_peak(),
                max: effect::maxmemory(&config),
                evicts: effect::bound(&config).evicts,
                system: memory::granted(),
                tables: 0,
                journals,
                clients: buffers,
            },
            clients,
            rates: server.rates.per_second(),
            open_entries: 0,
            awaited: (0, 0),
            config,
            replication,
        };
        parts.iter().for_each(|part| picture.add(part));
        server.front_stats.add_to(&mut picture.commands);
        // Each class was asked at a moment of its own: together they are no more than there is.
        let memory = &mut picture.memory;
        memory.clients = memory.clients.min(memory.used.saturating_sub(memory.without_clients()));
        picture
    }

    fn add(&mut self, part: &ShardPart) {
        for (db, more) in self.dbs.iter_mut().zip(&part.dbs) {
            db.keys += more.keys;
            db.expires += more.expires;
            db.left.0 += more.left.0;
            db.left.1 = db.left.1.saturating_add(more.left.1);
        }
        let (keys, more) = (&mut self.keys, &part.keys);
        keys.hits += more.hits;
        keys.misses += more.misses;
        keys.expired += more.expired;
        keys.evicted += more.evicted;
        keys.mutations += more.mutations;
        self.changes += part.changes;
        for (stats, more) in self.commands.iter_mut().zip(&part.commands) {
            stats.calls += more.calls;
            stats.nanos += more.nanos;
            stats.failed += more.failed;
            stats.rejected += more.rejected;
        }
        self.errors.merge(&part.errors);
        self.memory.tables += part.tables;
        self.open_entries += part.open_entries;
        self.awaited.0 += part.awaited.0;
        self.awaited.1 += part.awaited.1;
    }

    /// How long the calls of a command took.
    pub fn distribution(&self, server: &Server, entry: &Entry) -> Distribution {
        let stats = self.commands[usize::from(entry.id)];
        let mean = stats.nanos.checked_div(stats.calls).unwrap_or(0);
        server.histograms.of(entry.id, stats.calls, Duration::from_nanos(mean))
    }

    /// Commands run so far.
    pub fn commands_total(&self) -> u64 {
        self.commands.iter().map(|stats| stats.calls).sum()
    }

    /// Keys of all databases.
    pub fn keys_total(&self) -> usize {
        self.dbs.iter().map(|db| db.keys).sum()
    }
}

fn clients(server: &Server) -> (Clients, u64) {
    let (mut clients, mut buffers) = (Clients::default(), 0);
    for client in server.clients.all() {
        let input = client.input_bytes.load(Ordering::Relaxed);
        let output = client.output_bytes.load(Ordering::Relaxed);
        match client.stage() {
            Stage::Arriving => clients.arriving += 1,
            Stage::Http => clients.http += 1,
            Stage::Client if client.admin => clients.admin += 1,
            Stage::Client => clients.normal += 1,
        }
        clients.input_most = clients.input_most.max(input);
        let pushed = client.inbox().map_or(0, |inbox| inbox.waiting().0);
        clients.output_most = clients.output_most.max(output + pushed);
        clients.subscribers += usize::from(client.is_subscriber());
        clients.watching += usize::from(client.watched.load(Ordering::Relaxed) > 0);
        clients.input_bytes += input;
        buffers += input + client.output_memory() + client.queued_bytes.load(Ordering::Relaxed);
    }
    (clients, buffers)
}

/// Totals for rates, from what is known without asking.
pub(crate) fn totals(server: &Server) -> crate::meters::stats::Totals {
    crate::meters::stats::Totals {
        commands: server.rates.told() + server.front_stats.calls(),
        input_bytes: Counters::get(&server.counters.input_bytes),
        output_bytes: Counters::get(&server.counters.output_bytes),
    }
}
