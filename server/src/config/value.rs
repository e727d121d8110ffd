//! The values that settings take: reading them from text, and writing them back.
//!
//! Whatever is written here can be read here and gives the same value (a test walks the table).
//! Refusals use Redis's words, because operators and test suites search for them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::upstream::Upstream;
use engine::db::Events;

/// What a duration without a suffix counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

impl Unit {
    fn millis(self) -> u64 {
        match self {
            Unit::Seconds => 1000,
            Unit::Milliseconds => 1,
        }
    }
}

/// What values a setting takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `true false yes no on off 1 0`.
    Bool,
    /// A whole number, bounds included.
    Integer {
        /// The least value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// Bytes: `12gb`, `512mb`, `1.5g`, `100`. A suffix counts in powers of 1024, as in Dragonfly.
    Size {
        /// The least value.
        min: u64,
        /// The largest value.
        max: u64,
    },
    /// A duration: a number in `unit`, or a number with `ms`, `s`, `m`, `h` or `d`.
    Duration {
        /// What a bare number counts.
        unit: Unit,
        /// The least value, in `unit`.
        min: u64,
        /// The largest value, in `unit`.
        max: u64,
    },
    /// Any text.
    Text,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// Words separated by blanks or commas.
    List,
    /// `host:port`, `host port`, `[v6]:port`, or nothing.
    Upstream,
    /// `class hard soft seconds`, repeated.
    OutputLimits,
    /// Letters of key events.
    Events,
}

/// A value of a setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// See [`Kind::Bool`].
    Bool(bool),
    /// See [`Kind::Integer`].
    Integer(i64),
    /// See [`Kind::Size`].
    Size(u64),
    /// See [`Kind::Duration`]; written in the given unit.
    Duration(Duration, Unit),
    /// See [`Kind::Text`].
    Text(String),
    /// See [`Kind::Choice`].
    Choice(&'static str),
    /// See [`Kind::List`].
    List(Vec<String>),
    /// See [`Kind::Upstream`].
    Upstream(Option<Upstream>),
    /// See [`Kind::OutputLimits`].
    OutputLimits(OutputLimits),
    /// See [`Kind::Events`].
    Events(Events),
}

/// When a client that does not read its replies is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OutputLimit {
    /// Closed at once above this many bytes; 0 is no limit.
    pub hard_bytes: u64,
    /// Closed above this many bytes for `soft_time`; 0 is no limit.
    pub soft_bytes: u64,
    /// For how long the soft limit may be exceeded.
    pub soft_time: Duration,
}

/// The output limits of the three classes of clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OutputLimits {
    /// Ordinary clients.
    pub normal: OutputLimit,
    /// Redis replicas that follow by PSYNC. A Damselfly replica is a reader of the journal and is
    /// bounded by `repl_backlog_size` instead.
    pub replica: OutputLimit,
    /// Subscribers.
    pub pubsub: OutputLimit,
}

