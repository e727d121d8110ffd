//! Runs one follower, from how it asks to its end.
//!
//! ```text
//!   +CONTINUE ──────────────────────────────────────────────► stream
//!   "\n" ... +FULLRESYNC ─► $EOF:mark bytes mark ─► its ack ─► stream
//!                        "\n" ... $length bytes ─────────────► stream
//! ```

use super::copy::FullCopy;
use super::follower::Follower;
use super::followers::Followers;
use super::full;
use super::hello::{Asking, From, Words};
use super::machine::Stage;
use super::payload::Got;
use super::reason::Reason;
use crate::handshake::Filter;
use crate::roads::Line;
use crate::transport::Transport;
use engine::rt;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Bytes sent at once.
const SENT_AT_ONCE: usize = 64 * 1024;

/// How often who waits for a copy is told that it is prepared.
const NEWLINE_EVERY: Duration = Duration::from_secs(1);

/// Bytes of the mark at the end of a copy.
const MARK: usize = 40;

/// Runs a follower until it ends. `may_feed` says whether this node may feed it now.
pub async fn serve(
    followers: Rc<Followers>,
    (id, asking): (u64, Asking),
    (transport, unread): (Transport, Vec<u8>),
    may_feed: impl Fn() -> Result<(), String>,
) {
    let follower = Follower::new(id, asking, transport);
    if let Err(why) = may_feed().and_then(|()| followers.has_room()) {
        let _ = follower.transport.write(format!("-{why}\r\n").as_bytes()).await;
        follower.transport.close().await;
        return;
    }
    followers.open(&follower);
    let listening = rt::spawn_local(listen(followers.clone(), follower.clone(), unread));
    if let Err(reason) = feed(&followers, &follower).await {
        follower.end(reason);
    }
    listening.cancel().await;
    followers.note_copy(&follower);
    followers.forget(&follower);
    note_end(&followers, &follower);
}

fn note_end(followers: &Followers, follower: &Follower) {
    let (machine, address) = (follower.machine.borrow(), follower.address());
    let Some(reason) = machine.ended() else { return };
    match reason.drop_kind() {
        Some(kind) => {
            followers.counters.borrow_mut().dropped[kind as usize] += 1;
            tracing::warn!("replication: Redis replica {address} left: {reason}");
        }
        None => tracing::info!("replication: Redis replica {address} left: {reason}"),
    }
}

/// Takes what it says.
async fn listen(followers: Rc<Followers>, follower: Rc<Follower>, unread: Vec<u8>) {
    let (mut words, mut buffer) = (Words::default(), unread);
    while !follower.is_ended() {
        match words.take(&buffer) {
            Err(why) => return follower.end(Reason::Broke(why)),
            Ok(ack) => {
                let is_news = follower.machine.borrow_mut().heard(ack, Instant::now());
                if is_news {
                    follower.bell.ring();
                    followers.acks.ring();
                }
            }
        }
        buffer.clear();
        match follower.transport.read(&mut buffer, SENT_AT_ONCE).await {
            Ok(0) => return follower.end(Reason::Left),
            Ok(_) => {}
            Err(error) => return follower.end(Reason::Broke(error.to_string())),
        }
    }
}

async fn feed(followers: &Rc<Followers>, follower: &Rc<Follower>) -> Result<(), Reason> {
    let asked_partial = matches!(follower.asking.from, From::Offset { .. });
    let stream = match followers.continues(&follower.asking) {
        Some(place) => {
            follower.machine.borrow_mut().continues(place.offset, Instant::now());
            followers.counters.borrow_mut().note_sync(false, "", true);
            let address = follower.address();
            tracing::info!("replication: Redis replica {address} continues at {}", place.offset);
            let line = match follower.asking.able.psync2 {
                true => format!("+CONTINUE {}\r\n", place.stream),
                false => "+CONTINUE\r\n".to_owned(),
            };
            send(follower, line.as_bytes()).await?;
            place.stream
        }
        None => {
            let why = if asked_partial { "stream: not held" } else { "nothing to continue from" };
            followers.counters.borrow_mut().note_sync(true, why, asked_partial);
            tracing::info!(
                "replication: full sync for Redis replica {}: {why}",
                follower.address()
            );
            send_copy(followers, follower).await?
        }
    };
    send_stream(followers, follower, &stream).await
}

async fn send(follower: &Follower, bytes: &[u8]) -> Result<(), Reason> {
    let sent = follower.transport.write(bytes).await;
    sent.map_err(Reason::Broke)
}

/// Waits for something that rings the follower's bell, and says now and then that it goes on.
async fn wait_patiently(follower: &Follower) -> Result<(), Reason> {
    // What rings it may ring all the time.
    let left = follower.comfort_left(NEWLINE_EVERY);
    if left.is_zero() || !follower.bell.wait_for(left).await {
        send(follower, b"\n").await?;
        follower.machine.borrow_mut().took(Instant::now());
        follower.comforted();
    }
    Ok(())
}

