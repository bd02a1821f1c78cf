//! Reads the server name of a `ClientHello` (RFC 8446, 4.1.2; RFC 6066, 3) before OpenSSL does, because OpenSSL looks
//! for a session to resume before it reports the name. OpenSSL gets the same bytes afterwards, so what is unreadable
//! here is decided there.

/// In bytes. A longer hello is left to OpenSSL; it bounds what a client makes us buffer before its handshake.
const LONGEST: usize = 32 * 1024;
/// A hello in more records is left to OpenSSL. Real ones come in one or two.
const MOST_RECORDS: usize = 8;

/// What the first bytes of a connection say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientHello {
    /// At least so many bytes are needed in total.
    Partial(usize),
    /// The name as it was sent; None if the client sent none.
    ServerName(Option<String>),
    /// Not a hello that can be read; OpenSSL reports what is wrong.
    Unreadable,
}

impl ClientHello {
    /// Reads what there is of a ClientHello (RFC 8446, 4.1.2).
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        match message(bytes) {
            Ok(message) => match server_name(&message) {
                Some(name) => Self::ServerName(name),
                None => Self::Unreadable,
            },
            Err(needed) if needed > LONGEST => Self::Unreadable,
            Err(needed) => Self::Partial(needed),
        }
    }
}

/// The body of the handshake message, joined from its records. The error is the number of bytes that are needed; it is
/// too large a number if this is no hello.
fn message(bytes: &[u8]) -> Result<Vec<u8>, usize> {
    const NONE: usize = usize::MAX;
    let mut message = Vec::new();
    let mut at = 0;
    for _ in 0..MOST_RECORDS {
        let header = bytes.get(at..at + 5).ok_or(at + 5)?;
        // 22 is a handshake record. The minor version says nothing: clients of TLS 1.3 send 1 or 3 (RFC 8446, 5.1).
        let &[22, 3, _, high, low] = header else {
            return Err(NONE);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let end = at + 5 + length;
        message.extend_from_slice(bytes.get(at + 5..end).ok_or(end)?);
        at = end;
        if let [kind, a, b, c, body @ ..] = message.as_slice() {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            // 1 is client_hello.
            if *kind != 1 {
                return Err(NONE);
            }
            if let Some(whole) = body.get(..length) {
                return Ok(whole.to_vec());
            }
        }
    }
    Err(NONE)
}

/// The outer None: this is no hello.
fn server_name(hello: &[u8]) -> Option<Option<String>> {
    // After the version and the random.
    let rest = hello.get(2 + 32..)?;
    let (_session_id, rest) = vector(rest, 1)?;
    let (_ciphers, rest) = vector(rest, 2)?;
    let (_compressions, rest) = vector(rest, 1)?;
    // Before TLS 1.3 a hello may have no extensions (RFC 5246, 7.4.1.2).
    if rest.is_empty() {
        return Some(None);
    }
    let (mut extensions, _) = vector(rest, 2)?;
    while let [high, low, rest @ ..] = extensions {
        let (extension, rest) = vector(rest, 2)?;
        // Extension 0 is server_name, and 0 is host_name, the only type of name there is.
        if (high, low) == (&0, &0) {
            let (names, _) = vector(extension, 2)?;
            let (name, _) = vector(names.strip_prefix(&[0])?, 2)?;
            return Some(Some(String::from_utf8(name.to_vec()).ok()?));
        }
        extensions = rest;
    }
    Some(None)
}

/// A vector whose length is in its first `width` bytes, and what follows it.
fn vector(bytes: &[u8], width: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(width)?;
    let length = length.iter().fold(0, |sum, &b| sum << 8 | usize::from(b));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixed(width: usize, bytes: &[u8]) -> Vec<u8> {
        [&bytes.len().to_be_bytes()[8 - width..], bytes].concat()
    }

    fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
        let body = [
            vec![3; 34],
            prefixed(1, &[7; 32]),
            prefixed(2, &[0x13, 1]),
            prefixed(1, &[0]),
            prefixed(2, &extensions.concat()),
        ];
        [vec![1], prefixed(3, &body.concat())].concat()
    }

    fn sni(name: &[u8]) -> Vec<u8> {
        let list = prefixed(2, &[vec![0], prefixed(2, name)].concat());
        [vec![0, 0], prefixed(2, &list)].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |piece: &[u8]| [vec![22, 3, 1], prefixed(2, piece)].concat();
        message.chunks(size).flat_map(record).collect()
    }

    #[test]
    fn names_are_found_however_they_arrive() {
        let other = [vec![0, 16], prefixed(2, b"xyz")].concat();
        for (extensions, expected) in [
            (vec![sni(b"A.test")], Some("A.test".to_owned())),
            (
                vec![other.clone(), sni(b"a.test")],
                Some("a.test".to_owned()),
            ),
            (vec![other], None),
            (vec![], None),
        ] {
            let message = hello(&extensions);
            for size in [message.len(), message.len() / 2 + 1, 20] {
                let bytes = records(&message, size);
                let found = ClientHello::parse(&[&bytes[..], b"more"].concat());
                assert_eq!(found, ClientHello::ServerName(expected.clone()), "{size}");
                for length in 0..bytes.len() {
                    let ClientHello::Partial(needed) = ClientHello::parse(&bytes[..length]) else {
                        panic!("{length}");
                    };
                    assert!((length + 1..=bytes.len()).contains(&needed), "{length}");
                }
            }
        }
    }

    #[test]
    fn what_is_none_is_left_to_openssl() {
        let message = hello(&[sni(b"a.test")]);
        for bytes in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            records(&message, 5),
            records(&[2, 0, 0, 1, 0], 99),
            records(&[1, 0, 0, 1, 0], 99),
            records(&hello(&[sni(b"\xff")]), 999),
            records(&hello(&[vec![0, 0, 9, 9]]), 999),
        ] {
            assert_eq!(
                ClientHello::parse(&bytes),
                ClientHello::Unreadable,
                "{bytes:?}"
            );
        }
    }
}
