//! Searching around a place.

use super::asked::{Asked, Form, Rules};
use super::look::write_point;
use super::searching::{Hit, Searching, Taken};
use crate::command::shape::Pondering;
use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Found, Group, Keys, Refusal, Run,
    Spec, Uses, Write,
};
use crate::commands::sorted_set::{Making, write_member};
use crate::resp::ReplyWriter;
use crate::value::geo::{Point, text};
use crate::value::sorted_set::SortedSet;

const COST: &str = "O(N+log(M)) with N members around the area and M that lie in it";

pub(super) const GEOSEARCH: Command = Command {
    name: "geosearch",
    usage: "GEOSEARCH key <FROMMEMBER | FROMLONLAT> <member | longitude latitude> <BYRADIUS | BYBOX> \
            <radius | width height> <M | KM | FT | MI> [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] \
            [WITHDIST] [WITHHASH]",
    summary: "Returns the members in a circle or a box around a place.",
    since: "6.2.0",
    cost: COST,
    group: Group::Geo,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Carry(Carry { check: Carry::any, gather: look, decide: geosearch }),
    examples: r#"
        > GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
        (integer) 2
        > GEOSEARCH Sicily FROMLONLAT 15 37 BYRADIUS 200 km ASC
        1) "Catania"
        2) "Palermo"
        > GEOSEARCH Sicily FROMMEMBER Palermo BYBOX 400 400 km DESC WITHDIST
        1) 1) "Catania"
           2) "166.2742"
        2) 1) "Palermo"
           2) "0.0000"
        > GEOSEARCH Sicily FROMMEMBER nowhere BYRADIUS 1 km
        (error) ERR could not decode requested zset member
        > GEOSEARCH nothing FROMMEMBER nowhere BYRADIUS 1 km
        (empty array)
    "#,
};

const SEARCH: Rules = Rules { form: Form::Words, stores: false, may_store: false };

fn look(cx: &mut Cx<'_>, key: &[u8], index: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    if index > 0 {
        // A destination: whatever is there is replaced.
        return Ok(None);
    }
    cx.keys.object::<SortedSet>(cx.db, key)?;
    Ok(cx.keys.peek(cx.db, key).map(Found::of))
}

fn geosearch(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    search(decision, args, carried, SEARCH)
}

pub(super) const GEOSEARCHSTORE: Command = Command {
    name: "geosearchstore",
    usage: "GEOSEARCHSTORE destination source <FROMMEMBER | FROMLONLAT> <member | longitude latitude> \
            <BYRADIUS | BYBOX> <radius | width height> <M | KM | FT | MI> [ASC | DESC] [COUNT count [ANY]] \
            [STOREDIST]",
    summary: "Stores the members in a circle or a box around a place; returns how many they are.",
    since: "6.2.0",
    cost: COST,
    group: Group::Geo,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::of([Spec::at(1).used(Uses::REPLACE), Spec::at(2).used(Uses::READ)]),
    run: Run::Carry(Carry { check: Carry::any, gather: look_second, decide: geosearchstore }),
    examples: r#"
        > GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
        (integer) 2
        > GEOSEARCHSTORE near Sicily FROMLONLAT 15 37 BYRADIUS 100 km
        (integer) 1
        > ZRANGE near 0 -1
        1) "Catania"
        > GEOSEARCHSTORE near Sicily FROMLONLAT 0 0 BYRADIUS 100 km
        (integer) 0
        > EXISTS near
        (integer) 0
    "#,
};

const SEARCH_STORE: Rules = Rules { form: Form::Words, stores: true, may_store: false };

fn look_second(
    cx: &mut Cx<'_>,
    key: &[u8],
    index: usize,
    args: Args<'_>,
) -> Result<Carried, Refusal> {
    look(cx, key, 1 - index.min(1), args)
}

fn geosearchstore(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    search(decision, args, carried.get(1..).unwrap_or_default(), SEARCH_STORE)
}

pub(super) const GEORADIUS: Command = Command {
    name: "georadius",
    usage: "GEORADIUS key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
            [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
    summary: "Returns or stores the members in a circle around a place.",
    since: "3.2.0",
    cost: COST,
    group: Group::Geo,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::of([
        Spec::at(1).used(Uses::READ),
        Spec::option("STORE", 6).used(Uses::REPLACE),
        Spec::option("STOREDIST", 6).used(Uses::REPLACE),
    ]),
    run: Run::Carry(Carry { check: Carry::any, gather: look, decide: georadius }),
    examples: r#"
        > GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
        (integer) 2
        > GEORADIUS Sicily 15 37 200 km ASC COUNT 1
        1) "Catania"
        > GEORADIUS Sicily 15 37 200 km STORE near
        (integer) 2
        > ZCARD near
        (integer) 2
        > GEORADIUS Sicily 15 37 -1 km
        (error) ERR radius cannot be negative
    "#,
};

const RADIUS: Rules = Rules { form: Form::Place, stores: false, may_store: true };

fn georadius(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    search(decision, args, carried, RADIUS)
}

pub(super) const GEORADIUS_RO: Command = Command {
    name: "georadius_ro",
    usage: "GEORADIUS_RO key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] \
            [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
    summary: "Returns the members in a circle around a place.",
    since: "3.2.10",
    cost: COST,
    group: Group::Geo,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Carry(Carry { check: Carry::any, gather: look, decide: georadius_ro }),
    examples: r#"
        > GEOADD Sicily 13.361389 38.115556 Palermo
        (integer) 1
        > GEORADIUS_RO Sicily 15 37 200 km
        1) "Palermo"
        > GEORADIUS_RO Sicily 15 37 200 km STORE near
        (error) ERR syntax error
    "#,
};

