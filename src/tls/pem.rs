//! Reads PEM (RFC 7468) strictly, names the line of what is damaged, and recognises files of other formats.
//!
//! OpenSSL skips what it cannot read; here nothing is skipped, so that no certificate of a bundle is lost silently.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use openssl::base64::decode_block;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509Crl, X509Req};

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// What is between one BEGIN and its END.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// `CERTIFICATE`
    pub label: String,
    pub der: Vec<u8>,
    /// The lines of BEGIN and END, counted from 1.
    pub lines: (usize, usize),
    /// A line of another length than the others. A valid block may have one, so it is only reported if the DER is
    /// damaged.
    odd: Option<Damage>,
}

/// A place in a file and what is wrong there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub line: usize,
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

fn damage<T>(line: usize, what: impl Into<String>) -> Result<T, Damage> {
    let what = what.into();
    Err(Damage { line, what })
}

/// Without a byte order mark.
#[must_use]
pub(super) fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes)
}

/// All blocks of a file. Text between them is ignored: many tools write the subject there.
///
/// # Errors
/// The first line that is damaged; nothing is skipped.
pub(super) fn blocks(bytes: &[u8]) -> Result<Vec<Block>, Damage> {
    let mut blocks = Vec::new();
    let mut open: Option<Open<'_>> = None;
    let mut last = 0;
    for (index, line) in unmarked(bytes).split(|&b| b == b'\n').enumerate() {
        let number = index + 1;
        // Lines may end in CRLF (RFC 7468, 3).
        let line = line.trim_ascii();
        if !line.is_empty() {
            last = number;
        }
        match (boundary(line, number)?, &mut open) {
            (Some(Boundary::Begin(label)), None) => open = Some((label, number, Vec::new())),
            (Some(Boundary::Begin(_)), Some((label, began, _))) => {
                return damage(
                    number,
                    format!("the {label} that begins in line {began} has no END line before this"),
                );
            }
            (Some(Boundary::End(end)), Some((label, began, lines))) if end == *label => {
                blocks.push(block(label, (*began, number), lines)?);
                open = None;
            }
            (Some(Boundary::End(end)), Some((label, began, _))) => {
                let what = format!("END {end} where the {label} of line {began} should end");
                return damage(number, what);
            }
            (Some(Boundary::End(label)), None) => {
                return damage(number, format!("END {label} without its BEGIN line"));
            }
            (None, Some((_, _, lines))) => lines.push((number, line)),
            (None, None) => {}
        }
    }
    match open {
        Some((label, began, _)) => damage(
            last,
            format!("the file ends within the {label} that begins in line {began}"),
        ),
        None => Ok(blocks),
    }
}

/// Its label, where it begins, and its lines so far.
type Open<'b> = (String, usize, Vec<(usize, &'b [u8])>);

enum Boundary {
    Begin(String),
    End(String),
}

