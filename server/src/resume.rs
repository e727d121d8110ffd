//! A start goes on where the data of its snapshot was: a new history branches off there, with what the tail holds of the
//! journals before. On the executor of replication, which owns histories.

use crate::server::Server;
use crate::tail;
use engine::exec::Front;
use engine::rt;
use engine::shard::{Answer, ExecutorId, Message, ReplyTo};
use replication::origin::Origin;
use replication::relay::Relay;
use replication::service::Service;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The data set of a snapshot is loaded.
pub struct Order {
    snapshot: PathBuf,
    origin: Origin,
    /// This node is about to follow somebody.
    follows: bool,
    to: ReplyTo,
}

/// Has it go on from `origin`, and waits until it does.
pub async fn order(front: &Rc<Front>, server: &Server, snapshot: &Path, origin: Origin) {
    let waiter = front.waiter();
    let follows = server.settings.config().replicaof.is_some();
    let order = Order { snapshot: snapshot.to_owned(), origin, follows, to: waiter.reply_to() };
    let replication = ExecutorId::replication(server.node.shards());
    front.node.send(replication, Message::Service(Box::new(order)));
    waiter.value::<()>().await;
}

/// On the executor of replication: an order has come.
pub fn receive(front: &Rc<Front>, service: &Rc<Service>, order: Order) {
    let (front, service) = (front.clone(), service.clone());
    let work = async move {
        let Order { snapshot, origin, follows, to } = order;
        let relay = read_tail(&service, &snapshot, &origin).await;
        service.restore(origin, relay, follows).await;
        front.node.send(to.executor, Message::Answer(to.ticket, Answer::Value(Box::new(()))));
    };
    rt::spawn_local(work).detach();
}

async fn read_tail(service: &Service, snapshot: &Path, origin: &Origin) -> Relay {
    let Some(position) = origin.position() else { return Relay::starting_at(&[]) };
    let keep_bounds = |relay: &mut Relay| service.keep_bounds(relay, rt::now_millis());
    let path = tail::beside(snapshot);
    match tail::read(snapshot, &position, keep_bounds).await {
        Ok(Some(relay)) => {
            tracing::info!(
                "loaded the journals' last {} bytes from {}",
                relay.held_bytes(),
                path.display()
            );
            return relay;
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(
            "{} is ignored: {error}; replicas that are behind the snapshot sync fully",
            path.display()
        ),
    }
    Relay::starting_at(&position.lsns)
}
