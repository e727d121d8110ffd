//! Snapshots are put together on the executor of replication, which has no keys: shards only encode theirs. That for
//! files writes them.
//!
//! ```text
//!   SAVE, BGSAVE, the end ──┐
//!   watch (setting `save`) ─┴─ Order ─► receive ─► Save ─► dbfilename in dir ─► at the end: the journals' tail beside it
//!                                          └─ Snapshots: what INFO, LASTSAVE and the gates look at
//! ```
//!
//! The service of replication holds still while the moment is fixed, and says what the data of that moment is.

use crate::config::REDIS_VERSION;
use crate::directory;
use crate::effect;
use crate::memory;
use crate::server::Server;
use crate::tail;
use engine::db::Changes;
use engine::exec::Front;
use engine::rdb::functions;
use engine::rt;
use engine::shard::{Answer, ExecutorId, Message, ReplyTo, Shard};
use engine::snapshot::{ANOTHER, Form, Moment, Save, SavePlan, SaveProgress, Saved, name, parts};
use futures_lite::future;
use replication::origin::Origin;
use replication::service::Service;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What Redis answers while there is one.
pub const BUSY: &str = "Background save already in progress";

/// What is answered once the node has been told to stop: the last snapshot is that of the end.
pub const STOPPING: &str = "the node is stopping, and writes its last snapshot itself";

/// To write a snapshot.
pub struct Order {
    wait: Wait,
    to: ReplyTo,
}

/// Until when whoever asks for a snapshot waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Until it has begun.
    Begun,
    /// Until it is on the disk.
    Written,
    /// The same of the one at the end.
    Last,
}

/// What becomes of an order, for whoever waits.
type Ordered = Result<(), String>;

/// How often the log hears of one that takes long.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How often it is asked whether `save` asks for a snapshot.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Milliseconds of a minute.
const MINUTE: u64 = 60_000;
/// Between two attempts to fix a moment, while there is another one.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How often is looked whether the one under way has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// After one that failed the next is tried no sooner, as in Redis.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// After one that was refused `save` asks again, and says so again.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Asks for a snapshot, and waits.
pub async fn order(front: &Rc<Front>, server: &Server, wait: Wait) -> Ordered {
    let waiter = front.waiter();
    let order = Order { wait, to: waiter.reply_to() };
    let replication = ExecutorId::replication(server.node.shards());
    front.node.send(replication, Message::Service(Box::new(order)));
    waiter.value().await
}

/// On the executor of replication: an order has come.
pub fn receive(front: &Rc<Front>, server: &Arc<Server>, service: &Rc<Service>, order: Order) {
    rt::spawn_local(perform(front.clone(), server.clone(), service.clone(), order)).detach();
}

async fn perform(
    front: Rc<Front>,
    server: Arc<Server>,
    service: Rc<Service>,
    Order { wait, to }: Order,
) {
    let answer = |outcome: Ordered| {
        front.node.send(to.executor, Message::Answer(to.ticket, Answer::Value(Box::new(outcome))));
    };
    let mut waits = Some(answer);
    let mut tell = |outcome: Ordered| {
        if let Some(answer) = waits.take() {
            answer(outcome);
        }
    };
    let name = match name_of_next(&server, wait) {
        Ok(name) => name,
        Err(error) => return tell(Err(error)),
    };
    let Some(progress) = server.snapshots.begin() else { return tell(Err(BUSY.to_owned())) };
    let begun = || {
        if wait == Wait::Begun {
            tell(Ok(()));
        }
    };
    let written = write(&front, (&server, &service), (&name, wait), &progress, begun).await;
    if let Err(error) = &written {
        // The last one follows; or what was here has gone meanwhile, and a copy of the master's comes. Nothing has failed.
        match progress.cancelled.load(Ordering::Relaxed) || server.status.is_loading() {
            true => {
                server.snapshots.give_up();
                tracing::info!("snapshot: {error}");
            }
            false => {
                server.snapshots.end(Err(error));
                tracing::error!("snapshot: {error}; the last good file stays as it is");
            }
        }
    }
    tell(written);
}