/// None for any other line. A line that was meant as a boundary but is malformed is an error.
fn boundary(line: &[u8], number: usize) -> Result<Option<Boundary>, Damage> {
    // Two dashes are enough to count as a boundary, so that one that lost a dash is reported and not taken for base64.
    if !line.starts_with(b"--") {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(line);
    let inner = text.trim_start_matches('-');
    let (begin, end) = (inner.strip_prefix("BEGIN "), inner.strip_prefix("END "));
    let Some(rest) = begin.or(end) else {
        return Ok(None);
    };
    let is_label = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == ' ';
    let label = &rest[..rest.find(|c| !is_label(c)).unwrap_or(rest.len())];
    let word = if begin.is_some() { "BEGIN" } else { "END" };
    let whole = format!("-----{word} {label}-----");
    if text != whole {
        // The line is not shown: it may contain a part of a key.
        return damage(number, format!("it should be \"{whole}\" and nothing else"));
    }
    let label = label.to_owned();
    Ok(Some(match begin {
        Some(_) => Boundary::Begin(label),
        None => Boundary::End(label),
    }))
}

fn block(label: &str, lines: (usize, usize), content: &[(usize, &[u8])]) -> Result<Block, Damage> {
    // Encrypted keys of the old form have fields above their base64 (`DEK-Info: ...`; RFC 1421, 4.6).
    let body = match content.iter().rposition(|(_, line)| line.contains(&b':')) {
        Some(last) => &content[last + 1..],
        None => content,
    };
    let body: Vec<(usize, &[u8])> = body
        .iter()
        .copied()
        .filter(|(_, l)| !l.is_empty())
        .collect();
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    for &(number, line) in &body {
        if let Some(wrong) = line.iter().find(|b| !is_base64(b)) {
            let shown = char::from(*wrong).escape_debug();
            return damage(number, format!("\"{shown}\" is no character of base64"));
        }
    }
    let joined: Vec<u8> = body
        .iter()
        .flat_map(|(_, line)| line.iter().copied())
        .collect();
    if joined.is_empty() {
        return damage(lines.0, format!("the {label} that begins here is empty"));
    }
    let text = String::from_utf8_lossy(&joined);
    // Padding in the middle: two blocks were joined, or lines were exchanged. Some decoders stop there.
    let padding = text
        .find('=')
        .is_some_and(|at| !text[at..].trim_start_matches('=').is_empty());
    match decode_block(&text) {
        Ok(der) if !padding && joined.len().is_multiple_of(4) => Ok(Block {
            label: label.to_owned(),
            der,
            lines,
            odd: odd_line(&body),
        }),
        _ => {
            let cut = "the base64 of what begins here is cut: characters are missing or too many";
            odd_line(&body).map_or_else(|| damage(lines.0, cut), Err)
        }
    }
}

/// A line of another length than the first. The last one may be shorter.
fn odd_line(body: &[(usize, &[u8])]) -> Option<Damage> {
    let width = body.first()?.1.len();
    let (_, but_last) = body.split_last()?;
    let odd = but_last.iter().find(|(_, line)| line.len() != width);
    let found = odd.map(|(number, line)| {
        let what = format!(
            "it has {} characters, the lines above it {width}",
            line.len()
        );
        Damage {
            line: *number,
            what,
        }
    });
    let last = body
        .last()
        .filter(|(_, line)| line.len() > width || line.len() % 4 != 0);
    found.or_else(|| {
        let (number, line) = last?;
        let what = format!("it is cut: {} characters, no multiple of 4", line.len());
        Some(Damage {
            line: *number,
            what,
        })
    })
}

impl Block {
    #[must_use]
    pub(super) fn is_certificate(&self) -> bool {
        // The second label is an older one of the same (RFC 7468, 5.1).
        matches!(self.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE")
    }

    /// The certificate in it.
    ///
    /// # Errors
    /// Where it begins, and what is wrong with it.
    pub(super) fn certificate(&self) -> Result<X509, Damage> {
        self.whole()?;
        X509::from_der(&self.der).or_else(|_| self.not_readable())
    }

    /// The revocation list in it.
    ///
    /// # Errors
    /// Where it begins, and what is wrong with it.
    pub(super) fn list(&self) -> Result<X509Crl, Damage> {
        self.whole()?;
        X509Crl::from_der(&self.der).or_else(|_| self.not_readable())
    }

    fn not_readable<T>(&self) -> Result<T, Damage> {
        let (begin, end) = self.lines;
        damage(
            begin,
            format!(
                "what stands here up to line {end} is whole base64, but characters in it were changed"
            ),
        )
    }

    /// Checks that the DER has the length in its header (X.690, 8.1.3). So missing lines are reported as such.
    fn whole(&self) -> Result<(), Damage> {
        let (begin, end) = self.lines;
        match (der_length(&self.der), &self.odd) {
            (Some(said), Some(odd)) if said != self.der.len() => damage(odd.line, &odd.what),
            (Some(said), None) if said != self.der.len() => damage(
                begin,
                format!(
                    "what stands here up to line {end} says that it has {said} bytes, and has {}: lines are missing or too many",
                    self.der.len()
                ),
            ),
            _ => Ok(()),
        }
    }
}

/// The length of the first element, its header included.
fn der_length(der: &[u8]) -> Option<usize> {
    let (&first, rest) = der.get(1..)?.split_first()?;
    match first {
        0..=0x7f => Some(2 + usize::from(first)),
        0x81..=0x84 => {
            let width = usize::from(first - 0x80);
            let bytes = rest.get(..width)?;
            let length = bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            Some(2 + width + length)
        }
        // 0x80 is the indefinite length, which DER does not have (X.690, 10.1).
        _ => None,
    }
}

/// What a file is if it is not PEM of the expected kind, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreign {
    /// `is PKCS#12, not PEM`
    pub what: &'static str,
    pub help: Option<&'static str>,
}

/// None if the format is unknown.
#[must_use]
pub(super) fn recognise(bytes: &[u8]) -> Option<Foreign> {
    // signedData (RFC 5652, 5.1).
    const PKCS7_OID: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    let found = |what, help| Some(Foreign { what, help });
    if bytes.trim_ascii().is_empty() {
        return found("is empty", None);
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return found(
            "is text in UTF-16, not PEM",
            Some("save it as plain text: iconv -f UTF-16 -t ASCII FILE > FILE.pem"),
        );
    }
    if bytes.starts_with(b"\xfe\xed\xfe\xed") {
        return found(
            "is a Java key store, not PEM",
            Some(
                "keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype PKCS12, then openssl pkcs12 -in FILE.p12",
            ),
        );
    }
    // All that follows is DER that begins with a SEQUENCE.
    if bytes.first() != Some(&0x30) {
        return of_text(bytes);
    }
    // A PFX is a SEQUENCE that begins with its version, 3, and another SEQUENCE (RFC 7292, 4).
    let content = &bytes[header_length(bytes).min(bytes.len())..];
    if content.starts_with(b"\x02\x01\x03\x30") {
        return found(
            "is PKCS#12, not PEM",
            Some(
                "take it apart: openssl pkcs12 -in FILE -nokeys -out CHAIN.pem, and openssl pkcs12 -in FILE -nocerts -nodes -out KEY.pem",
            ),
        );
    }
    if content.starts_with(PKCS7_OID) {
        return found(
            "is PKCS#7 in DER, not PEM",
            Some("convert it: openssl pkcs7 -inform der -in FILE -print_certs -out FILE.pem"),
        );
    }
    if X509::from_der(bytes).is_ok() {
        return found(
            "is DER, not PEM",
            Some("convert it: openssl x509 -inform der -in FILE -out FILE.pem"),
        );
    }
    if X509Crl::from_der(bytes).is_ok() {
        return found(
            "is a revocation list in DER, not PEM",
            Some("convert it: openssl crl -inform der -in FILE -out FILE.pem"),
        );
    }
    if X509Req::from_der(bytes).is_ok() {
        return found("is a request for a certificate, not a certificate", REQUEST);
    }
    if PKey::private_key_from_der(bytes).is_ok() {
        return found(
            "is a key in DER, not PEM",
            Some("convert it: openssl pkey -inform der -in FILE -out FILE.pem, mode 0600"),
        );
    }
    found(
        "is DER or another binary format, not PEM",
        Some("openssl asn1parse -inform der -in FILE says what is in it"),
    )
}

const REQUEST: Option<&str> = Some("the CA answers it with the certificate; name that file");

/// Recognises text by the labels of its blocks, or by its beginning.
fn of_text(bytes: &[u8]) -> Option<Foreign> {
    let text = String::from_utf8_lossy(bytes);
    let begins = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
    let found = |what, help| Some(Foreign { what, help });
    if begins("PKCS7") || begins("CMS") {
        return found(
            "holds PKCS#7",
            Some("convert it: openssl pkcs7 -in FILE -print_certs -out FILE.pem"),
        );
    }
    if begins("CERTIFICATE REQUEST") || begins("NEW CERTIFICATE REQUEST") {
        return found(
            "holds a request for a certificate, not a certificate",
            REQUEST,
        );
    }
    if begins("TRUSTED CERTIFICATE") {
        return found(
            "holds a certificate in OpenSSL's own trusted form",
            Some("convert it: openssl x509 -in FILE -out FILE.pem"),
        );
    }
    if begins("OPENSSH PRIVATE KEY") {
        return found(
            "holds a key in OpenSSH's form",
            Some("convert a copy of it: ssh-keygen -p -m PEM -f COPY"),
        );
    }
    if text.starts_with("PuTTY-User-Key-File") {
        return found(
            "holds a key in PuTTY's form",
            Some("convert it: puttygen FILE -O private-openssh -o FILE.pem"),
        );
    }
    if begins("PUBLIC KEY") || begins("RSA PUBLIC KEY") {
        return found("holds a public key, not the private one", None);
    }
    let lower = text.trim_start().to_ascii_lowercase();
    if lower.starts_with("<!doctype") || lower.starts_with("<html") {
        return found(
            "is a web page, not PEM",
            Some("what was downloaded was an answer for a browser"),
        );
    }
    None
}

fn header_length(der: &[u8]) -> usize {
    match der.get(1) {
        Some(first @ 0x80..=0x84) => 2 + usize::from(first - 0x80),
        _ => 2,
    }
}

#[cfg(test)]
mod tests;
