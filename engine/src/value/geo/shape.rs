//! What is searched: a circle or a box around a place.

use super::cell::Point;
use super::distance::{along, distance};

/// What is searched, around a middle. All measures are in the unit of the request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Area {
    /// A circle.
    Circle {
        /// To its edge.
        radius: f64,
    },
    /// A box: its sides look north and east.
    Box {
        /// From west to east.
        width: f64,
        /// From south to north.
        height: f64,
    },
}

/// A search.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Search {
    /// Around where.
    pub middle: Point,
    /// How far.
    pub area: Area,
    /// Metres of the unit.
    pub unit: f64,
}

impl Search {
    /// How far a place is from the middle in metres, if it lies in the area.
    pub fn distance_of(&self, point: Point) -> Option<f64> {
        match self.area {
            Area::Circle { radius } => {
                let metres = distance(self.middle, point);
                (metres <= radius * self.unit).then_some(metres)
            }
            Area::Box { width, height } => {
                if along(point, self.middle) > height * self.unit / 2.0 {
                    return None;
                }
                let beside = Point { longitude: self.middle.longitude, ..point };
                let is_in = distance(point, beside) <= width * self.unit / 2.0;
                is_in.then(|| distance(self.middle, point))
            }
        }
    }
}
