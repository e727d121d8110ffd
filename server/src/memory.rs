//! The program's allocator: mimalloc, counted.
//!
//! `used_memory` is what the program has asked for and not given back, rounded up as the allocator
//! rounds. Each thread counts for itself; reading sums up. Where its memory comes from, and that it was touched
//! before: `ahead`.

pub mod ahead;

use engine::db::Pressure;
use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Threads that count for themselves; later ones share the last place.
const THREADS: usize = 256;

/// One thread's count, on a cache line of its own.
#[repr(align(64))]
struct Count(AtomicI64);

static COUNTS: [Count; THREADS] = [const { Count(AtomicI64::new(0)) }; THREADS];
static NEXT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);
static STARTUP: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static PLACE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// mimalloc with a count.
pub struct Counting;

/// Sizes as mimalloc hands them out: steps of 16 bytes, above 128 four steps to a doubling.
fn rounded(size: usize) -> i64 {
    if size <= 128 {
        return (size.max(1).next_multiple_of(16)) as i64;
    }
    let step = (size.next_power_of_two() / 8).max(16);
    size.next_multiple_of(step) as i64
}

/// This thread's place.
#[inline]
fn place() -> usize {
    let place = PLACE.try_with(|place| {
        if place.get() == usize::MAX {
            place.set(NEXT.fetch_add(1, Ordering::Relaxed).min(THREADS - 1));
        }
        place.get()
    });
    // During a thread's destruction there is none any more: the last one takes it.
    place.unwrap_or(THREADS - 1)
}

