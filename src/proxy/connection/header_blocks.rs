//! Finds what the h2 crate does not report about a client's header blocks: a fragment in `:path`, which it cuts off,
//! and pseudo-header fields in trailers, which it drops. The rules would otherwise inspect another request than the
//! client sent.
//!
//! A second decoder of the same crate reads each block first. Both see the same blocks in the same order, so their
//! HPACK tables stay equal. What it finds is reported by a field that is added to the block, which the first decoder
//! then sees.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use futures_core::Stream;
use h2::Codec;
use h2::frame::{Frame, Headers};
use h2::proto::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The field that is added to a request whose `:path` has a fragment. A client that sends it itself is refused in the
/// same way.
pub(super) const FRAGMENT: &str = "x-drawbridge-fragment";

/// A literal field that does not change the HPACK table (RFC 7541, section 6.2.2).
const FRAGMENT_FIELD: &[u8] = b"\0\x15x-drawbridge-fragment\x011";
/// A connection-specific field, which makes a message malformed, so that the h2 crate resets its stream (RFC 9113,
/// section 8.2.2).
const MALFORMED_FIELD: &[u8] = b"\0\x0aconnection\x01x";

/// What to do with a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderBlock {
    /// Pass it on as it is.
    Fine,
    /// Add this field to it.
    Add(&'static [u8]),
    /// It cannot be decoded, so the HPACK table is unknown from here and the connection ends.
    Broken,
}

#[derive(Debug)]
pub(super) struct HeaderBlocks {
    codec: Codec<FieldMemory, Bytes>,
    /// The highest stream that was opened. A block of a lower one holds trailers, since clients open streams in
    /// ascending order (RFC 9113, 5.1.1).
    opened: u32,
}

impl HeaderBlocks {
    /// `list` is the limit on header lists that our SETTINGS announce.
    #[must_use]
    pub(super) fn new(list: usize) -> Self {
        let mut codec = Codec::new(FieldMemory::default());
        codec.set_max_recv_header_list_size(list);
        Self { codec, opened: 0 }
    }

    /// Looks at a whole block: HEADERS, and CONTINUATION up to END_HEADERS.
    pub(super) fn look(&mut self, frames: &[u8]) -> HeaderBlock {
        self.codec.get_mut().0.extend_from_slice(frames);
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.codec).poll_next(&mut context) {
            Poll::Ready(Some(Ok(Frame::Headers(headers)))) => self.judge(headers),
            // The first decoder will fail in the same way and reset the stream; the connection goes on.
            Poll::Ready(Some(Err(Error::Reset(..)))) => HeaderBlock::Fine,
            _ => HeaderBlock::Broken,
        }
    }

    fn judge(&mut self, headers: Headers) -> HeaderBlock {
        let stream = u32::from(headers.stream_id());
        let (pseudo, _) = headers.into_parts();
        if stream > self.opened {
            self.opened = stream;
            return match pseudo.path {
                Some(path) if path.contains('#') => HeaderBlock::Add(FRAGMENT_FIELD),
                _ => HeaderBlock::Fine,
            };
        }
        let has_pseudo = pseudo.method.is_some()
            || pseudo.scheme.is_some()
            || pseudo.authority.is_some()
            || pseudo.path.is_some()
            || pseudo.protocol.is_some()
            || pseudo.status.is_some();
        match has_pseudo {
            true => HeaderBlock::Add(MALFORMED_FIELD),
            false => HeaderBlock::Fine,
        }
    }
}

/// The bytes for a decoder that wants to read from a connection.
#[derive(Debug, Default)]
struct FieldMemory(BytesMut);

impl AsyncRead for FieldMemory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            // The decoder is polled again with the next block.
            return Poll::Pending;
        }
        let length = self.0.len().min(buffer.remaining());
        buffer.put_slice(self.0.get(..length).unwrap_or_default());
        self.0.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FieldMemory {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // The decoder never writes; the codec only demands the trait.
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap()];
        frame.extend([kind, flags, 0, 0, 0, stream]);
        frame.extend(payload);
        frame
    }

    fn head(path: &[u8]) -> Vec<u8> {
        let length = u8::try_from(path.len()).unwrap();
        // GET, https, and a path that enters the table, at 62.
        [&[0x82, 0x87, 0x44, length], path, b"\x01\x01a"].concat()
    }

    #[test]
    fn a_fragment_is_found_in_every_spelling() {
        let mut blocks = HeaderBlocks::new(4096);
        let mut look = |stream, block: &[u8]| blocks.look(&frame(1, 5, stream, block));
        assert_eq!(look(1, &head(b"/a")), HeaderBlock::Fine);
        assert_eq!(look(3, &head(b"/a#b")), HeaderBlock::Add(FRAGMENT_FIELD));
        assert_eq!(
            look(5, b"\x82\x87\xbe\x01\x01a"),
            HeaderBlock::Add(FRAGMENT_FIELD),
            "from the table"
        );
        // Huffman codes: "/#" is 011000 111111111010 and six bits of padding.
        let huffman = [0x82, 0x87, 0x04, 0x83, 0x63, 0xfe, 0xbf, 0x01, 0x01, b'a'];
        assert_eq!(look(7, &huffman), HeaderBlock::Add(FRAGMENT_FIELD));
        // The name as a literal.
        let literal = [b"\x82\x87\0\x05:path\x02/#".as_slice(), b"\x01\x01a"].concat();
        assert_eq!(look(9, &literal), HeaderBlock::Add(FRAGMENT_FIELD));
        assert_eq!(look(11, &head(b"/b")), HeaderBlock::Fine);
        let mut block = frame(1, 1, 13, &head(b"/a#b")[..5]);
        block.extend(frame(9, 4, 13, &head(b"/a#b")[5..]));
        assert_eq!(blocks.look(&block), HeaderBlock::Add(FRAGMENT_FIELD));
    }

    #[test]
    fn trailers_have_no_pseudo_header_fields() {
        let mut blocks = HeaderBlocks::new(4096);
        let mut look = |stream, block: &[u8]| blocks.look(&frame(1, 5, stream, block));
        assert_eq!(look(1, &head(b"/a")), HeaderBlock::Fine);
        assert_eq!(look(1, b"\0\x01x\x01y"), HeaderBlock::Fine);
        for pseudo in [b"\x82", b"\x84", b"\x87", b"\x88"] {
            assert_eq!(look(1, pseudo), HeaderBlock::Add(MALFORMED_FIELD));
        }
    }

    #[test]
    fn what_ends_the_connection_ends_it_here_too() {
        for broken in [&b"\xff\xff\xff\xff\xff\xff"[..], b"\xc0"] {
            let mut blocks = HeaderBlocks::new(4096);
            assert_eq!(blocks.look(&frame(1, 5, 1, broken)), HeaderBlock::Broken);
        }
        let mut blocks = HeaderBlocks::new(4096);
        let malformed = frame(1, 5, 1, b"\x82\x87\x84\0\x0aconnection\x01x");
        assert_eq!(
            blocks.look(&malformed),
            HeaderBlock::Fine,
            "its stream is reset"
        );
    }
}
