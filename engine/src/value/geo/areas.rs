//! Which cells a search looks into: the one of its middle and those around it, in a size in which they cover
//! what is searched.
//!
//! ```text
//!   6 1 5
//!   4 0 3      the order in which Redis looks
//!   8 2 7
//! ```

use super::cell::{Bounds, Cell, LATITUDE_MAX, Point, STEPS};
use super::distance::{RADIUS, degrees, radians};
use super::shape::{Area, Search};

/// Half the way round the globe on the map, in metres: one cell, not yet halved.
const HALF_WAY: f64 = 20_037_726.37;

/// Columns to the east and rows to the north.
const ORDER: [(i32, i32); 9] =
    [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

/// From the middle to the sides, as Redis measures: half the width, half the height.
fn extent(search: &Search) -> (f64, f64) {
    match search.area {
        Area::Circle { radius } => (search.unit * radius, search.unit * radius),
        Area::Box { width, height } => (search.unit * (width / 2.0), search.unit * (height / 2.0)),
    }
}

/// The farthest that is searched.
fn reach(search: &Search) -> f64 {
    let reach = match search.area {
        Area::Circle { radius } => radius,
        Area::Box { width, height } => {
            (width / 2.0 * (width / 2.0) + height / 2.0 * (height / 2.0)).sqrt()
        }
    };
    reach * search.unit
}

/// Around what is searched. Meridians come together towards the poles: the nearer pole's side is the wider.
fn bounds(search: &Search) -> Bounds {
    let Point { longitude, latitude } = search.middle;
    let (width, height) = extent(search);
    let up = degrees(height / RADIUS);
    let widest = if latitude < 0.0 { latitude - up } else { latitude + up };
    let across = degrees(width / RADIUS / radians(widest).cos());
    Bounds {
        west: longitude - across,
        east: longitude + across,
        south: latitude - up,
        north: latitude + up,
    }
}

/// How often the globe is halved for cells of the size of what is searched.
fn steps(reach: f64, latitude: f64) -> u32 {
    if reach == 0.0 {
        return STEPS;
    }
    let (mut size, mut steps) = (reach, 1);
    while size < HALF_WAY {
        size *= 2.0;
        steps += 1;
    }
    // So that what is searched is mostly within the cells around; towards the poles these are smaller.
    steps -= 2;
    if latitude.abs() > 66.0 {
        steps -= 1;
    }
    if latitude.abs() > 80.0 {
        steps -= 1;
    }
    steps.clamp(1, STEPS as i32) as u32
}

/// Whether the cells next to this one end within what is searched. At an edge of the map the next one is on
/// the other side, and counts as too small.
fn is_too_small(cell: Cell, searched: Bounds) -> bool {
    let next = |east, north| cell.beside(east, north).bounds();
    next(0, 1).north < searched.north
        || next(0, -1).south > searched.south
        || next(1, 0).east < searched.east
        || next(-1, 0).west > searched.west
}

/// The ranges of scores in which everything lies that is searched, in Redis's order, which is that of an
/// answer that is not sorted. The second score of a range is not in it.
pub fn ranges(search: &Search) -> impl Iterator<Item = (f64, f64)> + use<> {
    let (bounds, reach) = (bounds(search), reach(search));
    let mut steps = steps(reach, search.middle.latitude);
    let around = |steps| Cell::around(search.middle, steps, LATITUDE_MAX);
    let mut cell = around(steps);
    if steps > 1 && is_too_small(cell, bounds) {
        steps -= 1;
        cell = around(steps);
    }
    let own = cell.bounds();
    let is_wanted = move |(east, north): (i32, i32)| {
        steps < 2
            || !(north < 0 && own.south < bounds.south
                || north > 0 && own.north > bounds.north
                || east < 0 && own.west < bounds.west
                || east > 0 && own.east > bounds.east)
    };
    let mut last: Option<Cell> = None;
    ORDER.into_iter().enumerate().filter_map(move |(index, (east, north))| {
        let next = cell.beside(east, north);
        // Where cells are large, several neighbours are one.
        let is_again = last == Some(next);
        if !is_wanted((east, north)) || is_again {
            return None;
        }
        last = (index > 0).then_some(next);
        Some(next.scores())
    })
}
