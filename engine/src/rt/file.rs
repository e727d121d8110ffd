//! Files, read and written through the executor's ring: no executor waits for a disk.
//!
//! ```text
//!   Appender ──blocks──► File::write_at ──► ring ──► kernel's cache ──sync──► disk
//!   File::read_at ◄───── ring
//!   rename, remove, directories: a thread, as the ring is no help there
//! ```
//!
//! Bytes go through the kernel's cache, so that every kind of file system will do (one in memory has nothing
//! else). A file that grows is brought to the disk every [`SYNC_EVERY`] bytes: so a sync at the end has
//! little to wait for, and others who write to that disk are not held up by all of it at once.
//!
//! An error names what was done, to which file, and what the system said.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread;

use glommio::GlommioError;
use glommio::io::{BufferedFile, OpenOptions};

use super::reply::ReplySlot;
use super::task::{Task, spawn_local};
use super::{executor, task};

/// Bytes that an [`Appender`] writes at once: a call's price is spread well, and copying them into the
/// kernel's cache keeps the executor for some 50 us.
pub const BLOCK: usize = 256 * 1024;

/// What has so many bytes an [`Appender`] writes as it is, instead of copying it into a block.
const WHOLE_MIN: usize = 64 * 1024;

/// How many bytes an [`Appender`] leaves to the kernel before they have to be on the disk.
pub const SYNC_EVERY: u64 = 32 * 1024 * 1024;

/// What went wrong with which file.
#[derive(Debug)]
pub struct FileError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// For whoever finds something wrong with a file that the system does not mind.
    pub fn new(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self { doing, path: path.to_owned(), source }
    }

    /// What the system said.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.doing, self.path.display(), self.source)
    }
}

impl std::error::Error for FileError {}

type Result<T> = std::result::Result<T, FileError>;

/// An open file. It belongs to the executor that opened it; dropping it closes it.
#[derive(Debug)]
pub struct File {
    inner: BufferedFile,
    path: PathBuf,
}

impl File {
    /// Makes a file, which must not be there yet.
    pub async fn create_new(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o644);
        Self::open_with(&options, "create", path).await
    }

    /// Makes a file to be written and read, which has no name any more: it is gone when it is dropped, also where
    /// the process is killed. `path` is its name for a moment, and must not be there.
    pub async fn scratch(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = Self::open_with(&options, "create", path).await?;
        remove(path).await?;
        Ok(file)
    }

    /// Opens a file to read.
    pub async fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        Self::open_with(options.read(true), "open", path).await
    }

    async fn open_with(options: &OpenOptions, doing: &'static str, path: &Path) -> Result<Self> {
        let inner = performed(doing, path, options.buffered_open(path)).await?;
        Ok(Self { inner, path: path.to_owned() })
    }

    /// Its path, as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length.
    pub async fn size(&self) -> Result<u64> {
        performed("examine", &self.path, self.inner.file_size()).await
    }

    /// Reads up to `length` bytes from `at` on and puts them behind what is in `out`. How many these were: fewer
    /// than `length` at the end of the file alone, none behind it.
    pub async fn read_at(&self, at: u64, length: usize, out: &mut Vec<u8>) -> Result<usize> {
        let mut read = 0;
        while read < length {
            let place = at + read as u64;
            let found =
                performed("read", &self.path, self.inner.read_at(place, length - read)).await?;
            if found.is_empty() {
                break;
            }
            out.extend_from_slice(&found);
            read += found.len();
        }
        Ok(read)
    }

    /// Writes all bytes at that place.
    pub async fn write_at(&self, bytes: Vec<u8>, at: u64) -> Result<()> {
        let wanted = bytes.len();
        let written = performed("write", &self.path, self.inner.write_at(bytes, at)).await?;
        if written == wanted {
            return Ok(());
        }
        // The kernel goes on by itself as long as it can; what ends it is a full disk, mostly.
        let text = format!("only {written} of {wanted} bytes could be written; is the disk full?");
        Err(FileError::new("write", &self.path, io::Error::new(io::ErrorKind::StorageFull, text)))
    }

    /// Waits until all that was written is on the disk.
    pub async fn sync(&self) -> Result<()> {
        performed("sync", &self.path, self.inner.fdatasync()).await
    }

    /// Closes it, and tells if that fails.
    pub async fn close(self) -> Result<()> {
        performed("close", &self.path, self.inner.close()).await
    }
}

