//! What a redis-server 7.0.15 said of some places, distances and searches, at the poles and the date line too
//! (`recorded.txt`), and what must hold of all.

use super::*;

/// What was said, by the first word of its line.
fn recorded(kind: &str) -> Vec<Vec<&'static str>> {
    let lines = include_str!("recorded.txt").lines().map(|line| line.split(' ').collect());
    let lines: Vec<Vec<&str>> = lines.filter(|words: &Vec<&str>| words[0] == kind).collect();
    assert!(!lines.is_empty(), "something is recorded of {kind}");
    lines
}

fn number(word: &str) -> f64 {
    word.parse().expect("a number")
}

fn point(words: &[&str]) -> Point {
    Point::of(number(words[0]), number(words[1])).expect("a place on the map")
}

/// As `GEOPOS` writes it.
fn degrees(degrees: f64) -> String {
    let text = format!("{degrees:.17}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[test]
fn scores_places_and_geohashes_are_those_that_redis_has() {
    for words in recorded("place") {
        let point = point(&words[1..]);
        let score = point.score();
        assert_eq!(score, number(words[3]), "{words:?}");
        let there = Point::of_score(score);
        assert_eq!([degrees(there.longitude), degrees(there.latitude)], words[4..6], "{words:?}");
        assert_eq!(there.geohash(), words[6].as_bytes(), "{words:?}");
    }
}

#[test]
fn distances_are_those_that_redis_has() {
    for words in recorded("distance") {
        let (one, other) = (Point::of_score(number(words[1])), Point::of_score(number(words[2])));
        assert_eq!(text(distance(one, other) / number(words[3])), words[4], "{words:?}");
    }
}

#[test]
fn searches_find_what_redis_finds_in_its_order() {
    let place = |words: &Vec<&'static str>| (number(words[3]), words[7]);
    let mut places: Vec<(f64, &str)> = recorded("place").iter().map(place).collect();
    places.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(other.1)));
    for words in recorded("search") {
        let area = match words[3] {
            "circle" => Area::Circle { radius: number(words[4]) },
            _ => Area::Box { width: number(words[4]), height: number(words[5]) },
        };
        let search = Search { middle: point(&words[1..]), area, unit: number(words[6]) };
        let mut found = String::new();
        for (first, end) in ranges(&search) {
            let inside = places.iter().filter(|(score, _)| (first..end).contains(score));
            for (score, name) in inside {
                if let Some(metres) = search.distance_of(Point::of_score(*score)) {
                    found += &format!("{name}={} ", text(metres / search.unit));
                }
            }
        }
        let (count, shown) = (found.split_whitespace().count(), found.split(' ').next());
        assert_eq!(count.to_string(), words[7], "{words:?}: {found}");
        assert_eq!(shown, Some(if count == 0 { "" } else { words[8] }), "{words:?}");
        assert_eq!(fnv(found.as_bytes()).to_string(), words[9], "{words:?}: {found}");
    }
}

/// Of a whole answer.
fn fnv(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

#[test]
fn only_places_on_the_map_have_a_score() {
    for (longitude, latitude) in [
        (180.1, 0.0),
        (-180.1, 0.0),
        (0.0, 85.06),
        (0.0, -85.06),
        (f64::NAN, 0.0),
        (0.0, f64::INFINITY),
    ] {
        assert_eq!(Point::of(longitude, latitude), None);
    }
}

/// Scores come from anywhere: a sorted set may hold any number.
#[test]
fn any_score_is_some_place() {
    for score in
        [f64::NAN, f64::INFINITY, -1.0, -f64::INFINITY, 0.5, 1e300, 4_503_599_627_370_496.0]
    {
        let there = Point::of_score(score);
        assert!(Point::of(there.longitude, there.latitude).is_some(), "{score}: {there:?}");
        there.geohash();
    }
}

#[test]
fn nothing_near_is_left_out_by_the_cells_that_are_looked_into() {
    let mut dice = fastrand::Rng::with_seed(crate::value::test_seed());
    for _ in 0..3000 {
        let place = |dice: &mut fastrand::Rng| Point {
            longitude: dice.f64() * 300.0 - 150.0,
            latitude: dice.f64() * 120.0 - 60.0,
        };
        // Far from the edges of the map, where Redis leaves out what lies beyond.
        let middle = place(&mut dice);
        let reach = 10f64.powf(dice.f64() * 6.0);
        let search = Search { middle, area: Area::Circle { radius: reach }, unit: 1.0 };
        let spread = reach / 50_000.0;
        let near = Point {
            longitude: (middle.longitude + (dice.f64() - 0.5) * spread).clamp(-179.0, 179.0),
            latitude: (middle.latitude + (dice.f64() - 0.5) * spread).clamp(-80.0, 80.0),
        };
        let score = near.score();
        if search.distance_of(Point::of_score(score)).is_some() {
            let is_looked_into = ranges(&search).any(|(first, end)| (first..end).contains(&score));
            assert!(is_looked_into, "{search:?} {near:?}");
        }
    }
}

#[test]
fn a_score_that_no_place_has_is_where_a_redis_sees_it() {
    const SOUTH: &str = "-85.05112751263942528";
    let (corner, far) = (["-179.99999731779098511", SOUTH], ["180", "85.0511287799999991"]);
    for (score, place) in [
        (-1.0, far),
        (-5.0, far),
        (1e18, far),
        (1e19, far),
        (1e30, corner),
        (18_446_744_073_709_551_616.0, corner),
        (f64::INFINITY, corner),
        (-9_223_372_036_854_775_808.0, ["180", SOUTH]),
        (-1e30, ["180", SOUTH]),
        (f64::NEG_INFINITY, ["180", SOUTH]),
    ] {
        let there = Point::of_score(score);
        assert_eq!([degrees(there.longitude), degrees(there.latitude)], place, "{score}");
    }
}
