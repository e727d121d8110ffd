//! TLS settings: what is loaded, what is refused, and with which words.

mod tls_workshop;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use replication::tls::{
    AuthClients, ClientTls, Passphrase, ServerTls, TlsContexts, TlsSettings, TlsStore,
};
use tls_workshop::{Workshop, passphrase};

/// `load` must fail, and its sentence must hold all the parts.
fn check_refused(
    what: &str,
    outcome: Result<impl std::fmt::Debug, replication::tls::TlsError>,
    parts: &[&str],
) {
    let text = match outcome {
        Ok(loaded) => panic!("{what}: accepted: {loaded:?}"),
        Err(error) => error.to_string(),
    };
    for part in parts {
        assert!(text.contains(part), "{what}: '{part}' is missing in: {text}");
    }
    assert!(!text.contains('\n'), "{what}: more than one line: {text}");
}

#[test]
fn every_wrong_file_is_named_with_what_is_wrong_with_it() {
    let shop = Workshop::new();
    shop.authority("ca", "/CN=ca");
    shop.certificate("server", "/CN=localhost", "ca");
    shop.request("other", "/CN=other", "");
    shop.openssl("x509 -in server-cert.pem -outform DER -out server-der.pem");
    shop.openssl("pkcs8 -topk8 -nocrypt -in server-key.pem -outform DER -out key-der.pem");
    shop.write("empty.pem", "");
    shop.write("garbage.pem", "these are not the keys you are looking for\n");
    let cut = shop.bytes("server-cert.pem");
    shop.write("cut.pem", &cut[..cut.len() / 2]);
    shop.openssl("rsa -aes256 -in server-key.pem -traditional -passout pass:x -out legacy.pem");
    shop.openssl("rsa -aes256 -in server-key.pem -passout pass:secret -out sealed.pem");
    shop.openssl(
        "pkcs8 -topk8 -v1 PBE-SHA1-3DES -in server-key.pem -passout pass:x -out pbes1.pem",
    );
    shop.dated("old", "ca", "20200101000000Z", "20200201000000Z", "");
    shop.dated("young", "ca", "20900101000000Z", "20950101000000Z", "");
    let mut chain = shop.bytes("ca-cert.pem");
    chain.extend(shop.bytes("server-cert.pem"));
    shop.write("reversed.pem", chain);
    shop.write("blank-passphrase", "\n");

    let good = shop.settings("server", "ca");
    ServerTls::load(&good, false).expect("the good settings");
    let key = |name: &str| TlsSettings { key_file: Some(shop.path(name)), ..good.clone() };
    let cert = |name: &str| TlsSettings { cert_file: Some(shop.path(name)), ..good.clone() };
    let ca = |name: &str| TlsSettings { ca_cert_file: Some(shop.path(name)), ..good.clone() };
    let sealed = |secret| TlsSettings { key_passphrase: secret, ..key("sealed.pem") };
    let file = |name: &str| Some(Passphrase::File(shop.path(name)));
    const KEY: &str = "Failed to load TLS key: '";
    const CERT: &str = "Failed to load TLS certificate: '";
    const CA: &str = "Failed to load TLS verify locations (CA cert file or CA cert dir): '";
    let cases: &[(TlsSettings, &[&str])] = &[
        (key("absent.pem"), &[KEY, "absent.pem", "cannot be read", "No such file"]),
        (key("."), &[KEY, "is not a regular file"]),
        (key("empty.pem"), &[KEY, "empty.pem' is empty"]),
        (key("garbage.pem"), &[KEY, "garbage.pem", "only .pem files are supported"]),
        (key("key-der.pem"), &[KEY, "DER", "only .pem files are supported"]),
        (key("server-cert.pem"), &[KEY, "holds a certificate and no private key"]),
        (key("server-req.pem"), &[KEY, "holds no private key"]),
        (key("other-key.pem"), &[KEY, "other-key.pem", "does not match", "server-cert.pem"]),
        (key("legacy.pem"), &[KEY, "legacy form", "openssl pkcs8 -topk8", "legacy.pem"]),
        (key("pbes1.pem"), &[KEY, "convert it", "pbes1.pem"]),
        (sealed(None), &[KEY, "sealed.pem", "is encrypted and no passphrase is given"]),
        (sealed(passphrase("wrong")), &[KEY, "sealed.pem", "the passphrase is wrong"]),
        (sealed(file("absent")), &["Failed to load passphrase", "absent", "cannot be read"]),
        (sealed(file("blank-passphrase")), &["blank-passphrase", "empty first line"]),
        (cert("absent.pem"), &[CERT, "absent.pem", "cannot be read"]),
        (cert("empty.pem"), &[CERT, "empty.pem' is empty"]),
        (cert("garbage.pem"), &[CERT, "garbage.pem", "only .pem files are supported"]),
        (cert("server-der.pem"), &[CERT, "DER", "only .pem files are supported"]),
        (cert("server-key.pem"), &[CERT, "holds a private key and no certificate"]),
        (cert("server-req.pem"), &[CERT, "holds no certificate"]),
        (cert("cut.pem"), &[CERT, "cut.pem", "broken PEM"]),
        (cert("reversed.pem"), &[KEY, "does not match", "it must be the first"]),
        (shop.settings("old", "ca"), &[CERT, "old-cert", "has expired on Feb  1 00:00:00 2020"]),
        (shop.settings("young", "ca"), &[CERT, "young-cert", "not yet valid", "Jan  1", "2090"]),
        (ca("absent.pem"), &[CA, "absent.pem", "cannot be read"]),
        (ca("empty.pem"), &[CA, "empty.pem' is empty"]),
        (ca("server-der.pem"), &[CA, "only .pem files are supported"]),
        (ca("ca-key.pem"), &[CA, "holds a private key and no certificate"]),
        (ca("old-cert.pem"), &[CA, "only expired authorities", "Feb  1 00:00:00 2020"]),
    ];
    for (settings, parts) in cases {
        let what = format!("server with {settings:?}");
        check_refused(&what, ServerTls::load(settings, true), parts);
        check_refused(&what, ClientTls::load(settings, true), parts);
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused_in_dragonfly_s_words() {
    let shop = Workshop::new();
    shop.authority("ca", "/CN=ca");
    shop.certificate("server", "/CN=localhost", "ca");
    let good = shop.settings("server", "ca");
    let without_ca = shop.settings("server", "");
    let with_auth = |auth| TlsSettings { auth_clients: Some(auth), ..good.clone() };

    let no_key = TlsSettings { key_file: None, ..good.clone() };
    let text = "To use TLS, a server certificate must be provided with the --tls_key_file flag!";
    check_refused("no key", ServerTls::load(&no_key, true), &[text]);
    check_refused("no key", ClientTls::load(&no_key, true), &["tls_key_file flag should be set"]);
    let empty_key = TlsSettings { key_file: Some("".into()), ..good.clone() };
    check_refused("empty key", ServerTls::load(&empty_key, true), &[text]);
    let no_cert = TlsSettings { cert_file: None, ..good.clone() };
    let text = "tls_cert_file flag should be set";
    check_refused("no certificate", ServerTls::load(&no_cert, true), &[text]);
    check_refused("no certificate", ClientTls::load(&no_cert, true), &[text]);

    let open = "TLS configured but no authentication method is used!";
    let flags = ["--requirepass", "--tls_ca_cert_file", "--tls_auth_clients=no"];
    let said = [&[open], &flags[..]].concat();
    check_refused("anybody", ServerTls::load(&without_ca, false), &said);
    for auth in [AuthClients::No, AuthClients::Optional] {
        ServerTls::load(&with_auth(auth), false)
            .expect("it was written down that anybody may come");
    }
    ServerTls::load(&without_ca, true).expect("a password is an authentication method");
    ServerTls::load(&good, false).expect("client certificates are an authentication method");
    ServerTls::load(&with_auth(AuthClients::Optional), true).expect("optional, with a password");
    let yes = TlsSettings { auth_clients: Some(AuthClients::Yes), ..without_ca };
    check_refused("yes without CA", ServerTls::load(&yes, true), &["--tls_auth_clients needs"]);

    let nothing = shop.settings("", "ca");
    let text = "No authentication method configured!";
    let flags = ["--masterauth", "--tls_cert_file and --tls_key_file", "--tls_client_cert_file"];
    let said = [&[text], &flags[..]].concat();
    check_refused("a link without anything", ClientTls::load(&nothing, false), &said);
    ClientTls::load(&nothing, true).expect("masterauth is an authentication method");

    let ciphers = TlsSettings { ciphers: "NULL-MD5".to_owned(), ..good.clone() };
    check_refused("ciphers", ServerTls::load(&ciphers, true), &["unknown cipher 'NULL-MD5'"]);
    let expected = TlsSettings { replication_expected_name: Some("a b".into()), ..good.clone() };
    check_refused("name", ClientTls::load(&expected, true), &["'a b' is no name"]);
    for (text, auth) in [("yes", AuthClients::Yes), ("Optional", AuthClients::Optional)] {
        assert_eq!(text.parse(), Ok(auth));
    }
    check_refused("auth", "maybe".parse::<AuthClients>(), &["yes, no, optional"]);
}

#[test]
fn keys_are_read_in_every_form_that_openssl_writes() {
    let shop = Workshop::new();
    shop.authority("ca", "/CN=ca");
    shop.certificate("server", "/CN=localhost", "ca");
    shop.openssl("ecparam -name prime256v1 -genkey -out ec-sec1.pem");
    shop.openssl("req -new -key ec-sec1.pem -out ec-req.pem -subj /CN=localhost");
    shop.sign("ec", "ca", "");
    // `openssl req` without -nodes, as the seed advises for production.
    shop.openssl(
        "req -newkey rsa:2048 -passout pass:secret -keyout sealed-key.pem -out sealed-req.pem \
         -subj /CN=localhost",
    );
    shop.sign("sealed", "ca", "");
    let asn1 = shop.openssl("asn1parse -in sealed-key.pem");
    assert!(asn1.contains("PBES2") && asn1.contains("des-ede3-cbc"), "{asn1}");
    assert!(asn1.contains("hmacWithSHA256"), "{asn1}");
    shop.openssl("rsa -in server-key.pem -traditional -out pkcs1.pem");
    let conversions = [
        ("aes128.pem", "-v2 aes-128-cbc"),
        ("aes256.pem", "-v2 aes-256-cbc"),
        ("sha1.pem", "-v2 des3 -v2prf hmacWithSHA1"),
        ("sha512.pem", "-v2 aes-256-cbc -v2prf hmacWithSHA512"),
        ("scrypt.pem", "-scrypt"),
    ];
    for (name, how) in conversions {
        shop.openssl(&format!(
            "pkcs8 -topk8 {how} -in server-key.pem -passout pass:secret -out {name}"
        ));
    }
    shop.openssl("pkcs8 -topk8 -v2 des3 -in ec-sec1.pem -passout pass:secret -out ec-3des.pem");
    shop.openssl("genpkey -algorithm ed25519 -out ed-key.pem");
    shop.openssl("req -new -key ed-key.pem -out ed-req.pem -subj /CN=localhost");
    shop.sign("ed", "ca", "");
    shop.write("passphrase.txt", "secret\r\nsecond line\n");

    let cases = [
        ("server-key.pem", "server-cert.pem"),
        ("pkcs1.pem", "server-cert.pem"),
        ("ec-sec1.pem", "ec-cert.pem"),
        ("ec-3des.pem", "ec-cert.pem"),
        ("ed-key.pem", "ed-cert.pem"),
        ("sealed-key.pem", "sealed-cert.pem"),
        ("aes128.pem", "server-cert.pem"),
        ("aes256.pem", "server-cert.pem"),
        ("sha1.pem", "server-cert.pem"),
        ("sha512.pem", "server-cert.pem"),
        ("scrypt.pem", "server-cert.pem"),
    ];
    for secret in [passphrase("secret"), Some(Passphrase::File(shop.path("passphrase.txt")))] {
        for (key, cert) in cases {
            let settings = TlsSettings {
                key_file: Some(shop.path(key)),
                cert_file: Some(shop.path(cert)),
                key_passphrase: secret.clone(),
                ..shop.settings("", "ca")
            };
            if let Err(error) = ServerTls::load(&settings, false) {
                panic!("{key}: {error}");
            }
        }
    }
}

#[test]
fn the_identity_is_what_openssl_says_about_the_certificate() {
    let shop = Workshop::new();
    shop.authority("ca", "/O=Works/CN=ca");
    shop.certificate("server", "/C=DE/O=Works/CN=localhost", "ca");
    let tls = ServerTls::load(&shop.settings("server", "ca"), false).expect("good settings");
    let identity = tls.identity();
    let told = shop.openssl(
        "x509 -in server-cert.pem -noout -nameopt RFC2253 -subject -issuer -startdate -enddate",
    );
    let ours = format!(
        "subject={}\nissuer={}\nnotBefore={}\nnotAfter={}\n",
        identity.subject,
        identity.issuer,
        identity.not_before_text(),
        identity.not_after_text()
    );
    assert_eq!(ours, told);
    let day = UNIX_EPOCH + Duration::from_secs(identity.not_after);
    assert_eq!(identity.seconds_left(day - Duration::from_secs(60)), 60);
    assert_eq!(identity.seconds_left(day + Duration::from_secs(60)), -60);
    assert_eq!(identity.not_after - identity.not_before, 365 * 24 * 3600);
}

#[test]
fn a_reload_that_fails_leaves_what_was_loaded() {
    let shop = Workshop::new();
    shop.authority("ca", "/CN=ca");
    shop.certificate("server", "/CN=first", "ca");
    let settings = shop.settings("server", "ca");
    let contexts = TlsContexts::load(&settings, false, false).expect("good settings");
    let store = TlsStore::new(contexts);
    let first = store.current();

    let good = shop.bytes("server-cert.pem");
    shop.write("server-cert.pem", "broken");
    check_refused("reload", store.reload(&settings, false, false), &["only .pem files"]);
    let same = |one: &TlsContexts, other: &TlsContexts| {
        Arc::ptr_eq(one.server.as_ref().expect("on"), other.server.as_ref().expect("on"))
            && Arc::ptr_eq(one.client.as_ref().expect("on"), other.client.as_ref().expect("on"))
    };
    assert!(same(&first, &store.current()));

    // The server's half is fine now, the client's is not: neither is swapped.
    shop.write("server-cert.pem", good);
    let half = TlsSettings { replication_expected_name: Some("a b".into()), ..settings.clone() };
    check_refused("half", store.reload(&half, false, false), &["is no name"]);
    assert!(same(&first, &store.current()));

    shop.certificate("server", "/CN=second", "ca");
    store.reload(&settings, false, false).expect("good settings again");
    let subject =
        |contexts: TlsContexts| contexts.server.as_ref().map(|tls| tls.identity().subject.clone());
    assert_eq!(subject(store.current()).as_deref(), Some("CN=second"));
    assert_eq!(subject(first).as_deref(), Some("CN=first"));

    let off = TlsSettings { tls: false, ..settings };
    store.reload(&off, false, false).expect("without --tls");
    assert!(store.current().server.is_none() && store.current().client.is_some());
}

#[test]
fn a_directory_of_authorities_may_hold_other_things_too() {
    let shop = Workshop::new();
    shop.authority("ca", "/CN=ca");
    shop.certificate("server", "/CN=localhost", "ca");
    std::fs::create_dir(shop.path("full")).expect("make a directory");
    std::fs::create_dir(shop.path("bare")).expect("make a directory");
    shop.write("full/README", "notes");
    shop.write("full/ca-key.pem", shop.bytes("ca-key.pem"));
    shop.write("full/ca.pem", shop.bytes("ca-cert.pem"));
    shop.write("full/5ed36f99.0", shop.bytes("ca-cert.pem"));
    shop.write("full/torn.pem", &shop.bytes("ca-cert.pem")[..200]);
    shop.write("bare/ca-key.pem", shop.bytes("ca-key.pem"));
    let with = |name: &str| TlsSettings {
        ca_cert_dir: Some(shop.path(name)),
        ..shop.settings("server", "")
    };
    ServerTls::load(&with("full"), false).expect("one authority is in it");
    let parts = ["'", "bare' holds no .pem file with a certificate"];
    check_refused("bare", ServerTls::load(&with("bare"), false), &parts);
    check_refused("absent", ServerTls::load(&with("absent"), false), &["cannot be read"]);
}

/// The system's roots come from the environment, so a child of this test program looks at them.
#[test]
fn without_an_authority_the_system_s_roots_decide() {
    const TASK: &str = "DAMSELFLY_TEST_SYSTEM_ROOTS";
    if let Ok(expected) = std::env::var(TASK) {
        let settings = TlsSettings { tls_replication: true, ..Default::default() };
        match (ClientTls::load(&settings, true), expected.as_str()) {
            (Ok(_), "good") => {}
            (outcome, "bad") => check_refused("no roots", outcome, &["--tls_ca_cert_file"]),
            (outcome, _) => panic!("expected {expected}: {outcome:?}"),
        }
        return;
    }
    let shop = Workshop::new();
    shop.authority("ca", "/CN=ca");
    for (file, expected) in [("ca-cert.pem", "good"), ("absent.pem", "bad")] {
        let status = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "without_an_authority_the_system_s_roots_decide"])
            .env(TASK, expected)
            .env("SSL_CERT_FILE", shop.path(file))
            .env_remove("SSL_CERT_DIR")
            .status()
            .expect("run this program again");
        assert!(status.success(), "SSL_CERT_FILE={file} should be {expected}");
    }
}
