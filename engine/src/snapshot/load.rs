//! A data set that comes as a file or a stream becomes that of this node.

use super::batch::{Batch, Options, Outcome, keep};
use super::parts::SUMMARY;
use crate::exec::{Breath, Front, Waiter};
use crate::libraries::{self, BYTES_MAX};
use crate::rdb::file::{Event, FileError, KeyFacts, Reader, Used};
use crate::rdb::forms::Limits;
use crate::rdb::{Assembly, Kind, Part};
use crate::shard::{Answer, ExecutorId, Message, Shard};
use crate::types::{DbIndex, Millis, ShardId, shard_of};
use crate::value::{NewValue, Rope, SharedValue};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Bytes that are read before others have their turn: summing them up takes some 20 us.
const PIECE: usize = 32 * 1024;

/// Batches that are under way to each shard: so much that it has enough to do until an executor that had to be woken
/// has brought more.
const UNDER_WAY: usize = 4;

/// What is said about a file is kept up to so many bytes; the rest is of no use to us.
const AUX_MAX: usize = 64 * 1024;

/// A file that says at which position its data is: whoever goes on there has the keys whose time has come, and is told
/// when they go.
const POSITION: &str = "damselfly-lsns";

/// What was loaded.
#[derive(Clone, Default, Debug)]
pub struct Loaded {
    /// The version of the form.
    pub version: u16,
    /// Keys.
    pub keys: u64,
    /// Keys whose time had come.
    pub expired: u64,
    /// Keys with nothing in them: old versions of Redis left such ones behind.
    pub empty: u64,
    /// Keys that only a module knows, which are left out.
    pub modules: u64,
    /// What else modules had written, which is left out.
    pub module_data: u64,
    /// Libraries of functions.
    pub libraries: u64,
    /// Those that are left out: of Redis 7.0's first candidates, without a name, or too long.
    pub libraries_left_out: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// How many keys were announced.
    pub announced: u64,
    /// What is said about the file, by name.
    pub aux: BTreeMap<String, Vec<u8>>,
}

impl Loaded {
    /// Beside it, a part of the same snapshot was loaded.
    pub fn add(&mut self, part: &Loaded) {
        self.version = self.version.max(part.version);
        for (sum, more) in [
            (&mut self.keys, part.keys),
            (&mut self.expired, part.expired),
            (&mut self.empty, part.empty),
            (&mut self.modules, part.modules),
            (&mut self.module_data, part.module_data),
            (&mut self.bytes, part.bytes),
            (&mut self.announced, part.announced),
        ] {
            *sum += more;
        }
    }

    /// What is said about the file tells those who go on from there when keys end.
    pub fn keeps_expired(&self) -> bool {
        self.aux.contains_key(POSITION)
    }
}

/// Loading under way: bytes go in, in pieces of any size; keys come to stand on their shards. Nobody else may
/// write meanwhile. After an error what was loaded stays, and it is of no more use.
pub struct Loader {
    front: Rc<Front>,
    waiter: Waiter,
    breath: Breath,
    options: Options,
    reader: Reader,
    limits: Limits,
    /// What is collected for each shard.
    batches: Vec<Box<Batch>>,
    under_way: Vec<usize>,
    spare: Vec<Box<Batch>>,
    long: Option<Long>,
    libraries: libraries::Set,
    loaded: Loaded,
    /// The database that was named last.
    db: DbIndex,
}

/// A long value that comes in parts.
struct Long {
    db: DbIndex,
    key: Vec<u8>,
    expires: Option<Millis>,
    used: Option<Used>,
    at: u64,
    value: LongValue,
}

enum LongValue {
    String(Rope),
    /// Left out in the end, where it is of a kind that is not here.
    Parts(Box<Assembly>),
}

/// What a shard did with a long value.
struct Kept(ShardId, Result<(), FileError>);

