//! How long a value lives, as SET and GETEX and their elder relations say it.
//!
//! The words are read here and conflicts refused; the instant is made afterwards, because Redis tells
//! a bad number only once the whole request is well formed.

use crate::command::{Args, Refusal};
use crate::resp::number::parse_i64;
use crate::types::Millis;

/// What a number in a request means as a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    /// `EX`: seconds from now.
    Seconds,
    /// `PX`: milliseconds from now.
    Millis,
    /// `EXAT`: seconds since the epoch.
    UnixSeconds,
    /// `PXAT`: milliseconds since the epoch.
    UnixMillis,
}

const WORDS: [(&str, Unit); 4] = [
    ("EX", Unit::Seconds),
    ("PX", Unit::Millis),
    ("EXAT", Unit::UnixSeconds),
    ("PXAT", Unit::UnixMillis),
];

/// What a request says about the life of its value.
#[derive(Clone, Copy, Default, Debug)]
pub(super) enum Lifetime<'a> {
    /// Nothing.
    #[default]
    Unsaid,
    /// `KEEPTTL`: as before.
    Keep,
    /// `PERSIST`: for ever from now on.
    Persist,
    /// Until then; the number has not been read yet.
    Until(Unit, &'a [u8]),
}

impl<'a> Lifetime<'a> {
    /// Takes the words at the cursor in if they name an instant; `false` when they are about
    /// something else. Saying the same twice is allowed and the last one counts, as in Redis.
    pub(super) fn take_until(&mut self, args: &mut Args<'a>) -> Result<bool, Refusal> {
        for (word, unit) in WORDS {
            if args.word(word) {
                let free = match self {
                    Lifetime::Unsaid => true,
                    Lifetime::Until(said, _) => *said == unit,
                    Lifetime::Keep | Lifetime::Persist => false,
                };
                *self = Lifetime::Until(unit, args.required()?);
                return if free { Ok(true) } else { Err(Refusal::Syntax) };
            }
        }
        Ok(false)
    }

    /// Takes `KEEPTTL` in if it stands at the cursor.
    pub(super) fn take_keep(&mut self, args: &mut Args<'a>) -> Result<bool, Refusal> {
        if !args.word("KEEPTTL") {
            return Ok(false);
        }
        let free = matches!(self, Lifetime::Unsaid | Lifetime::Keep);
        *self = Lifetime::Keep;
        if free { Ok(true) } else { Err(Refusal::Syntax) }
    }

    /// Takes `PERSIST` in if it stands at the cursor.
    pub(super) fn take_persist(&mut self, args: &mut Args<'a>) -> Result<bool, Refusal> {
        if !args.word("PERSIST") {
            return Ok(false);
        }
        let free = matches!(self, Lifetime::Unsaid | Lifetime::Persist);
        *self = Lifetime::Persist;
        if free { Ok(true) } else { Err(Refusal::Syntax) }
    }
}

/// The instant that `text` names; `command` is the one that complains.
///
/// What counts from now must be positive and must not leave the 64 bits of Redis's clock. What counts
/// from the epoch may lie in the past: the value is then gone at once.
pub(super) fn instant(
    unit: Unit,
    text: &[u8],
    now: Millis,
    command: &'static str,
) -> Result<Millis, Refusal> {
    let number = parse_i64(text).ok_or(Refusal::NotInteger)?;
    let refused = Refusal::ExpireTime(command);
    let millis = match unit {
        Unit::Seconds | Unit::UnixSeconds => number.checked_mul(1000),
        Unit::Millis | Unit::UnixMillis => Some(number),
    };
    let Some(millis) = millis.and_then(|m| u64::try_from(m).ok()).filter(|m| *m > 0) else {
        return Err(refused);
    };
    match unit {
        Unit::UnixSeconds | Unit::UnixMillis => Ok(Millis(millis)),
        Unit::Seconds | Unit::Millis => {
            let at = millis.saturating_add(now.0);
            if at > i64::MAX as u64 { Err(refused) } else { Ok(Millis(at)) }
        }
    }
}
