//! Memory that is touched before somebody needs it.
//!
//! The kernel gives a page when it is touched for the first time. A large page of 2 MB has to be zeroed then, which takes
//! 0.1 to 0.3 ms, and on a virtual machine that gets its memory from its host only when it uses it, 2 to 6 ms: so
//! long everybody waits who is served by the executor that grew into it. So the allocator takes its memory from one range
//! of addresses, tells us what it hands out, and a thread touches the blocks behind that.
//!
//! ```text
//!   range   | handed out ........ # ahead # ahead #  not touched ...                 |      blocks of 2 MB
//!                                 ^ what was handed out last, to each thread
//!
//!   a block's state    bit 0..31: that grain of 64 KiB is handed out | AHEAD: the thread has touched it | LEAVING | LONG
//! ```
//!
//! A thread that grows fast gets more ahead, up to [`WINDOW_MAX`] blocks; what is ahead of all is bounded by a share of
//! what is in use, and most of what nobody has grown into for a second is given back. None of it is counted as used.
//!
//! The first [`FIRST`] blocks have small pages for ever: there the allocator puts what every thread begins with, a few
//! pages in each, and the kernel would fill them up with large ones some seconds later.
//!
//! What is handed out at once and is longer than [`LONG_MIN`] is a buffer that somebody fills from its beginning to its end,
//! nobody knows when. Its blocks are LONG: there the kernel gives small pages, one after the other as they are needed.
//!
//! What makes it sound: the range is nobody else's, and the allocator tells of all that it hands out of it before it is used
//! (which it would not if it were asked to commit its pages one by one: then it gets no range). Pages are taken away
//! (`MADV_DONTNEED`) where the allocator says that it has nothing there any more, or where no grain of a block is handed
//! out; for the latter the block is LEAVING, and who gets a grain of such a block waits until it is not.
//! To touch ahead (`MADV_POPULATE_WRITE`) changes no byte, whoever is there.
//!
//! Where any of it cannot be had (an older kernel, a bound on addresses), the allocator goes on by itself. Nothing is touched
//! ahead where that would be near a bound on memory, where pages are small, and where memory has several nodes: a page lies
//! at the node of who touches it first.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// The allocator hands out memory in multiples of this.
const GRAIN: usize = 64 * 1024;
/// A large page of the kernel's.
const BLOCK: usize = 2 * 1024 * 1024;
const GRAINS: usize = BLOCK / GRAIN;

/// The thread has touched the block, and no grain of it was handed out by then.
const AHEAD: u64 = 1 << 32;
/// What is ahead is given back just now.
const LEAVING: u64 = 1 << 33;
/// It has small pages until it is given back.
const LONG: u64 = 1 << 34;
const HANDED_OUT: u64 = AHEAD - 1;

/// So many bytes at once are a buffer. No table of the program's is that long: they are made of parts.
const LONG_MIN: usize = 4 * BLOCK;

/// Blocks with small pages: the allocator's books and its first 512 grains. There are some 4 MB in them, of 34, whatever
/// the program comes to hold: its data is behind them.
const FIRST: usize = 17;

/// Of addresses: as much as the machine has memory, in steps of this, at most so much. More than that the allocator gets
/// by itself.
const RANGE_STEP: usize = 1 << 30;
const RANGE_MAX: usize = 1 << 40;

/// Blocks that become the allocator's at once: it has no books for 16 GB at once.
const STRETCH_MIN: usize = RANGE_STEP / BLOCK;
const STRETCH_MAX: usize = 8 * STRETCH_MIN;
/// So many blocks before its end is reached the next stretch follows.
const STRETCH_LEFT: usize = STRETCH_MIN / 2;

/// Places of growth that are followed: threads, and for each of them the sizes that the allocator keeps apart. Further ones
/// share them.
const PLACES: usize = 256;

