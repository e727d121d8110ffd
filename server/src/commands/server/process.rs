//! SHUTDOWN and MODULE.

use super::common::{ADMIN, ALWAYS, CONTAINER, FrontCommand, HELP, Handler, declare};
use crate::connection::Session;
use crate::stopper::{LastSnapshot, Stop};
use engine::command::{Args, Flags, Outcome, Refusal};
use engine::resp::{Output, ReplyWriter};

pub(super) const COMMANDS: &[&FrontCommand] = &[&SHUTDOWN, &MODULE, &MODULE_LIST, &MODULE_HELP];

static SHUTDOWN: FrontCommand = FrontCommand {
    command: declare(
        "shutdown",
        "SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
        "Ends the program, once its replicas have everything or shutdown_timeout has passed and a snapshot is \
         written. NOW does not wait for replicas, NOSAVE writes none, FORCE ends also where that fails.",
        "1.0.0",
        ADMIN.union(Flags::NO_MULTI).union(Flags::ALLOW_BUSY),
        "",
    ),
    handler: Handler::Later(|session, args, out| Box::pin(shutdown(session, args, out))),
};

/// Success is the end of the connection: who is answered knows that the program goes on.
async fn shutdown(session: &mut Session, args: Args<'_>, out: &mut Output) -> Outcome {
    let wish = Wish::of(args)?;
    let (front, server) = (session.front.clone(), session.server.clone());
    let is_off = session.config.dbfilename.is_empty();
    let stop = match wish {
        Wish::Abort if !server.stopper.is_asked() => {
            return Err(Refusal::fixed("ERR No shutdown in progress."));
        }
        Wish::Abort => Stop::Not,
        Wish::Stop(_, true) if is_off => {
            return Err(Refusal::fixed("ERR snapshots are off: dbfilename is empty"));
        }
        Wish::Stop(stop, _) => stop,
    };
    tracing::info!(
        "SHUTDOWN{} by {}",
        if stop == Stop::Not { " ABORT" } else { "" },
        session.client.peer
    );
    let goes_on = async {
        let waiter = front.waiter();
        server.stopper.tell(waiter.reply_to());
        server.stopper.stop(stop);
        waiter.value::<()>().await
    };
    match session.unless_gone(goes_on).await {
        Some(()) if wish == Wish::Abort => {
            ReplyWriter::new(out, session.protocol).ok();
            Ok(())
        }
        Some(()) => Err(Refusal::fixed("ERR Errors trying to SHUTDOWN. Check logs.")),
        None => {
            session.close = true;
            Ok(())
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    /// Whether a snapshot was asked for.
    Stop(Stop, bool),
    Abort,
}

impl Wish {
    fn of(args: Args<'_>) -> Result<Wish, Refusal> {
        let (mut save, mut nosave, mut now, mut force, mut abort) = Default::default();
        for word in args.from(1) {
            let flag: &mut bool = match word.to_ascii_uppercase().as_slice() {
                b"SAVE" => &mut save,
                b"NOSAVE" => &mut nosave,
                b"NOW" => &mut now,
                b"FORCE" => &mut force,
                b"ABORT" => &mut abort,
                _ => return Err(Refusal::Syntax),
            };
            *flag = true;
        }
        if (save && nosave) || (abort && args.len() > 2) {
            return Err(Refusal::Syntax);
        }
        if abort {
            return Ok(Wish::Abort);
        }
        let snapshot = match () {
            () if nosave => LastSnapshot::Skip,
            () if force => LastSnapshot::IfPossible,
            () => LastSnapshot::Usual,
        };
        Ok(Wish::Stop(if now { Stop::Now(snapshot) } else { Stop::InOrder(snapshot) }, save))
    }
}

static MODULE: FrontCommand = FrontCommand {
    command: declare(
        "module",
        "MODULE subcommand [argument ...]",
        "Modules: there are none.",
        "4.0.0",
        Flags::empty(),
        "",
    ),
    handler: CONTAINER,
};

static MODULE_LIST: FrontCommand = FrontCommand {
    command: declare(
        "module|list",
        "MODULE LIST",
        "Returns the modules: none.",
        "4.0.0",
        Flags::ADMIN.union(Flags::NOSCRIPT),
        "",
    ),
    handler: Handler::Now(|_, _, reply| {
        reply.array(0);
        Ok(())
    }),
};

static MODULE_HELP: FrontCommand = FrontCommand {
    command: declare("module|help", "MODULE HELP", "Prints this help.", "5.0.0", ALWAYS, ""),
    handler: HELP,
};

#[cfg(test)]
mod tests {
    use super::*;
    use engine::command::OwnedArgs;

    #[test]
    fn shutdown_takes_redis_words() {
        let check = |words: &str, expected: Result<Wish, &str>| {
            let args: OwnedArgs = words.split(' ').map(str::as_bytes).collect();
            let wish = Wish::of(args.view()).map_err(|refusal| refusal.text().into_owned());
            assert_eq!(wish, expected.map_err(str::to_owned), "{words}");
        };
        let in_order = |snapshot| Ok(Wish::Stop(Stop::InOrder(snapshot), false));
        check("SHUTDOWN", in_order(LastSnapshot::Usual));
        check("SHUTDOWN force", in_order(LastSnapshot::IfPossible));
        check("SHUTDOWN nosave force", in_order(LastSnapshot::Skip));
        check("SHUTDOWN NOSAVE NOW", Ok(Wish::Stop(Stop::Now(LastSnapshot::Skip), false)));
        check("SHUTDOWN ABORT", Ok(Wish::Abort));
        check("SHUTDOWN ABORT NOW", Err("ERR syntax error"));
        check("SHUTDOWN SAVE NOSAVE", Err("ERR syntax error"));
        check("SHUTDOWN later", Err("ERR syntax error"));
        check("SHUTDOWN SAVE", Ok(Wish::Stop(Stop::InOrder(LastSnapshot::Usual), true)));
    }
}
