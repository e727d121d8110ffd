//! The log: one fact per line, to standard error or to a file that can be opened anew.
//!
//! ```text
//! 2026-05-01T12:00:00.123456Z  INFO replica 10.0.0.2:6379 is in stable sync shards=4
//! ```
//!
//! RFC 3339 time in UTC, level, fact, fields. A line break or another control character inside a fact
//! is written as an escape, so a line is always one fact, whatever bytes a client sent. glommio's own
//! warnings (they speak of its internals) are shown from `error` up.
//!
//! ```text
//!   executors --lines--> queue (bounded) --> thread "log" --> file or standard error
//! ```
//!
//! The log promises no delivery: a full disk, a closed pipe or one that nobody reads never stops an
//! executor. What finds no room is counted, and told when lines can be written again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{Config, LogLevel};

/// The file inside `log_dir`.
const FILE_NAME: &str = "damselfly.log";

/// The end of the program waits so long for a log that is slow.
const FLUSH_MAX: Duration = Duration::from_millis(1000);

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

    /// Waits, but not long, until what was said is written: before the program ends.
    pub fn flush(&self) {
        let deadline = Instant::now() + FLUSH_MAX;
        self.sink.outlets().for_each(|outlet| outlet.flush(deadline));
    }

    /// Whole lines, in bytes, that wait to be written.
    pub fn waiting(&self) -> usize {
        self.sink.outlets().map(|outlet| outlet.shared.lock().waiting.len()).sum()
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

/// Where lines go: a file, standard error, or both. A clone leads to the same places.
#[derive(Clone)]
struct Sink {
    file: Option<Arc<Outlet>>,
    path: Option<Arc<PathBuf>>,
    stderr: Option<Arc<Outlet>>,
}

impl Sink {
    fn of(config: &Config) -> io::Result<Sink> {
        let path = match (config.logtostderr, config.logfile.as_str(), config.log_dir.as_str()) {
            (true, _, _) | (_, "", "") => None,
            (_, "", folder) => Some(Path::new(folder).join(FILE_NAME)),
            (_, file, _) => Some(PathBuf::from(file)),
        };
        let Some(path) = path else {
            return Ok(Sink { file: None, path: None, stderr: Some(Outlet::stderr()?) });
        };
        // Absolute, because `dir` may change the working directory before the next reopening.
        let path = std::path::absolute(path)?;
        let file = open(&path)?;
        Ok(Sink {
            file: Some(Outlet::start(Box::new(file))?),
            path: Some(Arc::new(path)),
            stderr: if config.alsologtostderr { Some(Outlet::stderr()?) } else { None },
        })
    }

    fn reopen(&self) -> io::Result<()> {
        let (Some(file), Some(path)) = (&self.file, &self.path) else {
            return Ok(());
        };
        file.replace(Box::new(open(path)?));
        Ok(())
    }

    fn outlets(&self) -> impl Iterator<Item = &Arc<Outlet>> {
        self.file.iter().chain(&self.stderr)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let failed = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot open log file {}: {error}", path.display()))
    };
    // Without O_NONBLOCK, opening a pipe that nobody reads would wait, on an executor.
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(failed)?;
    // The thread that writes may wait.
    // SAFETY: no pointers are passed; the descriptor is open.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_APPEND) };
    Ok(file)
}

/// A place for lines, and the thread that writes there. Whoever has a line puts it into a bounded
/// queue and goes on: a disk that is full or a pipe that nobody reads holds up that thread only.
struct Outlet {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Whole lines, the oldest first.
    waiting: Vec<u8>,
    /// What is written to from that many waiting bytes on.
    next: Option<(usize, Box<dyn Write + Send>)>,
    /// Lines that found no room or could not be written, and have not been told yet.
    lost: u64,
    /// Whether the thread is at work.
    writing: bool,
    /// Nobody is left who could have a line.
    closed: bool,
}

/// Bytes that may wait for a log that cannot be written: some thousand lines.
const WAITING_MAX: usize = 1 << 20;

/// Lines lost in the whole life of the program.
static LOST: AtomicU64 = AtomicU64::new(0);

/// How many lines of the log could not be written.
pub fn lost_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}

