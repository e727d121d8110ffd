//! A session from its first moment to its end: it waits for its connections, begins, and keeps the tasks that
//! feed the replica until its machine says that it is over.

use super::feed::{self, Beginning};
use super::listening::{read_acks, read_control};
use super::machine::{Event, Machine, SessionStage};
use super::reason::Reason;
use super::session::Session;
use super::walking::walk;
use super::writing::write_flow;
use crate::bell::Bell;
use crate::info::ReplicaState;
use crate::roads::Roads;
use crate::standing::Walks;
use engine::exec::Front;
use std::rc::Rc;

/// Runs a session until it ends. `attached` is called once the replica has come with all its
/// connections: before that it has only asked. `acks` is rung whenever an acknowledgement arrives.
pub async fn run<R: Roads>(
    session: &Rc<Session<R>>,
    front: &Rc<Front>,
    (beginning, walks): (Beginning, Walks),
    acks: Rc<Bell>,
    attached: impl FnOnce(&Session<R>),
) {
    // From its first moment, so that a replica that gives up is not kept.
    let roads = &session.roads;
    let mut tasks =
        vec![roads.spawn("read control", read_control(session.clone(), front.node.clone()))];
    wait_while(session, |machine| *machine.state() == SessionStage::Preparation).await;
    let has_begun = !session.is_ended();
    if has_begun {
        attached(session);
        let begun = begin(session, front, beginning, walks).await;
        session.step(begun.unwrap_or_else(|why| Event::End(Reason::CannotBegin(why))));
    }
    if !session.is_ended() {
        spawn_all(session, front, walks, &acks, &mut tasks);
    }
    wait_while(session, |machine| machine.ended().is_none()).await;
    for task in tasks {
        roads.cancel(task).await;
    }
    // At once: its flows are closed, and it does not wait long for a reason. Shards with much to do answer late.
    session.say_why().await;
    if has_begun && walks != Walks::None {
        let cut = session.cut;
        front.call_all(move |shard| shard.cut_drop(cut)).await;
    }
}

fn spawn_all<R: Roads>(
    session: &Rc<Session<R>>,
    front: &Rc<Front>,
    walks: Walks,
    acks: &Rc<Bell>,
    tasks: &mut Vec<R::Task>,
) {
    for flow in &session.flows {
        let write = write_flow(session.clone(), flow.clone());
        let read = read_acks(session.clone(), flow.clone(), acks.clone());
        tasks.push(session.roads.spawn("write flow", write));
        tasks.push(session.roads.spawn("read acks", read));
    }
    if session.state() == ReplicaState::FullSync {
        for shard in front.node.all_shards() {
            let walk = walk(session.clone(), front.clone(), shard, walks);
            tasks.push(session.roads.spawn("walk", walk));
        }
    }
}

/// Tells the machine the time, as long as this is so.
async fn wait_while<R: Roads>(session: &Session<R>, is_so: impl Fn(&Machine) -> bool) {
    while is_so(&session.machine()) {
        let due = session.machine().due(session.settings.borrow().timeout);
        let left = due.map(|due| due.saturating_duration_since(session.roads.now()));
        let rung = match left {
            None => {
                session.moved_on.wait().await;
                true
            }
            Some(left) => session.moved_on.wait_unless(session.roads.sleep(left)).await,
        };
        if !rung {
            session.step(Event::Time);
        }
    }
}

async fn begin<R: Roads>(
    session: &Session<R>,
    front: &Rc<Front>,
    beginning: Beginning,
    walks: Walks,
) -> Result<Event, String> {
    let full = matches!(beginning, Beginning::Full);
    if full && walks == Walks::Own {
        // What takes long comes to its end while clients go on.
        front.outwait_all().await;
        if session.is_ended() {
            return Err("it has ended".to_owned());
        }
    }
    let begun = feed::begin(front, (session.cut, walks), &session.logs(), beginning).await?;
    session.items_total.set(begun.keys);
    let starts = begun.starts();
    for (flow, sender) in session.flows.iter().zip(begun.senders) {
        flow.acked_bytes.set(sender.reader().bytes());
        *flow.sender.borrow_mut() = Some(sender);
    }
    Ok(Event::Begun { full, starts })
}
