//! Runs of registers of one height, in opcodes.
//!
//! ```text
//!   00llllll            zero    1 to 64 registers of height 0
//!   01llllll llllllll   xzero   1 to 16384 of them
//!   1hhhhhll            value   1 to 4 registers of height 1 to 32
//! ```
//!
//! Which opcodes name a set of registers depends on how it came about, and Redis's way is kept step by step,
//! because the bytes are to be the same.

use super::estimate::Heights;
use super::mark::{Fault, REGISTERS};

/// The greatest height that an opcode can name.
pub(super) const HEIGHT_MAX: u8 = 32;
const VALUE_RUN_MAX: usize = 4;
const ZERO_RUN_MAX: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Opcode {
    Zero(usize),
    XZero(usize),
    Value { height: u8, run: usize },
}

impl Opcode {
    /// The opcode at the front; `None` behind the last one, and where half of one is missing.
    fn first(bytes: &[u8]) -> Option<Opcode> {
        let (&byte, after) = bytes.split_first()?;
        let low = usize::from(byte & 63);
        Some(match byte >> 6 {
            0 => Opcode::Zero(low + 1),
            1 => Opcode::XZero((low << 8 | usize::from(*after.first()?)) + 1),
            _ => Opcode::Value { height: (byte >> 2 & 31) + 1, run: usize::from(byte & 3) + 1 },
        })
    }

    /// Registers.
    fn run(self) -> usize {
        match self {
            Opcode::Zero(run) | Opcode::XZero(run) | Opcode::Value { run, .. } => run,
        }
    }

    fn height(self) -> u8 {
        if let Opcode::Value { height, .. } = self { height } else { 0 }
    }

    /// Bytes.
    fn length(self) -> usize {
        if matches!(self, Opcode::XZero(_)) { 2 } else { 1 }
    }
}

fn value(height: u8, run: usize) -> u8 {
    0x80 | (height - 1) << 2 | (run - 1) as u8
}

fn push_zeros(out: &mut Vec<u8>, run: usize) {
    match run {
        0 => {}
        1..=ZERO_RUN_MAX => out.push((run - 1) as u8),
        _ => out.extend_from_slice(&(0x4000 | (run - 1) as u16).to_be_bytes()),
    }
}

/// No register has any height.
pub(super) fn empty() -> Vec<u8> {
    let mut opcodes = Vec::with_capacity(2);
    push_zeros(&mut opcodes, REGISTERS);
    opcodes
}

/// Calls `each` with the first register of each run, its length, and its height.
fn for_each(mut opcodes: &[u8], mut each: impl FnMut(usize, usize, u8)) -> Result<(), Fault> {
    let mut first = 0;
    while let Some(opcode) = Opcode::first(opcodes) {
        let run = opcode.run();
        if first + run > REGISTERS {
            return Err(Fault::Corrupted);
        }
        each(first, run, opcode.height());
        first += run;
        opcodes = &opcodes[opcode.length()..];
    }
    if first == REGISTERS && opcodes.is_empty() { Ok(()) } else { Err(Fault::Corrupted) }
}

pub(super) fn heights(opcodes: &[u8]) -> Result<Heights, Fault> {
    let mut heights = [0; 64];
    for_each(opcodes, |_, run, height| heights[usize::from(height)] += run as u32)?;
    Ok(heights)
}

/// Raises `heights` to those of these registers; where the opcodes are corrupted perhaps some of them.
pub(super) fn raise(heights: &mut [u8; REGISTERS], opcodes: &[u8]) -> Result<(), Fault> {
    for_each(opcodes, |first, run, height| {
        if height > 0 {
            heights[first..first + run].iter_mut().for_each(|there| *there = height.max(*there));
        }
    })
}

