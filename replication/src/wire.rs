//! What travels on a flow and on the control connection once the handshake is over.
//!
//! ```text
//!   message = type (1 byte) | length (3 bytes) | sum of the payload (4) | sum of these eight (4) | payload
//!             all little-endian; sums are CRC-32
//!
//!   master -> replica, flow      Start   lsn u64: the journal follows from here; the first message
//!                                Log     bytes of the journal, cut anywhere
//!                                Items   bytes of encoded items, cut anywhere
//!                                Passed  shard u16 | a boundary u64 per database
//!                                CutDone nothing: the items are complete
//!                                Ping    head u64 | journal bytes u64
//!   replica -> master, flow      Ack     lsn u64: everything up to it is applied
//!   control, both ways           Alive   the sender's time-out in milliseconds u64 (nodes of before: nothing)
//!   control, master -> replica   Ping    head u64 per flow: also told while flows are busy
//!   control, master -> replica   Progress  items sent u64 | keys u64
//!                                End     why the session ends, as text
//!                                Libraries  bytes left u64 | libraries of functions, cut anywhere
//! ```
//!
//! Journal and item bytes are frames of `engine::journal`; a frame may span messages, but messages of
//! the other kind come only between frames. An item is a record that puts its value; a large one comes in
//! pieces, as large values do in the journal, with anything between them, and counts as of where it began.
//!
//! TCP's own sum lets a damaged byte pass now and then, and what changes packets on their way makes a new
//! one. So nothing of a message is taken before its sum was seen to fit. The header has one of its own: a
//! length that was damaged would have its reader wait for bytes that nobody sends. It is one sum for up to a
//! quarter of a megabyte and costs next to nothing, so it is there over TLS too.

use crate::planted;
pub use engine::journal::LSN_MAX;
use engine::types::Lsn;
use std::time::Duration;

/// Bytes before the payload.
pub const HEADER: usize = 12;

/// The longest payload: what a sender puts into one message, and what a receiver accepts.
pub const PAYLOAD_MAX: usize = 1024 * 1024;

/// Version of this protocol; both sides must speak the same. Version 3: changes inside values go by the
/// numbers of their types. Version 4: messages carry sums. Version 5: records tell long values in pieces.
/// Version 6: so do items. Version 7: libraries of functions, and effects say what a Redis needs to have them.
pub const VERSION: u32 = 7;

/// What is said of a message whose sum does not fit.
pub const DAMAGED: &str =
    "a message was damaged on its way here (its checksum does not fit), nothing of it was taken";

/// How [`Kind::End`] begins when the journal does not reach back to the replica any more: another full
/// sync will be needed, and perhaps in vain.
pub const FELL_OUT: &str = "it fell out of the journal";

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Bytes of the journal.
    Log,
    /// Bytes of encoded items.
    Items,
    /// How far one shard's walk has come.
    Passed,
    /// The items are complete.
    CutDone,
    /// The journal's head, as a sign of life.
    Ping,
    /// Everything up to an LSN is applied.
    Ack,
    /// A sign of life.
    Alive,
    /// How far a full sync has come.
    Progress,
    /// The session ends.
    End,
    /// Where the journal begins.
    Start,
    /// Libraries of functions.
    Libraries,
}

const KINDS: [Kind; 11] = [
    Kind::Log,
    Kind::Items,
    Kind::Passed,
    Kind::CutDone,
    Kind::Ping,
    Kind::Ack,
    Kind::Alive,
    Kind::Progress,
    Kind::End,
    Kind::Start,
    Kind::Libraries,
];

impl Kind {
    fn byte(self) -> u8 {
        KINDS.iter().position(|kind| *kind == self).unwrap_or_default() as u8 + 1
    }

    fn of(byte: u8) -> Option<Kind> {
        KINDS.get(usize::from(byte).checked_sub(1)?).copied()
    }
}

