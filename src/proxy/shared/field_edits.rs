//! Changes the header fields of what goes out, as listeners and routes say.

use http::HeaderValue;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, OrErr};

use crate::transform::{FieldEdit, FieldName};

/// Fields are taken out in every spelling that a gateway could take for theirs.
///
/// # Errors
/// None that a checked configuration can cause; the values are bytes that a field may have.
pub(crate) fn edit_request(edits: &[FieldEdit], head: &mut RequestHeader) -> Result<()> {
    for edit in edits {
        match edit {
            FieldEdit::Remove(name) => remove_spellings(name, head),
            FieldEdit::Set(name, bytes) => {
                remove_spellings(name, head);
                head.append_header(name.as_str().to_owned(), value(bytes)?)?;
            }
            FieldEdit::SetIfMissing(name, _) if is_there(name, head) => {}
            FieldEdit::SetIfMissing(name, bytes) | FieldEdit::Add(name, bytes) => {
                head.append_header(name.as_str().to_owned(), value(bytes)?)?;
            }
        }
    }
    Ok(())
}

/// # Errors
/// As [`edit_request`].
pub(crate) fn edit_answer(edits: &[FieldEdit], head: &mut ResponseHeader) -> Result<()> {
    for edit in edits {
        match edit {
            FieldEdit::Remove(name) => drop(head.remove_header(name.as_str())),
            FieldEdit::Set(name, bytes) => {
                head.insert_header(name.as_str().to_owned(), value(bytes)?)?;
            }
            FieldEdit::SetIfMissing(name, _) if head.headers.contains_key(name.as_str()) => {}
            FieldEdit::SetIfMissing(name, bytes) | FieldEdit::Add(name, bytes) => {
                head.append_header(name.as_str().to_owned(), value(bytes)?)?;
            }
        }
    }
    Ok(())
}

fn is_there(name: &FieldName, head: &RequestHeader) -> bool {
    let mut known = head.headers.keys();
    known.any(|known| name.is_spelled(known.as_str().as_bytes()))
}

fn remove_spellings(name: &FieldName, head: &mut RequestHeader) {
    let spelled: Vec<_> = head
        .headers
        .keys()
        .filter(|known| name.is_spelled(known.as_str().as_bytes()))
        .cloned()
        .collect();
    for name in spelled {
        drop(head.remove_header(&name));
    }
}

fn value(bytes: &[u8]) -> Result<HeaderValue> {
    let made = HeaderValue::from_bytes(bytes);
    made.or_err(ErrorType::InvalidHTTPHeader, "a field that was set")
        .map_err(Error::into_in)
}
