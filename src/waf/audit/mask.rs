//! What must not reach a log: which names stand for secrets, and where secrets lie in text.
//!
//! Masking is by meaning, not by parsing: text that a rule saw may be a query, a form, JSON, XML, header lines
//! or a piece of any of them. Where in doubt more is masked rather than less. One pass, linear.

use std::ops::Range;

use crate::waf::byteset::ByteSet;

/// What stands in a record for a secret.
pub const MASK: &[u8] = b"***";

/// Bytes of a name that are looked at.
const NAME: usize = 128;

/// Parts of names that stand for secrets wherever they occur; lower case, separators removed.
const INSIDE: &[&[u8]] = &[
    b"passw",
    b"passphrase",
    b"passcode",
    b"pwd",
    b"secret",
    b"token",
    b"apikey",
    b"accesskey",
    b"privatekey",
    b"authorization",
    b"credential",
    b"creditcard",
    b"cardnumber",
    b"cardno",
    b"ccnumber",
    b"sessionid",
    b"sessid",
    b"sessionkey",
    b"signature",
    b"samlresponse",
    b"samlart",
    b"authcode",
    b"devicecode",
    b"usercode",
    b"verificationcode",
    b"recoverycode",
    b"backupcode",
    b"resetcode",
    b"onetimecode",
    b"pincode",
    b"passkey",
    b"sharedkey",
    b"masterkey",
    b"signingkey",
    b"encryptionkey",
    b"subscriptionkey",
];

/// What these begin with.
const BEGINS_INSIDE: ByteSet = {
    let mut first = ByteSet::EMPTY;
    let mut at = 0;
    while at < INSIDE.len() {
        first = first.with(INSIDE[at][0]);
        at += 1;
    }
    first
};

/// Words that stand for secrets only on their own.
const WORDS: &[&[u8]] = &[
    b"pass",
    b"pin",
    b"otp",
    b"cvv",
    b"cvc",
    b"cvv2",
    b"ccnum",
    b"pan",
    b"jwt",
    b"sid",
    b"auth",
    b"pw",
    b"sig",
    b"hmac",
    b"assertion",
    b"totp",
    b"csrf",
    b"xsrf",
    b"ssn",
    b"verifier",
    b"dpop",
];

/// Names, or last steps of a path to one, that stand for secrets only as a whole: `code` does, `country_code` does not.
const ALONE: &[&[u8]] = &[
    b"code", b"session", b"sess", b"sign", b"ticket", b"bearer", b"wresult",
];

/// Keys and elements of which the content may be the name of what stands beside it.
const NAMING: &[&[u8]] = &[b"name", b"key", b"id", b"field", b"param", b"k", b"n"];

/// How much of a header's value is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderSecret {
    None,
    Whole,
    /// All but the scheme.
    Credentials,
    /// Every value; names stay.
    Cookies,
    /// The first value; its name and the attributes stay.
    SetCookie,
}

pub(crate) fn header_secret(name: &[u8]) -> HeaderSecret {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    if is("authorization") || is("proxy-authorization") {
        return HeaderSecret::Credentials;
    }
    if is("cookie") || is("cookie2") {
        return HeaderSecret::Cookies;
    }
    if is("set-cookie") || is("set-cookie2") {
        return HeaderSecret::SetCookie;
    }
    match is_secret_name(name) {
        true => HeaderSecret::Whole,
        false => HeaderSecret::None,
    }
}

/// Whether an argument, a header or a key of this name holds a secret. Percent escapes in it are undone.
#[must_use]
pub fn is_secret_name(name: &[u8]) -> bool {
    // The end of a long name says most: `json.user.password`.
    let name = &name[name.len().saturating_sub(NAME)..];
    let plain = unescape(name);
    let mut run = Vec::with_capacity(plain.len());
    for &byte in &plain {
        if byte.is_ascii_alphanumeric() {
            run.push(byte.to_ascii_lowercase());
        }
    }
    let has_part = |at: usize| INSIDE.iter().any(|part| run[at..].starts_with(part));
    if (0..run.len()).any(|at| BEGINS_INSIDE.contains(run[at]) && has_part(at)) {
        return true;
    }
    let is_one_of =
        |words: &[&[u8]], word: &[u8]| words.iter().any(|w| w.eq_ignore_ascii_case(word));
    let mut words = plain.split(|b| !b.is_ascii_alphanumeric());
    // `session.referer_check` is no session; `json.code.0` is a code.
    let last = plain
        .rsplit(|b| b".[]:/ ".contains(b))
        .find(|step| !step.iter().all(u8::is_ascii_digit));
    words.any(|word| is_one_of(WORDS, word)) || last.is_some_and(|step| is_one_of(ALONE, step))
}

fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let escape = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| (h << 4 | l, 3)),
            (b'\\', [b'u', b'0', b'0', high, low, ..]) => {
                hex(*high).zip(hex(*low)).map(|(h, l)| (h << 4 | l, 6))
            }
            _ => None,
        };
        let (byte, length) = escape.unwrap_or((byte, 1));
        plain.push(byte);
        rest = rest.get(length..).unwrap_or_default();
    }
    plain
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

/// The values of a `Cookie` header.
pub(crate) fn cookie_values(header: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut start = 0;
    for piece in header.split(|&b| b == b';') {
        let end = start + piece.len();
        let value = memchr::memchr(b'=', piece).map_or(start, |i| start + i + 1);
        if value < end {
            found(value..end);
        }
        start = end + 1;
    }
}

/// The value of a `Set-Cookie` header.
pub(crate) fn set_cookie_value(header: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let end = memchr::memchr(b';', header).unwrap_or(header.len());
    let value = memchr::memchr(b'=', &header[..end]).map_or(0, |i| i + 1);
    found(value..end);
}

/// What follows the scheme of an `Authorization` header; all of it where there is no scheme.
pub(crate) fn credentials(header: &[u8]) -> Range<usize> {
    memchr::memchr(b' ', header).map_or(0, |i| i + 1)..header.len()
}

/// Text for a log: secrets masked, at most `most` bytes of it looked at.
#[must_use]
pub fn masked(text: &[u8], most: usize) -> Vec<u8> {
    let text = &text[..text.len().min(most)];
    let mut out = Vec::with_capacity(text.len());
    let mut kept = 0;
    secrets(text, &mut |range| {
        out.extend_from_slice(&text[kept.min(range.start)..range.start]);
        out.extend_from_slice(MASK);
        kept = range.end;
    });
    out.extend_from_slice(&text[kept..]);
    out
}

/// Where secrets lie in text: ascending, without overlap.
pub(crate) fn secrets(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    const TELLING: ByteSet = ByteSet::of(b"=%:<&Bb0123456789");
    let next = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        Some(at + rest.iter().position(|&b| TELLING.contains(b))?)
    };
    let mut from = 0;
    while let Some(at) = next(from) {
        let range = match text[at] {
            b'=' => pair(text, at, 1),
            b'%' => match text.get(at + 1..at + 3) {
                Some([b'3', b'd' | b'D']) => pair(text, at, 3),
                Some([b'3', b'a' | b'A']) => pair(text, at, 3),
                _ => None,
            },
            b':' => userinfo(text, at).or_else(|| colon(text, at)),
            b'<' => element(text, at, &PLAIN),
            b'&' => element(text, at, &ESCAPED),
            b'B' | b'b' => bearer(text, at),
            b'0'..=b'9' => {
                let range = card(text, at);
                if range.is_none() {
                    // The run's later digits cannot begin a number.
                    from = at + text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
                    continue;
                }
                range
            }
            _ => None,
        };
        match range {
            Some(range) if range.start < range.end => {
                from = range.end;
                found(range);
            }
            _ => from = at + 1,
        }
    }
}

/// `name=value` where the name says so; also a multipart part's `name="..."` and its content.
fn pair(text: &[u8], at: usize, sign: usize) -> Option<Range<usize>> {
    let name = after_encoded_delimiter(name_before(text, at).0);
    let start = at + sign;
    if is_secret_name(name) {
        return Some(start..pair_end(text, start, sign == 3));
    }
    if sign == 1 && name.eq_ignore_ascii_case(b"name") {
        return part_content(text, start);
    }
    None
}

/// The last piece of a name that has `&`, `=` or `?` in it, percent-encoded.
fn after_encoded_delimiter(name: &[u8]) -> &[u8] {
    let last = name.windows(3).rposition(|w| {
        matches!(
            w,
            [b'%', b'2', b'6'] | [b'%', b'3', b'd' | b'D' | b'f' | b'F']
        )
    });
    last.map_or(name, |i| &name[i + 3..])
}

