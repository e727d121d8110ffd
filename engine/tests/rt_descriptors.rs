//! Descriptors are counted for the whole process: hence one test, alone in its binary.

mod rt_common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use engine::rt::{Listener, Stream, sleep, spawn_local};
use rt_common::{open_files, run, start, thread_cpu, until};

/// Serves one byte for each byte until it is cancelled.
async fn echo(listener: Listener) {
    loop {
        let stream = Stream::from_accepted(listener.accept().await.unwrap());
        spawn_local(async move {
            let mut byte = [0];
            while let Ok(1) = stream.read(&mut byte).await {
                if stream.write_all(&byte).await.is_err() {
                    break;
                }
            }
        })
        .detach();
    }
}

fn ask(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(rt_common::DEADLINE)).unwrap();
    client.write_all(b"p").unwrap();
    client.read_exact(&mut [0]).unwrap();
    client
}

#[test]
fn no_descriptor_leaks_and_no_shortage_of_them_spins() {
    resets_leak_nothing();
    executors_start_and_stop_on_one_port();
    a_shortage_pauses_and_heals();
}

fn resets_leak_nothing() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), 128).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, mut stopped) = engine::rt::mailbox::<()>();
    let server = start(move || async move {
        spawn_local(echo(listener)).detach();
        stopped.recv().await;
    });
    drop(ask(address));
    until(|| open_files() < 100);
    let before = std::cell::Cell::new(open_files());
    // The connection above may still be closing.
    until(|| {
        let now = open_files();
        before.replace(now) == now
    });
    for _ in 0..200 {
        let client = ask(address);
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    }
    // An executor at rest holds a second name of its set while it sleeps in the ring, and none when it was
    // counted in the moment before: one more is no leak, and 200 resets that leak are.
    until(|| open_files() <= before.get() + 1);
    stop.push(()).unwrap();
    rt_common::join(server);
}

fn executors_start_and_stop_on_one_port() {
    let first = Listener::bind("127.0.0.1:0".parse().unwrap(), 128).unwrap();
    let address = first.local_addr().unwrap();
    drop(first);
    let mut counts = Vec::new();
    for round in 0..50 {
        let listener = Listener::bind(address, 128).unwrap_or_else(|e| panic!("{round}: {e}"));
        let (stop, mut stopped) = engine::rt::mailbox::<()>();
        let server = start(move || async move {
            spawn_local(echo(listener)).detach();
            stopped.recv().await;
        });
        let mut client = ask(address);
        stop.push(()).unwrap();
        rt_common::join(server);
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "round {round}: still served");
        assert!(TcpStream::connect(address).is_err(), "round {round}: still listening");
        counts.push(open_files());
    }
    eprintln!("descriptors after each executor: {counts:?}");
    // glommio keeps one eventfd of every executor that ever was. It is the only one.
    assert!(counts[49] <= counts[4] + 45, "{counts:?}");
}

fn a_shortage_pauses_and_heals() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), 128).unwrap();
    let address = listener.local_addr().unwrap();
    let (cpu, client) = run(move || async move {
        spawn_local(echo(listener)).detach();
        sleep(Duration::from_millis(20)).await;
        let client = TcpStream::connect(address).unwrap();
        let old = set_files_max(open_files() as u64 - 1);
        let before = thread_cpu();
        sleep(Duration::from_millis(500)).await;
        let cpu = thread_cpu() - before;
        set_files_max(old);
        let client = std::thread::spawn(move || {
            let mut client = client;
            client.write_all(b"p").unwrap();
            client.read_exact(&mut [0]).map(|()| client)
        });
        while !client.is_finished() {
            sleep(Duration::from_millis(5)).await;
        }
        (cpu, client.join().unwrap())
    });
    client.unwrap();
    eprintln!("CPU in 500 ms of shortage: {cpu:?}");
    // Who asks again and again burns what it gets: a third of the time, beside others.
    assert!(cpu < Duration::from_millis(100), "{cpu:?}");
}

/// Sets how many files may be open (the soft limit); returns what it was.
fn set_files_max(files: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for both calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        let old = std::mem::replace(&mut limit.rlim_cur, files);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        old
    }
}
