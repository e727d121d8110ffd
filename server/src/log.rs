//! The log: one fact per line, to standard error or to a file that can be opened anew.
//!
//! ```text
//! 2026-05-01T12:00:00.123456Z  INFO replica 10.0.0.2:6379 is in stable sync shards=4
//! ```
//!
//! RFC 3339 time in UTC, level, fact, fields. A line break or another control character inside a fact
//! is written as an escape, so a line is always one fact, whatever bytes a client sent. glommio's own
//! warnings (they speak of its internals) are shown from `error` up.
//! The log promises no delivery: a full disk or a closed pipe never stops the program.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{Config, LogLevel};

/// The file inside `log_dir`.
const FILE_NAME: &str = "damselfly.log";

/// The running log: changes its level, and opens its file anew.
#[derive(Clone)]
pub struct Log {
    sink: Sink,
    filter: reload::Handle<Targets, Registry>,
}

impl Log {
    /// Starts the log for the whole process, as the settings say. Fails when its file cannot be
    /// opened, or when a log runs already.
    pub fn start(config: &Config) -> io::Result<Log> {
        let (log, subscriber) = Log::build(Sink::of(config)?, targets(config));
        tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
        // Libraries that write to `log` (glommio does) come out here as well; what they say below
        // a warning is not even formatted.
        let libraries = tracing_log::LogTracer::builder().with_max_level(::log::LevelFilter::Warn);
        libraries.init().map_err(io::Error::other)?;
        Ok(log)
    }

    fn build(sink: Sink, targets: Targets) -> (Log, impl tracing::Subscriber + Send + Sync) {
        let (filter, handle) = reload::Layer::new(targets);
        let lines = fmt::layer().with_writer(sink.clone()).with_ansi(false).with_target(false);
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        (Log { sink, filter: handle }, subscriber)
    }

    /// Takes the level of new settings.
    pub fn set_level(&self, config: &Config) {
        // Fails only when the subscriber is gone, and then there is nothing to filter.
        let _ = self.filter.reload(targets(config));
    }

    /// Opens the log file anew, after somebody has moved it away. Keeps the old one on an error.
    pub fn reopen(&self) -> io::Result<()> {
        self.sink.reopen()
    }

    /// The file that is written, if it is one.
    pub fn file(&self) -> Option<&Path> {
        self.sink.path.as_deref().map(PathBuf::as_path)
    }
}

/// What is shown: the stricter of `loglevel` and `minloglevel`.
fn targets(config: &Config) -> Targets {
    let word = match config.loglevel {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    };
    let number = match config.minloglevel {
        0 => LevelFilter::TRACE,
        1 => LevelFilter::WARN,
        2 => LevelFilter::ERROR,
        _ => LevelFilter::OFF,
    };
    let level = word.min(number);
    Targets::new().with_default(level).with_target("glommio", level.min(LevelFilter::ERROR))
}

/// Where lines go. A clone writes to the same place.
#[derive(Clone)]
struct Sink {
    file: Option<Arc<Mutex<File>>>,
    path: Option<Arc<PathBuf>>,
    stderr: bool,
}

impl Sink {
    fn of(config: &Config) -> io::Result<Sink> {
        let path = match (config.logtostderr, config.logfile.as_str(), config.log_dir.as_str()) {
            (true, _, _) | (_, "", "") => None,
            (_, "", folder) => Some(Path::new(folder).join(FILE_NAME)),
            (_, file, _) => Some(PathBuf::from(file)),
        };
        let Some(path) = path else {
            return Ok(Sink { file: None, path: None, stderr: true });
        };
        // Absolute, because `dir` may change the working directory before the next reopening.
        let path = std::path::absolute(path)?;
        let file = open(&path)?;
        Ok(Sink {
            file: Some(Arc::new(Mutex::new(file))),
            path: Some(Arc::new(path)),
            stderr: config.alsologtostderr,
        })
    }

    fn reopen(&self) -> io::Result<()> {
        let (Some(file), Some(path)) = (&self.file, &self.path) else {
            return Ok(());
        };
        let new = open(path)?;
        *file.lock().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot open log file {}: {error}", path.display()))
    })
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { sink: self }
    }
}

