//! What the files of a configuration look like from outside: whether they are those that were loaded.
//!
//! A look costs a few system calls and reads nothing. Files that are replaced (another inode, also behind
//! a link) and files that are rewritten in place (time of change, size) both look different.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::settings::{Passphrase, TlsSettings};

/// The looks of all files of a configuration, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(Vec<(PathBuf, Option<Stamp>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Files {
    /// Looks now.
    pub fn look(settings: &TlsSettings) -> Files {
        let mut files = Files::default();
        let passphrases = [&settings.key_passphrase, &settings.client_key_passphrase];
        let passphrases = passphrases.into_iter().map(|passphrase| match passphrase {
            Some(Passphrase::File(path)) => Some(path),
            _ => None,
        });
        let paths = [
            &settings.cert_file,
            &settings.key_file,
            &settings.client_cert_file,
            &settings.client_key_file,
            &settings.ca_cert_file,
            &settings.ca_cert_dir,
        ];
        for path in paths.into_iter().map(Option::as_ref).chain(passphrases).flatten() {
            files.add(path);
        }
        if let Some(directory) = &settings.ca_cert_dir {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            let mut names: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            names.sort();
            names.iter().for_each(|name| files.add(name));
        }
        files
    }

    fn add(&mut self, path: &Path) {
        let stamp = fs::metadata(path).ok().map(|facts| Stamp {
            device: facts.dev(),
            inode: facts.ino(),
            bytes: facts.size(),
            written: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
        });
        self.0.push((path.to_owned(), stamp));
    }
}