/// Sends a full copy; which stream goes on behind it.
async fn send_copy(followers: &Rc<Followers>, follower: &Rc<Follower>) -> Result<String, Reason> {
    let Asking { from, able, .. } = &follower.asking;
    if able.filter != Filter::All && able.rdb_only {
        return send_without_keys(followers, follower).await;
    }
    let copy = full::join_or_begin(followers, able.valkey9);
    copy.payload.join(follower.id, follower.bell.clone(), !follower.asking.takes_mark());
    *follower.copy.borrow_mut() = Some(copy.clone());
    if let Some(place) = &*copy.moment.borrow() {
        follower.machine.borrow_mut().copies(place.offset, Instant::now());
    }
    while follower.machine.borrow().stage() == Stage::Waiting {
        if follower.is_ended() {
            return Err(Reason::Left);
        }
        if let Some(why) = copy.payload.failure() {
            return Err(Reason::NoCopy(why));
        }
        wait_patiently(follower).await?;
    }
    let place = copy.moment.borrow().clone();
    let Some(place) = place else { return Err(Reason::NoCopy("it has no place".to_owned())) };
    if *from != From::Sync {
        let line = format!("+FULLRESYNC {} {}\r\n", place.stream, place.offset);
        send(follower, line.as_bytes()).await?;
    }
    let mark = match able.filter {
        // Where the copy stands is all that it has to do with it.
        Filter::Functions | Filter::Nothing => {
            send_bulk(follower, &full::without_keys(followers, able.filter)).await?;
            None
        }
        Filter::All => {
            let mark = begin_bulk(follower, &copy).await?;
            send_payload(follower, &copy).await?;
            mark
        }
    };
    let is_marked = mark.is_some();
    if let Some(mark) = mark {
        send(follower, &mark).await?;
    }
    copy.payload.leave(follower.id);
    *follower.copy.borrow_mut() = None;
    served(follower, is_marked).await?;
    Ok(place.stream)
}

async fn send_bulk(follower: &Follower, bytes: &[u8]) -> Result<(), Reason> {
    send(follower, format!("${}\r\n", bytes.len()).as_bytes()).await?;
    send(follower, bytes).await
}

/// What stands before a copy; the mark that stands behind it, if there is to be one.
async fn begin_bulk(follower: &Follower, copy: &FullCopy) -> Result<Option<Vec<u8>>, Reason> {
    if follower.asking.takes_mark() {
        let mut mark = [0; MARK / 2];
        rt::fill_random(&mut mark);
        let mark: String = mark.iter().map(|byte| format!("{byte:02x}")).collect();
        send(follower, format!("$EOF:{mark}\r\n").as_bytes()).await?;
        return Ok(Some(mark.into_bytes()));
    }
    loop {
        if let Some(why) = copy.payload.failure() {
            return Err(Reason::NoCopy(why));
        }
        if let Some(length) = copy.payload.length() {
            send(follower, format!("${length}\r\n").as_bytes()).await?;
            return Ok(None);
        }
        if follower.is_ended() {
            return Err(Reason::Left);
        }
        wait_patiently(follower).await?;
    }
}

async fn send_payload(follower: &Follower, copy: &FullCopy) -> Result<(), Reason> {
    loop {
        match copy.payload.next(follower.id, SENT_AT_ONCE).await {
            Got::Bytes(bytes) => {
                for piece in bytes.chunks(SENT_AT_ONCE) {
                    send(follower, piece).await?;
                    follower.machine.borrow_mut().took(Instant::now());
                }
            }
            Got::NotYet => {
                follower.bell.wait_for(NEWLINE_EVERY).await;
                // It waits for us.
                follower.machine.borrow_mut().took(Instant::now());
            }
            Got::End => return Ok(()),
            Got::Failed(why) => return Err(Reason::NoCopy(why)),
        }
        if follower.is_ended() {
            return Err(Reason::Left);
        }
    }
}

/// It has its copy: who wanted nothing else is done, and who has to say so is waited for.
async fn served(follower: &Follower, is_marked: bool) -> Result<(), Reason> {
    if follower.asking.able.rdb_only {
        follower.transport.close().await;
        return Err(Reason::Served);
    }
    follower.machine.borrow_mut().copied(is_marked, Instant::now());
    while follower.machine.borrow().stage() == Stage::Loading {
        if follower.is_ended() {
            return Err(Reason::Left);
        }
        follower.bell.wait().await;
    }
    Ok(())
}

/// A copy without keys. Nothing goes on behind it.
async fn send_without_keys(
    followers: &Rc<Followers>,
    follower: &Rc<Follower>,
) -> Result<String, Reason> {
    if follower.asking.from != From::Sync {
        let line = format!("+FULLRESYNC {} 0\r\n", "0".repeat(MARK));
        send(follower, line.as_bytes()).await?;
    }
    send_bulk(follower, &full::without_keys(followers, follower.asking.able.filter)).await?;
    follower.transport.close().await;
    Err(Reason::Served)
}

/// Sends the stream until the follower or the stream ends.
async fn send_stream(
    followers: &Rc<Followers>,
    follower: &Rc<Follower>,
    id: &str,
) -> Result<(), Reason> {
    let mut buffer = Vec::with_capacity(SENT_AT_ONCE);
    followers.acks.ring();
    loop {
        let sent = follower.machine.borrow().sent();
        let (Some(sent), Some(told)) = (sent, followers.told()) else {
            return Err(Reason::StreamEnded("it was let go".to_owned()));
        };
        buffer.clear();
        let is_here = {
            let stream = told.stream.borrow();
            stream.id == id && stream.backlog.read(sent, SENT_AT_ONCE, &mut buffer)
        };
        drop(told);
        match (is_here, buffer.is_empty()) {
            (false, _) => return Err(Reason::FellOut),
            (true, true) => follower.bell.wait().await,
            (true, false) => {
                send(follower, &buffer).await?;
                let bytes = buffer.len() as u64;
                follower.machine.borrow_mut().took_stream(bytes, Instant::now());
            }
        }
    }
}