/// An LSN that a peer named.
pub fn lsn(number: u64) -> Result<Lsn, String> {
    if number > LSN_MAX {
        return Err(format!("LSN {number} is beyond what can be counted"));
    }
    Ok(Lsn(number))
}

/// The header of a message with this payload, at most [`PAYLOAD_MAX`] bytes.
pub fn header(kind: Kind, payload: &[u8]) -> [u8; HEADER] {
    header_of(kind.byte(), payload)
}

fn header_of(kind: u8, payload: &[u8]) -> [u8; HEADER] {
    let length = payload.len();
    assert!(length <= PAYLOAD_MAX, "a message of {length} bytes exceeds {PAYLOAD_MAX}");
    let mut header = [0; HEADER];
    // PAYLOAD_MAX leaves the highest byte of a length free.
    header[..4].copy_from_slice(&((length as u32) << 8 | u32::from(kind)).to_le_bytes());
    header[4..8].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let own = crc32fast::hash(&header[..8]);
    header[8..].copy_from_slice(&own.to_le_bytes());
    header
}

/// Appends a message whose payload `fill` appends: the header is known when that is there.
fn put(out: &mut Vec<u8>, kind: Kind, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    fill(out);
    let (head, payload) = out[start..].split_at_mut(HEADER);
    head.copy_from_slice(&header(kind, payload));
}

/// Appends a message of several 64-bit numbers.
pub fn put_numbers(out: &mut Vec<u8>, kind: Kind, numbers: &[u64]) {
    put(out, kind, |out| {
        numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    });
}

/// Appends a message of bytes.
pub fn put_bytes(out: &mut Vec<u8>, kind: Kind, bytes: &[u8]) {
    put(out, kind, |out| out.extend_from_slice(bytes));
}

/// Appends a piece of libraries of functions, with which so many bytes are left.
pub fn put_libraries(out: &mut Vec<u8>, left: usize, piece: &[u8]) {
    put(out, Kind::Libraries, |out| {
        out.extend_from_slice(&(left as u64).to_le_bytes());
        out.extend_from_slice(piece);
    });
}

/// The first message in `buffer` and how many bytes it took; `None` while it is incomplete.
pub fn next(buffer: &[u8]) -> Result<Option<(Kind, &[u8], usize)>, String> {
    let Some((head, rest)) = buffer.split_first_chunk::<HEADER>() else { return Ok(None) };
    let [first, sum, own] = words_of(head);
    let takes_anything = planted::takes_what_is_damaged();
    if crc32fast::hash(&head[..8]) != own && !takes_anything {
        return Err(DAMAGED.to_owned());
    }
    let kind = Kind::of(head[0]).ok_or_else(|| format!("unknown message type {}", head[0]))?;
    let length = (first >> 8) as usize;
    if length > PAYLOAD_MAX {
        return Err(format!("a message of {length} bytes exceeds {PAYLOAD_MAX}"));
    }
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    if crc32fast::hash(payload) != sum && !takes_anything {
        return Err(DAMAGED.to_owned());
    }
    Ok(Some((kind, payload, HEADER + length)))
}

/// Bytes of the first message in `buffer`, which we put there ourselves.
pub fn whole(buffer: &[u8]) -> Option<usize> {
    let (head, rest) = buffer.split_first_chunk::<HEADER>()?;
    let length = (words_of(head)[0] >> 8) as usize;
    (length <= rest.len()).then_some(HEADER + length)
}

fn words_of(head: &[u8; HEADER]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *head;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_le_bytes)
}

/// Whether the first message in `buffer` is of this kind, however little of it has come.
pub fn begins_with(buffer: &[u8], kind: Kind) -> bool {
    buffer.first() == Some(&kind.byte())
}

