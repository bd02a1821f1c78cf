//! Examples of the RFCs, and what our own signer makes.

use super::*;
use crate::{Key, Signer, SigningAlgorithm};

/// RFC 7515, A.3.
#[test]
fn es256_of_the_rfc() {
    let keys =
        br#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    let keys = KeySet::parse(keys).unwrap().keys;
    let text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let token = Token::parse(text.as_bytes()).unwrap();
    assert_eq!(token.claimed_issuer(), Some("joe"));
    assert_eq!(crate::verify_signature(&token, &keys), Ok(()));
}

/// RFC 8037, A.3.
#[test]
fn thumbprint_of_the_rfc() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let key = Key::from_jwk(jwk.as_object().unwrap()).unwrap();
    assert_eq!(
        key.thumbprint(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
}

#[test]
fn every_algorithm_verifies_and_notices_a_changed_bit() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    for algorithm in Algorithm::asymmetric() {
        let text = issuer.good(algorithm);
        assert_eq!(
            outcome(text.as_bytes(), &keys, &expected()),
            Ok(()),
            "{algorithm:?}"
        );
        let signed = text.rsplit_once('.').unwrap().0;
        let mut signature = issuer.sign(algorithm, signed.as_bytes());
        *signature.last_mut().unwrap() ^= 1;
        let text = format!("{signed}.{}", encode(&signature));
        let outcome = outcome(text.as_bytes(), &keys, &expected());
        assert_eq!(outcome, Err(Reason::Signature), "{algorithm:?}");
    }
}

#[test]
fn what_we_sign_verifies_under_its_thumbprint_also_from_pem() {
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
        let signer = Signer::generate(algorithm).unwrap();
        let signer = Signer::from_pem(&signer.to_pem().unwrap())
            .unwrap()
            .unwrap();
        let text = signer
            .sign("at+jwt", claims().as_object().unwrap())
            .unwrap();
        let keys = KeySet::parse(signer.public_set().as_bytes()).unwrap().keys;
        assert_eq!(keys.keys()[0].thumbprint(), signer.id());
        assert_eq!(keys.keys()[0].id(), Some(signer.id()));
        assert_eq!(outcome(text.as_bytes(), &keys, &expected()), Ok(()));
    }
    let rsa = Issuer::new().rsa.private_key_to_pem_pkcs8().unwrap();
    assert!(Signer::from_pem(&rsa).unwrap().is_none());
    assert!(Signer::from_pem(b"no pem").is_err());
}

#[test]
fn an_hmac_needs_its_secret_and_an_expectation_that_names_it() {
    let secret = [7_u8; 32];
    let keys = KeySet::of(vec![Key::from_secret(&secret).unwrap()]);
    assert!(Key::from_secret(&secret[1..]).is_err());
    let signed = format!(
        "{}.{}",
        encode(br#"{"alg":"HS256"}"#),
        encode(claims().to_string().as_bytes())
    );
    let key = PKey::hmac(&secret).unwrap();
    let mut signer = OpensslSigner::new(MessageDigest::sha256(), &key).unwrap();
    let signature = signer.sign_oneshot_to_vec(signed.as_bytes()).unwrap();
    let text = format!("{signed}.{}", encode(&signature));
    assert_eq!(
        outcome(text.as_bytes(), &keys, &expected()),
        Err(Reason::Algorithm)
    );
    let mut allowed = expected();
    allowed.algorithms = vec![Algorithm::Hs256];
    assert_eq!(outcome(text.as_bytes(), &keys, &allowed), Ok(()));
    let short = format!("{signed}.{}", encode(&signature[1..]));
    assert_eq!(
        outcome(short.as_bytes(), &keys, &allowed),
        Err(Reason::SignatureForm)
    );
    assert!(!format!("{keys:?}").contains("7, 7"));
}

#[test]
fn sets_skip_what_they_cannot_use_and_say_so() {
    use crate::{KeyFault as F, KeySetError as E};
    let issuer = Issuer::new();
    let mut with = issuer.jwks();
    let mut small = json!({ "kty": "RSA", "kid": "small", "e": "AQAB" });
    small["n"] = json!(encode(&[0xff; 128]));
    let mut one = with[0].clone();
    one["e"] = json!("AQ");
    let mut other = with[1].clone();
    other["alg"] = json!("RS256");
    let mut encrypts = with[0].clone();
    encrypts["use"] = json!("enc");
    let mut signs = with[4].clone();
    signs["key_ops"] = json!(["sign"]);
    let mut off = with[1].clone();
    off["y"] = with[1]["x"].clone();
    let mut private = with[1].clone();
    private["d"] = json!("AQ");
    let bad = [
        (json!("key"), F::Malformed),
        (json!({}), F::Malformed),
        (json!({ "kty": "EC" }), F::UnknownType),
        (
            json!({ "kty": "EC", "crv": "secp256k1", "x": "AQ", "y": "AQ" }),
            F::UnknownType,
        ),
        (
            json!({ "kty": "OKP", "crv": "X25519", "x": "AQ" }),
            F::UnknownType,
        ),
        (json!({ "kty": "oct", "k": "AQ" }), F::Secret),
        (private, F::Secret),
        (small, F::Size),
        (one, F::Invalid),
        (off, F::Invalid),
        (other, F::WrongAlgorithm),
        (encrypts, F::NotForSignatures),
        (signs, F::NotForSignatures),
    ];
    with.extend(bad.iter().map(|(jwk, _)| jwk.clone()));
    let parsed = KeySet::parse(json!({ "keys": with }).to_string().as_bytes()).unwrap();
    assert_eq!(parsed.keys.keys().len(), 5);
    let faults: Vec<_> = parsed.skipped.iter().map(|s| s.fault).collect();
    assert_eq!(
        faults,
        bad.iter().map(|(_, fault)| *fault).collect::<Vec<_>>()
    );
    for (text, error) in [
        ("".to_owned(), E::NotJson),
        ("{}".to_owned(), E::NoKeys),
        (r#"{"keys":[]}"#.to_owned(), E::NoKeys),
        (r#"{"keys":{}}"#.to_owned(), E::NoKeys),
        (r#"{"keys":[],"keys":[]}"#.to_owned(), E::DuplicateMember),
        (format!("{{\"keys\":[{}0]}}", "0,".repeat(128)), E::NoKeys),
        (" ".repeat(300_000), E::TooLong),
    ] {
        assert_eq!(
            KeySet::parse(text.as_bytes()).unwrap_err(),
            error,
            "{text:.40}"
        );
    }
    let none = KeySet::parse(br#"{"keys":[{"kty":"oct","kid":"a","k":"AQ"}]}"#).unwrap_err();
    assert!(none.to_string().contains("\"a\""), "{none}");
}
