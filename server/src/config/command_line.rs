//! From the program's arguments, flagfiles and variables to the settings it starts with.
//!
//! Every spelling that Dragonfly's operators use is brought into one form, `--name=value`, and that is
//! what clap reads:
//!
//! ```text
//!   -port 7000 | --port=7000 | --PORT is unknown      --tls | --notls | --tls=true | --tls true
//!   --flagfile=path   its lines stand where it stood; of two values for one name the later holds
//!   DFLY_port=7000    holds only where neither gave one
//! ```
//!
//! A name that is known is never read as the negation of another: `--no_tls_on_admin_port` is itself.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};

use super::names::{Found, find, settings};
use super::setting::{Effect, Group, Setting};
use super::settings::{Origin, Settings};
use super::value::{Kind, Value};

/// What to do with the arguments.
#[derive(Debug)]
pub enum Start {
    /// Start with these settings.
    Run(Box<Settings>),
    /// Print this and leave: to standard output with code 0, to standard error with code 1.
    Say {
        /// The text, with its last line end.
        text: String,
        /// The exit code.
        code: i32,
    },
}

/// Flagfiles may name flagfiles; a ring of them must end.
const FLAGFILE_DEPTH_MAX: usize = 16;
/// A flagfile is written by hand; what is longer is another file by mistake.
const FLAGFILE_BYTES_MAX: u64 = 1 << 20;
/// Stands before the name of a setting in a variable.
const VARIABLE_PREFIX: &str = "DFLY_";
/// The longest line of a help text.
const HELP_COLUMNS: usize = 88;
/// The program's name in messages.
const PROGRAM: &str = "damselfly";

/// One flag in its one form, and where it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Word {
    text: String,
    name: Option<&'static str>,
    origin: Origin,
}

/// Collects the words of a command line, its flagfiles included.
#[derive(Default)]
pub(super) struct Words {
    words: Vec<Word>,
    flagfile: Option<PathBuf>,
    redis_conf: Option<PathBuf>,
    notes: Vec<String>,
    /// Names that may be given although nobody knows them: `--undefok=a,b`, of Dragonfly's flags.
    undefined: Vec<String>,
    answer: Option<Answer>,
}

/// A flag that is answered instead of starting.
enum Answer {
    Version,
    Help,
    HelpFull,
    HelpFor(String),
}

/// Reads the arguments (with the program's name in front) and the variables. `version` is what
/// `--version` prints.
pub fn start(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    version: &str,
) -> Start {
    match read(arguments, variables, version) {
        Ok(start) => start,
        Err(text) => {
            let text = one_line(text.strip_prefix("error: ").unwrap_or(&text));
            Start::Say { text: format!("{PROGRAM}: {text}\n"), code: 1 }
        }
    }
}

/// An error as one line: clap's tips stay, its usage line does not.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn read(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    version: &str,
) -> Result<Start, String> {
    let arguments = arguments.into_iter().skip(1).map(|argument| {
        argument.into_string().map_err(|bad| format!("argument {bad:?} is not valid UTF-8"))
    });
    let mut words = Words::default();
    words.add_arguments(&arguments.collect::<Result<Vec<_>, _>>()?)?;
    if let Some(answer) = &words.answer {
        return Ok(Start::Say { text: answer.text(version), code: 0 });
    }
    let mut given = words.parse()?;
    add_variables(&mut given, variables)?;

    let mut values = Vec::new();
    let mut origins = Vec::new();
    for setting in settings() {
        let (value, origin) = given
            .remove(setting.name)
            .unwrap_or_else(|| (setting.default_value(), Origin::Default));
        values.push(value);
        origins.push(origin);
    }
    derive(&mut values, &mut origins)?;
    let mut settings = Settings::new(values, origins, words.flagfile);
    settings.note_redis_conf(words.redis_conf, words.notes);
    let checked = settings.config().check();
    checked.map_err(|refusal| format!("--{}: {}", refusal.setting, refusal.reason))?;
    Ok(Start::Run(Box::new(settings)))
}

