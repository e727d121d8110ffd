//! Executors, tasks, mailboxes and signals across real threads.

mod rt_common;

use std::cell::Cell;
use std::io::Read;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use engine::rt::signals::{Signal, signals};
use engine::rt::{
    Listener, Notify, ReplySlot, ReplyTo, Sender, Settings, Stream, executor, mailbox, sleep,
    spawn_local, timeout, yield_now,
};
use futures_lite::future::block_on;
use rt_common::{DEADLINE, join, run, start, thread_cpu};

#[test]
fn every_message_of_many_threads_arrives_once_and_in_its_senders_order() {
    const SENDERS: usize = 4;
    const EACH: usize = 1_000_000;
    let (sender, mut receiver) = mailbox();
    let receiving = start(move || async move {
        let mut next = [0usize; SENDERS];
        while let Some((who, number)) = receiver.recv().await {
            assert_eq!(next[who], number, "of sender {who}");
            next[who] += 1;
        }
        next
    });
    let senders: Vec<_> = (0..SENDERS)
        .map(|who| {
            let sender: Sender<(usize, usize)> = sender.clone();
            thread::spawn(move || {
                for number in 0..EACH {
                    sender.push((who, number)).unwrap();
                    // Now and then the receiver gets a chance to fall asleep.
                    if number % 1000 == who {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    drop(sender);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(join(receiving), [EACH; SENDERS]);
}

#[test]
fn no_wake_up_between_two_executors_is_lost() {
    // With glommio's own wakers some 20 of these were: each then waited for the next timer.
    const ROUNDS: usize = 200_000;
    let (there, mut there_end) = mailbox::<usize>();
    let (back, mut back_end) = mailbox::<usize>();
    let echo = start(move || async move {
        while let Some(number) = there_end.recv().await {
            back.push(number).unwrap();
        }
    });
    let asker = start(move || async move {
        let mut slowest = Duration::ZERO;
        for number in 0..ROUNDS {
            let began = Instant::now();
            there.push(number).unwrap();
            // Nothing else goes on in either executor, no timer is up before this one.
            let answer = timeout(DEADLINE, back_end.recv()).await;
            assert_eq!(answer, Ok(Some(number)), "round {number}");
            slowest = slowest.max(began.elapsed());
        }
        slowest
    });
    eprintln!("the slowest of {ROUNDS} rounds took {:?}", join(asker));
    join(echo);
}

#[test]
fn who_was_patient_has_all_that_came_meanwhile_and_is_woken_from_then_on() {
    const ROUNDS: usize = 50_000;
    let (there, mut there_end) = mailbox::<usize>();
    let (back, mut back_end) = mailbox::<usize>();
    let (bell, is_patient) = (back.clone(), Arc::new(AtomicBool::new(false)));
    let asked = is_patient.clone();
    let echo = start(move || async move {
        while let Some(number) = there_end.recv().await {
            back.push_unless(number, || asked.load(Ordering::Relaxed)).unwrap();
        }
    });
    let asker = start(move || async move {
        let (came, notify) = (Rc::new(Cell::new(0)), Rc::new(Notify::new()));
        let (counted, told) = (came.clone(), notify.clone());
        let taking = spawn_local(async move {
            while let Some(number) = back_end.recv().await {
                counted.set(number);
                told.notify_all();
            }
        });
        for number in 1..=ROUNDS {
            is_patient.store(true, Ordering::Relaxed);
            there.push(number).unwrap();
            // It comes before, after, or just as the patience ends.
            for _ in 0..fastrand::usize(..300) {
                std::hint::spin_loop();
            }
            if number % 16 == 0 {
                yield_now().await;
            }
            is_patient.store(false, Ordering::Relaxed);
            bell.ring();
            while came.get() < number {
                let waited = timeout(DEADLINE, notify.wait()).await;
                assert!(waited.is_ok(), "round {number} is slept over");
            }
        }
        drop(taking);
    });
    join(asker);
    join(echo);
}

#[test]
fn a_mailbox_works_between_plain_threads_and_is_swept_when_its_receiver_goes() {
    let (sender, mut receiver) = mailbox();
    let reader = thread::spawn(move || {
        let mut sum = 0;
        for _ in 0..100_000 {
            assert!(block_on(receiver.wait()));
            sum += receiver.try_pop().unwrap();
        }
        sum
    });
    (0..100_000u64).for_each(|number| sender.push(number).unwrap());
    assert_eq!(reader.join().unwrap(), 99_999 * 50_000);
    assert_eq!(sender.push(7), Err(7));

    let (sender, receiver) = mailbox();
    let mut slot = ReplySlot::<()>::new();
    sender.push(slot.sender()).unwrap();
    drop(receiver);
    assert_eq!(block_on(slot.recv()), None, "a request that nobody will read is answered");
}

#[test]
fn messages_that_race_with_the_receivers_end_are_not_kept() {
    for _ in 0..2000 {
        let (sender, receiver) = mailbox::<ReplyTo<()>>();
        let mut slot = ReplySlot::new();
        let reply = slot.sender();
        let ender = thread::spawn(move || drop(receiver));
        let _ = sender.push(reply);
        ender.join().unwrap();
        assert_eq!(block_on(slot.recv()), None);
    }
}

#[test]
fn thousands_of_requests_to_another_executor_are_answered_in_their_own_slots() {
    let (requests, mut requests_end) = mailbox::<(usize, ReplyTo<usize>)>();
    let server = start(move || async move {
        while let Some((number, reply)) = requests_end.recv().await {
            reply.send(number * 2);
        }
    });
    let clients = start(move || async move {
        let tasks: Vec<_> = (0..1000)
            .map(|number| {
                let requests = requests.clone();
                spawn_local(async move {
                    let mut slot = ReplySlot::new();
                    for round in 0..20 {
                        requests.push((number + round, slot.sender())).unwrap();
                        let answer = timeout(DEADLINE, slot.recv()).await;
                        assert_eq!(answer, Ok(Some((number + round) * 2)));
                    }
                })
            })
            .collect();
        drop(requests);
        for task in tasks {
            task.await;
        }
    });
    join(clients);
    join(server);
}

#[test]
fn detached_tasks_and_their_sockets_end_with_their_executor() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), 16).unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    run(move || async move {
        struct Witness(Arc<AtomicUsize>);
        impl Drop for Witness {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let stream = Stream::from_accepted(listener.accept().await.unwrap());
        let witness = Witness(Arc::clone(&count));
        spawn_local(async move {
            let _witness = witness;
            let _ = stream.read(&mut [0; 8]).await;
        })
        .detach();
        let witness = Witness(Arc::clone(&count));
        let (sender, mut receiver) = mailbox::<()>();
        spawn_local(async move {
            // Waits for itself: nothing but being cancelled can end it.
            let (_witness, _sender) = (witness, sender);
            receiver.recv().await;
        })
        .detach();
        let witness = Witness(Arc::clone(&count));
        spawn_local(async move {
            // Detached by a task that is itself detached, and asleep.
            spawn_local(async move {
                let _witness = witness;
                sleep(DEADLINE).await;
            })
            .detach();
        })
        .detach();
        sleep(Duration::from_millis(5)).await;
    });
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_cancelled_task_stops_and_a_finished_one_gives_its_output() {
    run(|| async {
        let ran = Rc::new(Cell::new(0));
        let inside = Rc::clone(&ran);
        let task = spawn_local(async move {
            loop {
                inside.set(inside.get() + 1);
                yield_now().await;
            }
        });
        while ran.get() < 3 {
            yield_now().await;
        }
        assert_eq!(task.cancel().await, None::<()>);
        let at = ran.get();
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(ran.get(), at);
        assert_eq!(Rc::strong_count(&ran), 1);
        assert_eq!(spawn_local(async { 7 }).await, 7);
        // Detached after its end.
        let task = spawn_local(async {});
        yield_now().await;
        task.detach();
    });
}

#[test]
fn a_spawned_task_first_runs_when_its_spawner_waits() {
    run(|| async {
        let ran = Rc::new(Cell::new(false));
        let inside = Rc::clone(&ran);
        let task = spawn_local(async move { inside.set(true) });
        assert!(!ran.get(), "the spawner may be in the middle of something");
        task.await;
        assert!(ran.get());
    });
}

#[test]
fn errors_and_panics_of_an_executor_surface_at_join() {
    let settings = Settings::named("shard-9").on_cpu(Some(100_000));
    let failing = executor::spawn(settings, || async {}).unwrap();
    assert!(!failing.wait_started());
    let error = failing.join().unwrap_err();
    assert!(error.contains("shard-9") && error.contains("--pin=off"), "{error}");

    let panicking = executor::spawn(Settings::named("shard-8"), || async {
        panic!("on purpose");
    });
    let error = panicking.unwrap().join().unwrap_err();
    assert!(error.contains("shard-8") && error.contains("on purpose"), "{error}");
}

#[test]
fn a_pinned_executor_runs_on_its_cpu_under_its_name() {
    let cpu = *executor::allowed_cpus().last().unwrap();
    let settings = Settings::named("shard-1").on_cpu(Some(cpu));
    let pinned = executor::spawn(settings, || async {
        (executor::allowed_cpus(), thread::current().name().map(str::to_owned))
    })
    .unwrap();
    assert!(pinned.wait_started());
    assert_eq!(join(pinned), (vec![cpu], Some("shard-1".to_owned())));
}

#[test]
fn sockets_are_looked_at_while_a_task_only_yields() {
    let (rounds, slices, median, lasted) = run(|| async {
        let began = Instant::now();
        let slices = Rc::new(Cell::new(0u128));
        let counter = Rc::clone(&slices);
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        let address = listener.local_addr().unwrap();
        // Background work in slices of 50 us.
        spawn_local(async move {
            loop {
                let until = Instant::now() + Duration::from_micros(50);
                while Instant::now() < until {}
                counter.set(counter.get() + 1);
                yield_now().await;
            }
        })
        .detach();
        let client = thread::spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            let mut times = Vec::new();
            for _ in 0..1000 {
                let began = Instant::now();
                std::io::Write::write_all(&mut client, b"p").unwrap();
                client.read_exact(&mut [0]).unwrap();
                times.push(began.elapsed());
            }
            times.sort();
            times
        });
        let stream = Stream::from_accepted(listener.accept().await.unwrap());
        let mut byte = [0];
        let mut rounds = 0;
        while stream.read(&mut byte).await.unwrap() == 1 {
            stream.write_all(&byte).await.unwrap();
            rounds += 1;
        }
        let times = client.join().unwrap();
        (rounds, slices.get(), times[500], began.elapsed())
    });
    eprintln!("median round trip {median:?} beside {slices} slices of 50 us in {lasted:?}");
    assert_eq!(rounds, 1000);
    // Some milliseconds where others want the CPU too; without a look it is never.
    assert!(median < Duration::from_millis(200), "{median:?}");
    // And the work goes on. Others that want the CPU may keep it from most of the time, not from all.
    assert!(slices * 5000 > lasted.as_micros(), "{slices} slices in {lasted:?}");
}

#[test]
fn an_idle_executor_burns_no_cpu() {
    let burnt = run(|| async {
        let before = thread_cpu();
        sleep(Duration::from_secs(1)).await;
        thread_cpu() - before
    });
    eprintln!("idle: {burnt:?} of 1 s");
    // Usually less than a millisecond. One that never sleeps burns what it gets: a third, beside others.
    assert!(burnt < Duration::from_millis(100), "{burnt:?}");
}

#[test]
fn a_notification_wakes_a_task_that_waits() {
    run(|| async {
        let notify = Rc::new(Notify::new());
        let ready = Rc::new(Cell::new(false));
        let waiter = {
            let (notify, ready) = (Rc::clone(&notify), Rc::clone(&ready));
            spawn_local(async move {
                while !ready.get() {
                    notify.wait().await.unwrap();
                }
            })
        };
        while notify.waiters() == 0 {
            yield_now().await;
        }
        ready.set(true);
        notify.notify_all();
        assert_eq!(timeout(DEADLINE, waiter).await, Ok(()));
    });
}

#[test]
fn signals_come_out_of_the_mailbox_and_do_not_end_the_process() {
    let mut receiver = signals().unwrap();
    assert!(signals().is_err());
    run(move || async move {
        for (number, signal) in [
            (libc::SIGHUP, Signal::Reload),
            (libc::SIGINT, Signal::Interrupt),
            (libc::SIGTERM, Signal::Terminate),
            (libc::SIGQUIT, Signal::Quit),
            (libc::SIGUSR1, Signal::Reopen),
            (libc::SIGUSR2, Signal::Tell),
        ] {
            // SAFETY: a signal to ourselves, with a handler that is installed.
            unsafe { libc::kill(libc::getpid(), number) };
            assert_eq!(timeout(DEADLINE, receiver.recv()).await, Ok(Some(signal)));
        }
    });
}
