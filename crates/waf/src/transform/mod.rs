//! Transformations: what a rule does to a value before its operator sees it (`t:lowercase`, `t:urlDecodeUni`, ...).
//!
//! Semantics are those of ModSecurity v2, except where v2 loses the rest of a hostile value: nothing here stops at a
//! NUL (v2's `cmdLine`, `base64DecodeExt` and `sqlHexDecode` read C strings), and paths are normalised without its
//! errors.
//!
//! Each file has one family. Every transformation takes time linear in its input.

mod base64;
mod case;
mod command_line;
mod comments;
mod css;
mod digest;
mod escape;
mod hex;
mod html;
mod javascript;
mod nulls;
mod parity;
mod path;
mod rewrite;
mod sql;
mod table;
mod unicode;
mod url;
mod whitespace;
mod work;

pub use unicode::{UnicodeMap, UnicodeMapError};

use super::byteset::ByteSet;
use super::steps::{self, OutOfTime};

/// Bytes of a long value that are transformed at once. A multiple of two and of three, so that no pair of hexadecimal
/// digits and no group of base64 is split.
const PIECE: usize = 12 * 1024;

/// Every transformation function of ModSecurity v2's reference manual, and v3's `uppercase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transformation {
    /// The longest prefix that is base64, decoded; padding ends it.
    Base64Decode,
    /// Base64 as RFC 2045 decodes it: bytes outside the alphabet are skipped.
    Base64DecodeExt,
    /// Base64 with padding (RFC 4648, section 4).
    Base64Encode,
    /// Undoes what shells ignore: `\ " ' ^` deleted, blanks and `, ;` become one space, none before `/` and `(`, lower
    /// case.
    CmdLine,
    /// Every run of blanks (also vertical tab, form feed and 0xA0) becomes one space.
    CompressWhitespace,
    /// CSS 2 escapes; of a code point only the low byte is kept.
    CssDecode,
    /// ANSI C escapes.
    EscapeSeqDecode,
    /// Pairs of hexadecimal digits to bytes; like v2 it does not check that they are digits. An odd last byte is
    /// dropped.
    HexDecode,
    /// Two lower-case hexadecimal digits for each byte.
    HexEncode,
    /// `quot`, `amp`, `lt`, `gt`, `nbsp` (to 0xA0) and numbers, cut to a byte; the semicolon is optional.
    HtmlEntityDecode,
    /// JavaScript escapes; of a code unit only the low byte is kept.
    JsDecode,
    /// The number of bytes, in decimal.
    Length,
    /// ASCII only.
    Lowercase,
    /// The 16 bytes of the digest.
    Md5,
    /// Multiple slashes, self references and back references of a path removed.
    NormalizePath,
    /// The same after backslashes became slashes.
    NormalizePathWin,
    /// The highest bit of each byte is set so that the number of set bits is even.
    ParityEven7bit,
    /// The highest bit of each byte is set so that the number of set bits is odd.
    ParityOdd7bit,
    /// The highest bit of each byte is cleared.
    ParityZero7bit,
    /// `/*...*/` and `<!--...-->` removed, and everything from `--` or `#` on.
    RemoveComments,
    /// `/*`, `*/`, `<!--`, `-->`, `--` and `#` removed.
    RemoveCommentsChar,
    /// NUL removed.
    RemoveNulls,
    /// Blanks, also vertical tab, form feed and 0xA0, removed.
    RemoveWhitespace,
    /// Each `/*...*/`, also an unterminated one, becomes one space.
    ReplaceComments,
    /// NUL becomes a space.
    ReplaceNulls,
    /// The 20 bytes of the digest.
    Sha1,
    /// `0x414243` to `ABC`.
    SqlHexDecode,
    /// Blanks removed from both ends.
    Trim,
    /// Blanks removed from the start.
    TrimLeft,
    /// Blanks removed from the end.
    TrimRight,
    /// ASCII only.
    Uppercase,
    /// `%HH` and `+`; what is not a valid escape stays.
    UrlDecode,
    /// The same and `%uHHHH`: by the Unicode map, else its low byte (full-width forms to ASCII).
    UrlDecodeUni,
    /// All but `*` and ASCII letters and digits to `%hh`; a space to `+`.
    UrlEncode,
    /// UTF-8 sequences to `%uhhhh`.
    Utf8ToUnicode,
}

