//! What a server reads of a body, for those who have the whole of it in memory.

use std::fmt;

/// Why a chunked body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It ends before its last chunk.
    Incomplete,
    /// A chunk's size or its line end is not what RFC 9112, section 7.1 says.
    BadChunk,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "the chunked body ends before its last chunk",
            Self::BadChunk => "a chunk of the body is malformed",
        })
    }
}

impl std::error::Error for BodyError {}

/// Decodes a chunked body (RFC 9112, section 7.1) without its extensions and trailers.
///
/// # Errors
/// Where the body is malformed or ends too early.
pub fn decode_chunked(mut rest: &[u8]) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    loop {
        let (line, after) = split_line(rest)?;
        let size = chunk_size(line)?;
        if size == 0 {
            return Ok(body);
        }
        if after.len() < size + 2 {
            return Err(BodyError::Incomplete);
        }
        let (chunk, after) = after.split_at(size);
        body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n").ok_or(BodyError::BadChunk)?;
    }
}

fn split_line(bytes: &[u8]) -> Result<(&[u8], &[u8]), BodyError> {
    let end = bytes
        .iter()
        .position(|&b| b == b'\n')
        .ok_or(BodyError::Incomplete)?;
    let line = bytes[..end]
        .strip_suffix(b"\r")
        .ok_or(BodyError::BadChunk)?;
    Ok((line, &bytes[end + 1..]))
}

fn chunk_size(line: &[u8]) -> Result<usize, BodyError> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if !(1..=8).contains(&digits) || !matches!(line.get(digits), None | Some(b';')) {
        return Err(BodyError::BadChunk);
    }
    std::str::from_utf8(&line[..digits])
        .ok()
        .and_then(|text| usize::from_str_radix(text, 16).ok())
        .ok_or(BodyError::BadChunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_bodies() {
        type Case<'a> = (&'a [u8], Result<&'a [u8], BodyError>);
        let cases: [Case<'_>; 9] = [
            (b"3\r\nHi \r\n3;x=y\r\nCRS\r\n0\r\n\r\n", Ok(b"Hi CRS")),
            (b"0\r\nTrailer: x\r\n\r\n", Ok(b"")),
            (b"A\r\n0123456789\r\n0\r\n\r\n", Ok(b"0123456789")),
            (b"", Err(BodyError::Incomplete)),
            (b"5\r\nabc", Err(BodyError::Incomplete)),
            (b"3\nabc\n", Err(BodyError::BadChunk)),
            (b"+3\r\nabc\r\n", Err(BodyError::BadChunk)),
            (b"3 \r\nabc\r\n", Err(BodyError::BadChunk)),
            (b"ffffffffffffffff\r\nabc\r\n", Err(BodyError::BadChunk)),
        ];
        for (raw, expected) in cases {
            let got = decode_chunked(raw);
            assert_eq!(
                got.as_deref(),
                expected.as_ref().copied(),
                "{}",
                raw.escape_ascii()
            );
        }
    }
}