/// `encoded`: the pair itself stands percent-encoded in another value.
fn pair_end(text: &[u8], start: usize, encoded: bool) -> usize {
    let rest = &text[start..];
    if let Some(&quote @ (b'"' | b'\'')) = rest.first()
        && let Some(close) = memchr::memchr(quote, &rest[1..]).map(|i| i + 2)
        && rest
            .get(close)
            .is_none_or(|b| b" \t\r\n>/?,;)&".contains(b))
    {
        return start + close;
    }
    let mut at = start;
    while let Some(&byte) = text.get(at) {
        let ampersand = encoded && byte == b'%' && text.get(at + 1..at + 3) == Some(b"26");
        if ampersand || matches!(byte, b'&' | b'\r' | b'\n' | 0) {
            return at;
        }
        at += 1;
    }
    at
}

/// The content of a multipart part whose `name="` begins at `start`.
fn part_content(text: &[u8], start: usize) -> Option<Range<usize>> {
    const HEADERS: usize = 1024;
    let rest = &text[start..text.len().min(start + HEADERS)];
    let name = rest.strip_prefix(b"\"").unwrap_or(rest);
    let end = memchr::memchr3(b'"', b';', b'\n', name)?;
    if !is_secret_name(&name[..end]) {
        return None;
    }
    let blank = memchr::memmem::find(rest, b"\n\r\n")
        .map(|i| i + 3)
        .or_else(|| memchr::memmem::find(rest, b"\n\n").map(|i| i + 2))?;
    let content = start + blank;
    let length = memchr::memmem::find(&text[content..], b"\n--");
    Some(content..length.map_or(text.len(), |i| content + i))
}

/// `"name": value` of JSON, `Name: value` of a header line.
fn colon(text: &[u8], at: usize) -> Option<Range<usize>> {
    let (name, quoted) = name_before(text, at);
    let secret = is_secret_name(name) || header_secret(name) != HeaderSecret::None;
    if quoted && NAMING.iter().any(|n| n.eq_ignore_ascii_case(name)) {
        return beside(text, at + 1);
    }
    if name.is_empty() || !secret {
        return None;
    }
    let blanks = text[at + 1..]
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count();
    let start = at + 1 + blanks;
    let end = match quoted {
        true => json_end(text, start),
        false => line_end(text, start),
    };
    Some(start..end)
}

/// The value of the member that follows `"name": "password"`.
fn beside(text: &[u8], at: usize) -> Option<Range<usize>> {
    let skip = |at: usize| {
        let blanks = text
            .get(at..)?
            .iter()
            .take_while(|b| b.is_ascii_whitespace());
        Some(at + blanks.count())
    };
    let string = |at: usize| {
        let most = text.len().min(at + NAME);
        let rest = text.get(at..most)?.strip_prefix(b"\"")?;
        let end = memchr::memchr(b'"', rest)?;
        Some((&rest[..end], at + end + 2))
    };
    let (name, end) = string(skip(at)?)?;
    if !is_secret_name(name) {
        return None;
    }
    let comma = skip(end)?;
    text.get(comma).filter(|&&b| b == b',')?;
    let (_, end) = string(skip(comma + 1)?)?;
    let colon = skip(end)?;
    text.get(colon).filter(|&&b| b == b':')?;
    let start = skip(colon + 1)?;
    Some(start..json_end(text, start))
}

fn line_end(text: &[u8], start: usize) -> usize {
    memchr::memchr2(b'\r', b'\n', &text[start..]).map_or(text.len(), |i| start + i)
}

