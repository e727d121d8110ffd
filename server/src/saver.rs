//! Snapshots are written on the executor of replication, which has no keys: shards only encode theirs.
//!
//! ```text
//!   SAVE, BGSAVE, the end ──┐
//!   watch (setting `save`) ─┴─ Order ─► receive ─► save ─► dbfilename in dir
//!                                          └─ Snapshots: what INFO, LASTSAVE and the gates look at
//! ```

use crate::config::{Config, REDIS_VERSION};
use crate::effect;
use crate::memory;
use crate::server::Server;
use engine::exec::Front;
use engine::rdb::functions;
use engine::rt;
use engine::shard::{Answer, ExecutorId, Message, ReplyTo, Shard};
use engine::snapshot::{self, SavePlan, Saved, name};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What Redis answers while there is one.
pub const BUSY: &str = "Background save already in progress";

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
}

/// What becomes of an order, for whoever waits.
type Ordered = Result<(), String>;

/// The share of maxmemory that changed keys may take while a snapshot is written.
const HELD_SHARE: u64 = 4;
/// And the least.
const HELD_MIN: u64 = 64 * 1024 * 1024;

/// How often it is asked whether `save` asks for a snapshot.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// After one that failed the next is tried no sooner, as in Redis.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Asks for a snapshot, and waits.
pub async fn order(front: &Rc<Front>, server: &Server, wait: Wait) -> Ordered {
    let waiter = front.waiter();
    let order = Order { wait, to: waiter.reply_to() };
    let replication = ExecutorId(server.node.shards());
    front.node.send(replication, Message::Service(Box::new(order)));
    waiter.value().await
}

/// On the executor of replication: an order has come.
pub fn receive(front: &Rc<Front>, server: &Arc<Server>, order: Order) {
    rt::spawn_local(perform(front.clone(), server.clone(), order)).detach();
}

async fn perform(front: Rc<Front>, server: Arc<Server>, Order { wait, to }: Order) {
    let answer = |outcome: Ordered| {
        front.node.send(to.executor, Message::Answer(to.ticket, Answer::Value(Box::new(outcome))));
    };
    let mut waits = Some(answer);
    let mut tell = |outcome: Ordered| {
        if let Some(answer) = waits.take() {
            answer(outcome);
        }
    };
    let path = match place(&server) {
        Ok(path) => path,
        Err(error) => return tell(Err(error)),
    };
    let Some(progress) = server.snapshots.begin() else { return tell(Err(BUSY.to_owned())) };
    let began = Instant::now();
    tracing::info!("snapshot: writing {}", path.display());
    let plan = plan(&front, &server, path).await;
    let begun = || {
        if wait == Wait::Begun {
            tell(Ok(()));
        }
    };
    let outcome = snapshot::save(&front, &plan, &progress, begun).await;
    match &outcome {
        Ok(saved) => {
            let offset = saved.lsns.iter().map(|lsn| lsn.0).sum();
            server.snapshots.end(Ok(offset));
            note_written(&plan, saved, began.elapsed());
        }
        Err(error) => {
            server.snapshots.end(Err(error));
            tracing::error!("snapshot: {error}; the last good file stays as it is");
        }
    }
    tell(outcome.map(drop));
}

/// Where the next snapshot goes.
fn place(server: &Server) -> Result<PathBuf, String> {
    let config = server.settings.config();
    if config.dbfilename.is_empty() {
        return Err("snapshots are off: dbfilename is empty".to_owned());
    }
    if server.status.is_loading() && !server.loading.writes_first() {
        return Err("a full sync is being loaded: there is nothing whole to be written".to_owned());
    }
    let directory = std::env::current_dir()
        .map_err(|error| format!("cannot find the working directory: {error}"))?;
    Ok(directory.join(name::file_name(&config.dbfilename, rt::now_millis())))
}

async fn plan(front: &Rc<Front>, server: &Server, path: PathBuf) -> SavePlan {
    let config = server.settings.config();
    let mut facts = vec![
        ("redis-ver", REDIS_VERSION.to_owned()),
        ("redis-bits", "64".to_owned()),
        ("ctime", (rt::now_millis().0 / 1000).to_string()),
        ("used-mem", memory::used().to_string()),
        ("damselfly-ver", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    // A replica's own journals are nobody's coordinates.
    if !server.status.is_replica() {
        facts.push(("damselfly-history", server.replication.info(front).await.history));
    }
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    SavePlan { path, facts, held_max: held_max(&config) }
}

fn held_max(config: &Config) -> u64 {
    (effect::maxmemory(config) / HELD_SHARE).max(HELD_MIN)
}

fn note_written(plan: &SavePlan, saved: &Saved, took: Duration) {
    let seconds = took.as_secs_f64().max(0.001);
    tracing::info!(
        "snapshot: {} keys, {} bytes in {} after {seconds:.3} s ({:.1} MB/s)",
        saved.keys,
        saved.bytes,
        plan.path.display(),
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
    loop {
        rt::sleep(WATCH_EVERY).await;
        let config = server.settings.config();
        let points = config.save_points().unwrap_or_default();
        let last = server.snapshots.last();
        let may = !points.is_empty()
            && !config.dbfilename.is_empty()
            && !server.status.is_loading()
            && (last.is_ok || last.tried.is_none_or(|tried| tried.elapsed() > RETRY_AFTER));
        if !may {
            continue;
        }
        let heads = front.call_all(|shard: &mut Shard| shard.log.lsn().0).await;
        let changes = last.changes(heads.into_iter().sum());
        let since = last.at.elapsed().unwrap_or_default();
        let Some((after, least)) =
            points.into_iter().find(|(after, least)| since >= *after && changes >= *least)
        else {
            continue;
        };
        tracing::info!("snapshot: {least} changes in {} s", after.as_secs());
        // What goes wrong is in the log already.
        let _ = order(&front, &server, Wait::Written).await;
    }
}

/// Whether there are no keys, and no file that would say otherwise: then none is left where the program ran for
/// a moment only.
pub async fn has_nothing(front: &Rc<Front>, server: &Server) -> bool {
    let keys = front.call_all(|shard: &mut Shard| shard.keys.total_len()).await;
    let is_there = place(server).is_ok_and(|path| path.exists());
    keys.into_iter().sum::<usize>() == 0 && !is_there
}

/// Writes a last snapshot, if there is to be one, after the one under way. No more writes are let in meanwhile;
/// what was let in before stands in it.
pub async fn at_the_end(front: &Rc<Front>, server: &Server) -> Ordered {
    /// A write that was let in just before it was told to stop may come behind the snapshot: then one more
    /// has it.
    const ROUNDS: usize = 3;
    let heads = async || -> u64 {
        front.call_all(|shard: &mut Shard| shard.log.lsn().0).await.into_iter().sum()
    };
    // The one under way would be older.
    server.snapshots.cancel();
    for _ in 0..ROUNDS {
        loop {
            match order(front, server, Wait::Written).await {
                Err(error) if error == BUSY => rt::sleep(Duration::from_millis(10)).await,
                outcome => break outcome?,
            }
        }
        if heads().await == server.snapshots.last().offset {
            break;
        }
    }
    Ok(())
}
