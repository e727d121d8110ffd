//! A count of keys among the arguments (`numkeys`), read as the command itself reads it.
//!
//! [`Spec::counted`](super::Spec::counted) finds the keys for the plan over the shards; it passes over a
//! count that does not fit, and the command then refuses it with one of Redis's texts, which differ.

use super::{Args, Refusal};
use crate::resp::number;

/// How commands refuse a count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// ZUNION and its kin: at least one input.
    Inputs,
    /// SINTERCARD: at least one.
    Sets,
    /// LMPOP and its kin: at least one, and a word behind them.
    Pops,
    /// EVAL and its kin: any number.
    Script,
}

impl Args<'_> {
    /// The next argument as the number of keys that follow it; `name` is the command's.
    pub fn key_count(&mut self, counted: Counted, name: &str) -> Result<usize, Refusal> {
        let said = number::parse_i64(self.required()?);
        let least = i64::from(counted != Counted::Script);
        let few = match counted {
            Counted::Sets | Counted::Pops => "ERR numkeys should be greater than 0",
            Counted::Script => "ERR Number of keys can't be negative",
            Counted::Inputs => "",
        };
        let said = match (said, counted) {
            (None, Counted::Inputs | Counted::Script) => return Err(Refusal::NotInteger),
            (None, _) => return Err(Refusal::fixed(few)),
            (Some(said), _) => said,
        };
        let behind = usize::from(counted == Counted::Pops);
        if i128::from(said) + behind as i128 > self.left() as i128 {
            return Err(match counted {
                Counted::Inputs | Counted::Pops => Refusal::Syntax,
                Counted::Sets | Counted::Script => {
                    Refusal::fixed("ERR Number of keys can't be greater than number of args")
                }
            });
        }
        match usize::try_from(said) {
            Ok(count) if said >= least => Ok(count),
            _ if counted == Counted::Inputs => Err(Refusal::made(format!(
                "ERR at least 1 input key is needed for '{name}' command"
            ))),
            _ => Err(Refusal::fixed(few)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnedArgs;
    use super::*;

    #[test]
    fn a_count_is_refused_in_the_words_of_its_command() {
        const FEW: &str = "ERR numkeys should be greater than 0";
        const MANY: &str = "ERR Number of keys can't be greater than number of args";
        const INPUT: &str = "ERR at least 1 input key is needed for 'zunion' command";
        let nan = Refusal::NotInteger.text().into_owned();
        let syntax = Refusal::Syntax.text().into_owned();
        for (counted, request, answer) in [
            (Counted::Inputs, "zunion 2 a b", Ok(2)),
            (Counted::Inputs, "zunion 3 a b", Err(&*syntax)),
            (Counted::Inputs, "zunion 0 a", Err(INPUT)),
            (Counted::Inputs, "zunion -1 a", Err(INPUT)),
            (Counted::Inputs, "zunion x a", Err(&nan)),
            (Counted::Inputs, "zunion 9223372036854775807 a", Err(&syntax)),
            (Counted::Sets, "sintercard 1 a", Ok(1)),
            (Counted::Sets, "sintercard 2 a", Err(MANY)),
            (Counted::Sets, "sintercard 0 a", Err(FEW)),
            (Counted::Sets, "sintercard x a", Err(FEW)),
            (Counted::Sets, "sintercard 99999999999999999999 a", Err(FEW)),
            (Counted::Pops, "lmpop 1 a left", Ok(1)),
            (Counted::Pops, "lmpop 2 a left", Err(&syntax)),
            (Counted::Pops, "lmpop 0 a left", Err(FEW)),
            (Counted::Script, "eval 0", Ok(0)),
            (Counted::Script, "eval 1 a b", Ok(1)),
            (Counted::Script, "eval 3 a b", Err(MANY)),
            (Counted::Script, "eval -1 a", Err("ERR Number of keys can't be negative")),
            (Counted::Script, "eval x a", Err(&nan)),
        ] {
            let args: OwnedArgs = request.split(' ').map(str::as_bytes).collect();
            let count = args.view().key_count(counted, "zunion");
            let count = count.as_ref().map_err(Refusal::text);
            assert_eq!(count.as_ref().map(|count| **count).map_err(|e| &**e), answer, "{request}");
        }
    }
}
