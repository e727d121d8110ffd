//! The values now: what `CONFIG GET` shows, `CONFIG SET` changes, and every executor reads.
//!
//! ```text
//!   CONFIG SET ---> [ values, origins ]  one lock for writers; a change is checked whole, then made
//!                          |
//!                          v
//!                   Arc<Config> + generation ---> Reader (one per executor): one atomic load, and the
//!                                                 picture is fetched only when the number has moved
//! ```
//!
//! A `Config` is one consistent picture: nobody ever sees half of a `CONFIG SET`. The lock is held for
//! the caller's own check too (certificates are read there), so it is never taken on a data path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::check::Refusal;
use super::names::{Found, find, settings};
use super::setting::{Alias, Effect, Setting};
use super::table::{Config, SETTINGS};
use super::upstream::Upstream;
use super::value::Value;
use engine::command::Refusal as Refused;
use engine::glob::Pattern;

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nobody gave one.
    Default,
    /// A variable of this name.
    Variable(String),
    /// A line of a flagfile.
    File {
        /// The flagfile.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The command line itself.
    CommandLine,
    /// `CONFIG SET` or `REPLICAOF`.
    Runtime,
}

/// A change that `CONFIG SET` is about to make.
#[derive(Debug)]
pub struct Change<'a> {
    /// The picture before.
    pub before: &'a Config,
    /// The picture after.
    pub after: &'a Config,
    /// The settings that were named, also when their value is the same as before: `CONFIG SET tls
    /// true` means "read the certificates anew".
    pub named: &'a [&'static Setting],
}

impl Change<'_> {
    /// Whether a setting was named.
    pub fn names(&self, name: &str) -> bool {
        self.named.iter().any(|setting| setting.name == name)
    }
}

/// All settings of a running node, shared by its executors.
#[derive(Debug)]
pub struct Settings {
    state: Mutex<SettingsState>,
    published: Mutex<Arc<Config>>,
    generation: AtomicU64,
    flagfile: Option<PathBuf>,
    redis_conf: Option<PathBuf>,
    notes: Vec<String>,
    /// Held while the flagfile is written: one at a time.
    pub(super) rewriting: Mutex<()>,
}

struct SettingsState {
    values: Vec<Value>,
    origins: Vec<Origin>,
    /// What each value was when the program started, and from where: what a flagfile cannot change.
    started: Vec<Origin>,
    /// Which change of role `replicaof` says.
    replicaof_order: u64,
}

