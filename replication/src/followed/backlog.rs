//! The last bytes of the stream: for those who follow and have not been sent them yet, and for those who come back.
//!
//! ```text
//!   first                                                  end = bytes of the stream so far
//!     [ chunk ][ chunk ][ chunk ][ chunk ][ chunk, growing ]
//!                  ^ a follower          ^ another
//! ```
//!
//! Whoever reads names the byte: nobody has a copy of its own. Memory comes and goes with the chunks. How much is kept
//! says who trims.

use std::collections::VecDeque;

/// Bytes of one chunk: what is trimmed at once.
const CHUNK: usize = 64 * 1024;

/// See the module's doc.
#[derive(Debug)]
pub struct Backlog {
    chunks: VecDeque<Vec<u8>>,
    first: u64,
    end: u64,
}

impl Backlog {
    /// Of a stream that has so many bytes, none of which are here.
    pub fn new(at: u64) -> Backlog {
        Backlog { chunks: VecDeque::new(), first: at, end: at }
    }

    /// How many bytes the stream had before the first that is here.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// How many bytes the stream has.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// How many are here.
    pub fn len(&self) -> u64 {
        self.end - self.first
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.first == self.end
    }

    /// Whether somebody who has so many bytes of the stream can go on from here.
    pub fn reaches(&self, at: u64) -> bool {
        (self.first..=self.end).contains(&at)
    }

    /// More of the stream.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.end += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK) {
                self.chunks.push_back(Vec::with_capacity(CHUNK));
            }
            let Some(last) = self.chunks.back_mut() else { return };
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - last.len()));
            last.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Lets go of what is more than so much, a chunk at a time: at the most one chunk more is kept.
    pub fn trim(&mut self, most: u64) {
        while let Some(oldest) = self.chunks.front()
            && self.len() - oldest.len() as u64 >= most
            && self.chunks.len() > 1
        {
            self.first += oldest.len() as u64;
            self.chunks.pop_front();
        }
    }

    /// Appends up to so many bytes from `at` on; `false` where they are not here any more.
    pub fn read(&self, at: u64, most: usize, out: &mut Vec<u8>) -> bool {
        if !self.reaches(at) {
            return false;
        }
        // All chunks but the last are full, and the first begins where the backlog does.
        let mut offset = (at - self.first) as usize;
        let mut left = most;
        while left > 0 {
            let Some(chunk) = self.chunks.get(offset / CHUNK) else { break };
            let rest = &chunk[(offset % CHUNK).min(chunk.len())..];
            if rest.is_empty() {
                break;
            }
            let taken = rest.len().min(left);
            out.extend_from_slice(&rest[..taken]);
            (offset, left) = (offset + taken, left - taken);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_pushed_and_what_was_trimmed_is_not_there() {
        let seed = std::env::var("SEED").map_or(7, |seed| seed.parse().expect("a number"));
        println!("SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let start = random.u64(..1000);
        let (mut backlog, mut all) = (Backlog::new(start), Vec::new());
        for _ in 0..200 {
            let piece: Vec<u8> = (0..random.usize(..20_000)).map(|_| random.u8(..)).collect();
            backlog.push(&piece);
            all.extend_from_slice(&piece);
            let most = random.u64(..300_000);
            backlog.trim(most);
            assert!(backlog.len() <= most.max(1) + 2 * CHUNK as u64, "{} {most}", backlog.len());
            assert_eq!(backlog.end(), start + all.len() as u64);
            let at = start + random.u64(..=all.len() as u64);
            let (wanted, mut read) = (random.usize(1..200_000), Vec::new());
            assert_eq!(backlog.read(at, wanted, &mut read), at >= backlog.first());
            if at >= backlog.first() {
                let from = (at - start) as usize;
                assert_eq!(read, all[from..(from + wanted).min(all.len())]);
            }
        }
        assert!(!backlog.read(backlog.end() + 1, 1, &mut Vec::new()));
    }
}
