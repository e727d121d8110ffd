use super::*;
use engine::rt::{Settings, executor};
use std::ops::Range;

const PIECE: usize = 128 * 1024;

/// Pieces that fill the window.
const FULL: usize = WINDOW as usize / PIECE;

/// Runs a test with the name of a file that it may make; nothing is left of it.
fn run<F: Future<Output = ()> + 'static>(test: impl FnOnce(PathBuf) -> F + Send + 'static) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let scratch = directory.path().join("spool");
    let running = executor::spawn(Settings::named("payload"), move || test(scratch));
    running.expect("a thread").join().expect("no panic");
    assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 0);
}

/// Bytes that tell where they stand.
fn pieces(numbers: Range<usize>) -> Vec<u8> {
    let piece = |number: usize| (0..PIECE).map(move |at| (number * 31 + at / 251 + at) as u8);
    numbers.flat_map(piece).collect()
}

async fn put(payload: &Payload, numbers: Range<usize>) -> Result<(), String> {
    for number in numbers {
        payload.put(pieces(number..number + 1)).await?;
    }
    Ok(())
}

fn join(payload: &Payload, id: u64, wants_length: bool) {
    payload.join(id, Rc::default(), wants_length);
}

/// All that a taker gets until there is no more for it, and what it is told then.
async fn take(payload: &Payload, id: u64) -> (Vec<u8>, Got) {
    let mut all = Vec::new();
    loop {
        match payload.next(id, 100_001).await {
            Got::Bytes(bytes) => all.extend_from_slice(&bytes),
            other => return (all, other),
        }
    }
}

fn is_in_file(payload: &Payload) -> bool {
    payload.state.borrow().file.is_some()
}

/// `before` pieces are made before anybody takes one, and some behind them.
fn check(before: usize, wants_length: bool, is_spooled: bool) {
    run(move |scratch| async move {
        let payload = Payload::new(scratch);
        join(&payload, 1, wants_length);
        put(&payload, 0..before).await.expect("it is wanted");
        assert_eq!(is_in_file(&payload), is_spooled, "{before} pieces, {wants_length}");
        assert!(payload.is_all_here() && payload.length().is_none());
        join(&payload, 2, false);
        let (taken, told) = take(&payload, 1).await;
        assert!(taken == pieces(0..before), "{before} pieces, {wants_length}");
        assert!(matches!(told, Got::NotYet));
        let all = before + 3;
        put(&payload, before..all).await.expect("it is wanted");
        payload.finish(Ok(()));
        assert_eq!(payload.length(), Some((all * PIECE) as u64));
        for (id, from) in [(2, 0), (1, before)] {
            let (taken, told) = take(&payload, id).await;
            assert!(taken == pieces(from..all), "{before} pieces, {wants_length}, taker {id}");
            assert!(matches!(told, Got::End));
        }
        assert!(payload.state.borrow().chunks.is_empty(), "everybody has it");
    });
}

#[test]
fn all_takers_get_all_bytes_from_memory_and_from_the_file() {
    for (before, wants_length, is_spooled) in [
        (0, false, false),
        (1, true, false),
        (FULL, false, false),
        (FULL, true, false),
        // Nobody takes in time.
        (FULL + 1, false, true),
        (FULL + 20, false, true),
        // Who takes nothing before it knows the length is not waited for.
        (FULL + 1, true, true),
    ] {
        check(before, wants_length, is_spooled);
    }
}

#[test]
fn who_takes_what_is_made_needs_no_file_and_nobody_joins_behind_what_was_let_go() {
    run(|scratch| async move {
        let payload = Payload::new(scratch);
        join(&payload, 1, false);
        for number in 0..3 * FULL {
            put(&payload, number..number + 1).await.expect("it is wanted");
            let (taken, _) = take(&payload, 1).await;
            assert!(taken == pieces(number..number + 1));
            assert!(payload.state.borrow().chunks.is_empty() && !payload.is_all_here());
        }
        assert!(!is_in_file(&payload));
    });
}

#[test]
fn a_taker_that_leaves_makes_room_and_the_last_one_ends_it() {
    run(|scratch| async move {
        let payload = Payload::new(scratch);
        (1..=2).for_each(|id| join(&payload, id, false));
        put(&payload, 0..FULL).await.expect("it is wanted");
        let (taken, _) = take(&payload, 1).await;
        assert_eq!(taken.len(), FULL * PIECE);
        // What held all of it in memory is gone.
        payload.leave(2);
        put(&payload, FULL..FULL + 1).await.expect("it is wanted");
        assert!(!is_in_file(&payload) && !payload.is_unwanted());
        assert!(matches!(payload.next(2, 1).await, Got::End), "it has left");
        payload.leave(1);
        assert!(payload.is_unwanted());
        let refused = put(&payload, 0..1).await;
        assert!(refused.is_err_and(|why| why.contains("nobody waits")));
    });
}

#[test]
fn a_copy_that_fails_is_told_to_all_and_stays_failed() {
    run(|scratch| async move {
        let payload = Payload::new(scratch);
        (1..=2).for_each(|id| join(&payload, id, id == 2));
        put(&payload, 0..2).await.expect("it is wanted");
        payload.finish(Err("memory was short".to_owned()));
        payload.finish(Ok(()));
        for id in 1..=2 {
            let told = payload.next(id, 1).await;
            assert!(matches!(told, Got::Failed(why) if why == "memory was short"));
        }
        assert_eq!(payload.failure().as_deref(), Some("memory was short"));
        assert!(payload.length().is_none() && !payload.is_all_here());
    });
}

#[test]
fn a_file_that_cannot_be_made_is_an_error_that_names_it() {
    run(|scratch| async move {
        let payload = Payload::new(scratch.join("nowhere"));
        join(&payload, 1, true);
        put(&payload, 0..FULL).await.expect("it is in memory");
        let refused = put(&payload, FULL..FULL + 1).await;
        assert!(refused.is_err_and(|why| why.contains("spool/nowhere")));
    });
}