/// Blocks ahead of a thread that has just begun to grow, and of one that grows fast.
const WINDOW_MIN: usize = 2;
const WINDOW_MAX: usize = 16;

/// What is ahead of all threads together: this share of what is in use, within these bounds.
const SHARE: u64 = 32;
const AHEAD_MIN: u64 = 2 * BLOCK as u64;
const AHEAD_MAX: u64 = 32 * BLOCK as u64;

/// Of what the program may have, so many percent may be resident when something is touched ahead.
const RESIDENT_MOST: u64 = 95;

/// What nobody has grown into for so long is given back, but for this share of what is in use: who begins to grow again
/// finds something.
const KEPT: Duration = Duration::from_secs(1);
const KEPT_SHARE: u64 = 64;

/// The range, and the states of its blocks: set before the first allocation. It has fewer blocks from when the allocator
/// refuses a stretch.
static START: AtomicUsize = AtomicUsize::new(0);
static STATES: AtomicPtr<AtomicU64> = AtomicPtr::new(null_mut());
static BLOCKS: AtomicUsize = AtomicUsize::new(0);

/// How many of the blocks are the allocator's, and one more than the last of which it has handed out something.
static HANDED_OVER: AtomicUsize = AtomicUsize::new(0);
static REACHED: AtomicUsize = AtomicUsize::new(0);

/// Where a thread grows, by things of one size.
#[repr(align(64))]
struct Growth {
    /// One more than the last block of which it was given something.
    last: AtomicUsize,
    /// How often it came into a block that nobody had touched.
    missed: AtomicU32,
}

static GROWTHS: [Growth; PLACES] =
    [const { Growth { last: AtomicUsize::new(0), missed: AtomicU32::new(0) } }; PLACES];

/// The thread that touches, and whether it waits for growth.
static TOUCHER: OnceLock<Thread> = OnceLock::new();
static WAITS: AtomicBool = AtomicBool::new(false);

/// Before `main`: the beginning of the range becomes the allocator's. Allocates nothing, and leaves all as it was where that
/// fails.
pub extern "C" fn prepare() {
    /// `mi_option_page_commit_on_demand` of mimalloc 3.
    const COMMIT_ON_DEMAND: c_int = 40;
    unsafe extern "C" {
        fn mi_process_init();
    }
    // SAFETY: the allocator may be called before it has begun by itself, which it then does not again.
    let is_told_all = unsafe {
        mi_process_init();
        super::mi_option_get(COMMIT_ON_DEMAND) == 0
    };
    if !is_told_all || are_addresses_dear() {
        return;
    }
    let size = range_size();
    let blocks = size / BLOCK;
    let Some(states) = reserved(blocks * size_of::<AtomicU64>()) else { return };
    let Some(range) = reserved(size + BLOCK) else { return };
    let start = range.next_multiple_of(BLOCK);
    // Zeroed memory, which is what these atomics begin with.
    STATES.store(states as *mut AtomicU64, Ordering::Relaxed);
    START.store(start, Ordering::Relaxed);
    BLOCKS.store(blocks, Ordering::Relaxed);
    advise(FIRST..blocks, libc::MADV_HUGEPAGE);
    advise(0..FIRST, libc::MADV_NOHUGEPAGE);
    advise(0..blocks, libc::MADV_DONTDUMP);
    hand_over();
}

/// Whether what is reserved counts although nothing is there.
fn are_addresses_dear() -> bool {
    let mut most = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let mut mode = [0u8; 1];
    // SAFETY: both places are there and of the lengths that are told; the path ends with a zero.
    unsafe {
        let is_bounded = libc::getrlimit(libc::RLIMIT_AS, &raw mut most) != 0
            || most.rlim_cur != libc::RLIM_INFINITY;
        let file = libc::open(c"/proc/sys/vm/overcommit_memory".as_ptr(), libc::O_RDONLY);
        libc::read(file, mode.as_mut_ptr().cast(), mode.len());
        libc::close(file);
        is_bounded || mode == *b"2"
    }
}

