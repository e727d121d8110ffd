//! What a setting IS: its name, its other spellings, what values it takes, and who may change it when.
//!
//! A [`Setting`] is plain constant data. The command line, `CONFIG GET`, `CONFIG SET`, the flagfile,
//! the help texts and `docs/operating/flags.md` are projections of the one list of them
//! ([`super::table`]). Nothing here reads a file, a variable or the clock.

use std::fmt;

use super::value::{Kind, Unit, Value};

/// The heading under which a setting stands in `--help` and in the docs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Listeners, connections and their limits.
    Network,
    /// Passwords.
    Access,
    /// Transport security.
    Tls,
    /// Executors, shards and memory.
    Engine,
    /// Following and being followed.
    Replication,
    /// Logs, metrics, files and the process.
    Operation,
    /// Known names that change nothing here, or take one value only.
    Accepted,
}

impl Group {
    /// The heading's text.
    pub fn title(self) -> &'static str {
        match self {
            Group::Network => "Network",
            Group::Access => "Access",
            Group::Tls => "TLS",
            Group::Engine => "Shards and memory",
            Group::Replication => "Replication",
            Group::Operation => "Operation",
            Group::Accepted => "Accepted names",
        }
    }
}

/// What setting a value does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The program reads it.
    Real,
    /// Any valid value is taken, kept and shown, and changes nothing. The help text says why.
    Nothing,
    /// Only the listed values are taken: another one would promise what is not there, and being
    /// silent about that would change how safe the node is. The help text is the reason given.
    Only(&'static [&'static str]),
}

/// Another name of a setting, as Redis or an older Dragonfly spells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alias {
    /// The spelling, for example `repl-timeout`.
    pub name: &'static str,
    /// The unit in which this spelling counts, where it differs from the setting's own.
    pub unit: Option<Unit>,
}

impl Alias {
    /// Another spelling for the same value.
    pub const fn same(name: &'static str) -> Alias {
        Alias { name, unit: None }
    }

    /// A spelling that counts in seconds.
    pub const fn seconds(name: &'static str) -> Alias {
        Alias { name, unit: Some(Unit::Seconds) }
    }

    /// A spelling that counts in milliseconds.
    pub const fn milliseconds(name: &'static str) -> Alias {
        Alias { name, unit: Some(Unit::Milliseconds) }
    }
}

/// One setting. Built with the functions below and named by the table.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Dragonfly's spelling: lower case, underscores.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The default, as one would write it on the command line.
    pub default: &'static str,
    /// Other spellings.
    pub aliases: &'static [Alias],
    /// Its heading.
    pub group: Group,
    /// Whether `CONFIG SET` may change it.
    pub mutable: bool,
    /// Whether its value is masked in logs and debug output.
    pub secret: bool,
    /// What it does.
    pub effect: Effect,
    /// A number beyond these is taken as the nearer of them, as Redis does it in silence.
    pub kept_within: Option<(i64, i64)>,
    /// One paragraph for the operator.
    pub help: &'static str,
}

impl Setting {
    const fn new(kind: Kind, default: &'static str) -> Setting {
        Setting {
            name: "",
            kind,
            default,
            aliases: &[],
            group: Group::Accepted,
            mutable: false,
            secret: false,
            effect: Effect::Real,
            kept_within: None,
            help: "",
        }
    }

    /// With its name, heading and help text: the table's macro calls this.
    pub const fn described(
        mut self,
        name: &'static str,
        group: Group,
        help: &'static str,
    ) -> Setting {
        self.name = name;
        self.group = group;
        self.help = help;
        self
    }

    /// With other spellings.
    pub const fn aliases(mut self, aliases: &'static [Alias]) -> Setting {
        self.aliases = aliases;
        self
    }

    /// `CONFIG SET` may change it.
    pub const fn mutable(mut self) -> Setting {
        self.mutable = true;
        self
    }

    /// Not less than that: for sizes and durations, in their unit.
    pub const fn at_least(mut self, least: u64) -> Setting {
        match &mut self.kind {
            Kind::Size { min, .. } | Kind::Duration { min, .. } => *min = least,
            _ => panic!("only sizes and durations begin at a bound of their own"),
        }
        self
    }

