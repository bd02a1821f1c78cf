//! Seals bytes to the public key of a recipient in the format of age (<https://age-encryption.org/v1>), which its tools
//! open. Only what [`Recipient::seal`] needs is here: a front door never opens what it sealed.

mod bech32;
#[cfg(test)]
pub(super) mod tests;

use std::fmt;

use openssl::base64::encode_block;
use openssl::derive::Deriver;
use openssl::error::ErrorStack;
use openssl::md::Md;
use openssl::pkey::{Id, PKey};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rand::rand_bytes;
use openssl::symm::{Cipher, encrypt_aead};

/// The first line of a sealed file.
const VERSION: &[u8] = b"age-encryption.org/v1\n";
/// Of the key that wraps the file key.
const WRAP_INFO: &[u8] = b"age-encryption.org/v1/X25519";
/// Bytes of plain text that are sealed together.
const CHUNK: usize = 64 * 1024;
/// The tag of ChaCha20-Poly1305.
const TAG: usize = 16;

/// The public key of someone who may open what is sealed: `age1...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

/// What is wrong with the text of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRecipient;

impl fmt::Display for NoRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "is no recipient of age: write the public key that age-keygen shows, \"age1...\"",
        )
    }
}

impl std::error::Error for NoRecipient {}

impl Recipient {
    /// Reads a public key as `age-keygen` writes it.
    ///
    /// # Errors
    /// It is something else, or mistyped: it has a checksum.
    pub fn parse(text: &str) -> Result<Self, NoRecipient> {
        let key = bech32::decode("age", text).ok_or(NoRecipient)?;
        let recipient = Self(key.try_into().map_err(|_| NoRecipient)?);
        // A point of low order makes every secret the same; OpenSSL refuses it.
        recipient.seal(b"").map_err(|_| NoRecipient)?;
        Ok(recipient)
    }

    /// An age file that only the recipient opens.
    ///
    /// # Errors
    /// OpenSSL has no random bytes to give.
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut file_key = [0; 16];
        rand_bytes(&mut file_key)?;
        let mut file = VERSION.to_vec();
        file.extend_from_slice(&self.stanza(&file_key)?);
        file.extend_from_slice(b"---");
        // The MAC covers the header with these dashes, and not the blank behind them.
        let mac_key = hkdf(&file_key, &[], b"header")?;
        let mac = hmac(&mac_key, &file)?;
        file.extend_from_slice(format!(" {}\n", base64(&mac)).as_bytes());
        let mut nonce = [0; 16];
        rand_bytes(&mut nonce)?;
        file.extend_from_slice(&nonce);
        let key = hkdf(&file_key, &nonce, b"payload")?;
        seal_chunks(&key, plain, &mut file)?;
        Ok(file)
    }

    /// The file key, wrapped for the recipient with a key that is used once.
    fn stanza(&self, file_key: &[u8; 16]) -> Result<Vec<u8>, ErrorStack> {
        let own = PKey::generate_x25519()?;
        let share = own.raw_public_key()?;
        let peer = PKey::public_key_from_raw_bytes(&self.0, Id::X25519)?;
        let mut deriver = Deriver::new(&own)?;
        deriver.set_peer(&peer)?;
        let secret = deriver.derive_to_vec()?;
        let salt = [&share[..], &self.0].concat();
        let key = hkdf(&secret, &salt, WRAP_INFO)?;
        // The key is used once, so that the nonce may be zero.
        let mut tag = [0; TAG];
        let nonce = [0; 12];
        let cipher = Cipher::chacha20_poly1305();
        let mut wrapped = encrypt_aead(cipher, &key, Some(&nonce), &[], file_key, &mut tag)?;
        wrapped.extend_from_slice(&tag);
        let (share, wrapped) = (base64(&share), base64(&wrapped));
        Ok(format!("-> X25519 {share}\n{wrapped}\n").into_bytes())
    }
}

/// Each chunk has its number and whether it is the last as its nonce, so that none can be cut off or moved.
fn seal_chunks(key: &[u8], plain: &[u8], file: &mut Vec<u8>) -> Result<(), ErrorStack> {
    // An empty text has a chunk too: only the last one says that nothing was cut off.
    let count = plain.len().div_ceil(CHUNK).max(1);
    for number in 0..count {
        let from = number * CHUNK;
        let chunk = plain
            .get(from..plain.len().min(from + CHUNK))
            .unwrap_or_default();
        let nonce = chunk_nonce(number as u64, number + 1 == count);
        let mut tag = [0; TAG];
        let cipher = Cipher::chacha20_poly1305();
        file.extend_from_slice(&encrypt_aead(
            cipher,
            key,
            Some(&nonce),
            &[],
            chunk,
            &mut tag,
        )?);
        file.extend_from_slice(&tag);
    }
    Ok(())
}

fn chunk_nonce(number: u64, is_last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    let (counter, last) = nonce.split_at_mut(11);
    // Eleven bytes, of which a number fills the last eight.
    for (place, byte) in counter.iter_mut().rev().zip(number.to_le_bytes()) {
        *place = byte;
    }
    last.fill(u8::from(is_last));
    nonce
}

/// HKDF with SHA-256 (RFC 5869); 32 bytes.
fn hkdf(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut context = PkeyCtx::new_id(Id::HKDF)?;
    context.derive_init()?;
    context.set_hkdf_md(Md::sha256())?;
    context.set_hkdf_key(secret)?;
    if !salt.is_empty() {
        context.set_hkdf_salt(salt)?;
    }
    context.add_hkdf_info(info)?;
    let mut key = vec![0; 32];
    context.derive(Some(&mut key))?;
    Ok(key)
}

fn hmac(key: &[u8], text: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(key)?;
    let mut signer = openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &key)?;
    signer.sign_oneshot_to_vec(text)
}

/// Without padding, as age wants it.
fn base64(bytes: &[u8]) -> String {
    encode_block(bytes).trim_end_matches('=').to_owned()
}
