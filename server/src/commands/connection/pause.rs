//! CLIENT PAUSE and UNPAUSE: all clients wait, or those that want to write.

use super::common::{FrontCommand, Handler, OTHERS, at_most, declare, integer};
use crate::clients::Pause;
use crate::pauses;
use engine::command::Refusal;
use std::time::{Duration, Instant};

/// A pause that is longer counts as this long: far beyond any use, and no overflow of the clock.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub(super) static PAUSE: FrontCommand = declare(
    "client|pause",
    "CLIENT PAUSE timeout [WRITE | ALL]",
    "Lets all clients wait for so many milliseconds, or only those that want to write.",
    "3.0.0",
    OTHERS,
    r#"
        > CLIENT PAUSE 0
        OK
    "#,
    Handler::Now(|session, args, reply| {
        at_most(&args, 4)?;
        let only_writes = match (args.len() == 4).then(|| args.get(3)) {
            None => false,
            Some(word) if word.eq_ignore_ascii_case(b"all") => false,
            Some(word) if word.eq_ignore_ascii_case(b"write") => true,
            Some(_) => {
                return Err(Refusal::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL"));
            }
        };
        let millis = integer(args.get(2), "ERR timeout is not an integer or out of range")?;
        let millis =
            u64::try_from(millis).map_err(|_| Refusal::fixed("ERR timeout is negative"))?;
        let length = Duration::from_millis(millis).min(LONGEST);
        session.server.clients.begin_pause(Pause { until: Instant::now() + length, only_writes });
        reply.ok();
        Ok(())
    }),
);

pub(super) static UNPAUSE: FrontCommand = declare(
    "client|unpause",
    "CLIENT UNPAUSE",
    "Ends a pause.",
    "6.2.0",
    OTHERS,
    r#"
        > CLIENT UNPAUSE
        OK
    "#,
    Handler::Now(|session, _, reply| {
        session.server.clients.end_pause();
        pauses::wake_all(&session.server.node);
        reply.ok();
        Ok(())
    }),
);