fn georadius_ro(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    search(decision, args, carried, Rules { may_store: false, ..RADIUS })
}

pub(super) const GEORADIUSBYMEMBER: Command = Command {
    name: "georadiusbymember",
    usage: "GEORADIUSBYMEMBER key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
            [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
    summary: "Returns or stores the members in a circle around one of them.",
    since: "3.2.0",
    cost: COST,
    group: Group::Geo,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::of([
        Spec::at(1).used(Uses::READ),
        Spec::option("STORE", 5).used(Uses::REPLACE),
        Spec::option("STOREDIST", 5).used(Uses::REPLACE),
    ]),
    run: Run::Carry(Carry { check: Carry::any, gather: look, decide: georadiusbymember }),
    examples: r#"
        > GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
        (integer) 2
        > GEORADIUSBYMEMBER Sicily Palermo 100 km
        1) "Palermo"
        > GEORADIUSBYMEMBER Sicily Palermo 200 km STOREDIST near
        (integer) 2
        > ZRANGE near 0 -1
        1) "Palermo"
        2) "Catania"
    "#,
};

const BY_MEMBER: Rules = Rules { form: Form::Member, stores: false, may_store: true };

fn georadiusbymember(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    search(decision, args, carried, BY_MEMBER)
}

pub(super) const GEORADIUSBYMEMBER_RO: Command = Command {
    name: "georadiusbymember_ro",
    usage: "GEORADIUSBYMEMBER_RO key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
            [COUNT count [ANY]] [ASC | DESC]",
    summary: "Returns the members in a circle around one of them.",
    since: "3.2.10",
    cost: COST,
    group: Group::Geo,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Carry(Carry { check: Carry::any, gather: look, decide: georadiusbymember_ro }),
    examples: r#"
        > GEOADD Sicily 13.361389 38.115556 Palermo
        (integer) 1
        > GEORADIUSBYMEMBER_RO Sicily Palermo 100 km
        1) "Palermo"
    "#,
};

fn georadiusbymember_ro(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    search(decision, args, carried, Rules { may_store: false, ..BY_MEMBER })
}

/// All of the family: `carried` begins with the source.
fn search(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
    rules: Rules,
) -> Result<Decided, Refusal> {
    let source = carried.first().cloned().flatten().map(|found| found.value);
    let set = source.as_ref().and_then(|source| source.object::<SortedSet>());
    let asked = Asked::parse(args, rules, set)?;
    let destination = asked.destination.map(|position| args.get(position).to_vec());
    let Some(searching) = source.and_then(|source| Searching::of(source, &asked)) else {
        return Ok(nothing(decision, destination).into());
    };
    let is_short = searching.is_short();
    let pondering = match destination {
        Some(destination) => storing(decision, searching, asked, destination),
        None => showing(searching, asked),
    };
    Decided::of(pondering, is_short, decision)
}

/// There is nothing to search in.
fn nothing(decision: &mut Decision<'_>, destination: Option<Vec<u8>>) -> Vec<Write> {
    match destination {
        None => decision.reply.array(0),
        Some(_) => decision.reply.integer(0),
    }
    let remove = |key| Write::Remove { db: decision.db, key };
    destination.map(remove).into_iter().collect()
}

/// Members that are shown or stored in one piece.
const PIECE: usize = 64;

fn storing(
    decision: &Decision<'_>,
    mut searching: Searching,
    asked: Asked,
    key: Vec<u8>,
) -> Pondering {
    let (db, mut making) = (decision.db, Making::new(decision.encodings));
    let mut taken: Option<Taken> = None;
    Box::new(move |decision| {
        let Some(hits) = &mut taken else {
            if searching.more() {
                taken = Some(searching.take());
            }
            return Ok(None);
        };
        let mut count = 0;
        for hit in hits.by_ref().take(PIECE) {
            count += 1;
            let distance = hit.distance / searching.unit();
            let score = if asked.stores_distance { distance } else { hit.score };
            if let Some(entry) = searching.set().and_then(|set| set.at(hit.rank)) {
                entry.member.with_bytes(|member| making.set(score, member));
            }
        }
        if count == PIECE {
            return Ok(None);
        }
        decision.reply.count(making.len() as usize);
        let key = key.clone();
        Ok(Some(vec![match making.end() {
            Some(value) => Write::put(db, key, value),
            None => Write::Remove { db, key },
        }]))
    })
}

fn showing(mut searching: Searching, asked: Asked) -> Pondering {
    let mut taken: Option<Taken> = None;
    Box::new(move |decision| {
        let Some(hits) = &mut taken else {
            if searching.more() {
                decision.reply.array(searching.count() as usize);
                taken = Some(searching.take());
            }
            return Ok(None);
        };
        let mut count = 0;
        for hit in hits.by_ref().take(PIECE) {
            count += 1;
            show(&mut decision.reply, &searching, &asked, hit);
        }
        Ok((count < PIECE).then(Vec::new))
    })
}

fn show(reply: &mut ReplyWriter<'_>, searching: &Searching, asked: &Asked, hit: Hit) {
    let Asked { with_distance, with_hash, with_place, .. } = *asked;
    let options = [with_distance, with_hash, with_place].iter().filter(|is| **is).count();
    if options > 0 {
        reply.array(options + 1);
    }
    let entry = searching.set().and_then(|set| set.at(hit.rank));
    match entry {
        Some(entry) => write_member(reply, entry.member),
        None => reply.nil(),
    }
    if with_distance {
        reply.bulk(text(hit.distance / searching.unit()));
    }
    if with_hash {
        reply.integer(hit.score as i64);
    }
    if with_place {
        write_point(reply, Point::of_score(hit.score));
    }
}