#[inline]
fn count(bytes: i64) {
    let own = place();
    if own == THREADS - 1 {
        COUNTS[own].0.fetch_add(bytes, Ordering::Relaxed);
        return;
    }
    // Nobody else writes there, so that nobody need be kept from it: that would cost as much as the allocation.
    let count = &COUNTS[own].0;
    count.store(count.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
}

unsafe extern "C" {
    fn mi_malloc(size: usize) -> *mut c_void;
    fn mi_zalloc(size: usize) -> *mut c_void;
    fn mi_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn mi_option_get(option: std::ffi::c_int) -> std::ffi::c_long;
    fn mi_option_set(option: std::ffi::c_int, value: std::ffi::c_long);
}

/// Whether each block of such a size is aligned so anyway: all are multiples of 16 and begin at one, but the smallest, of
/// 8 bytes.
///
/// mimalloc 3 has to be asked so: when asked for an alignment, it looks whether the next free block happens to have it,
/// and where there is none it takes one so much larger that a part of it surely does, unless the size is a power of
/// two. An item of 48 bytes took 64, and a page of 112 took 128.
fn is_aligned_anyway(layout: Layout) -> bool {
    layout.align() <= 8 || layout.align() <= 16 && layout.size() > 8
}

// SAFETY: every call is passed on to mimalloc: unchanged, or by the function that asks for no alignment where each block
// has it; both give blocks that either of them, and `mi_free`, takes. Counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(rounded(layout.size()));
        if is_aligned_anyway(layout) {
            // SAFETY: a function of the allocator, which takes any size.
            return unsafe { mi_malloc(layout.size()) }.cast();
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(rounded(layout.size()));
        if is_aligned_anyway(layout) {
            // SAFETY: as above.
            return unsafe { mi_zalloc(layout.size()) }.cast();
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-rounded(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(rounded(size) - rounded(layout.size()));
        if is_aligned_anyway(layout) && size > 8 {
            // SAFETY: the block is the allocator's, and the caller gives it up for the new one.
            return unsafe { mi_realloc(block.cast(), size) }.cast();
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.realloc(block, layout, size) }
    }
}

/// Bytes in use, and remembers the most.
pub fn used() -> u64 {
    let used = sum();
    PEAK.fetch_max(used, Ordering::Relaxed);
    used
}

/// What this thread has taken, less what it has given back.
fn own() -> i64 {
    let place = PLACE.try_with(Cell::get).unwrap_or(usize::MAX).min(THREADS - 1);
    COUNTS[place].0.load(Ordering::Relaxed)
}

fn sum() -> u64 {
    let threads = NEXT.load(Ordering::Relaxed).clamp(1, THREADS);
    let mut used: i64 = COUNTS[..threads].iter().map(|count| count.0.load(Ordering::Relaxed)).sum();
    if threads < THREADS {
        used += COUNTS[THREADS - 1].0.load(Ordering::Relaxed);
    }
    used.max(0) as u64
}

/// Bytes in use, but for those of journals and those that are being given back.
pub fn data() -> u64 {
    used().saturating_sub(aside() + engine::journal::held_total())
}

/// What is given back by itself: nobody waits for it, and no key goes for it.
fn aside() -> u64 {
    engine::value::bytes_set_aside() + engine::cut::held_total()
}

/// Notes what the program takes before it holds any data.
pub fn note_startup() {
    STARTUP.store(used(), Ordering::Relaxed);
}

/// Bytes in use when the program began to serve.
pub fn startup() -> u64 {
    STARTUP.load(Ordering::Relaxed)
}

/// Says so when `maxmemory` is below what is in use already: nobody means that.
pub fn warn_if_short(maxmemory: u64) {
    let used = used();
    if maxmemory != 0 && maxmemory < used {
        tracing::warn!(
            "maxmemory is {maxmemory} bytes and {used} are in use: keys are evicted or writes refused; raise it"
        );
    }
}

/// Says so when a replica holds more than its own `maxmemory`: it takes whatever its master has, so nothing
/// else shows it before it is promoted, and then refuses every write.
#[derive(Default)]
pub struct Overfull {
    has_said: bool,
}

impl Overfull {
    /// Looks; once until it is below again.
    pub fn look(&mut self, is_replica: bool, bound: Bound) {
        let data = data();
        let is_over = is_replica && bound.bytes > 0 && data > bound.bytes;
        if is_over && !self.has_said {
            tracing::warn!(
                "this replica holds {data} bytes of data, more than its maxmemory of {} bytes: it goes on following, \
                 and once it is promoted it {}; raise maxmemory here, or give both nodes the same",
                bound.bytes,
                if bound.evicts { "evicts keys" } else { "refuses writes" }
            );
        }
        self.has_said = is_over;
    }
}

/// Whether the kernel was asked for small pages only, and may be asked for large ones.
static SMALL_PAGES: AtomicBool = AtomicBool::new(false);

/// Whether the kernel gives large ones.
static LARGE_PAGES: AtomicBool = AtomicBool::new(false);

/// From this much in use on, large pages (2 MB) pay: a look-up among many keys waits for fewer tables of
/// pages. Below, most of a large page is empty: they were two thirds of a process at rest.
const LARGE_PAGES_FROM: u64 = 32 * 1024 * 1024;

/// Begins with small pages, unless the operator wants nothing else anyway. What comes before it lies in large
/// ones: reading the settings alone would take 12 MB.
pub fn begin_with_small_pages() {
    // SAFETY: no pointers are passed.
    let is_set = unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) };
    if is_set == 0 && large_pages(false) {
        SMALL_PAGES.store(true, Ordering::Relaxed);
    }
}

/// Lets the kernel take large pages where the allocator has asked for them, or not. Whether it listens.
fn large_pages(may: bool) -> bool {
    // SAFETY: no pointers are passed; it says how pages are chosen that are touched from now on.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, libc::c_ulong::from(!may), 0, 0, 0) == 0 }
}

/// Whether the kernel has any for programs.
fn has_kernel_large_pages() -> bool {
    let chosen = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    chosen.is_ok_and(|chosen| !chosen.contains("[never]"))
}

/// Whether they are given now.
fn has_large_pages() -> bool {
    LARGE_PAGES.load(Ordering::Relaxed)
}

/// Gives memory that this thread has freed back to the system, and what others have freed.
pub fn collect() {
    unsafe extern "C" {
        fn mi_collect(force: bool);
    }
    // SAFETY: a function of the allocator that is linked in anyway; it takes no pointers and may be
    // called by any thread at any time.
    unsafe { mi_collect(true) }
}

/// How often memory that is free goes back to the system.
const GIVEN_BACK_EVERY: Duration = Duration::from_secs(1);

/// Starts a thread that gives back what the whole program has freed, once a second. The allocator does it by
/// itself only when somebody asks for more, and then for all of an arena at once: a million keys that expired
/// together held their executor for 10 ms while the system took the pages. A thread of its own has nobody who
/// waits for it.
pub fn keep_giving_back() -> std::io::Result<()> {
    leave_giving_back_to_one_thread();
    let thread = std::thread::Builder::new().name("memory".to_owned());
    let work = || loop {
        std::thread::sleep(GIVEN_BACK_EVERY);
        collect();
    };
    thread.spawn(work).map(drop)
}

