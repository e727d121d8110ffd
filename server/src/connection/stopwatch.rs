//! Who was slow: how long the requests of one connection take, with few looks at the clock.
//!
//! ```text
//!   clock   GET GET GET ... (16 of them)   clock   MGET   clock   GET (elsewhere) ... flush   clock
//!           '------- one stretch --------'        stretch        '------- one stretch -----'
//! ```
//!
//! A *stretch* is what runs between two looks at the clock: up to [`STRETCH_MAX`] requests of about the
//! same cost ([`Entry::is_light`]), or one request whose cost depends on what it finds or on many
//! arguments, or one flush of the pipeline, which waits
//! for other shards. A request that comes alone is timed exactly. A stretch that was slow is told as
//! its request that moved the most bytes, with the number of the others. Below [`EXACT_BELOW`] (the
//! operator looks for everything) each request that runs here is a stretch of its own, and all requests
//! of a flush are told.
//!
//! Redis excludes waiting; here the wait for other shards is within, as it is within what the client
//! sees. Not timed are commands that wait on purpose.

use super::input::{Input, RequestPlace};
use crate::clients::Client;
use crate::config::Config;
use crate::server::Server;
use engine::command::{Args, Entry, Flags};
use engine::rt;
use std::time::{Duration, Instant};

/// Requests of a stretch: the clock costs a twentieth of a GET, so a sixteenth of that.
const STRETCH_MAX: usize = 16;
/// Places for requests sent elsewhere that an idle connection keeps.
const SENT_KEPT: usize = 64;
/// Thresholds below this want every request by itself.
const EXACT_BELOW: Duration = Duration::from_millis(1);
/// A request of more bytes than this is a stretch of its own, whatever it costs by its declaration.
const LARGE: usize = 16 * 1024;

/// A request that ran in the running stretch.
#[derive(Clone, Copy)]
struct Ran {
    entry: &'static Entry,
    place: RequestPlace,
    /// Bytes read and written for it.
    moved: usize,
}

/// See the module's doc.
pub(crate) struct Stopwatch {
    began: Instant,
    /// What is slow for anybody; `None` when nobody wants to know.
    slow: Option<Duration>,
    exact: bool,
    ran: Vec<Ran>,
    /// Requests that may have gone elsewhere since the last flush.
    sent: Vec<Ran>,
}

impl Stopwatch {
    /// A stopwatch for a connection that begins now.
    pub(crate) fn new(config: &Config) -> Stopwatch {
        let began = rt::monotonic();
        let mut stopwatch =
            Stopwatch { began, slow: None, exact: false, ran: Vec::new(), sent: Vec::new() };
        stopwatch.configure(config);
        stopwatch
    }

    /// Takes over settings.
    pub(crate) fn configure(&mut self, config: &Config) {
        let logged = slower_than(config);
        let watched = watched_from(config);
        self.exact = logged.is_some_and(|limit| limit < EXACT_BELOW);
        self.slow = logged.into_iter().chain(watched).min();
    }

    /// When it looked at the clock the last time; now, where it does not.
    pub(super) fn last_look(&self) -> Instant {
        if self.slow.is_none() { rt::monotonic() } else { self.began }
    }

    /// From when on a request is slow, if anybody wants to know.
    pub(super) fn slow_from(&self) -> Option<Duration> {
        self.slow
    }

    /// A read buffer begins to be handled.
    pub(crate) fn start(&mut self, now: Instant) {
        self.began = now;
        self.ran.clear();
    }

    /// Whether the running stretch must end before this request.
    pub(super) fn must_look_before(&self, entry: &Entry, place: RequestPlace) -> bool {
        self.slow.is_some()
            && !self.ran.is_empty()
            && (self.ran.len() >= STRETCH_MAX || is_weighty(entry, place, place.weight))
    }

    /// A request has run here, or is on its way elsewhere (`pending`). Answers whether the stretch must
    /// end behind it.
    pub(super) fn ran(
        &mut self,
        entry: &'static Entry,
        place: RequestPlace,
        written: usize,
        pending: bool,
    ) -> bool {
        if self.slow.is_none() || !is_timed(entry) {
            return false;
        }
        let moved = place.weight + written;
        let ran = Ran { entry, place, moved };
        if pending {
            self.sent.push(ran);
        }
        self.ran.push(ran);
        self.exact || is_weighty(entry, place, moved)
    }