/// The end of a JSON value: a string, what brackets enclose, or a word.
fn json_end(text: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut string = false;
    let mut at = start;
    while let Some(&byte) = text.get(at) {
        // JSON in a JSON string writes its own quotes as \".
        let escaped = byte == b'\\' && (string || text.get(at + 1) != Some(&b'"'));
        if escaped {
            let inner = text.get(at + 1) == Some(&b'"') && text.get(start) == Some(&b'\\');
            if !inner {
                at += 2;
                continue;
            }
        }
        match byte {
            b'"' => {
                string = !string;
                if !string && depth == 0 {
                    return at + 1;
                }
            }
            _ if string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b'\r' | b'\n' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The name that ends before `at`, blanks and quotes skipped, and whether it was quoted.
fn name_before(text: &[u8], at: usize) -> (&[u8], bool) {
    let head = &text[at.saturating_sub(NAME + 8)..at];
    let head = head.trim_ascii_end();
    let bare = head
        .strip_suffix(b"\"")
        .or_else(|| head.strip_suffix(b"'"))
        .map(|h| h.strip_suffix(b"\\").unwrap_or(h));
    let quoted = bare.is_some();
    let head = bare.unwrap_or(head);
    let length = head
        .iter()
        .rev()
        .take_while(|&&b| b.is_ascii_alphanumeric() || b"_-.[]%$\\".contains(&b) || b >= 0x80)
        .count();
    (&head[head.len() - length..], quoted)
}

/// `://user:password@host`
fn userinfo(text: &[u8], at: usize) -> Option<Range<usize>> {
    const USERINFO: usize = 512;
    let start = at + 3;
    if text.get(at..start) != Some(b"://") {
        return None;
    }
    let rest = &text[start..text.len().min(start + USERINFO)];
    let end = rest
        .iter()
        .position(|b| b.is_ascii_whitespace() || b"/?#\"'<>@".contains(b))?;
    let password = memchr::memchr(b':', &rest[..end])? + 1;
    (rest[end] == b'@').then(|| start + password..start + end)
}

/// How an element's tags are written: plainly, or as text of another document.
struct Markup {
    open: &'static [u8],
    close: &'static [u8],
}

const PLAIN: Markup = Markup {
    open: b"<",
    close: b">",
};
const ESCAPED: Markup = Markup {
    open: b"&lt;",
    close: b"&gt;",
};

/// A tag that begins an element.
struct Tag<'t> {
    name: &'t [u8],
    attributes: Range<usize>,
    /// Behind it.
    end: usize,
    is_empty: bool,
}

impl Markup {
    /// The name of a tag that begins here, and where it ends.
    fn name<'t>(&self, text: &'t [u8], at: usize) -> Option<(&'t [u8], usize)> {
        let rest = text.get(at..)?.strip_prefix(self.open)?;
        let length = rest
            .iter()
            .take(NAME)
            .take_while(|&&b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b) || b >= 0x80)
            .count();
        (length > 0).then(|| (&rest[..length], at + self.open.len() + length))
    }

    fn tag<'t>(&self, text: &[u8], name: &'t [u8], from: usize, length: usize) -> Tag<'t> {
        let attributes = from..from + length;
        Tag {
            name,
            is_empty: text[attributes.clone()].ends_with(b"/"),
            end: attributes.end + self.close.len(),
            attributes,
        }
    }

    /// How far it is to a tag's end. No further than to the next tag, so that all of them together look at each byte once.
    fn near_end(&self, rest: &[u8]) -> Option<usize> {
        let first = self.open[0];
        let mut signs = memchr::memchr2_iter(first, self.close[0], rest);
        let at = signs
            .find(|&at| rest[at..].starts_with(self.close) || rest[at..].starts_with(self.open))?;
        rest[at..].starts_with(self.close).then_some(at)
    }

    /// The same with signs in quotes left out.
    fn end(&self, rest: &[u8]) -> Option<usize> {
        const ATTRIBUTES: usize = 4096;
        let mut quote = None;
        for (at, &byte) in rest.iter().enumerate().take(ATTRIBUTES) {
            match quote {
                Some(open) if byte == open => quote = None,
                Some(_) => {}
                None if rest[at..].starts_with(self.close) => return Some(at),
                None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
                None => {}
            }
        }
        None
    }

    /// From the end of its tag to its closing one; to the end where there is none.
    fn content(&self, text: &[u8], tag: &Tag<'_>) -> Range<usize> {
        let closing = [self.open, b"/", tag.name].concat();
        let length = memchr::memmem::find(&text[tag.end..], &closing);
        tag.end..length.map_or(text.len(), |i| tag.end + i)
    }
}

