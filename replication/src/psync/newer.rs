//! Commands of newer masters, in terms of those that are known here.
//!
//! ```text
//!   SET k v IFEQ x ...          Valkey 8.1    SET k v ...: the master has compared, and what it compared is here
//!   the same of IFNE x, IFDEQ, IFDNE digest   Redis 8.4
//!   MSETEX n k v ... options    Redis 8.4     SET k v options, of each key, as one
//!   XADD k KEEPREF ...          Redis 8.2     XADD k ...: groups keep what they have not acknowledged, as ever
//! ```
//!
//! What a master tells has happened there: conditions are left out. A form that stands for nothing known here is
//! told as such: where it was run, the error would be about something else.

use engine::command::{Args, OwnedArgs};

/// The commands that stand for this one, if others do.
pub(super) fn translated(args: &Args<'_>) -> Option<Vec<OwnedArgs>> {
    let is = |index: usize, word: &str| args.get(index).eq_ignore_ascii_case(word.as_bytes());
    let name = args.get(0);
    if name.eq_ignore_ascii_case(b"SET") && args.len() > 4 {
        const CONDITIONS: [&str; 4] = ["IFEQ", "IFNE", "IFDEQ", "IFDNE"];
        let is_condition = |at: &usize| CONDITIONS.iter().any(|word| is(*at, word));
        let at = (3..args.len() - 1).find(is_condition)?;
        let words = (0..args.len()).filter(|index| *index != at && *index != at + 1);
        return Some(vec![words.map(|index| args.get(index)).collect()]);
    }
    if name.eq_ignore_ascii_case(b"MSETEX") && args.len() > 2 {
        let pairs: usize = std::str::from_utf8(args.get(1)).ok()?.parse().ok()?;
        let end = pairs.checked_mul(2)?.checked_add(2).filter(|end| *end <= args.len())?;
        let options = (end..args.len()).filter(|at| !is(*at, "NX") && !is(*at, "XX"));
        let options: Vec<&[u8]> = options.map(|at| args.get(at)).collect();
        let of_pair = |at: usize| {
            let pair = [b"SET".as_slice(), args.get(at), args.get(at + 1)];
            pair.into_iter().chain(options.iter().copied()).collect()
        };
        return Some((2..end).step_by(2).map(of_pair).collect());
    }
    if has_references(name) {
        let (at, _) = references(args).find(|(_, word)| word.eq_ignore_ascii_case(b"KEEPREF"))?;
        let words = (0..args.len()).filter(|index| *index != at);
        return Some(vec![words.map(|index| args.get(index)).collect()]);
    }
    None
}

/// A form of a command that is not known here, if it is one.
pub(super) fn unknown_form(args: &Args<'_>) -> Option<String> {
    let is_one_of = |word: &[u8], names: &[&str]| {
        names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
    };
    let name = args.get(0);
    let word = if has_references(name) {
        references(args).map(|(_, word)| word).find(|word| is_one_of(word, &["DELREF", "ACKED"]))
    } else if is_one_of(name, &["GEOSEARCHSTORE"]) {
        (3..args.len()).map(|at| args.get(at)).find(|word| is_one_of(word, &["BYPOLYGON"]))
    } else {
        None
    }?;
    let text = |word: &[u8]| String::from_utf8_lossy(word).to_ascii_uppercase();
    Some(format!("{} with {}", text(name), text(word)))
}

/// Whether a command may say what becomes of groups' references to entries.
fn has_references(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"XADD") || name.eq_ignore_ascii_case(b"XTRIM")
}

/// The words among the options of XADD or XTRIM that stand alone, and where.
fn references<'a>(args: &'a Args<'a>) -> impl Iterator<Item = (usize, &'a [u8])> + 'a {
    let mut at = 2;
    std::iter::from_fn(move || {
        while at < args.len() {
            let (here, word) = (at, args.get(at));
            let is = |names: &[&str]| {
                names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
            };
            if is(&["KEEPREF", "DELREF", "ACKED", "NOMKSTREAM"]) {
                at += 1;
                return Some((here, word));
            }
            let is_marked = at + 1 < args.len() && matches!(args.get(at + 1), b"~" | b"=");
            at += match () {
                () if is(&["MAXLEN", "MINID"]) => 2 + usize::from(is_marked),
                () if is(&["LIMIT"]) => 2,
                // The entry itself.
                () => return None,
            };
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_commands_stand_for_older_ones() {
        for (line, expected) in [
            ("set a 2 ifeq 1", "set a 2"),
            ("SET a 2 IFEQ IFEQ GET", "SET a 2 GET"),
            ("SET a 2 ifne IFEQ PXAT 9", "SET a 2 PXAT 9"),
            ("SET a 2 KEEPTTL IFDNE 0123", "SET a 2 KEEPTTL"),
            ("SET a 2 IFDEQ 0123 GET", "SET a 2 GET"),
            ("SET a 2 PXAT 99", "-"),
            ("SET ifeq ifeq ifeq", "-"),
            ("msetex 2 a 1 b 2 NX PXAT 99", "SET a 1 PXAT 99|SET b 2 PXAT 99"),
            ("MSETEX 1 a 1", "SET a 1"),
            ("MSETEX 3 a 1", "-"),
            ("MSETEX 18446744073709551615 a 1", "-"),
            ("MSETEX", "-"),
            ("XADD x KEEPREF MAXLEN 1000 1-1 f v", "XADD x MAXLEN 1000 1-1 f v"),
            (
                "xadd x maxlen ~ 1000 limit 5 keepref 1-1 f v",
                "xadd x maxlen ~ 1000 limit 5 1-1 f v",
            ),
            ("XADD KEEPREF 1-1 KEEPREF KEEPREF", "-"),
            ("XTRIM x MINID = 5 KEEPREF", "XTRIM x MINID = 5"),
            ("XADD x", "-"),
        ] {
            let args: OwnedArgs = line.split(' ').map(str::as_bytes).collect();
            let said = translated(&args.view()).map(|commands| {
                let text = |command: &OwnedArgs| {
                    let view = command.view();
                    let words = (0..view.len()).map(|at| String::from_utf8_lossy(view.get(at)));
                    words.collect::<Vec<_>>().join(" ")
                };
                commands.iter().map(text).collect::<Vec<_>>().join("|")
            });
            assert_eq!(said.as_deref().unwrap_or("-"), expected, "{line}");
        }
    }

    #[test]
    fn forms_that_stand_for_nothing_known_are_named() {
        for (line, expected) in [
            ("XADD x DELREF MAXLEN 1000 1-1 f v", "XADD with DELREF"),
            ("XADD x NOMKSTREAM MAXLEN = 10 acked 1-1 f v", "XADD with ACKED"),
            ("xtrim x MAXLEN 5 DELREF", "XTRIM with DELREF"),
            ("XADD x MAXLEN 5 1-1 DELREF ACKED", "-"),
            ("GEOSEARCHSTORE a b BYPOLYGON 3 0 0 0 1 1 1", "GEOSEARCHSTORE with BYPOLYGON"),
            ("GEOSEARCHSTORE a BYPOLYGON FROMLONLAT 1 1 BYBOX 1 1 m", "-"),
            ("XADD x MAXLEN", "-"),
            ("XADD", "-"),
        ] {
            let args: OwnedArgs = line.split(' ').map(str::as_bytes).collect();
            assert_eq!(unknown_form(&args.view()).as_deref().unwrap_or("-"), expected, "{line}");
        }
    }
}