impl Loader {
    /// Nothing is loaded yet.
    pub async fn new(front: &Rc<Front>, options: Options) -> Loader {
        let shards = usize::from(front.node.shards());
        let limits = |shard: &mut Shard| shard.keys.encodings().of_forms();
        Loader {
            limits: front.call(ShardId(0), limits).await,
            front: front.clone(),
            waiter: front.waiter(),
            breath: front.breath(),
            options,
            reader: Reader::default(),
            batches: (0..shards).map(|_| Box::default()).collect(),
            under_way: vec![0; shards],
            spare: Vec::new(),
            long: None,
            libraries: libraries::Set::new(),
            loaded: Loaded::default(),
            db: DbIndex(0),
        }
    }

    /// Takes more bytes; waits while shards have enough to do.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        for piece in bytes.chunks(PIECE) {
            self.reader.push(piece);
            self.read().await?;
            self.breath.after(Breath::LOOK).await;
        }
        Ok(())
    }

    /// Whether all of the data set has been read. Bytes behind its end are ignored.
    pub fn is_at_end(&self) -> bool {
        self.reader.is_at_end()
    }

    /// What is loaded so far.
    pub fn so_far(&self) -> &Loaded {
        &self.loaded
    }

    /// No more bytes come: all of it must be there, and stands on its shards afterwards.
    pub async fn end(mut self) -> Result<Loaded, FileError> {
        self.reader.end()?;
        for shard in 0..self.batches.len() {
            self.send(shard).await?;
        }
        while self.under_way.iter().any(|count| *count > 0) {
            self.take_answer().await?;
        }
        self.front.call_all(|shard| shard.keys.expect_nothing()).await;
        let mut loaded = self.loaded;
        // Our own: it keeps a Redis from loading a summary.
        loaded.module_data -= u64::from(loaded.module_data > 0 && loaded.aux.contains_key(SUMMARY));
        let mut set = self.libraries;
        let held = self.front.node.libraries();
        if self.options.adds {
            let before = held.all();
            let more = before.iter().filter(|(name, _)| !set.contains_key(*name));
            let more: Vec<_> = more.map(|(name, it)| (name.clone(), it.clone())).collect();
            set.extend(more);
        }
        if let Err(error) = held.replace_all(set) {
            log::warn!("loading: {error}: those that were here are kept");
        }
        for (count, what) in [
            (loaded.modules, "keys of modules"),
            (loaded.module_data, "pieces of data of modules"),
            (loaded.libraries_left_out, "libraries of functions"),
        ] {
            if count > 0 {
                log::warn!("loading: {count} {what} are left out, which this node does not know");
            }
        }
        Ok(loaded)
    }
}

/// Why reading stopped for a moment.
enum Did {
    /// All that was pushed is read.
    More,
    /// There is enough for a shard.
    Full(usize),
    /// So many keys follow, it is said.
    Sizes(u64),
    /// A long value is whole.
    Ended,
    /// It was long enough.
    Some,
}

impl Loader {
    async fn read(&mut self) -> Result<(), FileError> {
        loop {
            match self.read_some()? {
                Did::More => {
                    if self.reader.is_at_end() && self.loaded.version == 0 {
                        self.loaded.version = self.reader.version();
                        self.loaded.bytes = self.reader.offset();
                    }
                    return Ok(());
                }
                Did::Full(shard) => self.send(shard).await?,
                Did::Sizes(keys) => self.expect(keys).await,
                Did::Ended => self.keep_long().await?,
                Did::Some => self.breath.after(Breath::LOOK).await,
            }
        }
    }

