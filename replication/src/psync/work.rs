//! A session with a Redis from its beginning to its end: the RDB, if one comes, and then the stream.

use super::machine::Happened;
use super::session::Session;
use super::{load, stream};
use engine::rt;
use std::rc::Rc;

/// Performs a session until it breaks.
pub(super) fn run(session: &Rc<Session>) {
    session.begin();
    rt::spawn_local(work(session.clone())).detach();
}

async fn work(session: Rc<Session>) {
    let (mut buffer, extent) = session.take_opened();
    let loaded = match extent {
        Some(extent) => load::load(&session, extent, &mut buffer).await,
        None => Ok(()),
    };
    match loaded {
        Ok(()) => {
            session.loaded();
            stream::follow(&session, buffer).await;
        }
        Err(reason) => session.happened(Happened::Broke(reason)),
    }
    session.end();
}
