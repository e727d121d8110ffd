//! Counters by command and by error.

use super::view::{Lines, View};

pub(super) fn commandstats(view: &View<'_>, lines: &mut Lines) {
    for entry in view.server.registry.iter_all() {
        let stats = view.picture.commands[usize::from(entry.id)];
        if stats.calls == 0 && stats.rejected == 0 {
            continue;
        }
        let micros = stats.nanos as f64 / 1e3;
        let each = if stats.calls == 0 { 0.0 } else { micros / stats.calls as f64 };
        let value = format_args!(
            "calls={},usec={micros:.0},usec_per_call={each:.2},rejected_calls={},failed_calls={}",
            stats.calls, stats.rejected, stats.failed
        );
        lines.put(format_args!("cmdstat_{}", entry.name()), value);
    }
}

/// Percentiles of calls, in microseconds. Nothing while `latency-tracking` is off.
pub(super) fn latencystats(view: &View<'_>, lines: &mut Lines) {
    if !view.picture.config.latency_tracking {
        return;
    }
    for entry in view.server.registry.iter_all() {
        if view.picture.commands[usize::from(entry.id)].calls == 0 {
            continue;
        }
        let distribution = view.picture.distribution(view.server, entry);
        let [half, most, nearly] =
            [50.0, 99.0, 99.9].map(|percent| distribution.percentile(percent));
        let value = format_args!("p50={half:.3},p99={most:.3},p99.9={nearly:.3}");
        lines.put(format_args!("latency_percentiles_usec_{}", entry.name()), value);
    }
}

pub(super) fn errorstats(view: &View<'_>, lines: &mut Lines) {
    for (word, count) in view.picture.errors.sorted() {
        lines.put(format_args!("errorstat_{word}"), format_args!("count={count}"));
    }
}