impl std::fmt::Debug for SettingsState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        f.debug_struct("SettingsState")
            .field("settings", &self.values.len())
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// From a value and an origin for each setting, in the table's order.
    pub(super) fn new(
        values: Vec<Value>,
        origins: Vec<Origin>,
        flagfile: Option<PathBuf>,
    ) -> Settings {
        let config = Arc::new(Config::from_values(&values[..SETTINGS.len()]));
        let state = SettingsState { values, started: origins.clone(), origins, replicaof_order: 0 };
        Settings {
            state: Mutex::new(state),
            published: Mutex::new(config),
            generation: AtomicU64::new(1),
            flagfile: flagfile.map(|path| std::path::absolute(&path).unwrap_or(path)),
            redis_conf: None,
            notes: Vec::new(),
            rewriting: Mutex::new(()),
        }
    }

    /// A redis.conf was read first, and this is to be said about it.
    pub(super) fn note_redis_conf(&mut self, path: Option<PathBuf>, notes: Vec<String>) {
        self.redis_conf = path.map(|path| std::path::absolute(&path).unwrap_or(path));
        self.notes = notes;
    }

    /// What the log is to say, as warnings, about what was given and does nothing.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The file that the program was started with, of whichever kind.
    pub fn file(&self) -> Option<&Path> {
        self.flagfile.as_deref().or(self.redis_conf.as_deref())
    }

    /// Whether a setting comes from a redis.conf that was written for another program, whose paths
    /// need not exist here.
    pub fn is_from_redis_conf(&self, name: &str) -> bool {
        let state = lock(&self.state);
        let origin = find(name).map(|found| &state.origins[found.index]);
        self.redis_conf.is_some() && matches!(origin, Some(Origin::File { .. }))
    }

    /// The settings that were given and change nothing, in one line for the log.
    pub fn without_effect(&self) -> Option<String> {
        let state = lock(&self.state);
        let given = settings().enumerate().filter(|(index, setting)| {
            setting.effect == Effect::Nothing && state.origins[*index] != Origin::Default
        });
        let names: Vec<&str> = given.map(|(_, setting)| setting.name).collect();
        let line = format!("settings that are known and change nothing here: {}", names.join(" "));
        (!names.is_empty()).then_some(line)
    }

    /// Every setting at its default: for tests and tools.
    pub fn defaults() -> Settings {
        let values: Vec<Value> = settings().map(Setting::default_value).collect();
        let origins = vec![Origin::Default; values.len()];
        Settings::new(values, origins, None)
    }

    /// The picture now.
    pub fn config(&self) -> Arc<Config> {
        lock(&self.published).clone()
    }

    /// Moves whenever the picture does.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The flagfile that `CONFIG REWRITE` writes, absolute.
    pub fn flagfile(&self) -> Option<&Path> {
        self.flagfile.as_deref()
    }

    /// `CONFIG GET`: the names that fit one of the patterns, each once, with their values. What is no pattern is called as
    /// it was asked for.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(String, String)> {
        let state = lock(&self.state);
        // In the order of the settings. However often something is named, it stands here once.
        let mut shown: BTreeMap<(usize, String), (String, String)> = BTreeMap::new();
        let mut read: Vec<Pattern> = Vec::new();
        for &asked in patterns {
            if asked.iter().any(|byte| b"*?[".contains(byte)) {
                // One that is too long to be read is longer than every name.
                read.extend(Pattern::any_case(asked));
                continue;
            }
            let name = String::from_utf8_lossy(asked).to_ascii_lowercase();
            if let Some(found) = find(&name) {
                let text = show(found.setting, found.alias, &name, &state.values[found.index]);
                let called = String::from_utf8_lossy(asked).into_owned();
                shown.entry((found.index, name)).or_insert((called, text));
            }
        }
        for (index, setting) in settings().enumerate() {
            let own = (setting.name, None);
            let others = setting.aliases.iter().map(|alias| (alias.name, Some(alias)));
            for (name, alias) in std::iter::once(own).chain(others) {
                if read.iter().any(|pattern| pattern.fits(name.as_bytes())) {
                    let text = show(setting, alias, name, &state.values[index]);
                    let called = name.to_owned();
                    shown.entry((index, called.clone())).or_insert((called, text));
                }
            }
        }
        shown.into_values().collect()
    }

    /// `CONFIG SET`: all pairs or none. `prepare` sees the change before anybody else does and may
    /// still refuse it; what it has made ready (certificates, sockets) it keeps for itself.
    pub fn set(
        &self,
        pairs: &[(&[u8], &[u8])],
        prepare: impl FnOnce(&Change<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refused> {
        let mut state = lock(&self.state);
        let mut values = state.values.clone();
        let mut named: Vec<Found> = Vec::with_capacity(pairs.len());
        for (name, text) in pairs {
            let found = change_one(&mut values, name, text, &named)?;
            named.push(found);
        }
        let before = self.config();
        let after = Config::from_values(&values[..SETTINGS.len()]);
        let list: Vec<&'static Setting> = named.iter().map(|found| found.setting).collect();
        let change = Change { before: &before, after: &after, named: &list };
        let checked = after.check().and_then(|()| prepare(&change));
        checked.map_err(|refusal| {
            // As it was typed, where it was.
            let typed =
                pairs.iter().zip(&named).find(|(_, found)| found.setting.name == refusal.setting);
            let typed =
                typed.map(|((name, _), _)| String::from_utf8_lossy(name).to_ascii_lowercase());
            failed(typed.as_deref().unwrap_or(refusal.setting), &refusal.reason)
        })?;

        state.values = values;
        for found in &named {
            state.origins[found.index] = Origin::Runtime;
        }
        self.publish(after);
        Ok(())
    }

    /// At the start: there can be no more than `most` clients, whatever was asked for. It stays what was
    /// asked for in a file that is rewritten.
    pub fn lower_maxclients(&self, most: u32) {
        let Some(found) = find("maxclients") else { return };
        let mut state = lock(&self.state);
        state.values[found.index] = Value::Integer(i64::from(most));
        let config = Config::from_values(&state.values[..SETTINGS.len()]);
        self.publish(config);
    }

    /// What `REPLICAOF` decided, for `CONFIG GET` and `CONFIG REWRITE`. Connections tell it in any
    /// order: the change of role with the highest number stands.
    pub fn put_replicaof(&self, order: u64, upstream: Option<Upstream>) {
        let Some(found) = find("replicaof") else { return };
        let mut state = lock(&self.state);
        if order < state.replicaof_order {
            return;
        }
        state.replicaof_order = order;
        state.values[found.index] = Value::Upstream(upstream);
        state.origins[found.index] = Origin::Runtime;
        let config = Config::from_values(&state.values[..SETTINGS.len()]);
        self.publish(config);
    }

    fn publish(&self, config: Config) {
        *lock(&self.published) = Arc::new(config);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Where `CONFIG REWRITE` writes; the error is the reply without its dash.
    pub(super) fn rewritable(&self) -> Result<&Path, &'static str> {
        self.flagfile().ok_or(match self.redis_conf {
            None => "ERR The server is running without a config file",
            Some(_) => "ERR a redis.conf is not rewritten: start with --flagfile instead",
        })
    }

    /// What changed while the program ran, and which of these settings the command line gave as well.
    pub(super) fn changed(&self) -> (Vec<(&'static Setting, Value)>, Vec<&'static str>) {
        let state = lock(&self.state);
        let all = settings().enumerate();
        let (mut changed, mut overruled) = (Vec::new(), Vec::new());
        for (index, setting) in all.filter(|(index, _)| state.origins[*index] == Origin::Runtime) {
            changed.push((setting, state.values[index].clone()));
            if state.started[index] == Origin::CommandLine {
                overruled.push(setting.name);
            }
        }
        (changed, overruled)
    }

    /// One line for each setting that is not at its default and has an effect, for the log at the
    /// start. Secrets are hidden.
    pub fn describe(&self) -> Vec<String> {
        let state = lock(&self.state);
        let all = settings().enumerate();
        let given = all.filter(|(index, setting)| {
            state.origins[*index] != Origin::Default && setting.effect != Effect::Nothing
        });
        given
            .map(|(index, setting)| {
                let value = setting.for_log(&state.values[index]);
                let from = match &state.origins[index] {
                    Origin::Default => "default".to_owned(),
                    Origin::Variable(name) => format!("variable {name}"),
                    Origin::File { path, line } => format!("{}:{line}", path.display()),
                    Origin::CommandLine => "command line".to_owned(),
                    Origin::Runtime => "CONFIG SET".to_owned(),
                };
                format!("setting {}={value} from {from}", setting.name)
            })
            .collect()
    }
}

/// One pair of `CONFIG SET` into the copy of the values.
fn change_one(
    values: &mut [Value],
    name: &[u8],
    text: &[u8],
    named: &[Found],
) -> Result<Found, Refused> {
    let shown = String::from_utf8_lossy(name).to_ascii_lowercase();
    let Some(found) = find(&shown) else {
        let before = "ERR Unknown option or number of arguments for CONFIG SET - '";
        return Err(Refused::quoting(before, name, "'"));
    };
    if !found.setting.mutable {
        return Err(failed(&shown, "can't set immutable config"));
    }
    if named.iter().any(|other| other.index == found.index) {
        return Err(failed(&shown, "duplicate parameter"));
    }
    let text = std::str::from_utf8(text).map_err(|_| failed(&shown, "argument must be UTF-8"))?;
    let text = found.setting.kind.from_redis(text);
    let value = found.setting.parse_as(&text, found.alias, Some(&values[found.index]));
    values[found.index] = value.map_err(|error| failed(&shown, &error))?;
    Ok(found)
}

fn failed(name: &str, reason: &str) -> Refused {
    let text = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}");
    Refused::made(text)
}

/// A value as the spelling `name` shows it. Redis's spellings are those with dashes, and the single
/// words that this program only knows for Redis's sake.
fn show(setting: &Setting, alias: Option<&Alias>, name: &str, value: &Value) -> String {
    let single = !name.contains(['_', '-']) && setting.effect != Effect::Real;
    let redis = name.contains('-') || single || matches!(value, Value::Upstream(_));
    match redis {
        true => value.to_redis_text(alias.and_then(|alias| alias.unit)),
        false => value.to_string(),
    }
}

/// A panic elsewhere leaves whole values behind, never half of one: the data may be used.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One executor's view of the settings: a load and a comparison when nothing has changed.
#[derive(Clone, Debug)]
pub struct Reader {
    settings: Arc<Settings>,
    generation: u64,
    config: Arc<Config>,
}

impl Reader {
    /// A view of its own.
    pub fn new(settings: Arc<Settings>) -> Reader {
        // The number first: a change in between is then fetched once more, never missed.
        let generation = settings.generation();
        let config = settings.config();
        Reader { settings, generation, config }
    }

    /// The picture now.
    pub fn config(&mut self) -> &Arc<Config> {
        let generation = self.settings.generation();
        if generation != self.generation {
            self.generation = generation;
            self.config = self.settings.config();
        }
        &self.config
    }

    /// The settings behind the view.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(settings: &Settings, patterns: &[&str]) -> String {
        let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        let pairs = settings.get(&patterns);
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    fn set(settings: &Settings, pairs: &[(&str, &str)]) -> Result<(), String> {
        let pairs: Vec<(&[u8], &[u8])> =
            pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        settings.set(&pairs, |_| Ok(())).map_err(|refused| refused.text().into_owned())
    }

    #[test]
    fn config_get_answers_under_the_spelling_that_was_asked() {
        let settings = Settings::defaults();
        let check = |patterns: &[&str], want: &str| {
            assert_eq!(get(&settings, patterns), want, "{patterns:?}");
        };
        check(&["port"], "port=6379");
        check(&["PORT"], "PORT=6379");
        check(&["port", "PORT"], "port=6379");
        check(&["nothing"], "");
        check(&["save", "appendonly"], "save= appendonly=no");
        check(&["tls"], "tls=false");
        check(&["tls_replication"], "tls_replication=false");
        check(&["tls-replication"], "tls-replication=no");
        check(
            &["replica-read-only", "slave-read-only"],
            "replica-read-only=yes slave-read-only=yes",
        );
        check(&["replication_timeout"], "replication_timeout=30000");
        check(&["repl-timeout"], "repl-timeout=30");
        check(
            &["maxmemory*"],
            "maxmemory=0 maxmemory-policy=noeviction maxmemory_policy=noeviction \
            maxmemory-samples=5 maxmemory_samples=5",
        );
        check(&["databases", "dbnum"], "databases=16 dbnum=16");
        check(&["port", "p?rt", "port"], "port=6379");
        check(&["proto-max-bulk-len"], "proto-max-bulk-len=536870912");
        check(&["\u{e9}*"], "");
        settings.put_replicaof(7, Some(Upstream { host: "::1".to_owned(), port: 7000 }));
        settings.put_replicaof(6, None);
        check(&["replicaof"], "replicaof=::1 7000");
    }

    #[test]
    fn what_common_tools_ask_for_has_an_answer() {
        let settings = Settings::defaults();
        for name in [
            "save",
            "appendonly",
            "dir",
            "port",
            "bind",
            "timeout",
            "hz",
            "maxclients",
            "dbfilename",
            "proto-max-bulk-len",
            "lfu-log-factor",
            "lfu-decay-time",
            "client-output-buffer-limit",
            "maxmemory",
            "maxmemory-policy",
            "databases",
            "requirepass",
            "masterauth",
            "loglevel",
            "slowlog-log-slower-than",
            "slowlog-max-len",
            "repl-backlog-size",
            "tcp-keepalive",
            "notify-keyspace-events",
            "unixsocket",
            "pidfile",
            "logfile",
            "tls-cert-file",
            "replica-priority",
            "slave-priority",
            "min-replicas-to-write",
            "repl-diskless-sync",
            "set-max-intset-entries",
            "hash-max-listpack-entries",
            "cluster-enabled",
        ] {
            assert_eq!(settings.get(&[name.as_bytes()]).len(), 1, "CONFIG GET {name}");
        }
    }

    #[test]
    fn config_set_changes_all_pairs_or_none() {
        let settings = Settings::defaults();
        let generation = settings.generation();
        let error =
            set(&settings, &[("maxclients", "10"), ("hz", "-1")]).expect_err("hz is too low");
        assert_eq!(
            error,
            "ERR CONFIG SET failed (possibly related to argument 'hz') - argument must be between 0 \
             and 2147483647 inclusive"
        );
        assert_eq!(settings.config().maxclients, 64000);
        assert_eq!(settings.generation(), generation);

        set(&settings, &[("maxclients", "10"), ("repl-timeout", "5")]).expect("both are right");
        let config = settings.config();
        assert_eq!((config.maxclients, config.replication_timeout.as_millis()), (10, 5000));
        assert_eq!(settings.generation(), generation + 1);
    }

    /// What Redis 7.0 answered to the same.
    #[test]
    fn numbers_are_taken_shown_and_refused_as_in_redis() {
        let settings = Settings::defaults();
        let check = |name: &str, value: &str, want: &str| {
            let got = match set(&settings, &[(name, value)]) {
                Ok(()) => get(&settings, &[name]),
                Err(error) => error.split(" - ").last().unwrap_or_default().to_owned(),
            };
            assert_eq!(got, want.replace("..", &format!("{name}=")), "{name} {value}");
        };
        let (int, long) = ("2147483647", "9223372036854775807");
        let between = |from, to| format!("argument must be between {from} and {to} inclusive");
        let (no_number, no_size) =
            ("argument couldn't be parsed into an integer", "argument must be a memory value");
        for name in
            ["lfu-log-factor", "lfu-decay-time", "min-replicas-to-write", "replica-priority"]
        {
            check(name, int, "..2147483647");
            check(name, "2147483648", &between("0", int));
            check(name, "+5", no_number);
        }
        for name in ["shutdown-timeout", "tcp-keepalive", "tls-session-cache-timeout"] {
            check(name, int, "..2147483647");
            check(name, "-1", &between("0", int));
            check(name, "9223372036854775808", no_number);
        }
        for name in ["slowlog-max-len", "latency-monitor-threshold", "repl-backlog-ttl"] {
            check(name, long, "..9223372036854775807");
            check(name, "-1", &between("0", long));
        }
        check("slowlog-log-slower-than", long, "..9223372036854775807");
        check("maxmemory-samples", int, "..2147483647");
        check("maxmemory-samples", "0", &between("1", int));
        check("repl-timeout", int, "..2147483647");
        check("repl-timeout", "0", &between("1", int));
        check("maxclients", "0", &between("1", "4294967295"));
        for (value, taken) in [("0", "..1"), ("501", "..500"), (int, "..500"), ("50", "..50")] {
            check("hz", value, taken);
        }
        check("maxmemory", "18446744073709551615", "..18446744073709551615");
        check("maxmemory", "18446744073709551616", "..18446744073709551615");
        check("maxmemory", "", "..0");
        check("maxmemory", "abc", no_size);
        check("client-query-buffer-limit", long, "..9223372036854775807");
        check("client-query-buffer-limit", "1", &between("1048576", long));
        check("repl-backlog-size", "1", "..16384");
        check("repl-backlog-size", long, "..9223372036854775807");
        check("client-output-buffer-limit", "", &get(&settings, &["client-output-buffer-limit"]));
        // What is known and does nothing.
        check("list-max-listpack-size", "2147483648", &between("-2147483648", int));
        check("zset-max-listpack-entries", "-1", &between("0", long));
        check("hash-max-listpack-value", "1kb", "..1024");
        check("hash-max-listpack-value", "-1", no_size);
        check("repl-ping-replica-period", "0", &between("1", int));
        // What nobody means is not added up.
        check("maxmemory", "18446744073709551615", "..18446744073709551615");
        assert_eq!(settings.config().maxmemory, 1 << 60);
        assert_eq!(settings.config().repl_backlog_ttl.as_secs(), 2_147_483_647);
    }

    #[test]
    fn config_set_refuses_in_the_words_of_redis() {
        let settings = Settings::defaults();
        let check = |pairs: &[(&str, &str)], want: &str| {
            assert_eq!(set(&settings, pairs).expect_err(want), want, "{pairs:?}");
        };
        let failed = |name: &str, reason: &str| {
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
        };
        check(
            &[("nope", "1")],
            "ERR Unknown option or number of arguments for CONFIG SET - 'nope'",
        );
        check(&[("port", "1")], &failed("port", "can't set immutable config"));
        check(&[("replicaof", "h:1")], &failed("replicaof", "can't set immutable config"));
        check(
            &[("maxmemory-policy", "noeviction"), ("maxmemory_policy", "noeviction")],
            &failed("maxmemory_policy", "duplicate parameter"),
        );
        check(&[("tls", "maybe")], &failed("tls", "argument must be 'yes' or 'no'"));
        check(&[("maxmemory", "much")], &failed("maxmemory", "argument must be a memory value"));
        check(
            &[("maxmemory-policy", "x")],
            &failed(
                "maxmemory-policy",
                "argument(s) must be one of the following: noeviction, allkeys-lru, allkeys-lfu, \
                 allkeys-random, volatile-lru, volatile-lfu, volatile-random, volatile-ttl",
            ),
        );
        check(
            &[("appendonly", "yes")],
            &failed("appendonly", "this value is not supported: there is no append-only file"),
        );
        check(
            &[("tls", "yes")],
            &failed(
                "tls_key_file",
                "To use TLS, a server certificate must be provided with the --tls_key_file flag!",
            ),
        );
        set(&settings, &[("save", ""), ("appendonly", "no")]).expect("what is so may be said");
        set(&settings, &[("zset-max-listpack-entries", "7")]).expect("taken without effect");
        let shown = get(&settings, &["zset-max-listpack-entries"]);
        assert_eq!(shown, "zset-max-listpack-entries=7");
    }

    #[test]
    fn a_refused_preparation_changes_nothing() {
        let settings = Settings::defaults();
        let pairs: [(&[u8], &[u8]); 1] = [(b"maxclients", b"9")];
        let error = settings.set(&pairs, |change| {
            assert!(change.names("maxclients") && !change.names("hz"));
            assert_eq!((change.before.maxclients, change.after.maxclients), (64000, 9));
            Err(Refusal::new("maxclients", "argument can not be set"))
        });
        let error = error.expect_err("refused");
        assert!(error.text().ends_with("'maxclients') - argument can not be set"));
        assert_eq!(settings.config().maxclients, 64000);
    }

    #[test]
    fn a_reader_sees_a_change_and_fetches_nothing_without_one() {
        let settings = Arc::new(Settings::defaults());
        let mut reader = Reader::new(settings.clone());
        let first = reader.config().clone();
        assert!(Arc::ptr_eq(&first, reader.config()));
        set(&settings, &[("hz", "10")]).expect("a valid value");
        assert_eq!(reader.config().hz, 10);
    }

    #[test]
    fn secrets_are_hidden_in_logs() {
        let settings = Settings::defaults();
        set(&settings, &[("requirepass", "opensesame"), ("masteruser", "u")]).expect("valid");
        let lines = settings.describe().join("\n");
        assert!(lines.contains("setting requirepass=(hidden) from CONFIG SET"), "{lines}");
        assert!(!format!("{settings:?}{lines}{:?}", settings.config()).contains("opensesame"));
    }
}