    /// Reads on, for some 20 us at the most.
    fn read_some(&mut self) -> Result<Did, FileError> {
        for _ in 0..Breath::LOOK {
            let Loader { reader, batches, long, libraries, loaded, .. } = self;
            let version = reader.version();
            match reader.next()? {
                Event::More | Event::End => return Ok(Did::More),
                Event::Aux(name, value) => {
                    let kept: usize = loaded.aux.iter().map(|(k, v)| k.len() + v.len()).sum();
                    if kept + name.len() + value.len() <= AUX_MAX {
                        let name = String::from_utf8_lossy(&name).into_owned();
                        self.options.keeps_expired |= name == POSITION;
                        loaded.aux.insert(name, value.into_owned());
                    }
                }
                Event::Database(db) => {
                    self.db = database(db, self.front.node.dbs()).map_err(|why| FileError {
                        at: reader.offset(),
                        key: None,
                        why: why.into(),
                    })?;
                }
                Event::Sizes(keys) => {
                    loaded.announced = loaded.announced.saturating_add(keys);
                    return Ok(Did::Sizes(keys));
                }
                Event::Function(code) => take_library(code, libraries, loaded),
                Event::ModuleData => loaded.module_data += 1,
                Event::Whole(facts, value) => {
                    let shard = shard_of(facts.key, self.front.node.shards()).index();
                    let db = database(facts.db, self.front.node.dbs())
                        .map_err(|why| outside(facts, why))?;
                    if batches[shard].is_empty() {
                        batches[shard].begin(version, self.options);
                    }
                    batches[shard].push(db, facts, value);
                    if batches[shard].is_full() {
                        return Ok(Did::Full(shard));
                    }
                }
                Event::Begin(facts, kind) => {
                    let db = database(facts.db, self.front.node.dbs())
                        .map_err(|why| outside(facts, why))?;
                    *long = Some(Long::new(facts, db, kind, &self.limits));
                }
                Event::Bytes(bytes) => {
                    if let Some(Long { value: LongValue::String(rope), .. }) = long {
                        rope.write(rope.len(), bytes);
                    }
                    return Ok(Did::Some);
                }
                Event::Part(part) => {
                    if let Some(long) = long {
                        long.add(&part)?;
                    }
                }
                Event::Ended => return Ok(Did::Ended),
            }
        }
        Ok(Did::Some)
    }

    /// So many keys of a database follow: each shard's table grows towards its share of them.
    async fn expect(&mut self, keys: u64) {
        let share = usize::try_from(keys).unwrap_or(usize::MAX) / self.batches.len().max(1);
        let db = self.db;
        self.front.call_all(move |shard| shard.keys.expect(db, share)).await;
    }

    /// Sends what is collected for a shard.
    async fn send(&mut self, shard: usize) -> Result<(), FileError> {
        if self.batches[shard].is_empty() {
            return Ok(());
        }
        self.wait_for_room(shard).await?;
        let spare = self.spare.pop().unwrap_or_default();
        let batch = std::mem::replace(&mut self.batches[shard], spare);
        self.batches[shard].begin(0, Options::default());
        self.hand_out(shard, batch);
        Ok(())
    }

    /// Gives a shard a batch to work on.
    fn hand_out(&mut self, shard: usize, mut batch: Box<Batch>) {
        self.under_way[shard] += 1;
        let to = self.waiter.reply_to();
        let work = move |shard: &mut Shard| {
            batch.run(shard);
            let id = shard.id;
            shard.answer(to, Answer::Value(Box::new((id, batch))));
        };
        self.front.node.send(ExecutorId(shard as u16), Message::Call(Box::new(work)));
    }

    async fn wait_for_room(&mut self, shard: usize) -> Result<(), FileError> {
        // What has come meanwhile makes room as well.
        while let Some(answer) = self.waiter.try_next() {
            self.take_in(answer)?;
        }
        while self.under_way[shard] >= UNDER_WAY {
            self.take_answer().await?;
        }
        Ok(())
    }

    async fn take_answer(&mut self) -> Result<(), FileError> {
        let answer = self.waiter.next().await;
        self.take_in(answer)
    }

    fn take_in(&mut self, answer: Answer) -> Result<(), FileError> {
        let Answer::Value(value) = answer else { unreachable!("loading answers with a value") };
        let value = match value.downcast::<(ShardId, Box<Batch>)>() {
            Ok(batch) => return self.take_batch(batch.0, batch.1),
            Err(value) => value,
        };
        let Kept(shard, kept) = *value.downcast().expect("loading answers with its own types");
        self.under_way[shard.index()] -= 1;
        self.loaded.keys += u64::from(kept.is_ok());
        kept
    }

