//! Sockets against real peers: threads of the standard library at the other end.

mod rt_common;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use engine::rt::{
    Accepted, Listener, Nap, Peer, Stream, connect_any, mailbox, resolve, sleep, spawn_local,
    timeout,
};
use rt_common::{join, run, start, thread_cpu};

const LOCAL: &str = "127.0.0.1:0";

fn listen() -> (Listener, SocketAddr) {
    let listener = Listener::bind(LOCAL.parse().unwrap(), 128).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A connection: our end as a [`Stream`] of the current executor, the other of the standard library.
async fn pair() -> (Stream, TcpStream) {
    let (listener, address) = listen();
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(rt_common::DEADLINE)).unwrap();
    (Stream::from_accepted(listener.accept().await.unwrap()), client)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 + index / 251) as u8).collect()
}

async fn read_exactly(stream: &Stream, len: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while all.len() < len {
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "end after {} of {len}", all.len());
        all.extend_from_slice(&buffer[..count]);
    }
    all
}

#[test]
fn a_client_that_half_closes_after_its_request_gets_its_reply() {
    let (listener, address) = listen();
    let client = thread::spawn(move || {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"PING").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        reply
    });
    run(move || async move {
        let stream = Stream::from_accepted(listener.accept().await.unwrap());
        assert_eq!(read_exactly(&stream, 4).await, b"PING");
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
        stream.write_all(b"PONG").await.unwrap();
    });
    assert_eq!(client.join().unwrap(), "PONG");
}

/// A client asks for much, does not read, and half-closes: every wait for room is then in vain.
/// Returns the share of one CPU that the executor burns meanwhile, and checks that all arrives.
fn cpu_of_a_stalled_writer(unread: &'static [u8], vectored: bool, len: usize) -> f64 {
    run(move || async move {
        let (stream, mut client) = pair().await;
        let stream = Rc::new(stream);
        let writer = {
            let stream = Rc::clone(&stream);
            spawn_local(async move {
                let bytes = pattern(len);
                if vectored {
                    let mut pieces: Vec<_> = bytes.chunks(999).map(IoSlice::new).collect();
                    stream.write_vectored(&mut pieces).await.unwrap();
                } else {
                    stream.write_all(&bytes).await.unwrap();
                }
                stream.shutdown_write().unwrap();
            })
        };
        // Time to fill the kernel's buffers and to stall, and below to hear of the end. Were it too
        // short, the writer would stall a little later, and the measuring still see it.
        sleep(Duration::from_millis(100)).await;
        client.write_all(unread).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        sleep(Duration::from_millis(100)).await;

        let (cpu, wall) = (thread_cpu(), Instant::now());
        sleep(Duration::from_millis(1000)).await;
        let burnt = (thread_cpu() - cpu).as_secs_f64() / wall.elapsed().as_secs_f64();

        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            all
        });
        timeout(rt_common::DEADLINE, writer).await.unwrap();
        assert!(
            reader.join().unwrap() == pattern(len),
            "the bytes are not those that were written"
        );
        burnt
    })
}

#[test]
fn a_stalled_client_that_half_closes_burns_no_cpu() {
    for (unread, vectored) in [(&b""[..], false), (&b"GET k"[..], false), (&b""[..], true)] {
        let burnt = cpu_of_a_stalled_writer(unread, vectored, 32 << 20);
        eprintln!("unread {unread:?}, vectored {vectored}: {:.1} % of a CPU", burnt * 100.0);
        assert!(burnt < 0.20, "unread {unread:?}, vectored {vectored}: {burnt}");
    }
}

#[test]
fn a_port_that_somebody_listens_on_is_refused_with_its_address() {
    let (_first, address) = listen();
    let error = Listener::bind(address, 16).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.to_string().contains("in use"), "{error}");

    let foreign = TcpListener::bind(LOCAL).unwrap();
    let error = Listener::bind(foreign.local_addr().unwrap(), 16).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);

    let error = Listener::bind("192.0.2.1:0".parse().unwrap(), 16).unwrap_err();
    assert!(error.to_string().contains("no such address"), "{error}");
}

