//! LZF, the compression of strings in payloads and files.
//!
//! ```text
//!   000lllll                    l + 1 bytes follow as they are
//!   lllooooo oooooooo           l + 2 bytes are repeated, from o + 1 bytes before on; l is 1 to 6
//!   111ooooo llllllll oooooooo  the same of l + 9 bytes
//! ```
//!
//! What is read may come from anybody: nothing is written beyond the length that was told, and memory for it
//! is taken only where so few bytes can say so much ([`is_possible`]).

/// A step of three bytes makes 264 at the most.
const GROWTH_MAX: usize = 88;

/// The longest step: 32 bytes as they are.
const STEP_MAX: usize = 33;

/// Whether `packed` bytes may stand for `length`.
pub fn is_possible(packed: usize, length: usize) -> bool {
    length > 0 && length <= packed.saturating_mul(GROWTH_MAX)
}

/// Reading under way: how far it has come in what is packed.
#[derive(Clone, Copy, Default, Debug)]
pub struct Unpacking {
    at: usize,
    /// Bytes that were taken from the output.
    taken: usize,
}

impl Unpacking {
    /// Takes the bytes from the front of what was written that nothing refers to any more.
    pub fn take(&mut self, out: &mut Vec<u8>, use_them: impl FnOnce(&[u8])) {
        let count = out.len().saturating_sub(BACK_MAX);
        use_them(&out[..count]);
        out.drain(..count);
        self.taken += count;
    }

    /// How many of the packed bytes are read; they are not handed in any more.
    pub(super) fn forget(&mut self) -> usize {
        std::mem::take(&mut self.at)
    }

    /// Goes on until `out` has `until` bytes or some more, at the most `length` with those that were taken.
    /// Whether that was the end; `None` if the bytes are not what was told.
    pub fn more(
        &mut self,
        packed: &[u8],
        length: usize,
        until: usize,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        self.some(packed, true, length, until, out)
    }

    /// The same where more bytes may follow: then the last few are left.
    pub(super) fn some(
        &mut self,
        packed: &[u8],
        is_all: bool,
        length: usize,
        until: usize,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        let length = length.checked_sub(self.taken)?;
        while out.len() < until && (is_all || packed.len() - self.at >= STEP_MAX) {
            let Some(&control) = packed.get(self.at) else { break };
            self.at += 1;
            let control = usize::from(control);
            if control < 32 {
                let run = packed.get(self.at..self.at + control + 1)?;
                if run.len() > length - out.len() {
                    return None;
                }
                out.extend_from_slice(run);
                self.at += run.len();
                continue;
            }
            let mut run = (control >> 5) + 2;
            if run == 9 {
                run += usize::from(*packed.get(self.at)?);
                self.at += 1;
            }
            let back = ((control & 31) << 8) + usize::from(*packed.get(self.at)?) + 1;
            self.at += 1;
            if run > length - out.len() {
                return None;
            }
            repeat(out, back, run)?;
        }
        if self.at < packed.len() || !is_all {
            return if out.len() < length { Some(false) } else { None };
        }
        (out.len() == length).then_some(true)
    }
}

/// Appends `run` bytes from `back` bytes before the end on, which may be among the new ones.
fn repeat(out: &mut Vec<u8>, back: usize, run: usize) -> Option<()> {
    let start = out.len().checked_sub(back)?;
    if back >= run {
        out.extend_from_within(start..start + run);
        return Some(());
    }
    for at in start..start + run {
        out.push(out[at]);
    }
    Some(())
}

/// All of it at once.
pub fn unpack(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    if !is_possible(packed.len(), length) {
        return None;
    }
    let mut out = Vec::with_capacity(length);
    Unpacking::default().more(packed, length, length, &mut out)?.then_some(out)
}

/// Where bytes were seen, one place for each hash of three: so many for a long string, and for a short one, for which
/// to clear them would take longer than all the rest.
const PLACES: usize = 1 << 12;
const PLACES_OF_SHORT: usize = 1 << 8;
/// The longest of those.
const SHORT_MAX: usize = 256;
const RUN_MAX: usize = 264;
/// What is repeated begins at the most so many bytes before.
pub const BACK_MAX: usize = 1 << 13;
const LITERALS_MAX: usize = 32;

