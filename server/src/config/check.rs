//! What settings may not be together, whatever each of them is.
//!
//! Asked at the start, before anything is touched, and by every `CONFIG SET`, before it applies. The
//! texts about TLS are Dragonfly's. What the certificate files hold is the TLS room's question.

use super::Config;
use super::cron::Cron;
use super::typed::TlsAuthClients;
use replication::tls::{NO_AUTHENTICATION, NO_IDENTITY, Protocols, judge_ciphers};
use std::net::IpAddr;
use std::time::Duration;

/// Why a configuration is refused, and the setting to look at first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The setting's name.
    pub setting: &'static str,
    /// A sentence for the operator.
    pub reason: String,
}

impl Refusal {
    /// A refusal that names its setting.
    pub fn new(setting: &'static str, reason: impl Into<String>) -> Refusal {
        Refusal { setting, reason: reason.into() }
    }
}

type Check = fn(&Config) -> Option<(&'static str, &'static str)>;

/// In the order in which an operator should hear of them.
const CHECKS: &[Check] = &[
    nothing_to_listen_on,
    one_port_twice,
    socket_permissions,
    tls_key_and_certificate,
    tls_without_any_authentication,
    tls_passphrase_twice,
    tls_replication_identity,
    tls_versions,
    more_shards_than_threads,
    prefix_of_metrics,
    snapshot_file,
    save_points,
    log_that_holds_nothing,
];

impl Config {
    /// Whether these settings can be together.
    pub fn check(&self) -> Result<(), Refusal> {
        match CHECKS.iter().find_map(|check| check(self)) {
            Some((setting, reason)) => Err(Refusal::new(setting, reason)),
            None => self.check_ciphers().and_then(|()| self.check_cron()),
        }
    }

    fn check_cron(&self) -> Result<(), Refusal> {
        let read = self.snapshot_minutes().transpose();
        read.map(drop).map_err(|reason| Refusal::new("snapshot_cron", reason))
    }

    /// When a snapshot is written by the clock, if that is wanted.
    pub fn snapshot_minutes(&self) -> Option<Result<Cron, String>> {
        (!self.snapshot_cron.trim().is_empty()).then(|| self.snapshot_cron.parse())
    }

    /// Also while TLS is off: what is set now is in force at the next start, which would fail.
    fn check_ciphers(&self) -> Result<(), Refusal> {
        let lists = [
            ("tls_ciphers", self.tls_ciphers.as_str(), ""),
            ("tls_cipher_suites", "", self.tls_cipher_suites.as_str()),
        ];
        lists.into_iter().try_for_each(|(setting, older, newer)| {
            let judged = judge_ciphers(older, newer);
            judged.map_err(|error| {
                let (text, flag) = (error.to_string(), format!("--{setting}: "));
                Refusal::new(setting, text.strip_prefix(&flag).unwrap_or(&text))
            })
        })
    }

    /// What is allowed, and should be known: a sentence each, for the log at the start. `protected`: an
    /// empty `bind` is the loopback.
    pub fn warnings(&self, protected: bool) -> Vec<String> {
        let admin = admin_port_open_to_all(self).filter(|_| !protected);
        [tls_open_to_all(self), admin].into_iter().flatten().collect()
    }

    /// Whether a CA is configured rather than the system's roots.
    pub fn has_tls_ca(&self) -> bool {
        !self.tls_ca_cert_file.is_empty() || !self.tls_ca_cert_dir.is_empty()
    }

    /// When snapshots are written by themselves: so many changes, and so long after the last one. `None` where the
    /// setting does not say that.
    pub fn save_points(&self) -> Option<Vec<(Duration, u64)>> {
        let (pairs, rest) = self.save.as_chunks::<2>();
        let point = |[seconds, changes]: &[String; 2]| {
            let seconds = seconds.parse::<u32>().ok().filter(|seconds| *seconds > 0)?;
            Some((Duration::from_secs(u64::from(seconds)), changes.parse::<u32>().ok()?.into()))
        };
        rest.is_empty().then(|| pairs.iter().map(point).collect()).flatten()
    }

    /// How many shards to run on a machine with `cpus` CPUs for this process: `num_shards`, else
    /// `proactor_threads`, else one per CPU less the one for replication.
    pub fn shard_count(&self, cpus: usize) -> usize {
        match (self.num_shards, self.proactor_threads) {
            (0, 0) => cpus.saturating_sub(1).max(1),
            (0, threads) => usize::from(threads),
            (shards, _) => usize::from(shards),
        }
    }
}

fn nothing_to_listen_on(config: &Config) -> Option<(&'static str, &'static str)> {
    let nothing = config.port == 0 && config.admin_port == 0 && config.unixsocket.is_empty();
    nothing.then_some((
        "port",
        "there is nothing to listen on: port, admin_port and unixsocket are off",
    ))
}

fn one_port_twice(config: &Config) -> Option<(&'static str, &'static str)> {
    let same = config.admin_port != 0 && config.port == i32::from(config.admin_port);
    same.then_some(("admin_port", "port and admin_port must be different"))
}

