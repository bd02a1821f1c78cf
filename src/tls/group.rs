//! The key exchange group of a handshake, of which the openssl crate says only the key.

use openssl::nid::Nid;
use openssl::pkey::{HasPublic, KeyType, PKeyRef};
use openssl::ssl::SslRef;

/// The one group of [`super::GROUPS`] that is a KEM.
const HYBRID: &str = "X25519MLKEM768";

/// `X25519MLKEM768`, `X25519`, `P-256`, `P-384`; None where the handshake had no key exchange of
/// its own, and on the server's side of TLS 1.2, where OpenSSL has forgotten it by then.
#[must_use]
pub fn group_text(ssl: &SslRef) -> Option<String> {
    match ssl.peer_tmp_key() {
        Ok(key) => Some(of_key(&key)),
        // A client has no key of the server's in a KEM: there is a ciphertext instead.
        Err(_) if ssl.version_str() == "TLSv1.3" && !ssl.session_reused() => {
            Some(HYBRID.to_owned())
        }
        Err(_) => None,
    }
}

fn of_key<T: HasPublic>(key: &PKeyRef<T>) -> String {
    if key.is_a(KeyType::X25519) {
        return "X25519".to_owned();
    }
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
