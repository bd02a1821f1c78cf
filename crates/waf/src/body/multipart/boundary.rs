//! The boundary that a Content-Type announces.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::super::is_space;
use super::super::media_type::{self, Fault, Parameter};
use super::Flags;
use super::fault::MultipartFault;

const MEDIA_TYPE: &[u8] = b"multipart/form-data";
const PARAMETER: &[u8] = b"boundary";
const LONGEST_CONTENT_TYPE: usize = 1024;

/// A boundary of characters that RFC 2046 (5.1.1) allows; never empty.
pub(super) struct Boundary {
    /// `--` and the boundary.
    delimiter: Vec<u8>,
}

impl Boundary {
    pub(super) fn from_content_type(
        content_type: &[u8],
        flags: &mut Flags,
    ) -> Result<Self, MultipartFault> {
        if content_type.is_empty() {
            return Err(MultipartFault::NoContentType);
        }
        // The same bound as in ModSecurity v2.
        if content_type.len() > LONGEST_CONTENT_TYPE {
            return Err(MultipartFault::ContentTypeTooLong);
        }
        let parameters = match content_type.split_at_checked(MEDIA_TYPE.len()) {
            Some((media_type, rest)) if media_type.eq_ignore_ascii_case(MEDIA_TYPE) => rest,
            _ => return Err(MultipartFault::OtherMediaType),
        };
        let blanks = parameters.iter().take_while(|&&b| is_space(b)).count();
        let bare = parameters
            .get(blanks..blanks + PARAMETER.len())
            .is_some_and(|name| name.eq_ignore_ascii_case(PARAMETER));
        let with_semicolon;
        let parameters = match bare {
            false => parameters,
            true => {
                // As in ModSecurity, the boundary is read even so, and the flag says that others may not find it.
                flags.missing_semicolon = true;
                with_semicolon = [b";", parameters].concat();
                &with_semicolon
            }
        };
        Self::from_parameters(parameters, flags)
    }

    fn from_parameters(text: &[u8], flags: &mut Flags) -> Result<Self, MultipartFault> {
        let found = media_type::parameters(text).map_err(|fault| match fault {
            Fault::Malformed => MultipartFault::MalformedParameter,
            Fault::Quote => MultipartFault::ParameterQuotes,
        })?;
        let is = |p: &&Parameter<'_>| p.name.eq_ignore_ascii_case(PARAMETER);
        let Some(parameter) = found.iter().find(is) else {
            let similar = found.iter().any(|p| mentions(p.name));
            return Err(match similar {
                true => MultipartFault::SimilarParameter,
                false => MultipartFault::NoBoundaryParameter,
            });
        };
        // Some readers search for the word instead of parsing parameters. If they could find another boundary, the
        // parts are unknown.
        let (before, after) = (&text[..parameter.start], &text[parameter.end..]);
        if mentions(before) || assigns(after) || assigns(parameter.value) {
            return Err(MultipartFault::SeveralBoundaryParameters);
        }
        flags.boundary_quoted |= parameter.quoted;
        flags.boundary_whitespace |= parameter.blanks;
        // v2 takes all that follows the name for the boundary, so that other parameters would be part of it.
        let alone = before.iter().filter(|&&b| b == b';').count() == 1 && after.is_empty();
        // v2 accepts `boundary` in lower case as the only parameter.
        flags.v2_refuses |= !alone || parameter.name != PARAMETER || found.len() > 1;
        let allowed: &[u8] = match parameter.quoted {
            true => b"'()+_,-./:=? ",
            // For some readers a blank or a comma ends an unquoted value.
            false => b"'()+_-./:=?",
        };
        let value = parameter.value;
        let fits = |&b: &u8| b.is_ascii_alphanumeric() || allowed.contains(&b);
        if value.starts_with(b" ") || value.ends_with(b" ") || !value.iter().all(fits) {
            return Err(MultipartFault::BoundaryCharacters);
        }
        if value.is_empty() {
            return Err(MultipartFault::EmptyBoundary);
        }
        Ok(Self {
            delimiter: [b"--", value].concat(),
        })
    }

    /// The boundary by itself.
    pub(super) fn value(&self) -> &[u8] {
        &self.delimiter[2..]
    }

    /// The boundary with the two dashes before it.
    pub(super) fn delimiter(&self) -> &[u8] {
        &self.delimiter
    }
}

/// Whether the word is in it, in any case.
fn mentions(text: &[u8]) -> bool {
    text.windows(PARAMETER.len())
        .any(|window| window.eq_ignore_ascii_case(PARAMETER))
}

/// Whether the word is in it as the name of a parameter, or as the beginning of one: `boundary=`, `boundary*0=`.
fn assigns(text: &[u8]) -> bool {
    let ends_a_name = |rest: &[u8]| {
        let name = rest
            .iter()
            .take_while(|&&b| b.is_ascii_alphanumeric() || b == b'*' || b == b'-' || is_space(b));
        rest.get(name.count()) == Some(&b'=')
    };
    let windows = text.windows(PARAMETER.len()).enumerate();
    let mut found = windows.filter(|(_, window)| window.eq_ignore_ascii_case(PARAMETER));
    found.any(|(at, _)| ends_a_name(&text[at + PARAMETER.len()..]))
}