/// Writes a snapshot, and notes it.
async fn write(
    front: &Rc<Front>,
    (server, service): (&Arc<Server>, &Service),
    (name, wait): (&str, Wait),
    progress: &Arc<SaveProgress>,
    begun: impl FnOnce(),
) -> Ordered {
    let (began, setting) = (Instant::now(), server.settings.config().dbfilename.clone());
    let directory = directory::current()?;
    let path = behind_all(server, directory.join(name)).await;
    tracing::info!("snapshot: writing {}", path.display());
    make_place(server, &path).await;
    let plan = plan(server, path.clone(), wait);
    let saving = save(front, service, (plan, wait), progress, begun);
    let (saved, origin) = future::or(saving, tell_how_far(server)).await?;
    note_written(&path, &saved, began.elapsed());
    // Of the one that was there before, and of such as never came to be.
    parts::remove_left(&setting, &path, saved.parts).await;
    tail::remove_others(&setting, &path).await;
    match wait {
        Wait::Last => write_tail(service, &path, &origin).await,
        _ => tail::remove(&path).await,
    }
    let heads = saved.lsns.iter().map(|lsn| lsn.0).sum();
    server.snapshots.end(Ok(((heads, saved.changes), path)));
    Ok(())
}

/// Writes a snapshot. `begun` is called once it cannot be refused any more: the file is made and the moment fixed.
async fn save(
    front: &Rc<Front>,
    service: &Service,
    (plan, wait): (SavePlan, Wait),
    progress: &Arc<SaveProgress>,
    begun: impl FnOnce(),
) -> Result<(Saved, Origin), String> {
    let mut save = Save::prepare(front, plan).await?;
    let origin = loop {
        if wait == Wait::Last {
            // It would wait for them, also for those that were asked for just before the node began to stop: there is
            // one moment at a time.
            service.give_up_copies();
        }
        // Whoever follows a master stands still while a moment is fixed: not for one that cannot be.
        if Moment::is_taken(front).await && !progress.cancelled.load(Ordering::Relaxed) {
            rt::sleep(AGAIN_AFTER).await;
            continue;
        }
        // What takes long comes to its end first: clients go on meanwhile, and nothing is held.
        future::or(front.outwait_all(), cancelled(progress)).await;
        if progress.cancelled.load(Ordering::Relaxed) {
            save.give_up().await;
            return Err("it was given up, as the node ends".to_owned());
        }
        match service.at_one_moment(async || save.fix().await).await {
            Ok(origin) => break origin,
            // Somebody takes a copy of this node, which comes to its end by itself.
            Err(error) if error == ANOTHER && !progress.cancelled.load(Ordering::Relaxed) => {
                rt::sleep(AGAIN_AFTER).await;
            }
            Err(error) => {
                save.give_up().await;
                return Err(error);
            }
        }
    };
    begun();
    save.add_facts(origin.facts());
    let saved = save.write(progress).await?;
    Ok((saved, origin))
}

/// Waits until somebody gives it up.
async fn cancelled(progress: &SaveProgress) {
    while !progress.cancelled.load(Ordering::Relaxed) {
        rt::sleep(LOOK_EVERY).await;
    }
}

/// Writes what is held of the journals up to the snapshot beside it. Without it replicas that are behind sync fully.
async fn write_tail(service: &Service, snapshot: &Path, origin: &Origin) {
    let Some(position) = origin.position() else { return tail::remove(snapshot).await };
    let (logs, bound) = service.journals_of(&position);
    match tail::write(snapshot, &position, &logs, bound).await {
        Ok(0) => {}
        Ok(records) => {
            tracing::info!("snapshot: the journals' last {records} records are beside it")
        }
        Err(error) => {
            tail::remove(snapshot).await;
            tracing::warn!(
                "snapshot: the journals' tail could not be written: {error}; replicas that are behind sync fully"
            );
        }
    }
}

/// Says now and then how far the one under way is.
async fn tell_how_far<T>(server: &Server) -> T {
    loop {
        rt::sleep(TELL_EVERY).await;
        let Some(now) = server.snapshots.under_way() else { continue };
        let figures = now.figures();
        tracing::info!(
            "snapshot: {} of {} keys, {} bytes after {} s ({:.0} keys/s, {:.1} MB/s), {} s to go",
            figures.keys,
            figures.keys_total,
            figures.bytes,
            now.since.as_secs(),
            figures.keys_per_second,
            figures.bytes_per_second / 1e6,
            figures.eta_seconds.map_or("?".to_owned(), |left| left.ceil().to_string())
        );
    }
}

/// Removes parts that no snapshot names, of a process that was killed in the middle of one: beside them there may be
/// no room for the next.
async fn make_place(server: &Server, next: &Path) {
    let setting = &server.settings.config().dbfilename;
    match newest(server).await {
        Ok(Some(newest)) => {
            // Where it cannot be read, which are its own cannot be told.
            if let Ok(kept) = parts::save_of(&newest).await {
                parts::remove_left(setting, &newest, kept).await;
            }
        }
        Ok(None) => parts::remove_left(setting, next, None).await,
        // Writing says why.
        Err(_) => {}
    }
}