/// What one setting says about another.
fn derive(values: &mut [Value], origins: &mut [Origin]) -> Result<(), String> {
    let place = |name| find(name).map(|found| found.index);
    let (Some(cache), Some(policy)) = (place("cache_mode"), place("maxmemory_policy")) else {
        return Ok(());
    };
    if values[cache] == Value::Bool(true) {
        if origins[policy] == Origin::Default {
            values[policy] = Value::Choice("allkeys-lru");
            origins[policy] = origins[cache].clone();
        } else if values[policy] == Value::Choice("noeviction") {
            return Err("--cache_mode removes keys, and --maxmemory_policy=noeviction forbids it"
                .to_owned());
        }
    }
    let (Some(secure), Some(port), Some(tls)) = (place("tls_port"), place("port"), place("tls"))
    else {
        return Ok(());
    };
    if values[secure] != Value::Integer(0) {
        if values[port] != Value::Integer(0) && values[port] != values[secure] {
            return Err(
                "--tls_port: a plaintext port beside a TLS port is not served; with --port=0 \
                        it is the client port, and --admin_port can stay plaintext"
                    .to_owned(),
            );
        }
        for (at, value) in [(port, values[secure].clone()), (tls, Value::Bool(true))] {
            values[at] = value;
            origins[at] = origins[secure].clone();
        }
    }
    Ok(())
}

type Given = HashMap<&'static str, (Value, Origin)>;

impl Words {
    /// Adds the arguments of a command line, without the program's name.
    fn add_arguments(&mut self, arguments: &[String]) -> Result<(), String> {
        let mut rest = arguments.iter().map(String::as_str).peekable();
        // As with redis-server: a file comes first, and flags behind it win.
        if let Some(path) = rest.next_if(|first| !first.starts_with('-')) {
            self.add_redis_conf(Path::new(path))?;
        }
        while let Some(argument) = rest.next() {
            if argument == "--" {
                // clap would take what follows for something else than flags; there is nothing else.
                return Err("unexpected argument '--'".to_owned());
            }
            let Some((name, value)) = split_flag(argument) else {
                // Left to clap, whose words for it everybody knows.
                self.push(argument.to_owned(), None, Origin::CommandLine);
                continue;
            };
            if name == "flagfile" {
                let path = value.or_else(|| rest.next()).ok_or("--flagfile needs a path")?;
                self.flagfile = Some(PathBuf::from(path));
                self.add_flagfile(Path::new(path), 0)?;
                continue;
            }
            if name == "undefok" {
                let names = value.or_else(|| rest.next()).unwrap_or_default();
                self.undefined.extend(names.split(',').map(|name| name.replace('-', "_")));
                continue;
            }
            if self.is_answer(&name, value) {
                continue;
            }
            let value = match (value, find(&name)) {
                (None, Some(found)) if found.setting.kind == Kind::Bool => {
                    rest.next_if(|next| is_boolean_word(next))
                }
                (None, Some(found)) => {
                    let next = rest.next();
                    Some(next.ok_or_else(|| format!("{} needs a value", found.setting))?)
                }
                (value, _) => value,
            };
            // Redis takes `--bind 127.0.0.1 ::1` and `--replicaof host port`.
            let mut value = value.map(str::to_owned);
            if let (Some(text), Some(found)) = (&mut value, find(&name))
                && matches!(found.setting.kind, Kind::List | Kind::Upstream | Kind::OutputLimits)
                && !argument.contains('=')
            {
                while let Some(more) = rest.next_if(|next| split_flag(next).is_none()) {
                    text.push(' ');
                    text.push_str(more);
                }
            }
            self.add_flag(&name, value.as_deref(), Origin::CommandLine)?;
        }
        Ok(())
    }

    fn is_answer(&mut self, name: &str, value: Option<&str>) -> bool {
        let answer = match (name, value) {
            ("version", _) => Answer::Version,
            ("help" | "h" | "helpshort", None) => Answer::Help,
            ("help", Some(part)) => Answer::HelpFor(part.to_owned()),
            ("helpfull", _) => Answer::HelpFull,
            _ => return false,
        };
        self.answer.get_or_insert(answer);
        true
    }

    fn add_flagfile(&mut self, path: &Path, depth: usize) -> Result<(), String> {
        let text = read_flagfile(path)?;
        self.add_flagfile_text(path, &text, depth)
    }

