//! Clients that keep writing: a thread that draws commands at random from a seed.

use super::client::request;
use super::collections;
use super::node::Node;
use fastrand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

type Request = Vec<Vec<u8>>;

/// What is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Keys of the first database. The others hold a tenth of them.
    pub(crate) keys: u64,
    /// Commands a request buffer.
    pub(crate) pipeline: usize,
    /// The pause after each buffer: leaves the machine time for what is tested.
    pub(crate) pause: Duration,
    /// FLUSHDB of another database, now and then.
    pub(crate) flushes: bool,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { keys: 10_000, pipeline: 32, pause: Duration::from_millis(2), flushes: true }
    }
}

/// A running writer. It stops and is waited for when it is dropped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    slowest: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// The databases that are written.
const DATABASES: u64 = 3;

/// The database that is flushed now and then.
const FLUSHED: u64 = 2;

impl Load {
    /// Starts writing to a node. Every reply is looked at: an error that such a command cannot give
    /// fails the test.
    pub(crate) fn start(node: &Node, seed: u64, plan: Plan) -> Load {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let slowest = Arc::new(AtomicU64::new(0));
        let mut client = node.client();
        let shared = (stop.clone(), written.clone(), slowest.clone());
        let thread = thread::spawn(move || {
            let (stop, written, slowest) = shared;
            let mut random = Rng::with_seed(seed);
            while !stop.load(Ordering::Relaxed) {
                let requests = draw_buffer(&mut random, &plan);
                let began = Instant::now();
                let replies = client.pipeline(&requests);
                let took = began.elapsed().as_micros() as u64;
                slowest.fetch_max(took, Ordering::Relaxed);
                for (request, reply) in requests.iter().zip(&replies) {
                    if let Some(error) = reply.error() {
                        let error = String::from_utf8_lossy(error);
                        assert!(is_expected(&error), "{} answers {error}", shown(request));
                    }
                }
                written.fetch_add(requests.len() as u64, Ordering::Relaxed);
                thread::sleep(plan.pause);
            }
        });
        Load { stop, written, slowest, thread: Some(thread) }
    }

    /// Commands that were answered so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until so many more commands were answered.
    pub(crate) fn wait_for(&self, more: u64) {
        let goal = self.written() + more;
        super::wait::until("the load goes on", || {
            assert!(
                self.thread.as_ref().is_some_and(|thread| !thread.is_finished()),
                "load failed"
            );
            self.written() >= goal
        });
    }

    /// The longest that a buffer waited for its replies, since the last time this was asked.
    pub(crate) fn take_slowest(&self) -> Duration {
        Duration::from_micros(self.slowest.swap(0, Ordering::Relaxed))
    }

