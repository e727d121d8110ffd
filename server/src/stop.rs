//! Stopping: signals, SHUTDOWN, and in which order things end.

use crate::news;
use crate::saver;
use crate::server::Server;
use crate::stopper::{LastSnapshot, Stop, Stopper};
use engine::exec::Front;
use engine::rt::signals::{Signal, signals};
use engine::rt::{self, Receiver};
use replication::Request;
use replication::info::{Replica, ReplicaState};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Turns signals into words: TERM and INT stop, QUIT and a second INT stop at once, HUP reloads, USR1
/// opens the log anew, USR2 tells what the node is doing.
pub async fn watch_signals(front: Rc<Front>, server: Arc<Server>, stopper: Stopper) {
    let mut incoming = match signals() {
        Ok(incoming) => incoming,
        Err(error) => return tracing::error!("signals cannot be received: {error}"),
    };
    let mut interrupted = false;
    while let Some(signal) = incoming.recv().await {
        match signal {
            Signal::Terminate => stopper.stop(Stop::InOrder(LastSnapshot::Usual)),
            Signal::Interrupt if interrupted => end_at_once(&server),
            Signal::Interrupt => {
                interrupted = true;
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

/// Somebody insists: nothing is waited for, but what was said is written.
fn end_at_once(server: &Server) -> ! {
    tracing::warn!("a second SIGINT: ending at once");
    let pidfile = &server.settings.config().pidfile;
    if !pidfile.is_empty() {
        let _ = std::fs::remove_file(pidfile);
    }
    server.log.flush();
    // SAFETY: ends the process. What `exit` would run besides belongs to threads that are at work.
    unsafe { libc::_exit(1) }
}

/// Waits for the word and ends in order: no more writes, replicas get the rest, and a snapshot is written. Where
/// that fails it goes on as before, unless it is told to end all the same.
pub async fn wait(mut words: Receiver<Stop>, front: Rc<Front>, server: Arc<Server>) {
    loop {
        let word = words.recv().await.unwrap_or(Stop::Now(LastSnapshot::Skip));
        server.stopping.store(true, Ordering::Release);
        let limit = server.settings.config().shutdown_timeout;
        server.supervisor.stopping(limit);
        let word = match word {
            Stop::InOrder(_) => drain_unless_insisted(&mut words, word, &front, &server).await,
            Stop::Now(_) => word,
        };
        if save_last(&front, &server, word.snapshot()).await {
            return;
        }
        server.stopping.store(false, Ordering::Release);
        server.supervisor.ready();
    }
}

/// Writes the last snapshot; whether the program may end.
async fn save_last(front: &Rc<Front>, server: &Server, what: LastSnapshot) -> bool {
    let is_off = server.settings.config().dbfilename.is_empty() || server.status.is_loading();
    if what == LastSnapshot::Skip || is_off {
        server.snapshots.cancel();
        // What is under way takes its file with it.
        while server.snapshots.under_way().is_some() {
            rt::sleep(Duration::from_millis(1)).await;
        }
        return true;
    }
    if saver::has_nothing(front, server).await {
        return true;
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
                Some(now @ Stop::Now(_)) => break now,
                Some(Stop::InOrder(_)) => {}
                // Nobody can say any more.
                None => std::future::pending().await,
            }
        };
        tracing::warn!("stopping at once: replicas may lack the last changes");
        now
    };
    let drained = async {
        drain(front, server, limit).await;
        word
    };
    futures_lite::future::or(insisted, drained).await
}

/// Waits, at most so long, until the replicas have everything.
async fn drain(front: &Rc<Front>, server: &Server, limit: Duration) {
    let replicas = server.replication.info(front).await.replicas;
    let has_begun = |replica: &&Replica| replica.state != ReplicaState::Preparation;
    let replicas = replicas.iter().filter(has_begun).count();
    if replicas > 0 {
        tracing::info!("stopping: waiting up to {} s for {replicas} replicas", limit.as_secs());
        let have_all: usize = server.replication.ask(front, Request::Drain(limit)).await;
        tracing::info!("stopping: {have_all} of {replicas} replicas have everything");
    }
}
