//! Where the bytes of a file go: to the file at once, or to an executor that writes it behind everything else.
//!
//! ```text
//!   whoever has the bytes                            executor "files", of low priority
//!   append ── pieces, a few under way ─────────────► Appender ─► ring ─► kernel's cache ─► disk
//!          ◄───────────────── what became of them ── ┘
//! ```
//!
//! Putting megabytes into the kernel's cache is work by the 100 us that nobody interrupts: on the executor of replication it
//! would keep replicas waiting, and on whichever CPU it runs, the shard or the client that wants to run there. So an
//! executor does it that goes behind them, and that gives the CPU up as soon as one of them wakes. It is not starved: where
//! all CPUs are busy, it has a tenth of one, which writes some 50 MB/s. It sums, too. While the last snapshot is written
//! nobody may write, and whoever stops the node waits for it: that one is not left to it. Nor are the files of single shards,
//! which are asked for where one executor would be too few.

use crate::exec::Front;
use crate::rdb::{Crc, file_write};
use crate::rt::file::FileError;
use crate::rt::{Appender, Receiver, Sender, mailbox};
use crate::shard::ExecutorId;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Pieces that are under way: one is written, one waits, and the next is made meanwhile.
const UNDER_WAY_MAX: usize = 2;

type Result<T> = std::result::Result<T, FileError>;

/// A file that is appended to.
pub(super) enum Out {
    /// By this executor; with the sum of what was appended.
    Here(Appender, Crc),
    /// By that for files, which sums as well.
    Background(BackgroundAppender),
}

impl Out {
    /// Makes a file that must not be there yet.
    pub(super) async fn create_new(front: &Rc<Front>, path: &Path, is_urgent: bool) -> Result<Out> {
        match is_urgent {
            true => Out::here(path).await,
            false => Ok(Out::Background(BackgroundAppender::create_new(front, path).await?)),
        }
    }

    /// The same, of this executor in any case.
    pub(super) async fn here(path: &Path) -> Result<Out> {
        Ok(Out::Here(Appender::create_new(path).await?, Crc::default()))
    }

    /// Appends bytes; waits while there are enough under way. An error is of these or of earlier ones.
    pub(super) async fn append(&mut self, bytes: Vec<u8>) -> Result<()> {
        match self {
            Out::Here(out, crc) => {
                crc.add(&bytes);
                out.append_whole(bytes).await
            }
            Out::Background(out) => out.append(Piece::Bytes(bytes)).await,
        }
    }

    /// Appends what a file of this form ends with; how long that is.
    pub(super) async fn append_end(&mut self) -> Result<u64> {
        match self {
            Out::Here(out, crc) => out.append_whole(file_write::end(*crc)).await?,
            Out::Background(out) => out.append(Piece::Sum).await?,
        }
        Ok(file_write::END_BYTES)
    }

    /// All that was appended is on the disk, and the file is closed. Its length.
    pub(super) async fn finish(self) -> Result<u64> {
        match self {
            Out::Here(out, _) => out.finish().await,
            Out::Background(out) => out.finish().await,
        }
    }
}

/// See the module's doc. Where it is dropped before its end, what was written stays behind.
pub(super) struct BackgroundAppender {
    path: PathBuf,
    pieces: Sender<Piece>,
    /// How long the file is behind each piece, and at the end.
    outcomes: Receiver<Result<u64>>,
    under_way: usize,
}

enum Piece {
    Bytes(Vec<u8>),
    /// What a file ends with, behind all of these.
    Sum,
    /// There is no more: all of it is to be on the disk.
    End,
}

impl BackgroundAppender {
    async fn create_new(front: &Rc<Front>, path: &Path) -> Result<Self> {
        let ((pieces, theirs), (outcomes, ours)) = (mailbox(), mailbox());
        let made = path.to_owned();
        let files = ExecutorId::files(front.node.shards());
        // It goes on by itself; its end is the last outcome.
        drop(front.have_run(files, move |_| write(made, theirs, outcomes)));
        let path = path.to_owned();
        let mut appender = Self { path, pieces, outcomes: ours, under_way: 0 };
        appender.outcome().await?;
        Ok(appender)
    }

    async fn append(&mut self, piece: Piece) -> Result<()> {
        self.send(piece);
        while self.under_way > UNDER_WAY_MAX {
            self.outcome().await?;
            self.under_way -= 1;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<u64> {
        self.send(Piece::End);
        let mut length = 0;
        for _ in 0..self.under_way {
            length = self.outcome().await?;
        }
        Ok(length)
    }

    fn send(&mut self, piece: Piece) {
        // Where nobody takes it any more, the next outcome says so.
        let _ = self.pieces.push(piece);
        self.under_way += 1;
    }

    async fn outcome(&mut self) -> Result<u64> {
        let ended = || io::Error::other("nobody writes it any more");
        let outcome = self.outcomes.recv().await;
        outcome.unwrap_or_else(|| Err(FileError::new("write", &self.path, ended())))
    }
}

/// On the executor for files: all that it does for one.
async fn write(path: PathBuf, pieces: Receiver<Piece>, outcomes: Sender<Result<u64>>) {
    match Appender::create_new(&path).await {
        Ok(out) => {
            let _ = outcomes.push(Ok(0));
            take(out, pieces, outcomes).await;
        }
        Err(error) => drop(outcomes.push(Err(error))),
    }
}

/// Takes pieces up to the end, or to the first error.
async fn take(mut out: Appender, mut pieces: Receiver<Piece>, outcomes: Sender<Result<u64>>) {
    let mut crc = Crc::default();
    while let Some(piece) = pieces.recv().await {
        let bytes = match piece {
            Piece::Bytes(bytes) => {
                crc.add(&bytes);
                bytes
            }
            Piece::Sum => file_write::end(crc),
            Piece::End => return drop(outcomes.push(out.finish().await)),
        };
        let outcome = out.append_whole(bytes).await.map(|()| out.len());
        let is_over = outcome.is_err();
        if outcomes.push(outcome).is_err() || is_over {
            return;
        }
    }
}

#[cfg(test)]
#[path = "background_tests.rs"]
mod tests;