    fn take_batch(&mut self, shard: ShardId, mut batch: Box<Batch>) -> Result<(), FileError> {
        self.under_way[shard.index()] -= 1;
        if let Some(error) = batch.error.take() {
            return Err(error);
        }
        if !batch.is_done() {
            self.hand_out(shard.index(), batch);
            return Ok(());
        }
        let Outcome { keys, expired, empty, modules } = batch.outcome;
        self.loaded.keys += keys;
        self.loaded.expired += expired;
        self.loaded.empty += empty;
        self.loaded.modules += modules;
        batch.begin(0, Options::default());
        self.spare.push(batch);
        Ok(())
    }

    /// A long value is whole: its shard keeps it.
    async fn keep_long(&mut self) -> Result<(), FileError> {
        let Some(Long { db, key, expires, used, at, value }) = self.long.take() else {
            return Ok(());
        };
        let fault = move |key: &[u8], why: &'static str| {
            let key = Some((u64::from(db.0), key.to_vec()));
            FileError { at, key, why: why.into() }
        };
        let value: NewValue<'static> = match value {
            LongValue::String(rope) => SharedValue::Large(rope).into(),
            LongValue::Parts(mut assembly) => {
                let Some(value) = assembly.end().map_err(|why| fault(&key, why))? else {
                    self.loaded.modules += 1;
                    return Ok(());
                };
                value
            }
        };
        if !self.options.keeps_expired && expires.is_some_and(|at| at <= self.front.now()) {
            self.loaded.expired += 1;
            return Ok(());
        }
        let shard = shard_of(&key, self.front.node.shards());
        self.wait_for_room(shard.index()).await?;
        self.under_way[shard.index()] += 1;
        let (to, replaces) = (self.waiter.reply_to(), self.options.replaces);
        let work = move |shard: &mut Shard| {
            let place = (db, shard.keys.hash(&key), &*key);
            let kept = keep(shard, place, value, (expires, used, replaces));
            let kept = Kept(shard.id, kept.map_err(|why| fault(&key, why)));
            shard.answer(to, Answer::Value(Box::new(kept)));
        };
        self.front.node.send(ExecutorId::from(shard), Message::Call(Box::new(work)));
        Ok(())
    }
}

impl Long {
    fn new(facts: KeyFacts<'_>, db: DbIndex, kind: Kind, limits: &Limits) -> Long {
        let KeyFacts { key, expires, used, form, at, .. } = facts;
        let value = match kind {
            Kind::String => LongValue::String(Rope::of(b"")),
            _ => LongValue::Parts(Box::new(Assembly::new(kind, form, limits))),
        };
        Long { db, key: key.to_vec(), expires, used, at, value }
    }

    fn add(&mut self, part: &Part<'_>) -> Result<(), FileError> {
        let LongValue::Parts(assembly) = &mut self.value else { return Ok(()) };
        assembly.add(part).map_err(|why| FileError {
            at: self.at,
            key: Some((u64::from(self.db.0), self.key.clone())),
            why: why.into(),
        })
    }
}

/// Keeps a library, if it is one of ours and there is room.
fn take_library(code: Option<Cow<'_, [u8]>>, set: &mut libraries::Set, loaded: &mut Loaded) {
    let named = code.and_then(|code| {
        let is_short = libraries::bytes(set) + code.len() <= BYTES_MAX;
        libraries::named(code.into_owned()).ok().filter(|_| is_short)
    });
    match named {
        Some((name, library)) => {
            set.insert(name, library);
            loaded.libraries = set.len() as u64;
        }
        None => loaded.libraries_left_out += 1,
    }
}

/// A database of a file, on a node of so many.
fn database(db: u64, dbs: usize) -> Result<DbIndex, String> {
    let index = u16::try_from(db).ok().filter(|index| usize::from(*index) < dbs);
    index.map(DbIndex).ok_or_else(|| {
        format!("it has a database {db}, and this node has {dbs}: start it with a larger --dbnum")
    })
}

fn outside(facts: KeyFacts<'_>, why: String) -> FileError {
    FileError { at: facts.at, key: Some((facts.db, facts.key.to_vec())), why: why.into() }
}