impl Kind {
    /// Reads a value. `unit` replaces the unit of a duration; `current` completes a partial text.
    pub fn parse(
        &self,
        text: &str,
        unit: Option<Unit>,
        current: Option<&Value>,
    ) -> Result<Value, String> {
        match self {
            Kind::Bool => parse_bool(text).map(Value::Bool),
            Kind::Integer { min, max } => parse_integer(text, *min, *max).map(Value::Integer),
            Kind::Size { min, max } => match parse_size(text) {
                Some(bytes) if (*min..=*max).contains(&bytes) => Ok(Value::Size(bytes)),
                Some(_) => Err(format!("argument must be between {min} and {max} inclusive")),
                None => Err("argument must be a memory value".to_owned()),
            },
            Kind::Duration { unit: own, min, max } => {
                let in_millis = |bound: &u64| u128::from(*bound) * u128::from(own.millis());
                let (least, most) = (in_millis(min), in_millis(max));
                match parse_duration(text, unit.unwrap_or(*own))? {
                    Some(length) if (least..=most).contains(&length.as_millis()) => {
                        Ok(Value::Duration(length, *own))
                    }
                    _ => {
                        let step = u128::from(unit.unwrap_or(*own).millis());
                        let (bottom, top) = (least.div_ceil(step), most / step);
                        Err(format!("argument must be between {bottom} and {top} inclusive"))
                    }
                }
            }
            Kind::Text => match text.contains(['\n', '\r', '\0']) {
                true => Err("argument must be one line of text".to_owned()),
                false => Ok(Value::Text(text.to_owned())),
            },
            Kind::Choice(names) => {
                match names.iter().find(|name| name.eq_ignore_ascii_case(text)) {
                    Some(name) => Ok(Value::Choice(name)),
                    None => Err(format!(
                        "argument(s) must be one of the following: {}",
                        names.join(", ")
                    )),
                }
            }
            Kind::List => parse_list(text).map(Value::List),
            Kind::Upstream => Upstream::parse_setting(text).map(Value::Upstream),
            Kind::OutputLimits => {
                let base = match current {
                    Some(Value::OutputLimits(limits)) => *limits,
                    _ => OutputLimits::default(),
                };
                parse_output_limits(text, base).map(Value::OutputLimits)
            }
            Kind::Events => Events::parse(text)
                .map(Value::Events)
                .ok_or_else(|| "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned()),
        }
    }

    /// How the docs and `--help` call a value of this kind.
    pub fn placeholder(&self) -> String {
        match self {
            Kind::Bool => "bool".to_owned(),
            Kind::Integer { .. } => "number".to_owned(),
            Kind::Size { .. } => "size".to_owned(),
            Kind::Duration { unit: Unit::Seconds, .. } => "seconds".to_owned(),
            Kind::Duration { unit: Unit::Milliseconds, .. } => "milliseconds".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Choice(names) => names.join("|"),
            Kind::List => "list".to_owned(),
            Kind::Upstream => "host:port".to_owned(),
            Kind::OutputLimits => "class hard soft seconds".to_owned(),
            Kind::Events => "letters".to_owned(),
        }
    }
}

impl Value {
    /// Whether the text of this value is empty.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Text(text) => text.is_empty(),
            Value::List(words) => words.is_empty(),
            Value::Upstream(upstream) => upstream.is_none(),
            Value::Events(events) => events.is_empty(),
            _ => false,
        }
    }

    /// As a spelling of Redis's shows it: `yes` and `no`, durations in `unit`.
    pub fn to_redis_text(&self, unit: Option<Unit>) -> String {
        match (self, unit) {
            (Value::Bool(true), _) => "yes".to_owned(),
            (Value::Bool(false), _) => "no".to_owned(),
            (Value::Duration(length, _), Some(unit)) => duration_text(*length, unit),
            (Value::Upstream(Some(upstream)), _) => format!("{} {}", upstream.host, upstream.port),
            (other, _) => other.to_string(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Integer(value) => write!(f, "{value}"),
            Value::Size(value) => write!(f, "{value}"),
            Value::Duration(length, unit) => f.write_str(&duration_text(*length, *unit)),
            Value::Text(value) => f.write_str(value),
            Value::Choice(value) => f.write_str(value),
            Value::List(words) => f.write_str(&words.join(" ")),
            Value::Events(events) => f.write_str(&events.letters()),
            Value::Upstream(None) => Ok(()),
            Value::Upstream(Some(upstream)) => write!(f, "{upstream}"),
            Value::OutputLimits(limits) => {
                let classes = [
                    ("normal", limits.normal),
                    ("slave", limits.replica),
                    ("pubsub", limits.pubsub),
                ];
                for (index, (name, limit)) in classes.iter().enumerate() {
                    let gap = if index == 0 { "" } else { " " };
                    let time = limit.soft_time.as_secs();
                    write!(f, "{gap}{name} {} {} {time}", limit.hard_bytes, limit.soft_bytes)?;
                }
                Ok(())
            }
        }
    }
}

/// Whole units are written as a bare number; a rest is written so that nothing is lost.
fn duration_text(length: Duration, unit: Unit) -> String {
    let millis = length.as_millis();
    let step = u128::from(unit.millis());
    match millis % step {
        0 => (millis / step).to_string(),
        _ => format!("{millis}ms"),
    }
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "t" | "y" => Ok(true),
        "false" | "no" | "off" | "0" | "f" | "n" => Ok(false),
        _ => Err("argument must be 'yes' or 'no'".to_owned()),
    }
}