/// Makes the allocator's own giving back, by whichever thread asks for memory, come so late that the thread
/// for it has always been there before.
fn leave_giving_back_to_one_thread() {
    /// `mi_option_purge_delay` of mimalloc 2 and 3: milliseconds.
    const PURGE_DELAY: std::ffi::c_int = 15;
    /// What it is unless the operator has said something else, which stays.
    const AS_BUILT: std::ffi::c_long = 1000;
    const NEVER_FIRST: std::ffi::c_long = 60_000;
    // SAFETY: functions of the allocator that is linked in anyway; they read and write one number.
    unsafe {
        if mi_option_get(PURGE_DELAY) == AS_BUILT {
            mi_option_set(PURGE_DELAY, NEVER_FIRST);
        }
    }
}

/// Gives back what this thread alone can give back, after much was freed at once. The allocator keeps some of
/// what a thread has freed until that thread allocates again, which on a quiet node may be long after a huge
/// transaction.
#[derive(Default)]
pub struct Trimmer {
    /// The most bytes in use since memory was given back.
    high: u64,
    /// When it is given back, if as little is in use then.
    due: Option<Instant>,
}

/// By then the thread that gives back has been there, so that little is left to be done by an executor.
const TRIMMED_AFTER: Duration = Duration::from_secs(3);

/// Below this it is not worth the time.
const TRIMMED_MIN: u64 = 128 * 1024 * 1024;

impl Trimmer {
    /// Looks whether as much was freed as is still in use: then giving back costs no more than freeing
    /// it did. And whether it is time for large pages.
    pub fn look(&mut self) {
        let used = used();
        if used >= LARGE_PAGES_FROM && SMALL_PAGES.swap(false, Ordering::Relaxed) {
            LARGE_PAGES.store(large_pages(true) && has_kernel_large_pages(), Ordering::Relaxed);
        }
        self.high = self.high.max(used);
        let freed = self.high - used;
        if freed < TRIMMED_MIN.max(used) {
            self.due = None;
        } else if Instant::now() >= *self.due.get_or_insert_with(|| Instant::now() + TRIMMED_AFTER)
        {
            collect();
            (self.high, self.due) = (used, None);
        }
    }
}

/// The most bytes in use that anybody has seen.
pub fn peak() -> u64 {
    PEAK.load(Ordering::Relaxed).max(used())
}

/// Resident memory of the process.
pub fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// The most that was resident in the life of the program. Not what `getrusage` says: that outlives `exec`,
/// and so may be of the process that started this one.
pub fn resident_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// What the machine or the control group grants, as of the last second: shards ask at every heartbeat,
/// and the answer costs several files.
pub fn granted() -> u64 {
    /// Whoever finds the answer older asks anew.
    const FRESH: Duration = Duration::from_secs(1);
    static KNOWN: Mutex<Option<(Instant, u64)>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, bytes)) = known.filter(|(since, _)| since.elapsed() < FRESH) {
        return bytes;
    }
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = limit_files(&groups).iter().filter_map(|path| number(path)).min();
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    });
    let bytes = group.into_iter().chain(machine).min().unwrap_or(u64::MAX);
    *known = Some((Instant::now(), bytes));
    bytes
}

/// The number in a file; "max" is none.
fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Where the limits of the control groups stand that this process is in: its own, as systemd makes one
/// for a service, and all above it. In a container its own is the topmost that can be seen.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            words if words.split(',').any(|word| word == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

/// The bound that eviction works against.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Bytes that may be in use: `maxmemory`, worked out.
    pub bytes: u64,
    /// Whether keys may be evicted.
    pub evicts: bool,
}

/// Says to one shard's commands, one after the other, what memory means for them.
///
/// To know how much is in use all threads are asked. While the bound is far away, that is put off until this
/// thread alone has taken so much that all of them together could have come half the way.
#[derive(Debug)]
pub struct Gauge {
    bound: Bound,
    /// What this thread may take until all are asked again, as [`own`] counts.
    until: Cell<i64>,
    /// How many commands may still be told the same: bytes can change sides without anybody taking any.
    same: Cell<u32>,
    /// [`ANEW`] when all were asked.
    asked: Cell<u32>,
}