/// What a master says on the control connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// Items sent, and keys there are.
    Progress(u64, u64),
    /// Each journal's head.
    Heads(Vec<Lsn>),
    /// It lives, and what its time-out is, if it says so.
    Alive(Option<Duration>),
    /// Libraries of functions: bytes that are left with this piece, and the piece.
    Libraries(u64, Vec<u8>),
    /// The session ends.
    End {
        /// Why, in the master's words.
        why: String,
        /// The journal does not reach back to the replica any more: [`FELL_OUT`].
        fell_out: bool,
    },
}

impl News {
    /// Out of a message.
    pub fn of(kind: Kind, payload: &[u8]) -> Result<News, String> {
        match kind {
            Kind::Progress => {
                let [done, total] = numbers(payload)?;
                Ok(News::Progress(done, total))
            }
            Kind::Ping => Ok(News::Heads(
                all_numbers(payload)?.into_iter().map(lsn).collect::<Result<_, _>>()?,
            )),
            Kind::Alive => Ok(News::Alive(alive(payload)?)),
            Kind::Libraries => {
                let (left, piece) =
                    payload.split_first_chunk().ok_or("libraries without a length")?;
                Ok(News::Libraries(u64::from_le_bytes(*left), piece.to_vec()))
            }
            Kind::End => {
                let why = words(payload);
                Ok(News::End { fell_out: why.starts_with(FELL_OUT), why })
            }
            other => Err(format!("the master sent {other:?} on the control connection")),
        }
    }
}

/// What a replica says on a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// Everything up to this is applied.
    Ack(Lsn),
    /// It lives.
    Alive,
}

impl Said {
    /// Appends it as a message.
    pub fn put(self, out: &mut Vec<u8>) {
        match self {
            Said::Ack(lsn) => put_numbers(out, Kind::Ack, &[lsn.0]),
            Said::Alive => put_numbers(out, Kind::Alive, &[]),
        }
    }

    /// Out of a message on a flow whose journal's head is `head`.
    pub fn of(kind: Kind, payload: &[u8], head: Lsn) -> Result<Said, String> {
        match kind {
            Kind::Ack => {
                let [acked] = numbers(payload)?;
                if acked > head.0 {
                    return Err(format!("it acknowledged {acked}, which was never written"));
                }
                Ok(Said::Ack(Lsn(acked)))
            }
            Kind::Alive => Ok(Said::Alive),
            other => Err(format!("it sent {other:?}")),
        }
    }
}

/// Appends a sign of life on the control connection.
pub fn put_alive(out: &mut Vec<u8>, timeout: Duration) {
    put_numbers(out, Kind::Alive, &[timeout.as_millis() as u64]);
}

/// The time-out that a sign of life tells, if it does.
pub fn alive(payload: &[u8]) -> Result<Option<Duration>, String> {
    if payload.is_empty() {
        return Ok(None);
    }
    let [millis] = numbers(payload)?;
    Ok(Some(Duration::from_millis(millis)))
}

/// Characters of a peer's text that are kept: a sentence, not a file.
const WORDS_MAX: usize = 512;

/// What a peer says in words, as it may stand in a line of the log or of INFO: it is one line, and short.
pub fn words(text: &[u8]) -> String {
    // A character takes at most four bytes: what is beyond is not looked at.
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * WORDS_MAX)]);
    let one_line = |character: char| if character.is_control() { ' ' } else { character };
    text.chars().take(WORDS_MAX).map(one_line).collect()
}

/// Takes the first message of a flow off `buffer`, once it is there: where the journal begins.
pub fn take_start(buffer: &mut Vec<u8>) -> Result<Option<Lsn>, String> {
    let Some((kind, payload, used)) = next(buffer)? else { return Ok(None) };
    if kind != Kind::Start {
        return Err(format!("the master began with {kind:?}"));
    }
    let [number] = numbers(payload)?;
    buffer.drain(..used);
    lsn(number).map(Some)
}

