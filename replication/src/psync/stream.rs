//! The stream of a Redis: commands, counted in bytes, in the order in which it ran them.
//!
//! ```text
//!   bytes ─► parser ─► verb ─┬─ of one shard ───────────► its lane          (`engine::exec::Replay`)
//!                            ├─ of several ─────────────► a transaction
//!                            ├─ MULTI ... EXEC ─────────► kept, then a transaction
//!                            ├─ FUNCTION ───────────────► the node's libraries (`functions`)
//!                            └─ SELECT, PING, GETACK ───► here
//! ```
//!
//! What is applied is counted from the first byte that is not: a MULTI whose EXEC has not come stands before it.
//! An error is a broken promise: the copy is not exact any more.

use super::command::{Verb, unknown_form, verb};
use super::functions;
use super::machine::Happened;
use super::newer;
use super::portions::Portions;
use super::session::Session;
use crate::replica::reason::Reason;
use crate::standing::StreamPosition;
use engine::command::{Args, OwnedArgs, Registry};
use engine::exec::{AsOne, BePatient, Node, Replay};
use engine::resp::{Limits, Parsed, Parser, ProtocolError, Span};
use engine::rt::{self, Nap};
use engine::types::DbIndex;
use futures_lite::future;
use std::sync::Arc;
use std::time::Instant;

/// Bytes of commands that are handed out and not done, above which nothing more is read.
const HELD_MAX: usize = 4 * 1024 * 1024;

/// Memory for what was read and is not understood yet, that is kept.
const BUFFER_KEPT: usize = 1024 * 1024;

/// A master's stream knows no limits but those of what can stand in one buffer: what it sent it has.
const LIMITS: Limits = Limits {
    bulk_bytes: Span::STANDING_MAX,
    arguments: i32::MAX as usize,
    request_bytes: Span::STANDING_MAX,
    long_bytes: usize::MAX,
    authenticated: true,
};

/// See the module's doc.
struct Stream {
    node: Arc<Node>,
    registry: &'static Registry,
    dbs: usize,
    replay: Replay,
    /// Bytes that were understood, and how many were when the session began.
    offset: u64,
    began: u64,
    db: DbIndex,
    multi: Option<Multi>,
    /// The master waits until so much is applied.
    ack_from: Option<u64>,
    portions: Portions,
    /// None where there is no descriptor left for it.
    nap: Option<Nap>,
}

/// A transaction whose EXEC has not come.
struct Multi {
    /// In which database it begins.
    db: DbIndex,
    commands: AsOne,
}

impl Stream {
    /// Up to where it is applied.
    fn applied(&self) -> u64 {
        let end = self.multi.as_ref().map_or(self.offset, |multi| multi.commands.at());
        self.replay.applied(end)
    }

    /// Up to where it is applied, once all that was handed out is.
    fn position(&self, id: &str) -> StreamPosition {
        let db = self.multi.as_ref().map_or(self.db, |multi| multi.db);
        StreamPosition { id: id.to_owned(), offset: self.applied(), db }
    }

    /// Takes one command, which ends at `end`.
    fn take(&mut self, args: Args<'_>, end: u64) -> Result<(), Reason> {
        if let Some(form) = newer::unknown_form(&args) {
            return Err(unknown_form(&form));
        }
        match newer::translated(&args) {
            Some(commands) => self.take_as_others(&commands)?,
            None => self.take_one(args)?,
        }
        self.offset = end;
        Ok(())
    }

    /// Takes a command that others stand for, which are run as one.
    fn take_as_others(&mut self, commands: &[OwnedArgs]) -> Result<(), Reason> {
        let mut one = AsOne::new(self.offset);
        for command in commands {
            let args = command.view();
            let Verb::Run(entry) = verb(self.registry, self.dbs, &args)? else {
                unreachable!("{command:?} stands for no command")
            };
            let into = self.multi.as_mut().map_or(&mut one, |multi| &mut multi.commands);
            self.replay.keep(into, self.db, entry, args);
        }
        // Nothing, within a MULTI.
        self.replay.add_as_one(one);
        Ok(())
    }

    fn take_one(&mut self, args: Args<'_>) -> Result<(), Reason> {
        match verb(self.registry, self.dbs, &args)? {
            Verb::Run(entry) => match &mut self.multi {
                Some(multi) => self.replay.keep(&mut multi.commands, self.db, entry, args),
                None => self.replay.add(self.db, entry, args, self.offset),
            },
            Verb::Select(db) => self.db = db,
            // A Redis never sends these: whatever it is, its transactions cannot be told apart.
            Verb::Multi if self.multi.is_some() => {
                return Err(Reason::BrokenPromise("a MULTI within a MULTI".to_owned()));
            }
            Verb::Multi => {
                let (db, commands) = (self.db, AsOne::new(self.offset));
                self.multi = Some(Multi { db, commands });
            }
            Verb::Exec => match self.multi.take() {
                Some(multi) => self.replay.add_as_one(multi.commands),
                None => {
                    return Err(Reason::BrokenPromise("an EXEC without a MULTI".to_owned()));
                }
            },
            Verb::GetAck => {
                self.ack_from = Some(self.offset);
                self.portions.asked(Instant::now());
            }
            Verb::Functions => functions::perform(self.node.libraries(), &args),
            Verb::Nothing => {}
        }
        Ok(())
    }

