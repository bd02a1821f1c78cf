//! Content codings: decodes gzip (RFC 1952), deflate (RFC 1950, and RFC 1951 as some clients send it) and br (RFC
//! 7932).
//!
//! The output is bounded in total and in proportion to the input, whatever the data says. Data after the end of a
//! coding is an error, because the upstream may read it.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};

use super::{BodyError, excerpt, work};

/// Codings on top of each other. No client has a use for more; each multiplies what a bomb expands to.
const MOST_CODINGS: usize = 3;

/// Bytes of output up to which the ratio does not count: short texts may well repeat themselves.
const RATIO_FLOOR: usize = 64 * 1024;

/// The most that is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of output of each coding.
    pub output: usize,
    /// Bytes of output for each byte of input, past the first 64 KiB of output.
    pub ratio: usize,
}

/// Why a body could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// `offset` counts bytes of the output of the coding that failed.
    pub error: BodyError,
    /// What was decoded before the error, if it was the output of the last coding.
    pub decoded: Vec<u8>,
    /// There was more than [`Limits::output`].
    pub too_large: bool,
}

/// Why a coding cannot be undone. Whoever sent the body erred, except for [`CodingFault::OutOfTime`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum CodingFault {
    /// This coding is not known. What is quoted of its name is escaped and cut.
    Unsupported(String),
    /// There are more than [`MOST_CODINGS`].
    TooMany,
    /// The data breaks the coding's format, or ends too early: the decoder's words.
    Broken(String),
    /// Bytes stand behind the end of the data, which another reader may take for a part of the body.
    TrailingBytes,
    /// There is more output than this number of bytes: one of the [`Limits`].
    TooLarge(usize),
    /// The time for this transaction is over. The body may be a good one.
    OutOfTime,
}

#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

/// Undoes the Content-Encoding of `body`.
///
/// # Errors
/// A coding is unknown, its data is broken, ends too early or has something after it, or the output exceeds its limits.
pub fn decode<'b>(
    codings: &[u8],
    body: &'b [u8],
    limits: &Limits,
) -> Result<Cow<'b, [u8]>, DecodeError> {
    let codings = parse_codings(codings).map_err(|fault| DecodeError {
        error: BodyError::new(fault.to_string(), 0),
        decoded: Vec::new(),
        too_large: false,
    })?;
    let mut body = Cow::Borrowed(body);
    // The last coding in the list was applied last (RFC 9110, 8.4).
    for (index, coding) in codings.iter().enumerate().rev() {
        let mut decoded = Vec::new();
        if let Err(fault) = decode_one(*coding, &body, limits, &mut decoded) {
            let offset = decoded.len();
            // A bomb that the ratio stops has not reached this limit.
            let too_large = offset >= limits.output;
            // The output of an inner coding is still coded: rules could not read it.
            if index > 0 {
                decoded.clear();
            }
            return Err(DecodeError {
                error: BodyError::new(fault.to_string(), offset),
                decoded,
                too_large,
            });
        }
        body = Cow::Owned(decoded);
    }
    Ok(body)
}

fn parse_codings(value: &[u8]) -> Result<Vec<Coding>, CodingFault> {
    let mut codings = Vec::new();
    for name in value.split(|&b| b == b',') {
        let name = name.trim_ascii();
        let is = |names: &[&str]| {
            names
                .iter()
                .any(|n| name.eq_ignore_ascii_case(n.as_bytes()))
        };
        // `x-gzip` means the same (RFC 9110, 8.4.1.3).
        let coding = if is(&["gzip", "x-gzip"]) {
            Coding::Gzip
        } else if is(&["deflate"]) {
            Coding::Deflate
        } else if is(&["br"]) {
            Coding::Brotli
        // A list may have empty elements (RFC 9110, 5.6.1.2).
        } else if is(&["identity", ""]) {
            continue;
        } else {
            return Err(CodingFault::Unsupported(excerpt(name)));
        };
        if codings.len() == MOST_CODINGS {
            return Err(CodingFault::TooMany);
        }
        codings.push(coding);
    }
    Ok(codings)
}