impl Outlet {
    fn start(to: Box<dyn Write + Send>) -> io::Result<Arc<Outlet>> {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&own, to))?;
        Ok(Arc::new(Outlet { shared }))
    }

    fn stderr() -> io::Result<Arc<Outlet>> {
        Outlet::start(Box::new(io::stderr()))
    }

    fn put(&self, line: &[u8]) {
        let mut queue = self.shared.lock();
        if queue.waiting.len() + line.len() > WAITING_MAX {
            queue.lost += 1;
            LOST.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.waiting.extend_from_slice(line);
        drop(queue);
        self.shared.changed.notify_all();
    }

    /// What comes from now on goes elsewhere.
    fn replace(&self, to: Box<dyn Write + Send>) {
        let mut queue = self.shared.lock();
        let from = queue.next.take().map_or(queue.waiting.len(), |(from, _)| from);
        queue.next = Some((from, to));
        drop(queue);
        self.shared.changed.notify_all();
    }

    /// Waits until everything is written, but not beyond `deadline`.
    fn flush(&self, deadline: Instant) {
        let mut queue = self.shared.lock();
        while queue.writing || !queue.waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread of an outlet.
fn write_all(outlet: &Shared, mut to: Box<dyn Write + Send>) {
    loop {
        let mut queue = outlet.lock();
        while queue.waiting.is_empty() && queue.next.is_none() {
            if queue.closed {
                return;
            }
            queue = outlet.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let waiting = std::mem::take(&mut queue.waiting);
        let next = queue.next.take();
        queue.writing = true;
        drop(queue);
        let from = next.as_ref().map_or(waiting.len(), |(from, _)| *from);
        let mut lost = write_lines(&mut *to, &waiting[..from]);
        if let Some((_, next)) = next {
            to = next;
            lost += write_lines(&mut *to, &waiting[from..]);
        }
        LOST.fetch_add(lost, Ordering::Relaxed);
        let mut queue = outlet.lock();
        queue.writing = false;
        queue.lost += lost;
        // It is told as soon as something could be written again, and there is room to say it.
        let can_tell = lost == 0 && queue.waiting.len() < WAITING_MAX / 2;
        let told = if can_tell { std::mem::take(&mut queue.lost) } else { 0 };
        drop(queue);
        outlet.changed.notify_all();
        if told > 0 {
            tracing::warn!("lines of this log that could not be written and are lost: {told}");
        }
    }
}

/// Writes lines; answers how many of them are not there as a whole.
fn write_lines(to: &mut dyn Write, lines: &[u8]) -> u64 {
    let mut rest = lines;
    while !rest.is_empty() {
        match to.write(rest) {
            Ok(0) => break,
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    rest.iter().filter(|byte| **byte == b'\n').count() as u64
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { sink: self }
    }
}

/// Takes what is one event to `fmt` as one line. `fmt` gives each event in one call.
struct LineWriter<'a> {
    sink: &'a Sink,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = one_line(event);
        self.sink.outlets().for_each(|outlet| outlet.put(&line));
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
        let (folder, log, subscriber) = in_file("line");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(shards = 4, "started");
            tracing::warn!("name is {}", "a\r\nb\x1b[31m\0");
            tracing::debug!("not shown");
        });
        log.flush();
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
        let (folder, log, subscriber) = in_file("library");
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
        log.flush();
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
        log.flush();
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
        log.flush();
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

    /// Takes nothing until it is told to, as a pipe does that nobody reads.
    struct Stuck(std::sync::mpsc::Receiver<()>, std::sync::mpsc::Sender<Vec<u8>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_nobody_reads_takes_what_it_can_hold_and_counts_the_rest() {
        let (go, may_go) = std::sync::mpsc::channel();
        let (told, written) = std::sync::mpsc::channel();
        let outlet = Outlet::start(Box::new(Stuck(may_go, told))).expect("a thread");
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        // It would wait for ever here if a line waited for the pipe.
        for _ in 0..4096 {
            outlet.put(&line);
        }
        let lost = outlet.shared.lock().lost;
        assert!((2048..=3072).contains(&lost), "{lost}");
        assert!(lost_lines() >= lost);
        drop(go);
        outlet.flush(Instant::now() + Duration::from_secs(60));
        drop(outlet);
        let bytes: usize = written.iter().map(|bytes| bytes.len()).sum();
        assert_eq!(bytes as u64, (4096 - lost) * 1024, "what was not lost is written, in order");
    }
}
