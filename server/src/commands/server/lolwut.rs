//! LOLWUT: which version this is, and a picture.

use super::common::{FrontCommand, Handler, declare};
use crate::config::REDIS_VERSION;
use engine::command::{Args, Flags, Refusal};
use engine::resp::number::parse_i64;

pub(super) const COMMANDS: &[&FrontCommand] = &[&LOLWUT];

static LOLWUT: FrontCommand = FrontCommand {
    command: declare(
        "lolwut",
        "LOLWUT [VERSION version]",
        "Says which version this is; with VERSION, below a picture.",
        "5.0.0",
        Flags::READONLY.union(Flags::FAST),
        "",
    ),
    handler: Handler::Now(|_, args, reply| {
        reply.verbatim(*b"txt", text(args)?);
        Ok(())
    }),
};

const PICTURE: &str = concat!(
    "            .--.   .--.\n",
    "           (    \\ /    )\n",
    " (oo)=====O=============---\n",
    "           (    / \\    )\n",
    "            '--'   '--'\n\n",
);

/// As in Redis, words that are not understood are not looked at; a version and what follows it are numbers.
fn text(args: Args<'_>) -> Result<String, Refusal> {
    let wants_picture = args.len() > 2 && args.get(1).eq_ignore_ascii_case(b"version");
    let numbers = args.from(2).take(if wants_picture { usize::MAX } else { 0 });
    for number in numbers {
        parse_i64(number).ok_or(Refusal::NotInteger)?;
    }
    let picture = if wants_picture { PICTURE } else { "" };
    // Clients look for the second half.
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!("{picture}Damselfly ver. {version}, Redis ver. {REDIS_VERSION}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::command::OwnedArgs;

    #[test]
    fn a_picture_is_there_for_who_asks_for_a_version() {
        let check = |words: &str, picture: Option<bool>| {
            let args: OwnedArgs = words.split(' ').map(str::as_bytes).collect();
            let got = text(args.view()).ok();
            assert_eq!(got.as_ref().map(|text| text.lines().count() > 1), picture, "{words}");
            let version = |text: &String| text.contains("Redis ver. ") && text.ends_with('\n');
            assert!(got.is_none_or(|text| version(&text)), "{words}");
        };
        check("LOLWUT", Some(false));
        check("LOLWUT 5", Some(false));
        check("LOLWUT version", Some(false));
        check("LOLWUT VERSION 5", Some(true));
        check("lolwut version -1 40 20", Some(true));
        check("LOLWUT VERSION x", None);
        check("LOLWUT VERSION 5 x", None);
    }
}
