//! The last stretch of the journals, in a file beside the snapshot: so that replicas that are behind the snapshot go on
//! partially after a start from it.
//!
//! ```text
//!   dump.rdb        the data at `to`
//!   dump.rdb.tail   DFLYTAIL1 | head: the position `to`, and `from` | of flow 2 | of flow 0 | ... | end
//!
//!   each piece      flow u16 | length u32 | bytes | CRC-64 of everything before       (little-endian)
//! ```
//!
//! It holds the journals' own bytes, at most so many as they may hold in memory, and is written beside the old one and put
//! in its place. It belongs to one snapshot: the one whose data is at `to`. One that is damaged, or of another snapshot, is
//! as good as none: what is missing costs a full sync, and nothing else.

use engine::journal::{LogHandle, Position, Read, Reader};
use engine::rdb::Crc;
use engine::rt::{self, Appender, File};
use engine::snapshot::name::{self, TAIL};
use engine::types::Lsn;
use replication::relay::Relay;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const MAGIC: &[u8] = b"DFLYTAIL1";

/// What a piece is that is of no flow; a history has at most 1024 of them.
const HEAD: u16 = 0xfffe;
const END: u16 = 0xffff;

/// Bytes of one piece at the most: what is read at once.
const PIECE_MAX: usize = rt::file::BLOCK;

/// The head of a piece, and its sum.
const PIECE_HEAD: usize = 6;
const SUM: usize = 8;

/// Where the tail of a snapshot stands.
pub fn beside(snapshot: &Path) -> PathBuf {
    let mut name = snapshot.file_name().unwrap_or_default().to_owned();
    name.push(TAIL);
    snapshot.with_file_name(name)
}

/// Removes the tail of a snapshot that has another one's place now.
pub async fn remove(snapshot: &Path) {
    // Most snapshots have none.
    let _ = rt::file::remove(&beside(snapshot)).await;
}

/// Removes the tails of all other snapshots that the setting could have named: each is of use beside the newest alone.
pub async fn remove_others(setting: &str, newest: &Path) {
    let Some(directory) = newest.parent() else { return };
    // Where the directory cannot be read, whoever looks for snapshots there says so.
    let names = rt::file::names_in(directory).await.unwrap_or_default();
    let snapshots = names.iter().filter_map(|found| found.strip_suffix(TAIL));
    for snapshot in snapshots.filter(|name| name::is_ours(setting, name)) {
        let snapshot = directory.join(snapshot);
        if snapshot != newest {
            remove(&snapshot).await;
        }
    }
}

/// Writes what `logs` hold up to `to`, the position of the data in `snapshot`: at most `bound` bytes, the newest.
/// Answers how many records these are.
pub async fn write(
    snapshot: &Path,
    to: &Position,
    logs: &[LogHandle],
    bound: u64,
) -> Result<u64, String> {
    if logs.len() != to.lsns.len() {
        return Err("the journals of this history are not held".to_owned());
    }
    let each = bound / logs.len().max(1) as u64;
    let mut readers = Vec::with_capacity(logs.len());
    for (log, to) in logs.iter().zip(&to.lsns) {
        readers.push(begin(log, *to, each).await);
    }
    let from = |(reader, to): (&Option<Reader>, &Lsn)| reader.as_ref().map_or(*to, Reader::lsn);
    let from: Vec<Lsn> = readers.iter().zip(&to.lsns).map(from).collect();
    let records = to.lsns.iter().zip(&from).map(|(to, from)| to.0 - from.0).sum();
    if records == 0 {
        remove(snapshot).await;
        return Ok(0);
    }
    let path = beside(snapshot);
    let temp = path.with_file_name(format!("temp-{}-0.tail", std::process::id()));
    let _ = rt::file::remove(&temp).await;
    let written = write_to(&temp, to, &from, readers).await.map(|()| records);
    rt::file::put_in_place(&temp, &path, written).await.outcome
}

/// A reader of what is to be written of a log, at the end of a frame; none where nothing is.
async fn begin(log: &LogHandle, to: Lsn, bound: u64) -> Option<Reader> {
    if log.first() >= to {
        return None;
    }
    let mut reader = log.reader_at(log.first()).ok()?;
    reader.set_limit(Some(to));
    let mut is_between = true;
    while !is_between || log.total_bytes().saturating_sub(reader.bytes()) > bound {
        let before = reader.lsn();
        let Read::Bytes(_) = reader.next(PIECE_MAX) else { return None };
        is_between = reader.lsn() != before;
        rt::yield_if_needed().await;
    }
    (reader.lsn() < to).then_some(reader)
}

