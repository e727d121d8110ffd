//! A redis.conf as the first argument, as far as its lines are known.
//!
//! ```text
//!   name value ...     "quoted \x22 text"     include other.conf     repeated lines     save ""
//! ```
//!
//! A line whose name is known is a flag under that name, with the same values. A line that is not known
//! changes nothing and is named in the log. A line that asks for what is not here is refused where going
//! on without it would change who may come in or what is kept; where everybody's file has it (`daemonize`),
//! it is named and passed over.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::command_line::Words;
use super::names::find;
use super::setting::Effect;
use super::settings::Origin;
use super::value::Kind;
use engine::glob::Pattern;

/// Files may include files; a ring of them must end.
const DEPTH_MAX: usize = 16;
/// A redis.conf with all its comments has some 100 KiB; what is longer is another file by mistake.
const BYTES_MAX: u64 = 1 << 20;

/// Settings of which a redis.conf may ask what is not here: every file that is installed with a package
/// does.
const PASSED_OVER: [&str; 3] = ["activedefrag", "daemonize", "proto_max_bulk_len"];

/// What was found on the way through a file and those that it includes.
#[derive(Default)]
struct Reading {
    /// Names that are not known, with their places.
    unknown: Vec<String>,
    /// Known lines that change nothing, with the reason.
    passed: Vec<String>,
    /// What all lines about output limits said so far.
    limits: String,
    /// What all lines about snapshots said so far.
    saves: String,
}

impl Words {
    /// Adds the lines of a redis.conf.
    pub(super) fn add_redis_conf(&mut self, path: &Path) -> Result<(), String> {
        let mut reading = Reading::default();
        reading.file(self, path, 0)?;
        let mut notes = reading.passed;
        if !reading.unknown.is_empty() {
            notes.push(format!(
                "lines that are not known here and change nothing: {}",
                reading.unknown.join(", ")
            ));
        }
        self.keep_redis_conf(path, notes);
        Ok(())
    }
}

impl Reading {
    fn file(&mut self, words: &mut Words, path: &Path, depth: usize) -> Result<(), String> {
        let text = read(path)?;
        self.text(words, path, &text, depth)
    }

    fn text(
        &mut self,
        words: &mut Words,
        path: &Path,
        text: &str,
        depth: usize,
    ) -> Result<(), String> {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = LinePlace { path, number: index + 1, depth };
            let at = |what: String| format!("{place}: {what}");
            let parts = split(line).ok_or_else(|| at("unbalanced quotes".to_owned()))?;
            let Some((name, values)) = parts.split_first() else { continue };
            let name = name.to_ascii_lowercase().replace('-', "_");
            if name == "include" {
                values.iter().try_for_each(|file| self.include(words, file, &place))?;
                continue;
            }
            self.line(words, &name, values, &place).map_err(at)?;
        }
        Ok(())
    }

    fn line(
        &mut self,
        words: &mut Words,
        name: &str,
        values: &[String],
        place: &LinePlace<'_>,
    ) -> Result<(), String> {
        match name {
            "user" => Err("there are no users but the default one yet: see requirepass".to_owned()),
            "loadmodule" | "loadmodule_ex" => Err("there are no modules".to_owned()),
            flag if flag.starts_with("__") => {
                Err("this is a flag: a file of flags is given as --flagfile=path".to_owned())
            }
            "client_output_buffer_limit" => {
                // Each line is about one class, and all of them hold.
                self.limits = format!("{} {}", self.limits, values.join(" "));
                let limits = Kind::OutputLimits.from_redis(&self.limits).into_owned();
                words.add_flag(name, Some(&limits), place.origin())
            }
            "save" => {
                // Each line adds to those before it; an empty one takes them back.
                self.saves = match values.concat().is_empty() {
                    true => String::new(),
                    false => format!("{} {}", self.saves, values.join(" ")),
                };
                let saves = Kind::List.from_redis(self.saves.trim()).into_owned();
                words.add_flag(name, Some(&saves), place.origin())
            }
            _ => self.setting(words, name, values, place),
        }
    }

    fn setting(
        &mut self,
        words: &mut Words,
        name: &str,
        values: &[String],
        place: &LinePlace<'_>,
    ) -> Result<(), String> {
        let shown = name.replace('_', "-");
        let Some(found) = find(name) else {
            self.unknown.push(format!("{shown} ({place})"));
            return Ok(());
        };
        let setting = found.setting;
        let value = values.join(" ");
        let many = matches!(setting.kind, Kind::List | Kind::Upstream | Kind::OutputLimits);
        if values.is_empty() || (values.len() > 1 && !many && setting.effect == Effect::Real) {
            return Err(format!("wrong number of arguments for '{shown}'"));
        }
        let is_passed_over = PASSED_OVER.contains(&setting.name);
        if is_passed_over && setting.parse_as(&value, found.alias, None).is_err() {
            let reason = setting.reason();
            self.passed.push(format!("{place}: '{shown} {value}' changes nothing: {reason}"));
            return Ok(());
        }
        words.add_flag(name, Some(&setting.kind.from_redis(&value)), place.origin())
    }

    /// What is wrong inside the other file names its own lines.
    fn include(
        &mut self,
        words: &mut Words,
        file: &str,
        place: &LinePlace<'_>,
    ) -> Result<(), String> {
        let at = |what: String| format!("{place}: {what}");
        if place.depth + 1 >= DEPTH_MAX {
            return Err(at("files include each other too deeply".to_owned()));
        }
        for path in included(Path::new(file)).map_err(at)? {
            let text = read(&path).map_err(at)?;
            self.text(words, &path, &text, place.depth + 1)?;
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| {
        format!("cannot read the configuration file {}: {error}", path.display())
    };
    if fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
        return Err(format!("the configuration file {} is longer than 1 MiB", path.display()));
    }
    fs::read_to_string(path).map_err(failed)
}

