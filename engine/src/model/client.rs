//! What a connection does with requests, without a socket.

use std::rc::Rc;

use crate::command::{Args, Call, Entry, Flags, OwnedArgs, Refusal, Who};
use crate::exec::{Added, Front, Pipeline, Row, Setting};
use crate::resp::{Output, Protocol, Reply, ReplyLimits, ReplyReader, ReplyWriter};
use crate::types::DbIndex;

/// A connection: a database, a protocol, a pipeline, and perhaps a MULTI under way.
pub struct Client {
    front: Rc<Front>,
    pipeline: Pipeline,
    /// The connection's database.
    pub db: DbIndex,
    /// The connection's protocol.
    pub protocol: Protocol,
    who: Who,
    queue: Option<Queue>,
}

/// The requests of a MULTI.
#[derive(Default)]
struct Queue {
    requests: Vec<(&'static Entry, OwnedArgs)>,
    refused: bool,
}

/// One request, as a client writes it.
pub type Request<'a> = &'a [&'a [u8]];

impl Client {
    /// A connection that lives on the executor of `front`.
    pub fn new(front: Rc<Front>) -> Client {
        let (pipeline, protocol) = (Pipeline::default(), Protocol::Resp2);
        Client { front, pipeline, db: DbIndex(0), protocol, who: Who::default(), queue: None }
    }

    /// One request and its reply.
    pub async fn run(&mut self, request: Request<'_>) -> Reply {
        let mut replies = decode_replies(&self.pipeline(&[request.to_vec()]).await);
        assert_eq!(replies.len(), 1, "one request has one reply");
        replies.remove(0)
    }

    /// One request as words separated by spaces.
    pub async fn words(&mut self, line: &str) -> Reply {
        let request: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.run(&request).await
    }

    /// The requests of one read buffer; the bytes of their replies.
    ///
    /// SELECT, MULTI, EXEC and DISCARD are the connection's own and done here.
    pub async fn pipeline(&mut self, requests: &[Vec<&[u8]>]) -> Vec<u8> {
        let mut out = Output::default();
        for request in requests {
            let owned: OwnedArgs = request.iter().copied().collect();
            let args = owned.view();
            if args.is_empty() {
                continue;
            }
            match args.get(0).to_ascii_uppercase().as_slice() {
                b"SELECT" | b"MULTI" | b"EXEC" | b"DISCARD" => {
                    while self.pipeline.flush(&self.front, &mut out).await {}
                    self.own(args, &mut out).await;
                }
                _ => self.data(args, &mut out).await,
            }
        }
        while self.pipeline.flush(&self.front, &mut out).await {}
        out.to_bytes()
    }

    async fn own(&mut self, args: Args<'_>, out: &mut Output) {
        let mut reply = ReplyWriter::new(out, self.protocol);
        match args.get(0).to_ascii_uppercase().as_slice() {
            b"SELECT" => {
                let index =
                    std::str::from_utf8(args.get(1)).ok().and_then(|text| text.parse().ok());
                match index.filter(|&index: &u16| usize::from(index) < self.front.node.dbs()) {
                    Some(index) => {
                        self.db = DbIndex(index);
                        reply.ok();
                    }
                    None => reply.error(Refusal::DbIndex.text().as_bytes()),
                }
            }
            b"MULTI" => {
                self.queue = Some(Queue::default());
                reply.ok();
            }
            b"DISCARD" => {
                self.queue = None;
                reply.ok();
            }
            _ => match self.queue.take() {
                None => reply.error("ERR EXEC without MULTI"),
                Some(Queue { refused: true, .. }) => {
                    reply.error("EXECABORT Transaction discarded because of previous errors.");
                }
                Some(queue) => self.exec(queue, out).await,
            },
        }
    }

    async fn exec(&mut self, queue: Queue, out: &mut Output) {
        let mut requests = crate::exec::Queue::default();
        for (entry, args) in &queue.requests {
            requests.push(&self.front, &self.call(entry, args.view()));
        }
        if requests.needs_memory() && !self.front.make_room().await {
            return ReplyWriter::new(out, self.protocol).error("EXECABORT no memory");
        }
        ReplyWriter::new(out, self.protocol).array(requests.len());
        let Client { front, db, protocol, who, .. } = &*self;
        let setting = Setting { db: *db, protocol: *protocol, who, slow_from: None, replied: 0 };
        if let Some(shard) = requests.only_shard() {
            let done = requests.run_at_once(front, shard, &setting, None).await;
            let (batches, _) = done.expect("nothing was said against it");
            for mut batch in batches {
                let whole = 0..batch.replies.len();
                out.take_from(&mut batch.replies, whole);
            }
            return;
        }
        let mut tx = requests.begin(front).await;
        let mut rest = requests.iter().peekable();
        loop {
            let row = Row::take(front, &setting, &mut rest);
            if !row.is_empty() {
                let mut home = row.run(&mut tx).await;
                while !home.take_some(out) {}
                continue;
            }
            let Some((entry, args)) = rest.next() else { break };
            tx.run(&self.call(entry, args), out).await;
        }
        tx.conclude().await;
    }

    async fn data(&mut self, args: Args<'_>, out: &mut Output) {
        let entry = match self.front.node.registry().resolve(&args) {
            Ok(entry) => entry,
            Err(refusal) => {
                while self.pipeline.flush(&self.front, out).await {}
                if let Some(queue) = &mut self.queue {
                    queue.refused = true;
                }
                return ReplyWriter::new(out, self.protocol).error(refusal.text().as_bytes());
            }
        };
        if let Some(queue) = &mut self.queue {
            if entry.command.flags.contains(Flags::NO_MULTI) {
                queue.refused = true;
                return ReplyWriter::new(out, self.protocol)
                    .error("ERR Command not allowed inside a transaction");
            }
            queue.requests.push((entry, OwnedArgs::copy(args)));
            return ReplyWriter::new(out, self.protocol).simple("QUEUED");
        }
        loop {
            match self.add(entry, args, out) {
                Added::Yes => return,
                Added::Full => while self.pipeline.flush(&self.front, out).await {},
                Added::Fence => {
                    while self.pipeline.flush(&self.front, out).await {}
                    return self.front.run_wide(&self.call(entry, args), out).await;
                }
            }
        }
    }

    fn call<'a>(&'a self, entry: &'static Entry, args: Args<'a>) -> Call<'a> {
        Call { entry, db: self.db, protocol: self.protocol, who: &self.who, args }
    }

    fn add(&mut self, entry: &'static Entry, args: Args<'_>, out: &mut Output) -> Added {
        if self.front.shard_id().is_none() {
            return Added::Fence;
        }
        let Client { front, pipeline, db, protocol, who, .. } = self;
        let call = Call { entry, db: *db, protocol: *protocol, who, args };
        front.with_shard(|shard| pipeline.add(front, shard, &call, out))
    }
}

/// The replies in `bytes`. Panics when they are no replies: then our own writer is wrong.
pub fn decode_replies(bytes: &[u8]) -> Vec<Reply> {
    let mut reader = ReplyReader::new(ReplyLimits::default());
    let (mut replies, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let next = reader.next(rest).expect("what we write are replies");
        let (reply, length) = next.expect("what we write is whole");
        replies.push(reply);
        rest = &rest[length..];
    }
    replies
}
