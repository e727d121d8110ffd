//! What the tests of commands share: one shard, requests as text, replies as text.

use crate::command::{Call, Command, OwnedArgs, Registry, Who};
use crate::db::Keyspace;
use crate::resp::{Output, Protocol};
use crate::shard::{Answer, Batch, ExecutorId, Message, ReplyTo, Shard, Ticket};
use crate::types::{DbIndex, Lsn, Millis, ShardId};

/// One shard with all commands that touch keys.
pub(super) struct Session {
    pub(super) shard: Shard,
    registry: &'static Registry,
    pub(super) protocol: Protocol,
    pub(super) who: Who,
    /// So many milliseconds pass before each slice of what takes long.
    pub(super) tick: u64,
}

impl Session {
    pub(super) fn new() -> Session {
        // The shard wants entries that live as long as the program.
        let registry: &'static Registry = Box::leak(Box::new(Registry::new(super::families())));
        let mut shard = Shard::new(ShardId(0), 1, Keyspace::new(16, 7), registry.len());
        shard.set_now(Millis(1_000_000));
        Session { shard, registry, protocol: Protocol::Resp2, who: Who::default(), tick: 0 }
    }

    /// Runs a request: words at spaces, with Rust's escapes; `''` is an empty argument. Answers with the
    /// reply, line ends as spaces.
    pub(super) fn run(&mut self, request: &str) -> String {
        let words: Vec<Vec<u8>> = request.split(' ').map(unescape).collect();
        let reply = self.run_args(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        reply
            .escape_ascii()
            .to_string()
            .replace("\\r\\n", " ")
            .replace("\\'", "'")
            .trim_end()
            .to_owned()
    }

    /// Runs a request; answers with the reply's bytes.
    pub(super) fn run_args(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let args: OwnedArgs = words.iter().copied().collect();
        let mut out = Output::default();
        match self.registry.resolve(&args.view()) {
            Ok(entry) => {
                let (db, protocol, who) = (DbIndex(0), self.protocol, self.who.clone());
                let call = Call { entry, db, protocol, who: &who, args: args.view() };
                if !self.shard.run_here(&call, &mut out) {
                    return self.run_in_slices(&call);
                }
            }
            Err(refusal) => out.extend_from_slice(format!("-{}\r\n", refusal.text()).as_bytes()),
        }
        out.to_bytes()
    }

    /// A request that takes long waits in a batch, as a connection's does.
    fn run_in_slices(&mut self, call: &Call<'_>) -> Vec<u8> {
        let reply_to =
            ReplyTo { executor: ExecutorId(0), ticket: Ticket { index: 0, generation: 0 } };
        let mut batch = Batch::new(reply_to, call.db, call.protocol, call.who.clone());
        batch.push(call.entry, call.args);
        self.shard.receive(Message::Batch(Box::new(batch)));
        while self.shard.is_running() {
            let Millis(now) = self.shard.keys.now();
            self.shard.set_now(Millis(now + self.tick));
            self.shard.run_slice();
        }
        let answer = self.shard.take_outbox().next();
        match answer {
            Some((_, Message::Answer(_, Answer::Batch(batch)))) => batch.replies.to_bytes(),
            _ => panic!("the batch comes home"),
        }
    }

    /// All commands.
    pub(super) fn commands(&self) -> impl Iterator<Item = &'static Command> + use<> {
        self.registry.iter().map(|entry| entry.command)
    }

    /// Runs requests and compares the replies.
    pub(super) fn check(&mut self, transcript: &[(&str, &str)]) {
        for (request, reply) in transcript {
            assert_eq!(self.run(request), *reply, "{request}");
        }
    }

    /// How many journal records the request makes.
    pub(super) fn told(&mut self, request: &str) -> u64 {
        let Lsn(before) = self.shard.log.lsn();
        let reply = self.run(request);
        assert!(!reply.starts_with('-'), "{request}: {reply}");
        self.shard.log.lsn().0 - before
    }
}

/// Runs requests on a new shard and compares the replies.
pub(super) fn check(transcript: &[(&str, &str)]) {
    Session::new().check(transcript);
}

fn unescape(word: &str) -> Vec<u8> {
    if word == "''" {
        return Vec::new();
    }
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let hex = [*high, *low];
                let hex = std::str::from_utf8(&hex).expect("two hexadecimal digits");
                bytes.push(u8::from_str_radix(hex, 16).expect("two hexadecimal digits"));
                rest = after;
            }
            _ => bytes.push(first),
        }
    }
    bytes
}
