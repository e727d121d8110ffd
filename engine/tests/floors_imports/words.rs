//! A source as names and marks, without comments and literals.

/// What a word is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// An identifier or keyword.
    Name,
    /// Anything else: `::`, or one character.
    Mark,
}

/// One word and its line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

/// The words of a source.
pub(crate) fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        let (length, kind) = match next {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), None),
            '/' if rest.starts_with("/*") => {
                (rest.find("*/").map_or(rest.len(), |at| at + 2), None)
            }
            '"' => (string_length(rest), None),
            'r' if raw_length(rest) > 0 => (raw_length(rest), None),
            '\'' => (quote_length(rest), None),
            _ if next == '_' || next.is_alphabetic() => {
                let is_end = |c: char| c != '_' && !c.is_alphanumeric();
                (rest.find(is_end).unwrap_or(rest.len()), Some(Kind::Name))
            }
            ':' if rest.starts_with("::") => (2, Some(Kind::Mark)),
            _ if next.is_whitespace() => (next.len_utf8(), None),
            _ => (next.len_utf8(), Some(Kind::Mark)),
        };
        let word = &rest[..length];
        if let Some(kind) = kind {
            words.push(Word { kind, text: word, line });
        }
        line += word.matches('\n').count();
        at += length;
    }
    words
}

/// The length of a literal that begins with `"`.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return at + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

/// The length of a raw literal, 0 if there is none.
fn raw_length(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    let Some(body) = text[1 + hashes..].strip_prefix('"') else { return 0 };
    let end = format!("\"{}", "#".repeat(hashes));
    body.find(&end).map_or(text.len(), |at| 2 + hashes + at + end.len())
}

/// The length of a character literal, or of a lifetime's tick.
fn quote_length(text: &str) -> usize {
    let mut rest = text.char_indices().skip(1);
    match (rest.next(), rest.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            // '\'' and '\u{..}' alike: up to the next tick behind what is escaped.
            let from = at + escaped.len_utf8();
            text[from..].find('\'').map_or(text.len(), |end| from + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}
