//! The hub: who listens to what.

use super::inbox::Put;
use super::{Inbox, Limits, Message, Over, Scope};
use crate::glob::Pattern;
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Who has the connections that subscribe.
pub trait Host: Send + Sync {
    /// There is something in inboxes of this executor.
    fn tell(&self, executor: u16);

    /// A subscriber has come over its limit and is to be ended.
    fn end(&self, client: u64, over: Over, limits: &Limits);
}

/// Names are spread over so many locks: shards that speak in different channels hardly meet.
const STRIPES: usize = 64;

type Inboxes = Vec<Arc<Inbox>>;
type Names = HashMap<Box<[u8]>, Inboxes>;

/// Channels of one scope.
struct Channels {
    stripes: Vec<Mutex<Names>>,
    hasher: RandomState,
    /// How many channels have subscribers: one look says that there are none.
    count: AtomicUsize,
}

/// Who listens to what, for the whole node.
pub struct Hub {
    plain: Channels,
    sharded: Channels,
    patterns: RwLock<HashMap<Box<[u8]>, (Pattern, Inboxes)>>,
    pattern_count: AtomicUsize,
    limits: RwLock<Limits>,
    /// By executor: inboxes that something was put into since it looked.
    told: Vec<Mutex<Inboxes>>,
    host: Box<dyn Host>,
}

/// How many names have subscribers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Channels.
    pub channels: usize,
    /// Patterns.
    pub patterns: usize,
    /// Channels of SSUBSCRIBE.
    pub sharded: usize,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds an inbox to a name's; whether it is the first.
fn add(names: &mut Names, name: &[u8], inbox: &Arc<Inbox>) -> bool {
    match names.entry(Box::from(name)) {
        Entry::Occupied(mut some) => {
            some.get_mut().push(inbox.clone());
            false
        }
        Entry::Vacant(none) => {
            none.insert(vec![inbox.clone()]);
            true
        }
    }
}

/// Takes an inbox from a name's; whether it was the last.
fn remove(names: &mut Names, name: &[u8], inbox: &Arc<Inbox>) -> bool {
    let Some(inboxes) = names.get_mut(name) else { return false };
    let is_last = take_out(inboxes, inbox);
    if is_last {
        names.remove(name);
    }
    is_last
}

/// Takes an inbox out; whether none is left.
fn take_out(inboxes: &mut Inboxes, inbox: &Arc<Inbox>) -> bool {
    if let Some(at) = inboxes.iter().position(|one| Arc::ptr_eq(one, inbox)) {
        inboxes.swap_remove(at);
    }
    inboxes.is_empty()
}

impl Channels {
    fn new() -> Channels {
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        Channels { stripes, hasher: RandomState::new(), count: AtomicUsize::new(0) }
    }

