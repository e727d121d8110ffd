//! Certificates that are replaced while the program runs are taken up by themselves.
//!
//! A thread looks at the files, because reading and opening a key can take longer than an executor may
//! stand still. It reads them when they are others than those in use and have stayed the same for one
//! look, so that a pair that is being written is not judged by its half. What cannot be used is named
//! once, and what is in use stays.

use crate::effect;
use crate::server::Server;
use replication::tls::Files;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The time between two looks: certificates are renewed days before they expire, so this is for the one
/// who watches it happen. A look is a few system calls.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Begins to watch, until the process ends.
pub(crate) fn watch(server: Arc<Server>) -> Result<(), String> {
    let watching = move || {
        let mut watch = Watch::default();
        loop {
            thread::sleep(LOOK_EVERY);
            watch.look(&server);
        }
    };
    let thread = thread::Builder::new().name("certificates".to_owned()).spawn(watching);
    thread.map(|_| ()).map_err(|error| format!("cannot start a thread: {error}"))
}

#[derive(Default)]
struct Watch {
    /// How the files looked last.
    seen: Files,
    /// How they looked when they could not be used.
    refused: Files,
    /// The settings under which they were read by us.
    taken_under: Option<u64>,
}

impl Watch {
    fn look(&mut self, server: &Server) {
        // The number first: a change in between is then noticed at the next look.
        let generation = server.settings.generation();
        let config = server.settings.config();
        if !config.tls && !config.tls_replication {
            return;
        }
        let now = Files::look(&effect::tls(&config));
        let before = std::mem::replace(&mut self.seen, now);
        // CONFIG SET may have read them at the same time, and what it says counts for more.
        let was_overtaken = self.taken_under.take().is_some_and(|under| under != generation);
        let has_changed = self.seen != server.tls.current().files && self.seen != self.refused;
        if before != self.seen || !(has_changed || was_overtaken) {
            return;
        }
        self.taken_under = Some(generation);
        match server.reload_tls(&config) {
            Ok(()) => tracing::info!("the files of TLS have changed and are in use now"),
            Err(error) => {
                tracing::warn!("the files of TLS have changed, the old ones stay in use: {error}");
                self.refused = self.seen.clone();
            }
        }
    }
}
