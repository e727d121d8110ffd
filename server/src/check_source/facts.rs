//! What the server says of itself: INFO and some of its settings, read once.

use super::asking::{Source, Words, words};
use engine::resp::client::Reply;
use std::collections::HashMap;
use std::time::Duration;

/// What answers there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Kind {
    Redis,
    Valkey,
    Damselfly,
    Dragonfly,
    /// It does not say.
    #[default]
    Unknown,
}

/// Fields of INFO by name; of several of one name the last.
pub(super) type Fields = HashMap<String, String>;

/// All that was asked.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    /// Major and minor number of its version.
    pub(super) version: (u32, u32),
    /// The version as it says it.
    pub(super) version_text: String,
    info: Fields,
    settings: HashMap<&'static str, String>,
    /// Modules by name.
    pub(super) modules: Vec<String>,
    /// Why INFO is not answered.
    pub(super) refused: Option<String>,
    /// Keys of each database that has some, and how many of them expire.
    pub(super) databases: Vec<Database>,
    /// Commands in use with how often each was called.
    pub(super) commands: Vec<(String, u64)>,
}

/// A database that has keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Database {
    pub(super) index: u32,
    pub(super) keys: u64,
    pub(super) expires: u64,
}

/// Settings that matter to who follows.
const SETTINGS: [&str; 6] = [
    "databases",
    "repl-backlog-size",
    "repl-diskless-sync",
    "repl-diskless-sync-delay",
    "client-output-buffer-limit",
    "lua-replicate-commands",
];

/// Modules that are named.
const MODULES_MAX: usize = 32;
/// Commands that are looked at: all servers know fewer.
const COMMANDS_MAX: usize = 4096;

impl Facts {
    /// Asks for everything, the statistics of commands first.
    pub(super) fn ask(source: &mut Source) -> Result<Facts, String> {
        let mut requests = vec![words("INFO commandstats"), words("INFO")];
        let request = |name: &&str| -> Words { words(&format!("CONFIG GET {name}")) };
        requests.extend(SETTINGS.iter().map(request));
        let replies = source.ask_all(&requests)?;
        let mut facts = Facts::default();
        if let [commands, info, settings @ ..] = &replies[..] {
            facts.refused = info.error().map(|error| String::from_utf8_lossy(error).into_owned());
            facts.understand_info(&text(info));
            facts.understand_commands(&text(commands));
            for (name, reply) in SETTINGS.into_iter().zip(settings) {
                if let Some([_, value]) = reply.elements() {
                    facts.settings.insert(name, text(value));
                }
            }
        }
        // Redis 4 and 5 have modules, and do not say so in INFO.
        if facts.kind == Kind::Redis && (4..6).contains(&facts.version.0) {
            facts.modules = listed(&source.ask(words("MODULE LIST"))?);
        }
        Ok(facts)
    }

    /// INFO once more.
    pub(super) fn ask_info(source: &mut Source) -> Result<Fields, String> {
        Ok(fields(&text(&source.ask(words("INFO"))?)))
    }

    fn understand_info(&mut self, info: &str) {
        self.info = fields(info);
        let known = [
            ("damselfly_version", Kind::Damselfly),
            ("dragonfly_version", Kind::Dragonfly),
            ("valkey_version", Kind::Valkey),
            ("redis_version", Kind::Redis),
        ];
        let found = known.into_iter().find(|(name, _)| self.info.contains_key(*name));
        if let Some((name, kind)) = found {
            self.kind = kind;
            self.version_text = self.text(name).to_owned();
            let mut numbers = self.version_text.split('.').map(|part| part.parse().unwrap_or(0));
            self.version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        }
        for (name, value) in lines(info) {
            if name == "module"
                && let Some(name) =
                    value.strip_prefix("name=").and_then(|rest| rest.split(',').next())
                && self.modules.len() < MODULES_MAX
            {
                self.modules.push(name.to_owned());
            }
            if let Some(database) = database(name, value) {
                self.databases.push(database);
            }
        }
    }

    fn understand_commands(&mut self, info: &str) {
        let used = |(name, value): (&str, &str)| {
            let name = name.strip_prefix("cmdstat_")?;
            let calls = part(value, "calls=")?;
            (calls > 0).then(|| (name.to_ascii_lowercase(), calls))
        };
        self.commands = lines(info).filter_map(used).take(COMMANDS_MAX).collect();
    }

    /// A field of INFO; empty where it is not said.
    pub(super) fn text(&self, name: &str) -> &str {
        self.info.get(name).map_or("", String::as_str)
    }

    /// The same as a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }

    /// A setting, if it may be asked for.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// The same as a number.
    pub(super) fn setting_number(&self, name: &str) -> Option<u64> {
        self.setting(name)?.parse().ok()
    }

    /// Keys in all databases.
    pub(super) fn keys(&self) -> u64 {
        self.databases.iter().map(|database| database.keys).sum()
    }

    /// Bytes of the data there, roughly.
    pub(super) fn data_bytes(&self) -> u64 {
        let named = ["used_memory_dataset", "used_memory"];
        named.into_iter().find_map(|name| self.number(name)).unwrap_or(0)
    }

    /// Whether what is written there makes a stream, for replicas or a backlog.
    pub(super) fn has_stream(&self) -> bool {
        self.text("repl_backlog_active") == "1"
    }

