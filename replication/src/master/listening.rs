//! What a replica says in a session: acknowledgements on its flows, signs of life on the control connection,
//! which tells it in turn how far the session is, and which libraries of functions there are.

use super::machine::Event;
use super::reason::Reason;
use super::session::{Outflow, Session};
use crate::bell::Bell;
use crate::libraries::Telling;
use crate::roads::{Line, Roads};
use crate::wire::{self, Said};
use engine::exec::Node;
use futures_lite::future;
use std::rc::Rc;
use std::sync::Arc;

/// Takes acknowledgements, until the session ends.
pub(super) async fn read_acks<R: Roads>(
    session: Rc<Session<R>>,
    flow: Rc<Outflow<R::Line>>,
    acks: Rc<Bell>,
) {
    let Some(line) = flow.line.borrow().clone() else { return };
    let mut buffer = flow.unread.take();
    if let Err(error) = take_acks(&session, &flow, &mut buffer) {
        session.end(Reason::Flow(flow.index, error));
    }
    while !session.is_ended() {
        match line.read(&mut buffer, 4096).await {
            Ok(0) => return session.end(Reason::FlowClosed(flow.index)),
            Ok(_) => {
                let taken = take_acks(&session, &flow, &mut buffer);
                acks.ring();
                if let Err(error) = taken {
                    session.end(Reason::Flow(flow.index, error));
                }
            }
            Err(error) => return session.end(Reason::Flow(flow.index, error)),
        }
    }
}

fn take_acks<R: Roads>(
    session: &Session<R>,
    flow: &Outflow<R::Line>,
    buffer: &mut Vec<u8>,
) -> Result<(), String> {
    let mut at = 0;
    while let Some((kind, payload, used)) = wire::next(&buffer[at..])? {
        match Said::of(kind, payload, flow.log.head())? {
            Said::Ack(lsn) => {
                flow.note_acked(lsn);
                session.step(Event::Acked(flow.index, lsn));
            }
            Said::Alive => session.step(Event::Alive(flow.index)),
        }
        at += used;
    }
    buffer.drain(..at);
    Ok(())
}

/// The control connection: signs of life one way, progress the other.
pub(super) async fn read_control<R: Roads>(session: Rc<Session<R>>, node: Arc<Node>) {
    let control = loop {
        let control = session.control.borrow().clone();
        match control {
            Some(control) => break control,
            None if session.is_ended() => return,
            None => session.handed_over.wait().await,
        };
    };
    let mut buffer = session.control_unread.take();
    let mut telling = Telling::default();
    while !session.is_ended() {
        let goes_on = telling.has_more();
        let told = async {
            if !goes_on {
                session.tells.wait().await;
            }
            None
        };
        let read = async { Some(control.read(&mut buffer, 4096).await) };
        // What it says is heard between two pieces of what is told.
        match future::or(read, told).await {
            None => {
                let mut news = Vec::new();
                if !goes_on {
                    news = session.news();
                    wire::put_alive(&mut news, session.settings.borrow().timeout);
                }
                telling.next(node.libraries(), &mut news);
                if let Err(error) = control.write(&news).await {
                    return session.end(Reason::ControlBroke(error));
                }
            }
            Some(Ok(0)) => return session.end(Reason::ControlClosed),
            Some(Ok(_)) => {
                if let Err(error) = session.take_signs(&mut buffer) {
                    session.end(Reason::ControlBroke(error));
                }
            }
            Some(Err(error)) => return session.end(Reason::ControlBroke(error)),
        }
    }
}
