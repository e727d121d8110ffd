//! What a certificate says, for the questions that webpki leaves open: its version, names, dates,
//! key, and whether one given authority signed it.
//!
//! Parsing is `x509-cert`'s; the signed bytes are cut out of the DER as they came, so that a
//! signature is checked over what was signed and never over a re-encoding.

use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use x509_cert::TbsCertificate;
use x509_cert::der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use x509_cert::der::{self, DateTime, Decode, Encode, Reader, SliceReader, Tag, Tagged};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// A name that a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CertifiedName {
    /// A host name, possibly with a wildcard as its first label.
    Host(String),
    /// An address.
    Address(IpAddr),
}

impl CertifiedName {
    fn from_text(text: String) -> CertifiedName {
        match text.parse() {
            Ok(address) => CertifiedName::Address(address),
            Err(_) => CertifiedName::Host(text),
        }
    }
}

impl std::fmt::Display for CertifiedName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CertifiedName::Host(name) => write!(out, "'{}'", name.escape_default()),
            CertifiedName::Address(address) => write!(out, "'{address}'"),
        }
    }
}

/// The X.509 versions there are; webpki knows only the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
    V3,
}

/// Whether an authority's key made a certificate's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureCheck {
    Good,
    Wrong,
    /// No algorithm of the provider fits signature and key (SHA-1, RSA below 2048 bits, DSA).
    Unsupported,
}

/// One parsed certificate.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    whole: Vec<u8>,
    signed: Vec<u8>,
    signature_algorithm: Vec<u8>,
    signature: Vec<u8>,
    body: TbsCertificate,
}

impl Certificate {
    /// Takes a certificate apart. The text of the error is `der`'s.
    pub(crate) fn parse(whole: &[u8]) -> Result<Certificate, der::Error> {
        let mut outer = SliceReader::new(whole)?;
        let (signed, algorithm, signature) = outer.sequence(|inside| {
            let signed = inside.tlv_bytes()?;
            let algorithm = AnyRef::decode(inside)?;
            let signature = BitStringRef::decode(inside)?;
            Ok::<_, der::Error>((signed, algorithm, signature))
        })?;
        outer.finish()?;
        let signature = signature.as_bytes().ok_or_else(|| Tag::BitString.value_error())?;
        let body = TbsCertificate::from_der(signed)?;
        // What calls itself v1 has no extensions; otherwise a critical one could hide there.
        let is_old = body.version() == x509_cert::Version::V1;
        let has_more = body.extensions().is_some()
            || body.issuer_unique_id().is_some()
            || body.subject_unique_id().is_some();
        if is_old && has_more {
            return Err(Tag::Integer.value_error().into());
        }
        Ok(Certificate {
            whole: whole.to_vec(),
            signed: signed.to_vec(),
            signature_algorithm: algorithm.value().to_vec(),
            signature: signature.to_vec(),
            body,
        })
    }

    /// The DER of the whole certificate.
    pub(crate) fn der(&self) -> &[u8] {
        &self.whole
    }

    pub(crate) fn version(&self) -> Version {
        match self.body.version() {
            x509_cert::Version::V1 => Version::V1,
            x509_cert::Version::V2 => Version::V2,
            x509_cert::Version::V3 => Version::V3,
        }
    }

    /// The subject as RFC 4514 writes it, for people.
    pub(crate) fn subject(&self) -> String {
        readable(&self.body.subject().to_string())
    }

    /// The issuer as RFC 4514 writes it, for people.
    pub(crate) fn issuer(&self) -> String {
        readable(&self.body.issuer().to_string())
    }

    /// First second of validity, since 1970.
    pub(crate) fn not_before(&self) -> u64 {
        self.body.validity().not_before.to_unix_duration().as_secs()
    }

    /// Last second of validity, since 1970.
    pub(crate) fn not_after(&self) -> u64 {
        self.body.validity().not_after.to_unix_duration().as_secs()
    }