/// Makes the next stretch of the range the allocator's. It takes as much again as it has, and at least [`STRETCH_MIN`]: it keeps
/// books about each stretch, and spreads its threads over them.
fn hand_over() {
    type Handed = unsafe extern "C" fn(bool, *mut c_void, usize, *mut bool, *mut c_void) -> bool;
    unsafe extern "C" {
        #[allow(clippy::fn_params_excessive_bools, reason = "the allocator's own function")]
        fn mi_manage_memory(
            start: *mut c_void,
            size: usize,
            is_committed: bool,
            is_pinned: bool,
            is_zero: bool,
            numa_node: c_int,
            exclusive: bool,
            commit: Handed,
            argument: *mut c_void,
            id: *mut *mut c_void,
        ) -> bool;
    }
    let (over, all) = (HANDED_OVER.load(Ordering::Relaxed), BLOCKS.load(Ordering::Relaxed));
    let stretch = over.clamp(STRETCH_MIN, STRETCH_MAX).min(all - over);
    let start = (START.load(Ordering::Relaxed) + over * BLOCK) as *mut c_void;
    let (mut id, none) = (null_mut(), null_mut());
    advise(over..over + stretch, libc::MADV_DODUMP);
    // SAFETY: these addresses were reserved and are nobody else's, zeroed; `handed` does what the allocator asks of such a
    // function, and may be called by any thread.
    let is_taken = unsafe {
        let size = stretch * BLOCK;
        mi_manage_memory(start, size, false, false, true, -1, false, handed, none, &raw mut id)
    };
    match is_taken {
        true => HANDED_OVER.store(over + stretch, Ordering::Relaxed),
        // It has no place for more: from now on it goes on by itself.
        false => BLOCKS.store(over, Ordering::Relaxed),
    }
}

/// Whether the next stretch is to follow.
fn is_short() -> bool {
    let over = HANDED_OVER.load(Ordering::Relaxed);
    over < BLOCKS.load(Ordering::Relaxed) && REACHED.load(Ordering::SeqCst) + STRETCH_LEFT > over
}

/// How many addresses the range has.
fn range_size() -> usize {
    // SAFETY: no pointers are passed.
    let (pages, page) =
        unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    let memory = pages.max(0) as usize * page.max(0) as usize;
    memory.clamp(RANGE_STEP, RANGE_MAX).next_multiple_of(RANGE_STEP)
}

/// Addresses behind which there is nothing yet but zeros.
fn reserved(size: usize) -> Option<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, at addresses that the kernel chooses.
    let start =
        unsafe { libc::mmap(null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    (start != libc::MAP_FAILED).then_some(start as usize)
}

/// The states of the blocks.
fn states() -> &'static [AtomicU64] {
    let (states, blocks) = (STATES.load(Ordering::Relaxed), BLOCKS.load(Ordering::Relaxed));
    if states.is_null() {
        return &[];
    }
    // SAFETY: so many atomics, all of them zeroed at first, which are there until the program ends.
    unsafe { std::slice::from_raw_parts(states, blocks) }
}

/// The blocks of which bytes are, from an offset on, and the grains of each.
fn parts(offset: usize, size: usize) -> impl Iterator<Item = (usize, u64)> {
    let (first, end) = (offset / GRAIN, (offset + size).div_ceil(GRAIN));
    (first / GRAINS..end.div_ceil(GRAINS)).map(move |block| {
        let from = first.saturating_sub(block * GRAINS);
        let to = (end - block * GRAINS).min(GRAINS);
        (block, HANDED_OUT >> (GRAINS - (to - from)) << from)
    })
}