    fn stripe(&self, channel: &[u8]) -> MutexGuard<'_, Names> {
        lock(&self.stripes[self.hasher.hash_one(channel) as usize % STRIPES])
    }

    fn add(&self, channel: &[u8], inbox: &Arc<Inbox>) {
        if add(&mut self.stripe(channel), channel, inbox) {
            self.count.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn remove(&self, channel: &[u8], inbox: &Arc<Inbox>) {
        if remove(&mut self.stripe(channel), channel, inbox) {
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// How many subscribers a channel has.
    fn listeners(&self, channel: &[u8]) -> usize {
        if self.is_empty() { 0 } else { self.stripe(channel).get(channel).map_or(0, Vec::len) }
    }
}

impl Hub {
    /// A hub for the connections of `executors` executors.
    pub fn new(executors: u16, host: impl Host + 'static) -> Hub {
        Hub {
            plain: Channels::new(),
            sharded: Channels::new(),
            patterns: RwLock::default(),
            pattern_count: AtomicUsize::new(0),
            limits: RwLock::default(),
            told: (0..executors).map(|_| Mutex::default()).collect(),
            host: Box::new(host),
        }
    }

    fn channels(&self, scope: Scope) -> &Channels {
        match scope {
            Scope::Plain => &self.plain,
            Scope::Sharded => &self.sharded,
        }
    }

    /// The limits of inboxes from now on.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// The limits of inboxes.
    pub fn limits(&self) -> Limits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that does not do so yet listens to a channel.
    pub fn subscribe(&self, scope: Scope, channel: &[u8], inbox: &Arc<Inbox>) {
        self.channels(scope).add(channel, inbox);
    }

    /// A connection listens to a channel no more: what is in its inbox was said before.
    pub fn unsubscribe(&self, scope: Scope, channel: &[u8], inbox: &Arc<Inbox>) {
        self.channels(scope).remove(channel, inbox);
    }

    /// A connection that does not do so yet listens to all channels that fit `pattern`, whose text is `text`.
    pub fn subscribe_pattern(&self, text: &[u8], pattern: Pattern, inbox: &Arc<Inbox>) {
        let mut patterns = self.patterns.write().unwrap_or_else(PoisonError::into_inner);
        let (_, inboxes) = patterns.entry(Box::from(text)).or_insert_with(|| (pattern, Vec::new()));
        inboxes.push(inbox.clone());
        self.pattern_count.store(patterns.len(), Ordering::Release);
    }

    /// A connection listens to a pattern no more.
    pub fn unsubscribe_pattern(&self, text: &[u8], inbox: &Arc<Inbox>) {
        let mut patterns = self.patterns.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, inboxes)) = patterns.get_mut(text)
            && take_out(inboxes, inbox)
        {
            patterns.remove(text);
        }
        self.pattern_count.store(patterns.len(), Ordering::Release);
    }

    fn has_patterns(&self) -> bool {
        self.pattern_count.load(Ordering::Acquire) != 0
    }

    /// Whether nobody listens to anything of this scope: as cheap as can be.
    pub fn is_silent(&self, scope: Scope) -> bool {
        self.channels(scope).is_empty() && (scope == Scope::Sharded || !self.has_patterns())
    }

    /// How many would get a message: once for the channel and once for each pattern.
    pub fn listeners(&self, scope: Scope, channel: &[u8]) -> usize {
        let mut count = self.channels(scope).listeners(channel);
        if scope == Scope::Plain && self.has_patterns() {
            let patterns = self.patterns.read().unwrap_or_else(PoisonError::into_inner);
            let matching = patterns.values().filter(|(pattern, _)| pattern.fits(channel));
            count += matching.map(|(_, inboxes)| inboxes.len()).sum::<usize>();
        }
        count
    }

    /// Gives a message to all who listen. First those of the channel, then those of patterns, as in Redis.
    pub fn say(&self, scope: Scope, channel: &[u8], payload: &[u8]) {
        if self.is_silent(scope) {
            return;
        }
        let mut saying = Saying { hub: self, limits: self.limits(), tell: Vec::new() };
        let channels = self.channels(scope);
        if !channels.is_empty() {
            let names = channels.stripe(channel);
            if let Some(inboxes) = names.get(channel) {
                saying.put(Message::of(scope, channel, payload), inboxes);
            }
        }
        if scope == Scope::Plain && self.has_patterns() {
            let patterns = self.patterns.read().unwrap_or_else(PoisonError::into_inner);
            for (text, (pattern, inboxes)) in patterns.iter() {
                if pattern.fits(channel) {
                    saying.put(Message::of_pattern(text, channel, payload), inboxes);
                }
            }
        }
        saying.tell.into_iter().for_each(|executor| self.host.tell(executor));
    }

    /// The inboxes of this executor that something was put into since the last time.
    pub fn take_told(&self, executor: u16) -> Vec<Arc<Inbox>> {
        std::mem::take(&mut *lock(&self.told[usize::from(executor)]))
    }

    /// How many names have subscribers.
    pub fn counts(&self) -> Counts {
        Counts {
            channels: self.plain.count.load(Ordering::Relaxed),
            patterns: self.pattern_count.load(Ordering::Relaxed),
            sharded: self.sharded.count.load(Ordering::Relaxed),
        }
    }

    /// How many subscribers a channel has, patterns left out.
    pub fn subscribers(&self, scope: Scope, channel: &[u8]) -> usize {
        self.channels(scope).listeners(channel)
    }

    /// Into how many parts [`names`](Hub::names) is cut.
    pub const PARTS: usize = STRIPES;

    /// The channels of one part that have subscribers and, if one is given, match a pattern.
    pub fn names(&self, scope: Scope, part: usize, pattern: Option<&Pattern>) -> Vec<Box<[u8]>> {
        let names = lock(&self.channels(scope).stripes[part]);
        let is_meant = |name: &[u8]| pattern.is_none_or(|pattern| pattern.fits(name));
        names.keys().filter(|name| is_meant(name)).cloned().collect()
    }
}

/// A message on its way into inboxes.
struct Saying<'a> {
    hub: &'a Hub,
    limits: Limits,
    /// Executors that are to be told.
    tell: Vec<u16>,
}

impl Saying<'_> {
    fn put(&mut self, message: Message, inboxes: &[Arc<Inbox>]) {
        let message = Arc::new(message);
        for inbox in inboxes {
            match inbox.put(&message, &self.limits) {
                Put::Done => {}
                Put::Tell => {
                    let mut told = lock(&self.hub.told[usize::from(inbox.executor)]);
                    told.push(inbox.clone());
                    if told.len() == 1 {
                        self.tell.push(inbox.executor);
                    }
                }
                Put::Over(over) => self.hub.host.end(inbox.client, over, &self.limits),
            }
        }
    }
}