#[test]
fn a_port_is_free_as_soon_as_its_listener_is_dropped_also_in_the_middle_of_a_wait() {
    run(|| async {
        let (first, address) = listen();
        let mut listener = Some(first);
        for round in 0..50 {
            let current = listener.take().unwrap_or_else(|| {
                Listener::bind(address, 16).unwrap_or_else(|error| panic!("{round}: {error}"))
            });
            // Left in the middle of a wait: the kernel still polls the listener.
            assert!(timeout(Duration::from_millis(1), current.accept()).await.is_err());
        }
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn all_addresses_means_both_families_where_there_are_both() {
    let listener = Listener::bind_any(0, 16).unwrap();
    let bound = listener.local_addr().unwrap();
    let port = bound.port();
    run(move || async move {
        let four = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let accepted = listener.accept().await.unwrap();
        assert_eq!(accepted.peer, Peer::Internet(four.local_addr().unwrap()));
        assert!(accepted.peer.is_local());
        if bound.is_ipv6() {
            let six = TcpStream::connect(("::1", port)).unwrap();
            let accepted = listener.accept().await.unwrap();
            assert_eq!(accepted.peer, Peer::Internet(six.local_addr().unwrap()));
            let error = Listener::bind_any(port, 16).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
        }
    });
}

#[test]
fn a_live_stream_moves_to_another_executor_with_its_unread_bytes() {
    let (hand, mut taken) = mailbox::<Accepted>();
    let second = start(move || async move {
        let stream = Stream::from_accepted(taken.recv().await.unwrap());
        let text = read_exactly(&stream, 6).await;
        stream.write_all(&text).await.unwrap();
        stream.fd()
    });
    let mut client = run(move || async move {
        let (stream, mut client) = pair().await;
        client.write_all(b"one").unwrap();
        assert_eq!(read_exactly(&stream, 3).await, b"one");
        // A read that waits and is dropped, so that the kernel is still polling when we move.
        assert!(timeout(Duration::from_millis(5), stream.read(&mut [0; 8])).await.is_err());
        client.write_all(b"two").unwrap();
        hand.push(stream.into_accepted()).unwrap();
        client
    });
    client.write_all(b"six").unwrap();
    let mut reply = [0; 6];
    client.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"twosix");
    join(second);
    assert_eq!(client.read(&mut reply).unwrap(), 0, "closed when its second owner dropped it");
}

#[test]
fn a_read_that_is_dropped_loses_no_bytes_and_leaves_no_timer() {
    run(|| async {
        let (stream, mut client) = pair().await;
        let mut buffer = [0; 64];
        for round in 0..20u8 {
            let began = Instant::now();
            let limit = Duration::from_millis(10);
            assert!(timeout(limit, stream.read(&mut buffer)).await.is_err());
            assert!(began.elapsed() >= limit);
            client.write_all(&[round; 3]).unwrap();
            // Longer than the timers of all rounds before: one that was left would end this.
            let read = timeout(rt_common::DEADLINE, read_exactly(&stream, 3)).await;
            assert_eq!(read.unwrap(), [round; 3]);
        }
        assert_eq!(stream.try_read(&mut buffer).unwrap(), None);
    });
}

#[test]
fn one_task_reads_while_another_writes() {
    const LEN: usize = 8 << 20;
    run(|| async {
        let (stream, client) = pair().await;
        let mut second = client.try_clone().unwrap();
        let sender = thread::spawn(move || second.write_all(&pattern(LEN)).unwrap());
        let receiver = thread::spawn(move || {
            let mut all = vec![0; LEN];
            let mut client = client;
            client.read_exact(&mut all).unwrap();
            all
        });
        let stream = Rc::new(stream);
        let writer = {
            let stream = Rc::clone(&stream);
            spawn_local(async move { stream.write_all(&pattern(LEN)).await.unwrap() })
        };
        let all = timeout(rt_common::DEADLINE, read_exactly(&stream, LEN)).await.unwrap();
        timeout(rt_common::DEADLINE, writer).await.unwrap();
        sender.join().unwrap();
        assert!(all == pattern(LEN));
        assert!(receiver.join().unwrap() == pattern(LEN));
    });
}

#[test]
fn many_pieces_empty_ones_among_them_arrive_whole_and_in_order() {
    let bytes = pattern(300_000);
    let received = run(move || async move {
        let (stream, mut client) = pair().await;
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            all
        });
        // More pieces than one system call takes, of lengths 0 to 199.
        let mut rest = &bytes[..];
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((pieces.len() * 7 % 200).min(rest.len()));
            pieces.push(IoSlice::new(piece));
            rest = after;
        }
        assert!(pieces.len() > 1024);
        stream.write_vectored(&mut pieces).await.unwrap();
        stream.write_vectored(&mut []).await.unwrap();
        stream.write_vectored(&mut [IoSlice::new(b""), IoSlice::new(b"")]).await.unwrap();
        stream.write_all(b"").await.unwrap();
        stream.shutdown_write().unwrap();
        reader.join().unwrap()
    });
    assert!(received == pattern(300_000));
}

