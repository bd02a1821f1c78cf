//! Looks at the frames of an HTTP/2 connection on their way to the h2 crate: counts those that could flood us, holds
//! header blocks until they are complete and were examined, and passes everything else unchanged. It buffers at most
//! one header block and one read.

#![allow(
    clippy::expect_used,
    reason = "the connection is lent out and always comes back"
)]

use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use pingora::protocols::{IO, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::flood::Allowance;
use super::header_blocks::{HeaderBlock, HeaderBlocks};
use crate::proxy::shared::wrapper::delegate_stream_traits;

const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
const HEAD: usize = 9;
/// The largest frame that a client may send; our SETTINGS allow no larger one (RFC 9113, section 6.5.2).
const LARGEST: usize = 16 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// What the server of a connection learns about its frames.
#[derive(Debug, Default)]
pub(super) struct FrameWatch {
    /// The type of frame that was too many.
    flood: OnceLock<u8>,
    found: Notify,
    /// The connection below, once the frames no longer use it.
    connection: Mutex<Option<Stream>>,
}

impl FrameWatch {
    /// Ready when there were too many frames of a type. From then on nothing more is read.
    pub(super) async fn flooded(&self) -> u8 {
        loop {
            // Registered before the check, so that a report between both is not missed.
            let found = self.found.notified();
            if let Some(kind) = self.flood.get() {
                return *kind;
            }
            found.await;
        }
    }

    /// The connection under the frames, once [`WatchedFrames`] is dropped.
    pub(super) fn connection(&self) -> Option<Stream> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Stream>> {
        // A poisoned lock is used all the same: the value is put or taken in one step.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, kind: u8) {
        // An error means that one was reported before, which is enough.
        let _ = self.flood.set(kind);
        self.found.notify_one();
    }
}

/// A connection that is given back to its [`FrameWatch`] when it is dropped.
#[derive(Debug)]
struct LentConnection {
    /// Some until dropped.
    connection: Option<Stream>,
    watch: Arc<FrameWatch>,
}

impl Deref for LentConnection {
    type Target = dyn IO;

    fn deref(&self) -> &Self::Target {
        // Taken in `drop` alone.
        &**self.connection.as_ref().expect("only drop takes it")
    }
}

impl DerefMut for LentConnection {
    fn deref_mut(&mut self) -> &mut Self::Target {
        // Taken in `drop` alone.
        &mut **self.connection.as_mut().expect("only drop takes it")
    }
}

impl Drop for LentConnection {
    fn drop(&mut self) {
        *self.watch.lock() = self.connection.take();
    }
}

#[derive(Debug)]
pub(super) struct WatchedFrames {
    connection: LentConnection,
    place: FramePosition,
    /// Bytes that were read and not examined.
    read: BytesMut,
    /// Bytes that may go on to the h2 crate.
    ready: BytesMut,
    /// The frames of a header block that is not complete yet.
    block: BytesMut,
    /// Where the last frame of `block` begins.
    last: usize,
    /// The most bytes of `block`.
    most_block: usize,
    blocks: HeaderBlocks,
    allowance: Allowance,
    written: Written,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FramePosition {
    /// Before the head of a frame.
    FrameHead,
    /// In the preface or in a frame that passes; so many bytes of it are missing.
    Passing(usize),
    /// Nothing passes any more.
    End,
}

#[derive(Debug, Clone, Copy)]
struct FrameHead {
    length: usize,
    kind: u8,
    flags: u8,
}

impl FrameHead {
    fn of(bytes: &[u8]) -> Option<Self> {
        let head: [u8; HEAD] = bytes.get(..HEAD)?.try_into().ok()?;
        let [a, b, c, kind, flags, ..] = head;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
        })
    }
}

impl WatchedFrames {
    /// `list` is the limit on header lists that our SETTINGS announce.
    #[must_use]
    pub(super) fn new(connection: Stream, list: usize, watch: Arc<FrameWatch>) -> Self {
        Self {
            connection: LentConnection {
                connection: Some(connection),
                watch,
            },
            place: FramePosition::Passing(PREFACE),
            read: BytesMut::new(),
            ready: BytesMut::new(),
            block: BytesMut::new(),
            last: 0,
            // Enough for a list of that size, even in many small frames. The h2 crate itself ends what is larger.
            most_block: 2 * list + 2 * LARGEST,
            blocks: HeaderBlocks::new(list),
            allowance: Allowance::new(Instant::now()),
            written: Written::default(),
        }
    }

    fn connection(&mut self) -> Pin<&mut (dyn IO + 'static)> {
        Pin::new(&mut *self.connection)
    }

    fn stop_at(&mut self, kind: u8) {
        self.place = FramePosition::End;
        self.connection.watch.report(kind);
    }

