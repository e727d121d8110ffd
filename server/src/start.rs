//! Starting: everything that can be wrong is found out before anything is served.
//!
//! ```text
//!   settings ─► machine (io_uring, memory locks) ─► certificates ─► ports ─► executors ─► serving
//! ```

use crate::certificates;
use crate::clients;
use crate::commands;
use crate::config::{Config, Pin, Settings};
use crate::connection::Handlers;
use crate::directory;
use crate::effect;
use crate::gates;
use crate::listen::{self, Incoming};
use crate::listeners::Listeners;
use crate::loader;
use crate::log::Log;
use crate::memory;
use crate::meters::latency::{Events, Histograms};
use crate::meters::slow::SlowLog;
use crate::meters::stats::{FrontStats, Rates};
use crate::news;
use crate::observe;
use crate::resume;
use crate::saver;
use crate::server::{Counters, Server};
use crate::stop;
use crate::stopper::{Stop, Stopper};
use crate::supervisor::Supervisor;
use crate::welcome;
use engine::db::{Keyspace, Victims};
use engine::exec::{Front, Node};
use engine::pubsub::Hub;
use engine::rt::{self, Executor, Receiver, executor, mailbox};
use engine::shard::{ExecutorId, Message, Pace, Shard};
use engine::types::ShardId;
use futures_lite::future;
use replication::Replication;
use replication::service::Service;
use replication::status::Status;
use replication::tls::{TlsContexts, TlsStore};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Runs the program until it is told to stop.
pub fn run(settings: Arc<Settings>) -> Result<(), String> {
    rt::signals::hold().map_err(|error| format!("cannot receive signals: {error}"))?;
    let config = settings.config();
    let log = Log::start(&config).map_err(|error| format!("cannot open the log: {error}"))?;
    let last_words = log.clone();
    std::panic::set_hook(Box::new(move |panic| {
        // Half a shard is worse than none: a replica exists for this.
        tracing::error!("a broken promise of our own, ending at once: {panic}");
        last_words.flush();
        std::process::abort();
    }));
    let outcome = run_logged(settings, log.clone(), &config);
    // The last line is the error on standard error, behind what led to it.
    log.flush();
    outcome
}

fn run_logged(settings: Arc<Settings>, log: Log, config: &Config) -> Result<(), String> {
    directory::enter(&config.dir)?;
    rt::probe::prepare()?;
    let tls = effect::tls(config);
    let has_password = !config.requirepass.is_empty();
    let contexts = TlsContexts::load(&tls, has_password, !config.masterauth.is_empty())
        .map_err(|error| error.to_string())?;
    if let Err(error) = memory::keep_giving_back() {
        tracing::warn!("freed memory will be given back late: no thread for it: {error}");
    }
    if let Err(error) = memory::ahead::keep_ahead() {
        tracing::warn!(
            "memory will be touched by who needs it, which takes longer: no thread for it: {error}"
        );
    }
    Program::build(settings, log, contexts, config).and_then(Program::run)
}

/// Each client takes a descriptor: without one left nobody could even be refused, and the link to the master
/// could not be made. So `maxclients` is lowered to what there are, as Redis does.
fn fit_into_files(settings: &Settings, config: &Config) {
    let (wanted, most) = (config.maxclients, clients::places(config));
    if most < wanted {
        settings.lower_maxclients(most);
        tracing::warn!(
            "maxclients is {most}, not {wanted}: the limit of open files is {}; raise it (LimitNOFILE= in \
             the systemd unit, or ulimit -n)",
            rt::probe::open_files_max()
        );
    }
}

fn write_pidfile(config: &Config) -> Result<Option<PidFile>, String> {
    if config.pidfile.is_empty() {
        return Ok(None);
    }
    std::fs::write(&config.pidfile, format!("{}\n", std::process::id()))
        .map_err(|error| format!("cannot write {}: {error}", config.pidfile))?;
    Ok(Some(PidFile(config.pidfile.clone())))
}

/// The program before its executors run.
struct Program {
    server: Arc<Server>,
    handlers: Handlers,
    mailboxes: Vec<Receiver<Message>>,
    cpus: Vec<Option<usize>>,
    words: Receiver<Stop>,
    stopper: Stopper,
    seed: u64,
}

