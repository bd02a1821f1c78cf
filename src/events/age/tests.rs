//! Opens what was sealed, and a test vector of the format's authors, with the same code.

use openssl::base64::decode_block;
use openssl::symm::decrypt_aead;

use super::*;

/// What the identity opens; None if it is not for it, or was changed.
fn open(identity: &str, file: &[u8]) -> Option<Vec<u8>> {
    let own = bech32::decode("age-secret-key-", identity)?;
    let mac_at = memchr::memmem::find(file, b"\n--- ")? + 4;
    let text = std::str::from_utf8(&file[..mac_at]).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let unpadded = |text: &str| {
        let padding = "=".repeat((4 - text.len() % 4) % 4);
        decode_block(&format!("{text}{padding}")).unwrap()
    };
    assert_eq!(lines[0].as_bytes(), &VERSION[..VERSION.len() - 1]);
    let share = unpadded(lines[1].strip_prefix("-> X25519 ").unwrap());
    let wrapped = unpadded(lines[2]);

    let own = PKey::private_key_from_raw_bytes(&own, Id::X25519).unwrap();
    let peer = PKey::public_key_from_raw_bytes(&share, Id::X25519).unwrap();
    let mut deriver = Deriver::new(&own).unwrap();
    deriver.set_peer(&peer).unwrap();
    let secret = deriver.derive_to_vec().unwrap();
    let salt = [share, own.raw_public_key().unwrap()].concat();
    let key = hkdf(&secret, &salt, WRAP_INFO).unwrap();
    let file_key = open_chunk(&key, &[0; 12], &wrapped)?;

    let rest = &file[mac_at..];
    let line_end = memchr::memchr(b'\n', rest).unwrap();
    let mac = unpadded(std::str::from_utf8(&rest[1..line_end]).unwrap());
    let mac_key = hkdf(&file_key, &[], b"header").unwrap();
    if hmac(&mac_key, &file[..mac_at]).unwrap() != mac {
        return None;
    }
    let (nonce, chunks) = rest[line_end + 1..].split_at(16);
    let key = hkdf(&file_key, nonce, b"payload").unwrap();
    let mut plain = Vec::new();
    let count = chunks.len().div_ceil(CHUNK + TAG);
    for (number, chunk) in chunks.chunks(CHUNK + TAG).enumerate() {
        let nonce = chunk_nonce(number as u64, number + 1 == count);
        plain.extend(open_chunk(&key, &nonce, chunk)?);
    }
    Some(plain)
}

fn open_chunk(key: &[u8], nonce: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (text, tag) = sealed.split_at(sealed.len() - TAG);
    decrypt_aead(
        Cipher::chacha20_poly1305(),
        key,
        Some(nonce),
        &[],
        text,
        tag,
    )
    .ok()
}

/// `x25519` of the community's test vectors (C2SP/CCTV).
const IDENTITY: &str = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
const VECTOR: &str = "age-encryption.org/v1
-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc
hjabGXwSLQ9c3S6Lw2i+S2Tu2fiwQHHslbBN6B41FLE
--- WyJp9F/9FOZh7gJdheq2WIJcwHgYc8NIVh3ddwhrcNg
";
const VECTOR_PAYLOAD: [u8; 35] = [
    0xee, 0xcf, 0x62, 0xc7, 0xce, 0x91, 0xb4, 0x33, 0x27, 0x4e, 0x68, 0xd4, 0xf2, 0xf9, 0x13, 0x4c,
    0xb7, 0x4c, 0x5b, 0xfe, 0xf7, 0xbe, 0xaa, 0x52, 0xc8, 0xf0, 0xbc, 0x0e, 0x99, 0x2c, 0x1e, 0x83,
    0x31, 0xfb, 0x66,
];

/// The recipient of that identity.
pub(in crate::events) fn recipient() -> Recipient {
    let own = bech32::decode("age-secret-key-", IDENTITY).unwrap();
    let own = PKey::private_key_from_raw_bytes(&own, Id::X25519).unwrap();
    Recipient(own.raw_public_key().unwrap().try_into().unwrap())
}

pub(in crate::events) fn opened(file: &[u8]) -> Vec<u8> {
    open(IDENTITY, file).unwrap()
}

#[test]
fn a_published_vector_opens() {
    let file = [VECTOR.as_bytes(), &VECTOR_PAYLOAD].concat();
    assert_eq!(open(IDENTITY, &file).as_deref(), Some(&b"age"[..]));
}

#[test]
fn what_is_sealed_opens_and_only_unchanged() {
    let recipient = recipient();
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let plain: Vec<u8> = (0..251).cycle().take(length).collect();
        let file = recipient.seal(&plain).unwrap();
        assert_eq!(open(IDENTITY, &file).as_ref(), Some(&plain), "{length}");
        let mut bent = file.clone();
        *bent.last_mut().unwrap() ^= 1;
        assert_eq!(open(IDENTITY, &bent), None);
        assert_ne!(
            recipient.seal(&plain).unwrap(),
            file,
            "every file has its own key"
        );
    }
}

#[test]
fn recipients_are_read_as_they_are_written() {
    let text = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    assert!(Recipient::parse(text).is_ok());
    assert!(Recipient::parse(&text.to_ascii_uppercase()).is_ok());
    for wrong in [
        "",
        "age1",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q",
        "AGE1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
        "bge1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
        IDENTITY,
    ] {
        assert_eq!(Recipient::parse(wrong), Err(NoRecipient), "{wrong}");
    }
}
