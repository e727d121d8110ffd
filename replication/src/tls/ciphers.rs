//! Cipher lists: OpenSSL's way of writing them, onto the nine suites that rustls has.
//!
//! Names are taken in OpenSSL's and in the standard's spelling. The groups that mean "the good
//! ones" (`DEFAULT`, `HIGH`, `ALL`...) stand for all suites, in rustls' order, and what is excluded
//! with `!` or `-` is none of ours anyway unless it is named in full.

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;

use super::TlsError;

/// Groups that every suite here belongs to.
const EVERYTHING: [&str; 7] =
    ["DEFAULT", "ALL", "HIGH", "SECURE", "ECDHE", "EECDH", "COMPLEMENTOFDEFAULT"];

/// The suites of both lists: `older` is for TLS 1.2 (`--tls_ciphers`), `newer` for TLS 1.3
/// (`--tls_cipher_suites`). An empty list means all.
pub(crate) fn choose(older: &str, newer: &str) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let of_13 = |suite: &&SupportedCipherSuite| suite.tls13().is_some();
    let all_13: Vec<_> = ALL_CIPHER_SUITES.iter().filter(of_13).copied().collect();
    let all_12: Vec<_> = ALL_CIPHER_SUITES.iter().filter(|one| !of_13(one)).copied().collect();
    let mut chosen = choose_from("tls_cipher_suites", newer, &all_13)?;
    chosen.extend(choose_from("tls_ciphers", older, &all_12)?);
    Ok(chosen)
}

/// Whether the lists name what there is, and leave something of it.
pub fn judge_ciphers(older: &str, newer: &str) -> Result<(), TlsError> {
    choose(older, newer).map(drop)
}

fn choose_from(
    flag: &str,
    list: &str,
    all: &[SupportedCipherSuite],
) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    let mut excluded: Vec<SupportedCipherSuite> = Vec::new();
    let words = || list.split([':', ',', ' ']).filter(|word| !word.is_empty());
    if words().next().is_none() {
        return Ok(all.to_vec());
    }
    for word in words() {
        if let Some(name) = word.strip_prefix(['!', '-']) {
            excluded.extend(all.iter().filter(|suite| is_called(suite, name)));
        } else if word.starts_with('@') || word.starts_with('+') {
            // Orderings and security levels: rustls' order stands.
        } else if EVERYTHING.contains(&word.to_ascii_uppercase().as_str()) {
            chosen.extend(all);
        } else if let Some(suite) = all.iter().find(|suite| is_called(suite, word)) {
            chosen.push(*suite);
        } else {
            let known: Vec<String> = all.iter().map(openssl_name).collect();
            return Err(TlsError::new(format!(
                "--{flag}: unknown cipher '{}'; there are {}",
                word.escape_default(),
                known.join(" ")
            )));
        }
    }
    let mut result: Vec<SupportedCipherSuite> = Vec::new();
    for suite in chosen {
        if !excluded.contains(&suite) && !result.contains(&suite) {
            result.push(suite);
        }
    }
    match result.is_empty() {
        true => Err(TlsError::new(format!("--{flag}: the list leaves no cipher"))),
        false => Ok(result),
    }
}

fn is_called(suite: &SupportedCipherSuite, name: &str) -> bool {
    name.eq_ignore_ascii_case(&openssl_name(suite))
        || name.eq_ignore_ascii_case(&standard_name(suite))
}

/// `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384`, `TLS_AES_256_GCM_SHA384`.
pub(crate) fn standard_name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1)
}

/// `ECDHE-RSA-AES256-GCM-SHA384`; suites of TLS 1.3 have but one name.
fn openssl_name(suite: &SupportedCipherSuite) -> String {
    let name = standard_name(suite);
    if suite.tls13().is_some() {
        return name;
    }
    name.trim_start_matches("TLS_")
        .replace("_WITH_", "-")
        .replace("AES_", "AES")
        .replace("POLY1305_SHA256", "POLY1305")
        .replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(older: &str, newer: &str, expected: Result<&[&str], &str>) {
        let chosen = choose(older, newer).map_err(|error| error.to_string());
        let names = chosen.map(|suites| suites.iter().map(openssl_name).collect::<Vec<_>>());
        match (names, expected) {
            (Ok(names), Ok(expected)) => assert_eq!(names, expected, "{older} / {newer}"),
            (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
            (names, expected) => panic!("{older} / {newer}: {names:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn lists_are_read_in_openssl_s_and_the_standard_s_spelling() {
        let all_13 =
            ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"];
        let all = choose("DEFAULT:!MEDIUM", "").expect("Dragonfly's default");
        assert_eq!(all.len(), ALL_CIPHER_SUITES.len());
        check(
            "ECDHE-RSA-AES256-GCM-SHA384",
            "",
            Ok(&[all_13[0], all_13[1], all_13[2], "ECDHE-RSA-AES256-GCM-SHA384"]),
        );
        check(
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,ecdhe-rsa-aes128-gcm-sha256",
            "TLS_AES_128_GCM_SHA256",
            Ok(&[all_13[1], "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256"]),
        );
        check(
            "ECDHE-RSA-AES128-GCM-SHA256",
            "DEFAULT:!TLS_AES_256_GCM_SHA384",
            Ok(&[all_13[1], all_13[2], "ECDHE-RSA-AES128-GCM-SHA256"]),
        );
        check("RC4-MD5", "", Err("--tls_ciphers: unknown cipher 'RC4-MD5'; there are ECDHE-"));
        check("", "!MEDIUM", Err("--tls_cipher_suites: the list leaves no cipher"));
    }
}