    /// Adds the lines of a flagfile whose text is at hand.
    pub(super) fn add_flagfile_text(
        &mut self,
        path: &Path,
        text: &str,
        depth: usize,
    ) -> Result<(), String> {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = index + 1;
            let at = |what: String| format!("{}:{number}: {what}", path.display());
            let Some((name, value)) = split_flag(line) else {
                return Err(at(format!("expected --flag=value, found '{line}'")));
            };
            if name == "flagfile" {
                let nested = value.ok_or_else(|| at("--flagfile needs =path".to_owned()))?;
                if depth + 1 >= FLAGFILE_DEPTH_MAX {
                    return Err(at("flagfiles name each other too deeply".to_owned()));
                }
                self.add_flagfile(Path::new(nested), depth + 1).map_err(at)?;
                continue;
            }
            let origin = Origin::File { path: path.to_owned(), line: number };
            match named_flag(&name) {
                None => return Err(at(format!("unknown flag '--{name}'"))),
                Some((found, false)) if value.is_none() && found.setting.kind != Kind::Bool => {
                    return Err(at(format!("{0} needs a value: {0}=value", found.setting)));
                }
                Some(_) => self.add_flag(&name, value, origin).map_err(at)?,
            }
        }
        Ok(())
    }

    /// Notes the redis.conf that was read, and what is to be said about it.
    pub(super) fn keep_redis_conf(&mut self, path: &Path, notes: Vec<String>) {
        self.redis_conf = Some(path.to_owned());
        self.notes = notes;
    }

    /// Adds one flag; a missing value means true. What is unknown is left to clap.
    pub(super) fn add_flag(
        &mut self,
        name: &str,
        value: Option<&str>,
        origin: Origin,
    ) -> Result<(), String> {
        let Some((found, negated)) = named_flag(name) else {
            let value = value.map(|value| format!("={value}")).unwrap_or_default();
            self.push(format!("--{name}{value}"), None, origin);
            return Ok(());
        };
        let text = match (negated, value) {
            (true, Some(_)) => return Err(format!("--{name} takes no value")),
            (true, None) => "false",
            (false, None) => "true",
            (false, Some(text)) => text,
        };
        let setting = found.setting;
        let value = setting
            .parse_as(text, found.alias, Some(&setting.default_value()))
            .map_err(|error| invalid_value(setting, name, text, &error))?;
        self.push(setting.as_flag(&value), Some(setting.name), origin);
        Ok(())
    }

    fn push(&mut self, text: String, name: Option<&'static str>, origin: Origin) {
        self.words.push(Word { text, name, origin });
    }

    /// Lets clap read the words.
    pub(super) fn parse(&self) -> Result<Given, String> {
        let is_undefined = |word: &&Word| {
            let flag = split_flag(&word.text).map(|(name, _)| name);
            let named = |name: String| {
                let positive = name.strip_prefix("no").unwrap_or(&name);
                self.undefined.iter().any(|other| *other == name || other == positive)
            };
            word.name.is_none() && flag.is_some_and(named)
        };
        let known = self.words.iter().filter(|word| !is_undefined(word));
        let texts = known.map(|word| word.text.as_str());
        let arguments = std::iter::once(PROGRAM).chain(texts);
        let matches =
            command(|_| true).try_get_matches_from(arguments).map_err(|error| error.to_string())?;
        let mut given = Given::new();
        for word in &self.words {
            let Some(name) = word.name else { continue };
            if let Some(value) = matches.get_one::<Value>(name) {
                given.insert(name, (value.clone(), word.origin.clone()));
            }
        }
        Ok(given)
    }
}

/// Reads a flagfile within its bound.
pub(super) fn read_flagfile(path: &Path) -> Result<String, String> {
    let failed =
        |error: std::io::Error| format!("cannot read flagfile {}: {error}", path.display());
    if fs::metadata(path).map_err(failed)?.len() > FLAGFILE_BYTES_MAX {
        return Err(format!("flagfile {} is longer than 1 MiB", path.display()));
    }
    fs::read_to_string(path).map_err(failed)
}