/// As Redis writes them for people.
pub(super) fn text(mut opcodes: &[u8]) -> String {
    let mut words = Vec::new();
    while let Some(opcode) = Opcode::first(opcodes) {
        words.push(match opcode {
            Opcode::Zero(run) => format!("z:{run}"),
            Opcode::XZero(run) => format!("Z:{run}"),
            Opcode::Value { height, run } => format!("v:{height},{run}"),
        });
        opcodes = &opcodes[opcode.length()..];
    }
    words.join(" ")
}

/// A place between opcodes.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Place {
    at: usize,
    /// The first register behind it.
    first: usize,
}

/// What came of raising a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Raised {
    /// It is as high already.
    No,
    /// Yes.
    Yes,
    /// It cannot be told by opcodes, or not by so few bytes.
    TooLarge,
}

/// What is done to raise a register, once it is found.
struct Found {
    /// The opcode before it, if there is one.
    before: Option<Place>,
    place: Place,
    opcode: Opcode,
}

/// Finds the opcode of a register, from `from` on.
fn find(opcodes: &[u8], index: usize, from: Place) -> Result<Found, Fault> {
    let (mut before, mut place) = (None, from);
    loop {
        let opcode = Opcode::first(&opcodes[place.at..]).ok_or(Fault::Corrupted)?;
        let next = place.first + opcode.run();
        if index < next {
            return Ok(Found { before, place, opcode });
        }
        before = Some(place);
        place = Place { at: place.at + opcode.length(), first: next };
    }
}

/// What `opcodes` is to become where the register `index` is to be at least `height` high: its place is
/// changed and the opcodes around it joined, or nothing is done. `from` is where to look from on, and then
/// where to look from for a register above this one. The bytes may grow to `most`.
pub(super) fn raise_one(
    opcodes: &mut Vec<u8>,
    index: usize,
    height: u8,
    most: usize,
    from: &mut Place,
) -> Result<Raised, Fault> {
    if height > HEIGHT_MAX {
        return Ok(Raised::TooLarge);
    }
    let mut found = find(opcodes, index, *from)?;
    if found.before.is_none() && from.at > 0 {
        // The one before is needed, too.
        found = find(opcodes, index, Place::default())?;
    }
    let Found { before, place: Place { at, first }, opcode } = found;
    let before = before.unwrap_or_default();
    if opcode.height() >= height {
        *from = before;
        return Ok(Raised::No);
    }
    let (left, right) = (index - first, first + opcode.run() - 1 - index);
    let length = opcode.length();
    if left == 0 && right == 0 && length == 1 {
        opcodes[at] = value(height, 1);
    } else {
        let mut parts = Vec::with_capacity(5);
        push_run(&mut parts, opcode, left);
        parts.push(value(height, 1));
        push_run(&mut parts, opcode, right);
        if parts.len() > length && opcodes.len() + parts.len() - length > most {
            return Ok(Raised::TooLarge);
        }
        opcodes.splice(at..at + length, parts);
    }
    join(opcodes, before.at);
    *from = before;
    Ok(Raised::Yes)
}

/// A part of an opcode's run, which may be none.
fn push_run(parts: &mut Vec<u8>, opcode: Opcode, run: usize) {
    match opcode {
        Opcode::Zero(_) | Opcode::XZero(_) => push_zeros(parts, run),
        Opcode::Value { height, .. } if run > 0 => parts.push(value(height, run)),
        Opcode::Value { .. } => {}
    }
}

/// Joins neighbours of one height among the few opcodes that a change can have touched.
fn join(opcodes: &mut Vec<u8>, mut at: usize) {
    /// Looks, as many as Redis takes.
    const LOOKS: usize = 5;
    for _ in 0..LOOKS {
        let Some(opcode) = opcodes.get(at..).and_then(Opcode::first) else { return };
        let next = opcodes.get(at + 1..).and_then(Opcode::first);
        if let (Opcode::Value { height, run }, Some(Opcode::Value { height: same, run: more })) =
            (opcode, next)
            && height == same
            && run + more <= VALUE_RUN_MAX
        {
            opcodes[at + 1] = value(height, run + more);
            opcodes.remove(at);
            continue;
        }
        at += opcode.length();
    }
}