/// The allocator hands out some of the range, or has nothing there any more; `true`: it is as it wishes.
///
/// # Safety
/// What is told to have nothing in it any more, has nothing in it.
unsafe extern "C" fn handed(
    is_out: bool,
    start: *mut c_void,
    size: usize,
    is_zero: *mut bool,
    _: *mut c_void,
) -> bool {
    let offset = start as usize - START.load(Ordering::Relaxed);
    if !is_out {
        // SAFETY: the caller's promise; the addresses are the range's.
        let is_gone = unsafe { libc::madvise(start, size, libc::MADV_DONTNEED) == 0 };
        if is_gone {
            note_taken_back(offset, size);
        }
        return is_gone;
    }
    // Some of it may have been handed out before.
    // SAFETY: the allocator gives a place for the answer, or none.
    if let Some(is_zero) = unsafe { is_zero.as_mut() } {
        *is_zero = false;
    }
    let missed = note_handed_out(offset, size);
    let last = (offset + size - 1) / BLOCK + 1;
    REACHED.fetch_max(last, Ordering::SeqCst);
    if size >= LONG_MIN && super::has_large_pages() {
        note_long(offset.div_ceil(BLOCK)..(offset + size) / BLOCK);
    } else {
        note_growth(size, last, missed);
    }
    true
}

/// Bytes are handed out, from an offset on. Answers how many of their blocks nobody had touched.
fn note_handed_out(offset: usize, size: usize) -> u32 {
    let (states, mut missed) = (states(), 0);
    for (block, grains) in parts(offset, size) {
        let before = states[block].fetch_or(grains, Ordering::AcqRel);
        missed += u32::from(before == 0);
        while states[block].load(Ordering::Acquire) & LEAVING != 0 {
            // It may be this executor's own CPU that the thread needs to come to an end.
            std::thread::yield_now();
        }
        if before & AHEAD != 0 {
            states[block].fetch_and(!AHEAD, Ordering::AcqRel);
        }
    }
    missed
}

/// There is nothing any more in bytes from an offset on, and their pages are gone.
fn note_taken_back(offset: usize, size: usize) {
    let (states, mut were_long) = (states(), None::<Range<usize>>);
    for (block, grains) in parts(offset, size) {
        let before = states[block].fetch_and(!grains, Ordering::AcqRel);
        if before & LONG != 0 && before & HANDED_OUT & !grains == 0 {
            states[block].fetch_and(!LONG, Ordering::AcqRel);
            let first = were_long.map_or(block, |blocks| blocks.start);
            were_long = Some(first..block + 1);
        }
    }
    // One after the other as a rule; and what was no long one's among them is told what it is told already.
    if let Some(blocks) = were_long {
        advise(blocks, libc::MADV_HUGEPAGE);
    }
}

/// These whole blocks are a buffer's.
fn note_long(blocks: Range<usize>) {
    let blocks = blocks.start.max(FIRST)..blocks.end.max(FIRST);
    advise(blocks.clone(), libc::MADV_NOHUGEPAGE);
    for state in &states()[blocks] {
        state.fetch_or(LONG, Ordering::AcqRel);
    }
    wake_if(is_short());
}

/// This thread has grown up to a block by things of a size, into so many that nobody had touched.
fn note_growth(size: usize, last: usize, missed: u32) {
    let growth = &GROWTHS[(super::place() * 4 + kind_of(size)) % PLACES];
    if growth.last.load(Ordering::Relaxed) != last {
        growth.last.store(last, Ordering::SeqCst);
        growth.missed.fetch_add(missed, Ordering::Relaxed);
        wake_if(true);
    }
}

/// Wakes the thread if it has something to do and waits.
fn wake_if(has_news: bool) {
    if has_news && WAITS.load(Ordering::SeqCst) && WAITS.swap(false, Ordering::AcqRel) {
        TOUCHER.get().inspect(|thread| thread.unpark());
    }
}

/// Tells the kernel something about the pages of some blocks.
fn advise(blocks: Range<usize>, kind: c_int) {
    let start = START.load(Ordering::Relaxed) + blocks.start * BLOCK;
    // SAFETY: the addresses are the range's, and no byte there changes. Where the advice is not taken, nothing else happens.
    unsafe { libc::madvise(start as *mut c_void, blocks.len() * BLOCK, kind) };
}

