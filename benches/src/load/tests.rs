//! The generator against a small server that does what it is told, also wrongly.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::resp::{Limits, Parsed, Parser, Protocol, ReplyWriter};

use super::*;

/// How the server fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Every value has another last byte.
    Lies,
    /// Every GET is an error.
    Refuses,
    /// The connection ends after the first request.
    HangsUp,
    /// Every answer takes so long.
    Slow(Duration),
}

type Data = Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>;

fn serve(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let data = Data::default();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let data = data.clone();
            std::thread::spawn(move || serve_one(socket, &data, fault));
        }
    });
    address
}

fn serve_one(mut socket: TcpStream, data: &Data, fault: Fault) {
    let (mut parser, mut input, mut output) = (Parser::new(), Vec::new(), Vec::new());
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = socket.read(&mut piece) {
        input.extend_from_slice(&piece[..length]);
        while let Ok(Parsed::Request { consumed }) = parser.next(&input, &Limits::STANDARD) {
            let words: Vec<Vec<u8>> = parser.args(&input).iter().map(<[u8]>::to_vec).collect();
            answer(&words, &mut data.lock().unwrap(), fault, &mut output);
            input.drain(..consumed);
            if fault == Fault::HangsUp {
                return;
            }
        }
        if let Fault::Slow(delay) = fault {
            std::thread::sleep(delay);
        }
        if socket.write_all(&output).is_err() {
            return;
        }
        output.clear();
    }
}

fn answer(
    words: &[Vec<u8>],
    data: &mut HashMap<Vec<u8>, Vec<u8>>,
    fault: Fault,
    output: &mut Vec<u8>,
) {
    let mut reply = ReplyWriter::new(output, Protocol::Resp2);
    let store = |value: &[u8]| {
        let mut value = value.to_vec();
        if fault == Fault::Lies {
            *value.last_mut().unwrap() ^= 1;
        }
        value
    };
    match (words[0].as_slice(), &words[1..]) {
        (b"SET" | b"MSET", pairs) => {
            for pair in pairs.chunks(2) {
                data.insert(pair[0].clone(), store(&pair[1]));
            }
            reply.ok();
        }
        (b"GET", _) if fault == Fault::Refuses => reply.error("ERR not today"),
        (b"GET", [key]) => reply.bulk_or_nil(data.get(key).map(Vec::as_slice)),
        (b"MGET", keys) => {
            reply.array(keys.len());
            keys.iter().for_each(|key| reply.bulk_or_nil(data.get(key).map(Vec::as_slice)));
        }
        (b"APPEND", [key, value]) => {
            let text = data.entry(key.clone()).or_default();
            text.extend_from_slice(value);
            reply.count(text.len());
        }
        (b"INCR", _) => reply.integer(1),
        (b"ECHO", [text]) => reply.bulk(text),
        _ => reply.error("ERR unknown command"),
    }
}

fn small(address: SocketAddr, mix: &str) -> Config {
    Config {
        connections: 4,
        threads: 2,
        pipeline: 7,
        until: Until::Requests(1003),
        keys: 100,
        mix: Mix::parse(mix).unwrap(),
        ..Config::new(address)
    }
}

#[test]
fn a_filled_server_gives_back_the_values_of_all_commands() {
    let address = serve(Fault::None);
    let report = run(&Config::fill(address, 100, 32)).unwrap();
    assert!(report.is_clean() && report.requests == 100, "{report}");
    let report = run(&small(address, "set,get=3,incr,mset:5,mget:7,append")).unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.requests, report.missing), (1003, 0));
    assert!(report.server_cpu_seconds.is_some(), "the server is this very process");
    assert!(report.latency.p50 > 0.0 && report.latency.p50 <= report.latency.max);
}

#[test]
fn an_empty_server_misses_every_value() {
    let report = run(&small(serve(Fault::None), "get")).unwrap();
    assert!(report.is_clean());
    assert_eq!(report.missing, 1003);
}

#[test]
fn a_lie_is_seen_by_get_and_by_mget() {
    for mix in ["get", "mget:3"] {
        let address = serve(Fault::Lies);
        run(&Config::fill(address, 100, 32)).unwrap();
        let report = run(&small(address, mix)).unwrap();
        assert_eq!(report.wrong, 1003, "{report}");
        assert!(report.first_error.is_some());
    }
}

#[test]
fn errors_are_counted_and_the_first_one_is_shown() {
    let report = run(&small(serve(Fault::Refuses), "get")).unwrap();
    assert_eq!(report.errors, 1003);
    assert_eq!(report.first_error.as_deref(), Some("-ERR not today"));
}

