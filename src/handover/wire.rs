//! The messages between two processes over a unix socket: frames of JSON, each after its length, and file descriptors
//! (SCM_RIGHTS, unix(7)), each with one byte of its own.
//!
//! The kernel delivers a descriptor with the byte that it was sent with, so a frame is read to its last byte and no
//! further; a buffered reader would lose descriptors.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes of a frame: far more than any number of listeners needs.
const MAX_FRAME_BYTES: u32 = 1 << 20;
/// The byte that comes with each descriptor.
const DESCRIPTOR_BYTE: u8 = b'+';

pub(super) fn send<T: Serialize>(mut stream: &UnixStream, value: &T) -> io::Result<()> {
    let body = serde_json::to_vec(value)?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|n| *n <= MAX_FRAME_BYTES);
    let length = length.ok_or_else(|| invalid_data("the message is too large"))?;
    stream.write_all(&[&length.to_be_bytes()[..], &body].concat())
}

/// Reads no byte after the frame: descriptors may follow it.
pub(super) fn receive<T: DeserializeOwned>(mut stream: &UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    // The length comes from another process, so it is checked before memory is used for it.
    let length = u32::from_be_bytes(length);
    if length > MAX_FRAME_BYTES {
        return Err(invalid_data("the other process sent an invalid message"));
    }
    let mut body = Vec::new();
    stream.take(length.into()).read_to_end(&mut body)?;
    // A connection that ended early leaves a short body, which is no valid JSON.
    Ok(serde_json::from_slice(&body)?)
}

pub(super) fn send_descriptor(stream: &UnixStream, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(invalid_data("there is no room for a descriptor"));
    }
    match sendmsg(
        stream,
        &[IoSlice::new(&[DESCRIPTOR_BYTE])],
        &mut control,
        // A peer that is gone must give an error and not SIGPIPE.
        SendFlags::NOSIGNAL,
    )? {
        1 => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

pub(super) fn receive_descriptor(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        // Programs that this process starts must not inherit the socket.
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes != 1 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let found = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    match found {
        Some(descriptor) if byte == [DESCRIPTOR_BYTE] => Ok(descriptor),
        _ => Err(invalid_data("the other process sent no descriptor")),
    }
}

fn invalid_data(words: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn frames_and_descriptors_arrive_separately() {
        let (one, other) = UnixStream::pair().unwrap();
        let listeners: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        send(&one, &"before").unwrap();
        for listener in &listeners {
            send_descriptor(&one, listener.as_fd()).unwrap();
        }
        send(&one, &"after").unwrap();
        let waiting = TcpStream::connect(listeners[0].local_addr().unwrap()).unwrap();

        assert_eq!(receive::<String>(&other).unwrap(), "before");
        for listener in listeners {
            let address = listener.local_addr().unwrap();
            drop(listener);
            let passed = TcpListener::from(receive_descriptor(&other).unwrap());
            assert_eq!(passed.local_addr().unwrap(), address);
            if waiting.peer_addr().unwrap() == address {
                let (_, peer) = passed.accept().unwrap();
                assert_eq!(peer, waiting.local_addr().unwrap(), "it was in the backlog");
            }
        }
        assert_eq!(receive::<String>(&other).unwrap(), "after");
    }

    #[test]
    fn an_invalid_frame_or_a_missing_descriptor_is_an_error() {
        for bytes in [
            &b"\xff\xff\xff\xff{}"[..],
            b"\0\0\0\x09{}",
            b"\0\0\0\x02{]",
            b"",
        ] {
            let (mut one, other) = UnixStream::pair().unwrap();
            one.write_all(bytes).unwrap();
            drop(one);
            assert!(receive::<String>(&other).is_err(), "{bytes:?}");
        }
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(&[DESCRIPTOR_BYTE]).unwrap();
        assert!(receive_descriptor(&other).is_err());
    }
}
