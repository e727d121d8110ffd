//! From plain values and files to what sessions are made of.
//!
//! `load` reads and checks everything and only then returns; nothing that runs is touched. A
//! [`TlsStore`] swaps the result in whole, or keeps the old one and says why.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

use super::files::Files;
use super::pem::{self, Part};
use super::settings::{AuthClients, Passphrase, Protocols, TlsSettings};
use super::tickets;
use super::trust::Trust;
use super::verify::{ClientVerifier, MasterVerifier};
use super::x509::{Certificate, date_text};
use super::{TlsError, ciphers};

/// Dragonfly's words for a TLS link to a master with which this node could show nothing, and what is missing.
pub const NO_IDENTITY: &str = "No authentication method configured! Give --masterauth, or a certificate \
    and its key: --tls_cert_file and --tls_key_file, or --tls_client_cert_file and --tls_client_key_file";
/// Dragonfly's words for a TLS port that takes everybody although nobody said so, and what is missing.
pub const NO_AUTHENTICATION: &str = "TLS configured but no authentication method is used! Give \
    --requirepass, or --tls_ca_cert_file (or --tls_ca_cert_dir) to ask for certificates, or \
    --tls_auth_clients=no to let everybody in";

impl Protocols {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static TLS_12: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
        static TLS_13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
        match self {
            Protocols::Both => rustls::ALL_VERSIONS,
            Protocols::Tls12 => &TLS_12,
            Protocols::Tls13 => &TLS_13,
        }
    }
}

impl TlsSettings {
    fn path(path: &Option<PathBuf>) -> Option<&Path> {
        path.as_deref().filter(|path| !path.as_os_str().is_empty())
    }

    fn has_authorities(&self) -> bool {
        Self::path(&self.ca_cert_file).is_some() || Self::path(&self.ca_cert_dir).is_some()
    }

    fn provider(&self) -> Result<Arc<CryptoProvider>, TlsError> {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = ciphers::choose(&self.ciphers, &self.cipher_suites)?;
        Ok(Arc::new(provider))
    }

    fn given_trust(&self, provider: &CryptoProvider, now: UnixTime) -> Result<Trust, TlsError> {
        Trust::from_files(
            Self::path(&self.ca_cert_file),
            Self::path(&self.ca_cert_dir),
            provider.signature_verification_algorithms,
            now,
        )
    }
}

impl TlsSettings {
    /// The authority that expires first, of those given by file.
    fn authority(&self, trust: &Trust, now: UnixTime) -> Option<Identity> {
        let source = Self::path(&self.ca_cert_file).or(Self::path(&self.ca_cert_dir))?;
        trust.first_to_expire(now).map(|first| Identity::of(first, source))
    }

    /// What this node shows its master: the pair for links, else its own.
    fn keys_for_links(
        &self,
        has_password: bool,
        provider: &CryptoProvider,
        now: UnixTime,
    ) -> Result<Option<OwnKeys>, TlsError> {
        let path = TlsSettings::path;
        let (key, cert, passphrase, names) =
            match (path(&self.client_key_file), path(&self.client_cert_file)) {
                (None, None) => (
                    path(&self.key_file),
                    path(&self.cert_file),
                    &self.key_passphrase,
                    ["tls_key_file flag should be set", "tls_cert_file flag should be set"],
                ),
                (key, cert) => (
                    key,
                    cert,
                    &self.client_key_passphrase,
                    [
                        "tls_client_key_file flag should be set",
                        "tls_client_cert_file flag should be set",
                    ],
                ),
            };
        match (key, cert) {
            (Some(key), Some(cert)) => {
                OwnKeys::load(key, cert, passphrase.as_ref(), provider, now).map(Some)
            }
            (None, Some(_)) => Err(TlsError::of_pair(names[0])),
            (Some(_), None) => Err(TlsError::of_pair(names[1])),
            (None, None) if has_password => Ok(None),
            (None, None) => Err(TlsError::new(NO_IDENTITY)),
        }
    }
}

