//! Stopping: signals, SHUTDOWN, and in which order things end.

use crate::news;
use crate::saver;
use crate::server::Server;
use crate::stopper::{LastSnapshot, Stop, Stopper};
use engine::exec::Front;
use engine::rt::signals::{Signal, signals};
use engine::rt::{self, Receiver};
use engine::shard::{Answer, Message};
use engine::snapshot;
use futures_lite::future;
use replication::Request;
use replication::info::{Replica, ReplicaState};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often is looked whether what is waited for has ended.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Turns signals into words: TERM and INT stop, QUIT and an INT while it stops end at once, HUP reloads, USR1
/// opens the log anew, USR2 tells what the node is doing.
pub async fn watch_signals(front: Rc<Front>, server: Arc<Server>, stopper: Stopper) {
    let mut incoming = match signals() {
        Ok(incoming) => incoming,
        Err(error) => return tracing::error!("signals cannot be received: {error}"),
    };
    while let Some(signal) = incoming.recv().await {
        match signal {
            // Where it has gone on since (nothing could be saved), an INT is a first one again.
            Signal::Interrupt if stopper.is_asked() => end_at_once(&server),
            Signal::Terminate | Signal::Interrupt => {
                stopper.stop(Stop::InOrder(LastSnapshot::Usual));
            }
            Signal::Quit => stopper.stop(Stop::Now(LastSnapshot::Skip)),
            Signal::Reload => server.reload(),
            Signal::Reopen => server.reopen_log(),
            // In a task of its own: whoever hangs there must not keep the next signal from being heard.
            Signal::Tell => rt::spawn_local(news::tell(front.clone(), server.clone())).detach(),
        }
    }
}

/// Somebody insists: nothing is waited for, but what was said is written, and no half a snapshot stays behind.
fn end_at_once(server: &Server) -> ! {
    tracing::warn!("a second SIGINT: ending at once");
    let pidfile = &server.settings.config().pidfile;
    if !pidfile.is_empty() {
        let _ = std::fs::remove_file(pidfile);
    }
    remove_unfinished();
    server.log.flush();
    // SAFETY: ends the process. What `exit` would run besides belongs to threads that are at work.
    unsafe { libc::_exit(1) }
}