fn socket_permissions(config: &Config) -> Option<(&'static str, &'static str)> {
    let text = &config.unixsocketperm;
    let right = text.is_empty() || u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o777);
    (!right).then_some(("unixsocketperm", "permissions must be octal digits, at most 777"))
}

fn snapshot_file(config: &Config) -> Option<(&'static str, &'static str)> {
    let name = &config.dbfilename;
    let is_path = name.contains('/') || matches!(name.as_str(), "." | "..");
    is_path.then_some(("dbfilename", "dbfilename can't be a path, just a filename"))
}

fn save_points(config: &Config) -> Option<(&'static str, &'static str)> {
    config.save_points().is_none().then_some(("save", "Invalid save parameters"))
}

fn tls_key_and_certificate(config: &Config) -> Option<(&'static str, &'static str)> {
    let (key, cert) = (!config.tls_key_file.is_empty(), !config.tls_cert_file.is_empty());
    match (config.tls, key, cert) {
        (true, false, _) => Some((
            "tls_key_file",
            "To use TLS, a server certificate must be provided with the --tls_key_file flag!",
        )),
        (true, true, false) => Some(("tls_cert_file", "tls_cert_file flag should be set")),
        // Without TLS they are two names that may be set one after the other.
        _ => None,
    }
}

fn tls_without_any_authentication(config: &Config) -> Option<(&'static str, &'static str)> {
    if config.tls && config.tls_auth_clients == TlsAuthClients::Yes && !config.has_tls_ca() {
        return Some((
            "tls_auth_clients",
            "client certificates cannot be checked without tls_ca_cert_file or tls_ca_cert_dir",
        ));
    }
    // `tls_auth_clients=no` was written by somebody who wants exactly that (the log says what it means);
    // auto was written by nobody, and a port open to the world should not come from forgetting.
    let open = config.tls && config.requirepass.is_empty() && !config.has_tls_ca();
    let forgotten = config.tls_auth_clients != TlsAuthClients::No;
    (open && forgotten).then_some(("tls", NO_AUTHENTICATION))
}

fn tls_passphrase_twice(config: &Config) -> Option<(&'static str, &'static str)> {
    let twice = !config.tls_key_file_pass.is_empty() && !config.tls_key_file_pass_file.is_empty();
    twice.then_some((
        "tls_key_file_pass_file",
        "tls_key_file_pass and tls_key_file_pass_file cannot both be given",
    ))
}

fn tls_replication_identity(config: &Config) -> Option<(&'static str, &'static str)> {
    let nothing = config.tls_key_file.is_empty()
        && config.tls_client_key_file.is_empty()
        && config.masterauth.is_empty();
    (config.tls_replication && nothing).then_some(("tls_replication", NO_IDENTITY))
}

fn tls_versions(config: &Config) -> Option<(&'static str, &'static str)> {
    let known = config.tls_protocols.parse::<Protocols>().is_ok();
    (!known).then_some(("tls_protocols", "the TLS versions there are: TLSv1.2 and TLSv1.3"))
}

/// Everybody who reaches the port may use it, with the certificates of nobody.
fn tls_open_to_all(config: &Config) -> Option<String> {
    let unasked = matches!(config.tls_auth_clients, TlsAuthClients::No | TlsAuthClients::Optional);
    (config.tls && unasked && config.requirepass.is_empty()).then(|| {
        format!(
            "--tls_auth_clients={} without --requirepass: whoever reaches the port may use it",
            config.tls_auth_clients.word()
        )
    })
}

