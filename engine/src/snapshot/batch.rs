//! Keys on their way to the shard that keeps them, which decodes their values.

use crate::db::UsedSoFar;
use crate::journal::Deadline;
use crate::rdb::file::{FileError, KeyFacts, Used};
use crate::rdb::{Assembly, Decoder, EMPTY, Malformed, Text, lzf};
use crate::shard::Shard;
use crate::types::{DbIndex, Millis};
use crate::value::NewValue;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long a shard works on a batch before others have their turn.
pub const LOADED_MAX: Duration = Duration::from_micros(200);

/// Bytes of a batch, above which it is sent.
const BATCH_BYTES: usize = 64 * 1024;

/// Keys of a batch.
const BATCH_KEYS: usize = 512;

/// Keys, or parts of a value, between two looks at the clock.
const LOOK: usize = 16;

/// How to load.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// Keys whose time has come are kept: whoever follows a master deletes what that deletes.
    pub keeps_expired: bool,
    /// Libraries that are here stay, unless others of their names come.
    pub adds: bool,
    /// A key that is here already is replaced; else it is an error.
    pub replaces: bool,
}

/// A key on its way.
pub(super) struct Coming {
    db: DbIndex,
    expires: Option<Millis>,
    used: Option<Used>,
    key: Range<usize>,
    value: Range<usize>,
    /// Where the value begins in the file.
    at: u64,
    /// The key's hash, once its bucket is on its way into the cache.
    hash: u64,
}

/// What has become of keys.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Outcome {
    pub(super) keys: u64,
    /// Their time had come.
    pub(super) expired: u64,
    /// There was nothing in them.
    pub(super) empty: u64,
    /// Only a module knows what they are.
    pub(super) modules: u64,
}

/// Some keys of one shard.
#[derive(Default)]
pub(super) struct Batch {
    version: u16,
    options: Options,
    bytes: Vec<u8>,
    keys: Vec<Coming>,
    next: usize,
    /// How many are hashed.
    hashed: usize,
    /// The value that is being put together.
    under_way: Option<UnderWay>,
    pub(super) outcome: Outcome,
    pub(super) error: Option<FileError>,
}

/// A value of which some parts are read.
struct UnderWay {
    decoder: Decoder,
    assembly: Assembly,
}

/// The same key twice.
pub(super) const TWICE: &str = "the same key twice";

/// The type of strings.
const STRING: u8 = 0;

impl Batch {
    /// An empty one, with the memory of this one.
    pub(super) fn begin(&mut self, version: u16, options: Options) {
        self.bytes.clear();
        self.keys.clear();
        (self.version, self.options, self.next, self.hashed) = (version, options, 0, 0);
        self.outcome = Outcome::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether it is long enough to be sent.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES || self.keys.len() >= BATCH_KEYS
    }

    /// Whether all of it is done.
    pub(super) fn is_done(&self) -> bool {
        self.next == self.keys.len()
    }

    /// Adds a key of a database that there is.
    pub(super) fn push(&mut self, db: DbIndex, facts: KeyFacts<'_>, value: &[u8]) {
        let KeyFacts { key, expires, used, form, at, .. } = facts;
        let begins = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let named = self.bytes.len();
        self.bytes.push(form);
        self.bytes.extend_from_slice(value);
        let (key, value) = (begins..named, named..self.bytes.len());
        self.keys.push(Coming { db, expires, used, key, value, at, hash: 0 });
    }

    /// On the shard: does some of it.
    pub(super) fn run(&mut self, shard: &mut Shard) {
        let began = Instant::now();
        while !self.is_done() && self.error.is_none() {
            self.fetch_ahead(shard);
            for _ in 0..LOOK {
                if self.is_done() {
                    break;
                }
                if let Err(Malformed { at, why }) = self.step(shard) {
                    let coming = &self.keys[self.next];
                    let key = self.bytes[coming.key.clone()].to_vec();
                    self.error = Some(FileError {
                        // The type stands before the value here, and elsewhere in the file.
                        at: coming.at + at.saturating_sub(1) as u64,
                        key: Some((u64::from(coming.db.0), key)),
                        why: why.into(),
                    });
                    break;
                }
            }
            if began.elapsed() >= LOADED_MAX {
                break;
            }
        }
    }

    /// Hashes the keys that come next, and those behind them: where they will stand comes into the cache meanwhile.
    fn fetch_ahead(&mut self, shard: &Shard) {
        let end = self.keys.len().min(self.next + 2 * LOOK);
        for coming in &mut self.keys[self.hashed.min(end)..end] {
            let table = shard.keys.table(coming.db);
            coming.hash = table.hash(&self.bytes[coming.key.clone()]);
            table.prefetch(coming.hash);
        }
        self.hashed = end;
    }