    /// What is beyond is taken as the nearer bound; of sizes 0 is exempt, which is none at all.
    pub const fn kept_within(mut self, least: i64, most: i64) -> Setting {
        self.kept_within = Some((least, most));
        self
    }

    /// Never shown in logs.
    pub const fn secret(mut self) -> Setting {
        self.secret = true;
        self
    }

    /// Taken, kept and shown without effect.
    pub const fn without_effect(mut self) -> Setting {
        self.effect = Effect::Nothing;
        self.mutable = true;
        self
    }

    /// Only these values are taken.
    pub const fn only(mut self, values: &'static [&'static str]) -> Setting {
        self.effect = Effect::Only(values);
        self.mutable = true;
        self
    }

    /// Reads a value in the setting's own unit. `current` is what the value is merged with where a
    /// text may name only a part of it.
    pub fn parse(&self, text: &str, current: Option<&Value>) -> Result<Value, String> {
        self.parse_as(text, None, current)
    }

    /// Reads a value as `alias` counts it.
    pub fn parse_as(
        &self,
        text: &str,
        alias: Option<&Alias>,
        current: Option<&Value>,
    ) -> Result<Value, String> {
        let value = self.kind.parse(text, alias.and_then(|alias| alias.unit), current)?;
        let value = match (value, self.kept_within) {
            (Value::Integer(number), Some((least, most))) => {
                Value::Integer(number.clamp(least, most))
            }
            (Value::Size(bytes), Some((least, most))) if bytes > 0 => {
                Value::Size(bytes.clamp(least as u64, most as u64))
            }
            (value, _) => value,
        };
        if let Effect::Only(allowed) = self.effect {
            let taken =
                allowed.iter().any(|one| self.kind.parse(one, None, None) == Ok(value.clone()));
            if !taken {
                return Err(format!("this value is not supported: {}", self.reason()));
            }
        }
        Ok(value)
    }

    /// The default as a value. The table's test shows that every default can be read.
    pub fn default_value(&self) -> Value {
        self.kind.parse(self.default, None, None).unwrap_or_else(|error| {
            unreachable!("the default of {} cannot be read: {error}", self.name)
        })
    }

    /// The help text as one line.
    pub fn reason(&self) -> String {
        self.help.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The value as the flagfile holds it: `--name=value`.
    pub fn as_flag(&self, value: &Value) -> String {
        format!("--{}={}", self.name, value)
    }

    /// The value as a log line may show it.
    pub fn for_log(&self, value: &Value) -> String {
        match self.secret && !value.is_empty() {
            true => "(hidden)".to_owned(),
            false => value.to_string(),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}", self.name)
    }
}

/// Yes or no.
pub(super) const fn boolean(default: &'static str) -> Setting {
    Setting::new(Kind::Bool, default)
}

/// A whole number within bounds.
pub(super) const fn integer(default: &'static str, min: i64, max: i64) -> Setting {
    Setting::new(Kind::Integer { min, max }, default)
}

/// A number of bytes, with or without a suffix.
pub(super) const fn size(default: &'static str, max: u64) -> Setting {
    Setting::new(Kind::Size { min: 0, max }, default)
}

/// A duration counted in seconds.
pub(super) const fn seconds(default: &'static str, max: u64) -> Setting {
    Setting::new(Kind::Duration { unit: Unit::Seconds, min: 0, max }, default)
}

/// A duration counted in milliseconds.
pub(super) const fn milliseconds(default: &'static str, max: u64) -> Setting {
    Setting::new(Kind::Duration { unit: Unit::Milliseconds, min: 0, max }, default)
}

/// Any text.
pub(super) const fn text(default: &'static str) -> Setting {
    Setting::new(Kind::Text, default)
}

/// One of a few words.
pub(super) const fn choice(names: &'static [&'static str], default: &'static str) -> Setting {
    Setting::new(Kind::Choice(names), default)
}

/// Several words, separated by blanks or commas.
pub(super) const fn list(default: &'static str) -> Setting {
    Setting::new(Kind::List, default)
}

/// A setting of another kind.
pub(super) const fn of_kind(kind: Kind, default: &'static str) -> Setting {
    Setting::new(kind, default)
}