/// Who this node says it is, or an authority: for INFO (`tls_cert_*`) and the metric of seconds to expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The file or directory that it was read from.
    pub file: String,
    /// The subject of the certificate (RFC 4514).
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// First second of validity, since 1970.
    pub not_before: u64,
    /// Last second of validity, since 1970.
    pub not_after: u64,
}

impl Identity {
    fn of(certificate: &Certificate, file: &Path) -> Identity {
        Identity {
            file: file.display().to_string(),
            subject: certificate.subject(),
            issuer: certificate.issuer(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        }
    }

    /// The beginning of validity as OpenSSL prints it.
    pub fn not_before_text(&self) -> String {
        date_text(self.not_before)
    }

    /// The end of validity as OpenSSL prints it.
    pub fn not_after_text(&self) -> String {
        date_text(self.not_after)
    }

    /// Seconds until the certificate expires; negative afterwards.
    pub fn seconds_left(&self, now: SystemTime) -> i64 {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let whole = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        whole(self.not_after) - whole(now)
    }
}

/// Own certificate, chain and key, checked against each other and the clock.
struct OwnKeys {
    certified: CertifiedKey,
    identity: Identity,
}

impl OwnKeys {
    fn load(
        key_file: &Path,
        cert_file: &Path,
        passphrase: Option<&Passphrase>,
        provider: &CryptoProvider,
        now: UnixTime,
    ) -> Result<OwnKeys, TlsError> {
        let chain = pem::certificates(Part::Certificate, cert_file)?;
        let leaf = Certificate::parse(&chain[0]).map_err(|error| {
            Part::Certificate.error(cert_file, format_args!("cannot be understood: {error}"))
        })?;
        let key = pem::private_key(key_file, passphrase)?;
        let key = provider.key_provider.load_private_key(key).map_err(|error| {
            Part::Key.error(key_file, format_args!("holds a key that cannot be used: {error}"))
        })?;
        // CertifiedKey's own check goes through webpki, which does not open v1 certificates.
        if let Some(public) = key.public_key() {
            check_match(&leaf, &chain, &public, key_file, cert_file)?;
        }
        check_dates(&leaf, cert_file, now)?;
        let identity = Identity::of(&leaf, cert_file);
        Ok(OwnKeys { certified: CertifiedKey::new(chain, key), identity })
    }
}

fn check_match(
    leaf: &Certificate,
    chain: &[CertificateDer<'_>],
    public: &[u8],
    key_file: &Path,
    cert_file: &Path,
) -> Result<(), TlsError> {
    let belongs = |one: &Certificate| one.public_key().is_ok_and(|key| key.as_ref() == public);
    if belongs(leaf) {
        return Ok(());
    }
    let later = chain[1..].iter().any(|der| Certificate::parse(der).is_ok_and(|one| belongs(&one)));
    let hint = match later {
        true => " (its certificate stands further down in the file; it must be the first)",
        false => "",
    };
    let why = format!("does not match the certificate in '{}'{hint}", cert_file.display());
    Err(Part::Key.error(key_file, why))
}

fn check_dates(leaf: &Certificate, file: &Path, now: UnixTime) -> Result<(), TlsError> {
    let part = Part::Certificate;
    if now.as_secs() > leaf.not_after() {
        let why = format!("has expired on {}", date_text(leaf.not_after()));
        return Err(part.error(file, why));
    }
    if now.as_secs() < leaf.not_before() {
        let why = format!("is not yet valid: it begins on {}", date_text(leaf.not_before()));
        return Err(part.error(file, why));
    }
    Ok(())
}

/// A ticket may live for 7 days, says TLS 1.3.
const TICKET_LIFETIME_MAX: u64 = 7 * 24 * 3600;

/// What a listener needs to answer TLS clients.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    identity: Identity,
    authority: Option<Identity>,
}

impl ServerTls {
    /// Reads and checks all files. `has_password`: whether clients have to know a password.
    pub fn load(settings: &TlsSettings, has_password: bool) -> Result<ServerTls, TlsError> {
        let now = UnixTime::now();
        let Some(key_file) = TlsSettings::path(&settings.key_file) else {
            return Err(TlsError::new(
                "To use TLS, a server certificate must be provided with the --tls_key_file flag!",
            ));
        };
        let Some(cert_file) = TlsSettings::path(&settings.cert_file) else {
            return Err(TlsError::new("tls_cert_file flag should be set"));
        };
        let auth = client_policy(settings, has_password)?;
        let provider = settings.provider()?;
        // The file is checked also when nobody will be asked: what is named must be right.
        let trust = match settings.has_authorities() {
            true => Some(Arc::new(settings.given_trust(&provider, now)?)),
            false => None,
        };
        let authority = trust.as_ref().and_then(|trust| settings.authority(trust, now));
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(settings.protocols.versions())
            .map_err(|error| TlsError::new(format!("TLS: {error}")))?;
        // Last, so that an error about the pair says that all else is right.
        let passphrase = settings.key_passphrase.as_ref();
        let own = OwnKeys::load(key_file, cert_file, passphrase, &provider, now)?;
        let builder = match (auth, trust) {
            (AuthClients::No, _) | (_, None) => builder.with_no_client_auth(),
            (auth, Some(trust)) => {
                let roots = Arc::clone(trust.roots());
                let chains =
                    WebPkiClientVerifier::builder_with_provider(roots, provider).build().map_err(
                        |error| TlsError::new(format!("TLS: client authority: {error}")),
                    )?;
                let mandatory = auth == AuthClients::Yes;
                let verifier = ClientVerifier::new(trust, chains, mandatory);
                builder.with_client_cert_verifier(Arc::new(verifier))
            }
        };
        let mut config =
            builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified)));
        config.ignore_client_order = settings.prefer_server_ciphers;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let lifetime = settings.session_cache_timeout.as_secs().min(TICKET_LIFETIME_MAX);
        match settings.session_caching && lifetime > 0 {
            true => config.ticketer = tickets::tickets(lifetime as u32)?,
            false => config.send_tls13_tickets = 0,
        }
        Ok(ServerTls { config: Arc::new(config), identity: own.identity, authority })
    }

    /// The authority of clients that expires first, if any was given by file.
    pub fn authority(&self) -> Option<&Identity> {
        self.authority.as_ref()
    }

    /// Who this node says it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