fn decode_one(
    coding: Coding,
    input: &[u8],
    limits: &Limits,
    out: &mut Vec<u8>,
) -> Result<(), CodingFault> {
    // An empty body is empty in every coding: responses to HEAD, and 304, name codings too.
    if input.is_empty() {
        return Ok(());
    }
    let most = limits
        .output
        .min(input.len().saturating_mul(limits.ratio).max(RATIO_FLOOR));
    match coding {
        // A gzip stream may have several members (RFC 1952, 2.2), and servers decode all of them.
        Coding::Gzip => drain(flate2::bufread::MultiGzDecoder::new(input), most, out).map(drop),
        // RFC 9110 (8.4.1.2) means zlib by "deflate", but some clients send the bare format.
        Coding::Deflate if is_zlib(input) => {
            // The decoders of `bufread` leave what follows in the slice, where it is seen.
            let reader = drain(flate2::bufread::ZlibDecoder::new(input), most, out)?;
            nothing_behind(reader.get_ref())
        }
        Coding::Deflate => {
            let reader = drain(flate2::bufread::DeflateDecoder::new(input), most, out)?;
            nothing_behind(reader.get_ref())
        }
        Coding::Brotli => {
            let mut reader = drain(
                brotli_decompressor::Decompressor::new(input, 4096),
                most,
                out,
            )?;
            // The decoder reports data left in its own buffer only at a further read.
            reader.read(&mut [0]).map_err(|error| broken(&error))?;
            nothing_behind(reader.get_ref())
        }
    }
}

/// RFC 1950, section 2.2: the method and the check bits.
fn is_zlib(input: &[u8]) -> bool {
    matches!(input, [method, flags, ..]
        if method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0)
}

/// Reads to the end, `most` bytes at most.
fn drain<R: Read>(mut reader: R, most: usize, out: &mut Vec<u8>) -> Result<R, CodingFault> {
    let mut chunk = [0; 16 * 1024];
    loop {
        let count = match reader.read(&mut chunk) {
            Ok(0) => return Ok(reader),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(&error)),
        };
        work::add(count);
        if work::is_over() {
            return Err(CodingFault::OutOfTime);
        }
        // `out` never exceeds `most`, so the difference is not negative.
        let fits = count.min(most - out.len());
        out.extend_from_slice(&chunk[..fits]);
        if fits < count {
            return Err(CodingFault::TooLarge(most));
        }
    }
}

fn nothing_behind(rest: &[u8]) -> Result<(), CodingFault> {
    match rest {
        [] => Ok(()),
        _ => Err(CodingFault::TrailingBytes),
    }
}

fn broken(error: &io::Error) -> CodingFault {
    CodingFault::Broken(error.to_string())
}

impl fmt::Display for CodingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(name) => write!(f, "Content coding {name} is not supported."),
            Self::TooMany => write!(f, "More than {MOST_CODINGS} content codings."),
            Self::Broken(words) => write!(f, "Encoded body is broken: {words}."),
            Self::TrailingBytes => f.write_str("Encoded body has bytes behind its end."),
            Self::TooLarge(most) => write!(f, "Decoded body is larger than {most} bytes."),
            Self::OutOfTime => f.write_str(work::OUT_OF_TIME),
        }
    }
}