    /// Stops; answers how many commands were answered.
    pub(crate) fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
        self.written()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Errors that follow from what a key happens to hold.
fn is_expected(error: &str) -> bool {
    error.starts_with("ERR no such key")
        || error.starts_with("ERR value is not an integer")
        || error.contains("would overflow")
        || error.contains("are the same")
        || collections::is_expected(error)
}

fn shown(request: &Request) -> String {
    let words = request.iter().map(|word| String::from_utf8_lossy(word));
    words.collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

/// Fills the first database with `keys` keys, some with deadlines far away, and a long collection of each type.
pub(crate) fn fill(node: &Node, keys: u64, seed: u64) {
    let (mut client, mut random) = (node.client(), Rng::with_seed(seed));
    let numbers: Vec<u64> = (0..keys).collect();
    for numbers in numbers.chunks(1000) {
        let requests: Vec<Request> = numbers
            .iter()
            .map(|number| {
                let mut words = vec![b"SET".to_vec(), key(*number), value(&mut random)];
                if random.u32(..10) == 0 {
                    words.extend([
                        b"EX".to_vec(),
                        random.u32(3600..90_000).to_string().into_bytes(),
                    ]);
                }
                words
            })
            .collect();
        for reply in client.pipeline(&requests) {
            assert!(reply.is_ok(), "SET answers {reply:?}");
        }
    }
    collections::fill(node, &mut random);
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

/// Mostly short, sometimes an integer, rarely long: beyond a shared chunk, beyond a large record.
fn value(random: &mut Rng) -> Vec<u8> {
    let length = match random.u32(..1000) {
        0 => random.usize(60_000..200_000),
        1..=10 => random.usize(1000..5000),
        11..=300 => return random.i64(-1_000_000..1_000_000).to_string().into_bytes(),
        _ => random.usize(0..40),
    };
    let letter = random.alphanumeric() as u8;
    vec![letter; length]
}

fn draw_buffer(random: &mut Rng, plan: &Plan) -> Vec<Request> {
    let database = if random.u32(..10) < 8 { 0 } else { random.u64(1..DATABASES) };
    let keys = if database == 0 { plan.keys } else { plan.keys / 10 + 1 };
    let mut requests = vec![request(&["SELECT", &database.to_string()])];
    while requests.len() < plan.pipeline {
        if random.u32(..20) == 0 {
            requests.push(request(&["MULTI"]));
            for _ in 0..random.usize(1..6) {
                requests.push(draw(random, keys));
            }
            requests.push(request(&["EXEC"]));
        } else {
            requests.push(draw(random, keys));
        }
    }
    if plan.flushes && random.u32(..200) == 0 {
        requests.push(request(&["SELECT", &FLUSHED.to_string()]));
        requests.push(request(&["FLUSHDB"]));
    }
    requests
}

fn draw(random: &mut Rng, keys: u64) -> Request {
    if random.u8(..3) == 0 {
        return collections::draw(random, keys / 1000 + 2);
    }
    let number = |random: &mut Rng| random.u64(..keys);
    let one = number(random);
    let millis = |random: &mut Rng| random.u32(1..3000).to_string().into_bytes();
    match random.u32(..100) {
        0..=29 => vec![b"SET".to_vec(), key(one), value(random)],
        30..=36 => {
            // Of their own range, so that not everything expires.
            let name = format!("soon:{}", one % (keys / 20 + 1)).into_bytes();
            vec![b"SET".to_vec(), name, value(random), b"PX".to_vec(), millis(random)]
        }
        37..=48 => vec![b"APPEND".to_vec(), key(one), vec![b'+'; random.usize(1..20)]],
        49..=60 => vec![b"INCR".to_vec(), format!("count:{}", one % 1000).into_bytes()],
        61..=66 => {
            let offset = random.u32(..4000).to_string().into_bytes();
            let bit = random.u32(..2).to_string().into_bytes();
            vec![b"SETBIT".to_vec(), format!("bits:{}", one % 1000).into_bytes(), offset, bit]
        }
        67..=70 => {
            let seconds = random.u32(2000..90_000).to_string().into_bytes();
            vec![b"EXPIRE".to_vec(), key(one), seconds]
        }
        71..=72 => {
            let name = format!("soon:{}", one % (keys / 20 + 1)).into_bytes();
            vec![b"PEXPIRE".to_vec(), name, millis(random)]
        }
        73..=74 => vec![b"PERSIST".to_vec(), key(one)],
        75..=79 => vec![b"RENAME".to_vec(), key(one), key(number(random))],
        80..=86 => {
            vec![b"COPY".to_vec(), key(one), key(number(random)), b"REPLACE".to_vec()]
        }
        87..=94 => {
            let mut words = vec![b"MSET".to_vec()];
            for _ in 0..random.usize(1..8) {
                words.extend([key(number(random)), value(random)]);
            }
            words
        }
        95..=97 => vec![b"DEL".to_vec(), key(one), key(number(random))],
        98 => vec![b"GETDEL".to_vec(), key(one)],
        _ => vec![
            b"INCRBYFLOAT".to_vec(),
            format!("float:{}", one % 100).into_bytes(),
            b"0.1".to_vec(),
        ],
    }
}