/// `<password>...</password>`, `<entry key="password">...</entry>`, `<add key="password" value="..."/>`,
/// `<name>password</name><value>...</value>`.
fn element(text: &[u8], at: usize, markup: &Markup) -> Option<Range<usize>> {
    let (name, from) = markup.name(text, at)?;
    if is_secret_name(name) {
        let Some(length) = markup.end(&text[from..]) else {
            // Where its content begins is not known.
            return Some(from..text.len());
        };
        let tag = markup.tag(text, name, from, length);
        // Attributes of their own say what they are.
        return (!tag.is_empty).then(|| markup.content(text, &tag));
    }
    let tag = markup.tag(text, name, from, markup.near_end(&text[from..])?);
    let attributes = &text[tag.attributes.clone()];
    if attributes.contains(&b'=') && names_a_secret(attributes) {
        return match attribute(attributes, b"value") {
            Some(value) => Some(from + value.start..from + value.end),
            None if tag.is_empty => None,
            None => Some(markup.content(text, &tag)),
        };
    }
    let local = name.rsplit(|&b| b == b':').next().unwrap_or_default();
    match !tag.is_empty && NAMING.iter().any(|n| n.eq_ignore_ascii_case(local)) {
        true => element_beside(text, &tag, markup),
        false => None,
    }
}

fn names_a_secret(attributes: &[u8]) -> bool {
    let mut found = NAMING.iter().filter_map(|name| attribute(attributes, name));
    found.any(|value| is_secret_name(&attributes[value]))
}

/// The content of the element behind the one of which the content is a secret's name.
fn element_beside(text: &[u8], naming: &Tag<'_>, markup: &Markup) -> Option<Range<usize>> {
    let near = |from: usize| &text[from..text.len().min(from + NAME)];
    let length = memchr::memmem::find(near(naming.end), markup.open)?;
    let closing = naming.end + length;
    if !is_secret_name(text[naming.end..closing].trim_ascii()) {
        return None;
    }
    let length = memchr::memmem::find(near(closing), markup.close)?;
    let next = closing + length + markup.close.len();
    let blanks = near(next)
        .iter()
        .take_while(|b| b.is_ascii_whitespace())
        .count();
    let (name, from) = markup.name(text, next + blanks)?;
    let value = markup.tag(text, name, from, markup.near_end(&text[from..])?);
    (!value.is_empty).then(|| markup.content(text, &value))
}

/// The value of an attribute, without its quotes.
fn attribute(attributes: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(sign) = memchr::memchr(b'=', &attributes[from..]).map(|i| from + i) {
        let begun = attributes[from..sign].trim_ascii_end();
        let length = begun
            .iter()
            .rev()
            .take_while(|&&b| !b.is_ascii_whitespace() && !b"\"'/".contains(&b))
            .count();
        let blanks = attributes[sign + 1..]
            .iter()
            .take_while(|b| b.is_ascii_whitespace())
            .count();
        let quote = *attributes.get(sign + 1 + blanks)?;
        if !matches!(quote, b'"' | b'\'') {
            from = sign + 1;
            continue;
        }
        let start = sign + 2 + blanks;
        let end = start + memchr::memchr(quote, &attributes[start..])?;
        if begun[begun.len() - length..].eq_ignore_ascii_case(name) {
            return Some(start..end);
        }
        from = end + 1;
    }
    None
}

