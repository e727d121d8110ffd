//! What a run has found.

use std::fmt;

use hdrhistogram::Histogram;

/// Longest latency that is told apart: longer ones count as this (100 s, in nanoseconds).
const LATENCY_MAX: u64 = 100_000_000_000;

/// One worker's counts.
pub(super) struct Tally {
    latencies: Histogram<u64>,
    pub(super) errors: u64,
    pub(super) wrong: u64,
    pub(super) missing: u64,
    pub(super) lost: u64,
    pub(super) lost_connections: u64,
    pub(super) first_error: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally {
            // The bounds are constants that the histogram accepts: 1 < 2 * 1 <= max, 3 digits <= 5.
            latencies: Histogram::new_with_bounds(1, LATENCY_MAX, 3)
                .expect("the bounds of the histogram are valid"),
            errors: 0,
            wrong: 0,
            missing: 0,
            lost: 0,
            lost_connections: 0,
            first_error: None,
        }
    }

    pub(super) fn answered(&mut self, nanoseconds: u64) {
        self.latencies.saturating_record(nanoseconds.max(1));
    }
}

/// Latencies in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Latencies {
    /// Half of the requests were answered within this.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The slowest one.
    pub max: f64,
}

/// The outcome of one run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// Requests that were answered, also by errors.
    pub requests: u64,
    /// How long it took.
    pub seconds: f64,
    /// Answers that were errors.
    pub errors: u64,
    /// Answers that were none, but not the right ones either.
    pub wrong: u64,
    /// Values that were nil where a key could have been.
    pub missing: u64,
    /// Requests whose connection was lost, or whose answer did not come in time.
    pub lost: u64,
    /// Connections that were lost.
    pub lost_connections: u64,
    /// The first thing that went wrong, in words.
    pub first_error: Option<String>,
    /// Time from the intended sending to the answer.
    pub latency: Latencies,
    /// CPU time of the server during the run, user and system (the kernel counts in 10 ms).
    pub server_cpu_seconds: Option<f64>,
    /// Resident memory of the server at the end.
    pub server_resident_bytes: Option<u64>,
    /// CPU time of this whole process during the run: near `seconds` times threads, the generator
    /// is the limit.
    pub client_cpu_seconds: f64,
}

impl Report {
    pub(super) fn of(tallies: Vec<Tally>, seconds: f64) -> Report {
        let mut all = Tally::new();
        let mut report = Report { seconds, ..Report::default() };
        for tally in tallies {
            // Same bounds on both sides, so there is nothing that cannot be added.
            let _ = all.latencies.add(&tally.latencies);
            report.errors += tally.errors;
            report.wrong += tally.wrong;
            report.missing += tally.missing;
            report.lost += tally.lost;
            report.lost_connections += tally.lost_connections;
            report.first_error = report.first_error.or(tally.first_error);
        }
        report.requests = all.latencies.len();
        let microseconds = |quantile| all.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        if report.requests > 0 {
            report.latency = Latencies {
                p50: microseconds(0.5),
                p99: microseconds(0.99),
                p999: microseconds(0.999),
                max: all.latencies.max() as f64 / 1000.0,
            };
        }
        report
    }

    /// Answered requests per second.
    pub fn throughput(&self) -> f64 {
        if self.seconds > 0.0 { self.requests as f64 / self.seconds } else { 0.0 }
    }

    /// CPU time of the server per answered request, in microseconds.
    pub fn server_cpu_per_request(&self) -> Option<f64> {
        let seconds = self.server_cpu_seconds?;
        (self.requests > 0).then(|| seconds * 1e6 / self.requests as f64)
    }

    /// Whether every request was answered, and rightly. (Missing values are for the caller to
    /// judge.)
    pub fn is_clean(&self) -> bool {
        self.errors == 0 && self.wrong == 0 && self.lost == 0 && self.lost_connections == 0
    }

    /// The report as one line of JSON.
    pub fn to_json(&self) -> String {
        let number =
            |value: Option<f64>| value.map_or("null".into(), |value| format!("{value:.6}"));
        let text = |text: &Option<String>| text.as_deref().map_or("null".into(), json_string);
        format!(
            "{{\"requests\":{},\"seconds\":{:.6},\"requests_per_second\":{:.1},\"errors\":{},\
             \"wrong\":{},\"missing\":{},\"lost\":{},\"lost_connections\":{},\"first_error\":{},\
             \"latency_us\":{{\"p50\":{:.3},\"p99\":{:.3},\"p999\":{:.3},\"max\":{:.3}}},\
             \"server_cpu_seconds\":{},\"server_cpu_us_per_request\":{},\
             \"server_resident_bytes\":{},\"client_cpu_seconds\":{:.6}}}",
            self.requests,
            self.seconds,
            self.throughput(),
            self.errors,
            self.wrong,
            self.missing,
            self.lost,
            self.lost_connections,
            text(&self.first_error),
            self.latency.p50,
            self.latency.p99,
            self.latency.p999,
            self.latency.max,
            number(self.server_cpu_seconds),
            number(self.server_cpu_per_request()),
            self.server_resident_bytes.map_or("null".into(), |bytes| bytes.to_string()),
            self.client_cpu_seconds,
        )
    }
}

/// `text` in quotes, with what JSON does not allow in them escaped.
fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            character if character < ' ' => out.push_str(&format!("\\u{:04x}", character as u32)),
            character => out.push(character),
        }
    }
    out.push('"');
    out
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, seconds) = (self.requests, self.seconds);
        writeln!(f, "{requests} requests in {seconds:.2} s: {:.0} per second", self.throughput())?;
        let Latencies { p50, p99, p999, max } = self.latency;
        writeln!(f, "latency us: p50 {p50:.0}, p99 {p99:.0}, p99.9 {p999:.0}, max {max:.0}")?;
        if let Some(cpu) = self.server_cpu_per_request() {
            writeln!(f, "server CPU: {cpu:.3} us per request")?;
        }
        if let Some(bytes) = self.server_resident_bytes {
            writeln!(f, "server memory: {:.1} MB resident", bytes as f64 / 1e6)?;
        }
        writeln!(f, "generator CPU: {:.2} s", self.client_cpu_seconds)?;
        let (errors, wrong, missing) = (self.errors, self.wrong, self.missing);
        writeln!(f, "errors {errors}, wrong values {wrong}, missing values {missing}")?;
        if self.lost + self.lost_connections > 0 {
            writeln!(f, "lost: {} requests, {} connections", self.lost, self.lost_connections)?;
        }
        if let Some(text) = &self.first_error {
            writeln!(f, "first error: {text}")?;
        }
        Ok(())
    }
}
