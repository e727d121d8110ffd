//! Stopping: signals, SHUTDOWN, and in which order things end.

use crate::news;
use crate::server::Server;
use crate::stopper::{Stop, Stopper};
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
            Signal::Terminate => stopper.stop(Stop::InOrder),
            Signal::Interrupt if interrupted => end_at_once(&server),
            Signal::Interrupt => {
                interrupted = true;
                stopper.stop(Stop::InOrder);
            }
            Signal::Quit => stopper.stop(Stop::Now),
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

/// Waits for the word and ends in order: no more writes, replicas get the rest.
pub async fn wait(mut words: Receiver<Stop>, front: Rc<Front>, server: Arc<Server>) {
    let word = words.recv().await.unwrap_or(Stop::Now);
    server.stopping.store(true, Ordering::Release);
    let limit = server.settings.config().shutdown_timeout;
    server.supervisor.stopping(limit);
    if word == Stop::Now {
        return;
    }
    // Somebody who insists meanwhile is heard.
    let insisted = async {
        loop {
            match words.recv().await {
                Some(Stop::Now) => break,
                Some(Stop::InOrder) => {}
                // Nobody can say any more.
                None => std::future::pending().await,
            }
        }
        tracing::warn!("stopping at once: replicas may lack the last changes");
    };
    futures_lite::future::or(insisted, drain(&front, &server, limit)).await;
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
