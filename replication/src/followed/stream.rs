//! The one stream that all followers are sent: journals in, commands out.
//!
//! ```text
//!   readers ─► merge ─► backlog          marks: (bytes of the stream, what each shard's journal is said up to, when)
//!      │ held while a cut is begun
//!      └ limited to the cut's moment until all are there: the stream's offset is the copy's
//! ```
//!
//! It is driven by one task, which calls [`pump`](Stream::pump) while there is something to read.

use super::backlog::Backlog;
use super::merge::Merge;
use crate::bell::Bell;
use crate::info::Lag;
use engine::journal::{LogHandle, Read, Reader};
use engine::libraries::Libraries;
use engine::rdb::functions;
use engine::resp::client::encode_command;
use engine::tell::Peers;
use engine::types::Lsn;
use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Bytes of a journal that are read at once.
const READ: usize = 64 * 1024;

/// Bytes of commands that are made before others have their turn.
const ROUND: usize = 256 * 1024;

/// Marks that are remembered: of several thousand pumps, then of every second one, and so on.
const MARKS_MAX: usize = 4096;

/// What the stream had said when it had so many bytes.
struct Mark {
    end: u64,
    lsns: Vec<Lsn>,
    /// When it was said.
    at: Instant,
}

/// See the module's doc.
pub(super) struct Stream {
    /// Names it: 40 hex digits.
    pub(super) id: String,
    pub(super) backlog: Backlog,
    /// Whose words it is in.
    pub(super) peers: Peers,
    merge: Merge,
    readers: Vec<Reader>,
    marks: VecDeque<Mark>,
    made: Vec<u8>,
    /// Nothing is read: a cut is begun.
    is_held: bool,
    /// Nothing is read beyond this moment, at which somebody's copy is.
    moment: Option<Vec<Lsn>>,
    /// Followers are to say how far they are, once this is said.
    ack_wanted: Option<Vec<Lsn>>,
    ack_again: bool,
    /// As of which count of changes libraries of functions were said, or stand in a copy.
    libraries: Option<u64>,
}

impl Stream {
    /// Of these journals, from `starts` on, where it has `offset` bytes.
    pub(super) fn begin(
        (id, offset): (String, u64),
        logs: &[LogHandle],
        starts: &[Lsn],
        peers: Peers,
        longest: u64,
    ) -> Result<Stream, String> {
        let reader = |(log, lsn): (&LogHandle, &Lsn)| {
            log.reader_at(*lsn).map_err(|gone| format!("the journal is trimmed already: {gone}"))
        };
        let readers = logs.iter().zip(starts).map(reader).collect::<Result<_, _>>()?;
        Ok(Stream {
            id,
            backlog: Backlog::new(offset),
            peers,
            merge: Merge::new(starts, peers, longest),
            readers,
            marks: VecDeque::from([Mark {
                end: offset,
                lsns: starts.to_vec(),
                at: Instant::now(),
            }]),
            made: Vec::new(),
            is_held: false,
            moment: None,
            ack_wanted: None,
            ack_again: false,
            libraries: None,
        })
    }

    /// Reads and says some of what there is. Whether anything was; an error ends the stream.
    pub(super) fn pump(&mut self) -> Result<bool, String> {
        let (mut has_moved, before) = (false, self.backlog.end());
        if !self.is_held {
            for (shard, reader) in self.readers.iter_mut().enumerate() {
                if !self.merge.wants_more(shard) {
                    continue;
                }
                match reader.next(READ) {
                    Read::Bytes(span) => {
                        self.merge.add(shard, &span);
                        has_moved = true;
                    }
                    Read::Empty => {}
                    Read::Gone(gone) => {
                        return Err(format!(
                            "the journal of shard {shard} was trimmed before it was said: {gone}; raise \
                             repl_backlog_size"
                        ));
                    }
                }
            }
        }
        self.made.clear();
        let said = self.merge.say(&mut self.made, ROUND);
        if !self.made.is_empty() {
            self.backlog.push(&self.made);
            self.made.shrink_to(ROUND);
        }
        if said? {
            has_moved = true;
            self.mark();
        }
        self.ask_if_said();
        Ok(has_moved || self.backlog.end() != before)
    }

    /// For whom the next stream has to be, where this one has ended since something would be left out.
    pub(super) fn wants(&self) -> Option<Peers> {
        self.merge.wants()
    }

    fn mark(&mut self) {
        let (end, lsns) = (self.backlog.end(), self.merge.lsns());
        match self.marks.back_mut() {
            Some(last) if last.end == end => last.lsns = lsns,
            _ => self.marks.push_back(Mark { end, lsns, at: Instant::now() }),
        }
        if self.marks.len() > MARKS_MAX {
            let mut place = 0;
            self.marks.retain(|_| {
                place += 1;
                place % 2 == 1
            });
        }
    }

    /// How many bytes it has, and one more while journals hold what it does not say yet: whoever compares a follower's
    /// offset with it must not find them equal before the follower has all that is acknowledged here.
    pub(super) fn shown_end(&self) -> u64 {
        let mut heads = self.readers.iter().map(|reader| reader.log().head());
        let is_behind =
            self.merge.lsns().iter().any(|said| heads.next().is_some_and(|head| head > *said));
        self.backlog.end() + u64::from(is_behind)
    }