impl Program {
    fn build(
        settings: Arc<Settings>,
        log: Log,
        contexts: TlsContexts,
        config: &Config,
    ) -> Result<Program, String> {
        let allowed = executor::allowed_cpus();
        let quota = executor::cpu_quota();
        let shards = config.shard_count(allowed.len().min(quota)) as u16;
        let executors = usize::from(shards) + 1;
        let pin = match config.pin {
            Pin::Auto => rt::Pin::Auto,
            Pin::On => rt::Pin::On,
            Pin::Off => rt::Pin::Off,
        };
        let cpus = executor::plan(pin, executors, &allowed, quota);
        let (registry, handlers) = commands::registry();
        let restricted = gates::restricted(registry, &config.restricted_commands)?;
        let (senders, mailboxes): (Vec<_>, Vec<_>) = (0..=executors).map(|_| mailbox()).unzip();
        let seed = rt::random_u64();
        let node = Arc::new(Node::new(senders, shards, usize::from(config.dbnum), seed, registry));
        let replication = Replication::new(node.clone(), ExecutorId::replication(shards));
        let (stopper, words) = Stopper::new();
        let hub = |server: &Weak<Server>| {
            let hub = Hub::new(executors as u16, Listeners(server.clone()));
            hub.set_limits(effect::inbox_limits(config));
            Arc::new(hub)
        };
        let server = Arc::new_cyclic(|server| Server {
            hub: hub(server),
            node,
            registry,
            restricted,
            tls: Arc::new(TlsStore::new(contexts)),
            clients: Default::default(),
            victims: Victims::new(shards),
            counters: Counters::default(),
            front_stats: FrontStats::new(registry.len()),
            slow_log: SlowLog::default(),
            events: Events::default(),
            histograms: Histograms::new(registry.len()),
            rates: Rates::new(shards),
            status: Arc::new(Status::default()),
            replication,
            run_id: run_id(),
            started: Instant::now(),
            ports: Default::default(),
            loading: Default::default(),
            snapshots: Default::default(),
            stopping: AtomicBool::new(false),
            stopper: stopper.clone(),
            log,
            supervisor: Supervisor::start(executors),
            turned_away: Default::default(),
            settings,
        });
        for line in server.settings.describe() {
            tracing::info!("{line}");
        }
        if let Some(line) = server.settings.without_effect() {
            tracing::info!("{line}");
        }
        for note in server.settings.notes() {
            tracing::warn!("{note}");
        }
        for warning in config.warnings(listen::is_protected(config)) {
            tracing::warn!("{warning}");
        }
        fit_into_files(&server.settings, config);
        tracing::info!(
            "{} shards and the replication executor on {} CPUs, {}",
            shards,
            allowed.len(),
            if cpus.iter().any(Option::is_some) { "pinned" } else { "not pinned" }
        );
        Ok(Program { server, handlers, mailboxes, cpus, words, stopper, seed })
    }

    fn run(mut self) -> Result<(), String> {
        certificates::watch(self.server.clone())?;
        let (Some(for_files), Some(for_replication)) = (self.mailboxes.pop(), self.mailboxes.pop())
        else {
            return Ok(());
        };
        let shards = self.server.node.shards();
        let mut running = Vec::new();
        let mut first = Some((self.words, self.stopper));
        for (index, mailbox) in self.mailboxes.into_iter().enumerate() {
            let (server, handlers, seed) = (self.server.clone(), self.handlers, self.seed);
            let settings = rt::Settings::named(format!("shard-{index}")).on_cpu(self.cpus[index]);
            let shard = ShardId(index as u16);
            let lead = first.take();
            let run = move || run_shard(shard, mailbox, server, handlers, seed, lead);
            running.push(executor::spawn(settings, run)?);
        }
        let settings = rt::Settings::named("repl").on_cpu(self.cpus[usize::from(shards)]);
        let server = self.server.clone();
        running.push(executor::spawn(settings, move || run_replication(for_replication, server))?);
        let (settings, node) = (rt::Settings::named("files"), self.server.node.clone());
        let run = move || run_files(for_files, node);
        running.push(executor::spawn(settings.of(rt::Priority::Low), run)?);
        wait_for(running, &self.server)
    }
}

/// The first shard's executor ends when the program does; an executor that ends with an error ends it
/// too.
fn wait_for(running: Vec<Executor<Result<(), String>>>, server: &Server) -> Result<(), String> {
    let mut running = running.into_iter();
    let Some(first) = running.next() else { return Ok(()) };
    let outcome = first.join()?;
    // The others hold nothing that outlives the process.
    drop(running);
    server.supervisor.finish();
    tracing::info!("stopped");
    outcome
}

