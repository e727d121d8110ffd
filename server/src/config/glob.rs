//! Redis's glob patterns over the names of settings: `*`, `?`, `[a-z]`, `[^a]`, `\x`, in any case.
//!
//! Only the last star is ever tried again, so the work is at most the product of both lengths.

/// No name is longer than this; a longer pattern is not looked at.
const PATTERN_BYTES_MAX: usize = 256;

/// Whether a text is a pattern rather than a name.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

/// Whether the whole name fits the pattern.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    if pattern.len() > PATTERN_BYTES_MAX {
        return false;
    }
    let pattern = pattern.to_ascii_lowercase();
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, from));
            at += 1;
            continue;
        }
        if let Some(after) = one(&pattern[at..], name[from]) {
            at += after;
            from += 1;
            continue;
        }
        let Some((star_at, star_from)) = star else {
            return false;
        };
        star = Some((star_at, star_from + 1));
        (at, from) = (star_at + 1, star_from + 1);
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// Whether the pattern's first element takes `byte`, and how long that element is.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let (taken, length) = class(&pattern[1..], byte);
            taken.then_some(length + 1)
        }
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        literal => (literal == byte).then_some(1),
    }
}

/// What stands after `[`: whether it takes `byte`, and its length with the closing bracket.
fn class(pattern: &[u8], byte: u8) -> (bool, usize) {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut taken = false;
    while at < pattern.len() && pattern[at] != b']' {
        if pattern[at] == b'\\' && at + 1 < pattern.len() {
            at += 1;
        }
        let low = pattern[at];
        if pattern.get(at + 1) == Some(&b'-') && at + 2 < pattern.len() {
            let high = pattern[at + 2];
            taken |= (low.min(high)..=low.max(high)).contains(&byte);
            at += 3;
        } else {
            taken |= low == byte;
            at += 1;
        }
    }
    (taken != negated, (at + 1).min(pattern.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_what_they_take_in_redis() {
        let check = |pattern: &str, name: &str, want: bool| {
            assert_eq!(matches(pattern, name), want, "{pattern} against {name}");
        };
        check("*", "port", true);
        check("", "port", false);
        check("PORT", "port", true);
        check("p?rt", "port", true);
        check("p*t", "port", true);
        check("*max*", "maxmemory", true);
        check("maxmemory*", "maxmemory-policy", true);
        check("*-*-*", "repl-backlog-size", true);
        check("*-*-*-*", "repl-backlog-size", false);
        check("p[aeo]rt", "port", true);
        check("p[^aeo]rt", "port", false);
        check("p[a-z]rt", "port", true);
        check("p[", "po", false);
        check("por\\t", "port", true);
        check("por\\", "port", false);
        check("port*?", "port", false);
        check(&"*a".repeat(200), "port", false);
    }
}
