//! The data of the last snapshot, at the start: before commands for data are answered. And once more, for DEBUG RELOAD.
//!
//! ```text
//!   load ── Order ─► receive, on the executor of replication: block ─► Loader ─► batches ─► shards
//!                                                               next block ─┘ is read meanwhile
//!   where it is a summary: the same of each part, on the executor of a shard
//! ```
//!
//! A file that cannot be read on stops the start. Nobody is to find an empty node by accident.
//!
//! The file is read on the executor of replication, which has no keys: shards only keep theirs meanwhile. Parts are read
//! where about all of their keys will be, so that what waits between executors is bounded by what one file needs.

use crate::saver::{self, Wait};
use crate::server::Server;
use engine::db::Role;
use engine::exec::Front;
use engine::rt::{self, File};
use engine::shard::{Answer, ExecutorId, Message, ReplyTo, Shard};
use engine::snapshot::parts::{self, Looked, Place};
use engine::snapshot::{Loaded, Loader, Options};
use replication::origin::Origin;
use replication::{Reading, Request};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Bytes that are read at once.
const BLOCK: usize = rt::file::BLOCK;

/// How often is looked whether the snapshot under way has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Loads the file that a start has found; what its data is.
pub async fn load_at_start(
    front: &Rc<Front>,
    server: &Server,
    path: &Path,
) -> Result<Origin, String> {
    tracing::info!("loading {}", path.display());
    let began = Instant::now();
    // Whoever follows a master deletes what that deletes.
    let keeps_expired = server.settings.config().replicaof.is_some();
    let role = if keeps_expired { Role::Replica } else { Role::Master };
    // What a master lets end from here on is told: whoever goes on where the file was needs it.
    let begin = move |shard: &mut Shard| {
        shard.set_role(role);
        shard.set_keeping(true);
    };
    front.call_all(begin).await;
    let loaded = load(front, server, path, Options { keeps_expired, ..Options::default() }).await;
    let fault = |error| {
        format!("cannot load {}: {error}; move it away to start without it", path.display())
    };
    let loaded = loaded.map_err(fault)?;
    let origin = Origin::of_facts(&loaded.aux).map_err(fault)?;
    tracing::info!(
        "loaded {} keys, {} bytes, after {:.3} s; {} had expired",
        loaded.keys,
        loaded.bytes,
        began.elapsed().as_secs_f64(),
        loaded.expired
    );
    Ok(origin)
}

/// What DEBUG RELOAD is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reload {
    /// The data is written to the file before.
    pub saves: bool,
    /// What is here goes before.
    pub flushes: bool,
    /// A key that is here already is replaced; else it is an error.
    pub merges: bool,
}

/// Reads the data from its file again. From the first moment on whoever asks is told that it is loading, so that
/// nothing is acknowledged that the file does not have; replicas begin anew afterwards. Whoever is told to follow
/// meanwhile does so afterwards, and so ends the node.
pub async fn reload(front: &Rc<Front>, server: &Server, how: Reload) -> Result<(), String> {
    if !server.loading.begin_again() {
        return Err("the data is being loaded already".to_owned());
    }
    let outcome = match server.stopping.load(Ordering::SeqCst) {
        true => Err(saver::STOPPING.to_owned()),
        false => hold_and_reload(front, server, how).await,
    };
    server.loading.end();
    outcome
}

async fn hold_and_reload(front: &Rc<Front>, server: &Server, how: Reload) -> Result<(), String> {
    step(front, server, Reading::Hold).await?;
    let outcome = write_and_read(front, server, how).await;
    step(front, server, Reading::End(outcome.is_ok())).await?;
    outcome
}

async fn step(front: &Rc<Front>, server: &Server, step: Reading) -> Result<(), String> {
    server.replication.ask(front, Request::Reload(step)).await
}

async fn write_and_read(front: &Rc<Front>, server: &Server, how: Reload) -> Result<(), String> {
    let path = match how.saves {
        true => {
            server.loading.set_writes_first(true);
            let saved = saver::with_all(front, server, Wait::Written).await;
            server.loading.set_writes_first(false);
            saved?;
            server.snapshots.last().path
        }
        false => {
            // It would be of what is read until its moment comes, and take the file's place.
            while server.snapshots.under_way().is_some() {
                rt::sleep(LOOK_EVERY).await;
            }
            saver::newest(server).await?.ok_or("there is no snapshot to load: see dbfilename")?
        }
    };
    check(&path).await?;
    step(front, server, Reading::Begin(how.flushes)).await?;
    let options = Options { keeps_expired: false, adds: !how.flushes, replaces: how.merges };
    match load(front, server, &path, options).await {
        Ok(loaded) => {
            tracing::info!("loaded {} keys from {} again", loaded.keys, path.display());
            Ok(())
        }
        Err(error) => {
            tracing::error!("cannot load {}: {error}", path.display());
            Err(format!("Error trying to load the RDB dump: {error}"))
        }
    }
}

/// Whether a snapshot can be read at all, before anything goes for it.
async fn check(path: &Path) -> Result<(), String> {
    parts::look_closely(path)
        .await
        .map_err(|error| format!("cannot load {}: {error}", path.display()))
}

/// To load a file.
pub struct Order {
    path: PathBuf,
    options: Options,
    /// Nobody waits for it any more.
    is_off: Arc<AtomicBool>,
    to: ReplyTo,
}