fn run_id() -> String {
    let mut id = [0; 20];
    rt::fill_random(&mut id);
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn run_shard(
    id: ShardId,
    mailbox: Receiver<Message>,
    server: Arc<Server>,
    handlers: Handlers,
    seed: u64,
    lead: Option<(Receiver<Stop>, Stopper)>,
) -> Result<(), String> {
    let keys = Keyspace::new(server.node.dbs(), seed);
    let mut shard = Shard::new(id, server.node.shards(), keys, server.registry.len());
    shard.keys.set_hub(server.hub.clone());
    effect::on_shard(&server.settings.config(), &mut shard);
    shard.gate.victims = server.victims.clone();
    let paused = server.clone();
    // While it stops nothing ends by itself either: else replicas would be ahead of the last snapshot.
    let is_paused =
        move || paused.clients.pause().is_some() || paused.stopping.load(Ordering::Acquire);
    shard.keys.set_paused(is_paused);
    let me = ExecutorId::from(id);
    let front = Front::new(me, server.node.clone(), Some(shard), rt::now_millis);
    let (served, host) = (front.clone(), server.clone());
    rt::spawn_local(async move {
        let newcomers = served.clone();
        served
            .serve_mailbox(mailbox, move |message| {
                let Ok(incoming) = message.downcast::<Incoming>() else { return };
                let (front, server) = (newcomers.clone(), host.clone());
                rt::spawn_local(welcome::welcome(*incoming, front, server, handlers)).detach();
            })
            .await;
    })
    .detach();
    rt::spawn_local(beat(front.clone(), server.clone())).detach();
    match lead {
        Some((words, stopper)) => lead_program(words, stopper, front, server).await,
        // Until the process ends.
        None => std::future::pending().await,
    }
}

/// What the first shard's executor does beside its shard: it listens, and ends the program.
async fn lead_program(
    words: Receiver<Stop>,
    stopper: Stopper,
    front: Rc<Front>,
    server: Arc<Server>,
) -> Result<(), String> {
    let config = server.settings.config();
    let bound = listen::bind(&config).await?;
    // Not before: whoever finds its port taken must leave the file of the one that runs alone.
    let pidfile = match write_pidfile(&config) {
        Err(error) if server.settings.is_from_redis_conf("pidfile") => {
            tracing::warn!("{error}");
            None
        }
        outcome => outcome?,
    };
    server.set_ports(bound.port, bound.admin_port);
    tracing::info!(
        "listening on port {} ({}), admin port {}",
        bound.port,
        if config.tls { "TLS" } else { "plaintext" },
        bound.admin_port
    );
    server.reconfigure(&front).await;
    rt::spawn_local(stop::watch_signals(front.clone(), server.clone(), stopper)).detach();
    let mut stopped = pin!(stop::wait(words, front.clone(), server.clone()));
    let (found, mut bound) = (saver::newest(&server).await?, Some(bound));
    if let Some(path) = found {
        // Whoever comes meanwhile is told that it is loading.
        server.status.set_loading(true);
        server.loading.begin(0);
        if let Some(bound) = bound.take() {
            bound.serve(&server);
        }
        let loading = async { Some(load(&front, &server, &path).await) };
        let ended = async {
            stopped.as_mut().await;
            None
        };
        let loaded = future::or(loading, ended).await;
        server.loading.end();
        let Some(loaded) = loaded else {
            return Ok(());
        };
        loaded?;
        server.status.set_loading(false);
    }
    if let Some(upstream) = &config.replicaof {
        let request = replication::Request::Follow {
            host: upstream.host.clone(),
            port: upstream.port,
            at_once: true,
        };
        let _: Result<u64, String> = server.replication.ask(&front, request).await;
    }
    if let Some(bound) = bound {
        bound.serve(&server);
    }
    rt::spawn_local(welcome::watch_silence(server.clone())).detach();
    server.supervisor.ready();
    rt::spawn_local(news::tell_status(front.clone(), server.clone())).detach();
    rt::spawn_local(saver::watch(front.clone(), server.clone())).detach();
    rt::spawn_local(saver::watch_clock(front.clone(), server.clone())).detach();
    memory::note_startup();
    memory::warn_if_short(config.maxmemory);
    tracing::info!("ready");
    stopped.await;
    drop(pidfile);
    Ok(())
}

/// Loads the snapshot that was found, and goes on where its data was.
async fn load(front: &Rc<Front>, server: &Server, path: &std::path::Path) -> Result<(), String> {
    let origin = loader::load_at_start(front, server, path).await?;
    resume::order(front, server, path, origin).await;
    Ok(())
}

/// Removed when this goes, however the program ends.
struct PidFile(String);

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Background work of a shard, `hz` times a second, in slices.
async fn beat(front: Rc<Front>, server: Arc<Server>) {
    /// The pause of a shard for which nothing happens: waking up costs more than what there is to do.
    const IDLE_PAUSE: Duration = Duration::from_millis(100);
    /// Who asks for more wants it kept when nothing else happens: an `expired` event that is not late, for instance.
    const HZ_WHERE_IDLE_IS_REST: u32 = 100;
    let mut reader = crate::config::Reader::new(server.settings.clone());
    let (mut done_before, mut trimmer) = (None, memory::Trimmer::default());
    let mut overfull = memory::Overfull::default();
    loop {
        let config = reader.config();
        let bounds = effect::journal_bounds(config, server.node.shards());
        let pause = Duration::from_millis(1000 / u64::from(config.hz.max(1)));
        memory::judge_anew();
        while front.with_shard(|shard| shard.heartbeat(&bounds)) == Pace::More {
            // Eviction may have more to do for as long as others write.
            server.supervisor.pulse(front.me);
            rt::yield_now().await;
        }
        server.supervisor.pulse(front.me);
        trimmer.look();
        if front.me.0 == 0 {
            overfull.look(server.status.is_replica(), effect::bound(config));
        }
        let done = note_rates(&front, &server);
        let is_idle = done_before.replace(done) == Some(done) && config.hz <= HZ_WHERE_IDLE_IS_REST;
        rt::sleep(if is_idle { pause.max(IDLE_PAUSE) } else { pause }).await;
    }
}

/// Each shard says how much it has done; the first one's heartbeat keeps the samples. Answers with the
/// number of commands that ran on this shard, which stands still while it is idle.
fn note_rates(front: &Rc<Front>, server: &Arc<Server>) -> u64 {
    let shard = usize::from(front.me.0);
    let commands = |shard: &mut Shard| shard.stats.iter().map(|stats| stats.calls).sum();
    let done: u64 = front.with_shard(commands);
    server.rates.tell(shard, done);
    if shard == 0 {
        server.rates.sample(Instant::now(), || observe::totals(server));
    }
    done
}

async fn run_replication(mailbox: Receiver<Message>, server: Arc<Server>) -> Result<(), String> {
    let node = server.node.clone();
    let me = ExecutorId::replication(node.shards());
    let front = Front::new(me, node, None, rt::now_millis);
    rt::spawn_local(pulse(me, server.clone())).detach();
    rt::spawn_local(trim()).detach();
    let config = server.settings.config();
    let settings = effect::replication(&config, config.port.max(0) as u16);
    // Requests that come before the service stands wait here.
    let early: Rc<std::cell::RefCell<Early>> = Rc::default();
    let (served, waiting) = (front.clone(), early.clone());
    let (status, tls) = (server.status.clone(), server.tls.clone());
    let host = server.clone();
    let serving = rt::spawn_local(async move {
        let (orders, host) = (served.clone(), server.clone());
        let deliver = move |message: Box<dyn std::any::Any + Send>| {
            let mut early = waiting.borrow_mut();
            match &early.service {
                Some(service) => {
                    let service = service.clone();
                    drop(early);
                    receive(&orders, &host, &service, message);
                }
                None => early.messages.push(message),
            }
        };
        served.serve_mailbox(mailbox, deliver).await;
    });
    let service = Service::start(front.clone(), status, settings, tls).await;
    let messages = std::mem::take(&mut early.borrow_mut().messages);
    early.borrow_mut().service = Some(service.clone());
    messages.into_iter().for_each(|message| receive(&front, &host, &service, message));
    serving.await;
    Ok(())
}

/// Writes files for others (`engine::snapshot`).
async fn run_files(mailbox: Receiver<Message>, node: Arc<Node>) -> Result<(), String> {
    let me = ExecutorId::files(node.shards());
    Front::new(me, node, None, rt::now_millis).serve_mailbox(mailbox, |_| {}).await;
    Ok(())
}

/// What comes to the executor of replication, to whoever it is for.
fn receive(
    front: &Rc<Front>,
    server: &Arc<Server>,
    service: &Rc<Service>,
    message: Box<dyn std::any::Any + Send>,
) {
    let message = match message.downcast::<saver::Order>() {
        Ok(order) => return saver::receive(front, server, service, *order),
        Err(message) => message,
    };
    let message = match message.downcast::<loader::Order>() {
        Ok(order) => return loader::receive(front, server, *order),
        Err(message) => message,
    };
    match message.downcast::<resume::Order>() {
        Ok(order) => resume::receive(front, service, *order),
        Err(message) => service.receive(message),
    }
}

/// Shows a watchdog, if there is one, that the executor of replication lives. Shards have their beat.
async fn pulse(me: ExecutorId, server: Arc<Server>) {
    while let Some(pause) = server.supervisor.pulse_every() {
        server.supervisor.pulse(me);
        rt::sleep(pause).await;
    }
}

/// Frees large values that the executor of replication was the last to hold, in slices, and gives memory
/// back. Shards have their beat.
async fn trim() {
    /// Chunks freed before others may run: some 50 microseconds.
    const FREED_PER_SLICE: usize = 64;
    let mut trimmer = memory::Trimmer::default();
    loop {
        while engine::value::free_slice(FREED_PER_SLICE) {
            rt::yield_now().await;
        }
        trimmer.look();
        rt::sleep(Duration::from_secs(1)).await;
    }
}

#[derive(Default)]
struct Early {
    service: Option<Rc<Service>>,
    messages: Vec<Box<dyn std::any::Any + Send>>,
}