    /// What did not fit, as a reason to end.
    fn misfit(&mut self) -> Result<(), Reason> {
        let Some(misfit) = self.replay.take_misfit() else { return Ok(()) };
        let (command, error) = (misfit.command.to_ascii_uppercase(), misfit.error);
        Err(Reason::BrokenPromise(format!(
            "{command} was answered with: {error} (a form of it that is not known here?)"
        )))
    }

    /// Takes the whole commands that `buffer` begins with.
    async fn take_all(&mut self, parser: &mut Parser, buffer: &mut Vec<u8>) -> Result<(), Reason> {
        let (mut at, began) = (0, self.began);
        let outcome = loop {
            let rest = &buffer[at..];
            let consumed = match parser.next(rest, &LIMITS) {
                // What begins a session is what has ended the one before, or is damaged in the same place.
                Err(error) if self.offset == began => break Err(Reason::Damaged(damaged(&error))),
                Err(error) => break Err(Reason::Words(damaged(&error))),
                Ok(Parsed::Incomplete { .. } | Parsed::Long { .. }) => break Ok(()),
                Ok(Parsed::Empty { consumed }) => {
                    self.offset += consumed as u64;
                    consumed
                }
                Ok(Parsed::Request { consumed }) => {
                    let end = self.offset + consumed as u64;
                    if let Err(reason) = self.take(Args::of(parser.args(rest)), end) {
                        break Err(reason);
                    }
                    consumed
                }
            };
            at += consumed;
            while self.replay.held() > HELD_MAX {
                self.replay.send();
                self.replay.progress().await;
            }
        };
        buffer.drain(..at);
        if buffer.len() < BUFFER_KEPT && buffer.capacity() > 2 * BUFFER_KEPT {
            // A large value has gone through.
            buffer.shrink_to(BUFFER_KEPT);
        }
        outcome
    }
}

fn damaged(error: &ProtocolError) -> String {
    format!("the master's stream is damaged: {error}")
}

/// Follows the stream, of which `buffer` has come already, until the session breaks and all is applied.
pub(super) async fn follow(session: &Session, mut buffer: Vec<u8>) {
    let StreamPosition { id, offset, db } = session.position.borrow().clone();
    let node = session.front.node.clone();
    let (registry, dbs) = (node.registry(), node.dbs());
    let replay = Replay::new(session.front.clone());
    let (multi, ack_from, portions, nap) = (None, None, Portions::default(), Nap::new().ok());
    let mut stream = Stream {
        node,
        registry,
        dbs,
        replay,
        offset,
        began: offset,
        db,
        multi,
        ack_from,
        portions,
        nap,
    };
    let mut parser = Parser::new();
    while !session.is_broken() {
        let taken = stream.take_all(&mut parser, &mut buffer).await;
        stream.replay.send();
        if let Err(reason) = taken.and_then(|()| stream.misfit()) {
            session.happened(Happened::Broke(reason));
            break;
        }
        note_applied(session, &mut stream);
        if session.is_held() {
            stream.replay.settle().await;
            if let Err(reason) = stream.misfit() {
                session.happened(Happened::Broke(reason));
                break;
            }
            note_applied(session, &mut stream);
            session.rest(stream.position(&id)).await;
            continue;
        }
        if let Err(reason) = more(session, &mut stream, &mut buffer).await {
            session.happened(Happened::Broke(reason));
        }
    }
    session.listen(true);
    stream.replay.settle().await;
    if let Err(reason) = stream.misfit() {
        session.happened(Happened::Broke(reason));
    }
    session.applied.set(stream.applied());
    *session.position.borrow_mut() = stream.position(&id);
}

/// Waits until something has come, or is done.
async fn more(session: &Session, stream: &mut Stream, buffer: &mut Vec<u8>) -> Result<(), Reason> {
    let (is_settled, before) = (stream.replay.is_settled(), buffer.len());
    let rests_until = stream.portions.rests_until(Instant::now());
    let patience = stream.replay.patience();
    let progress = async {
        match is_settled {
            true => future::pending().await,
            false => stream.replay.progress().await,
        }
        Ok(())
    };
    let broke = async {
        session.broke.wait().await;
        Ok(())
    };
    let read = async {
        if let (Some(until), Some(nap)) = (rests_until, &stream.nap) {
            session.listen(false);
            // What shards have done meanwhile is taken together.
            let patient = patience.as_ref().map(BePatient::begin);
            nap.until(until).await;
            drop(patient);
        }
        session.listen(true);
        session.read(buffer).await
    };
    let more = future::or(broke, future::or(progress, read)).await;
    if buffer.len() > before {
        stream.portions.came(buffer.len() - before, Instant::now());
    }
    // Who reads without a pause lets others run.
    rt::yield_now().await;
    more
}

fn note_applied(session: &Session, stream: &mut Stream) {
    let applied = stream.applied();
    session.applied.set(applied);
    if stream.ack_from.is_some_and(|from| applied >= from) {
        stream.ack_from = None;
        session.happened(Happened::AckAsked);
    }
}
