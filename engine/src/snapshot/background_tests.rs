use super::*;
use crate::command::Registry;
use crate::exec::Node;
use crate::rt::executor::{self, Priority, Settings};
use crate::rt::{file, mailbox, sleep, spawn_local};
use crate::shard::Message;
use crate::types::Millis;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs a task on the executor of replication of a node without shards, beside one for files.
fn run<F: Future<Output = ()> + 'static>(task: impl FnOnce(Rc<Front>) -> F + Send + 'static) {
    let ((to_us, ours), (to_files, theirs)) = (mailbox::<Message>(), mailbox::<Message>());
    let registry = Box::leak(Box::new(Registry::new(crate::commands::families())));
    let node = Arc::new(Node::new(vec![to_us, to_files], 0, 1, 7, registry));
    let front = |id: ExecutorId, node: Arc<Node>| Front::new(id, node, None, || Millis(0));
    let of_files = node.clone();
    let files = move || async move {
        front(ExecutorId::files(0), of_files).serve_mailbox(theirs, |_| {}).await;
    };
    // For as long as the process lives.
    drop(executor::spawn(Settings::named("files").of(Priority::Low), files).expect("a thread"));
    let us = move || async move {
        let front = front(ExecutorId::replication(0), node);
        let served = front.clone();
        spawn_local(async move { served.serve_mailbox(ours, |_| {}).await }).detach();
        task(front).await;
    };
    executor::spawn(Settings::named("asks"), us).expect("a thread").join().expect("no panic");
}

fn place(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("damselfly-{name}-{}", std::process::id()))
}

/// How many descriptors of this process are of that file, which may be gone.
fn open_at(path: &Path) -> usize {
    let all = std::fs::read_dir("/proc/self/fd").expect("a list");
    let links = all.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with(&*path.to_string_lossy())).count()
}

#[test]
fn pieces_of_all_sizes_are_in_the_file_in_their_order() {
    let path = place("pieces");
    let pieces = [0, 1, 70_000, 3, 200_000, file::BLOCK, 5, 3 * file::BLOCK + 1, 64 * 1024];
    let pieces = pieces.iter().enumerate();
    let all: Vec<Vec<u8>> = pieces.map(|(at, length)| vec![at as u8 + 1; *length]).collect();
    for is_urgent in [false, true] {
        let (written, sent) = (path.clone(), all.clone());
        run(move |front| async move {
            let mut out = Out::create_new(&front, &written, is_urgent).await.expect("a file");
            let length = sent.iter().map(Vec::len).sum::<usize>() as u64;
            for piece in sent {
                out.append(piece).await.expect("it is written");
            }
            out.append_end().await.expect("it is written");
            assert_eq!(out.finish().await.expect("it is on the disk"), length + 9);
            let again = Out::create_new(&front, &written, is_urgent).await;
            let error = again.err().expect("it is there already").kind();
            assert_eq!(error, io::ErrorKind::AlreadyExists);
        });
        let found = std::fs::read(&path).expect("a file");
        let (bytes, end) = found.split_at(found.len() - 9);
        assert_eq!(bytes, all.concat(), "{is_urgent}");
        assert_eq!(end, file_write::end(Crc::of(bytes)), "{is_urgent}");
        std::fs::remove_file(&path).expect("it was there");
    }
}

/// The story: an executor that ended with the file did not close it, and what was written of a snapshot that failed kept
/// its place on the disk.
#[test]
fn a_file_that_is_given_up_is_closed() {
    let path = place("given-up");
    let written = path.clone();
    run(move |front| async move {
        for pieces in [0, 1, 5] {
            let mut out = Out::create_new(&front, &written, false).await.expect("a file");
            for _ in 0..pieces {
                out.append(vec![7; file::BLOCK]).await.expect("it is written");
            }
            assert_eq!(open_at(&written), 1);
            drop(out);
            std::fs::remove_file(&written).expect("it was there");
            let until = Instant::now() + Duration::from_secs(30);
            while open_at(&written) > 0 {
                assert!(Instant::now() < until, "it stays open after {pieces} pieces");
                sleep(Duration::from_millis(5)).await;
            }
        }
    });
}

#[test]
fn what_cannot_be_written_is_told_soon_and_at_the_end_at_the_latest() {
    // The device is there already: the task's own beginning is left out.
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    run(move |_| async move {
        let ((pieces, theirs), (outcomes, ours)) = (mailbox(), mailbox());
        let out = Appender::open(full).await.expect("it is there");
        spawn_local(take(out, theirs, outcomes)).detach();
        let path = full.to_owned();
        let mut out = BackgroundAppender { path, pieces, outcomes: ours, under_way: 0 };
        let mut told = None;
        for _ in 0..10 {
            told = out.append(Piece::Bytes(vec![0; file::BLOCK])).await.err();
            if told.is_some() {
                break;
            }
        }
        let told = told.expect("an error within a few pieces");
        assert_eq!(told.kind(), io::ErrorKind::StorageFull, "{told}");
        assert!(out.finish().await.is_err());
    });
}
