//! Makes a full copy: one moment of all shards, where the stream stands then, and the bytes.
//!
//! ```text
//!   hold the stream ─► fix the moment on all shards ─► say the journals up to it ─► its offset is the copy's
//!                                                └──────── encode, in slices ─────► payload
//! ```

use super::copy::{FullCopy, Moment as Place};
use super::followers::{Followers, Told};
use super::payload::Filling;
use super::stream::Stream;
use super::telling::tell;
use crate::handshake::Filter;
use engine::exec::Front;
use engine::rdb::forms::Recipient;
use engine::rdb::{Crc, file_write, functions};
use engine::rt;
use engine::snapshot::{Journals, Moment, Terms};
use engine::tell::Peers;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two attempts to fix a moment, where a snapshot is written.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A pause of the next copy that is worth a line of the log.
const SAID_FROM: Duration = Duration::from_secs(3);

/// The longest value in pieces that is put together, where followers have no limit of their own: what Redis takes
/// in one argument.
const LONGEST: u64 = 512 * 1024 * 1024;

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// The copy that is made, or one that is begun: whoever asks takes it from its beginning on.
pub(super) fn join_or_begin(followers: &Rc<Followers>, valkey9: bool) -> Rc<FullCopy> {
    if let Some(copy) = followers.copy_to_join(valkey9) {
        return copy;
    }
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let name = engine::snapshot::name::of_copy(number);
    let directory = std::env::current_dir().unwrap_or_default();
    let copy = Rc::new(FullCopy::new(directory.join(name), valkey9));
    followers.copy_is_asked(&copy);
    rt::spawn_local(make(followers.clone(), copy.clone())).detach();
    copy
}

/// Makes a copy. Not to be cancelled: it gives back what the shards hold for it.
async fn make(followers: Rc<Followers>, copy: Rc<FullCopy>) {
    // Whoever began it joins it first.
    rt::yield_now().await;
    // One after the other: there is one moment at a time, and the stream is held for one.
    while followers.is_making.replace(true) {
        rt::sleep(AGAIN_AFTER).await;
    }
    rest(&followers, &copy).await;
    let front = followers.here().front.clone();
    let outcome = match fix(&followers, &copy, &front).await {
        Err(why) => Err(why),
        Ok(moment) => {
            let outcome = write(&followers, &copy, &front, &moment).await;
            // Whoever asks from here on gets another one.
            followers.copy_is_made(&copy);
            moment.end(&front).await;
            outcome
        }
    };
    match &outcome {
        Err(why) if is_given_up(&copy) => {
            // Who gave it up has said why.
            let why = copy.payload.failure().unwrap_or_else(|| why.clone());
            tracing::info!("replication: a copy for Redis replicas ends: {why}")
        }
        Err(why) => tracing::warn!("replication: a copy for Redis replicas was given up: {why}"),
        Ok(()) => {}
    }
    followers.is_making.set(false);
    copy.payload.finish(outcome);
    followers.copy_is_made(&copy);
}

fn is_given_up(copy: &FullCopy) -> bool {
    copy.payload.is_unwanted() || copy.is_given_up()
}

/// Waits until the next copy may be made, or nobody wants it.
async fn rest(followers: &Followers, copy: &FullCopy) {
    let mut has_said = false;
    while let Some(left) = followers.again.get().left(Instant::now())
        && !is_given_up(copy)
    {
        if !std::mem::replace(&mut has_said, true) && left > SAID_FROM {
            tracing::info!(
                "replication: the next copy for Redis replicas is made in {} s, as those before came to nothing",
                left.as_secs()
            );
        }
        rt::sleep(left.min(AGAIN_AFTER)).await;
    }
}

/// Fixes the moment; the stream stands at it, or stands still before it until [`write`] lets it go on.
async fn fix(
    followers: &Rc<Followers>,
    copy: &FullCopy,
    front: &Rc<Front>,
) -> Result<Moment, String> {
    loop {
        // What takes long comes to its end while nothing is held.
        front.outwait_all().await;
        followers.renew();
        let terms = terms(followers, copy);
        if is_given_up(copy) {
            return Err("nobody waits for it any more".to_owned());
        }
        if Moment::is_taken(front).await {
            rt::sleep(AGAIN_AFTER).await;
            continue;
        }
        // What is read from here on lies before the moment.
        let told = followers.told();
        told.iter().for_each(|told| told.stream.borrow_mut().hold());
        let era = followers.era();
        let begun = Moment::begin(front, terms).await;
        let is_same = followers.told().as_ref().map(Rc::as_ptr) == told.as_ref().map(Rc::as_ptr);
        match begun {
            Ok(moment) if followers.era() == era && is_same => return Ok(moment),
            Ok(moment) => moment.end(front).await,
            // A snapshot is written, or an earlier copy is not cleared away.
            Err(_) => {}
        }
        if let Some(told) = told {
            told.stream.borrow_mut().go_on_to(None);
            told.bell.ring();
        }
        rt::sleep(AGAIN_AFTER).await;
    }
}