/// `Bearer TOKEN` and `Basic TOKEN`, wherever they are.
fn bearer(text: &[u8], at: usize) -> Option<Range<usize>> {
    if at > 0 && text[at - 1].is_ascii_alphanumeric() {
        return None;
    }
    let length = [&b"bearer "[..], b"basic "]
        .iter()
        .find(|s| {
            text.get(at..at + s.len())
                .is_some_and(|t| t.eq_ignore_ascii_case(s))
        })?
        .len();
    let start = at + length;
    let token = text[start..]
        .iter()
        .take_while(|&&b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
        .count();
    // Shorter ones are words: "basic maths".
    (token >= 8).then_some(start..start + token)
}

/// A payment card's number: 13 to 19 digits that pass Luhn's check, perhaps in groups.
fn card(text: &[u8], start: usize) -> Option<Range<usize>> {
    if start > 0 && text[start - 1].is_ascii_digit() {
        return None;
    }
    let mut digits = [0_u8; 19];
    let mut count = 0;
    let mut end = start;
    let mut best = None;
    while let Some(&byte) = text.get(end) {
        if byte.is_ascii_digit() {
            let Some(place) = digits.get_mut(count) else {
                // More digits than a card has; groups before them may still be one.
                return best;
            };
            *place = byte - b'0';
            count += 1;
            end += 1;
            let more = text.get(end).is_some_and(u8::is_ascii_digit);
            if count >= 13 && !more && luhn(&digits[..count]) {
                best = Some(start..end);
            }
            continue;
        }
        let gap = match byte {
            b' ' | b'-' | b'+' | b'.' => 1,
            b'%' if text.get(end + 1..end + 3) == Some(b"20") => 3,
            _ => return best,
        };
        if !text.get(end + gap).is_some_and(u8::is_ascii_digit) {
            return best;
        }
        end += gap;
    }
    best
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match (place % 2, u32::from(digit) * 2) {
            (0, _) => u32::from(digit),
            (_, double @ 10..) => double - 9,
            (_, double) => double,
        })
        .sum();
    // All zeros pass the check and are no card.
    sum.is_multiple_of(10) && sum > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_text_are_masked() {
        for (text, shown) in [
            ("a=1&password=hunter2&b=2", "a=1&password=***&b=2"),
            (
                "/x?user%5Bpass%77ord%5D=h&b=1",
                "/x?user%5Bpass%77ord%5D=***&b=1",
            ),
            (
                "next=%2Fl%3Fpwd%3Dh%26b%3D1",
                "next=%2Fl%3Fpwd%3D***%26b%3D1",
            ),
            (
                r#"{"a":1,"api_key":"h\"x","b":2}"#,
                r#"{"a":1,"api_key":***,"b":2}"#,
            ),
            (r#"{"pin": 1234, "b": 2}"#, r#"{"pin": ***, "b": 2}"#),
            (
                r#"{"secrets":{"a":["h"],"b":{}},"c":1}"#,
                r#"{"secrets":***,"c":1}"#,
            ),
            (
                r#"{"s":"{\"token\":\"h\",\"b\":1}"}"#,
                r#"{"s":"{\"token\":***,\"b\":1}"}"#,
            ),
            (
                "<u><password>h</password><b>1</b></u>",
                "<u><password>***</password><b>1</b></u>",
            ),
            (r#"<u password="h" b="1"/>"#, r#"<u password=*** b="1"/>"#),
            (
                "<wsse:Password Type=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText\">h</wsse:Password><b>1</b>",
                "<wsse:Password Type=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText\">***</wsse:Password><b>1</b>",
            ),
            (
                "<pwd a='>'><![CDATA[h]]></pwd><b/>",
                "<pwd a='>'>***</pwd><b/>",
            ),
            (
                "<s>&lt;password&gt;h&lt;/password&gt;&lt;b&gt;1</s>",
                "<s>&lt;password&gt;***&lt;/password&gt;&lt;b&gt;1</s>",
            ),
            (
                r#"<entry a="1" key = "password">h</entry><b>1</b>"#,
                r#"<entry a="1" key = "password">***</entry><b>1</b>"#,
            ),
            (
                r#"<add key="ApiKey" value="h"/><add key="b" value="1"/>"#,
                r#"<add key="ApiKey" value="***"/><add key="b" value="1"/>"#,
            ),
            (
                r#"<add value="h" key="ApiKey"/>"#,
                r#"<add value="***" key="ApiKey"/>"#,
            ),
            (
                "<member><name>password</name>\n<value><string>h</string></value></member>",
                "<member><name>password</name>\n<value>***</value></member>",
            ),
            (
                "<key>pin</key><integer>1234</integer><key>b</key><integer>5</integer>",
                "<key>pin</key><integer>***</integer><key>b</key><integer>5</integer>",
            ),
            (
                "<samlp:Response><saml:Assertion ID=\"x\">h</saml:Assertion></samlp:Response>",
                "<samlp:Response><saml:Assertion ID=\"x\">***</saml:Assertion></samlp:Response>",
            ),
            (
                r#"[{"name": "password", "value": "h"},{"name":"b","value":"1"}]"#,
                r#"[{"name": "password", "value": ***},{"name":"b","value":"1"}]"#,
            ),
            (
                "/cb?code=h&state=1&session_state=2",
                "/cb?code=***&state=1&session_state=2",
            ),
            (
                "/b?sv=1&sig=h%2Bh%3D&hmac=h&session=h&b=1",
                "/b?sv=1&sig=***&hmac=***&session=***&b=1",
            ),
            (
                "SAMLResponse=PHNhbWw%2B&RelayState=1",
                "SAMLResponse=***&RelayState=1",
            ),
            (
                "grant_type=a&assertion=h&client_assertion=h&id_token=h&refresh_token=h",
                "grant_type=a&assertion=***&client_assertion=***&id_token=***&refresh_token=***",
            ),
            (
                "country_code=de&postal-code=1&error_code=2&decode=3&design=4&signal=5",
                "country_code=de&postal-code=1&error_code=2&decode=3&design=4&signal=5",
            ),
            (
                "Host: a\r\nAuthorization: Basic aGg6\r\nB: 1",
                "Host: a\r\nAuthorization: ***\r\nB: 1",
            ),
            ("x\r\nCookie: a=b; c=d\r\n", "x\r\nCookie: ***\r\n"),
            (
                "form-data; name=\"pwd\"\r\n\r\nh\r\n--x",
                "form-data; name=\"pwd\"\r\n\r\n***\n--x",
            ),
            ("https://u:h@host/", "https://u:***@host/"),
            ("say Bearer abc.def-ghi now", "say Bearer *** now"),
            ("card 4111 1111 1111 1111.", "card ***."),
            ("4111-1111-1111-1111", "***"),
            ("n=378282246310005;", "n=***;"),
            ("4111%201111%201111%201111", "***"),
            ("7 4111111111111111", "7 ***"),
            ("id 4111111111111112", "id 4111111111111112"),
            ("14111111111111111111111", "14111111111111111111111"),
            ("0000000000000000", "0000000000000000"),
            ("comparison=1&passenger=2", "comparison=1&passenger=2"),
            (
                "Matched Data: x found within ARGS:id: 1 or 1",
                "Matched Data: x found within ARGS:id: 1 or 1",
            ),
            ("basic maths: 1", "basic maths: 1"),
        ] {
            let masked = masked(text.as_bytes(), 4096);
            assert_eq!(String::from_utf8_lossy(&masked), shown, "{text}");
        }
    }

    #[test]
    fn names_that_stand_for_secrets() {
        for name in [
            "password",
            "Passwd",
            "user[password]",
            "json.user.passWord",
            "new-pass",
            "pwd",
            "client_secret",
            "X-Auth-Token",
            "x-api-key",
            "API_KEY",
            "access_token",
            "otp",
            "credit_card",
            "card-number",
            "cvv",
            "PHPSESSID",
            "p%61ssword",
            "json.pass.0",
            "code",
            "json.code",
            "json.code.0",
            "oauth[code]",
            "auth_code",
            "deviceCode",
            "sig",
            "X-Sig",
            "hmac",
            "session",
            "SAMLResponse",
            "SAMLart",
            "assertion",
            "client_assertion",
            "X-Hub-Signature-256",
            "id_token",
            "refresh_token",
            "ticket",
            "code_verifier",
            "Ocp-Apim-Subscription-Key",
            "DPoP",
        ] {
            assert!(is_secret_name(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            "q",
            "compass",
            "passenger",
            "author",
            "pinned",
            "company",
            "host",
            "id",
            "session.referer_check",
            "country_code",
            "zip-code",
            "barcode",
            "encode",
            "signal",
            "sessions",
            "assertions",
            "key",
            "state",
        ] {
            assert!(!is_secret_name(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn cookies_keep_their_names() {
        type Find = fn(&[u8], &mut dyn FnMut(Range<usize>));
        let shown = |header: &[u8], find: Find| {
            let mut ranges = Vec::new();
            find(header, &mut |r| {
                ranges.push(String::from_utf8_lossy(&header[r]).into_owned())
            });
            ranges
        };
        assert_eq!(shown(b"a=1; b=2=3;c; d=", cookie_values), ["1", "2=3", "c"]);
        assert_eq!(shown(b"a=1; Path=/", set_cookie_value), ["1"]);
        assert_eq!(credentials(b"Basic abc"), 6..9);
        assert_eq!(credentials(b"abc"), 0..3);
    }

    /// Each byte is looked at a bounded number of times: hostile repetitions end soon and find nothing odd.
    #[test]
    fn hostile_text_is_walked_through_once() {
        for piece in [
            "%3D",
            "=",
            "\"a\":",
            "<a",
            "name=\"",
            "1 ",
            "token:{",
            "://a:",
            "password=\"",
            "<pwd>",
            "<pwd ",
            "<a b='",
            "&lt;a",
            "&lt;pwd&gt;",
            "<name>pwd</name>",
            "<a key=\"pwd\">",
            "\"name\":\"pwd\",\"value\":",
        ] {
            let text = piece.repeat(200_000 / piece.len());
            let mut last = 0;
            secrets(text.as_bytes(), &mut |range| {
                assert!(range.start >= last && range.end <= text.len(), "{piece}");
                last = range.end;
            });
        }
    }
}
