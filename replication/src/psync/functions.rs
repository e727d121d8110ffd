//! FUNCTION in a Redis's stream: the node keeps what it says, and runs nothing.
//!
//! A MULTI that was cut is told once more, and so is what stands in it: what is done already is no error. What cannot
//! be kept is left out with a line in the log; data goes on.

use engine::command::Args;
use engine::libraries::{BYTES_MAX, Libraries, Policy};
use engine::rdb::functions;

/// Does what a FUNCTION of the stream says.
pub(super) fn perform(libraries: &Libraries, args: &Args<'_>) {
    if let Err(error) = keep(libraries, args) {
        tracing::warn!("replication: a library of functions of the master is left out: {error}");
    }
}

fn keep(libraries: &Libraries, args: &Args<'_>) -> Result<(), String> {
    let word = |index: usize| if index < args.len() { args.get(index) } else { b"" };
    match word(1).to_ascii_uppercase().as_slice() {
        // The code stands last, behind REPLACE.
        b"LOAD" if args.len() > 2 => {
            libraries.load(word(args.len() - 1).to_vec(), true)?;
        }
        b"DELETE" => {
            libraries.delete(&String::from_utf8_lossy(word(2)));
        }
        b"FLUSH" => libraries.flush(),
        b"RESTORE" => {
            let policy = match word(3).eq_ignore_ascii_case(b"flush") {
                true => Policy::Flush,
                false => Policy::Replace,
            };
            libraries.restore(functions::parse(word(2), BYTES_MAX)?, policy)?;
        }
        other => return Err(format!("FUNCTION {} is not known", String::from_utf8_lossy(other))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::command::OwnedArgs;

    #[test]
    fn what_a_stream_says_of_functions_is_kept_also_when_it_is_said_twice() {
        let libraries = Libraries::default();
        let names = || libraries.all().keys().cloned().collect::<Vec<_>>().join(" ");
        let code = |name: &str| format!("#!lua name={name}\nx").into_bytes();
        let say = |words: &[&[u8]]| {
            let args: OwnedArgs = words.iter().copied().collect();
            keep(&libraries, &args.view())
        };
        for _ in 0..2 {
            assert_eq!(say(&[b"function", b"load", &code("a")]), Ok(()));
            assert_eq!(say(&[b"FUNCTION", b"LOAD", b"REPLACE", &code("b")]), Ok(()));
        }
        assert_eq!(names(), "a b");
        for _ in 0..2 {
            assert_eq!(say(&[b"FUNCTION", b"DELETE", b"a"]), Ok(()));
        }
        let payload = functions::payload([code("c")].iter().map(Vec::as_slice));
        assert_eq!(say(&[b"FUNCTION", b"RESTORE", &payload]), Ok(()));
        assert_eq!(names(), "b c");
        assert_eq!(say(&[b"FUNCTION", b"RESTORE", &payload, b"FLUSH"]), Ok(()));
        assert_eq!(names(), "c");
        for words in [&[b"FUNCTION".as_slice(), b"LOAD"][..], &[b"FUNCTION", b"RESTORE", b"x"]] {
            assert!(say(words).is_err());
        }
        assert_eq!(say(&[b"FUNCTION", b"FLUSH", b"ASYNC"]), Ok(()));
        assert_eq!(names(), "");
    }
}