fn parse_integer(text: &str, min: i64, max: i64) -> Result<i64, String> {
    let value = whole_number(text)
        .ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())?;
    match value < min || value > max {
        true => Err(format!("argument must be between {min} and {max} inclusive")),
        false => Ok(value),
    }
}

/// A whole number as Redis reads one: no plus sign, no blanks.
fn whole_number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

/// Reads `12gb`, `512mb`, `1.5g`, `64kib`, `100b` or `100`; nothing else.
pub fn parse_size(text: &str) -> Option<u64> {
    let (digits, suffix) = split_suffix(text);
    let shift = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    scale(digits, 1 << shift)
}

/// A duration; nothing where it is below zero or longer than any. Refused in Redis's words, which has
/// whole numbers only.
fn parse_duration(text: &str, unit: Unit) -> Result<Option<Duration>, String> {
    if let Some(whole) = whole_number(text) {
        let whole = u64::try_from(whole).ok();
        return Ok(whole.map(|whole| match unit {
            Unit::Seconds => Duration::from_secs(whole),
            Unit::Milliseconds => Duration::from_millis(whole),
        }));
    }
    let (digits, suffix) = split_suffix(text);
    let step = match suffix.to_ascii_lowercase().as_str() {
        "" => unit.millis(),
        "ms" => 1,
        "s" | "sec" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("argument couldn't be parsed into an integer".to_owned()),
    };
    // What is longer than the longest has no number that Redis would read.
    let millis = scale(digits, step).filter(|_| !suffix.is_empty() || digits.contains('.'));
    let millis = millis.ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())?;
    Ok(Some(Duration::from_millis(millis)))
}

impl Kind {
    /// A value in Redis's words, as the command line would say it. In `CONFIG SET` and in a redis.conf `1k`,
    /// `1m` and `1g` count in powers of 1000, `1kb`, `1mb` and `1gb` in powers of 1024.
    pub fn from_redis<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self {
            Kind::Size { .. } => redis_size(text),
            Kind::OutputLimits if text.is_ascii() => {
                let words: Vec<Cow<'_, str>> = text.split_whitespace().map(redis_size).collect();
                Cow::Owned(words.join(" "))
            }
            _ => Cow::Borrowed(text),
        }
    }
}

/// An empty text is 0 to Redis, and a number beyond 64 bits the largest.
fn redis_size(text: &str) -> Cow<'_, str> {
    let (digits, suffix) = split_suffix(text);
    let step = match suffix {
        "" if text.is_empty() => return Cow::Borrowed("0"),
        "" if digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.parse::<u64>().is_err() =>
        {
            return Cow::Owned(u64::MAX.to_string());
        }
        "k" | "K" => 1000,
        "m" | "M" => 1_000_000,
        "g" | "G" => 1_000_000_000,
        _ => return Cow::Borrowed(text),
    };
    scale(digits, step).map_or(Cow::Borrowed(text), |bytes| Cow::Owned(bytes.to_string()))
}

