//! Reading keys, certificates and passphrases from files, with an error that names file and step.
//!
//! Keys: PKCS#8, PKCS#1, SEC1, and encrypted PKCS#8 (PBES2: AES or 3DES under PBKDF2 or scrypt).
//! PEM only. Not read: DER, PKCS#12, OpenSSL's legacy `Proc-Type: 4,ENCRYPTED` form, for which the
//! error shows the line that converts it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument, pkcs5};
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::TlsError;
use super::settings::Passphrase;

/// A key, a chain or a bundle of authorities is far below this (the public roots are 250 KiB): what
/// is larger is the wrong file, and reading it would only fill memory.
const LARGEST_FILE: u64 = 8 << 20;

/// What a file is for; decides how its errors begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Key,
    Certificate,
    Authorities,
    Passphrase,
}

impl Part {
    /// An error about `file`, beginning with Dragonfly's words.
    pub(crate) fn error(self, file: &Path, why: impl std::fmt::Display) -> TlsError {
        let what = match self {
            Part::Key => "TLS key",
            Part::Certificate => "TLS certificate",
            Part::Authorities => "TLS verify locations (CA cert file or CA cert dir)",
            Part::Passphrase => "passphrase of the TLS key",
        };
        let text = format!("Failed to load {what}: '{}' {why}", file.display());
        if self == Part::Authorities { TlsError::new(text) } else { TlsError::of_pair(text) }
    }
}

/// Reads a whole file, wiped when dropped since it may be a key.
pub(crate) fn read(part: Part, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |error| part.error(path, format_args!("cannot be read: {error}"));
    // The type is asked for first: opening a FIFO would wait for a writer.
    let facts = std::fs::metadata(path).map_err(unreadable)?;
    if !facts.is_file() {
        return Err(part.error(path, "is not a regular file"));
    }
    if facts.len() > LARGEST_FILE {
        let why = format!("is {} bytes long; at most {LARGEST_FILE} are read", facts.len());
        return Err(part.error(path, why));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(facts.len() as usize + 1));
    let file = File::open(path).map_err(unreadable)?;
    file.take(LARGEST_FILE).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The certificates of a file, in its order; at least one.
pub(crate) fn certificates(
    part: Part,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(part, path)?;
    must_be_pem(part, path, &bytes)?;
    let found = certificates_in(part, path, &bytes)?;
    if found.is_empty() {
        let why = match has_section(&bytes, "PRIVATE KEY-----") {
            true => "holds a private key and no certificate",
            false => "holds no certificate",
        };
        return Err(part.error(path, why));
    }
    Ok(found)
}

/// The certificates among the sections of `bytes`, possibly none.
pub(crate) fn certificates_in(
    part: Part,
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut found = Vec::new();
    let mut rest = bytes;
    // Only whole CERTIFICATE sections are handed to the decoder: an encrypted key in its old form
    // beside them (its headers are not base64) is none of this function's business.
    while let Some((section, after)) = next_section(rest, "CERTIFICATE") {
        let one = CertificateDer::from_pem_slice(section)
            .map_err(|error| part.error(path, broken(found.len() + 1, &error)))?;
        found.push(one);
        rest = after;
    }
    Ok(found)
}

fn broken(number: usize, error: &rustls::pki_types::pem::Error) -> String {
    format!("is broken PEM (certificate {number}): {error}")
}

/// The first private key of a file, decrypted if need be.
pub(crate) fn private_key(
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let part = Part::Key;
    let bytes = read(part, path)?;
    must_be_pem(part, path, &bytes)?;
    if has_section(&bytes, "Proc-Type: 4,ENCRYPTED") {
        return Err(part.error(path, convert(path, "is encrypted in OpenSSL's legacy form")));
    }
    if let Some((section, _)) = next_section(&bytes, "ENCRYPTED PRIVATE KEY") {
        return decrypt(path, section, passphrase);
    }
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes) {
        let (kind, der) =
            section.map_err(|error| part.error(path, format_args!("is broken PEM: {error}")))?;
        match kind {
            SectionKind::PrivateKey => return Ok(PrivateKeyDer::Pkcs8(der.into())),
            SectionKind::RsaPrivateKey => return Ok(PrivateKeyDer::Pkcs1(der.into())),
            SectionKind::EcPrivateKey => return Ok(PrivateKeyDer::Sec1(der.into())),
            _ => {}
        }
    }
    let why = match has_section(&bytes, "-----BEGIN CERTIFICATE-----") {
        true => "holds a certificate and no private key",
        false => "holds no private key",
    };
    Err(part.error(path, why))
}