    /// The public key, as rustls wants it.
    pub(crate) fn public_key(&self) -> Result<SubjectPublicKeyInfoDer<'static>, der::Error> {
        Ok(SubjectPublicKeyInfoDer::from(self.body.subject_public_key_info().to_der()?))
    }

    /// Whether there is a subject alternative name at all: then the CN does not count.
    pub(crate) fn has_alternative_names(&self) -> bool {
        !matches!(self.body.get_extension::<SubjectAltName>(), Ok(None))
    }

    /// Every name this certificate is for: the alternative names, or without any the CN.
    pub(crate) fn names(&self) -> Vec<CertifiedName> {
        match self.body.get_extension::<SubjectAltName>() {
            Ok(Some((_, SubjectAltName(names)))) => {
                names.iter().filter_map(alternative_name).collect()
            }
            Ok(None) => self.common_names().into_iter().map(CertifiedName::from_text).collect(),
            Err(_) => Vec::new(),
        }
    }

    fn common_names(&self) -> Vec<String> {
        let attributes = self.body.subject().iter().filter(|one| one.oid == COMMON_NAME);
        attributes.filter_map(|one| directory_text(one.value.tag(), one.value.value())).collect()
    }

    /// Whether this certificate may sign others: v1 and self-signed (there was no way to say it
    /// then), or v3 and marked as an authority.
    pub(crate) fn is_authority(&self) -> bool {
        match self.version() {
            Version::V1 => self.body.issuer() == self.body.subject(),
            Version::V2 => false,
            Version::V3 => {
                let marked = matches!(
                    self.body.get_extension::<BasicConstraints>(),
                    Ok(Some((_, constraints))) if constraints.ca
                );
                let may_sign = match self.body.get_extension::<KeyUsage>() {
                    Ok(Some((_, usage))) => usage.key_cert_sign(),
                    Ok(None) => true,
                    Err(_) => false,
                };
                marked && may_sign
            }
        }
    }

    /// Whether the issuer's name is the subject of `authority`; says nothing about the signature.
    pub(crate) fn names_as_issuer(&self, authority: &Certificate) -> bool {
        self.body.issuer() == authority.body.subject()
    }

    /// Checks this certificate's signature with the key of `authority`.
    pub(crate) fn signed_by(
        &self,
        authority: &Certificate,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> SignatureCheck {
        // The algorithm stands twice, inside and outside of what is signed; only the inner one is
        // protected, so they must be the same.
        let Some(inner) = sequence_contents(self.body.signature()) else {
            return SignatureCheck::Wrong;
        };
        if inner != self.signature_algorithm {
            return SignatureCheck::Wrong;
        }
        let key = PublicKey::of(authority);
        let Some(key) = key else { return SignatureCheck::Unsupported };
        let mut fitting = algorithms
            .iter()
            .filter(|one| one.signature_alg_id().as_ref() == self.signature_algorithm)
            .filter(|one| key.fits(**one))
            .peekable();
        if fitting.peek().is_none() {
            return SignatureCheck::Unsupported;
        }
        match fitting.any(|one| key.verifies(*one, &self.signed, &self.signature)) {
            true => SignatureCheck::Good,
            false => SignatureCheck::Wrong,
        }
    }
}

/// A public key in the two pieces that a verification algorithm compares and uses.
pub(crate) struct PublicKey {
    algorithm: Vec<u8>,
    bits: Vec<u8>,
}

impl PublicKey {
    /// The key in a certificate, if it is whole bytes.
    pub(crate) fn of(certificate: &Certificate) -> Option<PublicKey> {
        let info = certificate.body.subject_public_key_info();
        let algorithm = sequence_contents(&info.algorithm)?;
        let bits = info.subject_public_key.as_bytes()?.to_vec();
        Some(PublicKey { algorithm, bits })
    }

    /// Whether `algorithm` works on keys of this kind.
    pub(crate) fn fits(&self, algorithm: &dyn SignatureVerificationAlgorithm) -> bool {
        algorithm.public_key_alg_id().as_ref() == self.algorithm
    }

    /// Whether the signature over `message` was made with this key.
    pub(crate) fn verifies(
        &self,
        algorithm: &dyn SignatureVerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        algorithm.verify_signature(&self.bits, message, signature).is_ok()
    }
}

/// A date as OpenSSL prints it: `Nov 22 22:14:25 2027 GMT`.
pub(crate) fn date_text(seconds: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    match DateTime::from_unix_duration(Duration::from_secs(seconds)) {
        Ok(date) => format!(
            "{} {:2} {:02}:{:02}:{:02} {} GMT",
            MONTHS[usize::from(date.month().clamp(1, 12)) - 1],
            date.day(),
            date.hour(),
            date.minutes(),
            date.seconds(),
            date.year(),
        ),
        // Beyond the year 9999.
        Err(_) => format!("{seconds} s after 1970"),
    }
}

