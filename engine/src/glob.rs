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
//! # What it costs
//!
//! Patterns and texts come from strangers and may both be long, so a pattern is read once, and no
//! combination of the two takes long. Stars cut a pattern into parts; each element of a part takes exactly
//! one byte, so a part has a length:
//!
//! ```text
//!   user:*[0-9]?*:name      first part: the text begins so      last part: it ends so
//!   '---' '---'  '---'      parts between: each is looked for behind the one before it, and the
//!                           first place will do, as it leaves the most to the others
//! ```
//!
//! The first and the last part cost their length. A part of plain bytes is looked for in linear time. One
//! with `?` or classes is looked for at all places at once, 64 elements a step, and that product of its
//! length and the text's is what is left to bound: [`STEPS_MAX`] steps for one text, after which the text
//! does not fit. (Redis has no such bound and stands still for seconds; it bounds the number of stars.)

use memchr::memmem;

/// Bytes of a pattern at the most: reading the longest one takes about a millisecond, and what a pattern
/// keeps is at most some 25 times as large as it. No key that people name is as long.
pub const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// Steps for one text at the most, which is about a millisecond: enough for a part of 64 elements in 1 MB of
/// text, of 1,000 elements in 64 KiB, of 8,000 in themselves.
const STEPS_MAX: u64 = 1 << 20;

/// Below this product of lengths trying every place is as fast as anything cleverer.
const PLAIN_STEPS_MAX: usize = 1 << 14;

/// A pattern that has been read.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// What stands before the first star, between stars, and behind the last; one part without a star.
    parts: Vec<Part>,
    /// The length of the shortest text that fits.
    shortest: usize,
    /// Whether it fits the empty text.
    fits_empty: bool,
}

/// What stands between two stars.
#[derive(Clone, Debug)]
enum Part {
    Plain(Vec<u8>),
    Mixed(Vec<Element>),
}

/// What one byte of text has to be.
#[derive(Clone, Debug)]
enum Element {
    Byte(u8),
    Any,
    Of(Box<Set>),
}

/// A set of bytes.
#[derive(Clone, Debug, Default)]
struct Set([u64; 4]);

impl Pattern {
    /// Reads a pattern; `None` when it is longer than [`PATTERN_BYTES_MAX`].
    pub fn new(pattern: &[u8]) -> Option<Pattern> {
        Pattern::read(pattern, false)
    }

    /// As [`Pattern::new`], with upper and lower case of ASCII letters being the same.
    pub fn any_case(pattern: &[u8]) -> Option<Pattern> {
        Pattern::read(pattern, true)
    }

    fn read(pattern: &[u8], any_case: bool) -> Option<Pattern> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return None;
        }
        let one = |byte: u8| match any_case && byte.is_ascii_alphabetic() {
            true => Element::Of(Box::new(Set::both_cases(byte))),
            false => Element::Byte(byte),
        };
        let (mut parts, mut part, mut rest) = (Vec::new(), Vec::new(), pattern);
        loop {
            let length = match *rest {
                [] => break,
                [b'*', ..] => {
                    parts.push(Part::of(std::mem::take(&mut part)));
                    rest.iter().take_while(|byte| **byte == b'*').count()
                }
                [b'?', ..] => {
                    part.push(Element::Any);
                    1
                }
                [b'[', ref class @ ..] => {
                    let (set, length) = read_class(class, any_case);
                    part.push(Element::Of(Box::new(set)));
                    1 + length
                }
                [b'\\', escaped, ..] => {
                    part.push(one(escaped));
                    2
                }
                [plain, ..] => {
                    part.push(one(plain));
                    1
                }
            };
            rest = &rest[length..];
        }
        parts.push(Part::of(part));
        let shortest = parts.iter().map(Part::len).sum();
        // To Redis only the empty pattern fits the empty text. A lone star never asks it.
        Some(Pattern { parts, shortest, fits_empty: matches!(pattern, [] | [b'*']) })
    }

    /// Whether it fits every text: a star.
    pub fn fits_all(&self) -> bool {
        self.shortest == 0 && self.fits_empty && self.parts.len() > 1
    }

    /// Whether `text` fits.
    pub fn fits(&self, text: &[u8]) -> bool {
        self.fits_counted(text, &mut 0)
    }

    /// As [`fits`](Pattern::fits); adds to `steps` what it took beyond reading the text once.
    pub fn fits_counted(&self, text: &[u8], steps: &mut u64) -> bool {
        let mut left = STEPS_MAX;
        let fits = self.fits_within(text, &mut left);
        *steps += STEPS_MAX - left;
        fits
    }

    fn fits_within(&self, text: &[u8], left: &mut u64) -> bool {
        if text.is_empty() {
            return self.fits_empty;
        }
        let [first, others @ ..] = self.parts.as_slice() else { return false };
        let Some((last, between)) = others.split_last() else {
            return text.len() == self.shortest && first.is_at_start_of(text);
        };
        if text.len() < self.shortest {
            return false;
        }
        let (text, end) = text.split_at(text.len() - last.len());
        if !first.is_at_start_of(text) || !last.is_at_start_of(end) {
            return false;
        }
        let mut rest = &text[first.len()..];
        for part in between {
            match part.end_in(rest, left) {
                Some(end) => rest = &rest[end..],
                None => return false,
            }
        }
        true
    }
}