#[test]
fn a_lost_connection_loses_its_requests_and_ends_the_run_when_it_was_the_last() {
    let report = run(&small(serve(Fault::HangsUp), "set")).unwrap();
    assert_eq!((report.requests, report.lost, report.lost_connections), (0, 28, 4));
}

#[test]
fn a_template_is_filled_in() {
    let mix = Mix::template("ECHO a__key__b__c").unwrap();
    let address = serve(Fault::None);
    let report = run(&Config { mix, ..small(address, "set") }).unwrap();
    assert!(report.is_clean() && report.requests == 1003, "{report}");
}

#[test]
fn an_open_loop_counts_latency_from_the_intended_time() {
    // One connection with one request in flight, 20 ms each, but one is to be sent every 5 ms: the
    // twentieth waits for the nineteen before it.
    let address = serve(Fault::Slow(Duration::from_millis(20)));
    let report = run(&Config {
        connections: 1,
        threads: 1,
        pipeline: 1,
        until: Until::Requests(20),
        pace: Pace::Open { rate: 200.0 },
        ..small(address, "set")
    })
    .unwrap();
    assert!(report.is_clean() && report.requests == 20, "{report}");
    assert!(report.latency.max > 250_000.0, "{report}");
    assert!(report.latency.p50 > 100_000.0, "{report}");
}

#[test]
fn an_open_loop_sleeps_only_until_the_next_request_is_due_unless_it_waits_for_room() {
    let ms = Duration::from_millis;
    for (until_due, is_full, sleeps) in [
        (ms(3), false, ms(3)),
        (ms(300), false, ms(50)),
        // Due since it looked: it once slept 50 ms here, and every server's p99 was 50 ms.
        (ms(0), false, ms(0)),
        (ms(0), true, ms(50)),
    ] {
        assert_eq!(super::worker::pause(until_due, is_full), sleeps, "{until_due:?} {is_full}");
    }
}

#[test]
fn an_open_loop_keeps_its_rate_on_a_fast_server() {
    let report = run(&Config {
        until: Until::Requests(500),
        pace: Pace::Open { rate: 1000.0 },
        ..small(serve(Fault::None), "set")
    })
    .unwrap();
    // Never faster than asked; how much slower is the machine's affair.
    assert!(report.is_clean() && report.requests == 500, "{report}");
    assert!(report.seconds >= 0.49, "{report}");
}

#[test]
fn a_run_can_be_stopped() {
    let address = serve(Fault::None);
    let config =
        Config { until: Until::Elapsed(Duration::from_secs(600)), ..small(address, "set") };
    let stop = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        let running = scope.spawn(|| run_until_stopped(&config, &stop));
        let mut client = crate::client::Client::connect(address).unwrap();
        while client.ask(&["GET", "key:000000000000"]).unwrap() == engine::resp::Reply::Nil {}
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        running.join().unwrap().unwrap()
    });
    assert!(report.is_clean() && report.requests > 0, "{report}");
}

#[test]
fn values_and_keys_are_the_same_in_every_run() {
    let (mut first, mut again, mut other) = (Vec::new(), Vec::new(), Vec::new());
    write_value(&mut first, 7, 37);
    write_value(&mut again, 7, 37);
    write_value(&mut other, 8, 37);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!(first.len() == 37 && first.iter().all(|byte| (0x40..0x60).contains(byte)));
    let key = |number| {
        let mut key = Vec::new();
        write_key(&mut key, KEY_PREFIX, number);
        String::from_utf8(key).unwrap()
    };
    assert_eq!(key(0), "key:000000000000");
    assert_eq!(key(1_000_042), "key:000001000042");
    assert_eq!(key(1_234_567_890_123), "key:1234567890123");
}

#[test]
fn a_mix_is_read_and_its_mistakes_are_named() {
    assert!(Mix::parse("set=1,get=9, mset:3=2").is_ok());
    for text in ["", "set=0", "nothing", "set=x", "mset:x"] {
        assert!(Mix::parse(text).is_err(), "{text}");
    }
    assert!(Mix::template("  ").is_err());
}

#[test]
fn the_report_is_valid_json_whatever_the_server_said() {
    let report = Report { first_error: Some("a \"b\" \\ \r\n".into()), ..Report::default() };
    let json = report.to_json();
    assert!(json.contains(r#""first_error":"a \"b\" \\ \u000d\u000a""#), "{json}");
    assert!(json.contains(r#""server_cpu_seconds":null"#), "{json}");
    assert_eq!(json.matches('{').count(), json.matches('}').count());
}