/// Whoever waits for a file. When it is dropped nobody does.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Has a file loaded, and waits.
async fn load(
    front: &Rc<Front>,
    server: &Server,
    path: &Path,
    options: Options,
) -> Result<Loaded, String> {
    let waiter = front.waiter();
    let waits = Waits(Arc::default());
    let (path, is_off, adds) = (path.to_owned(), waits.0.clone(), options.adds);
    let order = Order { path, options, is_off, to: waiter.reply_to() };
    let replication = ExecutorId::replication(server.node.shards());
    front.node.send(replication, Message::Service(Box::new(order)));
    let loaded: Result<Loaded, String> = waiter.value().await;
    if loaded.is_ok() && !adds {
        saver::note_loaded(front, server).await;
    }
    loaded
}

/// On the executor of replication: an order has come.
pub fn receive(front: &Rc<Front>, server: &Arc<Server>, order: Order) {
    let (front, server) = (front.clone(), server.clone());
    let work = async move {
        let to = order.to;
        let loaded = perform(&front, &server, order).await;
        front.node.send(to.executor, Message::Answer(to.ticket, Answer::Value(Box::new(loaded))));
    };
    rt::spawn_local(work).detach();
}

async fn perform(front: &Rc<Front>, server: &Arc<Server>, order: Order) -> Result<Loaded, String> {
    let Order { path, options, is_off, .. } = order;
    let Looked { bytes, summary } = parts::look(&path).await?;
    server.loading.begin(bytes);
    let mut loaded = load_file(front, server, &path, options, &is_off).await?;
    if let Some(Place { number, count, .. }) = Place::of_facts(&loaded.aux) {
        tracing::warn!(
            "{} is part {number} of the {count} of a snapshot: the others are not loaded",
            path.display()
        );
    }
    if let Some(summary) = summary {
        let keeps_expired = options.keeps_expired || loaded.keeps_expired();
        // Libraries of functions stand in the summary.
        let options = Options { keeps_expired, adds: true, ..options };
        let paths = summary.paths(&path);
        load_parts(front, server, &paths, options, &is_off, &mut loaded).await?;
    }
    Ok(loaded)
}

/// Loads the parts of a snapshot, on all shards' executors at the same time: on each those of about its own keys, one
/// after the other.
async fn load_parts(
    front: &Rc<Front>,
    server: &Arc<Server>,
    paths: &[PathBuf],
    options: Options,
    is_off: &Arc<AtomicBool>,
    loaded: &mut Loaded,
) -> Result<(), String> {
    let (shards, count) = (usize::from(front.node.shards()), paths.len());
    let failed = Arc::<OnceLock<String>>::default();
    let begin = |shard: usize| {
        // Shards have contiguous ranges of slots, however many there are.
        let is_here = |(number, _): &(usize, &PathBuf)| number * shards / count == shard;
        let here = paths.iter().enumerate().filter(is_here).map(|(_, path)| path.clone());
        let here: Vec<PathBuf> = here.collect();
        let (server, is_off, failed) = (server.clone(), is_off.clone(), failed.clone());
        front.have_run(ExecutorId(shard as u16), async move |front: Rc<Front>| {
            let mut loaded = Loaded::default();
            for path in here {
                match load_file(&front, &server, &path, options, &is_off).await {
                    Ok(part) => loaded.add(&part),
                    Err(error) => {
                        // The others need not go on.
                        failed.get_or_init(|| format!("its part {}: {error}", path.display()));
                        is_off.store(true, Ordering::Release);
                        break;
                    }
                }
            }
            loaded
        })
    };
    let under_way: Vec<_> = (0..shards).map(begin).collect();
    for part in under_way {
        loaded.add(&part.await);
    }
    failed.get().map_or(Ok(()), |error| Err(error.clone()))
}

/// Loads one file, on whichever executor this is.
async fn load_file(
    front: &Rc<Front>,
    server: &Server,
    path: &Path,
    options: Options,
    is_off: &AtomicBool,
) -> Result<Loaded, String> {
    let file = Rc::new(File::open(path).await.map_err(|error| error.to_string())?);
    let mut loader = Loader::new(front, options).await;
    let (mut at, mut next) = (0, read(&file, 0));
    let mut told = (0, 0, 0);
    let mut tell = |at: u64, loaded: &Loaded| {
        let now = (at, loaded.keys, loaded.expired);
        server.loading.add(now.0 - told.0, now.1 - told.1, now.2 - told.2);
        told = now;
    };
    loop {
        let block = next.await?;
        if block.is_empty() {
            break;
        }
        at += block.len() as u64;
        next = read(&file, at);
        loader.push(&block).await.map_err(|error| error.to_string())?;
        if is_off.load(Ordering::Acquire) {
            return Err("nobody waits for it any more".to_owned());
        }
        tell(at, loader.so_far());
    }
    let loaded = loader.end().await.map_err(|error| error.to_string())?;
    tell(at, &loaded);
    if loaded.bytes < at {
        tracing::warn!("{} bytes behind the end of the data are left alone", at - loaded.bytes);
    }
    Ok(loaded)
}

/// Reads a block, beside whatever else is done.
fn read(file: &Rc<File>, at: u64) -> rt::Task<Result<Vec<u8>, String>> {
    let file = file.clone();
    rt::spawn_local(async move {
        let mut block = Vec::with_capacity(BLOCK);
        let read = file.read_at(at, BLOCK, &mut block).await;
        read.map(|_| block).map_err(|error| error.to_string())
    })
}