/// Reads the class behind a `[`: the bytes that it takes, and how long it is with its `]`.
fn read_class(class: &[u8], any_case: bool) -> (Set, usize) {
    let fold = |byte: u8| if any_case { byte.to_ascii_lowercase() } else { byte };
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut set = Set::default();
    let length = loop {
        match class[at..] {
            [] => break at,
            [b']', ..] => break at + 1,
            [b'\\', escaped, ..] => {
                set.add(fold(escaped), fold(escaped));
                at += 2;
            }
            [first, b'-', last, ..] => {
                // Which end is the lower one is asked before case is taken away, as by Redis.
                set.add(fold(first.min(last)), fold(first.max(last)));
                at += 3;
            }
            [plain, ..] => {
                set.add(fold(plain), fold(plain));
                at += 1;
            }
        }
    };
    if any_case {
        set.take_capitals();
    }
    (if negated { set.others() } else { set }, length)
}

impl Set {
    fn both_cases(letter: u8) -> Set {
        let mut set = Set::default();
        for byte in [letter.to_ascii_lowercase(), letter.to_ascii_uppercase()] {
            set.add(byte, byte);
        }
        set
    }

    /// Adds the bytes from `first` to `last`; none when they are the wrong way round.
    fn add(&mut self, first: u8, last: u8) {
        let (first, last) = (usize::from(first), usize::from(last));
        for (index, word) in self.0.iter_mut().enumerate() {
            let start = index * 64;
            if first <= last && first < start + 64 && last >= start {
                let low = first.max(start) - start;
                let high = last.min(start + 63) - start;
                *word |= (u64::MAX >> (63 - (high - low))) << low;
            }
        }
    }

    /// A capital is in the set exactly where its small letter is.
    fn take_capitals(&mut self) {
        // Of the second word: '@' is bit 0, so 'A' to 'Z' are the bits 1 to 26, and 'a' is 32 above 'A'.
        const CAPITALS: u64 = 0x07ff_fffe;
        self.0[1] = (self.0[1] & !CAPITALS) | ((self.0[1] >> 32) & CAPITALS);
    }

    fn others(self) -> Set {
        Set(self.0.map(|word| !word))
    }

    #[inline]
    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] >> (byte % 64) & 1 == 1
    }
}

impl Element {
    #[inline]
    fn takes(&self, byte: u8) -> bool {
        match self {
            Element::Byte(own) => *own == byte,
            Element::Any => true,
            Element::Of(set) => set.has(byte),
        }
    }
}

impl Part {
    fn of(elements: Vec<Element>) -> Part {
        let byte = |element: &Element| match element {
            Element::Byte(byte) => Some(*byte),
            Element::Any | Element::Of(_) => None,
        };
        match elements.iter().map(byte).collect() {
            Some(bytes) => Part::Plain(bytes),
            None => Part::Mixed(elements),
        }
    }

    /// How many bytes it takes.
    fn len(&self) -> usize {
        match self {
            Part::Plain(bytes) => bytes.len(),
            Part::Mixed(elements) => elements.len(),
        }
    }

    /// Whether `text`, which is long enough, begins so.
    fn is_at_start_of(&self, text: &[u8]) -> bool {
        match self {
            Part::Plain(bytes) => text.starts_with(bytes),
            Part::Mixed(elements) => all_take(elements, text),
        }
    }