/// Awaits something of the ring. Meanwhile the executor sleeps nowhere else: the ring would not be looked at.
async fn performed<T>(
    doing: &'static str,
    path: &Path,
    what: impl Future<Output = glommio::Result<T, ()>>,
) -> Result<T> {
    let wanting = task::Wanting::file();
    let outcome = what.await;
    drop(wanting);
    outcome.map_err(|error| {
        let source = match error {
            GlommioError::EnhancedIoError { source, .. } | GlommioError::IoError(source) => source,
            other => io::Error::other(other.to_string()),
        };
        FileError::new(doing, path, source)
    })
}

/// Appends to a file, a block at a time: it holds one block, and one more is on its way. What was written before goes
/// to the disk meanwhile.
#[derive(Debug)]
pub struct Appender {
    file: Rc<File>,
    block: Vec<u8>,
    /// Bytes in the file, or on their way there.
    written: u64,
    /// Of these, those that are on the disk, or on their way there.
    synced: u64,
    writing: Option<Task<Result<()>>>,
    syncing: Option<Task<Result<()>>>,
}

impl Appender {
    /// Makes a file that must not be there yet.
    pub async fn create_new(path: &Path) -> Result<Self> {
        Ok(Self::to(File::create_new(path).await?))
    }

    /// To a file that is empty.
    fn to(file: File) -> Self {
        let (file, block) = (Rc::new(file), Vec::new());
        Self { file, block, written: 0, synced: 0, writing: None, syncing: None }
    }

    /// How many bytes were appended.
    pub fn len(&self) -> u64 {
        self.written + self.block.len() as u64
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As it would append to a file that is there.
    #[cfg(test)]
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        Ok(Self::to(File::open_with(options.write(true), "open", path).await?))
    }

    /// As [`append`](Appender::append); what is long enough to be written by itself is not copied.
    pub async fn append_whole(&mut self, bytes: Vec<u8>) -> Result<()> {
        if bytes.len() < WHOLE_MIN {
            return self.append(&bytes).await;
        }
        self.flush().await?;
        self.block = bytes;
        self.flush().await
    }

    /// Appends bytes; waits where they make a block full and the one before is still on its way.
    pub async fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.block.is_empty() {
                self.block.reserve_exact(BLOCK);
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        outcome_of(&mut self.writing).await?;
        let block = std::mem::take(&mut self.block);
        let (file, at) = (self.file.clone(), self.written);
        self.written += block.len() as u64;
        self.writing = Some(spawn_local(async move { file.write_at(block, at).await }));
        if self.written - self.synced >= SYNC_EVERY {
            outcome_of(&mut self.syncing).await?;
            self.synced = self.written;
            let file = self.file.clone();
            self.syncing = Some(spawn_local(async move { file.sync().await }));
        }
        Ok(())
    }

    /// All that was appended is on the disk, and the file is closed. Its length.
    pub async fn finish(mut self) -> Result<u64> {
        self.flush().await?;
        outcome_of(&mut self.writing).await?;
        outcome_of(&mut self.syncing).await?;
        self.file.sync().await?;
        if let Some(file) = Rc::into_inner(self.file) {
            file.close().await?;
        }
        Ok(self.written)
    }
}

/// What became of something that was begun before, if there is such a thing.
async fn outcome_of(begun: &mut Option<Task<Result<()>>>) -> Result<()> {
    match begun.take() {
        Some(begun) => begun.await,
        None => Ok(()),
    }
}

/// Puts the file `from` in the place of `to`, which is one or the other also after the power has failed.
pub async fn replace(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    on_a_thread("rename", to.clone(), move || {
        std::fs::rename(&from, &to)?;
        std::fs::File::open(directory_of(&to))?.sync_all()
    })
    .await
}

/// The names that files have in the directory of `path` are on the disk.
pub async fn sync_directory(path: &Path) -> Result<()> {
    let directory = directory_of(path).to_owned();
    let opened = directory.clone();
    on_a_thread("sync", directory, move || std::fs::File::open(opened)?.sync_all()).await
}

/// What came of [`put_in_place`].
pub struct Placed<T> {
    /// What was written, or why it is not, for certain, in its place.
    pub outcome: std::result::Result<T, String>,
    /// It is not in its place, for certain, and gone.
    pub is_taken_back: bool,
}