/// `--name=value` or `-name` in two parts, the name with underscores; nothing for other texts.
pub(super) fn split_flag(text: &str) -> Option<(String, Option<&str>)> {
    let flag = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
    let (name, value) = match flag.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (flag, None),
    };
    name.starts_with(|c: char| c.is_ascii_alphabetic()).then(|| (name.replace('-', "_"), value))
}

/// The setting of a flag's name, and whether the name is its negation.
pub(super) fn named_flag(name: &str) -> Option<(Found, bool)> {
    if let Some(found) = find(name) {
        return Some((found, false));
    }
    let negations = [name.strip_prefix("no"), name.strip_prefix("no_")];
    let found = negations.into_iter().flatten().filter_map(find);
    let mut booleans = found.filter(|found| found.setting.kind == Kind::Bool);
    booleans.next().map(|found| (found, true))
}

fn is_boolean_word(text: &str) -> bool {
    ["true", "false", "yes", "no", "on", "off"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

fn invalid_value(setting: &Setting, name: &str, text: &str, error: &str) -> String {
    match (setting.kind, setting.secret) {
        // Dragonfly's words for this one.
        (Kind::Upstream, _) => format!("Error in parsing arguments for --{name}: {error}"),
        (_, true) => format!("invalid value for '--{name}': {error}"),
        _ => format!("invalid value '{text}' for '--{name}': {error}"),
    }
}

fn add_variables(
    given: &mut Given,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(), String> {
    let mut password = None;
    for (name, value) in variables {
        let Some(flag) = name.to_str().and_then(|name| name.strip_prefix(VARIABLE_PREFIX)) else {
            continue;
        };
        let text = value
            .into_string()
            .map_err(|_| format!("the variable {VARIABLE_PREFIX}{flag} is not valid UTF-8"))?;
        match (flag, find(flag)) {
            ("DEV_ENV", _) => {}
            ("PASSWORD", _) => password = Some(text),
            (_, None) => return Err(format!("unknown variable {VARIABLE_PREFIX}{flag}")),
            (_, Some(found)) => add_variable(given, found, flag, &text)?,
        }
    }
    match (password, find("requirepass")) {
        (Some(text), Some(found)) => add_variable(given, found, "PASSWORD", &text),
        _ => Ok(()),
    }
}

fn add_variable(given: &mut Given, found: Found, flag: &str, text: &str) -> Result<(), String> {
    let setting = found.setting;
    let variable = format!("{VARIABLE_PREFIX}{flag}");
    let value = setting
        .parse_as(text, found.alias, Some(&setting.default_value()))
        .map_err(|error| format!("variable {variable}: {error}"))?;
    given.entry(setting.name).or_insert((value, Origin::Variable(variable)));
    Ok(())
}

/// clap's command, built from the table; settings that are not `shown` are read but not printed.
fn command(shown: impl Fn(&Setting) -> bool) -> Command {
    let mut command = Command::new(PROGRAM)
        .about("An in-memory data store that speaks the Redis protocol, and its exact copies.")
        .override_usage(format!("{PROGRAM} [redis.conf] [--flag=value ...] [--flagfile=path]"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true);
    for setting in settings() {
        let shown = shown(setting);
        command = command.arg(
            Arg::new(setting.name)
                .long(setting.name)
                .value_name(setting.kind.placeholder())
                .num_args(1)
                .require_equals(true)
                .value_parser(move |text: &str| setting.parse(text, Some(&setting.default_value())))
                .help_heading(setting.group.title())
                .help(help_text(setting))
                .hide(!shown),
        );
    }
    command
}

fn help_text(setting: &Setting) -> String {
    let mut text = setting.reason();
    match setting.effect {
        Effect::Real => {}
        Effect::Nothing => text = format!("No effect: {text}."),
        Effect::Only(allowed) => text = format!("Only '{}': {text}.", allowed.join("' or '")),
    }
    if !setting.default.is_empty() {
        text = format!("{text} [default: {}]", setting.default);
    }
    wrapped(&text)
}

/// Lines that fit a terminal of 100 columns behind clap's indentation of 10.
fn wrapped(text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + 8);
    let mut length = 0;
    for word in text.split_whitespace() {
        let gap = match length {
            0 => "",
            _ if length + 1 + word.len() > HELP_COLUMNS => {
                length = 0;
                "\n"
            }
            _ => " ",
        };
        lines.push_str(gap);
        lines.push_str(word);
        length += word.len() + usize::from(gap == " ");
    }
    lines
}

impl Answer {
    fn text(&self, version: &str) -> String {
        let footer = "Flags are also read from --flagfile=path (one --flag=value per line, # for \
                      comments)\nand from variables DFLY_<flag>. --help=part shows the flags about \
                      it, --helpfull all.\nBeside flags there are: damselfly demo; damselfly \
                      check-source redis://host:port.\n";
        match self {
            Answer::Version => format!("{version}\n"),
            Answer::Help => {
                let help = command(|setting| setting.group != Group::Accepted).render_long_help();
                format!("{help}\n{footer}")
            }
            Answer::HelpFull => format!("{}\n{footer}", command(|_| true).render_long_help()),
            Answer::HelpFor(part) => {
                let part = part.to_lowercase().replace('-', "_");
                let about = |setting: &Setting| {
                    setting.name.contains(&part) || setting.reason().to_lowercase().contains(&part)
                };
                match settings().any(about) {
                    true => format!("{}\n{footer}", command(about).render_long_help()),
                    false => format!("No flag is about '{part}'.\n\n{footer}"),
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::super::table::Config;
    use super::*;

    /// The settings that these flags (separated by blanks) give, before they are checked together.
    pub(in super::super) fn config_of(flags: &str) -> Arc<Config> {
        let arguments: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
        let mut words = Words::default();
        words.add_arguments(&arguments).expect(flags);
        let mut given = words.parse().expect(flags);
        let value = |setting: &'static Setting| {
            given.remove(setting.name).map(|(value, _)| value).unwrap_or(setting.default_value())
        };
        let values: Vec<Value> = settings().map(value).collect();
        let origins = vec![Origin::Default; values.len()];
        Settings::new(values, origins, None).config()
    }

    fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Start {
        let arguments = std::iter::once(&"damselfly").chain(arguments).map(OsString::from);
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        start(arguments.collect::<Vec<_>>(), variables.collect::<Vec<_>>(), "damselfly 0.0.0-test")
    }

    fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Box<Settings> {
        match start_with(arguments, variables) {
            Start::Run(settings) => settings,
            Start::Say { text, .. } => panic!("{arguments:?} was refused: {text}"),
        }
    }

    fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> String {
        match start_with(arguments, variables) {
            Start::Say { text, code: 1 } => text,
            other => panic!("{arguments:?} was not refused: {other:?}"),
        }
    }

    #[test]
    fn every_spelling_of_a_number_means_the_same() {
        for flags in [
            "--admin_port=6380",
            "--admin_port 6380",
            "-admin_port=6380",
            "-admin_port 6380",
            "--admin-port=6380",
            "-admin-port 6380",
            "--admin_port=1 --admin-port=6380",
        ] {
            assert_eq!(config_of(flags).admin_port, 6380, "{flags}");
        }
        assert_eq!(config_of("--port=-1").port, -1);
        assert_eq!(config_of("--port -1").port, -1);
    }

    #[test]
    fn every_spelling_of_a_switch_means_the_same() {
        let check = |flags: &str, want: bool| assert_eq!(config_of(flags).tls, want, "{flags}");
        for flags in
            ["--tls", "-tls", "--tls=true", "--tls=yes", "--tls=1", "--tls true", "-tls=on"]
        {
            check(flags, true);
        }
        for flags in [
            "",
            "--notls",
            "-notls",
            "--no_tls",
            "--no-tls",
            "--tls=false",
            "--tls=0",
            "--tls false",
            "--tls --notls",
        ] {
            check(flags, false);
        }
        let both = config_of("--tls --port 7000");
        assert_eq!((both.tls, both.port), (true, 7000));
    }

    #[test]
    fn a_name_that_begins_with_no_is_itself() {
        for flags in
            ["--no_tls_on_admin_port", "--no_tls_on_admin_port=true", "--no-tls-on-admin-port true"]
        {
            let config = config_of(flags);
            assert_eq!((config.no_tls_on_admin_port, config.tls), (true, false), "{flags}");
        }
        assert!(!config_of("--nono_tls_on_admin_port").no_tls_on_admin_port);
        assert!(!config_of("--no_tls_on_admin_port=false").no_tls_on_admin_port);
    }

    #[test]
    fn the_command_lines_of_the_replication_page_are_read_as_written() {
        let tls = "--tls --tls_key_file=server-key.pem --tls_cert_file=server-cert.pem \
                   --tls_ca_cert_file=ca-cert.pem";
        let config = config_of(&format!("{tls} -admin_port=6380 --no_tls_on_admin_port=true"));
        assert_eq!((config.admin_port, config.no_tls_on_admin_port), (6380, true));
        assert_eq!(config.tls_ca_cert_file, "ca-cert.pem");
        let config = config_of(&format!("{tls} --tls_replication=true --port 6380"));
        assert_eq!((config.tls_replication, config.port), (true, 6380));
        let config = config_of(&format!("{tls} --port 6381 -admin_port=6382"));
        assert_eq!((config.port, config.admin_port), (6381, 6382));
    }

    #[test]
    fn what_an_operators_unit_file_carries_is_taken() {
        let settings = run(
            &[
                "--alsologtostderr",
                "--break_replication_on_master_restart=true",
                "--primary_port_http_enabled=false",
                "--admin_port=9999",
                "--admin_nopass",
                "--dir=/data",
                "--version_check=false",
                "--vmodule=x=2",
                "--dbfilename=",
                "--snapshot_cron=",
                "--nodf_snapshot_format",
                "--save",
                "",
                "--appendonly",
                "no",
            ],
            &[("DFLY_DEV_ENV", "anything"), ("PATH", "/bin")],
        );
        let config = settings.config();
        assert!(config.admin_nopass && config.alsologtostderr && !config.primary_port_http_enabled);
    }

    #[test]
    fn one_setting_may_say_something_about_another() {
        let policy = |arguments: &[&str]| run(arguments, &[]).config().maxmemory_policy.word();
        assert_eq!(policy(&["--cache_mode=true"]), "allkeys-lru");
        assert_eq!(policy(&["--cache_mode", "--maxmemory_policy=volatile-lfu"]), "volatile-lfu");
        assert_eq!(policy(&["--cache_mode=false"]), "noeviction");
        let said = refused(&["--cache_mode", "--maxmemory_policy=noeviction"], &[]);
        assert!(said.contains("--cache_mode removes keys"), "{said}");

        let tls = ["--tls_key_file=k", "--tls_cert_file=c", "--requirepass=p", "--tls-port=7000"];
        let config = run(&[&tls[..], &["--port=0"]].concat(), &[]).config();
        assert_eq!((config.port, config.tls), (7000, true));
        let said = refused(&tls, &[]);
        assert!(said.contains("--tls_port: a plaintext port beside"), "{said}");
    }

    #[test]
    fn values_of_several_words_are_taken_as_redis_takes_them() {
        let config = config_of("--bind 127.0.0.1 -::1 --replicaof ::1 6380 --hz 5 -port 7000");
        assert_eq!(config.bind, ["127.0.0.1", "-::1"]);
        assert_eq!(config.replicaof.as_ref().map(|master| master.port), Some(6380));
        assert_eq!((config.hz, config.port), (5, 7000));
    }

    #[test]
    fn what_changes_safety_is_honoured_or_refused_with_a_sentence() {
        for (flag, sentence) in [
            ("--oom_deny_ratio=1.1", "as soon as maxmemory is reached"),
            ("--rss_oom_deny_ratio=1.25", "resident memory"),
            ("--cluster_announce_ip=10.0.0.1", "no cluster mode"),
            ("--rename_command=FLUSHALL x", "rules about commands"),
            ("--metrics_port=9100", "not on one of their own"),
            ("--experimental_cascaded_partial_sync=false", "always feeds replicas"),
            ("--metrics_prefix=9x", "metrics_prefix"),
        ] {
            let said = refused(&[flag], &[]);
            assert!(said.contains(sentence), "{flag}: {said}");
        }
        run(&["--undefok=later,older", "--later=1", "--noolder", "--port=7000"], &[]);
        assert!(refused(&["--undefok=later", "--earlier=1"], &[]).contains("'--earlier'"));
        run(&["--protected-mode", "yes", "--managed_service_info", "--noreplica_announced"], &[]);
    }

    #[test]
    fn wrong_flags_are_refused_and_named() {
        let check = |arguments: &[&str], want: &str| {
            let text = refused(arguments, &[]);
            assert!(text.contains(want) && text.ends_with('\n'), "{arguments:?} said: {text}");
        };
        check(&["--prot=1"], "'--prot'");
        check(&["--prot=1"], "--port");
        check(&["--Port=1"], "'--Port'");
        check(&["server.conf"], "cannot read the configuration file server.conf");
        check(&["--hz=1", "server.conf"], "'server.conf'");
        check(&["--port"], "--port needs a value");
        check(&["--port=x"], "invalid value 'x' for '--port'");
        check(&["--port=70000"], "between -1 and 65535");
        check(&["--notls=true"], "--notls takes no value");
        check(&["--noport"], "'--noport'");
        check(&["--replicaof=foo"], "Error in parsing arguments for --replicaof: missing ':'.");
        check(&["--dbfilename=a/b"], "dbfilename can't be a path");
        check(&["--dbfilename=.."], "dbfilename can't be a path");
        check(&["--save=900"], "Invalid save parameters");
        check(&["--snapshot_cron=* * * *"], "--snapshot_cron: five fields are needed");
        check(&["--snapshot_cron=61 * * * *"], "'61' is no minute");
        check(&["--aclfile=users.acl"], "no users but the default one");
        check(&["--flagfile=/nowhere/at/all"], "cannot read flagfile /nowhere/at/all");
        check(&["--tls"], "--tls_key_file flag!");
        check(&["--"], "unexpected");
        check(&["-"], "unexpected");
    }

    #[test]
    fn variables_hold_where_neither_flag_nor_flagfile_gave_a_value() {
        let config = run(&["--hz=7"], &[("DFLY_hz", "9"), ("DFLY_port", "7001")]).config();
        assert_eq!((config.hz, config.port), (7, 7001));
        let config = run(&[], &[("DFLY_PASSWORD", "one")]).config();
        assert_eq!(config.requirepass, "one");
        let config = run(&[], &[("DFLY_PASSWORD", "one"), ("DFLY_requirepass", "two")]).config();
        assert_eq!(config.requirepass, "two");
        assert!(refused(&[], &[("DFLY_prot", "1")]).contains("unknown variable DFLY_prot"));
        assert!(refused(&[], &[("DFLY_PORT", "1")]).contains("unknown variable DFLY_PORT"));
        assert!(refused(&[], &[("DFLY_port", "x")]).contains("variable DFLY_port"));
    }

    #[test]
    fn help_and_version_are_answered_with_code_0() {
        let check = |argument: &str, with: &[&str], without: &[&str]| {
            let Start::Say { text, code: 0 } = start_with(&[argument], &[]) else {
                panic!("{argument} was not answered");
            };
            for part in with {
                assert!(text.contains(part), "{argument} lacks {part}: {text}");
            }
            for part in without {
                assert!(!text.contains(part), "{argument} shows {part}");
            }
            let descriptions = text.lines().filter(|line| !line.contains("--"));
            let longest = descriptions.map(str::len).max().unwrap_or(0);
            assert!(longest <= 100, "{argument} has a line of {longest} columns");
        };
        check("--version", &["damselfly 0.0.0-test\n"], &["damselfly damselfly"]);
        check("--help", &["--port=<", "--tls_key_file=<", "6379"], &["--vmodule"]);
        check("-help", &["--port=<"], &[]);
        check("--helpfull", &["--port=<", "--vmodule"], &[]);
        check("--help=backlog", &["--repl_backlog_size=<"], &["--tls_key_file=<", "--vmodule"]);
        check("--help=tls-key", &["--tls_key_file=<"], &["--port=<"]);
        check("--help=qqq", &["No flag is about 'qqq'"], &[]);
    }
}