    /// How many bytes it had when it said all up to these positions: the same place in its own measure.
    pub(super) fn offset_of(&self, lsns: &[Lsn]) -> u64 {
        let is_had = |mark: &&Mark| mark.lsns.iter().zip(lsns).all(|(said, had)| said <= had);
        let of_mark = self.marks.iter().rev().find(is_had).map_or(0, |mark| mark.end);
        // Signs of life stand behind the last mark.
        let has_all = self.merge.lsns().iter().zip(lsns).all(|(said, had)| said <= had);
        if has_all { self.backlog.end() } else { of_mark }
    }

    /// Whether whoever has so many bytes of the stream has all that journals say up to these positions.
    pub(super) fn has_all(&self, offset: u64, positions: &[Lsn]) -> bool {
        let said = self.mark_at(offset).0;
        said.is_some_and(|said| said.lsns.iter().zip(positions).all(|(lsn, wanted)| lsn >= wanted))
    }

    /// How far whoever has so many bytes of the stream is behind each journal. The age is that of the first words that
    /// it lacks, since they were said; bytes are the stream's, and belong to no shard.
    pub(super) fn lags(&self, offset: u64, now: Instant) -> Vec<Lag> {
        let (Some(said), next) = self.mark_at(offset) else { return Vec::new() };
        let age = next.map_or(Duration::ZERO, |next| now.saturating_duration_since(next.at));
        let of_shard = |(reader, said): (&Reader, &Lsn)| {
            let records = reader.log().head().0.saturating_sub(said.0);
            let millis = if records == 0 { 0 } else { age.as_millis() as u64 };
            Lag { records, bytes: 0, millis }
        };
        self.readers.iter().zip(&said.lsns).map(of_shard).collect()
    }

    /// The last mark up to so many bytes, and the first one beyond.
    fn mark_at(&self, offset: u64) -> (Option<&Mark>, Option<&Mark>) {
        let place = self.marks.partition_point(|mark| mark.end <= offset);
        (place.checked_sub(1).and_then(|place| self.marks.get(place)), self.marks.get(place))
    }

    /// Ready as soon as there is something to read that may be read.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_held {
            return Poll::Pending;
        }
        for (shard, reader) in self.readers.iter_mut().enumerate() {
            if self.merge.wants_more(shard) && reader.poll_readable(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Reads nothing, until [`go_on_to`](Stream::go_on_to).
    pub(super) fn hold(&mut self) {
        self.is_held = true;
    }

    /// Reads on, up to a moment that lies ahead, if one is given.
    pub(super) fn go_on_to(&mut self, moment: Option<Vec<Lsn>>) {
        self.is_held = false;
        for (shard, reader) in self.readers.iter_mut().enumerate() {
            reader.set_limit(moment.as_ref().map(|lsns| lsns[shard]));
        }
        self.moment = moment;
    }

    /// Once all is said up to the moment: how many bytes the stream has there. From there on it says again which
    /// database it is about, for those who come with a copy.
    pub(super) fn at_moment(&mut self) -> Option<u64> {
        let moment = self.moment.as_ref()?;
        if *moment != self.merge.lsns() {
            return None;
        }
        self.merge.forget_db();
        Some(self.backlog.end())
    }

    /// A command of ours in the stream.
    pub(super) fn put(&mut self, words: &[&[u8]]) {
        let mut bytes = Vec::new();
        encode_command(&mut bytes, words);
        self.backlog.push(&bytes);
    }

    /// Libraries of functions stand in the copy with which it begins, as of this count of changes; none: they do not.
    pub(super) fn begins_with_libraries(&mut self, as_of: Option<u64>) {
        self.libraries = as_of;
    }

    /// Says all libraries of functions where they have changed, in place of those that followers have: so it does not
    /// matter which these are. Whether it did. Not before a copy's moment is reached: that has them as of its beginning.
    pub(super) fn say_libraries(&mut self, libraries: &Libraries) -> bool {
        let changes = libraries.changes();
        let is_between = self.is_held || self.moment.is_some();
        if is_between || self.peers < Peers::From70 || self.libraries == Some(changes) {
            return false;
        }
        let (all, is_first) = (libraries.all(), self.libraries.is_none());
        self.libraries = Some(changes);
        if !all.is_empty() {
            let payload = functions::payload(all.values().map(|library| &*library.code));
            self.put(&[b"FUNCTION", b"RESTORE", &payload, b"FLUSH"]);
        } else if !is_first {
            self.put(&[b"FUNCTION", b"FLUSH"]);
        }
        true
    }

    /// Followers are to say how far they are, once all is said that journals hold now.
    pub(super) fn want_acks(&mut self, bell: &Bell) {
        match self.ack_wanted {
            Some(_) => self.ack_again = true,
            None => {
                let heads = self.readers.iter().map(|reader| reader.log().head());
                self.ack_wanted = Some(heads.collect());
                bell.ring();
            }
        }
    }

    fn ask_if_said(&mut self) {
        let Some(wanted) = &self.ack_wanted else { return };
        if self.merge.lsns().iter().zip(wanted).any(|(said, wanted)| said < wanted) {
            return;
        }
        self.put(&[b"REPLCONF", b"GETACK", b"*"]);
        self.ack_wanted = None;
        if std::mem::take(&mut self.ack_again) {
            self.want_acks(&Bell::default());
        }
    }
}
