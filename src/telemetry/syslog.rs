//! A syslog receiver as the target of a log: messages of RFC 5424 over TCP or TLS, each after its length (RFC 6587, 3.4.1;
//! RFC 5425), so that no content can end a message.
//!
//! Invariant: only the writer thread of a log waits for the receiver, and every wait has a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVersion};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyFlags;

use super::settings::Syslog;
use crate::time::rfc3339;
use crate::tls::TrustBundle;

/// How long a lookup of the name, a connection, a part of a handshake or a write may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Facility `local0`, severity `info` (RFC 5424, 6.2.1).
const PRIORITY: u32 = 16 * 8 + 6;

/// Sends lines to one receiver; connects at the first line, and again after a failure.
#[derive(Debug)]
pub(super) struct SyslogWriter {
    target: Syslog,
    /// From HOSTNAME to STRUCTURED-DATA.
    header: String,
    connector: Option<SslConnector>,
    connection: Option<Connection>,
    lookup: Lookup,
    frames: Vec<u8>,
}

/// Asks the system for the addresses of a name. The system's own deadline can be minutes, so a thread waits for it. While
/// one waits, no other is started.
#[derive(Debug, Default)]
struct Lookup(Option<Receiver<io::Result<Vec<SocketAddr>>>>);

#[derive(Debug)]
enum Connection {
    Plain(TcpStream),
    Tls(SslStream<TcpStream>),
}

impl SyslogWriter {
    /// `kind` is the MSGID. Does not connect yet.
    ///
    /// # Errors
    /// OpenSSL does not take the trust bundle.
    pub(super) fn new(target: &Syslog, kind: &str) -> io::Result<Self> {
        let system = rustix::system::uname();
        let host = system.nodename().to_string_lossy();
        // The header's fields are printable ASCII without spaces (RFC 5424, 6).
        let host: String = host.chars().filter(char::is_ascii_graphic).collect();
        let host = if host.is_empty() { "-" } else { &host };
        let connector = target.trust.as_deref().map(connector).transpose()?;
        Ok(Self {
            target: target.clone(),
            header: format!("{host} drawbridge {} {kind} -", std::process::id()),
            connector,
            connection: None,
            lookup: Lookup::default(),
            frames: Vec::new(),
        })
    }

    /// Sends whole lines, each with its line feed. After an error all of them must be sent again: the receiver may have
    /// some twice, but none is lost that the network did not take.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.frame(lines);
        // The kernel would take what a closed connection never delivers.
        let mut before = self.connection.take();
        let mut connection = match before.take_if(Connection::is_live) {
            Some(connection) => connection,
            None => self.connect().map_err(|error| self.explain(&error))?,
        };
        match connection.write_all(&self.frames) {
            // Not after an error: what follows half a message would be read as its rest.
            Ok(()) => self.connection = Some(connection),
            Err(error) => return Err(self.explain(&error)),
        }
        Ok(())
    }

    fn frame(&mut self, lines: &[u8]) {
        self.frames.clear();
        // One time for all of them, since they leave in one write.
        let sent = rfc3339(SystemTime::now());
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let head = format!("<{PRIORITY}>1 {sent} {} ", self.header);
            let length = head.len() + line.len();
            self.frames
                .extend_from_slice(format!("{length} {head}").as_bytes());
            self.frames.extend_from_slice(line);
        }
    }

    fn connect(&mut self) -> io::Result<Connection> {
        let (host, port) = (self.target.host.clone(), self.target.port);
        let addresses = self.lookup.within(PATIENCE, move || {
            Ok((host.as_str(), port).to_socket_addrs()?.collect())
        })?;
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(tcp) => return self.open(tcp),
                // Any address of the name will do; the error of the last one stands for all.
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn open(&self, tcp: TcpStream) -> io::Result<Connection> {
        tcp.set_write_timeout(Some(PATIENCE))?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let Some(connector) = &self.connector else {
            return Ok(Connection::Plain(tcp));
        };
        let host = &self.target.host;
        // SNI must not be an address (RFC 6066, 3). The name is verified in both cases.
        let is_name = host.parse::<IpAddr>().is_err();
        let client = connector.configure()?.use_server_name_indication(is_name);
        let session = client.connect(host, tcp);
        session
            .map(Connection::Tls)
            .map_err(|error| io::Error::other(error.to_string()))
    }

    fn explain(&self, error: &io::Error) -> io::Error {
        let Syslog { host, port, .. } = &self.target;
        let words = match error.kind() {
            // What the kernel answers if a deadline of the socket passes. So says a lookup that takes too long.
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "it does not answer".to_owned(),
            _ => error.to_string(),
        };
        // Of one kind: a caller must not take it for a target that is not ready.
        io::Error::other(format!("syslog at {host}:{port}: {words}"))
    }
}