/// The allocator keeps small things, middling, large and huge ones apart.
fn kind_of(size: usize) -> usize {
    [GRAIN, 8 * GRAIN, 64 * GRAIN].iter().filter(|most| size > **most).count()
}

/// Starts the thread that touches ahead.
pub fn keep_ahead() -> std::io::Result<()> {
    if states().is_empty() {
        return Ok(());
    }
    let thread = std::thread::Builder::new().name("ahead".to_owned());
    thread.spawn(|| Toucher::default().run()).map(drop)
}

/// Whether all memory is as near to one thread as to another.
fn has_one_node() -> bool {
    // Where it cannot be read there are no nodes.
    std::fs::read_to_string("/sys/devices/system/node/online").map_or(true, |it| it.trim() == "0")
}

/// Lets whoever serves somebody go before this thread: not by much, since it holds a lock of the kernel's while it touches.
fn step_back() {
    const NICE: c_int = 5;
    // SAFETY: no pointers; 0 is the thread that asks. Where it is not allowed, it is as urgent as the others.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

/// What the thread knows of a thread that grows.
#[derive(Clone, Copy)]
struct Followed {
    /// As [`Growth::last`].
    last: usize,
    window: usize,
    since: Instant,
}

/// What became of a block that was to be touched.
enum Touched {
    Yes,
    /// Memory is short.
    Short,
    /// The kernel does not know how.
    Never,
}

struct Toucher {
    followed: [Followed; PLACES],
    /// Blocks that were touched, and when, into which nobody has grown when it was last looked.
    ahead: Vec<(usize, Instant)>,
    is_able: bool,
}

impl Default for Toucher {
    fn default() -> Toucher {
        let followed = Followed { last: 0, window: WINDOW_MIN, since: Instant::now() };
        Toucher { followed: [followed; PLACES], ahead: Vec::new(), is_able: has_one_node() }
    }
}

impl Toucher {
    /// For ever.
    fn run(mut self) {
        TOUCHER.get_or_init(std::thread::current);
        step_back();
        loop {
            WAITS.store(true, Ordering::SeqCst);
            match (self.has_news(), self.ahead.is_empty()) {
                (true, _) => {}
                (false, true) => std::thread::park(),
                (false, false) => std::thread::park_timeout(KEPT),
            }
            WAITS.store(false, Ordering::Relaxed);
            while is_short() {
                hand_over();
            }
            self.follow();
            self.give_back();
        }
    }

    /// Whether somebody has grown since it was looked.
    fn has_news(&self) -> bool {
        let mut places = GROWTHS.iter().zip(&self.followed);
        is_short()
            || places.any(|(growth, followed)| growth.last.load(Ordering::SeqCst) != followed.last)
    }

    /// How many blocks may be ahead of all.
    fn most(&self) -> usize {
        // Small pages take too little time for it to be worth the memory of a process that is small.
        if !self.is_able || !super::has_large_pages() {
            return 0;
        }
        let bound = super::granted() / 100 * RESIDENT_MOST;
        if super::resident() + AHEAD_MAX > bound {
            // Whatever is touched may be what is too much.
            return 0;
        }
        (super::used() / SHARE).clamp(AHEAD_MIN, AHEAD_MAX) as usize / BLOCK
    }

    /// Touches the blocks behind those into which threads have come since the last look.
    fn follow(&mut self) {
        self.forget_taken();
        let (mut most, over) = (self.most(), HANDED_OVER.load(Ordering::Relaxed));
        for (growth, followed) in GROWTHS.iter().zip(&mut self.followed) {
            let last = growth.last.load(Ordering::Relaxed);
            if last == followed.last {
                continue;
            }
            let missed = growth.missed.swap(0, Ordering::Relaxed) > 0;
            let window = if missed { followed.window * 2 } else { followed.window };
            *followed = Followed { last, window: window.min(WINDOW_MAX), since: Instant::now() };
            for block in last.max(FIRST)..(last + followed.window).min(over) {
                if self.ahead.len() >= most || states()[block].load(Ordering::Relaxed) != 0 {
                    continue;
                }
                match touch(block) {
                    Touched::Yes => {}
                    Touched::Short => most = 0,
                    Touched::Never => (most, self.is_able) = (0, false),
                }
                self.ahead.push((block, Instant::now()));
            }
        }
    }

    fn forget_taken(&mut self) {
        self.ahead.retain(|(block, _)| states()[*block].load(Ordering::Relaxed) == AHEAD);
    }

    /// Gives back what is ahead of who does not grow any more, but for the blocks that come next.
    fn give_back(&mut self) {
        self.forget_taken();
        let mut left = super::used() / KEPT_SHARE / BLOCK as u64;
        for followed in &mut self.followed {
            if followed.since.elapsed() >= KEPT {
                followed.window = WINDOW_MIN;
            }
        }
        let is_next = |block: usize| {
            let window = |it: &Followed| (it.last..it.last + it.window).contains(&block);
            self.followed.iter().any(window)
        };
        self.ahead.retain(|(block, since)| {
            let is_kept = since.elapsed() < KEPT || left > 0 && is_next(*block);
            if is_kept {
                left = left.saturating_sub(1);
            } else {
                leave(*block);
            }
            is_kept
        });
    }
}

/// Touches a block; what has come of it is ahead, also where that is not all.
fn touch(block: usize) -> Touched {
    let address = START.load(Ordering::Relaxed) + block * BLOCK;
    // SAFETY: the addresses are the range's, and no byte there changes.
    let outcome =
        unsafe { libc::madvise(address as *mut c_void, BLOCK, libc::MADV_POPULATE_WRITE) };
    let error = std::io::Error::last_os_error().raw_os_error();
    // Unless somebody has come there meanwhile.
    let _ = states()[block].compare_exchange(0, AHEAD, Ordering::AcqRel, Ordering::Relaxed);
    match error {
        _ if outcome == 0 => Touched::Yes,
        Some(libc::EINVAL | libc::ENOSYS) => Touched::Never,
        _ => Touched::Short,
    }
}

/// Gives a block back of which nothing is handed out.
fn leave(block: usize) {
    let state = &states()[block];
    let left = state.compare_exchange(AHEAD, AHEAD | LEAVING, Ordering::AcqRel, Ordering::Relaxed);
    if left.is_ok() {
        let address = START.load(Ordering::Relaxed) + block * BLOCK;
        // SAFETY: the addresses are the range's; nothing is handed out of them, and who gets some waits.
        unsafe { libc::madvise(address as *mut c_void, BLOCK, libc::MADV_DONTNEED) };
        state.fetch_and(!(AHEAD | LEAVING), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_of_the_grains_that_they_lie_in() {
        let check = |offset: usize, size: usize, expected: &[(usize, u64)]| {
            assert_eq!(parts(offset, size).collect::<Vec<_>>(), expected, "{offset} {size}");
        };
        check(0, GRAIN, &[(0, 1)]);
        check(GRAIN, GRAIN, &[(0, 2)]);
        check(3 * GRAIN, 2 * GRAIN, &[(0, 0b11000)]);
        check(0, BLOCK, &[(0, HANDED_OUT)]);
        check(BLOCK - GRAIN, 2 * GRAIN, &[(0, 1 << 31), (1, 1)]);
        check(BLOCK, 2 * BLOCK + 1, &[(1, HANDED_OUT), (2, HANDED_OUT), (3, 1)]);
        check(5 * BLOCK + 31 * GRAIN, GRAIN, &[(5, 1 << 31)]);
    }
}
