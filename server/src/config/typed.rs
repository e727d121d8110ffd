//! From a setting's [`Value`] to the type that code reads: `config.port`, `config.pin`, ...
//!
//! A kind and a field type that do not fit each other are a mistake of the table; they show as soon
//! as a `Config` is built, which the table's first test does.
//!
//! What Redis takes and nobody means (a maxmemory of 2^64 - 1, a deadline in 292 years) is kept and shown
//! as it was given; code reads the bounds below, so that sums of a few fit into 64 bits.

use std::time::Duration;

use super::upstream::Upstream;
use super::value::{OutputLimits, Value};
use engine::db::Events;

/// The largest size that code reads: 1 EiB.
const SIZE_READ_MAX: u64 = 1 << 60;
/// The longest duration that code reads: some 68 years.
const DURATION_READ_MAX: Duration = Duration::from_secs(i32::MAX as u64);

/// A type that a setting can have as a field of `Config`.
pub(super) trait FromValue: Sized {
    /// The value, or nothing when it is of another kind.
    fn from_value(value: &Value) -> Option<Self>;
}

/// The next value of the table as the field's type.
pub(super) fn take<T: FromValue>(name: &str, value: Option<&Value>) -> T {
    match value.and_then(T::from_value) {
        Some(value) => value,
        None => unreachable!("setting {name} has a field of a type that its kind does not fill"),
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<bool> {
        match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<String> {
        match value {
            Value::Text(value) => Some(value.clone()),
            _ => None,
        }
    }
}

impl FromValue for Duration {
    fn from_value(value: &Value) -> Option<Duration> {
        match value {
            Value::Duration(value, _) => Some((*value).min(DURATION_READ_MAX)),
            _ => None,
        }
    }
}

impl FromValue for Vec<String> {
    fn from_value(value: &Value) -> Option<Vec<String>> {
        match value {
            Value::List(words) => Some(words.clone()),
            _ => None,
        }
    }
}

impl FromValue for Option<Upstream> {
    fn from_value(value: &Value) -> Option<Option<Upstream>> {
        match value {
            Value::Upstream(upstream) => Some(upstream.clone()),
            _ => None,
        }
    }
}

impl FromValue for OutputLimits {
    fn from_value(value: &Value) -> Option<OutputLimits> {
        match value {
            Value::OutputLimits(limits) => Some(*limits),
            _ => None,
        }
    }
}

impl FromValue for Events {
    fn from_value(value: &Value) -> Option<Events> {
        match value {
            Value::Events(events) => Some(*events),
            _ => None,
        }
    }
}

macro_rules! whole_numbers {
    ($($type:ty)+) => { $(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Option<$type> {
                match value {
                    Value::Integer(value) => <$type>::try_from(*value).ok(),
                    Value::Size(value) => <$type>::try_from((*value).min(SIZE_READ_MAX)).ok(),
                    _ => None,
                }
            }
        }
    )+ };
}

whole_numbers!(u8 u16 u32 u64 usize i32 i64);

macro_rules! choices {
    ($( $(#[doc = $help:literal])+ $name:ident { $( $(#[doc = $word_help:literal])+ $word:ident = $text:literal ),+ $(,)? } )+) => { $(
        $(#[doc = $help])+
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $( $(#[doc = $word_help])+ $word ),+ }

        impl $name {
            /// Every word, in the order of the variants.
            pub const WORDS: &'static [&'static str] = &[$($text),+];

            /// The word of this variant.
            pub fn word(self) -> &'static str {
                match self { $( $name::$word => $text ),+ }
            }
        }

        impl FromValue for $name {
            fn from_value(value: &Value) -> Option<$name> {
                match value {
                    $( Value::Choice($text) => Some($name::$word), )+
                    _ => None,
                }
            }
        }
    )+ };
}

choices! {
    /// Whether executors are bound to CPUs.
    Pin {
        /// From 4 CPUs up, when there are no more executors than CPUs.
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
    }
    /// In which order the commands of one pipeline become visible to others.
    PipelineOrder {
        /// Commands on different shards in either order.
        Relaxed = "relaxed",
        /// In the order they were sent.
        Strict = "strict",
    }
    /// What is removed when memory runs out.
    MaxmemoryPolicy {
        /// Nothing: writes are refused.
        NoEviction = "noeviction",
        /// Any key, least recently used first.
        AllKeysLru = "allkeys-lru",
        /// Any key, least frequently used first.
        AllKeysLfu = "allkeys-lfu",
        /// Any key at random.
        AllKeysRandom = "allkeys-random",
        /// Keys with a deadline, least recently used first.
        VolatileLru = "volatile-lru",
        /// Keys with a deadline, least frequently used first.
        VolatileLfu = "volatile-lfu",
        /// Keys with a deadline at random.
        VolatileRandom = "volatile-random",
        /// Keys with a deadline, the nearest first.
        VolatileTtl = "volatile-ttl",
    }
    /// What happens to a replica that falls out of the log.
    SlowReplicaPolicy {
        /// It is dropped and comes back with a full sync.
        Drop = "drop",
    }
    /// The oldest Redis that follows this node: what it knows is what all of them are told.
    OldestFollower {
        /// Redis 6.2.
        Redis62 = "6.2",
        /// Redis 7.0 and 7.2, Valkey 7.2 to 8.
        Redis70 = "7.0",
        /// Redis 7.4 and newer, Valkey 9 and newer.
        Redis74 = "7.4",
    }
    /// Whether clients must show a certificate on a TLS port.
    TlsAuthClients {
        /// Exactly when a CA is configured.
        Auto = "auto",
        /// Always.
        Yes = "yes",
        /// Never.
        No = "no",
        /// One that is shown must be valid.
        Optional = "optional",
    }
    /// The shape of ROLE and of states in INFO.
    ReplyStyle {
        /// Dragonfly's where clients ask for it by nothing else: ROLE says `master` or `replica`.
        Auto = "auto",
        /// Dragonfly's.
        Dragonfly = "dragonfly",
        /// Redis's.
        Redis = "redis",
    }
    /// How much is logged, in Redis's words.
    LogLevel {
        /// Everything.
        Debug = "debug",
        /// Much.
        Verbose = "verbose",
        /// What an operator wants to know.
        Notice = "notice",
        /// What an operator has to know.
        Warning = "warning",
        /// Nothing.
        Nothing = "nothing",
    }
}
