//! HTTP archives (HAR 1.2): from an entry to the bytes of a request.
//!
//! An archive is not what was sent: it holds texts, and tools leave parts out. What it cannot give is reported, never
//! guessed. The check is the length that the request itself announced.
//!
//! Source: <http://www.softwareishard.com/blog/har-12-spec/>

use std::fmt;
use std::ops::Range;

use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::fault::EntryFault;

/// Entries of one archive.
const MOST_ENTRIES: usize = 1_000_000;

/// An archive. Its entries are parsed one by one when they are asked for.
#[derive(Debug)]
pub struct Har {
    text: String,
    entries: Vec<Place>,
}

/// Where an entry stands in the text.
#[derive(Debug)]
struct Place {
    bytes: Range<usize>,
    /// How many lines stand before it.
    lines: usize,
}

/// The text is no archive.
#[derive(Debug, PartialEq, Eq)]
pub struct HarError {
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

/// A request as an archive describes it.
#[derive(Debug, PartialEq, Eq)]
pub struct RawRequest {
    /// The head, like one of HTTP/1.1.
    pub head: Vec<u8>,
    /// Without a transfer coding.
    pub body: Vec<u8>,
    /// What was added to what the archive says.
    pub notes: Vec<String>,
}

#[derive(Deserialize)]
struct Document<'t> {
    #[serde(borrow)]
    log: Log<'t>,
}

#[derive(Deserialize)]
struct Log<'t> {
    #[serde(borrow, deserialize_with = "bounded")]
    entries: Vec<&'t RawValue>,
}

/// Stops at too many entries before it stores them.
fn bounded<'t, D: Deserializer<'t>>(deserializer: D) -> Result<Vec<&'t RawValue>, D::Error> {
    struct Entries;
    impl<'t> Visitor<'t> for Entries {
        type Value = Vec<&'t RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of entries")
        }

        fn visit_seq<A: SeqAccess<'t>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = list.next_element()? {
                if entries.len() == MOST_ENTRIES {
                    let message = format!("there are more than {MOST_ENTRIES} entries");
                    return Err(A::Error::custom(message));
                }
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_seq(Entries)
}

#[derive(Deserialize)]
struct Entry {
    request: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    method: String,
    url: String,
    #[serde(default)]
    http_version: String,
    headers: Vec<Field>,
    #[serde(default)]
    cookies: Vec<IgnoredAny>,
    post_data: Option<PostData>,
    /// -1 if it is not known.
    body_size: Option<i64>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    #[serde(default)]
    mime_type: String,
    text: Option<String>,
    #[serde(default)]
    params: Vec<Field>,
    /// Not in the specification for requests; some tools write it as responses have it.
    encoding: Option<String>,
}

impl Har {
    /// Finds the entries.
    ///
    /// # Errors
    /// The bytes are no archive.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, HarError> {
        let mut text = String::from_utf8(bytes).map_err(|error| HarError {
            line: 1,
            column: 1,
            message: format!("the archive is not UTF-8: {}", error.utf8_error()),
        })?;
        // Some tools begin the file with a byte order mark, which JSON forbids (RFC 8259, section 8.1).
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        let document: Document<'_> = serde_json::from_str(&text).map_err(|error| HarError {
            line: u32::try_from(error.line()).unwrap_or(u32::MAX).max(1),
            column: u32::try_from(error.column()).unwrap_or(u32::MAX).max(1),
            message: format!("this is no HTTP archive: {error}"),
        })?;
        let base = text.as_ptr() as usize;
        let (mut lines, mut counted) = (0, 0);
        let entries = document.log.entries.iter().map(|entry| {
            let entry = entry.get();
            // The entries are slices of the text, in its order.
            let start = entry.as_ptr() as usize - base;
            // From entry to entry: counted from the beginning for each, a large archive would take quadratic time.
            let since = text.as_bytes().get(counted..start).unwrap_or_default();
            lines += memchr::memchr_iter(b'\n', since).count();
            counted = start;
            Place {
                bytes: start..start + entry.len(),
                lines,
            }
        });
        let entries = entries.collect();
        Ok(Self { text, entries })
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The request of an entry, from 0.
    ///
    /// # Errors
    /// The archive does not have the request as it was sent.
    pub fn request(&self, at: usize) -> Result<RawRequest, EntryFault> {
        let Some(place) = self.entries.get(at) else {
            return Err(EntryFault::Missing);
        };
        let text = self.text.get(place.bytes.clone()).unwrap_or_default();
        let entry: Entry = serde_json::from_str(text).map_err(|error| EntryFault::Malformed {
            line: place.lines + error.line(),
            error: error.to_string(),
        })?;
        entry.request.into_raw()
    }
}