fn split_suffix(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

/// `digits` (with at most one point) times `step`, exact, cut to a whole number.
fn scale(digits: &str, step: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || digits.ends_with('.') || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let part = match fraction {
        "" => 0,
        _ => {
            let value: u128 = fraction.parse().ok()?;
            let base = 10u128.pow(u32::try_from(fraction.len()).ok()?);
            u64::try_from(value * u128::from(step) / base).ok()?
        }
    };
    whole.checked_mul(step)?.checked_add(part)
}

fn parse_list(text: &str) -> Result<Vec<String>, String> {
    if text.contains(['\n', '\r', '\0']) {
        return Err("argument must be one line of text".to_owned());
    }
    let words = text.split([' ', '\t', ',']).filter(|word| !word.is_empty());
    Ok(words.map(str::to_owned).collect())
}

fn parse_output_limits(text: &str, base: OutputLimits) -> Result<OutputLimits, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    let mut limits = base;
    for group in words.chunks_exact(4) {
        let wrong = || "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        let limit = OutputLimit {
            hard_bytes: parse_size(group[1]).ok_or_else(wrong)?,
            soft_bytes: parse_size(group[2]).ok_or_else(wrong)?,
            soft_time: Duration::from_secs(group[3].parse::<u32>().map_err(|_| wrong())?.into()),
        };
        match group[0].to_ascii_lowercase().as_str() {
            "normal" => limits.normal = limit,
            "slave" | "replica" => limits.replica = limit,
            "pubsub" => limits.pubsub = limit,
            _ => {
                return Err(
                    "Invalid client class specified in buffer limit configuration.".to_owned()
                );
            }
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        let check = |text: &str, want: Option<u64>| assert_eq!(parse_size(text), want, "{text:?}");
        check("0", Some(0));
        check("100", Some(100));
        check("100b", Some(100));
        check("12gb", Some(12 << 30));
        check("512MB", Some(512 << 20));
        check("1.5g", Some(3 << 29));
        check("64KiB", Some(65536));
        check("18446744073709551615", Some(u64::MAX));
        check("18446744073709551616", None);
        check("16777216t", None);
        for wrong in ["", "gb", "-1", "1.", ".5g", "1.2.3", "12 gb", "12x", "1e3", "+5"] {
            check(wrong, None);
        }
    }

    #[test]
    fn redis_counts_letters_in_powers_of_1000() {
        let check = |text: &str, want: &str| {
            assert_eq!(Kind::Size { min: 0, max: u64::MAX }.from_redis(text), want);
        };
        check("1g", "1000000000");
        check("2M", "2000000");
        check("1k", "1000");
        check("1gb", "1gb");
        check("1x", "1x");
        check("g", "g");
        check("99999999999999g", "99999999999999g");
        assert_eq!(Kind::OutputLimits.from_redis("normal 1m 1mb 60"), "normal 1000000 1mb 60");
        assert_eq!(Kind::Text.from_redis("1g"), "1g");
    }

    #[test]
    fn durations_take_suffixes_and_a_bare_number_counts_the_own_unit() {
        let kind = Kind::Duration { unit: Unit::Milliseconds, min: 100, max: 100_000 };
        let check = |text: &str, unit, want: Result<u64, &str>| {
            let got = kind.parse(text, unit, None);
            let want = match want {
                Ok(ms) => Ok(Value::Duration(Duration::from_millis(ms), Unit::Milliseconds)),
                Err(error) => Err(error.to_owned()),
            };
            assert_eq!(got, want, "{text:?}");
        };
        check("30000", None, Ok(30_000));
        check("30s", None, Ok(30_000));
        check("1.5s", None, Ok(1500));
        check("30", Some(Unit::Seconds), Ok(30_000));
        check("100", None, Ok(100));
        check("99", None, Err("argument must be between 100 and 100000 inclusive"));
        check("101s", None, Err("argument must be between 100 and 100000 inclusive"));
        check("101", Some(Unit::Seconds), Err("argument must be between 1 and 100 inclusive"));
        check("0", Some(Unit::Seconds), Err("argument must be between 1 and 100 inclusive"));
        check("-1", None, Err("argument must be between 100 and 100000 inclusive"));
        check("soon", None, Err("argument couldn't be parsed into an integer"));
    }

    #[test]
    fn a_duration_with_a_rest_is_written_so_that_nothing_is_lost() {
        let value = Value::Duration(Duration::from_millis(1500), Unit::Milliseconds);
        assert_eq!(value.to_string(), "1500");
        assert_eq!(value.to_redis_text(Some(Unit::Seconds)), "1500ms");
    }

    #[test]
    fn output_limits_named_in_part_keep_the_other_classes() {
        let kind = Kind::OutputLimits;
        let first = kind.parse("normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60", None, None);
        let first = first.expect("three classes");
        let second = kind.parse("replica 1gb 0 0", None, Some(&first)).expect("one class");
        assert_eq!(
            second.to_string(),
            "normal 0 0 0 slave 1073741824 0 0 pubsub 33554432 8388608 60"
        );
        assert_eq!(kind.parse("", None, Some(&first)), Ok(first), "nothing is changed");
        for wrong in ["normal 1 2", "friend 0 0 0", "normal a 0 0"] {
            assert!(kind.parse(wrong, None, None).is_err(), "{wrong:?}");
        }
    }
}
