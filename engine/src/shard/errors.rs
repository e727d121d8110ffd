//! Error replies, counted by their first word (`ERR`, `WRONGTYPE`).

/// Words told apart: more than there are in Redis; beyond it they are counted together.
const WORDS_MAX: usize = 64;

/// Counters by first word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorCounts {
    counts: Vec<(Box<str>, u64)>,
}

impl ErrorCounts {
    /// Counts the error `text`, which begins with its word.
    pub fn note(&mut self, text: &str) {
        self.add(text.split([' ', '\r', '\n']).next().unwrap_or_default(), 1);
    }

    /// Adds `more` errors that begin with `word`.
    pub fn add(&mut self, word: &str, more: u64) {
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| &**known == word) {
            *count += more;
        } else if self.counts.len() < WORDS_MAX {
            self.counts.push((word.into(), more));
        } else if let Some((_, count)) = self.counts.last_mut() {
            *count += more;
        }
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &ErrorCounts) {
        for (word, count) in &other.counts {
            self.add(word, *count);
        }
    }

    /// Words and counts, in the order of the words.
    pub fn sorted(&self) -> Vec<(&str, u64)> {
        let mut sorted: Vec<_> =
            self.counts.iter().map(|(word, count)| (&**word, *count)).collect();
        sorted.sort_unstable();
        sorted
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_their_first_word() {
        let mut counts = ErrorCounts::default();
        counts.note("WRONGTYPE Operation against a key");
        counts.note("ERR syntax error");
        counts.note("ERR no such key");
        let mut both = counts.clone();
        both.merge(&counts);
        assert_eq!(both.sorted(), [("ERR", 4), ("WRONGTYPE", 2)]);
        assert_eq!(both.total(), 6);
    }

    #[test]
    fn words_without_end_take_no_memory() {
        let mut counts = ErrorCounts::default();
        (0..10_000).for_each(|number| counts.note(&format!("E{number} x")));
        assert!(counts.sorted().len() <= WORDS_MAX);
        assert_eq!(counts.total(), 10_000);
    }
}
