//! Forged, bent and borrowed tokens. Each is refused, for a reason that stays the same.

use super::*;
use crate::LONGEST_TOKEN;

struct Attack {
    name: &'static str,
    token: Vec<u8>,
    reason: Reason,
}

#[test]
fn every_attack_has_its_reason() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let mut attacks = forms(&issuer);
    attacks.extend(headers(&issuer));
    attacks.extend(confusions(&issuer));
    attacks.extend(signatures(&issuer));
    attacks.extend(payloads(&issuer));
    assert!(attacks.len() >= 80, "{}", attacks.len());
    for attack in attacks {
        let found = outcome(&attack.token, &keys, &expected());
        assert_eq!(found, Err(attack.reason), "{}", attack.name);
    }
    assert_eq!(
        outcome(issuer.good(Algorithm::Es256).as_bytes(), &keys, &expected()),
        Ok(())
    );
}

fn attack(name: &'static str, token: impl Into<Vec<u8>>, reason: Reason) -> Attack {
    Attack {
        name,
        token: token.into(),
        reason,
    }
}

fn forms(issuer: &Issuer) -> Vec<Attack> {
    let good = issuer.good(Algorithm::Es256);
    let mut parts = good.split('.');
    let (header, payload, signature) = (
        parts.next().unwrap(),
        parts.next().unwrap(),
        parts.next().unwrap(),
    );
    let standard = format!("{header}.{payload}.{}+/", &signature[..signature.len() - 2]);
    // 64 bytes leave two bits of the last letter unused; another last letter decodes to the same bytes.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(signature.chars().last().unwrap()).unwrap();
    let twin = alphabet.chars().nth(last | 1).unwrap();
    let malleable = format!(
        "{header}.{payload}.{}{twin}",
        &signature[..signature.len() - 1]
    );
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    let very_deep = format!(r#"{{"a":{}"#, "[".repeat(9000));
    let wide = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(5000));
    let es256 = r#"{"alg":"ES256","kid":"ES256"}"#;
    let with_payload = |text: &str| issuer.token(Algorithm::Es256, es256, text);
    let with_header = |text: &str| issuer.token(Algorithm::Es256, text, &claims().to_string());
    vec![
        attack("nothing", "", Reason::Malformed),
        attack("one part", "abc", Reason::Malformed),
        attack(
            "two parts",
            format!("{header}.{payload}"),
            Reason::Malformed,
        ),
        attack(
            "four parts",
            format!("{good}.{signature}"),
            Reason::Malformed,
        ),
        attack(
            "an encrypted token",
            format!("{good}.a.b"),
            Reason::Malformed,
        ),
        attack(
            "the JSON serialization",
            r#"{"payload":"a","signature":"b"}"#,
            Reason::Malformed,
        ),
        attack(
            "huge",
            format!("{good}{}", "A".repeat(LONGEST_TOKEN)),
            Reason::TooLong,
        ),
        attack(
            "padding",
            format!("{header}.{payload}.{signature}=="),
            Reason::Encoding,
        ),
        attack(
            "padded header",
            format!("{header}=.{payload}.{signature}"),
            Reason::Encoding,
        ),
        attack("the alphabet of plain base64", standard, Reason::Encoding),
        attack(
            "a second spelling of the signature",
            malleable,
            Reason::Encoding,
        ),
        attack(
            "a blank",
            format!("{header}.{payload}. {signature}"),
            Reason::Encoding,
        ),
        attack("a line feed", format!("{good}\n"), Reason::Encoding),
        attack("a NUL", format!("{good}\0"), Reason::Encoding),
        attack(
            "percent encoding",
            good.replace('.', "%2e"),
            Reason::Malformed,
        ),
        attack(
            "a detached payload",
            format!("{header}..{signature}"),
            Reason::PayloadJson,
        ),
        attack(
            "an empty header",
            format!(".{payload}.{signature}"),
            Reason::HeaderJson,
        ),
        attack(
            "a header that is a list",
            with_header("[]"),
            Reason::HeaderJson,
        ),
        attack(
            "a header with a tail",
            with_header(&format!("{es256}{es256}")),
            Reason::HeaderJson,
        ),
        attack(
            "a header with a BOM",
            with_header(&format!("\u{feff}{es256}")),
            Reason::HeaderJson,
        ),
        attack(
            "a payload that is a list",
            with_payload("[]"),
            Reason::PayloadJson,
        ),
        attack(
            "a payload that is text",
            with_payload("anna"),
            Reason::PayloadJson,
        ),
        attack(
            "an infinite number",
            with_payload(r#"{"exp":1e999}"#),
            Reason::PayloadJson,
        ),
        attack(
            "not a number",
            with_payload(r#"{"exp":NaN}"#),
            Reason::PayloadJson,
        ),
        attack("nested JSON", with_payload(&deep), Reason::TooComplex),
        attack(
            "nested JSON in the header",
            with_header(&deep),
            Reason::TooComplex,
        ),
        attack(
            "JSON nested for the stack",
            with_payload(&very_deep),
            Reason::TooComplex,
        ),
        attack("wide JSON", with_payload(&wide), Reason::TooComplex),
        attack(
            "half a surrogate",
            with_payload(r#"{"sub":"\ud800"}"#),
            Reason::PayloadJson,
        ),
    ]
}

fn headers(issuer: &Issuer) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (name, header, reason) in [
        ("alg none", r#"{"alg":"none"}"#, Reason::Algorithm),
        ("alg None", r#"{"alg":"None"}"#, Reason::Algorithm),
        ("alg NONE", r#"{"alg":"NONE"}"#, Reason::Algorithm),
        ("alg nOnE", r#"{"alg":"nOnE"}"#, Reason::Algorithm),
        ("alg with a blank", r#"{"alg":"ES256 "}"#, Reason::Algorithm),
        (
            "alg in small letters",
            r#"{"alg":"es256"}"#,
            Reason::Algorithm,
        ),
        ("no alg", r#"{"kid":"ES256"}"#, Reason::Algorithm),
        ("alg null", r#"{"alg":null}"#, Reason::Algorithm),
        ("alg in a list", r#"{"alg":["ES256"]}"#, Reason::Algorithm),
        ("alg empty", r#"{"alg":""}"#, Reason::Algorithm),
        (
            "alg twice",
            r#"{"alg":"ES256","alg":"none"}"#,
            Reason::DuplicateMember,
        ),
        (
            "alg twice, once escaped",
            r#"{"alg":"ES256","\u0061lg":"none"}"#,
            Reason::DuplicateMember,
        ),
        (
            "kid twice",
            r#"{"alg":"ES256","kid":"a","kid":"ES256"}"#,
            Reason::DuplicateMember,
        ),
        (
            "jku",
            r#"{"alg":"ES256","kid":"ES256","jku":"https://evil.example/keys"}"#,
            Reason::HeaderKey,
        ),
        (
            "x5u",
            r#"{"alg":"ES256","kid":"ES256","x5u":"https://evil.example/"}"#,
            Reason::HeaderKey,
        ),
        (
            "x5c",
            r#"{"alg":"ES256","kid":"ES256","x5c":["AQ"]}"#,
            Reason::HeaderKey,
        ),
        (
            "jwk",
            r#"{"alg":"ES256","jwk":{"kty":"EC"}}"#,
            Reason::HeaderKey,
        ),
        (
            "crit",
            r#"{"alg":"ES256","kid":"ES256","crit":["exp"]}"#,
            Reason::HeaderCritical,
        ),
        (
            "crit that is empty",
            r#"{"alg":"ES256","kid":"ES256","crit":[]}"#,
            Reason::HeaderCritical,
        ),
        (
            "b64",
            r#"{"alg":"ES256","kid":"ES256","b64":false}"#,
            Reason::HeaderCritical,
        ),
        (
            "zip",
            r#"{"alg":"ES256","kid":"ES256","zip":"DEF"}"#,
            Reason::HeaderForm,
        ),
        (
            "enc",
            r#"{"alg":"ES256","kid":"ES256","enc":"A128GCM"}"#,
            Reason::HeaderForm,
        ),
        (
            "a token in the token",
            r#"{"alg":"ES256","kid":"ES256","cty":"jwt"}"#,
            Reason::HeaderForm,
        ),
        (
            "kid that is a number",
            r#"{"alg":"ES256","kid":1}"#,
            Reason::HeaderForm,
        ),
        (
            "kid that is null",
            r#"{"alg":"ES256","kid":null}"#,
            Reason::HeaderForm,
        ),
        (
            "typ that is a list",
            r#"{"alg":"ES256","kid":"ES256","typ":["JWT"]}"#,
            Reason::HeaderForm,
        ),
        (
            "an id of another type",
            r#"{"alg":"ES256","kid":"ES256","typ":"logout+jwt"}"#,
            Reason::Type,
        ),
        (
            "a proof of DPoP",
            r#"{"alg":"ES256","kid":"ES256","typ":"dpop+jwt"}"#,
            Reason::Type,
        ),
        (
            "kid that is a path",
            r#"{"alg":"ES256","kid":"../../../../dev/null"}"#,
            Reason::KeyUnknown,
        ),
        (
            "kid that is SQL",
            r#"{"alg":"ES256","kid":"x' UNION SELECT 'key"}"#,
            Reason::KeyUnknown,
        ),
        (
            "kid that is a command",
            r#"{"alg":"ES256","kid":"|id"}"#,
            Reason::KeyUnknown,
        ),
        (
            "kid that is empty",
            r#"{"alg":"ES256","kid":""}"#,
            Reason::KeyUnknown,
        ),
        (
            "kid with a NUL",
            r#"{"alg":"ES256","kid":"ES256\u0000"}"#,
            Reason::KeyUnknown,
        ),
        (
            "kid of a key of RSA",
            r#"{"alg":"ES256","kid":"rsa"}"#,
            Reason::KeyMismatch,
        ),
        (
            "kid of another curve",
            r#"{"alg":"ES256","kid":"ES384"}"#,
            Reason::KeyMismatch,
        ),
    ] {
        let token = issuer.token(Algorithm::Es256, header, &claims().to_string());
        attacks.push(attack(name, token, reason));
    }
    let long = json!({ "alg": "ES256", "kid": "k".repeat(300) }).to_string();
    let long = issuer.token(Algorithm::Es256, &long, &claims().to_string());
    attacks.push(attack("a long kid", long, Reason::HeaderForm));
    attacks
}

/// Keys used as what they are not.
fn confusions(issuer: &Issuer) -> Vec<Attack> {
    let hmac = |secret: &[u8], header: &str| {
        let signed = format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(claims().to_string().as_bytes())
        );
        let key = PKey::hmac(secret).unwrap();
        let mut signer = OpensslSigner::new(MessageDigest::sha256(), &key).unwrap();
        let signature = signer.sign_oneshot_to_vec(signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(&signature))
    };
    let public = issuer.rsa.public_key_to_pem().unwrap();
    let der = issuer.rsa.public_key_to_der().unwrap();
    let jwk = issuer.jwks()[0].to_string();
    let as_hmac = r#"{"alg":"HS256","kid":"rsa"}"#;
    let pss_as_v15 = issuer.token(
        Algorithm::Ps256,
        r#"{"alg":"RS256","kid":"rsa"}"#,
        &claims().to_string(),
    );
    let sha1 = issuer.token(
        Algorithm::Rs256,
        r#"{"alg":"RS1","kid":"rsa"}"#,
        &claims().to_string(),
    );
    let other = Issuer::new();
    vec![
        attack(
            "HMAC with the public key in PEM",
            hmac(&public, as_hmac),
            Reason::Algorithm,
        ),
        attack(
            "HMAC with the public key in DER",
            hmac(&der, as_hmac),
            Reason::Algorithm,
        ),
        attack(
            "HMAC with the JWK",
            hmac(jwk.as_bytes(), as_hmac),
            Reason::Algorithm,
        ),
        attack(
            "HMAC with a secret of zero",
            hmac(b"\0", as_hmac),
            Reason::Algorithm,
        ),
        attack(
            "PSS declared as PKCS #1 v1.5",
            pss_as_v15,
            Reason::Signature,
        ),
        attack("SHA-1", sha1, Reason::Algorithm),
        attack(
            "the keys of another environment",
            other.good(Algorithm::Es256),
            Reason::Signature,
        ),
        attack(
            "the RSA key of another environment",
            other.good(Algorithm::Rs256),
            Reason::Signature,
        ),
        attack(
            "Ed25519 of another environment",
            other.good(Algorithm::EdDsa),
            Reason::Signature,
        ),
    ]
}

fn signatures(issuer: &Issuer) -> Vec<Attack> {
    let good = issuer.good(Algorithm::Es256);
    let signed = good.rsplit_once('.').unwrap().0;
    let right = issuer.sign(Algorithm::Es256, signed.as_bytes());
    let with = |signature: &[u8]| format!("{signed}.{}", encode(signature));
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let zero = [0; 32];
    let (r, s) = right.split_at(32);
    let der = EcdsaSig::from_private_components(
        openssl::bn::BigNum::from_slice(r).unwrap(),
        openssl::bn::BigNum::from_slice(s).unwrap(),
    );
    let es512 = issuer.good(Algorithm::Es512);
    let rsa = issuer.good(Algorithm::Rs256);
    let rsa_signed = rsa.rsplit_once('.').unwrap().0;
    let ed = issuer.good(Algorithm::EdDsa);
    let ed_signed = ed.rsplit_once('.').unwrap().0;
    let mut changed = claims();
    changed["sub"] = json!("admin");
    let (header, signature) = (good.split('.').next().unwrap(), encode(&right));
    let changed = format!(
        "{header}.{}.{signature}",
        encode(changed.to_string().as_bytes())
    );
    vec![
        attack("no signature", format!("{signed}."), Reason::SignatureForm),
        attack(
            "a signature of zeros",
            with(&[0; 64]),
            Reason::SignatureForm,
        ),
        attack(
            "r of zero",
            with(&[&zero, s].concat()),
            Reason::SignatureForm,
        ),
        attack(
            "s of zero",
            with(&[r, &zero].concat()),
            Reason::SignatureForm,
        ),
        attack(
            "r of the order",
            with(&[&order, s].concat()),
            Reason::SignatureForm,
        ),
        attack(
            "s of the order",
            with(&[r, &order].concat()),
            Reason::SignatureForm,
        ),
        attack(
            "s of all ones",
            with(&[r, &[0xff; 32]].concat()),
            Reason::SignatureForm,
        ),
        attack("a byte less", with(&right[1..]), Reason::SignatureForm),
        attack(
            "a byte more",
            with(&[&[0], &right[..]].concat()),
            Reason::SignatureForm,
        ),
        attack(
            "DER",
            with(&der.unwrap().to_der().unwrap()),
            Reason::SignatureForm,
        ),
        attack("halves swapped", with(&[s, r].concat()), Reason::Signature),
        attack(
            "the signature of P-521",
            format!("{signed}.{}", es512.rsplit_once('.').unwrap().1),
            Reason::SignatureForm,
        ),
        attack(
            "RSA of zeros",
            format!("{rsa_signed}.{}", encode(&[0; 256])),
            Reason::Signature,
        ),
        attack(
            "RSA of ones",
            format!("{rsa_signed}.{}", encode(&[0xff; 256])),
            Reason::Signature,
        ),
        attack(
            "RSA too short",
            format!("{rsa_signed}.{}", encode(&[1; 255])),
            Reason::SignatureForm,
        ),
        attack(
            "Ed25519 of zeros",
            format!("{ed_signed}.{}", encode(&[0; 64])),
            Reason::Signature,
        ),
        attack(
            "Ed25519 too short",
            format!("{ed_signed}.{}", encode(&[1; 63])),
            Reason::SignatureForm,
        ),
        attack(
            "another subject under a good signature",
            changed,
            Reason::Signature,
        ),
    ]
}

fn payloads(issuer: &Issuer) -> Vec<Attack> {
    let mut attacks = Vec::new();
    let mut changed = |name, claim: &str, value: Value, reason| {
        let mut all = claims();
        match value.is_null() {
            true => drop(all.as_object_mut().unwrap().remove(claim)),
            false => all[claim] = value,
        }
        let header = r#"{"alg":"ES256","kid":"ES256"}"#;
        attacks.push(attack(
            name,
            issuer.token(Algorithm::Es256, header, &all.to_string()),
            reason,
        ));
    };
    let null = Value::Null;
    changed("no iss", "iss", null.clone(), Reason::Issuer);
    changed(
        "iss of the test environment",
        "iss",
        json!("https://idp.example/realms/test"),
        Reason::Issuer,
    );
    changed(
        "iss with a slash more",
        "iss",
        json!(format!("{ISSUER}/")),
        Reason::Issuer,
    );
    changed(
        "iss in capitals",
        "iss",
        json!(ISSUER.to_uppercase()),
        Reason::Issuer,
    );
    changed("iss in a list", "iss", json!([ISSUER]), Reason::ClaimForm);
    changed("no aud", "aud", null.clone(), Reason::Audience);
    changed("another aud", "aud", json!("billing"), Reason::Audience);
    changed(
        "a list of other auds",
        "aud",
        json!(["billing", "orders "]),
        Reason::Audience,
    );
    changed("an empty list of auds", "aud", json!([]), Reason::Audience);
    changed(
        "aud with a blank between",
        "aud",
        json!("orders stock"),
        Reason::Audience,
    );
    changed(
        "aud with a list in it",
        "aud",
        json!([["orders"]]),
        Reason::ClaimForm,
    );
    changed(
        "aud that is an object",
        "aud",
        json!({ "orders": 1 }),
        Reason::ClaimForm,
    );
    changed("no exp", "exp", null.clone(), Reason::ExpiryMissing);
    changed(
        "exp over, with the skew",
        "exp",
        json!(NOW - 30),
        Reason::Expired,
    );
    changed(
        "exp that is text",
        "exp",
        json!("9999999999"),
        Reason::ClaimForm,
    );
    changed("exp below zero", "exp", json!(-1), Reason::ClaimForm);
    changed("exp beyond time", "exp", json!(1e300), Reason::ClaimForm);
    changed("exp that is true", "exp", json!(true), Reason::ClaimForm);
    changed(
        "nbf after the skew",
        "nbf",
        json!(NOW + 31),
        Reason::NotYetValid,
    );
    changed("nbf that is text", "nbf", json!("0"), Reason::ClaimForm);
    changed(
        "iat in the future",
        "iat",
        json!(NOW + 31),
        Reason::IssuedInFuture,
    );
    changed("sub that is a number", "sub", json!(7), Reason::ClaimForm);
    changed(
        "sub with a line feed",
        "sub",
        json!("anna\r\nX-Admin: 1"),
        Reason::ClaimForm,
    );
    changed("cnf that is text", "cnf", json!("x5t"), Reason::ClaimForm);
    for (name, member) in [
        ("sub twice", r#""sub":"a","sub":"admin""#),
        ("exp twice", r#""exp":1,"exp":9999999999"#),
        (
            "a member twice, deep inside",
            r#""a":[{"b":{"c":1,"c":2}}]"#,
        ),
    ] {
        let payload = format!("{{{member}}}");
        let token = issuer.token(Algorithm::Es256, r#"{"alg":"ES256"}"#, &payload);
        attacks.push(attack(name, token, Reason::DuplicateMember));
    }
    attacks
}

/// The last second that counts, and the first that does not.
#[test]
fn times_at_their_edges() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    for (claim, at, reason) in [
        ("exp", NOW - 29, Ok(())),
        ("exp", NOW - 30, Err(Reason::Expired)),
        ("nbf", NOW + 30, Ok(())),
        ("nbf", NOW + 31, Err(Reason::NotYetValid)),
        ("iat", NOW + 30, Ok(())),
        ("iat", NOW + 31, Err(Reason::IssuedInFuture)),
    ] {
        let mut all = claims();
        all[claim] = json!(at);
        let token = issuer.token(Algorithm::Es256, r#"{"alg":"ES256"}"#, &all.to_string());
        assert_eq!(
            outcome(token.as_bytes(), &keys, &expected()),
            reason,
            "{claim} {at}"
        );
    }
}

#[test]
fn keys_without_an_id_count_only_if_one_fits() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let token = issuer.token(
        Algorithm::Es256,
        r#"{"alg":"ES256"}"#,
        &claims().to_string(),
    );
    assert_eq!(
        outcome(token.as_bytes(), &issuer.keys(), &expected()),
        Ok(())
    );
    let both = [issuer.jwks(), other.jwks()].concat();
    let both = KeySet::parse(json!({ "keys": both }).to_string().as_bytes())
        .unwrap()
        .keys;
    let found = outcome(token.as_bytes(), &both, &expected());
    assert_eq!(found, Err(Reason::KeyAmbiguous));
    let rsa_only = KeySet::parse(json!({ "keys": [issuer.jwks()[0]] }).to_string().as_bytes());
    let found = outcome(token.as_bytes(), &rsa_only.unwrap().keys, &expected());
    assert_eq!(found, Err(Reason::KeyUnknown));
}

#[test]
fn types_that_were_chosen_are_demanded() {
    let issuer = Issuer::new();
    let mut expected = expected();
    expected.types = vec!["at+jwt".to_owned()];
    for (header, reason) in [
        (r#"{"alg":"ES256","typ":"at+jwt"}"#, Ok(())),
        (r#"{"alg":"ES256","typ":"application/AT+JWT"}"#, Ok(())),
        (r#"{"alg":"ES256","typ":"JWT"}"#, Err(Reason::Type)),
        (r#"{"alg":"ES256"}"#, Err(Reason::Type)),
    ] {
        let token = issuer.token(Algorithm::Es256, header, &claims().to_string());
        assert_eq!(
            outcome(token.as_bytes(), &issuer.keys(), &expected),
            reason,
            "{header}"
        );
    }
}

fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
