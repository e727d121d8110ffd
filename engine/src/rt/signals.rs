//! SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1 and SIGUSR2 as messages.
//!
//! ```text
//!   kernel --> handler: set bit, write eventfd --> thread "signals": read, push --> mailbox
//! ```
//!
//! The handler does only what a handler may. A thread stands between it and the mailbox, because pushing allocates
//! and locks. Where [`hold`] came before every other thread it is also the only one that the kernel interrupts:
//! handlers on two threads could overtake each other, and the order of words to stop means something. Once
//! installed it stays: there is one set of signals per process.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
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
/// To be called before there are other threads; those that stop stop it at once until then.
pub fn hold() -> io::Result<()> {
    for number in HELD {
        // SAFETY: no handler runs, and no pointers are passed.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }
    // Every later thread inherits it.
    mask(libc::SIG_BLOCK)?;
    listen()
}

/// From now on these signals no longer end the process, but come out of the mailbox.
///
/// Several of one kind that come at once may come out as one. A second call is an error.
pub fn signals() -> io::Result<Receiver<Signal>> {
    let (sender, receiver) = mailbox();
    if LISTENER.set(sender).is_err() {
        return Err(io::Error::other("the signals are already taken"));
    }
    listen()?;
    for (number, _) in SIGNALS {
        install(number)?;
    }
    Ok(receiver)
}

/// Starts the thread "signals", once.
fn listen() -> io::Result<()> {
    static LISTENS: AtomicBool = AtomicBool::new(false);
    if LISTENS.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    EVENT_FD.store(fd, Ordering::Release);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        match mask(libc::SIG_UNBLOCK) {
            Ok(()) => forward(fd),
            Err(error) => log::error!("cannot receive signals: {error}"),
        }
    })?;
    Ok(())
}

/// Whether this thread, and those that it starts, are interrupted by [`SIGNALS`].
fn mask(how: i32) -> io::Result<()> {
    // SAFETY: `set` is made empty before it is read, and outlives the calls; the numbers are those of signals.
    let error = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for (number, _) in SIGNALS {
            libc::sigaddset(&raw mut set, number);
        }
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut())
    };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Who is told.
static LISTENER: OnceLock<Sender<Signal>> = OnceLock::new();
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
    // One at a time: a second handler in the middle of the first would ring before it.
    // SAFETY: the set is part of `action`.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    // SAFETY: `action` is valid, and its handler does only what a handler may.
    let answer = unsafe { libc::sigaction(number, &raw const action, std::ptr::null_mut()) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The thread: from the handler's bell to the mailbox.
fn forward(fd: i32) {
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
            let is_told = || LISTENER.get().is_some_and(|to| to.push(*signal).is_ok());
            if pending & (1 << index) != 0 && !is_told() {
                log::warn!("a signal came, and nobody listens to signals any more");
            }
        }
    }
}