/// The numbers of a payload that holds exactly `N`.
pub fn numbers<const N: usize>(payload: &[u8]) -> Result<[u64; N], String> {
    if payload.len() != N * 8 {
        return Err(format!("a payload of {} bytes where {N} numbers belong", payload.len()));
    }
    let mut numbers = [0; N];
    for (number, bytes) in numbers.iter_mut().zip(payload.chunks_exact(8)) {
        *number = read_number(bytes);
    }
    Ok(numbers)
}

/// All numbers of a payload.
pub fn all_numbers(payload: &[u8]) -> Result<Vec<u64>, String> {
    if payload.len() % 8 != 0 {
        return Err(format!("a payload of {} bytes is not numbers", payload.len()));
    }
    Ok(payload.chunks_exact(8).map(read_number).collect())
}

fn read_number(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        put_numbers(&mut bytes, Kind::Ping, &[7, u64::MAX]);
        put_bytes(&mut bytes, Kind::End, b"because");
        put_numbers(&mut bytes, Kind::CutDone, &[]);
        for cut in 0..=bytes.len() {
            let (mut at, mut seen) = (0, Vec::new());
            for end in [cut, bytes.len()] {
                while let Some((kind, payload, used)) = next(&bytes[at..end]).unwrap() {
                    seen.push((kind, payload.to_vec()));
                    at += used;
                }
            }
            assert_eq!(seen.len(), 3, "cut at {cut}");
            assert_eq!(numbers::<2>(&seen[0].1).unwrap(), [7, u64::MAX]);
            assert_eq!(seen[1], (Kind::End, b"because".to_vec()));
        }
    }

    #[test]
    fn what_no_peer_sends_is_refused() {
        for kind in [0, 12, 255] {
            assert!(next(&header_of(kind, &[])).unwrap_err().contains("unknown message type"));
        }
        let mut long = header(Kind::Log, &[]);
        long[1..4].copy_from_slice(&[255; 3]);
        let own = crc32fast::hash(&long[..8]);
        long[8..].copy_from_slice(&own.to_le_bytes());
        assert!(next(&long).unwrap_err().contains("exceeds"));
        assert!(numbers::<1>(&[1, 2, 3]).is_err());
        assert!(all_numbers(&[1, 2, 3]).is_err());
    }

    /// A byte that was damaged on a plaintext link was applied, and passed on.
    #[test]
    fn no_flipped_bit_of_any_message_is_taken() {
        let mut messages = vec![Vec::new(); 4];
        put_numbers(&mut messages[0], Kind::Ack, &[7]);
        put_bytes(&mut messages[1], Kind::Log, b"a frame");
        put_numbers(&mut messages[2], Kind::CutDone, &[]);
        put_bytes(&mut messages[3], Kind::Items, b"some of an item");
        for message in messages {
            assert_eq!(next(&message).unwrap().map(|(_, _, used)| used), Some(message.len()));
            assert_eq!(whole(&message), Some(message.len()));
            for bit in 0..message.len() * 8 {
                let mut damaged = message.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(next(&damaged), Err(DAMAGED.to_owned()), "bit {bit} of {message:?}");
            }
        }
    }

    #[test]
    fn what_a_peer_says_in_words_is_one_short_line() {
        assert_eq!(words(b"because\r\nrole:master"), "because  role:master");
        assert_eq!(words(&[b'x'; 1 << 20]).len(), WORDS_MAX);
        assert_eq!(words("\u{20ac}".repeat(9000).as_bytes()).chars().count(), WORDS_MAX);
    }

    #[test]
    fn random_bytes_are_refused_or_wait_but_never_panic() {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..100_000 {
            let mut bytes: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
            if let Some((head, payload)) = bytes.split_at_mut_checked(HEADER)
                && random.bool()
            {
                // As a sender with bad intentions would make it.
                head.copy_from_slice(&header_of(random.u8(..16), payload));
            }
            if let Ok(Some((_, payload, used))) = next(&bytes) {
                assert_eq!(used, payload.len() + HEADER);
                let _ = (numbers::<1>(payload), all_numbers(payload));
            }
        }
    }
}
