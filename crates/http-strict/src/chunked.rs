//! The framing of a chunked body, exactly as the grammar says (RFC 9112, section 7.1).
//!
//! A server that accepts a bare LF as a line end, or skips what it does not know, may see another body and another next
//! request than this reader (request smuggling). So the first byte outside of the grammar is an error. Memory is
//! constant: no line is stored.

use std::fmt;

use super::{is_token_byte, is_value_byte};

/// The longest line of a size and its extensions, in bytes. Extensions are ignored, so a client could otherwise send
/// them for ever.
const LONGEST_LINE: usize = 4096;
/// All trailers together, in bytes.
const MOST_TRAILERS: usize = 64 * 1024;
/// Hexadecimal digits of a size. More could overflow 64 bits, and servers differ in what they make of that.
const MOST_DIGITS: u8 = 16;

/// Why a chunked body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It ends before its last chunk.
    Incomplete,
    /// Its framing breaks the grammar of RFC 9112, section 7.1, in the way that the text says.
    BadChunk(&'static str),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("the chunked body ends before its last chunk"),
            Self::BadChunk(reason) => write!(f, "the framing of the chunked body: {reason}"),
        }
    }
}

impl std::error::Error for BodyError {}

/// Reads a chunked body that arrives in pieces of any size. The data of chunks is passed on unread, and no byte is
/// copied.
#[derive(Debug, Clone)]
pub struct ChunkedFraming {
    state: State,
    /// Of the current chunk: the size that its line gives, then the data that is still to come.
    left: u64,
    digits: u8,
    /// Bytes of the current size line, or of all trailers.
    line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    /// After blanks, which only an extension may follow.
    Blank,
    /// After `;`.
    Extension,
    Name,
    AfterName,
    /// After `=`.
    BeforeValue,
    Value,
    Quoted,
    Escaped,
    AfterQuoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// Where a trailer or the last line end begins.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
}

impl Default for ChunkedFraming {
    fn default() -> Self {
        Self {
            state: State::Size,
            left: 0,
            digits: 0,
            line: 0,
        }
    }
}

impl ChunkedFraming {
    /// Takes the next bytes of the connection and gives the data of chunks among them to `data`. Returns how many of
    /// the bytes belong to this body; that is fewer than all only if the body has ended.
    ///
    /// # Errors
    /// The first byte that the grammar forbids, or a line that is too long. After an error the connection must be
    /// closed: where the next request begins is unknown.
    pub fn read(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, BodyError> {
        let mut rest = bytes;
        while self.state != State::Done {
            if self.state == State::Data {
                // A size beyond the address space takes all that is here.
                let here = usize::try_from(self.left).map_or(rest.len(), |l| l.min(rest.len()));
                let (chunk, after) = rest.split_at(here);
                data(chunk);
                self.left -= here as u64;
                rest = after;
                if self.left > 0 {
                    break;
                }
                self.state = State::DataCr;
            }
            let Some((&byte, after)) = rest.split_first() else {
                break;
            };
            self.state = self.step(byte).map_err(BodyError::BadChunk)?;
            rest = after;
        }
        Ok(bytes.len() - rest.len())
    }

    /// Whether the body has ended, its trailer section included.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn step(&mut self, byte: u8) -> Result<State, &'static str> {
        match self.state {
            State::SizeLf => return self.end_of_size(byte),
            State::DataCr if byte == b'\r' => return Ok(State::DataLf),
            State::DataCr => return Err("no CRLF after a chunk's data"),
            State::DataLf => {
                line_feed(byte)?;
                // The next chunk has a size, digits and a line length of its own.
                *self = Self::default();
                return Ok(State::Size);
            }
            State::TrailerLf => return line_feed(byte).map(|()| State::Trailer),
            State::LastLf => return line_feed(byte).map(|()| State::Done),
            // Every state in which an LF may come has been handled above.
            _ if byte == b'\n' => return Err("a bare LF"),
            State::Trailer | State::TrailerName | State::TrailerValue => {
                self.count_line(MOST_TRAILERS)?;
                return self.trailer(byte);
            }
            _ => self.count_line(LONGEST_LINE)?,
        }
        if self.state == State::Size && byte.is_ascii_hexdigit() {
            return self.digit(byte);
        }
        if self.state == State::Size && self.digits == 0 {
            return Err("a chunk's size is no hexadecimal number");
        }
        extension(self.state, byte)
    }

