//! How sorted sets are combined: a piece at a time, into a new one.

use super::source::Source;
use super::write::{Making, PIECE};

/// What comes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    /// What is in any.
    Union,
    /// What is in all.
    Inter,
    /// What is in the first and in no other.
    Diff,
}

/// What becomes of several scores of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Aggregate {
    /// Their sum.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

impl Aggregate {
    fn of(self, score: f64, other: f64) -> f64 {
        match self {
            // Opposite infinities make nothing.
            Aggregate::Sum => numbered(score + other),
            Aggregate::Min if other < score => other,
            Aggregate::Max if other > score => other,
            _ => score,
        }
    }
}

/// What is no number is 0: infinity times nothing.
fn numbered(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A combination under way.
pub(super) struct Combining {
    operation: Operation,
    /// The shortest first, but of a difference: so Redis adds scores, and the order of additions shows.
    sources: Vec<Source>,
    aggregate: Aggregate,
    /// What has come out so far.
    pub(super) making: Making,
    /// The source that is gone along, and the next of its members.
    at: (usize, u64),
    /// Where only their number is asked for: that, and the most.
    count: Option<(u64, u64)>,
}

impl Combining {
    pub(super) fn of(
        operation: Operation,
        mut sources: Vec<Source>,
        aggregate: Aggregate,
        making: Making,
    ) -> Combining {
        if operation != Operation::Diff {
            sources.sort_by_key(Source::len);
        }
        Combining { operation, sources, aggregate, making, at: (0, 0), count: None }
    }

    /// Nothing comes out but a number, up to `limit`.
    pub(super) fn only_count(&mut self, limit: u64) {
        self.count = Some((0, limit));
    }

    /// How many members have come out.
    pub(super) fn count(&self) -> u64 {
        self.count.map_or_else(|| self.making.len(), |(count, _)| count)
    }

    /// Does a piece; whether that was the last.
    pub(super) fn more(&mut self) -> bool {
        let (index, from) = self.at;
        let gone_along = if self.operation == Operation::Union { self.sources.len() } else { 1 };
        if index >= gone_along {
            return true;
        }
        // Each is looked for in all others.
        let looks = if self.operation == Operation::Union { 1 } else { self.sources.len() as u64 };
        let to = from + (PIECE / 2 / looks).max(1);
        let Combining { operation, sources, aggregate, making, count, .. } = self;
        let others = &sources[1..];
        source_piece(&sources[index], from..to, |score, member| {
            let outcome = match operation {
                Operation::Union => {
                    let there = if index > 0 { making.set.score(member) } else { None };
                    Some(there.map_or(score, |there| aggregate.of(there, score)))
                }
                Operation::Inter => others.iter().try_fold(score, |sum, other| {
                    Some(aggregate.of(sum, other.weight * other.score(member)?))
                }),
                Operation::Diff => {
                    others.iter().all(|other| other.score(member).is_none()).then_some(score)
                }
            };
            match (outcome, &mut *count) {
                (Some(_), Some((count, most))) => *count = (*count + 1).min(*most),
                (Some(score), None) => making.set(score, member),
                (None, _) => {}
            }
        });
        let is_end = to >= sources[index].len();
        self.at = if is_end { (index + 1, 0) } else { (index, to) };
        let is_enough = self.count.is_some_and(|(count, most)| count >= most);
        is_enough || self.at.0 >= gone_along
    }
}

/// Some members of a source with their weighed scores.
fn source_piece(source: &Source, range: std::ops::Range<u64>, mut see: impl FnMut(f64, &[u8])) {
    source.visit(range, |entry| {
        let score = numbered(source.weight * entry.score);
        entry.member.with_bytes(|member| see(score, member));
    });
}
