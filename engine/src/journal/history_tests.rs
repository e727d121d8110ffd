//! The stories of J6, and the table around them.

use super::*;

fn id(letter: u8) -> HistoryId {
    HistoryId([letter; 20])
}

fn lsns(numbers: &[u64]) -> Vec<Lsn> {
    numbers.iter().copied().map(Lsn).collect()
}

fn at(letter: u8, numbers: &[u64]) -> Position {
    Position { history: id(letter), lsns: lsns(numbers) }
}

fn ranges(pairs: &[(u64, u64)]) -> Vec<LogRange> {
    pairs.iter().map(|(first, head)| LogRange { first: Lsn(*first), head: Lsn(*head) }).collect()
}

type Logs<'a> = &'a [(u8, &'a [(u64, u64)])];

/// Judges and writes the verdict down: legs as `history from..to`, or the reason.
fn check(lineage: &Lineage, asked: Position, held: Logs<'_>, expected: &str) {
    let logs: Vec<_> = held.iter().map(|(letter, pairs)| (id(*letter), ranges(pairs))).collect();
    let held: Vec<_> =
        logs.iter().map(|(history, logs)| HeldLogs { history: *history, logs }).collect();
    let names = |text: String| {
        (1..=9)
            .fold(text, |text, letter| text.replace(&id(letter).to_string(), &format!("#{letter}")))
    };
    let numbers = |lsns: &[Lsn]| lsns.iter().map(Lsn::to_string).collect::<Vec<_>>().join(",");
    let verdict = match lineage.judge(&asked, &held) {
        Verdict::Full(reason) => reason.to_string(),
        Verdict::Continue(legs) => legs
            .iter()
            .map(|leg| {
                let to = leg.to.as_deref().map(numbers).unwrap_or_default();
                format!("{} {}..{to}", leg.history, numbers(&leg.from))
            })
            .collect::<Vec<_>>()
            .join(" | "),
    };
    assert_eq!(names(verdict), expected, "asked {asked}");
}

/// 1 with two shards, 2 with three branched off at (10, 20), 3 with one at (5, 0, 7).
fn three_generations() -> Lineage {
    Lineage::unrelated(id(1), 2).branch_off(id(2), 3, lsns(&[10, 20])).branch_off(
        id(3),
        1,
        lsns(&[5, 0, 7]),
    )
}

#[test]
fn a_master_restarted_from_a_snapshot_refuses_who_saw_more_than_the_snapshot() {
    // Snapshot at 100, replica at 150, the master restarts and writes 101' to 160'.
    let restarted = Lineage::unrelated(id(1), 1).branch_off(id(2), 1, lsns(&[100]));
    let held: Logs<'_> = &[(2, &[(0, 60)])];
    let ahead = "shard 0 is at 150 of history #1, ahead of its branch at 100";
    check(&restarted, at(1, &[150]), held, ahead);
    check(&restarted, at(1, &[100]), held, "#2 0..");
    check(&restarted, at(1, &[99]), held, "no log of history #1 is held");
}

#[test]
fn one_component_ahead_of_the_branch_means_full_sync_of_all() {
    let lineage = Lineage::unrelated(id(1), 3).branch_off(id(2), 3, lsns(&[10, 10, 10]));
    let held: Logs<'_> = &[(1, &[(0, 10), (0, 10), (0, 10)]), (2, &[(0, 4), (0, 4), (0, 4)])];
    let ahead = "shard 2 is at 11 of history #1, ahead of its branch at 10";
    check(&lineage, at(1, &[0, 9, 11]), held, ahead);
    check(&lineage, at(1, &[0, 9, 10]), held, "#1 0,9,10..10,10,10 | #2 0,0,0..");
}

#[test]
fn an_empty_start_is_related_to_nothing() {
    let empty = Lineage::unrelated(id(2), 1);
    check(&empty, at(1, &[0]), &[(2, &[(0, 0)])], "unknown history #1");
}

#[test]
fn positions_in_the_current_history_continue_within_what_is_held() {
    let lineage = Lineage::unrelated(id(1), 2);
    let held: Logs<'_> = &[(1, &[(5, 9), (3, 3)])];
    for (asked, expected) in [
        (&[5, 3][..], "#1 5,3.."),
        (&[9, 3], "#1 9,3.."),
        (&[4, 3], "trimmed: shard 0 holds 5 to 9 of history #1, 4 was asked for"),
        (&[9, 2], "trimmed: shard 1 holds 3 to 3 of history #1, 2 was asked for"),
        (&[10, 3], "shard 0 is at 10, ahead of the head at 9"),
        (&[0, 4], "shard 1 is at 4, ahead of the head at 3"),
        (&[5], "shard count: 1 positions in history #1 of 2 shards"),
        (&[5, 3, 0], "shard count: 3 positions in history #1 of 2 shards"),
        (&[], "shard count: 0 positions in history #1 of 2 shards"),
    ] {
        check(&lineage, at(1, asked), held, expected);
    }
}

#[test]
fn the_way_leads_through_every_generation_in_its_own_coordinates() {
    let lineage = three_generations();
    let held: Logs<'_> =
        &[(1, &[(2, 10), (0, 25)]), (2, &[(0, 5), (0, 0), (0, 9)]), (3, &[(0, 8)])];
    for (asked, expected) in [
        (at(1, &[2, 20]), "#1 2,20..10,20 | #2 0,0,0..5,0,7 | #3 0.."),
        (at(1, &[10, 20]), "#2 0,0,0..5,0,7 | #3 0.."),
        (at(2, &[5, 0, 6]), "#2 5,0,6..5,0,7 | #3 0.."),
        (at(2, &[5, 0, 7]), "#3 0.."),
        (at(3, &[8]), "#3 8.."),
        (at(1, &[1, 20]), "trimmed: shard 0 holds 2 to 10 of history #1, 1 was asked for"),
        (at(1, &[10, 21]), "shard 1 is at 21 of history #1, ahead of its branch at 20"),
        (at(2, &[5, 1, 7]), "shard 1 is at 1 of history #2, ahead of its branch at 0"),
        (at(2, &[5, 0]), "shard count: 2 positions in history #2 of 3 shards"),
    ] {
        check(&lineage, asked, held, expected);
    }
}

#[test]
fn a_middle_generation_that_is_not_held_to_its_branch_stops_the_way() {
    let lineage = three_generations();
    let held: Logs<'_> =
        &[(1, &[(0, 10), (0, 20)]), (2, &[(0, 5), (0, 0), (0, 6)]), (3, &[(0, 8)])];
    let short = "trimmed: shard 2 holds 0 to 6 of history #2, 0 was asked for";
    check(&lineage, at(1, &[0, 0]), held, short);
    // The youngest history was trimmed: a branch point is its zero, which is no longer held.
    let held: Logs<'_> = &[(3, &[(4, 8)])];
    let trimmed = "trimmed: shard 0 holds 4 to 8 of history #3, 0 was asked for";
    check(&lineage, at(2, &[5, 0, 7]), held, trimmed);
}

#[test]
fn the_oldest_branches_are_forgotten() {
    let mut lineage = Lineage::unrelated(HistoryId([0; 20]), 1);
    for generation in 1..=BRANCHES_MAX as u8 + 1 {
        lineage = lineage.branch_off(id(generation), 1, lsns(&[1]));
    }
    assert_eq!(lineage.branches().count(), BRANCHES_MAX);
    assert_eq!(lineage.shards_of(&HistoryId([0; 20])), None);
    assert_eq!(lineage.shards_of(&id(1)), Some(1));
}

#[test]
fn text_of_the_handshake_comes_back_as_it_was() {
    let lineage = three_generations();
    assert_eq!(lineage.to_string().parse(), Ok(lineage.clone()));
    let unrelated = Lineage::unrelated(id(7), 1024);
    assert_eq!(unrelated.to_string().parse(), Ok(unrelated));
    for position in [at(1, &[0]), at(2, &[1, LSN_MAX, 3]), Position::zero(id(3), 1024)] {
        assert_eq!(position.to_string().parse(), Ok(position));
    }
    let hex = "01".repeat(20);
    assert_eq!(at(1, &[4, 5]).to_string(), format!("{hex}:4,5"));
}

#[test]
fn malformed_text_is_refused() {
    let one = id(1).to_string();
    let two = id(2).to_string();
    let many = vec!["1"; 1025].join(",");
    for text in [
        "".to_owned(),
        one.clone(),
        format!("{one}:"),
        format!("{one}:1,"),
        format!("{one}:+1"),
        format!("{one}: 1"),
        format!("{one}:18446744073709551616"),
        format!("{one}:{}", LSN_MAX + 1),
        format!("{one}:{many}"),
        format!("{}:1", &one[..39]),
        format!("{}:1", one.replace('0', "A")),
        format!("{}:1", "\u{e9}".repeat(20)),
    ] {
        assert!(text.parse::<Position>().is_err(), "{text}");
    }
    let branches: String = (0..17).map(|n| format!(";{}:1", id(n + 10))).collect();
    for text in [
        one.clone(),
        format!("{one}/0"),
        format!("{one}/1025"),
        format!("{one}/1;"),
        format!("{one}/1;{one}:5"),
        format!("{one}/1;{two}:5;{two}:5"),
        format!("{one}/1{branches}"),
    ] {
        assert!(text.parse::<Lineage>().is_err(), "{text}");
    }
}

#[test]
fn what_a_history_branched_off_is_the_lineage_before_it() {
    let first = Lineage::unrelated(id(1), 2);
    let second = first.clone().branch_off(id(2), 3, lsns(&[4, 5]));
    let third = second.clone().branch_off(id(3), 1, lsns(&[6, 7, 8]));
    assert_eq!(third.before(), Some((second, lsns(&[6, 7, 8]))));
    assert_eq!(
        third.before().and_then(|(second, _)| second.before()),
        Some((first.clone(), lsns(&[4, 5])))
    );
    assert_eq!(first.before(), None);
}
