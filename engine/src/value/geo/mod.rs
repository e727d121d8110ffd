//! Places on the globe as scores of a sorted set, as Redis has them: the numbers are the same to the last bit.
//!
//! ```text
//!   longitude -180 .. 180          26 bits  ─┐
//!   latitude  -85.05 .. 85.05      26 bits  ─┴► interleaved, longitude first: a score of 52 bits
//! ```
//!
//! Places that are near each other mostly have scores that are. A search asks for the up to nine ranges of
//! scores around its middle ([`ranges`]) and looks at what it finds there ([`Search::distance_of`]).
//! Nothing here knows keys, members or requests.

mod areas;
mod cell;
mod distance;
mod shape;

pub use areas::ranges;
pub use cell::{LATITUDE_MAX, LONGITUDE_MAX, Point};
pub use distance::{distance, text};
pub use shape::{Area, Search};

#[cfg(test)]
mod tests;