    /// Where the first place in `text` that fits ends; `None` when there is none, or none was found in the
    /// steps that are left.
    fn end_in(&self, text: &[u8], left: &mut u64) -> Option<usize> {
        let places = (text.len() + 1).checked_sub(self.len())?;
        let short = places * self.len() <= PLAIN_STEPS_MAX;
        let start = match self {
            Part::Plain(bytes) if short => text.windows(bytes.len()).position(|at| at == bytes),
            Part::Plain(bytes) => memmem::find(text, bytes),
            Part::Mixed(elements) if short => {
                (0..places).find(|start| all_take(elements, &text[*start..]))
            }
            Part::Mixed(elements) => end_of_long(elements, text, left)?.checked_sub(self.len()),
        };
        start.map(|start| start + self.len())
    }
}

fn all_take(elements: &[Element], text: &[u8]) -> bool {
    elements.iter().zip(text).all(|(element, byte)| element.takes(*byte))
}

/// Looks for a part at all places at once (Shift-And): bit i of `state` says that the text read so far ends
/// with the part's first i + 1 elements. The next byte makes them one more, where the next element takes it.
fn end_of_long(elements: &[Element], text: &[u8], left: &mut u64) -> Option<usize> {
    let words = elements.len().div_ceil(64);
    // What it takes at the least: a step a word for each byte of the part itself.
    if words as u64 * elements.len() as u64 > *left {
        *left = 0;
        return None;
    }
    let mut spend = |steps: usize| {
        let after = left.checked_sub(steps as u64);
        *left = after.unwrap_or(0);
        after.map(drop)
    };
    let mut rows = Rows { words, bits: Vec::new(), of_byte: [None; 256] };
    let (mut state, mut next) = (vec![0_u64; words], vec![0_u64; words]);
    let (last_word, last_bit) = ((elements.len() - 1) / 64, (elements.len() - 1) % 64);
    for (at, &byte) in text.iter().enumerate() {
        if rows.of_byte[usize::from(byte)].is_none() {
            spend(elements.len())?;
        }
        spend(words)?;
        let row = rows.get(byte, elements);
        next[0] = (state[0] << 1 | 1) & row[0];
        for ((next, pair), row) in next[1..].iter_mut().zip(state.windows(2)).zip(&row[1..]) {
            *next = (pair[1] << 1 | pair[0] >> 63) & row;
        }
        std::mem::swap(&mut state, &mut next);
        if state[last_word] >> last_bit & 1 == 1 {
            return Some(at + 1);
        }
    }
    None
}

/// For each byte that the text has shown, which elements take it.
struct Rows {
    words: usize,
    bits: Vec<u64>,
    of_byte: [Option<usize>; 256],
}

impl Rows {
    fn get(&mut self, byte: u8, elements: &[Element]) -> &[u64] {
        let start = *self.of_byte[usize::from(byte)].get_or_insert_with(|| {
            let start = self.bits.len();
            for chunk in elements.chunks(64) {
                let bit =
                    |(index, element): (usize, &Element)| u64::from(element.takes(byte)) << index;
                self.bits.push(chunk.iter().enumerate().map(bit).sum());
            }
            start
        });
        &self.bits[start..start + self.words]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        Pattern::new(pattern).expect("short enough").fits(text)
    }

    fn matches_any_case(pattern: &[u8], text: &[u8]) -> bool {
        Pattern::any_case(pattern).expect("short enough").fits(text)
    }

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
    fn classes_are_redis_s() {
        for (pattern, taken) in [
            ("[a-c]", "abc"),
            ("[c-a]", "abc"),
            ("[^\x01-\x7f]", "\0"),
            ("[\\a-c]", "-ac"),
            ("[a\\", "\\a"),
            ("[a-", "-a"),
            ("[]", ""),
            ("[[]", "["),
            ("[a-]]", "]^_`a"),
        ] {
            let fits = |byte: &u8| matches(pattern.as_bytes(), &[*byte]);
            let found: Vec<u8> = (0..128).filter(fits).collect();
            assert_eq!(String::from_utf8_lossy(&found), taken, "{pattern:?}");
        }
        // Which end is the lower one is asked before case is taken away.
        assert!(!matches_any_case(b"[Z-a]", b"m"));
        assert!(matches_any_case(b"[^a]", b"M") && !matches_any_case(b"[^a]", b"A"));
    }