#[test]
fn readable_tells_of_bytes_and_of_the_end_and_takes_nothing() {
    run(|| async {
        let (stream, mut client) = pair().await;
        let mut buffer = [0; 16];
        assert!(timeout(Duration::from_millis(10), stream.readable()).await.is_err());
        client.write_all(b"ab").unwrap();
        stream.readable().await.unwrap();
        stream.readable().await.unwrap();
        assert_eq!(stream.try_read(&mut buffer).unwrap(), Some(2));
        assert!(timeout(Duration::from_millis(10), stream.readable()).await.is_err());
        drop(client);
        stream.readable().await.unwrap();
        assert_eq!(stream.try_read(&mut buffer).unwrap(), Some(0));
    });
}

#[test]
fn a_reset_ends_reads_and_writes_with_an_error() {
    run(|| async {
        let (stream, client) = pair().await;
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let error = timeout(rt_common::DEADLINE, stream.read(&mut [0; 8])).await.unwrap();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let error = stream.write_all(&[0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn connecting_succeeds_or_is_refused_or_times_out() {
    run(|| async {
        let (listener, address) = listen();
        let stream = Stream::connect(address, rt_common::DEADLINE).await.unwrap();
        let accepted = Stream::from_accepted(listener.accept().await.unwrap());
        assert_eq!(stream.peer_addr(), Some(address));
        assert_eq!(stream.local_addr(), accepted.peer_addr());
        stream.set_nodelay(true).unwrap();
        stream.set_keepalive(300).unwrap();
        stream.set_keepalive(0).unwrap();
        stream.set_user_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(b"hello").await.unwrap();
        assert_eq!(read_exactly(&accepted, 5).await, b"hello");

        drop(listener);
        let error = Stream::connect(address, rt_common::DEADLINE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);

        // A listener whose queue is full answers nobody.
        let (_full, address) = {
            let listener = Listener::bind(LOCAL.parse().unwrap(), 0).unwrap();
            let address = listener.local_addr().unwrap();
            (listener, address)
        };
        let mut waiting = Vec::new();
        let error = loop {
            match Stream::connect(address, Duration::from_millis(200)).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
            assert!(waiting.len() < 16, "the queue is never full");
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_unix_socket_is_bound_alone_replaced_when_stale_and_removed_in_the_end() {
    let folder = std::env::temp_dir().join(format!("damselfly-rt-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("s");
    // What a process that was killed leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = Listener::bind_unix(&path, 16).unwrap();
    assert_eq!(Listener::bind_unix(&path, 16).unwrap_err().kind(), ErrorKind::AddrInUse);
    let (at, mut buffer) = (path.clone(), [0; 8]);
    run(move || async move {
        // The probe of the second bind has left a connection that ends at once.
        drop(listener.accept().await.unwrap());
        let client = Stream::connect_unix(&at, rt_common::DEADLINE).await.unwrap();
        let stream = Stream::from_accepted(listener.accept().await.unwrap());
        assert_eq!((stream.peer(), stream.peer_addr()), (Peer::Local, None));
        stream.set_nodelay(true).unwrap();
        assert!(timeout(Duration::from_millis(10), client.readable()).await.is_err());
        stream.write_all(b"unix").await.unwrap();
        client.readable().await.unwrap();
        assert_eq!(client.read(&mut buffer).await.unwrap(), 4);
        drop(stream);
        client.readable().await.unwrap();
        assert_eq!(client.read(&mut buffer).await.unwrap(), 0);
    });
    assert!(!path.exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn hosts_are_resolved_and_nonsense_is_refused() {
    run(|| async {
        for host in ["localhost", "127.0.0.1", "::1", "[::1]"] {
            let found = resolve(host, 6379).await.unwrap_or_else(|error| panic!("{host}: {error}"));
            assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 6379), "{found:?}");
        }
        for host in ["", "[::1", "[localhost]", "a\0b"] {
            assert!(resolve(host, 1).await.unwrap_err().contains("not a host"), "{host}");
        }
    });
}

#[test]
fn thirty_who_ask_for_one_name_at_once_are_all_answered() {
    run(|| async {
        let asking: Vec<_> = (0..30).map(|_| spawn_local(resolve("localhost", 7))).collect();
        for asked in asking {
            let found = asked.await.unwrap();
            assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 7), "{found:?}");
        }
    });
}

#[test]
fn an_address_that_leads_nowhere_does_not_keep_the_others_waiting() {
    let (full, refusing, good) = (full_listener(), refused_address(), TcpListener::bind(LOCAL));
    let silent = full.0.local_addr().unwrap().as_socket().unwrap();
    let good = good.unwrap();
    let at = good.local_addr().unwrap();
    run(move || async move {
        let began = Instant::now();
        let addresses = [silent, refusing, silent, at];
        let (stream, reached) = connect_any(&addresses, rt_common::DEADLINE).await.unwrap();
        assert_eq!((stream.peer_addr(), reached), (Some(at), at));
        assert!(began.elapsed() < rt_common::DEADLINE / 2, "{:?}", began.elapsed());

        let limit = Duration::from_millis(20);
        let unreached = connect_any(&[silent, refusing], limit).await.unwrap_err();
        let error = unreached.text;
        assert!(unreached.late, "{error}");
        assert!(error.contains(&format!("{refusing}: ")), "{error}");
        assert!(error.contains(&format!("{silent} did not answer within 20 ms")), "{error}");
        assert!(!connect_any(&[refusing], limit).await.unwrap_err().late);
        assert_eq!(connect_any(&[], limit).await.unwrap_err().text, "");
    });
}

/// A listener whose queue is full: a connection attempt is not answered.
fn full_listener() -> (socket2::Socket, Vec<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&LOCAL.parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
        held.push(stream);
    }
    (socket, held)
}

fn refused_address() -> SocketAddr {
    TcpListener::bind(LOCAL).unwrap().local_addr().unwrap()
}

#[test]
fn what_comes_while_nobody_listens_is_read_afterwards() {
    run(|| async {
        let (stream, mut client) = pair().await;
        let nap = Nap::new().unwrap();
        for round in 0..100 {
            client.write_all(b"a").unwrap();
            assert_eq!(read_exactly(&stream, 1).await, b"a");
            stream.listen(false);
            if round % 3 > 0 {
                client.write_all(b"bc").unwrap();
            }
            nap.until(Instant::now() + Duration::from_micros(300)).await;
            if round % 3 == 0 {
                client.write_all(b"bc").unwrap();
            }
            stream.listen(true);
            let read = timeout(rt_common::DEADLINE, read_exactly(&stream, 2)).await;
            assert_eq!(read.unwrap(), b"bc", "round {round}");
        }
        stream.listen(false);
        client.write_all(b"end").unwrap();
        drop(client);
        nap.until(Instant::now() + Duration::from_millis(1)).await;
        stream.listen(true);
        let read = timeout(rt_common::DEADLINE, read_exactly(&stream, 3)).await;
        assert_eq!(read.unwrap(), b"end");
        let end = timeout(rt_common::DEADLINE, stream.read(&mut [0; 16])).await;
        assert_eq!(end.unwrap().unwrap(), 0);
    });
}

#[test]
fn who_writes_hears_of_room_also_while_nobody_listens() {
    for is_deaf_before in [true, false] {
        run(move || async move {
            let (stream, mut client) = pair().await;
            client.write_all(b"a").unwrap();
            assert_eq!(read_exactly(&stream, 1).await, b"a");
            let stream = Rc::new(stream);
            stream.listen(!is_deaf_before);
            let of_task = stream.clone();
            let writing = spawn_local(async move {
                // More than the kernel takes without a reader.
                of_task.write_all(&pattern(16 << 20)).await.unwrap();
            });
            sleep(Duration::from_millis(50)).await;
            stream.listen(false);
            let reader = thread::spawn(move || {
                let mut all = vec![0; 16 << 20];
                client.read_exact(&mut all).unwrap();
                all == pattern(16 << 20)
            });
            timeout(rt_common::DEADLINE, writing).await.unwrap();
            assert!(reader.join().unwrap());
        });
    }
}

#[test]
fn a_nap_ends_at_its_time_however_often_it_is_dropped_and_asked_for_again() {
    run(|| async {
        let nap = Nap::new().unwrap();
        for round in 0..50 {
            let when = Instant::now() + Duration::from_millis(2);
            // Dropped half-way, and in every other round not waited for until its time has come.
            let pauses = if round % 2 == 0 { 4 } else { 1 };
            for _ in 0..pauses {
                let _ = timeout(Duration::from_micros(400), nap.until(when)).await;
            }
            if round % 3 == 0 {
                sleep(Duration::from_millis(3)).await;
            }
            timeout(rt_common::DEADLINE, nap.until(when)).await.unwrap();
            assert!(Instant::now() >= when, "round {round}");
        }
    });
}
