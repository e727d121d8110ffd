//! What a configuration says about TLS, as plain values. Nothing here is read or checked yet.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::TlsError;

/// Where the passphrase of an encrypted key comes from.
#[derive(Clone)]
pub enum Passphrase {
    /// The first line of a file.
    File(PathBuf),
    /// The passphrase itself (from the environment, say).
    Value(Zeroizing<String>),
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Passphrase::File(path) => out.debug_tuple("File").field(path).finish(),
            Passphrase::Value(_) => out.write_str("Value(hidden)"),
        }
    }
}

/// Whether clients have to show a certificate (`--tls_auth_clients`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthClients {
    /// They must.
    Yes,
    /// They are not asked.
    No,
    /// They are asked and may decline; what they show must be right.
    Optional,
}

impl FromStr for AuthClients {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<AuthClients, TlsError> {
        match text.to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(AuthClients::Yes),
            "no" | "false" => Ok(AuthClients::No),
            "optional" => Ok(AuthClients::Optional),
            _ => Err(TlsError::new("--tls_auth_clients is one of yes, no, optional")),
        }
    }
}

/// The protocol versions that are spoken; older ones do not exist here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocols {
    /// TLS 1.2 and 1.3.
    #[default]
    Both,
    /// TLS 1.2 only.
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

impl FromStr for Protocols {
    type Err = TlsError;

    /// Redis's way to say it: a list of `TLSv1.2` and `TLSv1.3`; an empty one means both.
    fn from_str(text: &str) -> Result<Protocols, TlsError> {
        let (mut older, mut newer) = (false, false);
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "tlsv1.2" => older = true,
                "tlsv1.3" => newer = true,
                _ => {
                    let text = "the TLS versions there are: TLSv1.2 and TLSv1.3";
                    return Err(TlsError::new(text));
                }
            }
        }
        Ok(match (older, newer) {
            (true, false) => Protocols::Tls12,
            (false, true) => Protocols::Tls13,
            _ => Protocols::Both,
        })
    }
}

/// Everything about TLS that a configuration says, as plain values; an empty path is none.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// `--tls`: clients speak TLS on the main port.
    pub tls: bool,
    /// `--tls_replication`: this node speaks TLS towards its master.
    pub tls_replication: bool,
    /// `--tls_cert_file`: own certificate, followed by its intermediates.
    pub cert_file: Option<PathBuf>,
    /// `--tls_key_file`: own private key.
    pub key_file: Option<PathBuf>,
    /// Opens the private key when it is encrypted.
    pub key_passphrase: Option<Passphrase>,
    /// `--tls_client_cert_file`: the certificate for the link to the master, where it is another one.
    pub client_cert_file: Option<PathBuf>,
    /// `--tls_client_key_file`: its private key.
    pub client_key_file: Option<PathBuf>,
    /// Opens that key when it is encrypted.
    pub client_key_passphrase: Option<Passphrase>,
    /// `--tls_ca_cert_file`: authorities to believe.
    pub ca_cert_file: Option<PathBuf>,
    /// `--tls_ca_cert_dir`: a directory of them.
    pub ca_cert_dir: Option<PathBuf>,
    /// `--tls_auth_clients`; without it: yes when there is an authority, else no.
    pub auth_clients: Option<AuthClients>,
    /// `--tls_replication_expected_name`: the name the master's certificate has to carry, where
    /// that is not the host name of REPLICAOF.
    pub replication_expected_name: Option<String>,
    /// The protocol versions.
    pub protocols: Protocols,
    /// `--tls_ciphers`: for TLS 1.2, as OpenSSL writes it; empty means all.
    pub ciphers: String,
    /// `--tls_cipher_suites`: for TLS 1.3; empty means all.
    pub cipher_suites: String,
    /// `--tls_prefer_server_ciphers`.
    pub prefer_server_ciphers: bool,
    /// `--tls_session_caching`: clients may resume sessions.
    pub session_caching: bool,
    /// `--tls_session_cache_timeout`: for how long; less than a second turns it off.
    pub session_cache_timeout: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_versions_are_listed_as_redis_lists_them() {
        let read = |text: &str| text.parse::<Protocols>().ok();
        assert_eq!(read(""), Some(Protocols::Both));
        assert_eq!(read("TLSv1.2 TLSv1.3"), Some(Protocols::Both));
        assert_eq!(read("tlsv1.3"), Some(Protocols::Tls13));
        assert_eq!(read("TLSv1.2"), Some(Protocols::Tls12));
        assert_eq!(read("TLSv1.1"), None);
    }

    #[test]
    fn a_passphrase_is_not_printed() {
        let value = Passphrase::Value(Zeroizing::new("open sesame".to_owned()));
        assert_eq!(format!("{value:?}"), "Value(hidden)");
    }
}