/// Packs the bytes, fewer than 64 KiB; `None` where that is not shorter by `gain` bytes at least.
pub fn pack(bytes: &[u8], gain: usize) -> Option<Vec<u8>> {
    match bytes.len() {
        ..=SHORT_MAX => pack_with::<PLACES_OF_SHORT>(bytes, gain),
        _ => pack_with::<PLACES>(bytes, gain),
    }
}

fn pack_with<const PLACES: usize>(bytes: &[u8], gain: usize) -> Option<Vec<u8>> {
    const NOWHERE: u16 = u16::MAX;
    let most = bytes.len().checked_sub(gain).filter(|_| bytes.len() < usize::from(NOWHERE))?;
    let mut places = [NOWHERE; PLACES];
    let (mut out, mut at, mut literals) = (Vec::new(), 0, 0);
    while at + 2 < bytes.len() {
        let three = three_at(bytes, at);
        let hash = (three.wrapping_mul(0x9e37_79b1) >> (32 - PLACES.ilog2())) as usize;
        let seen = std::mem::replace(&mut places[hash & (PLACES - 1)], at as u16);
        let back = at.wrapping_sub(usize::from(seen));
        if seen == NOWHERE || back > BACK_MAX || three_at(bytes, usize::from(seen)) != three {
            at += 1;
            continue;
        }
        // Of most short strings nothing is repeated, and nothing is taken for them.
        out.reserve(most - out.len());
        push_literals(&mut out, &bytes[literals..at]);
        let here = &bytes[at..bytes.len().min(at + RUN_MAX)];
        let run = here.iter().zip(&bytes[usize::from(seen)..]);
        let run = run.take_while(|(one, other)| one == other).count();
        push_repeat(&mut out, back - 1, run - 2);
        at += run;
        literals = at;
        if out.len() > most {
            return None;
        }
    }
    if literals == 0 {
        return None;
    }
    push_literals(&mut out, &bytes[literals..]);
    (out.len() <= most).then_some(out)
}

/// Three bytes of which all are there.
#[inline]
fn three_at(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..at + 4) {
        Some(four) => u32::from_le_bytes([four[0], four[1], four[2], 0]),
        None => u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], 0]),
    }
}

fn push_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERALS_MAX) {
        out.push((run.len() - 1) as u8);
        out.extend_from_slice(run);
    }
}

fn push_repeat(out: &mut Vec<u8>, back: usize, run: usize) {
    let high = (back >> 8) as u8;
    if run < 7 {
        out.push((run as u8) << 5 | high);
    } else {
        out.extend_from_slice(&[7 << 5 | high, (run - 7) as u8]);
    }
    out.push(back as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_read_again_also_in_pieces() {
        let seed = crate::value::test_seed();
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 1..400 {
            let letters = 1 + random.usize(..6);
            let mut bytes: Vec<u8> = Vec::new();
            while bytes.len() < round * 40 {
                let most = if random.bool() { 3 } else { 600 };
                let run = 1 + random.usize(..most);
                match bytes.len().checked_sub(1 + random.usize(..9000)) {
                    Some(from) if random.bool() => {
                        bytes.extend_from_within(from..bytes.len().min(from + run));
                    }
                    _ => bytes.extend((0..run).map(|_| random.u8(..letters as u8))),
                }
            }
            let Some(packed) = pack(&bytes, 0) else { continue };
            assert_eq!(unpack(&packed, bytes.len()).as_ref(), Some(&bytes), "SEED={seed}");
            let (mut unpacking, mut out) = (Unpacking::default(), Vec::new());
            while unpacking.more(&packed, bytes.len(), out.len() + 100, &mut out) == Some(false) {}
            assert_eq!(out, bytes, "SEED={seed}");
            let (mut unpacking, mut out, mut all) = (Unpacking::default(), Vec::new(), Vec::new());
            while unpacking.more(&packed, bytes.len(), BACK_MAX + 99, &mut out) == Some(false) {
                unpacking.take(&mut out, |taken| all.extend_from_slice(taken));
            }
            assert_eq!([all, out].concat(), bytes, "SEED={seed}");
            assert_eq!(unpack(&packed, bytes.len() + 1), None);
            assert_eq!(unpack(&packed[..packed.len() - 1], bytes.len()), None);
        }
    }

    #[test]
    fn a_length_that_lies_takes_no_memory() {
        assert_eq!(unpack(&[0, b'a'], 1 << 40), None);
        assert_eq!(unpack(&[0x20, 0], 3), None);
        assert_eq!(unpack(&[], 0), None);
    }
}