/// What a transformation may do to the strings that a value holds, letters compared without case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LiteralEffect {
    /// Every string in the output is in the input too.
    None,
    /// The same is true for strings without a space that have no `/` or `(` behind their first byte: only blanks, and what
    /// counts as a blank, change, and a blank before `/` or `(` may vanish.
    Blanks,
    /// Not known.
    Any,
}

/// Canonical spelling first; v2's other spellings after it.
const NAMES: &[(&str, Transformation)] = {
    use Transformation as T;
    &[
        ("base64Decode", T::Base64Decode),
        ("base64DecodeExt", T::Base64DecodeExt),
        ("base64Encode", T::Base64Encode),
        ("cmdLine", T::CmdLine),
        ("compressWhitespace", T::CompressWhitespace),
        ("cssDecode", T::CssDecode),
        ("escapeSeqDecode", T::EscapeSeqDecode),
        ("hexDecode", T::HexDecode),
        ("hexEncode", T::HexEncode),
        ("htmlEntityDecode", T::HtmlEntityDecode),
        ("jsDecode", T::JsDecode),
        ("length", T::Length),
        ("lowercase", T::Lowercase),
        ("md5", T::Md5),
        ("normalizePath", T::NormalizePath),
        ("normalisePath", T::NormalizePath),
        ("normalizePathWin", T::NormalizePathWin),
        ("normalisePathWin", T::NormalizePathWin),
        ("parityEven7bit", T::ParityEven7bit),
        ("parityOdd7bit", T::ParityOdd7bit),
        ("parityZero7bit", T::ParityZero7bit),
        ("removeComments", T::RemoveComments),
        ("removeCommentsChar", T::RemoveCommentsChar),
        ("removeNulls", T::RemoveNulls),
        ("removeWhitespace", T::RemoveWhitespace),
        ("replaceComments", T::ReplaceComments),
        ("replaceNulls", T::ReplaceNulls),
        ("sha1", T::Sha1),
        ("sqlHexDecode", T::SqlHexDecode),
        ("trim", T::Trim),
        ("trimLeft", T::TrimLeft),
        ("trimRight", T::TrimRight),
        ("uppercase", T::Uppercase),
        ("urlDecode", T::UrlDecode),
        ("urlDecodeUni", T::UrlDecodeUni),
        ("urlEncode", T::UrlEncode),
        ("utf8toUnicode", T::Utf8ToUnicode),
    ]
};