impl Message {
    fn into_raw(self) -> Result<RawRequest, EntryFault> {
        let (authority, target) = split_url(&self.url)?;
        let mut notes = Vec::new();
        let is_pseudo = |field: &&Field| field.name.starts_with(':');
        let pseudo = |name: &str| {
            let mut fields = self.headers.iter();
            fields.find(|f| f.name == name).map(|f| f.value.as_str())
        };
        let protocol = protocol(
            &self.http_version,
            self.headers.iter().any(|f| is_pseudo(&f)),
            &mut notes,
        )?;
        // What was sent, if the archive has it: tools write the URL in a normal form, and rules look at the spelling.
        let target = pseudo(":path").unwrap_or(&target);
        let fields: Vec<&Field> = self.headers.iter().filter(|f| !is_pseudo(f)).collect();
        let field = |name: &str| {
            let found = fields.iter().find(|f| f.name.eq_ignore_ascii_case(name));
            found.map(|f| f.value.as_str())
        };
        // The list has lost the order and quoting of the field that rules look at.
        if field("cookie").is_none() && !self.cookies.is_empty() {
            return Err(EntryFault::CookieField);
        }
        let body = self.body(field("content-length"))?;
        let mut head = format!("{} {target} {protocol}\r\n", self.method);
        let mut lines = vec![self.method.as_str(), target];
        let host = pseudo(":authority").unwrap_or(authority);
        // The front door gives rules a Host field for `:authority` too.
        if field("host").is_none() {
            head.push_str(&format!("Host: {host}\r\n"));
            lines.push(host);
        }
        for field in &fields {
            head.push_str(&format!("{}: {}\r\n", field.name, field.value));
            lines.extend([field.name.as_str(), field.value.as_str()]);
        }
        let has_framing = field("content-length")
            .or(field("transfer-encoding"))
            .is_some();
        // HTTP/2 has its own frames for a body, so that nothing is missing there.
        if !body.is_empty() && !has_framing && protocol != "HTTP/2.0" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            notes.push("the archive has no Content-Length: it was added".to_owned());
        }
        // A line end in a value would become a field that was never sent.
        if lines.iter().any(|text| text.contains(['\r', '\n', '\0'])) {
            return Err(EntryFault::HeadBytes);
        }
        head.push_str("\r\n");
        Ok(RawRequest {
            head: head.into_bytes(),
            body,
            notes,
        })
    }

    fn body(&self, announced: Option<&str>) -> Result<Vec<u8>, EntryFault> {
        let size = self.body_size.and_then(|size| u64::try_from(size).ok());
        let announced = announced.and_then(|digits| digits.trim().parse::<u64>().ok());
        // Tools write 0 or -1 as the size of a body that they did not see.
        let announced = announced.or(size.filter(|&size| size > 0));
        let Some(data) = &self.post_data else {
            return match announced.unwrap_or(0) {
                0 => Ok(Vec::new()),
                bytes => Err(EntryFault::NoBody(bytes)),
            };
        };
        let body = match (&data.text, data.encoding.as_deref()) {
            (Some(text), Some("base64")) => {
                openssl::base64::decode_block(text).map_err(|_| EntryFault::Base64)?
            }
            // Some tools write an empty text beside the parameters of a form.
            (Some(text), None | Some("")) if !text.is_empty() || data.params.is_empty() => {
                // The browser put U+FFFD in the place of bytes that are no UTF-8, and which ones is lost.
                if text.contains('\u{fffd}') {
                    return Err(EntryFault::LostBytes);
                }
                text.clone().into_bytes()
            }
            (_, None | Some("")) => return data.join_params(announced),
            (_, Some(encoding)) => {
                return Err(EntryFault::Encoding(encoding.to_owned()));
            }
        };
        match announced {
            Some(sent) if sent != body.len() as u64 => Err(EntryFault::Length {
                archived: body.len(),
                sent,
            }),
            _ => Ok(body),
        }
    }
}

