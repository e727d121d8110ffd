//! Places by their commands, beyond the examples. The answers are a redis-server's.

use crate::commands::testing::{Session, check};
use crate::resp::Protocol;

const SICILY: (&str, &str) =
    ("GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", ":2");

#[test]
fn what_is_asked_for_stands_with_each_member() {
    let mut session = Session::new();
    session.check(&[
        SICILY,
        (
            "GEOSEARCH Sicily FROMLONLAT 15 37 BYRADIUS 100 km WITHCOORD WITHDIST WITHHASH",
            "*1 *4 $7 Catania $7 56.4413 :3479447370796909 *2 $20 15.08726745843887329 $20 37.50266842333162032",
        ),
    ]);
    session.protocol = Protocol::Resp3;
    session.check(&[
        ("GEOPOS Sicily Palermo x", "*2 *2 ,13.36138933897018433 ,38.11555639549629859 _"),
        ("GEODIST Sicily Palermo Catania km", "$8 166.2742"),
    ]);
}

#[test]
fn requests_that_do_not_say_what_they_search_are_refused_in_redis_words() {
    check(&[
        SICILY,
        ("SET text x", "+OK"),
        (
            "GEOSEARCH Sicily BYRADIUS 1 km ASC ASC",
            "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH",
        ),
        (
            "GEOSEARCH Sicily FROMLONLAT 1 1 ASC ASC",
            "-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH",
        ),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 FROMMEMBER Palermo BYRADIUS 1 km", "-ERR syntax error"),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS 1 km BYBOX 1 1 km", "-ERR syntax error"),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS x km", "-ERR need numeric radius"),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYBOX x 1 km", "-ERR need numeric width"),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYBOX 1 x km", "-ERR need numeric height"),
        (
            "GEOSEARCH Sicily FROMLONLAT 1 1 BYBOX 1 -1 km",
            "-ERR height or width cannot be negative",
        ),
        ("GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS 1 km COUNT 0", "-ERR COUNT must be > 0"),
        (
            "GEOSEARCH Sicily FROMLONLAT 1 1 BYRADIUS 1 km ANY",
            "-ERR the ANY argument requires COUNT argument",
        ),
        (
            "GEOSEARCHSTORE d Sicily FROMLONLAT 1 1 BYRADIUS 1 km WITHDIST",
            "-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ),
        (
            "GEORADIUS Sicily 1 1 1 km WITHDIST STORE d",
            "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ),
        ("GEORADIUSBYMEMBER nothing x y z", "*0"),
        ("GEORADIUSBYMEMBER nothing x y z STORE d", ":0"),
        ("GEORADIUS nothing x y 1 km", "-ERR value is not a valid float"),
        (
            "GEORADIUS text x y 1 km",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
    ]);
}

#[test]
fn many_places_are_found_in_slices() {
    let mut session = Session::new();
    let places: Vec<String> = (0..2000)
        .map(|number| format!("{} {} m{number}", number % 50, f64::from(number / 50) / 10.0))
        .collect();
    assert_eq!(session.run(&format!("GEOADD many {}", places.join(" "))), ":2000");
    let found = session.run("GEOSEARCH many FROMLONLAT 25 2 BYRADIUS 20000 km ASC");
    assert!(found.starts_with("*2000 $5 m1025 "), "{}", &found[..40]);
    let found = session.run("GEOSEARCH many FROMLONLAT 25 2 BYRADIUS 20000 km COUNT 3 ANY");
    assert!(found.starts_with("*3 "));
    session.check(&[
        ("GEOSEARCHSTORE all many FROMLONLAT 25 2 BYRADIUS 20000 km", ":2000"),
        ("GEOSEARCHSTORE some many FROMLONLAT 25 2 BYRADIUS 20000 km COUNT 500 STOREDIST", ":500"),
        ("ZRANGE some 0 0", "*1 $5 m1025"),
        ("ZINTERCARD 2 all many", ":2000"),
    ]);
}
