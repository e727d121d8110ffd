//! What requests say about places.

use crate::command::{Args, Refusal};
use crate::value::geo::{Area, Point, Search};
use crate::value::number::parse_f64_redis;
use crate::value::sorted_set::SortedSet;

/// A longitude and a latitude.
pub(super) fn point(args: &mut Args<'_>) -> Result<Point, Refusal> {
    let mut number = || parse_f64_redis(args.required()?).ok_or(Refusal::NotFloat);
    let (longitude, latitude) = (number()?, number()?);
    let refusal = || {
        Refusal::made(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"))
    };
    Point::of(longitude, latitude).ok_or_else(refusal)
}

/// Metres of a unit.
pub(super) fn unit(word: &[u8]) -> Result<f64, Refusal> {
    let units = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let is_it = |(name, _): &&(&str, f64)| word.eq_ignore_ascii_case(name.as_bytes());
    let refusal = Refusal::fixed("ERR unsupported unit provided. please use M, KM, FT, MI");
    units.iter().find(is_it).map(|(_, metres)| *metres).ok_or(refusal)
}

/// Where a member of a sorted set is.
pub(super) fn place_of(set: &SortedSet, member: &[u8]) -> Result<Point, Refusal> {
    let refusal = Refusal::fixed("ERR could not decode requested zset member");
    set.score(member).map(Point::of_score).ok_or(refusal)
}

fn number(args: &mut Args<'_>, refusal: &'static str) -> Result<f64, Refusal> {
    parse_f64_redis(args.required()?).ok_or(Refusal::fixed(refusal))
}

/// A circle's radius and its unit.
fn circle(args: &mut Args<'_>) -> Result<(Area, f64), Refusal> {
    let radius = number(args, "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(Refusal::fixed("ERR radius cannot be negative"));
    }
    Ok((Area::Circle { radius }, unit(args.required()?)?))
}

/// A box's width, its height and their unit.
fn rectangle(args: &mut Args<'_>) -> Result<(Area, f64), Refusal> {
    let width = number(args, "ERR need numeric width")?;
    let height = number(args, "ERR need numeric height")?;
    if height < 0.0 || width < 0.0 {
        return Err(Refusal::fixed("ERR height or width cannot be negative"));
    }
    Ok((Area::Box { width, height }, unit(args.required()?)?))
}

/// How a command of the family says what it searches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// GEORADIUS: a place and a radius.
    Place,
    /// GEORADIUSBYMEMBER: a member and a radius.
    Member,
    /// GEOSEARCH: by words.
    Words,
}

/// What a command of the family is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) form: Form,
    /// Whether a destination stands before the source.
    pub(super) stores: bool,
    /// Whether a destination can stand behind a word.
    pub(super) may_store: bool,
}

/// What a request asks for.
#[derive(Default, Debug)]
pub(super) struct Asked {
    middle: Option<Point>,
    area: Option<(Area, f64)>,
    pub(super) with_distance: bool,
    pub(super) with_hash: bool,
    pub(super) with_place: bool,
    /// From the nearest to the farthest, or the other way.
    pub(super) descending: Option<bool>,
    /// The most; 0 is all.
    pub(super) count: u64,
    /// Any are as good as the nearest.
    pub(super) any: bool,
    /// The argument that is the destination.
    pub(super) destination: Option<usize>,
    pub(super) stores_distance: bool,
    has_middle: bool,
}