/// What was `written` as `temp` takes the place of `to`; where it was not, or cannot be put there, `temp` goes.
pub async fn put_in_place<T>(
    temp: &Path,
    to: &Path,
    written: std::result::Result<T, String>,
) -> Placed<T> {
    let outcome = match written {
        Ok(what) => replace(temp, to).await.map(|()| what).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    let is_taken_back = outcome.is_err() && remove(temp).await.is_ok();
    Placed { outcome, is_taken_back }
}

/// Removes a file.
pub async fn remove(path: &Path) -> Result<()> {
    let gone = path.to_owned();
    on_a_thread("remove", path.to_owned(), move || std::fs::remove_file(gone)).await
}

/// The names of all that is in a directory, in their order; those that are no text are left out.
pub async fn names_in(directory: &Path) -> Result<Vec<String>> {
    let asked = directory.to_owned();
    on_a_thread("list", directory.to_owned(), move || {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(asked)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    })
    .await
}

/// The directory that a file is in.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Lets a thread of its own do what blocks. That is rare: a snapshot needs one or two.
async fn on_a_thread<T: Send + 'static>(
    doing: &'static str,
    path: PathBuf,
    what: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let mut slot = ReplySlot::new();
    let reply = slot.sender();
    let started = thread::Builder::new().name("files".to_owned()).spawn(move || {
        executor::unpin_thread();
        reply.send(what());
    });
    let outcome = match started {
        Ok(_) => slot.recv().await.unwrap_or_else(|| Err(io::Error::other("nobody could do it"))),
        Err(error) => Err(error),
    };
    outcome.map_err(|error| FileError::new(doing, &path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{Settings, executor::spawn};
    use std::os::unix::fs::PermissionsExt;

    /// A directory of a test's own below `root`, gone with it.
    struct Place(PathBuf);

    impl Place {
        fn below(root: &Path, name: &str) -> Self {
            let path = root.join(format!("damselfly-file-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a directory can be made");
            Self(path)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn run<F: Future<Output = ()> + 'static>(make: impl FnOnce() -> F + Send + 'static) {
        spawn(Settings::named("files"), make).expect("a thread").join().expect("no panic");
    }

    /// Bytes that tell where they stand.
    fn bytes(range: std::ops::Range<usize>) -> Vec<u8> {
        range.map(|at| (at / 251 + at % 251) as u8).collect()
    }

    #[test]
    fn what_was_appended_is_read_again_also_where_files_lie_in_memory() {
        let memory = Path::new("/dev/shm");
        let roots = [std::env::temp_dir(), memory.to_owned()];
        for root in roots.into_iter().filter(|root| root.is_dir()) {
            let place = Place::below(&root, "again");
            let path = place.0.join("temp");
            let to = place.0.join("whole");
            run(move || async move {
                let all = bytes(0..3 * BLOCK + 17);
                let mut appender = Appender::create_new(&path).await.unwrap();
                for piece in all.chunks(100_003) {
                    appender.append(piece).await.unwrap();
                }
                assert_eq!(appender.len(), all.len() as u64);
                assert_eq!(appender.finish().await.unwrap(), all.len() as u64);
                std::fs::write(&to, b"old").unwrap();
                replace(&path, &to).await.unwrap();
                assert_eq!(names_in(to.parent().unwrap()).await.unwrap(), ["whole"]);

                let file = File::open(&to).await.unwrap();
                assert_eq!(file.size().await.unwrap(), all.len() as u64);
                let mut out = b"before".to_vec();
                assert_eq!(file.read_at(5, 300_000, &mut out).await.unwrap(), 300_000);
                assert_eq!(&out[6..], &all[5..300_005]);
                let (end, mut out) = (all.len() as u64, Vec::new());
                assert_eq!(file.read_at(end - 3, 10, &mut out).await.unwrap(), 3);
                assert_eq!(file.read_at(end, 10, &mut out).await.unwrap(), 0);
                file.close().await.unwrap();
                remove(&to).await.unwrap();
                assert_eq!(File::open(&to).await.unwrap_err().kind(), io::ErrorKind::NotFound);
            });
        }
    }

    #[test]
    fn an_error_names_the_deed_the_file_and_what_the_system_said() {
        let place = Place::below(&std::env::temp_dir(), "errors");
        let path = place.0.join("there");
        std::fs::write(&path, b"x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        let gone = place.0.join("nowhere").join("file");
        run(move || async move {
            let error = File::create_new(&path).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            let error = Appender::create_new(&gone).await.unwrap_err().to_string();
            let expected = format!("cannot create {}: No such file or directory", gone.display());
            assert!(error.starts_with(&expected), "{error}");
            let error = replace(&gone, &path).await.unwrap_err().to_string();
            assert!(error.starts_with("cannot rename"), "{error}");
        });
    }

    #[test]
    fn a_full_disk_is_an_error_and_not_a_short_file() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        run(move || async move {
            let file = File::open_with(OpenOptions::new().write(true), "open", full).await.unwrap();
            let error = file.write_at(vec![0; 10], 0).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        });
    }
}