/// The files that an `include` names; a pattern in the last part is all that fit, in order.
fn included(path: &Path) -> Result<Vec<PathBuf>, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_pattern = name.contains(['*', '?', '[']);
    let Some(pattern) = Pattern::new(name.as_bytes()).filter(|_| is_pattern) else {
        return Ok(vec![path.to_owned()]);
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder)
        .map_err(|error| format!("cannot read the folder {}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| pattern.fits(entry.file_name().as_bytes()))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    Ok(files)
}

/// A line of a file.
struct LinePlace<'a> {
    path: &'a Path,
    number: usize,
    depth: usize,
}

impl LinePlace<'_> {
    fn origin(&self) -> Origin {
        Origin::File { path: self.path.to_owned(), line: self.number }
    }
}

impl std::fmt::Display for LinePlace<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.number)
    }
}

/// The words of a line, quoted as in Redis: `"` with escapes, `'` with `\'` only, and a closing quote
/// ends its word. `None`: the quotes do not fit, or the text is not UTF-8.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start().as_bytes();
    while !rest.is_empty() {
        let (word, after) = word(rest)?;
        words.push(String::from_utf8(word).ok()?);
        rest = after.trim_ascii_start();
    }
    Some(words)
}

fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut quote = None;
    loop {
        let (&byte, after) = match rest.split_first() {
            Some(split) => split,
            None if quote.is_none() => return Some((word, rest)),
            None => return None,
        };
        match (quote, byte) {
            (Some(open), byte) if byte == open => {
                let ends = after.first().is_none_or(u8::is_ascii_whitespace);
                return ends.then_some((word, after));
            }
            (Some(b'"'), b'\\') => {
                let (byte, used) = escaped(after)?;
                word.push(byte);
                rest = &after[used..];
                continue;
            }
            (Some(_), b'\\') if after.first() == Some(&b'\'') => {
                word.push(b'\'');
                rest = &after[1..];
                continue;
            }
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, byte) if byte.is_ascii_whitespace() => return Some((word, after)),
            (_, byte) => word.push(byte),
        }
        rest = after;
    }
}

