//! The parts of a multipart body: their names, and the body with another content in one of them.

/// The boundary that a `Content-Type` names.
pub(super) fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let mut parameters = content_type.split(|&b| b == b';').skip(1);
    parameters.find_map(|parameter| {
        let parameter = parameter.trim_ascii();
        let (name, value) = parameter.split_at_checked(b"boundary=".len())?;
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        let is_it = name.eq_ignore_ascii_case(b"boundary=") && !value.is_empty();
        is_it.then(|| value.to_vec())
    })
}

/// The names of the parts that are not files.
pub(super) fn names(body: &[u8], boundary: &[u8]) -> Vec<Vec<u8>> {
    let parts = parts(body, boundary).into_iter();
    parts.filter_map(|part| part.name).collect()
}

/// The body with this content in the first part of this name.
pub(super) fn with(body: &[u8], boundary: &[u8], name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let mut parts = parts(body, boundary).into_iter();
    // Rules see every part of a name, and a proof needs the attack in one of them.
    let part = parts.find(|part| part.name.as_deref() == Some(name))?;
    // Only the bytes of the content are replaced, so that boundaries and part heads stay as the client wrote them.
    let (before, after) = (body.get(..part.start)?, body.get(part.end..)?);
    Some([before, value, after].concat())
}

/// The body with this name of the file in the first part of this name.
pub(super) fn with_file_name(
    body: &[u8],
    boundary: &[u8],
    name: &[u8],
    value: &[u8],
) -> Option<Vec<u8>> {
    let mut parts = parts(body, boundary).into_iter();
    let part = parts.find(|part| part.file_of.as_deref() == Some(name))?;
    let head = body.get(part.head..part.start)?;
    let (from, to) = parameter(head, b"filename=\"")?;
    let (before, after) = (body.get(..part.head + from)?, body.get(part.head + to..)?);
    // A quote or a line end would end the name.
    let value = value.iter().copied().filter(|b| !b"\"\\\r\n\0".contains(b));
    Some([before, &value.collect::<Vec<u8>>(), after].concat())
}

struct Part {
    /// None for a file.
    name: Option<Vec<u8>>,
    /// The name, for a file.
    file_of: Option<Vec<u8>>,
    head: usize,
    /// The content, from the byte after the empty line to the line end before the next delimiter.
    start: usize,
    end: usize,
}

fn parts(body: &[u8], boundary: &[u8]) -> Vec<Part> {
    let delimiter = [b"--", boundary].concat();
    let places: Vec<usize> = memchr::memmem::find_iter(body, &delimiter).collect();
    // A part stands between two delimiters; behind the last one is none.
    let pairs = places.iter().zip(places.iter().skip(1));
    let part = |(&from, &to): (&usize, &usize)| {
        let from = from + delimiter.len();
        let head = memchr::memmem::find(body.get(from..to)?, b"\r\n\r\n")?;
        let start = from + head + 4;
        // The line end before a delimiter belongs to it (RFC 2046, section 5.1.1).
        let end = to.checked_sub(2).filter(|&end| end >= start)?;
        let of_head = body.get(from..start)?;
        // With the semicolon, so that `filename="` is not taken for it.
        let name = parameter(of_head, b"; name=\"");
        let name = name.and_then(|(from, to)| of_head.get(from..to).map(<[u8]>::to_vec));
        // As the engine decides it: any kind of file name makes a part a file.
        let is_file = memchr::memmem::find(&of_head.to_ascii_lowercase(), b"filename").is_some();
        let (name, file_of) = match is_file {
            true => (None, name),
            false => (name, None),
        };
        Some(Part {
            name,
            file_of,
            head: from,
            start,
            end,
        })
    };
    pairs.filter_map(part).collect()
}

/// Where the value of this parameter of `Content-Disposition` stands; `begin` ends with its quote.
fn parameter(head: &[u8], begin: &[u8]) -> Option<(usize, usize)> {
    let at = memchr::memmem::find(&head.to_ascii_lowercase(), begin)? + begin.len();
    let length = memchr::memchr(b'"', head.get(at..)?)?;
    Some((at, at + length))
}