    /// Reads a short value, or a part of another one.
    fn step(&mut self, shard: &mut Shard) -> Result<(), Malformed> {
        let Batch { version, options, bytes, keys, next, under_way, outcome, .. } = self;
        let coming = &keys[*next];
        let (key, value) = (&bytes[coming.key.clone()], &bytes[coming.value.clone()]);
        let malformed = |why| Malformed { at: 0, why };
        let built = match under_way {
            Some(under_way) => under_way.step(value)?,
            None if coming.is_over(options.keeps_expired, shard) => {
                outcome.expired += 1;
                *next += 1;
                return Ok(());
            }
            None if value.first() == Some(&STRING) => {
                let string = string(&Text::of_string(value)?, value);
                let string = string.ok_or(malformed("LZF does not hold"))?;
                coming.put(shard, key, string, *options).map_err(malformed)?;
                outcome.keys += 1;
                *next += 1;
                return Ok(());
            }
            None => {
                let decoder = Decoder::begin(value, *version)?;
                let (kind, form) = (decoder.kind(), value.first().copied().unwrap_or(STRING));
                let limits = shard.keys.encodings().of_forms();
                let assembly = Assembly::new(kind, form, &limits);
                if assembly.makes_something() {
                    under_way.insert(UnderWay { decoder, assembly }).step(value)?
                } else {
                    Built::Nothing
                }
            }
        };
        match built {
            Built::Yet => return Ok(()),
            Built::Whole(value) => {
                coming.put(shard, key, value, *options).map_err(malformed)?;
                outcome.keys += 1;
            }
            Built::Empty => outcome.empty += 1,
            Built::Nothing => outcome.modules += 1,
        }
        *under_way = None;
        *next += 1;
        Ok(())
    }
}

impl Coming {
    /// Whether its time had come, and that is for us to say.
    fn is_over(&self, keeps_expired: bool, shard: &Shard) -> bool {
        !keeps_expired && self.expires.is_some_and(|at| at <= shard.keys.now())
    }

    fn put(
        &self,
        shard: &mut Shard,
        key: &[u8],
        value: NewValue<'_>,
        options: Options,
    ) -> Result<(), &'static str> {
        let place = (self.db, self.hash, key);
        keep(shard, place, value, (self.expires, self.used, options.replaces))
    }
}

enum Built {
    Yet,
    Whole(NewValue<'static>),
    Empty,
    Nothing,
}

/// Parts that are added in one step.
const PARTS: usize = 16;

impl UnderWay {
    /// Adds some parts.
    fn step(&mut self, value: &[u8]) -> Result<Built, Malformed> {
        for _ in 0..PARTS {
            let at = self.decoder.at();
            let malformed = |why| Malformed { at, why };
            match self.decoder.next(value) {
                Ok(Some(part)) => self.assembly.add(&part).map_err(malformed)?,
                Ok(None) => {
                    let value = self.assembly.end().map_err(malformed)?;
                    return Ok(value.map_or(Built::Nothing, Built::Whole));
                }
                Err(error) if error.why == EMPTY => return Ok(Built::Empty),
                Err(error) => return Err(error),
            }
        }
        Ok(Built::Yet)
    }
}

fn string<'a>(text: &Text, value: &'a [u8]) -> Option<NewValue<'a>> {
    match text {
        Text::Int(number) => Some(NewValue::Int(*number)),
        Text::Raw(range) => Some(NewValue::from_bytes(&value[range.clone()])),
        Text::Packed(range, length) => {
            lzf::unpack(&value[range.clone()], *length).map(NewValue::from_vec)
        }
    }
}

/// Puts a value where none is, or also where one is.
pub(super) fn keep(
    shard: &mut Shard,
    (db, hash, key): (DbIndex, u64, &[u8]),
    value: NewValue<'_>,
    (expires, used, replaces): (Option<Millis>, Option<Used>, bool),
) -> Result<(), &'static str> {
    let keys = &mut shard.keys;
    let kept = if replaces {
        let deadline = expires.map_or(Deadline::None, Deadline::At);
        keys.apply_put(db, key, Some(value), deadline).map(|()| true)
    } else {
        keys.load((db, hash, key), value, expires)
    };
    if !kept.map_err(|_| "a database that is not here")? {
        return Err(TWICE);
    }
    match used {
        Some(Used::Idle(seconds)) => keys.set_used(db, key, UsedSoFar::Idle(seconds)),
        Some(Used::Often(counter)) => keys.set_used(db, key, UsedSoFar::Often(counter)),
        None => {}
    }
    Ok(())
}
