use super::*;
use dev_pki::{Authority, LeafOptions};

fn pem() -> String {
    let root = Authority::new("Root", 9).unwrap();
    let issued = root.leaf(&["a.test"], &LeafOptions::default()).unwrap();
    String::from_utf8(issued.chain_pem).unwrap()
}

/// With this line, counted from 1, made another.
fn with(pem: &str, number: usize, change: impl Fn(&str) -> String) -> String {
    let lines = pem.lines().enumerate();
    let lines = lines.map(|(index, line)| match index + 1 == number {
        true => change(line),
        false => line.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

fn problem(text: &str) -> Option<Damage> {
    match blocks(text.as_bytes()) {
        Err(damage) => Some(damage),
        Ok(blocks) => blocks.iter().find_map(|block| block.certificate().err()),
    }
}

#[test]
fn what_is_whole_is_read_in_every_form() {
    let plain = pem();
    let text = format!("Bag Attributes\n  a: b\n-- a remark\n{plain}");
    for form in [
        plain.clone(),
        plain.replace('\n', "\r\n"),
        format!("\u{feff}{plain}"),
        plain.trim_end().to_owned(),
        text + &plain,
    ] {
        assert_eq!(problem(&form), None, "{form}");
        let expected = form.matches("BEGIN").count();
        assert_eq!(blocks(form.as_bytes()).unwrap().len(), expected);
    }
}

#[test]
fn damage_is_told_with_its_line() {
    let pem = pem();
    let count = pem.lines().count();
    let cut = |line: &str| line[..line.len() - 4].to_owned();
    let twice = |changed: String| pem.clone() + &changed;
    for (text, line, words) in [
        (
            with(&pem, 3, |l| l.replace(&l[9..10], "*")),
            3,
            "no character of base64",
        ),
        (with(&pem, 4, cut), 4, "the lines above it 64"),
        (with(&pem, 4, |l| l[1..].to_owned()), 4, "63 characters"),
        (
            with(&pem, count - 1, |l| l[1..].to_owned()),
            count - 1,
            "cut",
        ),
        (with(&pem, 5, |_| String::new()), 1, "lines are missing"),
        (with(&pem, 2, |l| l.replacen("MII", "MIX", 1)), 1, ""),
        (
            with(&pem, 1, |l| l[1..].to_owned()),
            1,
            "should be \"-----BEGIN CERTIFICATE-----\"",
        ),
        (with(&pem, 1, |l| format!("{l}MIIB")), 1, "nothing else"),
        (
            with(&pem, count, |_| String::new()),
            count - 1,
            "ends within",
        ),
        (
            with(&pem, count, |_| "-----END X509 CRL-----".to_owned()),
            count,
            "should end",
        ),
        (with(&pem, 1, |_| String::new()), count, "without its BEGIN"),
        (
            twice(with(&pem, 1, |l| l[1..].to_owned())),
            count + 1,
            "should be",
        ),
        (
            with(&pem, count, |_| String::new()) + &pem,
            count + 1,
            "no END line",
        ),
        (
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
            1,
            "empty",
        ),
    ] {
        let found = problem(&text).unwrap_or_else(|| panic!("{words}: {text}"));
        assert_eq!(found.line, line, "{found}");
        assert!(found.what.contains(words), "{found}");
    }
}

#[test]
fn a_key_in_one_line_is_not_told() {
    let text = "-----BEGIN PRIVATE KEY-----MIIEvSECRET-----END PRIVATE KEY-----";
    let found = blocks(text.as_bytes()).unwrap_err().to_string();
    assert!(!found.contains("SECRET"), "{found}");
}

#[test]
fn other_formats_are_named() {
    use openssl::pkcs12::Pkcs12;
    use openssl::pkey::PKey;
    let root = Authority::new("Root", 9).unwrap();
    let issued = root.leaf(&["a.test"], &LeafOptions::default()).unwrap();
    let key = PKey::private_key_from_pem(&issued.key_pem).unwrap();
    let certificate = X509::from_pem(&issued.chain_pem).unwrap();
    let mut pfx = Pkcs12::builder();
    pfx.pkey(&key).cert(&certificate);
    let pfx = pfx.build2("").unwrap().to_der().unwrap();
    let list = X509Crl::from_pem(&root.revocation_list(&[], 2).unwrap()).unwrap();
    for (bytes, what) in [
        (pfx, "PKCS#12"),
        (certificate.to_der().unwrap(), "is DER"),
        (list.to_der().unwrap(), "revocation list in DER"),
        (key.private_key_to_der().unwrap(), "key in DER"),
        (key.private_key_to_pkcs8().unwrap(), "key in DER"),
        (key.public_key_to_pem().unwrap(), "public key"),
        (b"\x30\x80garbage".to_vec(), "binary"),
        (b" \n".to_vec(), "empty"),
        (b"-----BEGIN PKCS7-----\n".to_vec(), "PKCS#7"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\n".to_vec(), "request"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n".to_vec(), "OpenSSH"),
        (b"\xff\xfe-\0-\0".to_vec(), "UTF-16"),
        (b"<!DOCTYPE html>".to_vec(), "web page"),
        (b"\xfe\xed\xfe\xed\0".to_vec(), "Java"),
    ] {
        let found = recognise(&bytes).unwrap_or_else(|| panic!("{what}"));
        assert!(found.what.contains(what), "{what}: {found:?}");
    }
    assert_eq!(recognise(&issued.chain_pem), None);
    assert_eq!(recognise(b"hello"), None);
}