impl PostData {
    /// A form of which the archive has only names and values. Whether they are still percent-encoded is not said, so only
    /// a form with one reading is taken: one that looks the same in both, or has the length of one of them.
    fn join_params(&self, announced: Option<u64>) -> Result<Vec<u8>, EntryFault> {
        if !self
            .mime_type
            .starts_with("application/x-www-form-urlencoded")
        {
            return Err(EntryFault::ParametersOnly(self.mime_type.clone()));
        }
        let join = |encode: fn(&str) -> String| {
            let pairs = self.params.iter();
            let pairs = pairs.map(|p| format!("{}={}", encode(&p.name), encode(&p.value)));
            pairs.collect::<Vec<_>>().join("&").into_bytes()
        };
        let (as_is, encoded) = (join(str::to_owned), join(percent_encoded));
        let fits = |body: &Vec<u8>| announced.is_none_or(|bytes| bytes == body.len() as u64);
        match (fits(&as_is), fits(&encoded)) {
            (true, true) if as_is == encoded => Ok(as_is),
            (true, false) => Ok(as_is),
            (false, true) => Ok(encoded),
            _ => Err(EntryFault::AmbiguousForm),
        }
    }
}

/// As forms are encoded (WHATWG URL, `application/x-www-form-urlencoded`).
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Authority and target of a URL, without its fragment, which is never sent.
fn split_url(url: &str) -> Result<(&str, String), EntryFault> {
    let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
    // A WebSocket begins with a request over HTTP.
    if !["http", "https", "ws", "wss"].contains(&scheme) {
        // A `data:` URL can have megabytes, and the message names its scheme alone.
        let scheme: String = scheme
            .split(':')
            .next()
            .unwrap_or_default()
            .chars()
            .take(20)
            .collect();
        return Err(EntryFault::Scheme(scheme));
    }
    let rest = rest.split('#').next().unwrap_or_default();
    // A query may follow the host without a slash between them.
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // A client sends no user and password here.
    let authority = authority.rsplit('@').next().unwrap_or(authority);
    let target = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    Ok((authority, target))
}