async fn write_to(
    temp: &Path,
    to: &Position,
    from: &[Lsn],
    readers: Vec<Option<Reader>>,
) -> Result<(), String> {
    let out = Appender::create_new(temp).await.map_err(|error| error.to_string())?;
    let mut pieces = Pieces { out, crc: Crc::default() };
    pieces.put_bytes(MAGIC).await?;
    let from = Position { history: to.history, lsns: from.to_vec() };
    // A position of 1024 shards takes up to 21 KB.
    pieces.put(HEAD, format!("{to}\n{from}").as_bytes()).await?;
    for (flow, reader) in readers.into_iter().enumerate() {
        let Some(mut reader) = reader else { continue };
        while reader.lsn() < to.lsns[flow] {
            let Read::Bytes(span) = reader.next(PIECE_MAX) else {
                return Err("the journal was trimmed meanwhile".to_owned());
            };
            pieces.put(flow as u16, &span).await?;
            rt::yield_if_needed().await;
        }
    }
    pieces.put(END, &[]).await?;
    pieces.out.finish().await.map(drop).map_err(|error| error.to_string())
}

struct Pieces {
    out: Appender,
    crc: Crc,
}

impl Pieces {
    async fn put_bytes(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.crc.add(bytes);
        self.out.append(bytes).await.map_err(|error| error.to_string())
    }

    async fn put(&mut self, flow: u16, bytes: &[u8]) -> Result<(), String> {
        self.put_bytes(&flow.to_le_bytes()).await?;
        self.put_bytes(&(bytes.len() as u32).to_le_bytes()).await?;
        self.put_bytes(bytes).await?;
        let sum = self.crc.0.to_le_bytes();
        self.put_bytes(&sum).await
    }
}

/// The journals up to `to` from the tail of a snapshot whose data is there; none if there is no such tail, or one of
/// another snapshot. `keep_bounds` is called in between.
pub async fn read(
    snapshot: &Path,
    to: &Position,
    keep_bounds: impl Fn(&mut Relay),
) -> Result<Option<Relay>, String> {
    let path = beside(snapshot);
    let file = match File::open(&path).await {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut source = Source { file, at: 0, buffer: Vec::new(), used: 0, crc: Crc::default() };
    if source.take(MAGIC.len()).await? != MAGIC {
        return Err("it is no tail, or of another version".to_owned());
    }
    let (kind, head) = source.piece().await?;
    let head = std::str::from_utf8(&head).ok().filter(|_| kind == HEAD);
    let (of, from) = head.and_then(|head| head.split_once('\n')).ok_or("it has no head")?;
    if of != to.to_string() {
        return Ok(None);
    }
    let from: Position = from.parse().map_err(|error| format!("its head: {error}"))?;
    if from.lsns.len() != to.lsns.len() {
        return Err("its head is of another number of journals".to_owned());
    }
    let mut relay = Relay::starting_at(&from.lsns);
    let mut rest: Vec<Vec<u8>> = vec![Vec::new(); from.lsns.len()];
    loop {
        let (flow, bytes) = source.piece().await?;
        if flow == END {
            break;
        }
        let flow = usize::from(flow);
        let pending = rest.get_mut(flow).ok_or("it has a journal too many")?;
        pending.extend_from_slice(&bytes);
        let used = relay.restore(flow, pending, rt::now_millis())?;
        pending.drain(..used);
        keep_bounds(&mut relay);
        rt::yield_if_needed().await;
    }
    if rest.iter().any(|rest| !rest.is_empty()) || relay.positions() != to.lsns {
        return Err("it does not end where the snapshot's data is".to_owned());
    }
    Ok(Some(relay))
}

/// The file, read from its beginning.
struct Source {
    file: File,
    at: u64,
    buffer: Vec<u8>,
    used: usize,
    crc: Crc,
}

impl Source {
    /// The next bytes, which must be there.
    async fn take(&mut self, count: usize) -> Result<Vec<u8>, String> {
        if self.buffer.len() - self.used < count {
            self.buffer.drain(..self.used);
            self.used = 0;
            let read = self.file.read_at(self.at, PIECE_MAX, &mut self.buffer).await;
            self.at += read.map_err(|error| error.to_string())? as u64;
        }
        let bytes = self.buffer.get(self.used..self.used + count);
        let bytes = bytes.ok_or("it ends in the middle")?.to_vec();
        self.used += count;
        self.crc.add(&bytes);
        Ok(bytes)
    }

    /// The next piece: what it is, and its bytes.
    async fn piece(&mut self) -> Result<(u16, Vec<u8>), String> {
        let head = self.take(PIECE_HEAD).await?;
        let kind = u16::from_le_bytes([head[0], head[1]]);
        let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        if length > PIECE_MAX {
            return Err("a piece is too long".to_owned());
        }
        let bytes = self.take(length).await?;
        let sum = self.crc.0.to_le_bytes();
        if self.take(SUM).await? != sum {
            return Err("its sum is wrong: it is damaged".to_owned());
        }
        Ok((kind, bytes))
    }
}