/// What the next snapshot is called, or why there is none now.
fn name_of_next(server: &Server, wait: Wait) -> Result<String, String> {
    let config = server.settings.config();
    if wait != Wait::Last && server.stopping.load(Ordering::Acquire) {
        return Err(STOPPING.to_owned());
    }
    if config.dbfilename.is_empty() {
        return Err("snapshots are off: dbfilename is empty".to_owned());
    }
    // Who reads the data again writes it first, and nobody else then: what it has written is what it reads.
    let is_first = server.loading.writes_first() && wait != Wait::Begun;
    if server.status.is_loading() && !is_first {
        return Err("data is being loaded: there is nothing whole to be written".to_owned());
    }
    let name = name::file_name(&config.dbfilename, rt::now_millis());
    name::refusal(&name, config.snapshot_parts).map_or(Ok(name), |refusal| Err(refusal.to_owned()))
}

/// This place, or another one behind those of all that there are: the newest by name is what a start loads.
async fn behind_all(server: &Server, path: PathBuf) -> PathBuf {
    let setting = &server.settings.config().dbfilename;
    let name = |path: &Path| path.file_name().and_then(|name| Some(name.to_str()?.to_owned()));
    if !setting.contains(name::TIMESTAMP) {
        return path;
    }
    // Where the directory cannot be read, writing says why.
    let Ok(Some(newest)) = newest(server).await else { return path };
    let names = name(&newest).zip(name(&path));
    match names.and_then(|(newest, name)| name::behind(setting, &newest, &name)) {
        Some(behind) => {
            // Of the same second it is left to that one.
            if newest != path {
                tracing::warn!(
                    "snapshot: {} is of a time that has not come yet, and so is this one's name: a start loads the newest",
                    newest.display()
                );
            }
            path.with_file_name(behind)
        }
        None => path,
    }
}