/// Writes what is one event to `fmt` as one line. `fmt` gives each event in one call.
struct LineWriter<'a> {
    sink: &'a Sink,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = one_line(event);
        if let Some(file) = &self.sink.file {
            let _ = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
        }
        if self.sink.stderr {
            let _ = io::stderr().lock().write_all(&line);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The event with its control characters escaped, and one line end.
fn one_line(event: &[u8]) -> Vec<u8> {
    let event = event.strip_suffix(b"\n").unwrap_or(event);
    let mut line = Vec::with_capacity(event.len() + 1);
    for &byte in event {
        match byte {
            0..=31 | 127 => line.extend(byte.escape_ascii()),
            _ => line.push(byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Settings;

    fn config(pairs: &[(&str, &str)]) -> Arc<Config> {
        let settings = Settings::defaults();
        for (name, value) in pairs {
            settings.set(&[(name.as_bytes(), value.as_bytes())], |_| Ok(())).expect(name);
        }
        settings.config()
    }

    fn folder(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("damselfly-log-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        path
    }

    fn in_file(name: &str) -> (PathBuf, Log, impl tracing::Subscriber + Send + Sync) {
        let folder = folder(name);
        let mut config = Config::clone(&config(&[]));
        config.log_dir = folder.display().to_string();
        let sink = Sink::of(&config).expect("a log file");
        let (log, subscriber) = Log::build(sink, targets(&config));
        (folder, log, subscriber)
    }

    #[test]
    fn a_fact_is_one_line_whatever_it_contains() {
        let (folder, _log, subscriber) = in_file("line");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(shards = 4, "started");
            tracing::warn!("name is {}", "a\r\nb\x1b[31m\0");
            tracing::debug!("not shown");
        });
        let text = fs::read_to_string(folder.join(FILE_NAME)).expect("the log");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        let (time, rest) = lines[0].split_once(' ').expect("a time");
        assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T' && time.len() == 27, "{time}");
        assert_eq!(rest.trim_start(), "INFO started shards=4");
        assert!(!text.contains(['\r', '\0', '\x1b']), "{text:?}");
        assert!(lines[1].contains("b"), "{text}");
        fs::remove_dir_all(folder).expect("clean up");
    }

    #[test]
    fn what_libraries_log_comes_out_but_glommios_warnings_do_not() {
        let (folder, _log, subscriber) = in_file("library");
        tracing::subscriber::with_default(subscriber, || {
            let say = |target: &str, level: ::log::Level, text: &str| {
                let arguments = format_args!("{text}");
                let mut record = ::log::Record::builder();
                let record = record.target(target).level(level);
                tracing_log::format_trace(&record.args(arguments).build()).expect("a record");
            };
            say("glommio::executor", ::log::Level::Warn, "one");
            say("glommio::executor", ::log::Level::Error, "two");
            say("rustls::conn", ::log::Level::Warn, "three");
        });
        let text = fs::read_to_string(folder.join(FILE_NAME)).expect("the log");
        assert!(!text.contains("one") && text.contains("two") && text.contains("three"), "{text}");
        fs::remove_dir_all(folder).expect("clean up");
    }

    #[test]
    fn after_a_rotation_lines_go_to_the_new_file() {
        let (folder, log, subscriber) = in_file("rotate");
        let (file, moved) = (folder.join(FILE_NAME), folder.join("old"));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("one");
            fs::rename(&file, &moved).expect("rotate");
            tracing::info!("two");
            log.reopen().expect("open anew");
            tracing::info!("three");
        });
        let old = fs::read_to_string(&moved).expect("the old file");
        let new = fs::read_to_string(&file).expect("the new file");
        assert!(old.contains("one") && old.contains("two") && !old.contains("three"), "{old}");
        assert!(new.contains("three") && new.lines().count() == 1, "{new}");
        fs::remove_dir_all(folder).expect("clean up");
    }

    #[test]
    fn the_stricter_level_holds_and_glommio_is_quiet() {
        let check = |pairs: &[(&str, &str)], info: bool, warn: bool| {
            let targets = targets(&config(pairs));
            let got = |target, level| targets.would_enable(target, &level);
            assert_eq!(got("server", tracing::Level::INFO), info, "{pairs:?}");
            assert_eq!(got("server", tracing::Level::WARN), warn, "{pairs:?}");
            assert!(!got("glommio::sys", tracing::Level::WARN), "{pairs:?}");
        };
        check(&[], true, true);
        check(&[("loglevel", "warning")], false, true);
        check(&[("minloglevel", "1")], false, true);
        check(&[("minloglevel", "2"), ("loglevel", "debug")], false, false);
        check(&[("loglevel", "nothing")], false, false);
    }

    #[test]
    fn the_level_follows_the_settings() {
        let (folder, log, subscriber) = in_file("level");
        tracing::subscriber::with_default(subscriber, || {
            log.set_level(&config(&[("loglevel", "warning")]));
            tracing::info!("quiet");
            log.set_level(&config(&[("loglevel", "debug")]));
            tracing::debug!("loud");
        });
        let text = fs::read_to_string(folder.join(FILE_NAME)).expect("the log");
        assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
        fs::remove_dir_all(folder).expect("clean up");
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_is_named() {
        let mut config = Config::clone(&config(&[]));
        config.logfile = "/nowhere/at/all.log".to_owned();
        let error = Sink::of(&config).err().expect("no such folder").to_string();
        assert!(error.contains("cannot open log file /nowhere/at/all.log"), "{error}");
    }
}