fn decrypt(
    path: &Path,
    section: &[u8],
    passphrase: Option<&Passphrase>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let part = Part::Key;
    let text = std::str::from_utf8(section).map_err(|_| part.error(path, "is broken PEM"))?;
    let (_, document) = SecretDocument::from_pem(text)
        .map_err(|error| part.error(path, format_args!("is broken PEM: {error}")))?;
    let sealed = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|_| part.error(path, convert(path, "is encrypted in a form that is not PBES2")))?;
    if sealed.encryption_algorithm.pbes2().is_none() {
        return Err(part.error(path, convert(path, "is encrypted in a form that is not PBES2")));
    }
    let Some(passphrase) = passphrase else {
        return Err(part.error(path, "is encrypted and no passphrase is given"));
    };
    let secret = read_passphrase(passphrase)?;
    let opened = sealed.decrypt(&secret[..]).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            pkcs5::Error::UnsupportedAlgorithm { .. }
            | pkcs5::Error::AlgorithmParametersInvalid { .. },
        ) => part.error(path, convert(path, "is encrypted with a cipher that is not supported")),
        _ => part.error(path, "cannot be decrypted: the passphrase is wrong"),
    })?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec())))
}

/// An explanation that ends with the line that helps.
fn convert(path: &Path, why: &str) -> String {
    format!(
        "{why}; convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in {} -out new-key.pem",
        path.display()
    )
}

/// The passphrase itself; of a file its first line, without the line end.
fn read_passphrase(from: &Passphrase) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let path = match from {
        Passphrase::Value(text) => return Ok(Zeroizing::new(text.as_bytes().to_vec())),
        Passphrase::File(path) => path,
    };
    let mut bytes = read(Part::Passphrase, path)?;
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
    bytes.truncate(end);
    match bytes.is_empty() {
        true => Err(Part::Passphrase.error(path, "has an empty first line")),
        false => Ok(bytes),
    }
}

fn must_be_pem(part: Part, path: &Path, bytes: &[u8]) -> Result<(), TlsError> {
    if bytes.is_empty() {
        return Err(part.error(path, "is empty"));
    }
    if has_section(bytes, "-----BEGIN ") {
        return Ok(());
    }
    // DER and PKCS#12 begin with an ASN.1 sequence.
    let why = match bytes[0] {
        0x30 => "is not PEM (it looks like DER or PKCS#12): only .pem files are supported",
        _ => "is not PEM: only .pem files are supported",
    };
    Err(part.error(path, why))
}

/// Whether a file holds certificates at all; in a directory of authorities others are passed over.
pub(crate) fn holds_certificates(bytes: &[u8]) -> bool {
    has_section(bytes, "-----BEGIN CERTIFICATE-----")
}

fn has_section(bytes: &[u8], text: &str) -> bool {
    find(bytes, text.as_bytes()).is_some()
}

/// The next section with `label` (all of it, with its BEGIN and END lines) and what follows it. A
/// section without its END reaches to the end of the file, for the decoder to complain about.
fn next_section<'a>(bytes: &'a [u8], label: &str) -> Option<(&'a [u8], &'a [u8])> {
    let begin = find(bytes, format!("-----BEGIN {label}-----").as_bytes())?;
    let section = &bytes[begin..];
    let end_line = format!("-----END {label}-----");
    let end = match find(section, end_line.as_bytes()) {
        Some(at) => at + end_line.len(),
        None => section.len(),
    };
    Some(section.split_at(end))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