fn plan(server: &Server, path: PathBuf, wait: Wait) -> SavePlan {
    let config = server.settings.config();
    let facts = [
        ("redis-ver", REDIS_VERSION.to_owned()),
        ("redis-bits", "64".to_owned()),
        ("ctime", (rt::now_millis().0 / 1000).to_string()),
        ("used-mem", memory::used().to_string()),
        ("damselfly-ver", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let form = if config.snapshot_parts { Form::Parts } else { Form::One };
    let (of_data, held_max) = (Vec::new(), effect::held_max(&config));
    SavePlan { path, form, facts, of_data, held_max, is_urgent: wait == Wait::Last }
}

fn note_written(path: &Path, saved: &Saved, took: Duration) {
    let seconds = took.as_secs_f64().max(0.001);
    tracing::info!(
        "snapshot: {} keys, {} bytes in {}{} after {seconds:.3} s ({:.1} MB/s)",
        saved.keys,
        saved.bytes,
        path.display(),
        if saved.parts.is_some() { " and its parts" } else { "" },
        saved.bytes as f64 / 1e6 / seconds
    );
    if saved.version > engine::rdb::file_write::VERSION {
        tracing::info!(
            "snapshot: the file is of version {}, as {} load it",
            saved.version,
            match saved.version {
                functions::VERSION => "there are libraries of functions: Redis 7.0 and later",
                _ => "fields of hashes expire: Redis 7.4 and later",
            }
        );
    }
}

/// Writes snapshots when `save` asks for them.
pub async fn watch(front: Rc<Front>, server: Arc<Server>) {
    // FLUSHALLs that a snapshot shows, or that were before `save` asked for any.
    let mut flushes = Some(0);
    loop {
        rt::sleep(WATCH_EVERY).await;
        // Copies for who follows as a Redis does may go there as well. Where it is gone, whoever writes says so.
        let _ = directory::current();
        let config = server.settings.config();
        let points = config.save_points().unwrap_or_default();
        if points.is_empty() || config.dbfilename.is_empty() {
            flushes = None;
            continue;
        }
        let last = server.snapshots.last();
        let may = !server.status.is_loading()
            && server.snapshots.under_way().is_none()
            && !server.stopping.load(Ordering::Acquire)
            && (last.is_ok || last.tried.is_none_or(|tried| tried.elapsed() > RETRY_AFTER));
        if !may {
            continue;
        }
        let Changes { keys: changed, flushes: flushed } = changes(&front).await;
        let seen = flushes.unwrap_or(flushed).max(last.changes_then.flushes);
        flushes = Some(seen);
        let since_last = last.changes(changed);
        let since = last.ended.elapsed();
        let mut due =
            points.iter().filter(|(after, least)| since >= *after && since_last >= *least);
        match due.next() {
            // As in Redis: what was thrown away is not to come back.
            _ if flushed > seen => tracing::info!("snapshot: after FLUSHALL"),
            Some((after, least)) => {
                tracing::info!("snapshot: {least} changes in {} s", after.as_secs());
            }
            None => continue,
        }
        match order(&front, &server, Wait::Written).await {
            // As of its moment, at which each shard had done the same.
            Ok(()) => flushes = Some(server.snapshots.last().changes_then.flushes),
            // What has failed is in the log already, and tried again soon.
            Err(error) if server.snapshots.last().is_ok => {
                tracing::warn!(
                    "snapshot: there is none now, although `save` asks for one: {error}"
                );
                rt::sleep(REFUSED_FOR).await;
            }
            Err(_) => {}
        }
    }
}

/// Changes so far, over all shards.
async fn changes(front: &Rc<Front>) -> Changes {
    let shards = front.call_all(|shard: &mut Shard| shard.keys.changes()).await;
    shards.into_iter().sum()
}

/// What is there now is what a file holds.
pub async fn note_loaded(front: &Rc<Front>, server: &Server) {
    server.snapshots.is_loaded(changes(front).await);
}

/// Writes snapshots when `snapshot_cron` names the minute.
pub async fn watch_clock(front: Rc<Front>, server: Arc<Server>) {
    // The minute of the start was before it.
    let mut seen = rt::now_millis().0 / MINUTE;
    loop {
        rt::sleep(WATCH_EVERY).await;
        let now = rt::now_millis();
        if seen == now.0 / MINUTE {
            continue;
        }
        seen = now.0 / MINUTE;
        let Some(Ok(cron)) = server.settings.config().snapshot_minutes() else { continue };
        if !cron.is_at(now) || server.stopping.load(Ordering::Acquire) {
            continue;
        }
        tracing::info!("snapshot: it is time, as snapshot_cron says");
        if let Err(error) = order(&front, &server, Wait::Begun).await {
            tracing::warn!("snapshot: the one of snapshot_cron is left out: {error}");
        }
    }
}

/// The newest snapshot that the setting `dbfilename` could have named, if there is one.
pub async fn newest(server: &Server) -> Result<Option<PathBuf>, String> {
    let setting = &server.settings.config().dbfilename;
    if setting.is_empty() {
        return Ok(None);
    }
    let directory = directory::current()?;
    let names = rt::file::names_in(&directory).await.map_err(|error| error.to_string())?;
    let newest = names.iter().rfind(|found| name::is_ours(setting, found));
    Ok(newest.map(|found| directory.join(found)))
}

/// Whether there are no keys, no libraries of functions, and no file from which the next start would have some: then
/// none is left where the program ran for a moment only.
pub async fn has_nothing(front: &Rc<Front>, server: &Server) -> bool {
    let keys = front.call_all(|shard: &mut Shard| shard.keys.total_len()).await;
    let is_empty = keys.into_iter().sum::<usize>() == 0 && front.node.libraries().all().is_empty();
    is_empty && newest(server).await == Ok(None)
}

/// Writes a last snapshot, if there is to be one.
pub async fn at_the_end(front: &Rc<Front>, server: &Server) -> Ordered {
    // The one under way would be older.
    server.snapshots.cancel();
    with_all(front, server, Wait::Last).await
}

/// Writes a snapshot, after the one under way. No more writes are let in meanwhile; what was let in before stands in
/// it.
pub async fn with_all(front: &Rc<Front>, server: &Server, wait: Wait) -> Ordered {
    /// A write that was let in just before may come behind the snapshot: then one more has it. So may the deletion of
    /// what has expired, which may stand in the file.
    const ROUNDS: usize = 3;
    let heads = async || -> u64 {
        front.call_all(|shard: &mut Shard| shard.log.lsn().0).await.into_iter().sum()
    };
    for _ in 0..ROUNDS {
        loop {
            match order(front, server, wait).await {
                Err(error) if error == BUSY => rt::sleep(LOOK_EVERY).await,
                outcome => break outcome?,
            }
        }
        if heads().await == server.snapshots.last().heads {
            break;
        }
    }
    Ok(())
}