/// Whether clients are asked for certificates, or why this would let everybody in. Whoever writes down
/// that certificates are not demanded wants that; what is open because nobody wrote anything is refused.
fn client_policy(settings: &TlsSettings, has_password: bool) -> Result<AuthClients, TlsError> {
    let has_authorities = settings.has_authorities();
    match settings.auth_clients {
        Some(AuthClients::Yes | AuthClients::Optional) if !has_authorities => {
            Err(TlsError::new("--tls_auth_clients needs --tls_ca_cert_file or --tls_ca_cert_dir"))
        }
        Some(policy) => Ok(policy),
        None if has_authorities => Ok(AuthClients::Yes),
        None if has_password => Ok(AuthClients::No),
        None => Err(TlsError::new(NO_AUTHENTICATION)),
    }
}

/// What a link to a master needs.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    identity: Option<Identity>,
    authority: Option<Identity>,
    expected_name: Option<String>,
}

impl ClientTls {
    /// Reads and checks all files. `has_password`: whether `masterauth` is set.
    pub fn load(settings: &TlsSettings, has_password: bool) -> Result<ClientTls, TlsError> {
        let now = UnixTime::now();
        let provider = settings.provider()?;
        let trust = match settings.has_authorities() {
            true => settings.given_trust(&provider, now)?,
            false => Trust::of_system(provider.signature_verification_algorithms)?,
        };
        let authority = settings.authority(&trust, now);
        let expected_name = settings.replication_expected_name.as_deref().unwrap_or_default();
        let expected_name = match expected_name.is_empty() {
            true => None,
            false => Some(server_name(expected_name).map(|_| expected_name.to_owned())?),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(settings.protocols.versions())
            .map_err(|error| TlsError::new(format!("TLS: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(MasterVerifier::new(Arc::new(trust))));
        let own = settings.keys_for_links(has_password, &provider, now)?;
        let (mut config, identity) = match own {
            Some(OwnKeys { certified, identity }) => {
                let resolver = Arc::new(SingleCertAndKey::from(certified));
                (builder.with_client_cert_resolver(resolver), Some(identity))
            }
            None => (builder.with_no_client_auth(), None),
        };
        // Links live long; each one shall prove anew who the master is.
        config.resumption = Resumption::disabled();
        Ok(ClientTls { config: Arc::new(config), identity, authority, expected_name })
    }

    /// The authority of the master that expires first, if any was given by file.
    pub fn authority(&self) -> Option<&Identity> {
        self.authority.as_ref()
    }

    /// Who this node says it is, if it shows a certificate.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// The name that a master reached as `host` has to prove.
    pub(crate) fn name_for(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        server_name(self.expected_name.as_deref().unwrap_or(host))
    }
}

/// A host name or an address as rustls wants it: lower case, no brackets, no zone, no final dot.
fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let bare = match bare.split_once('%') {
        Some((address, _zone)) if address.contains(':') => address,
        _ => bare,
    };
    let bare = bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase();
    ServerName::try_from(bare).map_err(|_| {
        let shown = host.escape_default();
        TlsError::new(format!("TLS: '{shown}' is no name that a certificate could carry"))
    })
}

/// Both directions as one configuration has them.
#[derive(Clone, Debug, Default)]
pub struct TlsContexts {
    /// With `--tls`: for clients that come.
    pub server: Option<Arc<ServerTls>>,
    /// With `--tls_replication`: for the link to the master.
    pub client: Option<Arc<ClientTls>>,
    /// How the files looked just before they were read.
    pub files: Files,
}

impl TlsContexts {
    /// Loads what `settings` turns on. `has_password`: clients need one; `has_master_password`:
    /// `masterauth` is set.
    pub fn load(
        settings: &TlsSettings,
        has_password: bool,
        has_master_password: bool,
    ) -> Result<TlsContexts, TlsError> {
        let mut contexts = TlsContexts { files: Files::look(settings), ..Default::default() };
        if settings.tls {
            contexts.server = Some(Arc::new(ServerTls::load(settings, has_password)?));
        }
        if settings.tls_replication {
            contexts.client = Some(Arc::new(ClientTls::load(settings, has_master_password)?));
        }
        Ok(contexts)
    }
}

/// The contexts in use, shared by all executors. Sessions keep the one they began with.
#[derive(Debug, Default)]
pub struct TlsStore {
    // Read once per connection and written once per reload: a lock is not felt.
    contexts: RwLock<TlsContexts>,
}

impl TlsStore {
    /// A store that begins with `contexts`.
    pub fn new(contexts: TlsContexts) -> TlsStore {
        TlsStore { contexts: RwLock::new(contexts) }
    }

    /// What new sessions are to be made of.
    pub fn current(&self) -> TlsContexts {
        // A poisoned lock still holds whole contexts: they are replaced by one assignment.
        self.contexts.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Loads anew and swaps both directions in at once; on an error everything stays as it was.
    pub fn reload(
        &self,
        settings: &TlsSettings,
        has_password: bool,
        has_master_password: bool,
    ) -> Result<(), TlsError> {
        let fresh = TlsContexts::load(settings, has_password, has_master_password)?;
        *self.contexts.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = fresh;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_name(host: &str, expected: Option<&str>) {
        let name = server_name(host).ok().map(|name| name.to_str().into_owned());
        assert_eq!(name.as_deref(), expected, "{host}");
    }

    #[test]
    fn host_names_and_addresses_lose_what_certificates_do_not_carry() {
        check_name("LOCALHOST", Some("localhost"));
        check_name("db.Example.com.", Some("db.example.com"));
        check_name("127.0.0.1", Some("127.0.0.1"));
        check_name("[::1]", Some("::1"));
        check_name("fe80::1%eth0", Some("fe80::1"));
        check_name("my_host", Some("my_host"));
        check_name("", None);
        check_name("two words", None);
    }
}
