//! One node of a world.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use super::Client;
use super::world::{Actor, World};
use crate::command::Registry;
use crate::db::{Digest, Keyspace};
use crate::exec::{Front, Node};
use crate::journal::{Read, Reader};
use crate::rt::mailbox::{Receiver, mailbox};
use crate::shard::{ExecutorId, Message, Shard};
use crate::types::{Lsn, ShardId};

/// How many databases a node of the model has.
pub const DBS: usize = 16;

/// The engine's own commands, and those of the tests' own data type.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let families = crate::commands::families().into_iter();
        Registry::new(families.chain([super::counters::COMMANDS]))
    })
}

type Service = Box<dyn FnMut(Box<dyn Any + Send>)>;

/// An executor: its front and its mailbox.
struct Executor {
    front: Rc<Front>,
    mailbox: RefCell<Receiver<Message>>,
    service: RefCell<Option<Service>>,
    world: World,
}

impl Actor for Executor {
    fn is_ready(&self) -> bool {
        self.front.is_running() || !self.mailbox.borrow().is_empty()
    }

    fn act(&self) {
        // What goes on in slices and what arrives meanwhile take turns as the dice will.
        let is_empty = self.mailbox.borrow().is_empty();
        if self.front.is_running() && (is_empty || self.world.dice().bool()) {
            self.front.with_shard(Shard::run_slice);
            return;
        }
        let Some(message) = self.mailbox.borrow_mut().try_pop() else { return };
        if let Some(message) = self.front.handle(message) {
            let mut service = self.service.borrow_mut();
            service.as_mut().expect("somebody serves what is sent to a service")(message);
        }
    }
}

/// A node: its shards, and one more executor without a shard (the replication executor's place).
pub struct ModelNode {
    world: World,
    executors: Vec<Rc<Executor>>,
    shards: u16,
}

impl ModelNode {
    /// A node of `shards` shards in a world of its own, the logs kept.
    pub fn new(shards: u16, seed: u64) -> ModelNode {
        ModelNode::in_world(&World::new(seed), shards)
    }

    /// A node in a world that it shares with others.
    pub fn in_world(world: &World, shards: u16) -> ModelNode {
        ModelNode::with_registry(world, shards, registry())
    }

    /// As [`in_world`](ModelNode::in_world), with more commands than the engine's own.
    pub fn with_registry(world: &World, shards: u16, registry: &'static Registry) -> ModelNode {
        let seed = world.dice().u64(..);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..=shards).map(|_| mailbox()).unzip();
        let node = Arc::new(Node::new(senders, shards, DBS, seed, registry));
        let executor = |(index, receiver)| {
            let index: u16 = index;
            let shard = (index < shards).then(|| {
                let keys = Keyspace::new(DBS, seed);
                let mut shard = Shard::new(ShardId(index), shards, keys, registry.len());
                shard.set_keeping(true);
                shard
            });
            let clock = world.clone();
            let front = Front::new(ExecutorId(index), node.clone(), shard, move || clock.now());
            let (mailbox, service) = (RefCell::new(receiver), RefCell::new(None));
            let executor = Rc::new(Executor { front, mailbox, service, world: world.clone() });
            world.add_actor(executor.clone());
            executor
        };
        let executors = (0u16..).zip(receivers).map(executor).collect();
        ModelNode { world: world.clone(), executors, shards }
    }

    /// The world.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// How many shards there are; executors are one more.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The front of an executor; the one without a shard is the last.
    pub fn front(&self, executor: u16) -> &Rc<Front> {
        &self.executors[usize::from(executor)].front
    }

    /// The front of the executor without a shard.
    pub fn outside(&self) -> &Rc<Front> {
        self.front(self.shards)
    }

    /// Who gets the messages for an executor's own service.
    pub fn serve(&self, executor: u16, service: impl FnMut(Box<dyn Any + Send>) + 'static) {
        *self.executors[usize::from(executor)].service.borrow_mut() = Some(Box::new(service));
    }

    /// A connection on an executor.
    pub fn client(&self, executor: u16) -> Client {
        Client::new(self.front(executor).clone())
    }

    /// Runs a task on a shard, between steps.
    pub fn with_shard<T>(&self, shard: u16, task: impl FnOnce(&mut Shard) -> T) -> T {
        assert!(shard < self.shards, "there are {} shards", self.shards);
        self.front(shard).with_shard(task)
    }

    /// One piece of background work on each shard, the oldest log bytes kept.
    pub fn heartbeat(&self) {
        for shard in 0..self.shards {
            self.with_shard(shard, Shard::heartbeat_once);
        }
    }

    /// The digest of all shards' data.
    pub fn digest(&self) -> Digest {
        let mut whole = Digest::default();
        for shard in 0..self.shards {
            whole.add(self.with_shard(shard, |shard| shard.keys.digest()));
        }
        whole
    }

    /// A reader of a shard's journal from `lsn` on.
    pub fn reader(&self, shard: u16, lsn: Lsn) -> Reader {
        let handle = self.with_shard(shard, |shard| shard.log.handle());
        handle.reader_at(lsn).expect("the model's logs are kept")
    }

    /// A shard's whole journal, as it goes over the wire.
    pub fn journal(&self, shard: u16) -> Vec<u8> {
        drain(&mut self.reader(shard, Lsn(0)))
    }

    /// Entries that hold or wait for keys, on all shards: none once every task has ended.
    pub fn open_entries(&self) -> usize {
        (0..self.shards).map(|shard| self.with_shard(shard, |shard| shard.open_entries())).sum()
    }
}

/// All that a reader can read now.
pub fn drain(reader: &mut Reader) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match reader.next(1 << 20) {
            Read::Bytes(span) => bytes.extend_from_slice(&span),
            Read::Empty => return bytes,
            Read::Gone(gone) => panic!("the model's logs are kept, but {gone}"),
        }
    }
}
