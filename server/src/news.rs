//! What the node is doing, in one line: for the service manager, and for whoever asks by a signal.

use crate::memory;
use crate::server::Server;
use engine::exec::Front;
use engine::rt;
use replication::info::{Info, LinkState, ReplicaState};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The status is looked at so often.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Tells the service manager what the node does, whenever that has changed. For ever.
pub(crate) async fn tell_status(front: Rc<Front>, server: Arc<Server>) {
    let mut told = String::new();
    while server.supervisor.is_there() {
        let text = summary(&server.replication.info(&front).await);
        if server.stopping.load(Ordering::Acquire) {
            // It may go on after all, and its manager has been told otherwise.
            told.clear();
        } else if text != told {
            server.supervisor.status(text.clone());
            told = text;
        }
        rt::sleep(STATUS_EVERY).await;
    }
}

/// Role, link and progress in one line.
fn summary(info: &Info) -> String {
    let text = match &info.upstream {
        None => format!("master of {}", followers(info)),
        Some(upstream) => {
            let mut text = format!("replica of {}:{}, ", upstream.host, upstream.port);
            text.push_str(match upstream.state {
                LinkState::StableSync => "in stable sync",
                LinkState::FullSync => "in full sync",
                LinkState::Handshake => "shaking hands",
                LinkState::Connecting => "connecting",
                LinkState::Refused => "refused",
            });
            let is_syncing = upstream.state == LinkState::FullSync;
            if let Some(progress) = upstream.progress.as_ref().filter(|_| is_syncing) {
                // Rounded down: it is 100 % when it is over.
                let percent = (progress.ratio() * 100.0).floor();
                let (done, total) = (progress.done, progress.total);
                text += &format!(": {percent:.0} % ({done} of {total} keys");
                if let Some(left) = progress.eta_seconds {
                    text += &format!(", {:.0} s left", left.ceil());
                }
                text.push(')');
            }
            let is_down = !matches!(upstream.state, LinkState::FullSync | LinkState::StableSync);
            if let Some(error) = upstream.last_error.as_ref().filter(|_| is_down) {
                text += &format!(": {error}");
            }
            if !info.replicas.is_empty() {
                text += &format!("; master of {}", followers(info));
            }
            text
        }
    };
    // A line break would begin another word of the protocol.
    text.replace(char::is_control, " ")
}

fn followers(info: &Info) -> String {
    let count = info.replicas.len();
    let noun = if count == 1 { "replica" } else { "replicas" };
    let stable = |state| info.replicas.iter().filter(|replica| replica.state == state).count();
    match count - stable(ReplicaState::StableSync) {
        0 => format!("{count} {noun}"),
        syncing => format!("{count} {noun}, {syncing} of them not in stable sync"),
    }
}

/// SIGUSR2.
pub(crate) async fn tell(front: Rc<Front>, server: Arc<Server>) {
    let info = server.replication.info(&front).await;
    let (used, clients) = (memory::used(), server.clients.len());
    let text = summary(&info);
    tracing::info!("{text}; {clients} clients, {used} bytes in use");
}
