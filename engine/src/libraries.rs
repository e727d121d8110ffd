//! Libraries of functions: kept as they came from a Redis, and handed on.
//!
//! ```text
//!   Libraries (one a node, all executors) ── a set, by name ── code, as FUNCTION LOAD was given it
//!                                        └─ a count of changes, for whoever hands it on
//! ```
//!
//! It promises that what was loaded is there, byte for byte, in snapshots, for replicas and for FUNCTION DUMP, and
//! that all of it together stays below [`BYTES_MAX`]. It runs nothing and knows no Lua: of the code it reads the
//! first line, where the name stands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Code and names of all libraries together. Those that people write have kilobytes; what is kept is told to each
/// replica when it begins, and held twice meanwhile.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is said where there is no room.
const TOO_LONG: &str = "libraries of functions have at most 64 MB together";

/// A library.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Library {
    /// What its functions are written in.
    pub engine: String,
    /// All of it, the first line too.
    pub code: Arc<[u8]>,
}

/// Libraries by name.
pub type Set = BTreeMap<String, Library>;

/// Those of a node.
#[derive(Debug, Default)]
pub struct Libraries {
    set: Mutex<Arc<Set>>,
    changes: AtomicU64,
}

/// What FUNCTION RESTORE does with those that are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// They go first.
    Flush,
    /// One of the same name is an error.
    Append,
    /// One of the same name is replaced.
    Replace,
}

/// A library and its name, out of its code: `#!lua name=NAME`.
pub fn named(code: Vec<u8>) -> Result<(String, Library), String> {
    let line = code.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_prefix(b"#!").ok_or("Missing library metadata")?;
    let line = std::str::from_utf8(line).map_err(|_| "Invalid library metadata")?;
    let mut words = line.split_ascii_whitespace();
    let engine = words.next().ok_or("Invalid library metadata")?.to_owned();
    let mut name = None;
    for word in words {
        match word.strip_prefix("name=") {
            Some(_) if name.is_some() => {
                return Err("Invalid metadata value, name argument was given multiple times".into());
            }
            Some(given) => name = Some(given.to_owned()),
            None => return Err(format!("Invalid metadata value given: {word}")),
        }
    }
    let name = name.ok_or("Library name was not given")?;
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_right) {
        return Err(
            "Library names can only contain letters, numbers, or underscores(_) and must be \
                    at least one character long"
                .to_owned(),
        );
    }
    Ok((name, Library { engine, code: code.into() }))
}

/// Bytes of libraries.
pub fn bytes(set: &Set) -> usize {
    set.iter().map(|(name, library)| name.len() + library.code.len()).sum()
}

impl Libraries {
    fn set(&self) -> MutexGuard<'_, Arc<Set>> {
        // A panic aborts the program, so a poisoned lock is never met.
        self.set.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// All of them, as they are now.
    pub fn all(&self) -> Arc<Set> {
        self.set().clone()
    }

    /// How often they have changed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Changes them, if `change` agrees and they stay within their bound.
    fn change<T>(&self, change: impl FnOnce(&mut Set) -> Result<T, String>) -> Result<T, String> {
        let mut held = self.set();
        let mut set = Set::clone(&held);
        let done = change(&mut set)?;
        if bytes(&set) > BYTES_MAX {
            return Err(TOO_LONG.to_owned());
        }
        *held = Arc::new(set);
        self.changes.fetch_add(1, Ordering::Release);
        Ok(done)
    }

    /// These, and no others.
    pub fn replace_all(&self, set: Set) -> Result<(), String> {
        if *self.all() == set {
            return Ok(());
        }
        self.change(|held| {
            *held = set;
            Ok(())
        })
    }

    /// One more; its name. One of that name is replaced, or an error.
    pub fn load(&self, code: Vec<u8>, replaces: bool) -> Result<String, String> {
        let (name, library) = named(code)?;
        self.change(|set| {
            if set.contains_key(&name) && !replaces {
                return Err(format!("Library '{name}' already exists"));
            }
            set.insert(name.clone(), library);
            Ok(name)
        })
    }

    /// One less; whether it was there.
    pub fn delete(&self, name: &str) -> bool {
        let deleted = self.change(|set| set.remove(name).ok_or_else(String::new));
        deleted.is_ok()
    }

    /// None any more.
    pub fn flush(&self) {
        // Nothing is never too much.
        let _ = self.replace_all(Set::new());
    }

    /// The libraries with these codes as well, or none of them.
    pub fn restore(&self, codes: Vec<Vec<u8>>, policy: Policy) -> Result<(), String> {
        self.change(|set| {
            if policy == Policy::Flush {
                set.clear();
            }
            let mut restored = Set::new();
            for code in codes {
                let (name, library) = named(code)?;
                let is_there = set.contains_key(&name) && policy != Policy::Replace;
                if is_there || restored.insert(name.clone(), library).is_some() {
                    return Err(format!("Library {name} already exists"));
                }
            }
            set.append(&mut restored);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(name: &str) -> Vec<u8> {
        format!("#!lua name={name}\nredis.register_function('f', f)").into_bytes()
    }

    #[test]
    fn a_library_is_named_by_its_first_line() {
        let (name, library) = named(code("lib_1")).expect("a library");
        assert_eq!((name.as_str(), library.engine.as_str()), ("lib_1", "lua"));
        assert_eq!(*library.code, code("lib_1"));
        for (code, said) in [
            ("return 1", "Missing library metadata"),
            ("#!lua\n", "Library name was not given"),
            ("#!\n", "Invalid library metadata"),
            ("#!lua name=a name=b", "multiple times"),
            ("#!lua foo=bar", "Invalid metadata value given: foo=bar"),
            ("#!lua name=a-b\n", "can only contain letters"),
            ("#!lua name=\n", "can only contain letters"),
        ] {
            let error = named(code.as_bytes().to_vec()).expect_err(code);
            assert!(error.contains(said), "{code}: {error}");
        }
    }

    #[test]
    fn libraries_are_loaded_deleted_and_restored_whole_or_not_at_all() {
        let libraries = Libraries::default();
        let names = || libraries.all().keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(libraries.load(code("a"), false), Ok("a".to_owned()));
        assert!(libraries.load(code("a"), false).is_err_and(|error| error.contains("exists")));
        assert_eq!(libraries.load(code("a"), true), Ok("a".to_owned()));
        let codes = || vec![code("b"), code("a")];
        assert!(libraries.restore(codes(), Policy::Append).is_err());
        assert_eq!(names(), "a");
        assert_eq!(libraries.restore(codes(), Policy::Replace), Ok(()));
        assert_eq!(names(), "a b");
        let twice = vec![code("c"), code("c")];
        assert!(libraries.restore(twice, Policy::Replace).is_err());
        assert_eq!(libraries.restore(vec![code("c")], Policy::Flush), Ok(()));
        assert_eq!(names(), "c");
        assert!(!libraries.delete("a") && libraries.delete("c"));
        let before = libraries.changes();
        libraries.flush();
        assert_eq!(libraries.changes(), before, "nothing has changed");
        let mut long = code("long");
        long.resize(BYTES_MAX, b' ');
        assert_eq!(libraries.load(long, false), Err(TOO_LONG.to_owned()));
        assert_eq!(names(), "");
    }
}
