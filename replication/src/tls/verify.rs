//! The two verifiers that rustls asks: of the master's certificate, and of a client's.
//!
//! Whom to believe is `trust`'s business. Here: the name, and the signature in the handshake, which
//! for X.509 v1 is checked with the bare key because webpki would not open the certificate.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved,
    SignatureScheme,
};

use super::explain::{self, refuse};
use super::trust::Trust;
use super::x509::{Certificate, CertifiedName, PublicKey, Version};

/// Verifies the server of an outgoing link: chain, dates, name.
#[derive(Debug)]
pub(crate) struct MasterVerifier {
    trust: Arc<Trust>,
}

impl MasterVerifier {
    pub(crate) fn new(trust: Arc<Trust>) -> MasterVerifier {
        MasterVerifier { trust }
    }

    fn check_name(
        &self,
        whole: &CertificateDer<'_>,
        leaf: Option<&Certificate>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let fits = match leaf {
            Some(leaf) if self.trust.common_name_counts(leaf, now) => {
                leaf.names().iter().any(|certified| matches(certified, name))
            }
            // A v1 certificate has no alternative names; without a CN that counts it has no name.
            Some(leaf) if leaf.version() == Version::V1 => false,
            _ => verify_server_name(&ParsedCertificate::try_from(whole)?, name).is_ok(),
        };
        match fits {
            true => Ok(()),
            false => {
                let text = explain::wrong_name(&name.to_str(), leaf);
                Err(refuse(CertificateError::NotValidForName, text))
            }
        }
    }
}

impl ServerCertVerifier for MasterVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = Certificate::parse(end_entity).ok();
        let who = format!("certificate of '{}'", server_name.to_str());
        self.trust.check(leaf.as_ref(), &who, now, || {
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                self.trust.roots(),
                intermediates,
                now,
                self.trust.algorithms().all,
            )
        })?;
        self.check_name(end_entity, leaf.as_ref(), server_name, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        handshake_signature_12(message, certificate, signed, self.trust.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        handshake_signature_13(message, certificate, signed, self.trust.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms().supported_schemes()
    }
}

/// Verifies the certificates of clients: chain and dates; a client has no name to check.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    trust: Arc<Trust>,
    chains: Arc<dyn ClientCertVerifier>,
    mandatory: bool,
}

impl ClientVerifier {
    /// `chains` is webpki's verifier over the same roots.
    pub(crate) fn new(
        trust: Arc<Trust>,
        chains: Arc<dyn ClientCertVerifier>,
        mandatory: bool,
    ) -> ClientVerifier {
        ClientVerifier { trust, chains, mandatory }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let leaf = Certificate::parse(end_entity).ok();
        let who = match &leaf {
            Some(leaf) => format!("client certificate '{}'", leaf.subject()),
            None => "client certificate".to_owned(),
        };
        self.trust.check(leaf.as_ref(), &who, now, || {
            self.chains.verify_client_cert(end_entity, intermediates, now).map(|_| ())
        })?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        handshake_signature_12(message, certificate, signed, self.trust.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        handshake_signature_13(message, certificate, signed, self.trust.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms().supported_schemes()
    }
}

/// The certificate, when it is one that webpki does not open.
fn version_1(certificate: &CertificateDer<'_>) -> Option<Certificate> {
    Certificate::parse(certificate).ok().filter(|one| one.version() == Version::V1)
}

fn handshake_signature_13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    match version_1(certificate) {
        None => verify_tls13_signature(message, certificate, signed, algorithms),
        Some(old) => {
            let key = old.public_key().map_err(|_| CertificateError::BadEncoding)?;
            verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
        }
    }
}

fn handshake_signature_12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let Some(old) = version_1(certificate) else {
        return verify_tls12_signature(message, certificate, signed, algorithms);
    };
    let key = PublicKey::of(&old).ok_or(CertificateError::BadEncoding)?;
    let (_, candidates) = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    // In TLS 1.2 an ECDSA scheme names no curve, so there may be several algorithms to one scheme;
    // the key's own kind picks among them.
    let mut fitting = candidates.iter().filter(|one| key.fits(**one));
    match fitting.any(|one| key.verifies(*one, message, signed.signature())) {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(CertificateError::BadSignature.into()),
    }
}

/// Whether a name out of a certificate (here always a CN) is the one that was asked for.
fn matches(certified: &CertifiedName, wanted: &ServerName<'_>) -> bool {
    match (certified, wanted) {
        (CertifiedName::Address(certified), ServerName::IpAddress(wanted)) => {
            *certified == IpAddr::from(*wanted)
        }
        (CertifiedName::Host(certified), ServerName::DnsName(wanted)) => {
            host_matches(certified, wanted.as_ref())
        }
        _ => false,
    }
}

/// Case-blind equality of host names; a first label of `*` stands for exactly one label, and only
/// above two more (`*.com` is nobody's).
fn host_matches(certified: &str, wanted: &str) -> bool {
    let certified = certified.strip_suffix('.').unwrap_or(certified);
    let wanted = wanted.strip_suffix('.').unwrap_or(wanted);
    match certified.strip_prefix("*.") {
        None => !certified.is_empty() && certified.eq_ignore_ascii_case(wanted),
        Some(suffix) if suffix.contains('.') => wanted
            .split_once('.')
            .is_some_and(|(first, rest)| !first.is_empty() && rest.eq_ignore_ascii_case(suffix)),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(certified: &str, wanted: &str, expected: bool) {
        let certified = match certified.parse() {
            Ok(address) => CertifiedName::Address(address),
            Err(_) => CertifiedName::Host(certified.to_owned()),
        };
        let name = ServerName::try_from(wanted).expect("a test name");
        assert_eq!(matches(&certified, &name), expected, "{certified} for '{wanted}'");
    }

    #[test]
    fn a_common_name_is_compared_case_blind_and_label_by_label() {
        check("localhost", "localhost", true);
        check("LocalHost", "LOCALHOST", true);
        check("db.example.com.", "db.example.com", true);
        check("localhost", "localhost.example.com", false);
        check("", "localhost", false);
        check("*.example.com", "db.example.com", true);
        check("*.Example.com", "DB.example.COM", true);
        check("*.example.com", "a.b.example.com", false);
        check("*.example.com", "example.com", false);
        check("*.com", "example.com", false);
        check("*", "localhost", false);
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("::1", "::1", true);
        check("localhost", "127.0.0.1", false);
    }
}
