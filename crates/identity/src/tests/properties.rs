//! What holds for every token, good or bent.

use super::*;

/// No other text than the signed one is taken: the form has one spelling, and the signature covers the rest.
#[test]
fn no_bent_token_is_taken() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let expected = expected();
    let good = issuer.good(Algorithm::Es256).into_bytes();
    let mut random = Random::default();
    for _ in 0..3000 {
        let mut bent = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bent.len());
            match random.below(4) {
                0 => bent[at] ^= 1 << random.below(8),
                1 => drop(bent.remove(at)),
                2 => bent.insert(at, u8::try_from(random.below(256)).unwrap()),
                _ => {
                    let other = random.below(bent.len());
                    bent.swap(at, other);
                }
            }
        }
        let taken = outcome(&bent, &keys, &expected).is_ok();
        assert_eq!(taken, bent == good, "{}", bent.escape_ascii());
    }
}

/// Any claims survive signing and parsing, and the order of the checks never lets a wrong one through.
#[test]
fn what_is_signed_is_what_is_read() {
    let signer = crate::Signer::generate(crate::SigningAlgorithm::EdDsa).unwrap();
    let keys = KeySet::parse(signer.public_set().as_bytes()).unwrap().keys;
    let mut random = Random::default();
    for _ in 0..300 {
        let mut all = claims();
        for _ in 0..random.below(5) {
            let name: String = (0..=random.below(6)).map(|_| letter(&mut random)).collect();
            all[format!("x{name}")] = value(&mut random, 3);
        }
        let text = signer.sign("JWT", all.as_object().unwrap()).unwrap();
        let token = Token::parse(text.as_bytes()).unwrap();
        let read = verify(&token, &keys, &expected(), NOW).unwrap();
        assert_eq!(Some(read.all()), all.as_object());
    }
}

fn letter(random: &mut Random) -> char {
    *['a', '"', '\\', '\u{0}', '\u{e4}', '\u{1f600}', '.', ' ']
        .get(random.below(8))
        .unwrap()
}

fn value(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 4 } else { 6 }) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(i64::try_from(random.below(1 << 40)).unwrap() - (1 << 39)),
        3 => (0..random.below(5))
            .map(|_| letter(random))
            .collect::<String>()
            .into(),
        4 => (0..random.below(3))
            .map(|_| value(random, depth - 1))
            .collect(),
        _ => json!({ "a": value(random, depth - 1) }),
    }
}