/// Removes the snapshot under way.
fn remove_unfinished() {
    let Ok(names) = std::fs::read_dir(".") else { return };
    for entry in names.flatten() {
        if entry.file_name().to_str().is_some_and(snapshot::name::is_unfinished) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Waits for the word and ends in order: no more writes, replicas get the rest, and a snapshot is written. Where
/// that fails it goes on as before, unless it is told to end all the same.
pub async fn wait(mut words: Receiver<Stop>, front: Rc<Front>, server: Arc<Server>) {
    loop {
        let word = words.recv().await.unwrap_or(Stop::Now(LastSnapshot::Skip));
        if word != Stop::Not {
            // Before it is asked who reads data again: see `Loading`.
            server.stopping.store(true, Ordering::SeqCst);
            let limit = server.settings.config().shutdown_timeout;
            server.supervisor.stopping(limit);
            let word = match word {
                Stop::InOrder(_) => drain_unless_insisted(&mut words, word, &front, &server).await,
                word => word,
            };
            if ends(&mut words, word, &front, &server).await {
                return;
            }
            server.stopping.store(false, Ordering::Release);
            let _: () = server.replication.ask(&front, Request::StandStill(false)).await;
            server.supervisor.ready();
        }
        // Told to stay, or nothing could be saved.
        for to in server.stopper.goes_on() {
            front.node.send(to.executor, Message::Answer(to.ticket, Answer::Value(Box::new(()))));
        }
    }
}

/// Writes what is to be written; whether the program may end.
async fn ends(
    words: &mut Receiver<Stop>,
    mut word: Stop,
    front: &Rc<Front>,
    server: &Server,
) -> bool {
    while let Some(snapshot) = word.snapshot() {
        let insisted = async { Err(insisted(words).await) };
        let saved = async { Ok(save_last(front, server, snapshot).await) };
        match future::or(insisted, saved).await {
            Ok(ends) => return ends,
            Err(insisted) => word = insisted,
        }
    }
    // A snapshot that has begun goes on.
    tracing::info!("not ending: SHUTDOWN ABORT");
    false
}

/// What counts while the last snapshot is written: that the program is not to end, or without one.
async fn insisted(words: &mut Receiver<Stop>) -> Stop {
    loop {
        match words.recv().await.map(|word| (word, word.snapshot())) {
            Some((word, None | Some(LastSnapshot::Skip))) => return word,
            Some(_) => {}
            // Nobody can say any more.
            None => std::future::pending().await,
        }
    }
}

/// Writes the last snapshot; whether the program may end.
async fn save_last(front: &Rc<Front>, server: &Server, what: LastSnapshot) -> bool {
    // While it is read again nothing whole is here; before that the file has not everything.
    while what != LastSnapshot::Skip && server.loading.is_again() {
        rt::sleep(LOOK_EVERY).await;
    }
    let is_off = server.settings.config().dbfilename.is_empty() || server.status.is_loading();
    let is_none =
        async || what == LastSnapshot::Skip || is_off || saver::has_nothing(front, server).await;
    if is_none().await {
        server.snapshots.cancel();
        // What is under way takes its file with it.
        while server.snapshots.under_way().is_some() {
            rt::sleep(LOOK_EVERY).await;
        }
        // It may have had its place before it was told: then there is something to go by.
        if is_none().await {
            return true;
        }
    }
    match saver::at_the_end(front, server).await {
        Ok(()) => true,
        Err(error) if server.status.is_loading() => {
            // It has begun meanwhile: what was here is gone, and what comes is the master's.
            tracing::info!("ending without a snapshot: {error}; the last good file stays as it is");
            true
        }
        Err(error) if what == LastSnapshot::IfPossible => {
            tracing::error!("ending without a snapshot: {error}");
            true
        }
        Err(error) => {
            tracing::error!(
                "not ending, as the data could not be saved: {error}; SHUTDOWN NOSAVE or FORCE ends all the same"
            );
            false
        }
    }
}

/// Lets replicas have everything; the word that holds now.
async fn drain_unless_insisted(
    words: &mut Receiver<Stop>,
    word: Stop,
    front: &Rc<Front>,
    server: &Server,
) -> Stop {
    let limit = server.settings.config().shutdown_timeout;
    // Somebody who insists meanwhile is heard.
    let insisted = async {
        let now = loop {
            match words.recv().await {
                Some(now @ (Stop::Now(_) | Stop::Not)) => break now,
                Some(Stop::InOrder(_)) => {}
                // Nobody can say any more.
                None => std::future::pending().await,
            }
        };
        if now != Stop::Not {
            tracing::warn!("stopping at once: replicas may lack the last changes");
        }
        now
    };
    let drained = async {
        drain(front, server, limit).await;
        word
    };
    future::or(insisted, drained).await
}

/// Waits, at most so long, until the replicas have everything.
async fn drain(front: &Rc<Front>, server: &Server, limit: Duration) {
    let _: () = server.replication.ask(front, Request::StandStill(true)).await;
    let replicas = server.replication.info(front).await.replicas;
    let has_begun = |replica: &&Replica| replica.state != ReplicaState::Preparation;
    let replicas = replicas.iter().filter(has_begun).count();
    if replicas > 0 {
        tracing::info!("stopping: waiting up to {} s for {replicas} replicas", limit.as_secs());
    }
    // Where there is none it is asked all the same: one may be between two sessions.
    let have_all: usize = server.replication.ask(front, Request::Drain(limit)).await;
    let replicas = replicas.max(have_all);
    if replicas > 0 {
        tracing::info!("stopping: {have_all} of {replicas} replicas have everything");
    }
}