/// Counts heartbeats: behind each all threads are asked anew. Other threads take memory without asking, as those
/// of a replica do, and a shard for which nothing happens has to evict for them all the same.
static ANEW: AtomicU32 = AtomicU32::new(0);

/// The next command is told what is in use then.
pub fn judge_anew() {
    ANEW.fetch_add(1, Ordering::Relaxed);
}

/// As often as this all threads are asked, however far away the bound is.
const SAME_MAX: u32 = 64;

impl Gauge {
    /// For the current thread.
    pub fn new(bound: Bound) -> Gauge {
        Gauge { bound, until: Cell::new(i64::MIN), same: Cell::new(0), asked: Cell::new(0) }
    }

    /// What the bound means for a command that may need memory.
    pub fn pressure(&self) -> Pressure {
        let (same, anew) = (self.same.get(), ANEW.load(Ordering::Relaxed));
        let is_of_now = self.asked.replace(anew) == anew;
        if same > 0 && is_of_now && own() <= self.until.get() {
            self.same.set(same - 1);
            return Pressure::None;
        }
        let Bound { bytes, evicts } = self.bound;
        let journals = engine::journal::held_total();
        let used = sum().saturating_sub(aside());
        let pressure = engine::db::pressure(used, journals, bytes, evicts);
        let room = match pressure {
            // Whatever the journals hold, at most half of the bound is theirs.
            Pressure::None => bytes.saturating_sub(used),
            _ => 0,
        };
        let threads = NEXT.load(Ordering::Relaxed).clamp(1, THREADS) as u64;
        self.until.set(own().saturating_add((room / (2 * threads)) as i64));
        self.same.set(if room > 0 { SAME_MAX } else { 0 });
        pressure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_bounded_by_its_own_group_and_by_all_above_it() {
        let check = |groups: &str, expected: &[&str]| {
            let files: Vec<String> =
                limit_files(groups).iter().map(|file| file.display().to_string()).collect();
            assert_eq!(files, expected, "{groups}");
        };
        check("0::/\n", &["/sys/fs/cgroup/memory.max"]);
        check(
            "0::/system.slice/damselfly.service\n",
            &[
                "/sys/fs/cgroup/system.slice/damselfly.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ],
        );
        check(
            "4:memory,hugetlb:/box\n3:cpu:/other\n0::/box\n",
            &[
                "/sys/fs/cgroup/memory/box/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/box/memory.max",
                "/sys/fs/cgroup/memory.max",
            ],
        );
        check("nonsense\n", &[]);
    }

    #[test]
    fn a_block_is_aligned_as_asked_and_takes_what_is_counted() {
        unsafe extern "C" {
            fn mi_usable_size(block: *const c_void) -> usize;
        }
        for align in [1, 8, 16, 64, 4096] {
            for size in (1..=160).chain([1000, 2048, 5000, 70_000]) {
                let layout = Layout::from_size_align(size, align).expect("small");
                // More than one: the first may happen to be aligned.
                let blocks: Vec<*mut u8> = (0..20)
                    .map(|_| {
                        // SAFETY: the size is not 0; each block is used with its layout and freed once.
                        unsafe {
                            let block = Counting.alloc(layout);
                            block.write_bytes(7, size);
                            let grown = Counting.realloc(block, layout, 3 * size);
                            assert!(grown.addr() % align == 0 && *grown == 7, "{size} {align}");
                            let larger = Layout::from_size_align(3 * size, align).expect("small");
                            Counting.realloc(grown, larger, size)
                        }
                    })
                    .chain((0..20).map(|_| {
                        // SAFETY: see above.
                        let block = unsafe { Counting.alloc_zeroed(layout) };
                        // SAFETY: it has a byte.
                        assert_eq!(unsafe { *block }, 0);
                        if align <= 16 && size >= align && size <= 5000 {
                            // SAFETY: a block of the allocator.
                            let usable = unsafe { mi_usable_size(block.cast()) } as i64;
                            assert!(usable <= rounded(size), "{usable} for {size} {align}");
                        }
                        block
                    }))
                    .collect();
                for block in blocks {
                    assert!(!block.is_null() && block.addr() % align == 0, "{size} {align}");
                    // SAFETY: see above.
                    unsafe { Counting.dealloc(block, layout) };
                }
            }
        }
    }
}