impl Transformation {
    /// By its name, in any case; `None` for `none`, which empties the list and transforms nothing.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|&(_, transformation)| transformation)
    }

    /// Canonical spelling.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|&&(_, known)| known == self)
            .map_or("", |&(name, _)| name)
    }

    /// All of them, once each.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES
            .iter()
            // Other spellings of the same transformation are not its canonical name, so each is given once.
            .filter(|&&(name, transformation)| transformation.name() == name)
            .map(|&(_, transformation)| transformation)
    }

    /// Writes the result to `out`, which is cleared first, and says whether it differs from the input. On false the
    /// value is the input, and `out` is unspecified.
    ///
    /// ModSecurity v2 reports *changed* for some values that it left alone (always for `cmdLine`, for
    /// `removeComments...` by what it found) and *unchanged* for some that it altered (`utf8toUnicode` dropping a NUL,
    /// `compressWhitespace` on a lone tab, `base64Decode` emptying a value). `multiMatch` tests a value again after
    /// each change. To test equal bytes twice would count a match twice, so here only the bytes decide.
    ///
    /// If the time runs out, the result is unspecified too; the engine checks for that.
    pub fn apply(self, input: &[u8], out: &mut Vec<u8>, unicode: Option<&UnicodeMap>) -> bool {
        out.clear();
        work::look_at(input.len());
        // The others cannot be cut anywhere, since an escape or a run of blanks may span the cut. Those that take long
        // count their work themselves.
        if input.len() <= steps::STEP || !self.is_done_by_pieces() {
            return self.apply_at_once(input, out, unicode);
        }
        let mut changed = false;
        for piece in input.chunks(PIECE) {
            if steps::work(piece.len()).is_err() {
                return false;
            }
            let before = out.len();
            if self.apply_at_once(piece, out, unicode) {
                changed = true;
            } else {
                // What is left in `out` after "unchanged" is unspecified.
                out.truncate(before);
                out.extend_from_slice(piece);
            }
        }
        changed
    }

    /// Whether the transformed pieces of [`PIECE`] bytes are together the transformed whole.
    fn is_done_by_pieces(self) -> bool {
        matches!(
            self,
            Self::Base64Encode
                | Self::HexDecode
                | Self::HexEncode
                | Self::Lowercase
                | Self::ParityEven7bit
                | Self::ParityOdd7bit
                | Self::ParityZero7bit
                | Self::RemoveNulls
                | Self::RemoveWhitespace
                | Self::ReplaceNulls
                | Self::Uppercase
                | Self::UrlEncode
        )
    }

    /// The joined marks of the bytes that [`Self::Base64Decode`] would write, without writing them. Ends early once the
    /// marks are `all`.
    ///
    /// # Errors
    /// There is no time left.
    pub(crate) fn join_base64_decoded(
        input: &[u8],
        marks: &[u8; 256],
        all: u8,
    ) -> Result<u8, OutOfTime> {
        work::look_at(input.len());
        base64::join_decoded(input, marks, all)
    }

    fn apply_at_once(self, input: &[u8], out: &mut Vec<u8>, unicode: Option<&UnicodeMap>) -> bool {
        match self {
            Self::Base64Decode => base64::decode(input, out),
            Self::Base64DecodeExt => base64::decode_ext(input, out),
            Self::Base64Encode => base64::encode(input, out),
            Self::CmdLine => command_line::apply(input, out),
            Self::CompressWhitespace => whitespace::compress(input, out),
            Self::CssDecode => css::decode(input, out),
            Self::EscapeSeqDecode => escape::decode(input, out),
            Self::HexDecode => hex::decode(input, out),
            Self::HexEncode => hex::encode(input, out),
            Self::HtmlEntityDecode => html::decode(input, out),
            Self::JsDecode => javascript::decode(input, out),
            Self::Length => digest::length(input, out),
            Self::Lowercase => case::lower(input, out),
            Self::Md5 => digest::md5(input, out),
            Self::NormalizePath => path::normalize(input, out, path::Separators::Slash),
            Self::NormalizePathWin => path::normalize(input, out, path::Separators::Both),
            Self::ParityEven7bit => table::apply(&parity::EVEN, input, out),
            Self::ParityOdd7bit => table::apply(&parity::ODD, input, out),
            Self::ParityZero7bit => table::apply(&parity::ZERO, input, out),
            Self::RemoveComments => comments::remove(input, out),
            Self::RemoveCommentsChar => comments::remove_marks(input, out),
            Self::RemoveNulls => nulls::remove(input, out),
            Self::RemoveWhitespace => whitespace::remove(input, out),
            Self::ReplaceComments => comments::replace(input, out),
            Self::ReplaceNulls => table::apply(&nulls::TO_SPACE, input, out),
            Self::Sha1 => digest::sha1(input, out),
            Self::SqlHexDecode => sql::hex_decode(input, out),
            Self::Trim => whitespace::trim(input, out),
            Self::TrimLeft => whitespace::trim_left(input, out),
            Self::TrimRight => whitespace::trim_right(input, out),
            Self::Uppercase => table::apply(&case::UPPER, input, out),
            Self::UrlDecode => url::decode(input, out),
            Self::UrlDecodeUni => url::decode_uni(input, out, unicode),
            Self::UrlEncode => url::encode(input, out),
            Self::Utf8ToUnicode => unicode::from_utf8(input, out),
        }
    }

    /// If a value that is not empty holds none of these bytes, [`Self::apply`] returns false.
    ///
    /// For the empty value see [`Self::alters_empty`].
    #[must_use]
    pub fn triggers(self) -> ByteSet {
        match self {
            Self::Base64Decode
            | Self::Base64DecodeExt
            | Self::Base64Encode
            | Self::HexDecode
            | Self::HexEncode
            | Self::Length
            | Self::Md5
            | Self::Sha1 => ByteSet::ALL,
            Self::CmdLine => command_line::TRIGGERS,
            Self::CompressWhitespace | Self::RemoveWhitespace => whitespace::BLANKS,
            Self::CssDecode | Self::EscapeSeqDecode | Self::JsDecode => ByteSet::of(b"\\"),
            Self::HtmlEntityDecode => ByteSet::of(b"&"),
            Self::Lowercase => table::triggers(&case::LOWER),
            Self::NormalizePath => ByteSet::of(b"./"),
            Self::NormalizePathWin => ByteSet::of(b"./\\"),
            Self::ParityEven7bit => table::triggers(&parity::EVEN),
            Self::ParityOdd7bit => table::triggers(&parity::ODD),
            Self::ParityZero7bit => table::triggers(&parity::ZERO),
            // Each mark of a comment holds one of these; `/`, `<` and `!` are frequent elsewhere.
            Self::RemoveComments | Self::RemoveCommentsChar => ByteSet::of(b"*-#"),
            Self::RemoveNulls | Self::ReplaceNulls => ByteSet::of(b"\0"),
            Self::ReplaceComments => ByteSet::of(b"*"),
            Self::SqlHexDecode => ByteSet::of(b"xX"),
            Self::Trim | Self::TrimLeft | Self::TrimRight => whitespace::SPACES,
            Self::Uppercase => table::triggers(&case::UPPER),
            Self::UrlDecode | Self::UrlDecodeUni => ByteSet::of(b"%+"),
            Self::UrlEncode => url::KEPT.complement(),
            Self::Utf8ToUnicode => unicode::TRIGGERS,
        }
    }

    /// Whether it changes the empty value.
    #[must_use]
    pub fn alters_empty(self) -> bool {
        matches!(self, Self::Length | Self::Md5 | Self::Sha1)
    }

    /// A superset of [`Transformation::image`] that costs little: this is asked for each value at run time, `image`
    /// only at load.
    #[must_use]
    pub fn may_leave(self, present: ByteSet) -> ByteSet {
        match self {
            Self::Lowercase => {
                const UPPER: ByteSet = ByteSet::range(b'A', b'Z');
                if present.intersects(&UPPER) {
                    let lower = ByteSet::range(b'a', b'z');
                    return present.intersection(UPPER.complement()).union(lower);
                }
                present
            }
            // It lowers case, and writes one space for a run of blanks and marks.
            Self::CmdLine => Self::Lowercase.may_leave(present).with(b' '),
            Self::UrlDecode | Self::UrlDecodeUni if !present.contains(b'%') => present.with(b' '),
            Self::NormalizePathWin if !present.contains(b'\\') => present,
            // Each of these only writes bytes of its input, or a space. `removeComments` is missing: it may write a NUL.
            Self::CompressWhitespace
            | Self::NormalizePath
            | Self::RemoveCommentsChar
            | Self::RemoveNulls
            | Self::ReplaceComments
            | Self::RemoveWhitespace
            | Self::Trim
            | Self::TrimLeft
            | Self::TrimRight => present.with(b' '),
            _ => ByteSet::ALL,
        }
    }

    /// What it may do to the strings that a value holds. `present`: the bytes of the value, with a trigger among them.
    pub(crate) fn effect_on_literals(self, present: &ByteSet) -> LiteralEffect {
        match self {
            Self::Lowercase | Self::Uppercase | Self::Trim | Self::TrimLeft | Self::TrimRight => {
                LiteralEffect::None
            }
            // A single segment stays, or is `.` and vanishes.
            Self::NormalizePath if !present.contains(b'/') => LiteralEffect::None,
            Self::NormalizePathWin if !present.intersects(&ByteSet::of(b"/\\")) => {
                LiteralEffect::None
            }
            Self::CmdLine if !present.intersects(&command_line::DELETED) => LiteralEffect::Blanks,
            Self::UrlDecode | Self::UrlDecodeUni if !present.contains(b'%') => {
                LiteralEffect::Blanks
            }
            Self::CompressWhitespace | Self::ReplaceComments => LiteralEffect::Blanks,
            _ => LiteralEffect::Any,
        }
    }

    /// Which bytes the output may hold, if the input holds none but those in `present`.
    ///
    /// Monotonic: more bytes present never make the result smaller.
    #[must_use]
    pub fn image(self, present: &ByteSet) -> ByteSet {
        match self {
            Self::Base64Decode | Self::Base64DecodeExt => base64::decode_image(present),
            Self::Base64Encode => base64::encode_image(present),
            Self::CmdLine => command_line::image(present),
            Self::CompressWhitespace => whitespace::compress_image(present),
            Self::CssDecode => css::image(present),
            Self::EscapeSeqDecode => escape::image(present),
            Self::HexDecode => hex::decode_image(present),
            Self::HexEncode => hex::encode_image(present),
            Self::HtmlEntityDecode => html::image(present),
            Self::JsDecode => javascript::image(present),
            Self::Length => ByteSet::range(b'0', b'9'),
            Self::Lowercase => table::image(&case::LOWER, present),
            Self::Md5 | Self::Sha1 => ByteSet::ALL,
            Self::NormalizePath => *present,
            Self::NormalizePathWin => path::image_win(present),
            Self::ParityEven7bit => table::image(&parity::EVEN, present),
            Self::ParityOdd7bit => table::image(&parity::ODD, present),
            Self::ParityZero7bit => table::image(&parity::ZERO, present),
            Self::RemoveComments => comments::remove_image(present),
            Self::RemoveCommentsChar => without(present, b"#"),
            Self::RemoveNulls => without(present, b"\0"),
            Self::RemoveWhitespace => present.intersection(whitespace::BLANKS.complement()),
            Self::ReplaceComments => comments::replace_image(present),
            Self::ReplaceNulls => table::image(&nulls::TO_SPACE, present),
            Self::SqlHexDecode => sql::hex_image(present),
            Self::Trim | Self::TrimLeft | Self::TrimRight => *present,
            Self::Uppercase => table::image(&case::UPPER, present),
            Self::UrlDecode => url::decode_image(present),
            Self::UrlDecodeUni => url::decode_uni_image(present),
            Self::UrlEncode => url::encode_image(present),
            Self::Utf8ToUnicode => unicode::from_utf8_image(present),
        }
    }

    /// The output has at most this many bytes for each byte of the input, or [`Self::SMALL`] bytes if that is more.
    #[must_use]
    pub fn max_growth(self) -> usize {
        match self {
            // An overlong two-byte sequence becomes `%u00xx` and its lead byte: 7 for 2.
            // One byte becomes four digits of base64.
            Self::Base64Encode | Self::Utf8ToUnicode => 4,
            Self::UrlEncode => 3,
            Self::HexEncode => 2,
            _ => 1,
        }
    }

    /// What [`Self::Length`] and the digests may write whatever the input's length.
    pub const SMALL: usize = 20;
}

fn without(present: &ByteSet, bytes: &[u8]) -> ByteSet {
    present.intersection(ByteSet::of(bytes).complement())
}

#[cfg(test)]
mod tests;