/// How a moment is fixed for followers.
fn terms(followers: &Followers, copy: &FullCopy) -> Terms {
    let here = followers.here();
    // In the words of the stream, if there is one. Functions are not left out where nobody said so: who cannot take
    // them cannot take this node's place.
    let told = followers.told().map(|told| told.stream.borrow().peers);
    let has_libraries = !here.front.node.libraries().all().is_empty();
    let least = if has_libraries { Peers::From70 } else { Peers::From62 };
    let recipient = match told.unwrap_or(followers.words().max(least)) {
        _ if copy.valkey9 => Recipient::Valkey9,
        Peers::From62 => Recipient::Redis62,
        Peers::From70 | Peers::From74 => Recipient::Newest,
    };
    let (held_max, journals) = (here.settings.borrow().followed.held_max, Journals::Keep);
    // What is written meanwhile waits for it, and is bounded.
    Terms { held_max, journals, recipient, is_at_leisure: false }
}

async fn write(
    followers: &Rc<Followers>,
    copy: &Rc<FullCopy>,
    front: &Rc<Front>,
    moment: &Moment,
) -> Result<(), String> {
    let told = match followers.told() {
        Some(told) => reach(followers, told, moment).await?,
        None => begin_stream(followers, moment)?,
    };
    if moment.has_dated() && told.stream.borrow().peers < Peers::From74 {
        // Nobody would be told how the deadlines in it change.
        let why = "the copy has fields of hashes that expire, of which the stream says nothing";
        followers.broke(&told, why);
        return Err(why.to_owned());
    }
    let place = {
        let stream = told.stream.borrow();
        Place { stream: stream.id.clone(), offset: stream.backlog.end() }
    };
    told.stream.borrow_mut().go_on_to(None);
    told.bell.ring();
    tracing::info!(
        "replication: a copy of {} keys for Redis replicas, at offset {} of stream {}",
        moment.keys(),
        place.offset,
        place.stream
    );
    if moment.has_dated() {
        let oldest = if copy.valkey9 { "Valkey 9" } else { "Redis 7.4" };
        tracing::info!("replication: fields of hashes expire: {oldest} and later take this copy");
    }
    if moment.has_libraries() {
        tracing::info!("replication: there are functions: Redis 7.0 and later take this copy");
    }
    let facts = facts(followers, &place);
    followers.copy_begins(copy, place);
    let mut sink = Filling::of(copy.payload.clone());
    moment.write(front, &facts, &copy.progress, &mut sink).await.map(drop)
}

/// Says the journals up to the moment.
async fn reach(
    followers: &Rc<Followers>,
    told: Rc<Told>,
    moment: &Moment,
) -> Result<Rc<Told>, String> {
    told.stream.borrow_mut().go_on_to(Some(moment.lsns()));
    told.bell.ring();
    loop {
        if told.is_over.get() || followers.told().is_none_or(|now| !Rc::ptr_eq(&now, &told)) {
            return Err("the stream has ended".to_owned());
        }
        if told.stream.borrow_mut().at_moment().is_some() {
            return Ok(told);
        }
        told.moved.wait().await;
    }
}

/// The first one that follows: the stream begins at the moment.
fn begin_stream(followers: &Rc<Followers>, moment: &Moment) -> Result<Rc<Told>, String> {
    let mut id = [0; 20];
    rt::fill_random(&mut id);
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let starts = moment.lsns();
    // So that the node's offset does not go back when the first one comes, nor when one stream follows another.
    let offset = starts.iter().map(|lsn| lsn.0).sum::<u64>().max(followers.reached());
    let (logs, longest) = {
        let here = followers.here();
        let settings = here.settings.borrow();
        let bounds = settings.followed.waiting_max().max(settings.followed.backlog_bytes);
        (here.standing.logs(), bounds.max(LONGEST))
    };
    let oldest = followers.words();
    let peers = match (moment.has_dated(), moment.has_libraries()) {
        (true, _) => Peers::From74,
        (false, true) => oldest.max(Peers::From70),
        (false, false) => oldest,
    };
    let mut stream = Stream::begin((id, offset), &logs, &starts, peers, longest)?;
    stream.begins_with_libraries(moment.libraries_as_of());
    let told = followers.begin(stream);
    rt::spawn_local(tell(followers.clone(), told.clone())).detach();
    Ok(told)
}

/// What the copy says of itself.
fn facts(followers: &Followers, place: &Place) -> Vec<(String, String)> {
    let version = followers.here().settings.borrow().followed.redis_version;
    let facts = [
        ("redis-ver", version.to_owned()),
        ("redis-bits", "64".to_owned()),
        ("ctime", (rt::now_millis().0 / 1000).to_string()),
        ("repl-stream-db", "0".to_owned()),
        ("repl-id", place.stream.clone()),
        ("repl-offset", place.offset.to_string()),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A copy without keys, for who wants only what else is in one.
pub(super) fn without_keys(followers: &Followers, filter: Filter) -> Vec<u8> {
    let here = followers.here();
    let libraries = match filter {
        Filter::Functions => here.front.node.libraries().all(),
        Filter::All | Filter::Nothing => Arc::default(),
    };
    let has_any = !libraries.is_empty();
    let mut bytes = Vec::new();
    file_write::begin(if has_any { functions::VERSION } else { file_write::VERSION }, &mut bytes);
    let version = here.settings.borrow().followed.redis_version;
    file_write::fact("redis-ver", version, &mut bytes);
    libraries.values().for_each(|library| functions::write(&library.code, &mut bytes));
    bytes.extend(file_write::end(Crc::of(&bytes)));
    bytes
}
