//! Whom we believe: the authorities that were given by file, or the system's roots.
//!
//! webpki decides about v3 certificates and chains. Two further roads are open to authorities that
//! were given by file, and to them alone:
//! - an X.509 v1 certificate that one of them signed directly (v1 has no extensions, so there is
//!   nothing in it that could be overlooked);
//! - a certificate that itself stands in the file: a self-signed server certificate that is its own
//!   authority.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};

use super::TlsError;
use super::explain::{self, refuse};
use super::pem::{self, Part};
use super::x509::{Certificate, SignatureCheck, Version, date_text};

/// The authorities of one configuration.
#[derive(Debug)]
pub(crate) struct Trust {
    roots: Arc<RootCertStore>,
    /// Those given by file, parsed; empty when the system's roots decide.
    given: Vec<Certificate>,
    /// For error texts: where the authorities came from.
    source: String,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// The authorities of a file and of all PEM files of a directory.
    pub(crate) fn from_files(
        file: Option<&Path>,
        directory: Option<&Path>,
        algorithms: WebPkiSupportedAlgorithms,
        now: UnixTime,
    ) -> Result<Trust, TlsError> {
        let mut trust = Trust {
            roots: Arc::new(RootCertStore::empty()),
            given: Vec::new(),
            source: String::new(),
            algorithms,
        };
        let mut roots = RootCertStore::empty();
        if let Some(file) = file {
            for one in pem::certificates(Part::Authorities, file)? {
                trust.add(&mut roots, &one).map_err(|why| Part::Authorities.error(file, why))?;
            }
        }
        if let Some(directory) = directory {
            trust.add_directory(&mut roots, directory)?;
        }
        let sources: Vec<String> = [file, directory]
            .iter()
            .flatten()
            .map(|path| format!("'{}'", path.display()))
            .collect();
        trust.source = sources.join(" and ");
        trust.must_not_all_be_expired(file.or(directory), now)?;
        trust.roots = Arc::new(roots);
        Ok(trust)
    }

