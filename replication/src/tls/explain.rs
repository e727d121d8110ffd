//! Words for what went wrong between two sides: which step, which certificate, which name.
//!
//! rustls' errors choose the alert that goes to the other side, but have no room for a sentence.
//! The verifiers run inside `process_new_packets`, on the caller's thread; so they leave their
//! sentence in a cell of that thread, and the session takes it from there right after the call.

use std::cell::RefCell;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use super::x509::{Certificate, Version, date_text};

thread_local! {
    static REFUSAL: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Leaves `text` for the session and returns the error for rustls.
pub(crate) fn refuse(error: CertificateError, text: String) -> Error {
    REFUSAL.set(Some(text));
    Error::InvalidCertificate(error)
}

/// Takes the sentence of the last refusal on this thread.
pub(crate) fn take_refusal() -> Option<String> {
    REFUSAL.take()
}

pub(crate) fn unknown_authority(who: &str, issuer: &str, source: &str) -> String {
    format!("{who} is signed by an unknown authority ({issuer}), not by one of {source}")
}

pub(crate) fn wrong_signature(who: &str, issuer: &str, source: &str) -> String {
    format!(
        "{who} is not signed by the authority of {source}, but by another one of the same name \
         ({issuer})"
    )
}

pub(crate) fn expired(who: &str, not_after: u64) -> String {
    format!("{who} has expired on {}", date_text(not_after))
}

pub(crate) fn not_yet_valid(who: &str, not_before: u64) -> String {
    format!("{who} is not yet valid: it begins on {}", date_text(not_before))
}

pub(crate) fn wrong_name(wanted: &str, leaf: Option<&Certificate>) -> String {
    let names: Vec<String> = leaf.map_or_else(Vec::new, |leaf| {
        // A certificate may carry thousands of names; a log line may not.
        const SHOWN: usize = 8;
        leaf.names().iter().take(SHOWN).map(ToString::to_string).collect()
    });
    let has = match names.is_empty() {
        true => "it has none".to_owned(),
        false => format!("it is for {}", names.join(", ")),
    };
    let aside = match leaf {
        Some(leaf) if !leaf.has_alternative_names() && !names.is_empty() => {
            " by its CN, without alternative names"
        }
        _ => "",
    };
    format!("certificate of '{wanted}' has the wrong name: {has}{aside}")
}

/// Words for webpki's answer, and the answer itself for the alert.
pub(crate) fn webpki_refusal(
    error: Error,
    leaf: Option<&Certificate>,
    who: &str,
    source: &str,
) -> Error {
    let Error::InvalidCertificate(kind) = error else { return error };
    let issuer = leaf.map_or_else(|| "issuer unreadable".to_owned(), Certificate::issuer);
    let text = match &kind {
        CertificateError::UnknownIssuer => unknown_authority(who, &issuer, source),
        CertificateError::BadSignature => wrong_signature(who, &issuer, source),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => match leaf {
            Some(leaf) => expired(who, leaf.not_after()),
            None => format!("{who} has expired"),
        },
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => match leaf {
            Some(leaf) => not_yet_valid(who, leaf.not_before()),
            None => format!("{who} is not yet valid"),
        },
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("{who} is not meant for this side of a connection (extended key usage)")
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => format!(
            "{who} is signed by {issuer} in a way that is not accepted (SHA-1, or RSA below 2048 \
             bits)"
        ),
        CertificateError::Other(inner) if inner.to_string().contains("CaUsedAsEndEntity") => {
            format!("{who} is the certificate of an authority, not of a server or client")
        }
        other => match leaf.map(Certificate::version) {
            Some(Version::V2) => format!("{who} is X.509 v2, which is not supported"),
            _ => format!("{who} is not acceptable: {other}"),
        },
    };
    refuse(kind, text)
}

/// Whether a session ended for the certificate of one of its sides, or for want of one.
pub(crate) fn is_about_certificate(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => true,
        Error::AlertReceived(alert) => matches!(
            alert,
            AlertDescription::NoCertificate
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::CertificateUnobtainable
                | AlertDescription::CertificateRequired
        ),
        _ => false,
    }
}

/// Words for an error of a session.
pub(crate) fn session_error(error: &Error, refusal: Option<String>) -> String {
    let text = match (error, refusal) {
        (Error::InvalidCertificate(_), Some(text)) => text,
        (Error::AlertReceived(alert), _) => return alert_text(*alert),
        (Error::NoCertificatesPresented, _) => {
            "the client sent no certificate and one is required".to_owned()
        }
        (Error::PeerIncompatible(why), _) => match why {
            PeerIncompatible::NoCipherSuitesInCommon => {
                "the two sides have no cipher suite in common".to_owned()
            }
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired => {
                "the two sides have no protocol version in common (TLS 1.2 and 1.3 are known)"
                    .to_owned()
            }
            other => format!("the two sides cannot agree: {other:?}"),
        },
        (Error::InvalidMessage(why), _) => {
            format!("the other side sent what is not TLS ({why:?})")
        }
        (Error::DecryptError, _) => "a record was damaged on its way".to_owned(),
        (other, _) => other.to_string(),
    };
    format!("TLS: {text}")
}

/// What an alert of the other side means for the person who has to act on it.
fn alert_text(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::UnknownCA => "it does not know the authority of our certificate",
        AlertDescription::CertificateRequired => "it requires a client certificate",
        AlertDescription::CertificateExpired => {
            "our certificate, in its eyes, is expired or not yet valid"
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::AccessDenied => "it does not accept our certificate",
        AlertDescription::DecryptError => "it finds a signature of ours wrong",
        AlertDescription::ProtocolVersion => "it has no protocol version in common with us",
        AlertDescription::HandshakeFailure => {
            "no agreement on ciphers, or it requires a client certificate"
        }
        AlertDescription::UnrecognisedName => "it does not serve the name that was asked for",
        _ => "it broke the connection off",
    };
    format!("TLS: the other side refused: {meaning} (alert {alert:?})")
}