impl std::error::Error for CodingFault {}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::super::mutate::mutations;
    use super::*;

    const TEXT: &[u8] = b"name=value&name=value&name=value";
    /// `hello\n` by the reference encoder.
    const BROTLI: &[u8] = b"\x8f\x02\x80\x68\x65\x6c\x6c\x6f\x0a\x03";
    const LIMITS: Limits = Limits {
        output: 1 << 20,
        ratio: 200,
    };

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(data: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn undoes_every_coding() {
        for (codings, body, text) in [
            ("gzip", gzip(TEXT), TEXT),
            ("X-GZip", gzip(TEXT), TEXT),
            ("deflate", zlib(TEXT), TEXT),
            ("deflate", deflate(TEXT), TEXT),
            ("br", BROTLI.to_vec(), b"hello\n"),
            ("identity", TEXT.to_vec(), TEXT),
            ("", TEXT.to_vec(), TEXT),
            (" deflate , identity,gzip", gzip(&zlib(TEXT)), TEXT),
            (
                "gzip",
                [gzip(b"two "), gzip(b"members")].concat(),
                b"two members",
            ),
            ("gzip", Vec::new(), b""),
        ] {
            let decoded = decode(codings.as_bytes(), &body, &LIMITS);
            assert_eq!(decoded.as_deref(), Ok(text), "{codings}");
        }
        assert!(matches!(
            decode(b"identity", TEXT, &LIMITS),
            Ok(Cow::Borrowed(_))
        ));
    }

    #[test]
    fn says_what_it_cannot_undo() {
        let with_more = |body: &[u8]| [body, b"more"].concat();
        for (codings, body, text) in [
            ("zstd", TEXT.to_vec(), "coding zstd is not supported"),
            ("gzip, x\n", TEXT.to_vec(), "coding x is not supported"),
            ("gzip,gzip,gzip,gzip", TEXT.to_vec(), "More than 3"),
            ("gzip", TEXT.to_vec(), "broken"),
            ("gzip", with_more(&gzip(TEXT)), "broken"),
            ("deflate", with_more(&zlib(TEXT)), "behind its end"),
            ("deflate", with_more(&deflate(TEXT)), "behind its end"),
            ("br", with_more(BROTLI), "broken"),
            ("br", [BROTLI, &[b'x'; 9000]].concat(), "Encoded body"),
            ("br", BROTLI[..6].to_vec(), "broken"),
            ("br", b"\xff\xff".to_vec(), "broken"),
        ] {
            let error = decode(codings.as_bytes(), &body, &LIMITS)
                .expect_err(codings)
                .error;
            assert!(error.message.contains(text), "{codings}: {error}");
        }
    }

    #[test]
    fn what_came_out_before_an_error_is_kept() {
        let noise: Vec<u8> = (0..40_000_u32)
            .flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes())
            .collect();
        for (coding, body) in [("gzip", gzip(&noise)), ("deflate", zlib(&noise))] {
            let error = decode(coding.as_bytes(), &body[..body.len() / 2], &LIMITS).unwrap_err();
            assert!(
                error.decoded.len() > 10_000,
                "{coding}: {}",
                error.decoded.len()
            );
            assert!(noise.starts_with(&error.decoded));
            assert_eq!(error.error.offset, error.decoded.len());
        }
    }

    #[test]
    fn a_bomb_is_an_error_and_no_memory() {
        let bomb = gzip(&vec![b'a'; 4 << 20]);
        let small = Limits {
            output: 1000,
            ratio: 1000,
        };
        assert_eq!(
            decode(b"gzip", &bomb, &small).unwrap_err().decoded.len(),
            1000
        );
        let by_ratio = Limits {
            output: usize::MAX,
            ratio: 50,
        };
        let decoded = decode(b"gzip", &bomb, &by_ratio).unwrap_err().decoded;
        assert_eq!(decoded.len(), bomb.len() * 50);
        let twice = gzip(&bomb);
        assert!(decode(b"gzip, gzip", &twice, &by_ratio).is_err());
        let exact = gzip(&[b'a'; 1000]);
        assert!(decode(b"gzip", &exact, &small).is_ok());
    }

    #[test]
    fn mutations_stay_in_bounds() {
        let (gzipped, zlibbed, deflated) = (gzip(TEXT), zlib(TEXT), deflate(TEXT));
        mutations(
            &[&gzipped, &zlibbed, &deflated, BROTLI],
            &[b"\0", b"\xff", b"\x78\x9c", b"\x1f\x8b\x08"],
            5_000,
            |body| {
                for coding in [&b"gzip"[..], b"deflate", b"br", b"gzip,br"] {
                    let length = match decode(coding, body, &LIMITS) {
                        Ok(decoded) => decoded.len(),
                        Err(error) => error.decoded.len(),
                    };
                    assert!(length <= LIMITS.output);
                }
            },
        );
    }
}
