//! A place, the cell of the globe that it lies in, and the names of both: a score, or a text.

/// The greatest longitude, east or west.
pub const LONGITUDE_MAX: f64 = 180.0;
/// The greatest latitude, north or south: where the map of Web Mercator is as high as it is wide.
pub const LATITUDE_MAX: f64 = 85.051_128_78;

/// Halvings of each axis of a score.
pub(super) const STEPS: u32 = 26;

/// A place, in degrees.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    /// East of Greenwich, or negative.
    pub longitude: f64,
    /// North of the equator, or negative.
    pub latitude: f64,
}

impl Point {
    /// A place that has a score.
    pub fn of(longitude: f64, latitude: f64) -> Option<Point> {
        let is_within = |degrees: f64, most: f64| (-most..=most).contains(&degrees);
        let is_one = is_within(longitude, LONGITUDE_MAX) && is_within(latitude, LATITUDE_MAX);
        is_one.then_some(Point { longitude, latitude })
    }

    /// The score. On the eastern edge of the map, where the cells beyond it begin, it has 54 bits, of which a
    /// double keeps 53: what is read from it lies a little beside, as in Redis.
    pub fn score(self) -> f64 {
        Cell::around(self, STEPS, LATITUDE_MAX).bits() as f64
    }

    /// The middle of the cell that a score names.
    pub fn of_score(score: f64) -> Point {
        Cell::of_bits(whole_of(score), STEPS).bounds().middle()
    }

    /// The eleven characters of a geohash as everybody has it: of latitudes up to the poles.
    pub fn geohash(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = Cell::around(self, STEPS, 90.0).bits();
        std::array::from_fn(|index| {
            // Of the last five bits there are two; Redis writes a zero.
            let shift = 52u32.checked_sub((index as u32 + 1) * 5);
            let letter = shift.map_or(0, |shift| bits >> shift & 31);
            ALPHABET[letter as usize]
        })
    }
}

/// A score as the number that Redis on x86-64 takes it for: also one that no place has, which anybody may set.
fn whole_of(score: f64) -> u64 {
    const HALF: f64 = (1u64 << 63) as f64;
    let signed =
        |number: f64| if (-HALF..HALF).contains(&number) { number as i64 } else { i64::MIN };
    match score {
        ..HALF => signed(score) as u64,
        _ => signed(score - HALF) as u64 ^ (1 << 63),
    }
}

/// One of the cells into which the globe is cut by halving each axis so many times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cell {
    column: u32,
    row: u32,
    pub(super) steps: u32,
}

/// The edges of a cell, in degrees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) west: f64,
    pub(super) east: f64,
    pub(super) south: f64,
    pub(super) north: f64,
}

impl Cell {
    /// The cell that a place lies in.
    pub(super) fn around(point: Point, steps: u32, latitude_max: f64) -> Cell {
        let place = |degrees: f64, most: f64| {
            let part = (degrees + most) / (most + most);
            (part * f64::from(1 << steps)) as u32
        };
        let column = place(point.longitude, LONGITUDE_MAX);
        Cell { column, row: place(point.latitude, latitude_max), steps }
    }

    fn of_bits(bits: u64, steps: u32) -> Cell {
        Cell { column: gathered(bits >> 1), row: gathered(bits), steps }
    }

    /// Both numbers, bit by bit.
    fn bits(self) -> u64 {
        spread(self.column) << 1 | spread(self.row)
    }

    pub(super) fn bounds(self) -> Bounds {
        let edge = |number: u32, most: f64| {
            f64::from(number) / f64::from(1 << self.steps) * (most + most) - most
        };
        Bounds {
            west: edge(self.column, LONGITUDE_MAX),
            east: edge(self.column.wrapping_add(1), LONGITUDE_MAX),
            south: edge(self.row, LATITUDE_MAX),
            north: edge(self.row.wrapping_add(1), LATITUDE_MAX),
        }
    }

    /// The one so many columns to the east and rows to the north; beyond an edge of the map its other side
    /// follows, at the poles too.
    pub(super) fn beside(self, east: i32, north: i32) -> Cell {
        let moved = |number: u32, by: i32| match by {
            0 => number,
            by => number.wrapping_add_signed(by) & ((1 << self.steps) - 1),
        };
        Cell { column: moved(self.column, east), row: moved(self.row, north), ..self }
    }

    /// The scores of all places in it: from the first up to the second, which is not one.
    pub(super) fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEPS - self.steps);
        let bits = self.bits();
        ((bits << shift) as f64, ((bits + 1) << shift) as f64)
    }
}

impl Bounds {
    fn middle(self) -> Point {
        let between = |one: f64, other: f64, most: f64| ((one + other) / 2.0).clamp(-most, most);
        Point {
            longitude: between(self.west, self.east, LONGITUDE_MAX),
            latitude: between(self.south, self.north, LATITUDE_MAX),
        }
    }
}

/// The bits of a number at the even places.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The other way round.
fn gathered(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}
