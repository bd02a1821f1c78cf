//! The variables of a multipart body, except its fields, which are arguments.

use super::arguments::Arguments;
use super::item::Item;
use crate::body::multipart::{Flags, Multipart, Part};
use crate::variables::{Slice, Text, Variable};

/// Files, part headers and oddities of a multipart body. Empty for every other body.
#[derive(Debug, Default)]
pub(crate) struct MultipartBody {
    files: Vec<Item>,
    /// In the order of the files.
    file_sizes: Vec<Item>,
    files_size: u64,
    part_headers: Vec<Item>,
    /// None if no multipart body was read.
    flags: Option<Flags>,
    name: Slice,
    filename: Slice,
}

impl MultipartBody {
    pub(crate) fn files(&self) -> &[Item] {
        &self.files
    }

    pub(crate) fn file_sizes(&self) -> &[Item] {
        &self.file_sizes
    }

    /// Bytes of all files.
    pub(crate) fn files_size(&self) -> u64 {
        self.files_size
    }

    pub(crate) fn part_headers(&self) -> &[Item] {
        &self.part_headers
    }

    /// `MULTIPART_NAME`
    pub(crate) fn name(&self) -> Slice {
        self.name
    }

    /// `MULTIPART_FILENAME`
    pub(crate) fn filename(&self) -> Slice {
        self.filename
    }

    /// The value of a `MULTIPART_...` variable that is 0 or 1; None for every other variable.
    pub(crate) fn flag(&self, variable: Variable) -> Option<bool> {
        let read: fn(&Flags) -> bool = match variable {
            Variable::MultipartStrictError => |m| m.strict_error(),
            Variable::MultipartBoundaryQuoted => |m| m.boundary_quoted,
            Variable::MultipartBoundaryWhitespace => |m| m.boundary_whitespace,
            Variable::MultipartDataBefore => |m| m.data_before,
            Variable::MultipartDataAfter => |m| m.data_after,
            Variable::MultipartHeaderFolding => |m| m.header_folding,
            Variable::MultipartLfLine => |m| m.lf_line,
            Variable::MultipartCrlfLfLines => |m| m.crlf_lf_lines(),
            Variable::MultipartMissingSemicolon => |m| m.missing_semicolon,
            Variable::MultipartInvalidQuoting => |m| m.invalid_quoting,
            Variable::MultipartInvalidPart => |m| m.invalid_part,
            Variable::MultipartInvalidHeaderFolding => |m| m.invalid_header_folding,
            Variable::MultipartFileLimitExceeded => |m| m.file_limit_exceeded,
            Variable::MultipartUnmatchedBoundary => |m| m.unmatched_boundary,
            _ => return None,
        };
        Some(self.flags.as_ref().is_some_and(read))
    }

    /// Takes what the parser found in `body`; fields go to `arguments`, of which there may be `most`.
    pub(crate) fn fill(
        &mut self,
        text: &mut Text,
        arguments: &mut Arguments,
        found: &Multipart<'_>,
        body: &[u8],
        most: usize,
    ) {
        // Alternative file names go after all files, because `file_sizes` has one entry for each file, in their order.
        let mut other_files = Vec::new();
        for part in &found.parts {
            let key = text.push(&part.name);
            for header in &part.headers {
                let value = text.push(header);
                self.part_headers.push(Item { key, value });
            }
            let content = body.get(part.content.clone()).unwrap_or_default();
            match &part.filename {
                Some(filename) => {
                    let value = text.push(filename);
                    for other in &part.other_filenames {
                        let value = text.push(other);
                        other_files.push(Item { key, value });
                    }
                    let size = i64::try_from(content.len()).unwrap_or(i64::MAX);
                    let size = text.push_number(size);
                    self.files.push(Item { key, value });
                    self.file_sizes.push(Item { key, value: size });
                    self.files_size += content.len() as u64;
                }
                None if arguments.has_room(most) => {
                    let value = text.push(content);
                    arguments.push(Item { key, value });
                    add_other_readings(text, arguments, part, Item { key, value });
                }
                // An argument beyond the limit; `has_room` has noted it.
                None => {}
            }
        }
        self.files.append(&mut other_files);
        self.name = text.push(&found.name);
        self.filename = text.push(&found.filename);
        self.flags = Some(found.flags);
    }
}

/// Adds the field as an upstream reads it that decodes its name or its content. Rules see both readings.
fn add_other_readings(text: &mut Text, arguments: &mut Arguments, part: &Part<'_>, item: Item) {
    // A reading that is no other would count as one argument more.
    let content = part.decoded.as_ref().filter(|d| **d != text.at(item.value));
    let value = content.map(|content| text.push(content));
    if let Some(value) = value {
        let key = item.key;
        arguments.push(Item { key, value });
    }
    if let Some(name) = &part.other_name {
        let key = text.push(name);
        let value = value.unwrap_or(item.value);
        arguments.push(Item { key, value });
    }
}