/// Everybody who reaches the admin port may use it, and read what others do with it.
fn admin_port_open_to_all(config: &Config) -> Option<String> {
    let hosts = if config.admin_bind.is_empty() { &config.bind } else { &config.admin_bind };
    let is_private = !hosts.is_empty() && hosts.iter().all(|host| is_loopback(host));
    let is_plain = !config.tls || config.no_tls_on_admin_port;
    let no_password = config.requirepass.is_empty() || config.admin_nopass;
    (config.admin_port != 0 && is_plain && no_password && !is_private).then(|| {
        let switch = if config.tls { " (--no_tls_on_admin_port)" } else { "" };
        let password = match config.admin_nopass {
            true => "do without --admin_nopass",
            false => "say --requirepass",
        };
        format!(
            "the admin port {} takes commands of everybody in plaintext{switch} and without a \
             password: say --admin_bind with an address of a private network, or {password}",
            config.admin_port
        )
    })
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('-').trim_matches(['[', ']']);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn more_shards_than_threads(config: &Config) -> Option<(&'static str, &'static str)> {
    let more = config.proactor_threads != 0 && config.num_shards > config.proactor_threads;
    more.then_some(("num_shards", "num_shards must not be larger than proactor_threads"))
}

fn prefix_of_metrics(config: &Config) -> Option<(&'static str, &'static str)> {
    let prefix = &config.metrics_prefix;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let right = prefix.starts_with(|c: char| c.is_ascii_alphabetic()) && prefix.chars().all(plain);
    (!right).then_some((
        "metrics_prefix",
        "metrics_prefix must be letters, digits and underscores, a letter first",
    ))
}

/// A log of some milliseconds: every replica would fall out of it at once.
fn log_that_holds_nothing(config: &Config) -> Option<(&'static str, &'static str)> {
    const AGE_MIN: Duration = Duration::from_secs(1);
    let age = config.shard_repl_backlog_time_ms;
    let is_too_short = !age.is_zero() && age < AGE_MIN;
    is_too_short.then_some(("shard_repl_backlog_time_ms", "it must be 0 or at least 1000"))
}

#[cfg(test)]
mod tests {
    use super::super::command_line::tests::config_of;

    /// The name of the setting that the flags are refused for; nothing when they are taken.
    fn check(flags: &str, refused: &str) {
        let got = config_of(flags).check().err().map(|refusal| refusal.setting).unwrap_or_default();
        assert_eq!(got, refused, "{flags}");
    }

    #[test]
    fn settings_that_cannot_be_together_are_refused() {
        check("", "");
        check("--port=0", "port");
        check("--port=0 --admin_port=1", "");
        check("--port=7000 --admin_port=7000", "admin_port");
        check("--unixsocketperm=778", "unixsocketperm");
        check("--unixsocketperm=1777", "unixsocketperm");
        check("--unixsocketperm=770", "");
        check("--tls", "tls_key_file");
        check("--tls --tls_key_file=k", "tls_cert_file");
        check("--tls_cert_file=c", "");
        check("--tls --tls_cert_file=c", "tls_key_file");
        check("--tls_protocols=TLSv1.1", "tls_protocols");
        check("--tls_protocols=TLSv1.3", "");
        check("--tls_ciphers=abc", "tls_ciphers");
        check("--tls_ciphers=!HIGH", "tls_ciphers");
        check("--tls_ciphers=DEFAULT:!MEDIUM", "");
        check("--tls_cipher_suites=abc", "tls_cipher_suites");
        check("--tls_cipher_suites=TLS_AES_256_GCM_SHA384", "");
        check("--tls --tls_key_file=k --tls_cert_file=c", "tls");
        check("--tls --tls_key_file=k --tls_cert_file=c --requirepass=p", "");
        check("--tls --tls_key_file=k --tls_cert_file=c --tls_ca_cert_file=ca", "");
        check("--tls --tls_key_file=k --tls_cert_file=c --tls_auth_clients=no", "");
        check(
            "--tls --tls_key_file=k --tls_cert_file=c --requirepass=p --tls_auth_clients=yes",
            "tls_auth_clients",
        );
        check("--tls_key_file_pass=a --tls_key_file_pass_file=b", "tls_key_file_pass_file");
        check("--tls_replication", "tls_replication");
        check("--tls_replication --masterauth=p", "");
        check("--tls_replication --tls_client_key_file=k --tls_client_cert_file=c", "");
        check("--tls_replication --tls_key_file=k --tls_cert_file=c", "");
        check("--proactor_threads=2 --num_shards=3", "num_shards");
        check("--shard_repl_backlog_time_ms=999", "shard_repl_backlog_time_ms");
        check("--shard_repl_backlog_time_ms=1000", "");
    }

    #[test]
    fn what_is_open_to_everybody_is_said() {
        let check = |flags: &str, part: &str| {
            let said = config_of(flags).warnings(false).join("\n");
            assert_eq!(said.is_empty(), part.is_empty(), "{flags}: {said}");
            assert!(said.contains(part), "{flags}: {said}");
        };
        let pair = "--tls --tls_key_file=k --tls_cert_file=c";
        check("", "");
        check(&format!("{pair} --requirepass=p"), "");
        check(&format!("{pair} --tls_auth_clients=no"), "--tls_auth_clients=no without");
        check(&format!("{pair} --tls_auth_clients=no --requirepass=p"), "");
        let ca = format!("{pair} --tls_ca_cert_file=ca");
        check(&format!("{ca} --tls_auth_clients=optional"), "--tls_auth_clients=optional without");
        check(&format!("{ca} -admin_port=6380"), "");
        check(
            &format!("{ca} -admin_port=6380 --no_tls_on_admin_port=true"),
            "the admin port 6380 takes commands of everybody in plaintext (--no_tls_on_admin_port)",
        );
        let open = format!("{ca} -admin_port=6380 --no_tls_on_admin_port=true");
        check(&format!("{open} --requirepass=p"), "");
        check(&format!("{open} --requirepass=p --admin_nopass"), "--admin_bind");
        check(&format!("{open} --admin_bind=127.0.0.1"), "");
        check(&format!("{open} --bind=127.0.0.1,::1"), "");
        check(&format!("{open} --bind=127.0.0.1 --admin_bind=10.0.0.1"), "--admin_bind");
        check("--admin_port=6380", "plaintext and without a password");
    }

    #[test]
    fn shards_follow_the_flags_and_then_the_machine() {
        let check = |flags: &str, cpus, want| {
            assert_eq!(config_of(flags).shard_count(cpus), want, "{flags} on {cpus}");
        };
        check("", 1, 1);
        check("", 2, 1);
        check("", 8, 7);
        check("--proactor_threads=3", 8, 3);
        check("--proactor_threads=3 --num_shards=2", 8, 2);
        check("--num_shards=5", 2, 5);
    }
}