impl Asked {
    /// Reads a request, given what stands at the source.
    pub(super) fn parse(
        args: Args<'_>,
        rules: Rules,
        set: Option<&SortedSet>,
    ) -> Result<Asked, Refusal> {
        let (mut asked, mut args) = (Asked::default(), args);
        args.seek(if rules.stores { 3 } else { 2 });
        asked.destination = rules.stores.then_some(1);
        match (rules.form, set) {
            (Form::Place, _) => {
                asked.middle = Some(point(&mut args)?);
                asked.area = Some(circle(&mut args)?);
            }
            (Form::Member, Some(set)) => {
                asked.middle = Some(place_of(set, args.required()?)?);
                asked.area = Some(circle(&mut args)?);
            }
            // Nothing is there, whatever they say.
            (Form::Member, None) => args.seek(5),
            (Form::Words, _) => {}
        }
        while args.left() > 0 {
            let is_known = asked.option(&mut args)?
                || asked.destination_option(&mut args, rules)?
                || rules.form == Form::Words && asked.shape(&mut args, set)?;
            if !is_known {
                return Err(Refusal::Syntax);
            }
        }
        asked.check(args.get(0), rules)?;
        Ok(asked)
    }

    /// A word that all of the family know.
    fn option(&mut self, args: &mut Args<'_>) -> Result<bool, Refusal> {
        match () {
            () if args.word("WITHDIST") => self.with_distance = true,
            () if args.word("WITHHASH") => self.with_hash = true,
            () if args.word("WITHCOORD") => self.with_place = true,
            () if args.word("ANY") => self.any = true,
            () if args.word("ASC") => self.descending = Some(false),
            () if args.word("DESC") => self.descending = Some(true),
            () if args.left() > 1 && args.word("COUNT") => {
                let said = u64::try_from(args.integer()?).ok().filter(|said| *said > 0);
                self.count = said.ok_or(Refusal::fixed("ERR COUNT must be > 0"))?;
            }
            () => return Ok(false),
        }
        Ok(true)
    }

    fn destination_option(&mut self, args: &mut Args<'_>, rules: Rules) -> Result<bool, Refusal> {
        if rules.stores && args.word("STOREDIST") {
            self.stores_distance = true;
            return Ok(true);
        }
        if !rules.may_store || args.left() < 2 {
            return Ok(false);
        }
        let is_plain = args.word("STORE");
        if !is_plain && !args.word("STOREDIST") {
            return Ok(false);
        }
        self.stores_distance = !is_plain;
        self.destination = Some(args.len() - args.left());
        args.required()?;
        Ok(true)
    }

    /// A word that says where or how far.
    fn shape(&mut self, args: &mut Args<'_>, set: Option<&SortedSet>) -> Result<bool, Refusal> {
        let is_place = self.middle.is_some() && !self.has_middle;
        let is_circle = matches!(self.area, Some((Area::Circle { .. }, _)));
        match () {
            () if args.left() > 1 && !is_place && args.word("FROMMEMBER") => {
                let member = args.required()?;
                self.middle = set.map(|set| place_of(set, member)).transpose()?;
                self.has_middle = true;
            }
            () if args.left() > 2 && !self.has_middle && args.word("FROMLONLAT") => {
                self.middle = Some(point(args)?);
            }
            () if args.left() > 2
                && (self.area.is_none() || is_circle)
                && args.word("BYRADIUS") =>
            {
                self.area = Some(circle(args)?);
            }
            () if args.left() > 3 && !is_circle && args.word("BYBOX") => {
                self.area = Some(rectangle(args)?);
            }
            () => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, name: &[u8], rules: Rules) -> Result<(), Refusal> {
        if self.destination.is_some() && (self.with_distance || self.with_hash || self.with_place) {
            let what = if rules.stores { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(Refusal::made(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        if rules.form == Form::Words && self.middle.is_none() && !self.has_middle {
            let before = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ";
            return Err(Refusal::quoting(before, name, ""));
        }
        if rules.form == Form::Words && self.area.is_none() {
            let before = "ERR exactly one of BYRADIUS and BYBOX can be specified for ";
            return Err(Refusal::quoting(before, name, ""));
        }
        if self.any && self.count == 0 {
            return Err(Refusal::fixed("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// What is searched; `None` where there is nothing to search in.
    pub(super) fn search(&self) -> Option<Search> {
        let (area, unit) = self.area?;
        Some(Search { middle: self.middle?, area, unit })
    }
}