    /// The story: one pattern of 80 kB kept everybody waiting for seconds.
    #[test]
    fn no_pattern_and_text_take_long() {
        let text = b"y".repeat(40_000);
        let mut hard: Vec<Vec<u8>> =
            [(20_000, "[yz]"), (40_000, "?"), (30_000, "y"), (200, "[yz]")]
                .into_iter()
                .flat_map(|(times, element)| {
                    let part = element.repeat(times);
                    [format!("*{part}x"), format!("*{part}x*"), format!("*{part}x*{part}*y")]
                })
                .map(String::into_bytes)
                .collect();
        hard.push([b"*[".as_slice(), &b"z".repeat(40_000), b"]"].concat());
        hard.push(b"*y?z".repeat(15_000));
        hard.push([b"*[yz]?".repeat(64), b"x*".to_vec()].concat().repeat(100));
        for pattern in hard {
            let (pattern, mut steps) = (Pattern::new(&pattern).expect("short enough"), 0);
            assert!(!pattern.fits_counted(&text, &mut steps));
            assert!(steps <= STEPS_MAX, "{steps} steps");
        }
        // Long ones that are within the bound are answered.
        let (part, text) = ("[yz]?".repeat(500), [text, b"xz".to_vec()].concat());
        assert!(matches(format!("*{part}xz").as_bytes(), &text));
        assert!(matches(format!("*{part}x*").as_bytes(), &text));
        assert!(!matches(format!("*{part}xx*").as_bytes(), &text));
        assert!(Pattern::new(&b"a".repeat(PATTERN_BYTES_MAX + 1)).is_none());
    }

    #[test]
    fn it_agrees_with_trying_everything() {
        let seed = crate::value::test_seed();
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..40_000 {
            let (pattern, text) = (random.usize(..10), random.usize(..10));
            let pattern = pick(&mut random, b"abc*?[]^-\\", pattern);
            let text = pick(&mut random, b"abc-^", text);
            let odd = text.is_empty() && pattern.len() > 1;
            let expected = !odd && naive(&pattern, &text);
            assert_eq!(matches(&pattern, &text), expected, "SEED={seed} {pattern:?} {text:?}");
        }
    }

    #[test]
    fn long_parts_are_found_where_trying_every_place_finds_them() {
        let seed = crate::value::test_seed();
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..2_000 {
            let length = random.usize(1..200);
            let mut text: Vec<u8> = pick(&mut random, b"ab", 400);
            // Something that fits stands at a random place, most of the time.
            let start = random.usize(..text.len() - length);
            let element = |byte: &u8| match random.u8(..3) {
                0 => Element::Any,
                1 => Element::Of(Box::new(Set::both_cases(*byte))),
                _ => Element::Byte(*byte),
            };
            let elements: Vec<Element> = text[start..start + length].iter().map(element).collect();
            text[start] ^= u8::from(random.u8(..4) == 0);
            let places = text.len() + 1 - length;
            let expected = (0..places).find(|start| all_take(&elements, &text[*start..]));
            let found = end_of_long(&elements, &text, &mut STEPS_MAX.clone());
            assert_eq!(found, expected.map(|start| start + length), "SEED={seed}");
        }
    }

    fn pick(random: &mut fastrand::Rng, from: &[u8], length: usize) -> Vec<u8> {
        (0..length).map(|_| from[random.usize(..from.len())]).collect()
    }

    /// Redis's rules, one after the other, trying everything.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            ([], _) => text.is_empty(),
            (_, []) => false,
            ([b'?', rest @ ..], [_, more @ ..]) => naive(rest, more),
            ([b'[', class @ ..], [byte, more @ ..]) => {
                let (fits, rest) = naive_class(class, *byte);
                fits && naive(rest, more)
            }
            ([b'\\', one, rest @ ..] | [one, rest @ ..], [other, more @ ..]) => {
                one == other && naive(rest, more)
            }
        }
    }

    fn naive_class(class: &[u8], byte: u8) -> (bool, &[u8]) {
        let negated = class.first() == Some(&b'^');
        let mut rest = &class[usize::from(negated)..];
        let mut found = false;
        loop {
            match rest {
                [b'\\', one, after @ ..] => {
                    found |= *one == byte;
                    rest = after;
                }
                [b']', after @ ..] => return (found != negated, after),
                [] => return (found != negated, rest),
                [one, b'-', other, after @ ..] => {
                    found |= (*one.min(other)..=*one.max(other)).contains(&byte);
                    rest = after;
                }
                [one, after @ ..] => {
                    found |= *one == byte;
                    rest = after;
                }
            }
        }
    }
}