/// What stands behind a backslash, and how long it is.
fn escaped(rest: &[u8]) -> Option<(u8, usize)> {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    if let (Some(b'x'), Some(high), Some(low)) = (rest.first(), hex(rest.get(1)), hex(rest.get(2)))
    {
        return Some(((high * 16 + low) as u8, 3));
    }
    let byte = match *rest.first()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        byte => byte,
    };
    Some((byte, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Start, start};
    use std::ffi::OsString;

    #[test]
    fn words_are_quoted_as_in_redis() {
        let check = |line: &str, expected: Option<&[&str]>| {
            let got = split(line);
            let got: Option<Vec<&str>> =
                got.as_ref().map(|words| words.iter().map(String::as_str).collect());
            assert_eq!(got.as_deref(), expected, "{line}");
        };
        check("port 7000", Some(&["port", "7000"]));
        check("save \"\"", Some(&["save", ""]));
        check("save ''", Some(&["save", ""]));
        check(r#"requirepass "a \"b\" \x41\n""#, Some(&["requirepass", "a \"b\" A\n"]));
        check(r"requirepass 'it\'s \n'", Some(&["requirepass", "it's \\n"]));
        check("bind  127.0.0.1\t-::1", Some(&["bind", "127.0.0.1", "-::1"]));
        check("requirepass foo\"bar\"", Some(&["requirepass", "foobar"]));
        check("requirepass \"foo\"bar", None);
        check("requirepass \"foo", None);
        check("requirepass 'foo", None);
    }

    fn start_with(text: &str, more: &[&str]) -> Result<Box<crate::config::Settings>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("redis.conf");
        let text = text.replace("FOLDER", &folder.path().display().to_string());
        fs::write(&path, text).expect("a file");
        fs::write(folder.path().join("one.part"), "maxclients 11\n").expect("a file");
        fs::write(folder.path().join("two.part"), "timeout 12\nnot-known yes\n").expect("a file");
        let arguments = ["damselfly".into(), path.into_os_string()].into_iter();
        let arguments: Vec<OsString> = arguments.chain(more.iter().map(OsString::from)).collect();
        match start(arguments, Vec::new(), "test") {
            Start::Run(settings) => Ok(settings),
            Start::Say { text, .. } => Err(text),
        }
    }

    #[test]
    fn known_lines_are_settings_and_flags_behind_the_file_win() {
        let text = "# a comment\nport 7000\nPORT 7001\nbind 127.0.0.1 -::1\nsave \"\"\n\
                    replicaof 10.0.0.1 6380\nrequirepass \"a b\"\nrepl-timeout 60\n\
                    client-output-buffer-limit normal 0 0 0\n\
                    client-output-buffer-limit replica 1mb 0 0\ninclude FOLDER/*.part\n";
        let settings = start_with(text, &["--hz", "50"]).expect("a good file");
        let config = settings.config();
        assert_eq!((config.port, config.hz, config.maxclients), (7001, 50, 11));
        assert_eq!((config.timeout.as_secs(), config.replication_timeout.as_secs()), (12, 60));
        assert_eq!(config.bind, ["127.0.0.1", "-::1"]);
        assert_eq!(config.requirepass, "a b");
        assert_eq!(config.replicaof.as_ref().map(|master| master.port), Some(6380));
        let limits = config.client_output_buffer_limit;
        assert_eq!((limits.normal.hard_bytes, limits.replica.hard_bytes), (0, 1 << 20));
        let notes = settings.notes().join("\n");
        assert!(notes.contains("not-known (") && notes.contains("two.part:2"), "{notes}");
    }

    #[test]
    fn what_everybodys_file_asks_for_is_named_and_passed_over() {
        let text = "dbfilename data.rdb\nsave 900 1\nsave 300 10\ndaemonize yes\nappendonly no\n\
                    protected-mode yes\nactivedefrag yes\n";
        let settings = start_with(text, &[]).expect("a good file");
        let config = settings.config();
        assert!(config.protected_mode);
        assert_eq!(config.dbfilename, "data.rdb");
        let points = [(900, 1), (300, 10)]
            .map(|(after, least)| (std::time::Duration::from_secs(after), least));
        assert_eq!(config.save_points(), Some(points.to_vec()));
        let notes = settings.notes().join("\n");
        for words in ["'daemonize yes'", "redis.conf:4"] {
            assert!(notes.contains(words), "{words}: {notes}");
        }
    }

    #[test]
    fn what_would_be_missed_is_refused_with_its_line() {
        let check = |text: &str, words: &str| {
            let said = start_with(text, &[]).expect_err(text);
            assert!(said.contains("redis.conf:2: ") && said.contains(words), "{text}: {said}");
        };
        check("\nappendonly yes\n", "no append-only file");
        check("\nrename-command FLUSHALL \"\"\n", "rules about commands");
        check("\nuser alice on >secret\n", "no users");
        check("\naclfile /etc/users.acl\n", "no users");
        check("\ncluster-enabled yes\n", "cluster");
        check("\nloadmodule x.so\n", "modules");
        check("\nport x\n", "invalid value 'x' for '--port'");
        check("\nport\n", "wrong number of arguments");
        check("\nport 1 2\n", "wrong number of arguments");
        check("\nrequirepass \"x\n", "unbalanced quotes");
        check("\ninclude /nowhere/at/all\n", "/nowhere/at/all");
        check("\n--port=7000\n", "--flagfile=path");
        let said = start_with("\ninclude FOLDER/redis.conf\n", &[]).expect_err("a ring");
        assert!(said.contains("too deeply") && said.matches("redis.conf:2").count() == 1, "{said}");
    }
}
