//! Commands of newer masters, in terms of those that are known here.
//!
//! ```text
//!   SET k v IFEQ x ...          Valkey 8.1    SET k v ...: the master has compared, and what it compared is here
//!   MSETEX n k v ... options    Redis 8.4     SET k v options, of each key, as one
//! ```
//!
//! What a master tells has happened there: conditions are left out.

use engine::command::{Args, OwnedArgs};

/// The commands that stand for this one, if others do.
pub(super) fn translated(args: &Args<'_>) -> Option<Vec<OwnedArgs>> {
    let is = |index: usize, word: &str| args.get(index).eq_ignore_ascii_case(word.as_bytes());
    let name = args.get(0);
    if name.eq_ignore_ascii_case(b"SET") && args.len() > 4 {
        let at = (3..args.len() - 1).find(|at| is(*at, "IFEQ"))?;
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
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_commands_stand_for_older_ones() {
        for (line, expected) in [
            ("set a 2 ifeq 1", "set a 2"),
            ("SET a 2 IFEQ IFEQ GET", "SET a 2 GET"),
            ("SET a 2 PXAT 99", "-"),
            ("SET ifeq ifeq ifeq", "-"),
            ("msetex 2 a 1 b 2 NX PXAT 99", "SET a 1 PXAT 99|SET b 2 PXAT 99"),
            ("MSETEX 1 a 1", "SET a 1"),
            ("MSETEX 3 a 1", "-"),
            ("MSETEX 18446744073709551615 a 1", "-"),
            ("MSETEX", "-"),
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
}