    /// Bytes a second that are written, as its stream grows or, where there is none, at most what comes in from
    /// others than us, who sent `own` bytes.
    pub(super) fn write_rate(&self, later: &Fields, own: u64, over: Duration) -> u64 {
        let (name, own) = match self.has_stream() {
            true => ("master_repl_offset", 0),
            false => ("total_net_input_bytes", own),
        };
        let after = later.get(name).and_then(|number| number.parse::<u64>().ok());
        let more = after.unwrap_or(0).saturating_sub(self.number(name).unwrap_or(0));
        (more.saturating_sub(own) as f64 / over.as_secs_f64().max(0.001)) as u64
    }
}

/// A reply as text.
pub(super) fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned()
}

fn lines(info: &str) -> impl Iterator<Item = (&str, &str)> {
    info.lines().filter_map(|line| line.trim_end().split_once(':'))
}

fn fields(info: &str) -> Fields {
    lines(info).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A number behind a word in a list with commas.
fn part(text: &str, word: &str) -> Option<u64> {
    text.split(',').find_map(|part| part.strip_prefix(word)?.parse().ok())
}

fn database(name: &str, value: &str) -> Option<Database> {
    let index = name.strip_prefix("db")?.parse().ok()?;
    Some(Database {
        index,
        keys: part(value, "keys=")?,
        expires: part(value, "expires=").unwrap_or(0),
    })
}

/// The names in a reply to MODULE LIST: an array of arrays of fields.
fn listed(reply: &Reply) -> Vec<String> {
    let name = |module: &Reply| {
        let fields = module.elements()?;
        let at = fields.iter().position(|field| field.bytes() == Some(b"name"))?;
        fields.get(at + 1).map(text)
    };
    let modules = reply.elements().unwrap_or_default();
    modules.iter().filter_map(name).take(MODULES_MAX).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a server is that says this.
    pub(in super::super) fn facts_of(
        info: &str,
        commands: &str,
        settings: &[(&'static str, &str)],
    ) -> Facts {
        let mut facts = Facts::default();
        facts.understand_info(info);
        facts.understand_commands(commands);
        facts.settings =
            settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        facts
    }

    #[test]
    fn each_kind_of_server_is_recognised() {
        for (info, kind, version) in [
            ("redis_version:7.0.15\r\n", Kind::Redis, (7, 0)),
            ("redis_version:7.2.4\r\nvalkey_version:9.1.2\r\n", Kind::Valkey, (9, 1)),
            ("redis_version:7.2.5\r\ndamselfly_version:0.1.0\r\n", Kind::Damselfly, (0, 1)),
            ("redis_version:7.4.0\r\ndragonfly_version:df-v1.30.0\r\n", Kind::Dragonfly, (0, 30)),
            ("", Kind::Unknown, (0, 0)),
        ] {
            let facts = facts_of(info, "", &[]);
            assert_eq!((facts.kind, facts.version), (kind, version), "{info}");
        }
    }

    #[test]
    fn what_is_said_is_understood() {
        let info = "used_memory:900\r\nused_memory_dataset:700\r\nmodule:name=ReJSON,ver=1,api=1\r\n\
            db0:keys=5,expires=1,avg_ttl=0\r\ndb9:keys=7,expires=0,avg_ttl=0\r\ndbx:keys=1\r\n";
        let commands = "cmdstat_get:calls=3,usec=1\r\ncmdstat_config|get:calls=1\r\ncmdstat_set:calls=0,usec=0\r\n";
        let facts = facts_of(info, commands, &[("databases", "16")]);
        assert_eq!((facts.keys(), facts.data_bytes()), (12, 700));
        assert_eq!(facts.modules, ["ReJSON"]);
        assert_eq!(facts.databases[1], Database { index: 9, keys: 7, expires: 0 });
        assert_eq!(facts.commands, [("get".to_owned(), 3), ("config|get".to_owned(), 1)]);
        assert_eq!(facts.setting_number("databases"), Some(16));
        assert_eq!(facts.number("uptime_in_seconds"), None);
    }

    #[test]
    fn the_rate_of_writes_is_that_of_the_stream() {
        let said = |active, offset: u64, input: u64| {
            format!(
                "repl_backlog_active:{active}\r\nmaster_repl_offset:{offset}\r\n\
                 total_net_input_bytes:{input}\r\n"
            )
        };
        let before = facts_of(&said(1, 1000, 9), "", &[]);
        let over = Duration::from_secs(2);
        assert_eq!(before.write_rate(&fields(&said(1, 5000, 9)), 100, over), 2000);
        assert_eq!(before.write_rate(&fields(&said(1, 10, 9)), 0, over), 0);
        let before = facts_of(&said(0, 0, 1000), "", &[]);
        assert_eq!(before.write_rate(&fields(&said(0, 0, 5100)), 100, over), 2000);
        assert_eq!(before.write_rate(&fields(""), 0, over), 0);
    }

    #[test]
    fn modules_of_old_servers_are_listed_by_themselves() {
        let bulk = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
        let module =
            |name| Reply::Array(vec![bulk("name"), bulk(name), bulk("ver"), Reply::Integer(1)]);
        let reply = Reply::Array(vec![module("a"), Reply::Nil, module("b")]);
        assert_eq!(listed(&reply), ["a", "b"]);
        assert!(listed(&Reply::Error(b"NOPERM".to_vec())).is_empty());
    }
}
