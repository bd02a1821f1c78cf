//! The key exchange group of a handshake, of which the openssl crate says only the key.

use openssl::nid::Nid;
use openssl::pkey::{HasPublic, KeyType, PKeyRef};
use openssl::ssl::SslRef;

/// The one group of [`super::GROUPS`] that is a KEM.
const HYBRID: &str = "X25519MLKEM768";

/// `X25519MLKEM768`, `X25519`, `P-256`, `P-384`; None if the handshake had no key exchange of its own. A resumed
/// session of TLS 1.2 has the group of its first handshake.
#[must_use]
pub fn group_text(ssl: &SslRef) -> Option<String> {
    match ssl.peer_tmp_key() {
        Ok(key) => Some(of_key(&key)),
        // In a KEM the server sends a ciphertext and no key, so OpenSSL has no key to show.
        Err(_) if ssl.version_str() == "TLSv1.3" && !ssl.session_reused() => {
            Some(HYBRID.to_owned())
        }
        // OpenSSL as a server of TLS 1.2 has freed the key by then, but its session records the group.
        Err(_) => of_session(&ssl.session()?.to_der().ok()?),
    }
}

/// The field `kex_group` of a session as OpenSSL writes it (ssl/ssl_asn1.c): `[19] EXPLICIT INTEGER`,
/// a number of the IANA registry "TLS Supported Groups".
fn of_session(der: &[u8]) -> Option<String> {
    const SEQUENCE: u8 = 0x30;
    const KEX_GROUP: u8 = 0xb3;
    const INTEGER: u8 = 0x02;
    let (SEQUENCE, mut fields, _) = element(der)? else {
        return None;
    };
    while let Some((tag, value, rest)) = element(fields) {
        if tag == KEX_GROUP {
            let (INTEGER, number, _) = element(value)? else {
                return None;
            };
            let number = number.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
            return of_number(number);
        }
        fields = rest;
    }
    None
}

/// Tag, value and what follows, of tags below 31 (X.690, 8.1).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Four bytes of length are more than any session has; with more the shift below could overflow.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            let length = length.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            (length, rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

fn of_number(number: u64) -> Option<String> {
    let name = match number {
        23 => "P-256",
        24 => "P-384",
        25 => "P-521",
        29 => "X25519",
        _ => return None,
    };
    Some(name.to_owned())
}

fn of_key<T: HasPublic>(key: &PKeyRef<T>) -> String {
    if key.is_a(KeyType::X25519) {
        return "X25519".to_owned();
    }
    // [`super::GROUPS`] has only one more group beside X25519 and the NIST curves.
    if !key.is_a(KeyType::EC) {
        return HYBRID.to_owned();
    }
    let curve = key.ec_key().ok().and_then(|ec| ec.group().curve_name());
    match curve {
        Some(Nid::X9_62_PRIME256V1) => "P-256",
        Some(Nid::SECP384R1) => "P-384",
        Some(Nid::SECP521R1) => "P-521",
        Some(other) => other.short_name().unwrap_or("EC"),
        None => "EC",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_says_its_group() {
        for (der, expected) in [
            (
                &b"\x30\x0a\x02\x01\x01\x04\x00\xb3\x03\x02\x01\x1d"[..],
                Some("X25519"),
            ),
            (b"\x30\x81\x07\xb3\x04\x02\x02\x00\x18", None),
            (b"\x30\x81\x06\xb3\x04\x02\x02\x00\x18", Some("P-384")),
            (b"\x30\x05\xb3\x03\x02\x01\x63", None),
            (b"\x30\x03\x02\x01\x01", None),
            (b"\x31\x05\xb3\x03\x02\x01\x1d", None),
            (b"\x30\x05\xb3\x7f\x02\x01\x1d", None),
            (b"\x30\x84\xff\xff\xff\xff", None),
            (b"", None),
        ] {
            assert_eq!(of_session(der).as_deref(), expected, "{der:02x?}");
        }
    }
}