    /// Ends the stretch of what ran here.
    pub(super) fn look(&mut self, watched: &Watched<'_>, input: &Input) {
        if self.ran.is_empty() {
            return;
        }
        let took = self.lap();
        if self.is_slow(took) {
            let here = |ran: &Ran| watched.is_here(ran, input);
            let ran: Vec<Ran> = self.ran.iter().copied().filter(here).collect();
            self.tell(watched, input, &ran, took);
        }
        self.ran.clear();
    }

    /// A flush begins: what came before is not its time.
    pub(super) fn before_flush(&mut self) {
        if !self.sent.is_empty() {
            self.lap();
        }
    }

    /// Ends the stretch of what was sent elsewhere.
    pub(super) fn after_flush(&mut self, watched: &Watched<'_>, input: &Input) {
        if self.sent.is_empty() {
            return;
        }
        let took = self.lap();
        if self.is_slow(took) {
            let there = |ran: &Ran| !watched.is_here(ran, input);
            let sent: Vec<Ran> = self.sent.iter().copied().filter(there).collect();
            self.tell(watched, input, &sent, took);
        }
        self.sent.clear();
        self.sent.shrink_to(SENT_KEPT);
    }

    /// A request that ran by itself took so long.
    pub(super) fn alone(
        &self,
        watched: &Watched<'_>,
        entry: &Entry,
        args: &Args<'_>,
        took: Duration,
    ) {
        if self.is_slow(took) && is_timed(entry) {
            watched.tell(entry, args, 0, took);
        }
    }

    fn is_slow(&self, took: Duration) -> bool {
        self.slow.is_some_and(|limit| took >= limit)
    }

    fn lap(&mut self) -> Duration {
        let now = rt::monotonic();
        now.duration_since(std::mem::replace(&mut self.began, now))
    }

    fn tell(&self, watched: &Watched<'_>, input: &Input, ran: &[Ran], took: Duration) {
        if self.exact {
            for ran in ran {
                input.with_request(ran.place, |args| watched.tell(ran.entry, args, 0, took));
            }
        } else if let Some(most) = ran.iter().max_by_key(|ran| ran.moved) {
            let others = ran.len() - 1;
            input.with_request(most.place, |args| watched.tell(most.entry, args, others, took));
        }
    }
}

/// Entries of the slow log, whatever is asked for: each may hold some kilobytes.
const SLOW_LOG_MAX: u64 = 1_000_000;

/// Whose requests are timed, and who is told.
pub(super) struct Watched<'a> {
    pub(super) server: &'a Server,
    pub(super) client: &'a Client,
    pub(super) config: &'a Config,
    /// Which shard is here, of how many.
    pub(super) here: (u16, u16),
}

impl Watched<'_> {
    fn tell(&self, entry: &Entry, args: &Args<'_>, others: usize, took: Duration) {
        if slower_than(self.config).is_some_and(|limit| took >= limit) {
            let most = self.config.slowlog_max_len.min(SLOW_LOG_MAX) as usize;
            self.server.slow_log.note(entry, args, others, took, self.client, most);
        }
        if watched_from(self.config).is_some_and(|limit| took >= limit) {
            let fast = entry.command.flags.contains(Flags::FAST);
            self.server.events.note(if fast { "fast-command" } else { "command" }, took);
        }
    }

    /// Whether the request's keys are on the connection's own shard.
    fn is_here(&self, ran: &Ran, input: &Input) -> bool {
        let (me, shards) = self.here;
        let mut here = true;
        input.with_request(ran.place, |args| {
            let key = ran.entry.command.keys.positions(args).next();
            here = key.is_none_or(|key| engine::types::shard_of(args.get(key), shards).0 == me);
        });
        here
    }
}

/// `slowlog-log-slower-than`, unless it turns the log off.
fn slower_than(config: &Config) -> Option<Duration> {
    u64::try_from(config.slowlog_log_slower_than).ok().map(Duration::from_micros)
}

/// `latency-monitor-threshold`, unless it turns the monitor off.
fn watched_from(config: &Config) -> Option<Duration> {
    let limit = config.latency_monitor_threshold;
    (limit > 0).then(|| Duration::from_millis(limit))
}

fn is_weighty(entry: &Entry, place: RequestPlace, bytes: usize) -> bool {
    !entry.is_light(place.count) || bytes > LARGE
}

/// What waits on purpose, and EXEC, whose commands are told one by one, are not timed.
fn is_timed(entry: &Entry) -> bool {
    !entry.command.flags.intersects(Flags::SKIP_SLOWLOG.union(Flags::BLOCKING))
}
