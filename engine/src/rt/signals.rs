//! SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1 and SIGUSR2 as messages.
//!
//! ```text
//!   kernel --> handler: set bit, write eventfd --> thread "signals": read, push --> mailbox
//! ```
//!
//! The handler does only what a handler may. A thread stands between it and the mailbox, because
//! pushing allocates and locks. Once installed it stays: there is one set of signals per process.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::thread;

use super::mailbox::{Receiver, Sender, mailbox};

/// What the operator, or the system, wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM: stop in good order.
    Terminate,
    /// SIGINT: Ctrl-C; stop in good order.
    Interrupt,
    /// SIGQUIT: Ctrl-\; stop at once.
    Quit,
    /// SIGHUP: look at the files (log, certificates) anew.
    Reload,
    /// SIGUSR1: open the log anew, as after a rotation.
    Reopen,
    /// SIGUSR2: say what the node is doing.
    Tell,
}

/// Those that come at once are told in this order: an INT behind another word to stop insists, so it is told first.
const SIGNALS: [(i32, Signal); 6] = [
    (libc::SIGINT, Signal::Interrupt),
    (libc::SIGTERM, Signal::Terminate),
    (libc::SIGQUIT, Signal::Quit),
    (libc::SIGHUP, Signal::Reload),
    (libc::SIGUSR1, Signal::Reopen),
    (libc::SIGUSR2, Signal::Tell),
];

/// Signals that mean nothing to a program that has not begun: the default would be its end. A write
/// beyond a file size limit, or to a pipe that was closed, is an error of that write only, always.
const HELD: [i32; 5] = [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGXFSZ, libc::SIGPIPE];

/// Passes over what would end the process although nobody wants it to end, until [`signals`] listens.
/// To be called first; those that stop stop it at once until then.
pub fn hold() {
    for number in HELD {
        // SAFETY: no handler runs, and no pointers are passed.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }
}

/// From now on these signals no longer end the process, but come out of the mailbox.
///
/// Several of one kind that come at once may come out as one. A second call is an error.
pub fn signals() -> io::Result<Receiver<Signal>> {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    if INSTALLED.set(()).is_err() {
        return Err(io::Error::other("the signals are already taken"));
    }
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    EVENT_FD.store(fd, Ordering::Release);
    let (sender, receiver) = mailbox();
    thread::Builder::new().name("signals".to_owned()).spawn(move || forward(fd, &sender))?;
    for (number, _) in SIGNALS {
        install(number)?;
    }
    Ok(receiver)
}

/// One bit for each of [`SIGNALS`] that has come and has not been forwarded.
static PENDING: AtomicU32 = AtomicU32::new(0);
/// Where the handler rings; -1 before there is any. Never closed.
static EVENT_FD: AtomicI32 = AtomicI32::new(-1);

/// Runs in the middle of anything: atomics and `write` only, and `errno` as it was.
extern "C" fn handle(number: libc::c_int) {
    let Some(index) = SIGNALS.iter().position(|(known, _)| *known == number) else { return };
    PENDING.fetch_or(1 << index, Ordering::AcqRel);
    let one = 1u64.to_ne_bytes();
    // SAFETY: errno's place is this thread's own; write(2) is allowed in handlers, and `one` is
    // valid for its eight bytes.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::write(EVENT_FD.load(Ordering::Acquire), one.as_ptr().cast(), one.len());
        *errno = before;
    }
}

fn install(number: i32) -> io::Result<()> {
    // SAFETY: sigaction is plain numbers, for which all zero means "no flags, no mask".
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as extern "C" fn(libc::c_int) as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is valid, and its handler does only what a handler may.
    let answer = unsafe { libc::sigaction(number, &raw const action, std::ptr::null_mut()) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The thread: from the handler's bell to the mailbox.
fn forward(fd: i32, sender: &Sender<Signal>) {
    loop {
        let mut count = [0u8; 8];
        // SAFETY: `count` is valid for eight bytes, which is what an eventfd gives.
        let read = unsafe { libc::read(fd, count.as_mut_ptr().cast(), count.len()) };
        if read < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            log::error!("cannot receive signals: {}", io::Error::last_os_error());
            return;
        }
        let pending = PENDING.swap(0, Ordering::AcqRel);
        for (index, (_, signal)) in SIGNALS.iter().enumerate() {
            if pending & (1 << index) != 0 && sender.push(*signal).is_err() {
                log::warn!("a signal came, and nobody listens to signals any more");
            }
        }
    }
}