    /// Passes on what was read, as far as it is allowed.
    fn pass(&mut self) {
        loop {
            match self.place {
                FramePosition::Passing(0) => self.place = FramePosition::FrameHead,
                FramePosition::Passing(left) => {
                    let length = left.min(self.read.len());
                    if length == 0 {
                        return;
                    }
                    self.ready.unsplit(self.read.split_to(length));
                    self.place = FramePosition::Passing(left - length);
                }
                FramePosition::FrameHead => {
                    if !self.pass_head() {
                        return;
                    }
                }
                FramePosition::End => {
                    self.read.clear();
                    return;
                }
            }
        }
    }

    /// False if more must be read first.
    fn pass_head(&mut self) -> bool {
        let Some(head) = FrameHead::of(&self.read) else {
            return false;
        };
        let whole = HEAD + head.length;
        // A larger frame is not held: the h2 crate refuses it by its length.
        if matches!(head.kind, HEADERS | CONTINUATION) && head.length <= LARGEST {
            if self.read.len() < whole {
                return false;
            }
            let frame = self.read.split_to(whole);
            self.hold(head, frame);
        } else if self.allowance.spend(head.kind, Instant::now) {
            // No other frame may interrupt a header block. The h2 crate detects that, so it gets both.
            self.ready.unsplit(self.block.split());
            self.place = FramePosition::Passing(whole);
        } else {
            self.stop_at(head.kind);
        }
        true
    }

    /// Holds a header block until it is whole.
    fn hold(&mut self, head: FrameHead, frame: BytesMut) {
        self.last = self.block.len();
        self.block.unsplit(frame);
        // A block without an end is counted here too (CVE-2024-27316).
        if self.block.len() > self.most_block {
            self.stop_at(head.kind);
            return;
        }
        if head.flags & END_HEADERS == 0 {
            return;
        }
        let mut block = self.block.split();
        match self.blocks.look(&block) {
            HeaderBlock::Fine => {}
            HeaderBlock::Add(field) => self.add(&mut block, field),
            HeaderBlock::Broken => self.place = FramePosition::End,
        }
        self.ready.unsplit(block);
    }

    /// Adds a field to a block, in one more frame.
    fn add(&self, block: &mut BytesMut, field: &[u8]) {
        let last = block.get_mut(self.last..self.last + HEAD);
        // `last` is the start of a frame that was held whole, so its head is there.
        let Some([_, _, _, _, flags, stream @ ..]) = last else {
            return;
        };
        // The added CONTINUATION ends the block now.
        *flags &= !END_HEADERS;
        let stream = stream.to_vec();
        let length = u8::try_from(field.len()).unwrap_or(u8::MAX);
        block.extend_from_slice(&[0, 0, length, CONTINUATION, END_HEADERS]);
        block.extend_from_slice(&stream);
        block.extend_from_slice(field);
    }
}

impl AsyncRead for WatchedFrames {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.ready.is_empty() {
            if self.place == FramePosition::End {
                // Never ready again: the server sees [`FrameWatch::flooded`] and ends the connection, with a reason for
                // the client.
                return Poll::Pending;
            }
            // On the stack: an idle connection keeps no buffer.
            let mut chunk = [0; LARGEST / 2];
            let mut fresh = ReadBuf::new(&mut chunk);
            ready!(self.connection().poll_read(context, &mut fresh))?;
            if fresh.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.read.extend_from_slice(fresh.filled());
            self.pass();
        }
        let length = self.ready.len().min(buffer.remaining());
        buffer.put_slice(self.ready.get(..length).unwrap_or_default());
        self.ready.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedFrames {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.connection().poll_write(context, bytes))?;
        let sent = bytes.get(..written).unwrap_or(bytes);
        for _ in 0..self.written.answers(sent) {
            self.allowance.earn();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection().poll_shutdown(context)
    }
}

delegate_stream_traits!(WatchedFrames);

/// The position in the frames that we send.
#[derive(Debug, Default)]
struct Written {
    head: BytesMut,
    left: usize,
}

impl Written {
    /// How many DATA and HEADERS frames begin in these bytes.
    fn answers(&mut self, mut bytes: &[u8]) -> u32 {
        let mut answers = 0;
        while !bytes.is_empty() {
            let known = self.left.min(bytes.len());
            self.left -= known;
            bytes = bytes.get(known..).unwrap_or_default();
            let needed = (HEAD - self.head.len()).min(bytes.len());
            let (more, rest) = bytes.split_at(needed);
            self.head.extend_from_slice(more);
            bytes = rest;
            if let Some(head) = FrameHead::of(&self.head) {
                answers += u32::from(matches!(head.kind, DATA | HEADERS));
                self.left = head.length;
                self.head.clear();
            }
        }
        answers
    }
}