fn protocol(
    written: &str,
    has_pseudo: bool,
    notes: &mut Vec<String>,
) -> Result<&'static str, EntryFault> {
    match written.to_ascii_lowercase().as_str() {
        "http/1.0" => Ok("HTTP/1.0"),
        "http/1.1" => Ok("HTTP/1.1"),
        "h2" | "http/2" | "http/2.0" => Ok("HTTP/2.0"),
        "h3" | "http/3" | "http/3.0" | "h3-29" => {
            notes.push("it came over HTTP/3; it was replayed as HTTP/2".to_owned());
            Ok("HTTP/2.0")
        }
        // HTTP/1.x has no pseudo-header fields. Rules see the same of versions 2 and 3.
        "" | "unknown" if has_pseudo => Ok("HTTP/2.0"),
        "" | "unknown" => {
            notes.push(
                "the archive does not say the version of HTTP; it was replayed as HTTP/1.1"
                    .to_owned(),
            );
            Ok("HTTP/1.1")
        }
        _ => Err(EntryFault::Protocol(written.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The request of an archive with this one entry.
    fn request(request: &Value) -> Result<String, EntryFault> {
        let text = json!({"log": {"version": "1.2", "entries": [{"request": request, "time": 1}]}});
        let har = Har::parse(text.to_string().into_bytes()).unwrap();
        assert_eq!(har.len(), 1);
        let raw = har.request(0)?;
        Ok(String::from_utf8([raw.head, raw.body].concat()).unwrap())
    }

    #[test]
    fn a_browsers_pseudo_fields_become_an_http2_head() {
        let entry = json!({
            "method": "GET", "url": "https://shop.example/a?b=c#d", "httpVersion": "h2",
            "headers": [
                {"name": ":authority", "value": "shop.example"}, {"name": ":method", "value": "GET"},
                {"name": ":path", "value": "/a?b=c"}, {"name": ":scheme", "value": "https"},
                {"name": "cookie", "value": "x=y"},
            ],
            "cookies": [{"name": "x", "value": "y"}], "bodySize": 0, "headersSize": -1,
        });
        let expected = "GET /a?b=c HTTP/2.0\r\nHost: shop.example\r\ncookie: x=y\r\n\r\n";
        assert_eq!(request(&entry).unwrap(), expected);
    }

    fn post(data: &Value, length: Option<usize>) -> Result<String, EntryFault> {
        let length = length.map(|n| json!({"name": "Content-Length", "value": n.to_string()}));
        let headers: Vec<Value> = length.into_iter().collect();
        let whole = request(&json!({
            "method": "POST", "url": "http://a", "httpVersion": "HTTP/1.1", "headers": headers,
            "postData": data, "bodySize": -1,
        }))?;
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST / HTTP/1.1\r\nHost: a\r\n"), "{head}");
        assert!(body.is_empty() || head.contains(&format!("Content-Length: {}", body.len())));
        Ok(body.to_owned())
    }

    #[test]
    fn a_body_comes_from_text_base64_or_parameters() {
        let form = "application/x-www-form-urlencoded";
        let params = json!([{"name": "a", "value": "b c"}, {"name": "d", "value": ""}]);
        let params = json!({"mimeType": form, "params": params});
        let text = json!({"mimeType": "text/plain", "text": "h\u{e9}"});
        for (data, length, expected) in [
            (&text, None, Ok("h\u{e9}")),
            (&text, Some(3), Ok("h\u{e9}")),
            (
                &json!({"text": "YWI=", "encoding": "base64"}),
                Some(2),
                Ok("ab"),
            ),
            (&params, Some(8), Err("8 fits both")),
            (
                &json!({"mimeType": form, "params": [{"name": "a", "value": "b/c"}]}),
                Some(7),
                Ok("a=b%2Fc"),
            ),
            (
                &json!({"mimeType": form, "params": [{"name": "a", "value": "b"}]}),
                None,
                Ok("a=b"),
            ),
        ] {
            let body = post(data, length);
            match expected {
                Ok(expected) => assert_eq!(body.as_deref(), Ok(expected), "{data}"),
                Err(_) => assert!(body.is_err(), "{data}: {body:?}"),
            }
        }
    }

    #[test]
    fn what_an_archive_cannot_give_is_said_and_not_guessed() {
        let multipart =
            json!({"mimeType": "multipart/form-data; boundary=x", "params": [{"name": "f"}]});
        let binary = json!({"mimeType": "image/png", "text": "\u{fffd}PNG"});
        let text = json!({"mimeType": "text/plain", "text": "abc"});
        for (data, length, word) in [
            (&multipart, Some(100), "names and values"),
            (&binary, Some(4), "no text"),
            (&text, Some(4), "4 were sent"),
            (&json!({"text": "x", "encoding": "gzip"}), None, "unknown"),
            (&json!({"text": "!", "encoding": "base64"}), None, "base64"),
        ] {
            let why = post(data, length).unwrap_err().to_string();
            assert!(why.contains(word), "{why}");
        }
        let get = |changes: &[(&str, Value)]| {
            let mut entry = json!({"method": "GET", "url": "http://a/", "httpVersion": "HTTP/1.1", "headers": []});
            for (key, value) in changes {
                entry[*key] = value.clone();
            }
            request(&entry)
        };
        assert!(get(&[]).is_ok());
        for (key, value, word) in [
            ("bodySize", json!(9), "9 bytes"),
            ("cookies", json!([{"name": "a"}]), "Cookie"),
            ("url", json!("data:text/html,x"), "\"data\""),
            ("httpVersion", json!("SPDY"), "SPDY"),
            ("method", json!(null), "line 1"),
            (
                "headers",
                json!([{"name": "A", "value": "b\r\nC: d"}]),
                "line break",
            ),
            ("method", json!("GET / HTTP/1.1\r\nX: y"), "line break"),
        ] {
            let why = get(&[(key, value)]).unwrap_err().to_string();
            assert!(why.contains(word), "{key}: {why}");
        }
    }

    #[test]
    fn what_is_no_archive_has_a_place() {
        for (text, line) in [
            (&b"{\n \"log\": {\"entries\": [}"[..], 2),
            (b"{}", 1),
            (b"\xff", 1),
            (b"", 1),
            (&[b'['; 100_000], 1),
        ] {
            assert_eq!(Har::parse(text.to_vec()).unwrap_err().line, line);
        }
        assert_eq!(
            Har::parse(b"\xef\xbb\xbf{\"log\":{\"entries\":[]}}".to_vec())
                .unwrap()
                .len(),
            0
        );
    }
}
