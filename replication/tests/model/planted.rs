//! The stories of J1 to J7: the bug of each is planted, and found within a stated number of seeds; the
//! seeds that found it pass without it.

use crate::load::Load;
use crate::scenario::{ALL, Plan, Trouble};
use crate::{SWITCHES, attempt, number};
use engine::value::counters;
use engine::{cut, db, journal, shard, table};
use std::sync::atomic::{AtomicBool, Ordering};

/// A switch for as long as this lives.
struct Planted(&'static AtomicBool);

impl Planted {
    fn new(bug: &'static AtomicBool) -> Planted {
        bug.store(true, Ordering::SeqCst);
        Planted(bug)
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Finds the bug within `seeds` fresh seeds.
#[allow(clippy::print_stdout, reason = "seeds are printed")]
fn check(bug: &'static AtomicBool, seeds: u64, plan: fn(&mut fastrand::Rng) -> Plan) {
    let _alone = SWITCHES.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    let first = number("SEED").unwrap_or_else(|| fastrand::u64(..u64::MAX / 2));
    println!("SEED={first}, at most {seeds} seeds");
    let planted = Planted::new(bug);
    let found = (first..first + seeds).find_map(|seed| Some((seed, attempt(seed, plan).err()?)));
    drop(planted);
    let (found, how) = found.unwrap_or_else(|| panic!("not found in {seeds} seeds from {first}"));
    println!(
        "found by seed {} of {seeds}: {}",
        found - first + 1,
        how.lines().next().unwrap_or("")
    );
    for seed in first..=found {
        if let Err(wrong) = attempt(seed, plan) {
            panic!("SEED={seed} fails without the bug: {wrong}");
        }
    }
}

const LOAD: Load = Load {
    clients: 3,
    rounds: 60,
    keys: 12,
    upheaval_every: 0,
    large_every: 0,
    flushes: true,
    pause: 30,
    added: 0,
    collections: 0,
};

/// Two nodes, nothing goes wrong.
const CALM: Plan = Plan {
    nodes: 2,
    shards: [1, 1, 1, 1],
    populated: 0,
    load: LOAD,
    journal_bytes: 64_000_000,
    trouble_every: 0,
    kinds: ALL,
    chain: true,
    evicts: false,
    road: 0,
    pieces: (0, 0),
};

fn any_shards(dice: &mut fastrand::Rng) -> [u16; 4] {
    [(); 4].map(|()| dice.u16(1..=4))
}

#[test]
fn j1_a_replica_that_expires_by_itself_keeps_an_immortal_key() {
    check(&db::planted::REPLICA_EXPIRES_BY_ITSELF, 20, |dice| Plan {
        shards: any_shards(dice),
        trouble_every: 10,
        kinds: &[Trouble::Freeze],
        ..CALM
    });
}

#[test]
fn j2_an_mset_of_one_shard_is_shown_half_applied_on_three() {
    let bug = &replication::planted::FRAMES_ARE_APPLIED_PART_BY_PART;
    check(bug, 120, |_| Plan { shards: [1, 3, 1, 1], ..CALM });
}

#[test]
fn j2_transactions_logged_in_two_orders_wait_for_each_other() {
    check(&shard::planted::FRAMES_IN_ORDER_OF_CONCLUSION, 20, |dice| Plan {
        shards: [dice.u16(2..=4), dice.u16(1..=4), 1, 1],
        load: Load { keys: 60, clients: 6, ..LOAD },
        ..CALM
    });
}

#[test]
fn j2_a_cut_that_reads_open_keys_applies_a_change_twice() {
    check(&cut::planted::CUT_READS_OPEN_KEYS, 100, |dice| Plan {
        shards: [dice.u16(2..=4), 2, 1, 1],
        load: Load { keys: 8, clients: 6, rounds: 80, ..LOAD },
        trouble_every: 8,
        kinds: &[Trouble::Restart],
        ..CALM
    });
}

#[test]
fn j3_writes_that_nobody_counted_are_missed_by_who_returns() {
    check(&journal::planted::NO_COUNT_WITHOUT_READERS, 40, |dice| Plan {
        shards: any_shards(dice),
        load: Load { rounds: 200, clients: 2, pause: 300, ..LOAD },
        trouble_every: 5,
        kinds: &[Trouble::NoRoute, Trouble::LetGo],
        ..CALM
    });
}

#[test]
fn j4_a_walk_by_storage_never_sends_what_was_displaced() {
    check(&table::planted::WALK_GOES_BY_STORAGE, 250, |dice| Plan {
        nodes: 4,
        shards: [1, dice.u16(1..=4), 1, 1],
        populated: 12_000,
        load: Load { added: 1500, rounds: 24, clients: 4, ..LOAD },
        chain: false,
        ..CALM
    });
}

#[test]
fn j4_a_walk_by_database_number_skips_what_is_swapped() {
    check(&cut::planted::CUT_GOES_BY_DATABASE_NUMBER, 40, |dice| Plan {
        shards: any_shards(dice),
        populated: 5000,
        load: Load { upheaval_every: 8, flushes: false, ..LOAD },
        ..CALM
    });
}

#[test]
fn j4_a_record_that_does_not_wait_for_the_pieces_of_its_item_is_undone_by_it() {
    check(&shard::planted::RECORDS_DO_NOT_WAIT_FOR_THEIR_ITEM, 30, |dice| Plan {
        nodes: 4,
        shards: any_shards(dice),
        load: Load { clients: 4, keys: 4, large_every: 3, rounds: 120, pause: 5, ..LOAD },
        trouble_every: 3,
        kinds: &[Trouble::Restart],
        chain: false,
        ..CALM
    });
}

/// Values in pieces whose pieces do not fit together.
const IN_PIECES: Plan = Plan { pieces: (8, 5), ..CALM };

#[test]
fn a_part_of_a_value_that_is_lost_ends_the_session() {
    check(&journal::planted::A_PART_IS_LOST, 3, |dice| Plan {
        shards: any_shards(dice),
        ..IN_PIECES
    });
}

#[test]
fn a_value_that_ends_without_its_beginning_ends_the_session() {
    check(&journal::planted::VALUES_END_WITHOUT_BEGINNING, 3, |dice| Plan {
        shards: any_shards(dice),
        ..IN_PIECES
    });
}

#[test]
fn a_part_of_another_key_in_between_ends_the_session() {
    check(&journal::planted::A_PART_NAMES_ANOTHER_KEY, 3, |dice| Plan {
        shards: any_shards(dice),
        ..IN_PIECES
    });
}

#[test]
fn a_position_in_the_middle_of_a_value_counts_the_pieces_that_are_there() {
    check(&shard::planted::PIECES_GO_WITH_THE_SESSION, 60, |dice| Plan {
        shards: any_shards(dice),
        load: Load { large_every: 3, rounds: 100, ..LOAD },
        trouble_every: 3,
        kinds: &[Trouble::Cut],
        pieces: (60_000, 20_000),
        ..CALM
    });
}

#[test]
fn whoever_begins_in_the_middle_of_a_value_gets_it_from_its_beginning() {
    check(&journal::planted::BEGINS_INSIDE_VALUES, 200, |dice| Plan {
        nodes: 4,
        shards: any_shards(dice),
        load: Load { large_every: 3, rounds: 120, pause: 5, ..LOAD },
        trouble_every: 3,
        kinds: &[Trouble::Restart],
        pieces: (60_000, 20_000),
        ..CALM
    });
}

#[test]
fn j5_a_journal_that_counts_as_data_evicts_until_nothing_is_left() {
    check(&db::planted::JOURNAL_COUNTS_AS_DATA, 30, |dice| Plan {
        shards: any_shards(dice),
        populated: 5000,
        load: Load { added: 100, ..LOAD },
        journal_bytes: 400_000,
        evicts: true,
        ..CALM
    });
}

#[test]
fn j5_a_large_value_that_weighs_nothing_stays_behind_a_frozen_reader() {
    check(&journal::planted::LARGE_VALUES_WEIGH_NOTHING, 200, |dice| Plan {
        shards: any_shards(dice),
        load: Load { large_every: 2, rounds: 300, ..LOAD },
        journal_bytes: 1_000_000,
        trouble_every: 4,
        kinds: &[Trouble::Freeze],
        ..CALM
    });
}

#[test]
fn j6_a_history_known_by_its_id_alone_diverges() {
    check(&journal::planted::HISTORY_BY_ID_ONLY, 60, |dice| Plan {
        nodes: 3,
        shards: [dice.u16(1..=2); 4],
        chain: false,
        trouble_every: 12,
        kinds: &[Trouble::Freeze, Trouble::Promote, Trouble::Move],
        ..CALM
    });
}

#[test]
fn j6_a_position_that_counts_what_was_received_loses_half_a_transaction() {
    check(&replication::planted::POSITIONS_COUNT_WHAT_WAS_RECEIVED, 100, |dice| Plan {
        nodes: 3,
        shards: [dice.u16(2..=4), dice.u16(1..=4), dice.u16(1..=4), 1],
        chain: false,
        trouble_every: 8,
        kinds: &[Trouble::Freeze, Trouble::Cut, Trouble::Promote],
        ..CALM
    });
}

#[test]
fn j6_a_node_promoted_in_the_middle_of_a_full_sync_shows_half_of_a_transaction() {
    check(&replication::planted::PARTIAL_COPIES_ARE_PROMOTED, 600, |dice| Plan {
        nodes: 4,
        shards: any_shards(dice),
        populated: 2000,
        chain: false,
        trouble_every: 3,
        kinds: &[Trouble::Freeze, Trouble::Promote, Trouble::Promote, Trouble::Restart],
        ..CALM
    });
}

#[test]
fn j6_partial_and_full_flows_in_one_session_wait_for_a_part_that_never_comes() {
    check(&replication::planted::PARTIAL_AND_FULL_FLOWS_ARE_MIXED, 60, |dice| Plan {
        shards: [dice.u16(2..=4), dice.u16(1..=4), 1, 1],
        load: Load { rounds: 150, ..LOAD },
        journal_bytes: 8_000,
        trouble_every: 5,
        kinds: &[Trouble::NoRoute],
        ..CALM
    });
}

/// A damaged byte in a plaintext link was taken in silently, and passed on.
#[test]
fn a_damaged_message_that_is_taken_leaves_another_copy() {
    check(&replication::planted::DAMAGED_MESSAGES_ARE_TAKEN, 40, |dice| Plan {
        nodes: 3,
        shards: any_shards(dice),
        populated: 500,
        trouble_every: 5,
        kinds: &[Trouble::Damage],
        ..CALM
    });
}

#[test]
fn a_guard_that_looks_for_a_key_opens_at_the_first_write() {
    check(&replication::planted::GUARD_LOOKS_FOR_A_KEY, 40, |dice| Plan {
        shards: any_shards(dice),
        populated: 500,
        load: Load { rounds: 150, ..LOAD },
        trouble_every: 10,
        kinds: &[Trouble::Restart, Trouble::NoRoute],
        ..CALM
    });
}

#[test]
fn j7_the_middle_of_a_chain_that_feeds_on_while_it_syncs_leaves_half_of_the_old_world() {
    check(&replication::planted::FEEDS_WHILE_IT_FULL_SYNCS, 40, |dice| Plan {
        nodes: 3,
        shards: any_shards(dice),
        populated: 500,
        journal_bytes: 32_000,
        load: Load { rounds: 150, ..LOAD },
        trouble_every: 5,
        kinds: &[Trouble::NoRoute, Trouble::Freeze],
        ..CALM
    });
}

#[test]
fn j7_a_chain_whose_middle_moved_refuses_who_is_no_longer_in_it() {
    check(&replication::planted::STALE_CHAINS_ARE_KEPT, 300, |dice| Plan {
        nodes: 4,
        shards: any_shards(dice),
        trouble_every: 10,
        kinds: &[Trouble::Move, Trouble::Promote],
        ..CALM
    });
}

/// The links' own stories. What is wrong with a link mends itself as a rule; so the model knows by itself how
/// long a step took, who was asked for last, and what was lost.
const LINKS: Plan = Plan { nodes: 3, load: Load { rounds: 150, ..LOAD }, chain: false, ..CALM };

/// One second for all of them: a link over a long road never came back.
#[test]
fn a_deadline_over_several_round_trips_gives_up_a_road_that_is_only_long() {
    check(&replication::planted::ONE_DEADLINE_FOR_ALL_STEPS, 20, |dice| Plan {
        shards: any_shards(dice),
        trouble_every: 10,
        kinds: &[Trouble::Cut],
        road: 600,
        ..LINKS
    });
}

/// Between two waits nobody looked: REPLICAOF NO ONE hung for good.
#[test]
fn an_end_that_is_forgotten_while_the_shards_change_is_waited_for_for_ever() {
    check(&replication::planted::STOPS_ARE_FORGOTTEN, 200, |dice| Plan {
        shards: any_shards(dice),
        trouble_every: 2,
        kinds: &[Trouble::Cut, Trouble::Kill, Trouble::Move, Trouble::Promote],
        ..LINKS
    });
}

/// A failover waited 19.5 s for a listener that never answered.
#[test]
fn an_end_that_waits_for_the_step_under_way_holds_a_failover_up() {
    check(&replication::planted::STOPS_WAIT_FOR_STEPS, 40, |dice| Plan {
        shards: any_shards(dice),
        trouble_every: 5,
        kinds: &[Trouble::Stuck, Trouble::Move, Trouble::Promote],
        road: 100,
        ..LINKS
    });
}

#[test]
fn what_comes_late_of_an_earlier_attempt_is_taken_for_the_newer_ones() {
    check(&replication::planted::LATE_RESULTS_COUNT, 40, |dice| Plan {
        shards: any_shards(dice),
        trouble_every: 10,
        kinds: &[Trouble::Stuck],
        ..LINKS
    });
}

/// Automatic attempts went on as if an operator had asked for each of them.
#[test]
fn a_guard_that_is_not_asked_lets_an_empty_master_wipe_its_replicas() {
    check(&replication::planted::GUARD_NEVER_ASKS, 40, |dice| Plan {
        shards: any_shards(dice),
        populated: 500,
        trouble_every: 10,
        kinds: &[Trouble::Restart, Trouble::NoRoute],
        ..LINKS
    });
}

/// Full syncs, one after the other, for as long as the load lasts.
#[test]
fn a_pause_that_never_grows_costs_the_master_one_full_sync_after_the_other() {
    check(&replication::planted::LONG_SESSIONS_MAKE_UP, 100, |dice| Plan {
        shards: any_shards(dice),
        load: Load { rounds: 400, pause: 100, ..LOAD },
        journal_bytes: 8_000,
        trouble_every: 20,
        kinds: &[Trouble::Freeze],
        ..LINKS
    });
}

/// WAIT counted a replica that had left.
#[test]
fn an_acknowledgement_of_a_session_that_has_ended_is_counted() {
    check(&replication::planted::ACKS_OF_ENDED_SESSIONS_COUNT, 40, |dice| Plan {
        shards: any_shards(dice),
        trouble_every: 5,
        kinds: &[Trouble::Cut, Trouble::Kill],
        ..LINKS
    });
}

/// Seven replicas in INFO that nobody knew, for 30 s.
#[test]
fn a_replica_that_looks_at_its_terms_and_leaves_is_waited_for() {
    check(&replication::planted::PHANTOMS_STAY, 40, |dice| Plan {
        shards: any_shards(dice),
        trouble_every: 5,
        kinds: &[Trouble::Cut, Trouble::Stuck, Trouble::Move],
        road: 300,
        ..LINKS
    });
}

/// Connections of an attempt that was given up were on their way.
#[test]
fn a_session_that_begins_late_ends_the_newer_one() {
    check(&replication::planted::ANY_SESSION_TAKES_OVER, 400, |dice| Plan {
        shards: any_shards(dice),
        trouble_every: 3,
        kinds: &[Trouble::Vanish, Trouble::Cut],
        road: 100,
        ..LINKS
    });
}

/// The way is gone without a word: the master goes on with who has left, beside who has come back.
#[test]
fn a_node_that_came_back_is_fed_twice() {
    check(&replication::planted::DUPLICATES_ARE_FED, 20, |dice| Plan {
        shards: any_shards(dice),
        trouble_every: 10,
        kinds: &[Trouble::Vanish],
        ..LINKS
    });
}

/// A FOLLOW that came late, of an attempt that nobody goes on with, ended the session that went on.
#[test]
fn whoever_only_asks_for_terms_ends_the_session_that_goes_on() {
    check(&replication::planted::TERMS_TAKE_OVER, 20, |dice| Plan {
        shards: any_shards(dice),
        trouble_every: 10,
        kinds: &[Trouble::Vanish],
        ..LINKS
    });
}

/// A full sync had begun while the link was ending.
#[test]
fn a_promotion_that_is_asked_about_once_serves_a_part_of_a_copy() {
    check(&replication::planted::PROMOTION_IS_ASKED_ONCE, 1000, |dice| Plan {
        shards: any_shards(dice),
        trouble_every: 2,
        journal_bytes: 8_000,
        kinds: &[Trouble::Restart, Trouble::NoRoute, Trouble::Promote, Trouble::Promote],
        ..LINKS
    });
}

/// One that took long to try its master undid what was asked for later.
#[test]
fn a_node_that_begins_to_follow_while_it_counts_its_keys_still_feeds_who_asked() {
    check(&replication::planted::ADMISSION_IS_ASKED_ONCE, 60, |dice| Plan {
        nodes: 4,
        shards: any_shards(dice),
        chain: dice.bool(),
        trouble_every: 1,
        kinds: &[Trouble::Move, Trouble::Promote, Trouble::Rivals],
        ..CALM
    });
}

#[test]
fn an_order_that_took_long_is_carried_out_after_a_later_one() {
    check(&replication::planted::OVERTAKEN_ORDERS_ARE_OBEYED, 40, |dice| Plan {
        shards: any_shards(dice),
        trouble_every: 5,
        kinds: &[Trouble::Rivals],
        road: 100,
        ..LINKS
    });
}

/// What a type of data brings along: its effects and its values as a whole, through records and cuts.
const COUNTERS: Plan = Plan { load: Load { keys: 6, rounds: 100, ..LOAD }, ..CALM };

#[test]
fn a_type_that_tells_less_than_it_does_differs_on_a_replica() {
    check(&counters::planted::ONE_COUNT_OF_MANY_IS_TOLD, 200, |dice| Plan {
        shards: any_shards(dice),
        ..COUNTERS
    });
}

#[test]
fn a_type_whose_values_are_written_in_part_differs_after_a_cut() {
    check(&counters::planted::SOME_COUNTS_ARE_LEFT_OUT, 600, |dice| Plan {
        shards: any_shards(dice),
        ..COUNTERS
    });
}

#[test]
fn j6_a_snapshot_of_a_replica_is_of_one_position() {
    check(&replication::planted::SAVES_DO_NOT_HOLD, 400, |dice| Plan {
        shards: any_shards(dice),
        load: Load { rounds: 150, ..LOAD },
        trouble_every: 4,
        kinds: &[Trouble::Save, Trouble::Reload],
        ..CALM
    });
}

#[test]
fn j6_a_node_that_wrote_since_its_start_is_not_where_its_snapshot_was() {
    check(&replication::planted::WRITES_SINCE_A_START_ARE_FORGOTTEN, 400, |dice| Plan {
        shards: any_shards(dice),
        load: Load { rounds: 150, ..LOAD },
        trouble_every: 6,
        kinds: &[Trouble::Save, Trouble::Reload, Trouble::Move],
        ..CALM
    });
}
