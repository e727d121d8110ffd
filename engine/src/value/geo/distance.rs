//! How far it is, on a globe of Redis's radius.

use super::cell::Point;

/// In metres.
pub(super) const RADIUS: f64 = 6_372_797.560_856;

const DEGREE: f64 = std::f64::consts::PI / 180.0;

pub(super) fn radians(degrees: f64) -> f64 {
    degrees * DEGREE
}

pub(super) fn degrees(radians: f64) -> f64 {
    radians / DEGREE
}

/// The way over the globe, in metres (haversine).
pub fn distance(from: Point, to: Point) -> f64 {
    let (west, east) = (radians(from.longitude), radians(to.longitude));
    let across = ((east - west) / 2.0).sin();
    if across == 0.0 {
        return along(from, to);
    }
    let (south, north) = (radians(from.latitude), radians(to.latitude));
    let up = ((north - south) / 2.0).sin();
    let square = up * up + south.cos() * north.cos() * across * across;
    2.0 * RADIUS * square.sqrt().asin()
}

/// The way from one latitude to the other.
pub(super) fn along(from: Point, to: Point) -> f64 {
    RADIUS * (radians(to.latitude) - radians(from.latitude)).abs()
}

/// A distance as Redis writes it: multiplied first, then rounded to whole ten-thousandths, halves to even.
pub fn text(distance: f64) -> String {
    const PARTS: f64 = 10_000.0;
    let parts = (distance * PARTS).round_ties_even() as i64;
    let sign = if parts < 0 { "-" } else { "" };
    let parts = parts.unsigned_abs();
    format!("{sign}{}.{:04}", parts / PARTS as u64, parts % PARTS as u64)
}