    fn count_line(&mut self, most: usize) -> Result<(), &'static str> {
        self.line += 1;
        match self.line > most {
            true => Err("a line that is too long"),
            false => Ok(()),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, &'static str> {
        if self.digits == MOST_DIGITS {
            return Err("a chunk's size has too many digits");
        }
        self.digits += 1;
        let digit = char::from(byte).to_digit(16).unwrap_or_default();
        // Sixteen digits fill 64 bits, so that none is shifted out.
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size)
    }

    fn end_of_size(&mut self, byte: u8) -> Result<State, &'static str> {
        line_feed(byte)?;
        // Trailers have a count of their own.
        self.line = 0;
        Ok(match self.left {
            0 => State::Trailer,
            _ => State::Data,
        })
    }

    fn trailer(&self, byte: u8) -> Result<State, &'static str> {
        match (self.state, byte) {
            (State::Trailer, b'\r') => Ok(State::LastLf),
            (State::Trailer | State::TrailerName, byte) if is_token_byte(byte) => {
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, byte) if is_value_byte(byte) => Ok(State::TrailerValue),
            _ => Err("a trailer is no field"),
        }
    }
}

fn line_feed(byte: u8) -> Result<(), &'static str> {
    match byte {
        b'\n' => Ok(()),
        _ => Err("a bare CR"),
    }
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ) CRLF`, from a size's last digit on.
fn extension(state: State, byte: u8) -> Result<State, &'static str> {
    let blank = matches!(byte, b' ' | b'\t');
    let token = is_token_byte(byte);
    Ok(match (state, byte) {
        // Quotes come first: between them a separator is a byte like any other.
        (State::Quoted, b'"') => State::AfterQuoted,
        (State::Quoted, b'\\') => State::Escaped,
        (State::Quoted | State::Escaped, byte) if is_value_byte(byte) => State::Quoted,
        (State::Quoted | State::Escaped, _) => return Err("a control byte in an extension"),
        (State::Extension | State::Name, _) if token => State::Name,
        (State::BeforeValue | State::Value, _) if token => State::Value,
        (State::BeforeValue, b'"') => State::Quoted,
        (State::Extension | State::BeforeValue | State::Blank | State::AfterName, _) if blank => {
            state
        }
        (State::Name, _) if blank => State::AfterName,
        (State::Size | State::Value | State::AfterQuoted, _) if blank => State::Blank,
        (State::Name | State::AfterName, b'=') => State::BeforeValue,
        (State::Extension | State::BeforeValue, _) => {
            return Err("an extension without a name or a value");
        }
        (_, b';') => State::Extension,
        // A blank may only stand between two elements (RFC 9110, section 5.6.3).
        (State::Blank | State::AfterName, b'\r') => return Err("a blank at a line's end"),
        (_, b'\r') => State::SizeLf,
        (State::Size, _) => return Err("a chunk's size is no hexadecimal number"),
        _ => return Err("an extension that is none"),
    })
}

/// Decodes a chunked body that is complete, without its extensions and trailers.
///
/// # Errors
/// The body is malformed or ends too early.
pub fn decode_chunked(bytes: &[u8]) -> Result<Vec<u8>, BodyError> {
    let mut framing = ChunkedFraming::default();
    let mut body = Vec::new();
    framing.read(bytes, |data| body.extend_from_slice(data))?;
    match framing.is_done() {
        true => Ok(body),
        false => Err(BodyError::Incomplete),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_grammar_allows() {
        for (raw, body) in [
            ("3\r\nHi \r\n3;x=y\r\nCRS\r\n0\r\n\r\n", "Hi CRS"),
            ("0\r\nTrailer: x\r\n\r\n", ""),
            ("0\r\nA:\r\nB: \t x \u{e9}\r\n\r\n", ""),
            ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            ("0000000000000003\r\nabc\r\n000\r\n\r\n", "abc"),
            ("3;a\r\na\r\n\r\n0;b\r\n\r\n", "a\r\n"),
            ("1;a;b=c;d=\"e;\\\"\t\\\\\u{e9}\"\r\nx\r\n0\r\n\r\n", "x"),
            ("1 ;\ta\t=  b ; c = \"\" ;d\r\nx\r\n0\r\n\r\n", "x"),
            ("5\r\n\n\r\n0\r\r\n0\r\n\r\n", "\n\r\n0\r"),
        ] {
            assert_eq!(decode_chunked(raw.as_bytes()), Ok(body.into()), "{raw:?}");
        }
    }

    #[test]
    fn what_it_forbids() {
        for (raw, reason) in [
            ("3\nabc\r\n0\r\n\r\n", "a bare LF"),
            ("3;a\nabc\r\n0\r\n\r\n", "a bare LF"),
            ("3;a\n\r\nabc\r\n0\r\n\r\n", "a bare LF"),
            ("3;\n\r\nabc\r\n0\r\n\r\n", "a bare LF"),
            ("3;a=\nabc\r\n0\r\n\r\n", "a bare LF"),
            ("3;a=\"\n\"\r\nabc\r\n0\r\n\r\n", "a bare LF"),
            ("3;a=\"\\\n\"\r\nabc\r\n0\r\n\r\n", "a bare LF"),
            ("3 \nabc\r\n0\r\n\r\n", "a bare LF"),
            ("3\r\nabc\n0\r\n\r\n", "no CRLF after a chunk's data"),
            ("3\r\nabc\r\n0\n\r\n", "a bare LF"),
            ("0\n\n", "a bare LF"),
            ("0\r\n\n", "a bare LF"),
            ("0\r\nA: b\n\r\n", "a bare LF"),
            ("0\r\nA: b\r\n\n", "a bare LF"),
            ("0\r\nA\n\r\n", "a bare LF"),
            ("\n3\r\nabc\r\n0\r\n\r\n", "a bare LF"),
            ("3\rabc\r\n0\r\n\r\n", "a bare CR"),
            ("3\r\r\nabc\r\n0\r\n\r\n", "a bare CR"),
            ("3;a\r;\r\nabc\r\n0\r\n\r\n", "a bare CR"),
            ("3\r\nabc\r0\r\n\r\n", "a bare CR"),
            ("0\r\n\r\r\n", "a bare CR"),
            ("0\r\nA: b\rc\r\n\r\n", "a bare CR"),
            (
                "3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n",
                "a control byte in an extension",
            ),
            (
                "3;a=\"\0\"\r\nabc\r\n0\r\n\r\n",
                "a control byte in an extension",
            ),
            ("3\r\nabc0\r\n\r\n", "no CRLF after a chunk's data"),
            ("3\r\nabcd\r\n0\r\n\r\n", "no CRLF after a chunk's data"),
            ("2\r\nabc\r\n0\r\n\r\n", "no CRLF after a chunk's data"),
            (
                " 3\r\nabc\r\n0\r\n\r\n",
                "a chunk's size is no hexadecimal number",
            ),
            (
                "\t3\r\nabc\r\n0\r\n\r\n",
                "a chunk's size is no hexadecimal number",
            ),
            (
                "\r\n3\r\nabc\r\n0\r\n\r\n",
                "a chunk's size is no hexadecimal number",
            ),
            (
                ";a\r\nabc\r\n0\r\n\r\n",
                "a chunk's size is no hexadecimal number",
            ),
            (
                "+3\r\nabc\r\n0\r\n\r\n",
                "a chunk's size is no hexadecimal number",
            ),
            (
                "-3\r\nabc\r\n0\r\n\r\n",
                "a chunk's size is no hexadecimal number",
            ),
            (
                "0x3\r\nabc\r\n0\r\n\r\n",
                "a chunk's size is no hexadecimal number",
            ),
            (
                "3g\r\nabc\r\n0\r\n\r\n",
                "a chunk's size is no hexadecimal number",
            ),
            (
                "1_0\r\nabc\r\n0\r\n\r\n",
                "a chunk's size is no hexadecimal number",
            ),
            (
                "3,3\r\nabc\r\n0\r\n\r\n",
                "a chunk's size is no hexadecimal number",
            ),
            (
                "\u{ff13}\r\nabc\r\n0\r\n\r\n",
                "a chunk's size is no hexadecimal number",
            ),
            (
                "00000000000000003\r\nabc\r\n0\r\n\r\n",
                "a chunk's size has too many digits",
            ),
            (
                "10000000000000000\r\nabc\r\n0\r\n\r\n",
                "a chunk's size has too many digits",
            ),
            ("3 \r\nabc\r\n0\r\n\r\n", "a blank at a line's end"),
            ("3;a \r\nabc\r\n0\r\n\r\n", "a blank at a line's end"),
            ("3 3\r\nabc\r\n0\r\n\r\n", "an extension that is none"),
            ("3 a\r\nabc\r\n0\r\n\r\n", "an extension that is none"),
            ("3;a b\r\nabc\r\n0\r\n\r\n", "an extension that is none"),
            (
                "3;a=\"b\"c\r\nabc\r\n0\r\n\r\n",
                "an extension that is none",
            ),
            ("3;a\0\r\nabc\r\n0\r\n\r\n", "an extension that is none"),
            (
                "3;\r\nabc\r\n0\r\n\r\n",
                "an extension without a name or a value",
            ),
            (
                "3;;a\r\nabc\r\n0\r\n\r\n",
                "an extension without a name or a value",
            ),
            (
                "3;=b\r\nabc\r\n0\r\n\r\n",
                "an extension without a name or a value",
            ),
            (
                "3;a=\r\nabc\r\n0\r\n\r\n",
                "an extension without a name or a value",
            ),
            ("0\r\n A: b\r\n\r\n", "a trailer is no field"),
            ("0\r\nA: b\r\n c\r\n\r\n", "a trailer is no field"),
            ("0\r\nA : b\r\n\r\n", "a trailer is no field"),
            ("0\r\n: b\r\n\r\n", "a trailer is no field"),
            ("0\r\nA: b\0\r\n\r\n", "a trailer is no field"),
            ("0\r\nGET / HTTP/1.1\r\n\r\n", "a trailer is no field"),
        ] {
            let expected = Err(BodyError::BadChunk(reason));
            assert_eq!(decode_chunked(raw.as_bytes()), expected, "{raw:?}");
        }
    }

    #[test]
    fn what_has_not_ended() {
        let whole = b"3;a=\"b\"\r\nabc\r\n0\r\nA: b\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(
                decode_chunked(&whole[..length]),
                Err(BodyError::Incomplete),
                "{length}"
            );
        }
        let large = b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n";
        assert_eq!(decode_chunked(large), Err(BodyError::Incomplete));
    }

    #[test]
    fn lines_are_bounded() {
        let extension = |length| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(length));
        assert!(decode_chunked(extension(LONGEST_LINE - 3).as_bytes()).is_ok());
        assert!(decode_chunked(extension(LONGEST_LINE - 2).as_bytes()).is_err());
        let trailers = |count| format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert!(decode_chunked(trailers(10_000).as_bytes()).is_ok());
        assert!(decode_chunked(trailers(20_000).as_bytes()).is_err());
    }

    /// However the bytes are cut, the same data, the same end and the same refusal.
    #[test]
    fn pieces_make_no_difference() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..20_000 {
            let (body, mut wire) = random.body();
            let length = wire.len();
            wire.extend_from_slice(b"GET / HTTP/1.1\r\n");
            if random.below(3) == 0 {
                // A line end that is short of a byte, or a byte that is another.
                let at = random.below(length);
                match random.below(2) {
                    0 => drop(wire.remove(at)),
                    _ => wire[at] = b"\r\n;0\" a"[random.below(7)],
                }
            } else {
                let mut framing = ChunkedFraming::default();
                let mut data = Vec::new();
                let read = framing.read(&wire, |d| data.extend_from_slice(d));
                assert_eq!(read, Ok(length), "{}", wire.escape_ascii());
                assert!(framing.is_done());
                assert_eq!(data, body);
            }
            let cut = random.below(wire.len() + 1);
            assert_eq!(in_pieces(&wire, wire.len()), in_pieces(&wire, 1));
            assert_eq!(in_pieces(&wire, wire.len()), in_pieces(&wire, cut.max(1)));
        }
    }

    /// No CR or LF of the framing can be left out, and none can be another.
    #[test]
    fn every_line_end_counts() {
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        for _ in 0..2000 {
            let (body, wire) = random.body();
            let framing: Vec<usize> = framing_of(&wire);
            for at in framing {
                let byte = wire[at];
                for other in [None, Some(b'x'), Some(b'\r'), Some(b'\n')] {
                    if !matches!(byte, b'\r' | b'\n') || other == Some(byte) {
                        continue;
                    }
                    let mut bent = wire.clone();
                    drop(bent.splice(at..=at, other));
                    let got = decode_chunked(&bent);
                    // A size that is cut short may still frame a body, but not this one.
                    assert_ne!(got, Ok(body.clone()), "{}", bent.escape_ascii());
                }
            }
        }
    }

    type Outcome = (Result<usize, BodyError>, bool, Vec<u8>);

    fn in_pieces(wire: &[u8], size: usize) -> Outcome {
        let mut framing = ChunkedFraming::default();
        let mut data = Vec::new();
        let mut read = 0;
        for piece in wire.chunks(size) {
            match framing.read(piece, |d| data.extend_from_slice(d)) {
                Ok(taken) => read += taken,
                Err(error) => return (Err(error), false, Vec::new()),
            }
        }
        (Ok(read), framing.is_done(), data)
    }

    /// The places of the bytes that are no data.
    fn framing_of(wire: &[u8]) -> Vec<usize> {
        let mut framing = ChunkedFraming::default();
        (0..wire.len())
            .filter(|&at| {
                let mut is_data = false;
                framing
                    .read(&wire[at..=at], |d| is_data |= !d.is_empty())
                    .unwrap();
                !is_data
            })
            .collect()
    }

    /// xorshift64
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % end as u64).unwrap()
        }

        fn pick<T: Copy>(&mut self, from: &[T]) -> T {
            from[self.below(from.len())]
        }

        /// A body, and how it may be sent.
        fn body(&mut self) -> (Vec<u8>, Vec<u8>) {
            const EXTENSIONS: [&str; 5] = ["", ";a", " ;a=b", ";a=\"\\\"; \";b", ";\ta = b;c"];
            const TRAILERS: [&str; 3] = ["", "A: b\r\n", "A:\r\nB-c: d e\r\n"];
            let (mut body, mut wire) = (Vec::new(), Vec::new());
            for _ in 0..self.below(4) {
                let data: Vec<u8> = (0..=self.below(20))
                    .map(|_| self.pick(b"a0;\r\n"))
                    .collect();
                let size = match self.below(3) {
                    0 => format!("{:x}", data.len()),
                    1 => format!("{:X}", data.len()),
                    _ => format!("{:06x}", data.len()),
                };
                wire.extend_from_slice(size.as_bytes());
                wire.extend_from_slice(self.pick(&EXTENSIONS).as_bytes());
                wire.extend_from_slice(b"\r\n");
                wire.extend_from_slice(&data);
                wire.extend_from_slice(b"\r\n");
                body.extend_from_slice(&data);
            }
            let last = [
                "0",
                self.pick(&EXTENSIONS),
                "\r\n",
                self.pick(&TRAILERS),
                "\r\n",
            ];
            wire.extend_from_slice(last.concat().as_bytes());
            (body, wire)
        }
    }
}
