//! The cookie that keeps a client with one server. It reveals nothing about the server.

use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

use super::Affinity;
use crate::hex::hex;

/// Hex digits of a server's id: 128 bits.
const TOKEN: usize = 32;

/// A server's id: an HMAC of its name, so that nobody learns or guesses addresses from it.
pub(super) fn token(
    affinity: &Affinity,
    upstream: &str,
    server: &str,
) -> Result<String, ErrorStack> {
    let key = match &affinity.key {
        Some(key) => &key.0,
        None => process_key()?,
    };
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
    signer.update(upstream.as_bytes())?;
    // A separator, so that no two pairs of upstream and server have the same bytes. A name holds no NUL.
    signer.update(&[0])?;
    signer.update(server.as_bytes())?;
    let digest = signer.sign_to_vec()?;
    let mut token = hex(&digest);
    token.truncate(TOKEN);
    Ok(token)
}

/// The key if none is configured. It lasts as long as the process, so cookies do not survive a restart.
fn process_key() -> Result<&'static Vec<u8>, ErrorStack> {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(key) = KEY.get() {
        return Ok(key);
    }
    let mut key = vec![0; 32];
    openssl::rand::rand_bytes(&mut key)?;
    // If two threads made a key at the same time, both use the first one.
    Ok(KEY.get_or_init(|| key))
}

/// The id in a client's cookies; the first cookie of that name counts.
pub(super) fn find<'h>(
    affinity: &Affinity,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
) -> Option<String> {
    let cookies = headers.filter(|(name, _)| name.eq_ignore_ascii_case(b"cookie"));
    let mut pairs = cookies.flat_map(|(_, value)| http_strict::cookies(value));
    let (_, value) = pairs.find(|(name, _)| *name == affinity.cookie.as_bytes())?;
    // A client may write anything here; only what can be an id is copied.
    let is_token = value.len() == TOKEN && value.iter().all(u8::is_ascii_hexdigit);
    is_token.then(|| value.iter().map(|b| char::from(*b)).collect())
}

/// The value of Set-Cookie. Without Max-Age the cookie ends with the browser's session.
pub(super) fn set_cookie(affinity: &Affinity, token: &str) -> String {
    let name = &affinity.cookie;
    format!("{name}={token}; Path=/; HttpOnly; Secure; SameSite=Lax")
}

#[cfg(test)]
mod tests {
    use super::super::AffinityKey;
    use super::*;

    fn keyed(key: &str) -> Affinity {
        Affinity {
            cookie: "route".to_owned(),
            key: Some(AffinityKey(key.as_bytes().to_vec())),
        }
    }

    #[test]
    fn ids_depend_on_the_key_and_the_server() {
        let id = |key, server| token(&keyed(key), "orders", server).unwrap();
        assert_eq!(id("a", "10.0.0.1:443"), id("a", "10.0.0.1:443"));
        assert_ne!(id("a", "10.0.0.1:443"), id("b", "10.0.0.1:443"));
        assert_ne!(id("a", "10.0.0.1:443"), id("a", "10.0.0.2:443"));
        assert_eq!(id("a", "10.0.0.1:443").len(), TOKEN);
    }

    #[test]
    fn cookies_are_found_whole() {
        let id = "0123456789abcdef0123456789abcdef";
        for (cookie, found) in [
            (format!("route={id}"), true),
            (format!("a=b; route={id} ; c=d"), true),
            (format!("xroute={id}"), false),
            (format!("routes={id}"), false),
            (format!("route={id}0"), false),
            ("route=".to_owned(), false),
            (
                "route=\u{fc}123456789abcdef0123456789abcde".to_owned(),
                false,
            ),
        ] {
            let headers = [(&b"Cookie"[..], cookie.as_bytes())];
            let pinned = find(&keyed("k"), headers.into_iter());
            assert_eq!(pinned.is_some(), found, "{cookie}");
        }
    }
}