/// An algorithm identifier without its outer header: that is how rustls' algorithms are labelled.
fn sequence_contents(identifier: &impl Encode) -> Option<Vec<u8>> {
    let whole = identifier.to_der().ok()?;
    Some(AnyRef::from_der(&whole).ok()?.value().to_vec())
}

fn alternative_name(name: &GeneralName) -> Option<CertifiedName> {
    match name {
        GeneralName::DnsName(name) => Some(CertifiedName::Host(name.as_str().to_owned())),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let sixteen = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
            four.or(sixteen).ok().map(CertifiedName::Address)
        }
        _ => None,
    }
}

/// The string types of a distinguished name. Teletex strings are only read where they are ASCII.
fn directory_text(tag: Tag, bytes: &[u8]) -> Option<String> {
    match tag {
        Tag::Utf8String => std::str::from_utf8(bytes).ok().map(str::to_owned),
        Tag::PrintableString | Tag::Ia5String | Tag::TeletexString => {
            bytes.is_ascii().then(|| String::from_utf8_lossy(bytes).into_owned())
        }
        Tag::BmpString => {
            let units = bytes.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]]));
            char::decode_utf16(units).collect::<Result<String, _>>().ok()
        }
        _ => None,
    }
}

/// Names come from the other side: no control characters in log lines or replies, and no novels.
fn readable(text: &str) -> String {
    const LONGEST: usize = 512;
    text.chars().map(|one| if one.is_control() { '?' } else { one }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A self-signed v3 certificate as DER.
    fn certificate() -> Vec<u8> {
        let line = "req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -outform DER \
                    -subj /O=Works/CN=localhost -addext subjectAltName=DNS:db.example.com,IP:::1";
        let output = Command::new("openssl").args(line.split_whitespace()).output();
        let output = output.expect("openssl is needed for this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    #[test]
    fn a_certificate_tells_its_names_and_its_standing() {
        let parsed = Certificate::parse(&certificate()).expect("openssl's certificate");
        assert_eq!(parsed.version(), Version::V3);
        assert_eq!(parsed.subject(), "CN=localhost,O=Works");
        assert_eq!(parsed.issuer(), parsed.subject());
        let names: Vec<String> = parsed.names().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["'db.example.com'", "'::1'"]);
        assert!(parsed.is_authority() && parsed.names_as_issuer(&parsed));
        let algorithms = rustls::crypto::aws_lc_rs::default_provider();
        let algorithms = algorithms.signature_verification_algorithms.all;
        assert_eq!(parsed.signed_by(&parsed, algorithms), SignatureCheck::Good);
        assert_eq!(parsed.signed_by(&parsed, &[]), SignatureCheck::Unsupported);
        let mut altered = parsed.clone();
        *altered.signed.last_mut().expect("signed bytes") ^= 1;
        assert_eq!(altered.signed_by(&parsed, algorithms), SignatureCheck::Wrong);
    }

    #[test]
    fn extensions_in_what_calls_itself_version_1_are_refused() {
        let whole = certificate();
        // 30 82 len len | 30 82 len len | A0 03 02 01 02 | ...: the version is taken out.
        assert_eq!(whole[8..13], [0xa0, 0x03, 0x02, 0x01, 0x02]);
        let mut older = whole.clone();
        older.drain(8..13);
        for at in [2, 6] {
            let length = u16::from_be_bytes([older[at], older[at + 1]]) - 5;
            older[at..at + 2].copy_from_slice(&length.to_be_bytes());
        }
        TbsCertificate::from_der(Certificate::parse(&whole).expect("as it was").signed.as_slice())
            .expect("the signed part by itself");
        let error = Certificate::parse(&older).expect_err("v1 with extensions");
        assert_eq!(error.kind(), Tag::Integer.value_error(), "{error}");
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let whole = certificate();
        for _ in 0..3000 {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(bytes.len() / 2..=bytes.len()));
            if let Ok(parsed) = Certificate::parse(&bytes) {
                let _ = (parsed.names(), parsed.is_authority(), parsed.subject());
                assert!(parsed.subject().chars().all(|one| !one.is_control()), "seed {seed}");
                let _ = (date_text(parsed.not_after()), parsed.public_key());
            }
        }
    }

    #[test]
    fn dates_look_as_openssl_prints_them() {
        assert_eq!(date_text(0), "Jan  1 00:00:00 1970 GMT");
        assert_eq!(date_text(1_795_385_665), "Nov 22 22:14:25 2026 GMT");
        assert_eq!(date_text(u64::MAX), "18446744073709551615 s after 1970");
    }
}
