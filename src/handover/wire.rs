//! What two processes say to each other over a unix socket: frames of JSON, each with its length
//! before it, and file descriptors (SCM_RIGHTS, unix(7)), each with one byte of its own.

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

/// Far more than any number of listeners needs.
const MOST_BYTES: u32 = 1 << 20;
/// What comes with each descriptor.
const MARK: u8 = b'+';

pub(super) fn send<T: Serialize>(mut stream: &UnixStream, value: &T) -> io::Result<()> {
    let body = serde_json::to_vec(value)?;
    let length = u32::try_from(body.len()).ok().filter(|n| *n <= MOST_BYTES);
    let length = length.ok_or_else(|| faulty("too much to say"))?;
    stream.write_all(&[&length.to_be_bytes()[..], &body].concat())
}

/// Reads no byte beyond the frame: descriptors may follow it.
pub(super) fn receive<T: DeserializeOwned>(mut stream: &UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MOST_BYTES {
        return Err(faulty("the other side does not speak as it should"));
    }
    let mut body = Vec::new();
    stream.take(length.into()).read_to_end(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

pub(super) fn send_descriptor(stream: &UnixStream, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(faulty("no room for a descriptor"));
    }
    match sendmsg(
        stream,
        &[IoSlice::new(&[MARK])],
        &mut control,
        SendFlags::NOSIGNAL,
    )? {
        1 => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

pub(super) fn receive_descriptor(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut mark = [0];
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut mark)],
        &mut control,
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
        Some(descriptor) if mark == [MARK] => Ok(descriptor),
        _ => Err(faulty("a descriptor did not come")),
    }
}

fn faulty(words: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn frames_and_descriptors_do_not_run_into_each_other() {
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
    fn what_is_no_frame_and_no_descriptor_is_an_error() {
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
        one.write_all(&[MARK]).unwrap();
        assert!(receive_descriptor(&other).is_err());
    }
}