    /// The system's roots; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured.
    pub(crate) fn of_system(algorithms: WebPkiSupportedAlgorithms) -> Result<Trust, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let why = match found.errors.first() {
                Some(error) => format!("the system's roots cannot be read: {error}"),
                None => "the system has no root certificates".to_owned(),
            };
            return Err(TlsError::new(format!(
                "TLS: no --tls_ca_cert_file or --tls_ca_cert_dir is given and {why}"
            )));
        }
        let source = "the roots of the system".to_owned();
        Ok(Trust { roots: Arc::new(roots), given: Vec::new(), source, algorithms })
    }

    fn add(&mut self, roots: &mut RootCertStore, one: &CertificateDer<'_>) -> Result<(), String> {
        roots
            .add(one.clone().into_owned())
            .map_err(|error| format!("holds a certificate that cannot be read: {error}"))?;
        // What webpki reads and x509-cert does not is an authority for webpki's road only.
        if let Ok(parsed) = Certificate::parse(one) {
            self.given.push(parsed);
        }
        Ok(())
    }

    /// Directories hold what they hold (keys, notes, links by hash): only files with certificates
    /// count, and one that cannot be used is passed over with a warning.
    fn add_directory(&mut self, roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
        let part = Part::Authorities;
        let unreadable = |error| part.error(path, format_args!("cannot be read: {error}"));
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            names.push(entry.map_err(unreadable)?.path());
        }
        names.sort();
        let before = roots.len();
        for name in names.iter().filter(|name| name.is_file()) {
            let outcome =
                pem::read(part, name).and_then(|bytes| match pem::holds_certificates(&bytes) {
                    true => pem::certificates_in(part, name, &bytes),
                    false => Ok(Vec::new()),
                });
            let added = outcome.and_then(|found| {
                found.iter().try_for_each(|one| {
                    // The links by hash would bring everything twice.
                    if self.given.iter().any(|known| known.der() == one.as_ref()) {
                        return Ok(());
                    }
                    self.add(roots, one).map_err(|why| part.error(name, why))
                })
            });
            if let Err(error) = added {
                log::warn!("{error}; passed over");
            }
        }
        match roots.len() > before {
            true => Ok(()),
            false => Err(part.error(path, "holds no .pem file with a certificate")),
        }
    }

    fn must_not_all_be_expired(&self, path: Option<&Path>, now: UnixTime) -> Result<(), TlsError> {
        let last = self.given.iter().map(Certificate::not_after).max();
        match (last, path) {
            (Some(last), Some(path)) if last < now.as_secs() => {
                let why = format!("holds only expired authorities (on {})", date_text(last));
                Err(Part::Authorities.error(path, why))
            }
            _ => Ok(()),
        }
    }

    /// The authority given by file that expires first, of those that have not expired.
    pub(crate) fn first_to_expire(&self, now: UnixTime) -> Option<&Certificate> {
        let live = self.given.iter().filter(|one| one.not_after() >= now.as_secs());
        live.min_by_key(|one| one.not_after())
    }

    /// The trust anchors for webpki.
    pub(crate) fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }

    /// The signature algorithms that are accepted.
    pub(crate) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }

    /// Decides about the certificate of the other side, except for its name. `leaf` is `None` when
    /// only webpki could read it; `chain` asks webpki.
    pub(crate) fn check(
        &self,
        leaf: Option<&Certificate>,
        who: &str,
        now: UnixTime,
        chain: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        match leaf {
            Some(leaf) if self.holds(leaf) => check_dates(leaf, who, now),
            Some(leaf) if leaf.version() == Version::V1 => {
                check_dates(leaf, who, now)?;
                self.signed_directly(leaf, now).map_err(|why| self.refusal(leaf, who, why))
            }
            _ => chain().map_err(|error| explain::webpki_refusal(error, leaf, who, &self.source)),
        }
    }

    /// Whether the CN of this certificate counts when it has no alternative names.
    pub(crate) fn common_name_counts(&self, leaf: &Certificate, now: UnixTime) -> bool {
        !leaf.has_alternative_names()
            && (self.holds(leaf) || self.signed_directly(leaf, now).is_ok())
    }

    fn holds(&self, leaf: &Certificate) -> bool {
        self.given.iter().any(|one| one.der() == leaf.der())
    }

    fn signed_directly(&self, leaf: &Certificate, now: UnixTime) -> Result<(), DirectRefusal> {
        let mut why = DirectRefusal::Unknown;
        for authority in self.given.iter().filter(|one| leaf.names_as_issuer(one)) {
            if !authority.is_authority() {
                why = DirectRefusal::NoAuthority;
                continue;
            }
            match leaf.signed_by(authority, self.algorithms.all) {
                SignatureCheck::Good if is_current(authority, now) => return Ok(()),
                SignatureCheck::Good => why = DirectRefusal::AuthorityExpired,
                SignatureCheck::Wrong => why = DirectRefusal::WrongSignature,
                SignatureCheck::Unsupported => why = DirectRefusal::Unsupported,
            }
        }
        Err(why)
    }

    fn refusal(&self, leaf: &Certificate, who: &str, why: DirectRefusal) -> Error {
        let (issuer, source) = (leaf.issuer(), &self.source);
        if self.given.is_empty() {
            let text = format!(
                "{who} is X.509 v1 ({issuer}), for which only an authority of \
                 --tls_ca_cert_file can vouch"
            );
            return refuse(CertificateError::UnknownIssuer, text);
        }
        let (error, text) = match why {
            DirectRefusal::Unknown => {
                (CertificateError::UnknownIssuer, explain::unknown_authority(who, &issuer, source))
            }
            DirectRefusal::NoAuthority => (
                CertificateError::UnknownIssuer,
                format!("{who} is signed by {issuer}, which is not marked as an authority"),
            ),
            DirectRefusal::WrongSignature => {
                (CertificateError::BadSignature, explain::wrong_signature(who, &issuer, source))
            }
            DirectRefusal::AuthorityExpired => (
                CertificateError::Expired,
                format!("{who} is signed by {issuer}, which is expired or not yet valid"),
            ),
            DirectRefusal::Unsupported => (
                CertificateError::UnknownIssuer,
                format!(
                    "{who} is signed by {issuer} in a way that is not accepted (SHA-1, or RSA \
                     below 2048 bits)"
                ),
            ),
        };
        refuse(error, text)
    }
}

/// Why no given authority vouches directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DirectRefusal {
    Unknown,
    NoAuthority,
    WrongSignature,
    AuthorityExpired,
    Unsupported,
}

fn is_current(certificate: &Certificate, now: UnixTime) -> bool {
    (certificate.not_before()..=certificate.not_after()).contains(&now.as_secs())
}

fn check_dates(leaf: &Certificate, who: &str, now: UnixTime) -> Result<(), Error> {
    if now.as_secs() > leaf.not_after() {
        return Err(refuse(CertificateError::Expired, explain::expired(who, leaf.not_after())));
    }
    if now.as_secs() < leaf.not_before() {
        let text = explain::not_yet_valid(who, leaf.not_before());
        return Err(refuse(CertificateError::NotValidYet, text));
    }
    Ok(())
}
