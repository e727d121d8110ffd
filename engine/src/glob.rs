//! Redis's glob patterns: KEYS, SCAN, CONFIG GET, channel patterns, ACL key patterns.
//!
//! ```text
//!   *        any bytes, also none         [abc]   one of these     [^a]  none of these
//!   ?        one byte                     [a-z]   one between      \x    the byte x itself
//! ```
//!
//! The rules are Redis's, oddities included: a class without an end reaches to the end of the pattern,
//! a range may be written backwards, a lone backslash at the end is itself, and `**` does not fit the
//! empty text while `*` does.
//!
//! Time is bounded by pattern times text: after a mismatch only the last star is tried anew, which is
//! enough because everything behind it matches a fixed number of bytes. (Trying all stars is
//! exponential, and patterns come from strangers.)

/// Whether `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, |byte| byte)
}

/// As [`matches`], with upper and lower case of ASCII letters being the same.
pub fn matches_any_case(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, |byte| byte.to_ascii_lowercase())
}

fn matches_with(pattern: &[u8], text: &[u8], fold: impl Fn(u8) -> u8 + Copy) -> bool {
    if text.is_empty() && pattern.len() > 1 {
        // To Redis only the empty pattern fits the empty text. A lone star never asks it.
        return false;
    }
    let (mut at, mut read) = (0, 0);
    // Behind the last star: where the pattern goes on, and how much text the star has not taken yet.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            star = Some((at, read));
            if at == pattern.len() {
                return true;
            }
            continue;
        }
        if read == text.len() {
            return at == pattern.len();
        }
        match one(&pattern[at..], text[read], fold) {
            Some(length) => (at, read) = (at + length, read + 1),
            None => {
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                (at, read) = (after, taken + 1);
            }
        }
    }
}

/// Matches one byte of text; the length of the pattern's part that did it.
fn one(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8 + Copy) -> Option<usize> {
    let (length, fits) = match *pattern {
        [] => return None,
        [b'?', ..] => (1, true),
        [b'[', ref class @ ..] => {
            let (length, fits) = in_class(class, fold(byte), fold);
            (1 + length, fits)
        }
        [b'\\', escaped, ..] => (2, fold(escaped) == fold(byte)),
        [plain, ..] => (1, fold(plain) == fold(byte)),
    };
    fits.then_some(length)
}

/// Whether `byte` is in the class behind a `[`, and how long that is, its `]` included.
fn in_class(class: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> (usize, bool) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    let length = loop {
        match class[at.min(class.len())..] {
            [] => break at,
            [b']', ..] => break at + 1,
            [b'\\', escaped, ..] => {
                found |= fold(escaped) == byte;
                at += 2;
            }
            [first, b'-', last, ..] => {
                let (first, last) = (fold(first.min(last)), fold(first.max(last)));
                found |= (first..=last).contains(&byte);
                at += 3;
            }
            [plain, ..] => {
                found |= fold(plain) == byte;
                at += 1;
            }
        }
    };
    (length, found != negated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_redis_says() {
        // Answers of KEYS on a redis-server.
        for (pattern, text, fits) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "", false),
            ("*", "anything", true),
            ("?", "", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "hllo", true),
            ("h*llo", "heeeello", true),
            ("h*llo", "heeeelo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h[a-b]llo", "hcllo", false),
            ("h[a", "ha", true),
            ("h[", "h", false),
            ("[]", "]", false),
            ("[^]", "]", true),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("**b*", "abab", true),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbc", false),
            ("a*b?d", "aXbbcd", true),
            ("*?*", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
        assert!(matches_any_case(b"MaX*[A-C]", b"maxmemoryB"));
        assert!(!matches(b"Max*", b"maxmemory"));
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = [b"a*".repeat(2000), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &b"a".repeat(4000)));
    }

    #[test]
    fn it_agrees_with_trying_everything() {
        let seed = crate::value::test_seed();
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let pick = |random: &mut fastrand::Rng, from: &[u8], length: usize| {
                (0..length).map(|_| from[random.usize(..from.len())]).collect::<Vec<u8>>()
            };
            let (pattern, text) = (random.usize(..8), random.usize(..8));
            let pattern = pick(&mut random, b"ab*?", pattern);
            let text = pick(&mut random, b"ab", text);
            let odd = text.is_empty() && pattern.len() > 1;
            let expected = !odd && naive(&pattern, &text);
            assert_eq!(matches(&pattern, &text), expected, "SEED={seed}");
        }
    }

    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            ([b'?', rest @ ..], [_, more @ ..]) => naive(rest, more),
            ([one, rest @ ..], [other, more @ ..]) => one == other && naive(rest, more),
            ([], _) => text.is_empty(),
            (_, []) => false,
        }
    }
}
