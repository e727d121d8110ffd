//! Adding places.

use super::asked::point;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, OwnedArgs, Refusal, Run, Uses, Whole};
use crate::commands::sorted_set::{Adding, Ways};

pub(super) const GEOADD: Command = Command {
    name: "geoadd",
    usage: "GEOADD key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
    summary: "Adds members with places to a sorted set, or changes where they are.",
    since: "3.2.0",
    cost: "O(log(N)) for each member, with N members",
    group: Group::Geo,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::ONE.used(Uses::RW.union(Uses::UPDATE)),
    run: Run::Sliced(geoadd),
    examples: r#"
        > GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
        (integer) 2
        > ZSCORE Sicily Palermo
        "3479099956230698"
        > GEOADD Sicily CH NX 1 1 Palermo
        (integer) 0
        > GEOADD Sicily 200 10 nowhere
        (error) ERR invalid longitude,latitude pair 200.000000,10.000000
        > GEOADD Sicily NX XX 1 1 Palermo
        (error) ERR syntax error
    "#,
};

/// Places that are read and set in one piece.
const PIECE: usize = 32;

fn geoadd(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let key = args.required()?;
    let mut ways = Ways::default();
    loop {
        ways |= match () {
            () if args.word("NX") => Ways::NX,
            () if args.word("XX") => Ways::XX,
            () if args.word("CH") => Ways::CH,
            () => break,
        };
    }
    let left = args.left();
    if left == 0 || left % 3 != 0 || ways.contains(Ways::NX | Ways::XX) {
        return Err(Refusal::Syntax);
    }
    let (first, count) = (args.len() - left, left / 3);
    let mut adding = Adding::begin(ways, count);
    if count <= PIECE {
        let mut members = Vec::with_capacity(count);
        while args.left() > 0 {
            members.push((point(&mut args)?.score(), args.required()?));
        }
        adding.add(cx, key, &members)?;
        adding.end(cx);
        return Ok(Whole::Done);
    }
    // All of them are read before the first is set.
    let (args, mut scores, mut done) = (OwnedArgs::copy(args), Vec::with_capacity(count), 0);
    Ok(Whole::Later(Box::new(move |cx| {
        let mut args = args.view();
        if scores.len() < count {
            for index in scores.len()..count.min(scores.len() + 4 * PIECE) {
                args.seek(first + 3 * index);
                scores.push(point(&mut args)?.score());
            }
            return Ok(false);
        }
        let end = count.min(done + PIECE);
        let member = |index: usize| (scores[index], args.get(first + 3 * index + 2));
        let members: Vec<(f64, &[u8])> = (done..end).map(member).collect();
        adding.add(cx, args.get(1), &members)?;
        done = end;
        let is_done = done == count || adding.is_over();
        if is_done {
            adding.end(cx);
        }
        Ok(is_done)
    })))
}
