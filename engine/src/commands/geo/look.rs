//! Where members are, and how far from each other.

use super::asked::unit;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};
use crate::resp::{Protocol, ReplyWriter};
use crate::value::geo::{Point, distance, text};
use crate::value::sorted_set::SortedSet;

pub(super) const GEOPOS: Command = Command {
    name: "geopos",
    usage: "GEOPOS key [member [member ...]]",
    summary: "Returns the longitudes and latitudes of members.",
    since: "3.2.0",
    cost: "O(1) for each member",
    group: Group::Geo,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(geopos),
    examples: r#"
        > GEOADD Sicily 13.361389 38.115556 Palermo
        (integer) 1
        > GEOPOS Sicily nowhere
        1) (nil)
        > GEOPOS nothing
        (empty array)
    "#,
};

fn geopos(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let set: Option<&SortedSet> = cx.keys.object(cx.db, args.get(1))?;
    cx.reply.array(args.len() - 2);
    for member in args.from(2) {
        match set.and_then(|set| set.score(member)) {
            Some(score) => write_point(&mut cx.reply, Point::of_score(score)),
            None => cx.reply.nil_array(),
        }
    }
    Ok(())
}

/// A longitude and a latitude.
pub(super) fn write_point(reply: &mut ReplyWriter<'_>, point: Point) {
    reply.array(2);
    for degrees in [point.longitude, point.latitude] {
        let text = plainly(degrees);
        match reply.protocol {
            Protocol::Resp2 => reply.bulk(text),
            Protocol::Resp3 => reply.raw(format!(",{text}\r\n").as_bytes()),
        }
    }
}

/// With 17 places, without the zeros at their end.
fn plainly(degrees: f64) -> String {
    let text = format!("{degrees:.17}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

pub(super) const GEODIST: Command = Command {
    name: "geodist",
    usage: "GEODIST key member1 member2 [M | KM | FT | MI]",
    summary: "Returns how far two members are from each other.",
    since: "3.2.0",
    cost: "O(1)",
    group: Group::Geo,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(geodist),
    examples: r#"
        > GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
        (integer) 2
        > GEODIST Sicily Palermo Catania
        "166274.1516"
        > GEODIST Sicily Palermo Catania km
        "166.2742"
        > GEODIST Sicily Palermo nowhere
        (nil)
        > GEODIST Sicily Palermo Catania yards
        (error) ERR unsupported unit provided. please use M, KM, FT, MI
    "#,
};

fn geodist(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 5 {
        return Err(Refusal::Syntax);
    }
    let metres = args.from(4).next().map_or(Ok(1.0), unit)?;
    let set: Option<&SortedSet> = cx.keys.object(cx.db, args.get(1))?;
    let place = |index: usize| set?.score(args.get(index)).map(Point::of_score);
    match place(2).zip(place(3)) {
        Some((one, other)) => cx.reply.bulk(text(distance(one, other) / metres)),
        None => cx.reply.nil(),
    }
    Ok(())
}

pub(super) const GEOHASH: Command = Command {
    name: "geohash",
    usage: "GEOHASH key [member [member ...]]",
    summary: "Returns the geohashes of members, as other programs know them.",
    since: "3.2.0",
    cost: "O(1) for each member",
    group: Group::Geo,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(geohash),
    examples: r#"
        > GEOADD Sicily 13.361389 38.115556 Palermo
        (integer) 1
        > GEOHASH Sicily Palermo nowhere
        1) "sqc8b49rny0"
        2) (nil)
    "#,
};

fn geohash(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let set: Option<&SortedSet> = cx.keys.object(cx.db, args.get(1))?;
    cx.reply.array(args.len() - 2);
    for member in args.from(2) {
        match set.and_then(|set| set.score(member)) {
            Some(score) => cx.reply.bulk(Point::of_score(score).geohash()),
            None => cx.reply.nil(),
        }
    }
    Ok(())
}
