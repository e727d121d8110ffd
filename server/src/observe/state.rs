//! What is gathered to answer one HTTP request.

use crate::http::{self, Request};
use crate::observe::metrics::{Metric, Samples};
use crate::server::Server;
use engine::exec::Front;
use replication::info::{Info, LinkState};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Everything that the HTTP pages show, as of one moment.
pub struct Observed {
    metrics: String,
    health: Result<(), String>,
    replication: http::Replication,
    status: Vec<(String, String)>,
}

/// Gathers what a request needs.
pub async fn state(front: &Rc<Front>, server: &Arc<Server>, _request: &Request) -> Observed {
    let info = server.replication.info(front).await;
    let mut samples = Samples::new();
    samples.put(Metric::ConnectedClients, server.clients.len() as f64);
    let dragonfly = server.settings.config().metrics_dragonfly_names;
    Observed {
        metrics: samples.render(dragonfly),
        health: health(server),
        replication: replication(&info),
        status: vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
    }
}

fn health(server: &Server) -> Result<(), String> {
    if server.stopping.load(Ordering::Acquire) {
        return Err("stopping".to_owned());
    }
    if server.status.is_loading() {
        return Err("loading".to_owned());
    }
    Ok(())
}

fn replication(info: &Info) -> http::Replication {
    match &info.upstream {
        None => http::Replication::Master,
        Some(upstream) if upstream.state == LinkState::StableSync => {
            http::Replication::Stable { lag_records: 0 }
        }
        Some(upstream) => http::Replication::NotStable(upstream.state.word().to_owned()),
    }
}

impl http::State for Observed {
    fn metrics(&self) -> String {
        self.metrics.clone()
    }

    fn health(&self) -> Result<(), String> {
        self.health.clone()
    }

    fn replication(&self) -> http::Replication {
        self.replication.clone()
    }

    fn status(&self) -> Vec<(String, String)> {
        self.status.clone()
    }
}