impl Lookup {
    /// The answer to `ask`, or to the question before it that nobody has answered yet.
    fn within(
        &mut self,
        patience: Duration,
        ask: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Vec<SocketAddr>> {
        let answers = match self.0.take() {
            Some(answers) => answers,
            None => {
                let (done, answers) = sync_channel(1);
                let thread = thread::Builder::new().name("syslog-lookup".to_owned());
                // Nobody may wait for the answer any more.
                thread.spawn(move || drop(done.send(ask())))?;
                answers
            }
        };
        match answers.recv_timeout(patience) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                self.0 = Some(answers);
                Err(io::Error::new(ErrorKind::TimedOut, "no answer in time"))
            }
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the lookup ended early")),
        }
    }
}

impl Connection {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(session) => session.get_ref(),
        }
    }

    /// Whether the receiver has not closed it. A receiver sends nothing but the records of TLS itself.
    fn is_live(&mut self) -> bool {
        if self.tcp().set_nonblocking(true).is_err() {
            return false;
        }
        let mut byte = [0];
        let read = match self {
            Self::Plain(tcp) => tcp.read(&mut byte),
            Self::Tls(session) => session.read(&mut byte),
        };
        let open = match read {
            Ok(count) => count > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        self.tcp().set_nonblocking(false).is_ok() && open
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.write_all(bytes),
            Self::Tls(session) => session.write_all(bytes),
        }
    }
}

fn connector(trust: &TrustBundle) -> Result<SslConnector, ErrorStack> {
    let mut anchors = X509StoreBuilder::new()?;
    for certificate in &trust.certificates {
        anchors.add_cert(certificate.clone())?;
    }
    // Each certificate of a bundle is an anchor, also one that is no root.
    anchors.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_cert_store(anchors.build());
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_it_says() {
        let target = Syslog {
            host: "127.0.0.1".to_owned(),
            port: 1,
            trust: None,
        };
        let mut writer = SyslogWriter::new(&target, "access").unwrap();
        writer.frame(b"one 1\ntw\xc3\xb6\n");
        let mut rest = &writer.frames[..];
        for content in ["one 1", "twö"] {
            let space = rest.iter().position(|byte| *byte == b' ').unwrap();
            let length = std::str::from_utf8(&rest[..space]).unwrap();
            let end = space + 1 + length.parse::<usize>().unwrap();
            let message = std::str::from_utf8(&rest[space + 1..end]).unwrap();
            let fields: Vec<_> = message.splitn(8, ' ').collect();
            assert_eq!(
                (fields[0], fields[3], fields[5]),
                ("<134>1", "drawbridge", "access")
            );
            assert_eq!((fields[6], fields[7]), ("-", content));
            rest = &rest[end..];
        }
        assert_eq!(rest, b"");
    }

    #[test]
    fn a_lookup_that_hangs_is_not_waited_for_and_not_begun_twice() {
        let (release, held) = sync_channel::<()>(0);
        let address: SocketAddr = "192.0.2.1:514".parse().unwrap();
        let mut lookup = Lookup::default();
        let hangs = move || {
            let _ = held.recv();
            Ok(vec![address])
        };
        let error = lookup.within(Duration::ZERO, hangs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let second = || -> io::Result<Vec<SocketAddr>> { panic!("a second thread") };
        let error = lookup.within(Duration::ZERO, second).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        release.send(()).unwrap();
        let answer = lookup.within(Duration::from_secs(60), second);
        assert_eq!(answer.unwrap(), [address]);
    }

    #[test]
    fn a_receiver_that_is_not_there_is_an_error_of_its_address() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let target = Syslog {
            host: "127.0.0.1".to_owned(),
            port,
            trust: None,
        };
        let mut writer = SyslogWriter::new(&target, "access").unwrap();
        let error = writer.write(b"line\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other);
        let begin = format!("syslog at 127.0.0.1:{port}: ");
        assert!(error.to_string().starts_with(&begin), "{error}");
    }
}
