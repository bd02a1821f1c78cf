//! A front door with the CRS and its backend, on a thread of their own with a log of their own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use dev_pki::{Authority, Issued, LeafOptions};
use drawbridge::config;
use drawbridge::proxy::serve;
use ftw::{self, CRS_TEST_SETUP};
use http_strict::{BodyFraming, Head};
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslAcceptor, SslMethod};
use openssl::x509::X509;
use support::upstream::read_head;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_openssl::SslStream;

/// Open until it is dropped.
pub struct CrsFront {
    pub address: SocketAddr,
    pub log: PathBuf,
    folder: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl CrsFront {
    pub fn open(crs: &Path, number: usize) -> Self {
        let name = format!("drawbridge-crs-e2e-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let log = folder.join("waf.log");
        let file = File::create(&log).unwrap();
        let (ready, is_ready) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn({
            let (folder, crs) = (folder.clone(), crs.to_owned());
            move || {
                let log = tracing_subscriber::fmt()
                    .with_ansi(false)
                    .with_writer(file)
                    .finish();
                // What this thread starts logs here too, so the log is this front door's alone.
                let _log = tracing::subscriber::set_default(log);
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(run(&folder, &crs, ready, stopped));
            }
        });
        Self {
            address: is_ready.recv().unwrap(),
            log,
            folder,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for CrsFront {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let ended = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_dir_all(&self.folder);
        if !thread::panicking() {
            assert!(
                matches!(ended, Some(Ok(()))),
                "the front door or its backend panicked"
            );
        }
    }
}

async fn run(
    folder: &Path,
    crs: &Path,
    ready: mpsc::Sender<SocketAddr>,
    stopped: oneshot::Receiver<()>,
) {
    let ca = Authority::new("CA of the tests", 10).unwrap();
    let leaf = |name: &str| ca.leaf(&[name], &LeafOptions::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = listener.local_addr().unwrap();
    let task = tokio::spawn(accept(listener, acceptor(&leaf("backend.test"))));
    leaf("front.test")
        .write(&folder.join("front.pem"), &folder.join("front.key"))
        .unwrap();
    std::fs::write(folder.join("ca.pem"), ca.certificate_pem().unwrap()).unwrap();
    std::fs::write(folder.join("setup.conf"), CRS_TEST_SETUP).unwrap();
    let file = folder.join("drawbridge.toml");
    std::fs::write(&file, configuration(crs, backend)).unwrap();
    let loaded = config::load(&file).unwrap_or_else(|found| {
        let found: String = found.iter().map(|d| d.render(false)).collect();
        panic!("{found}");
    });
    let ready = |bound: &drawbridge::proxy::BoundAddresses, _: &_| {
        ready.send(bound.address("public").unwrap()).unwrap();
    };
    let stopped = async {
        let _ = stopped.await;
    };
    serve(loaded.config, ready, stopped).await.unwrap();
    task.abort();
    let ended = task.await;
    assert!(
        ended.is_err_and(|error| error.is_cancelled()),
        "the backend got what it cannot read"
    );
}

fn configuration(crs: &Path, backend: SocketAddr) -> String {
    let crs = crs.canonicalize().unwrap();
    let crs = crs.display();
    format!(
        r#"
shutdown_timeout = "1s"
[listeners.public]
bind = ["127.0.0.1:0"]
sni = "any"
certificates = [{{ chain = "front.pem", key = "front.key" }}]
[log]
access = "off"
[trust.backend]
ca = ["ca.pem"]
[upstreams.backend]
servers = ["{backend}"]
tls = {{ server_name = "backend.test", trust = "backend" }}
[policies.crs]
mode = "detect"
rules = ["setup.conf", "{crs}/crs-setup.conf.example", "{crs}/rules/*.conf"]
[[routes]]
name = "all"
hosts = ["*"]
paths = ["/"]
listeners = ["public"]
upstream = "backend"
policy = "crs"
"#
    )
}

fn acceptor(issued: &Issued) -> SslAcceptor {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    let chain = X509::stack_from_pem(&issued.chain_pem).unwrap();
    let key = PKey::private_key_from_pem(&issued.key_pem).unwrap();
    builder.set_certificate(&chain[0]).unwrap();
    builder.set_private_key(&key).unwrap();
    builder.build()
}

async fn accept(listener: TcpListener, acceptor: SslAcceptor) {
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            Some(served) = connections.join_next() => {
                served.unwrap();
                continue;
            }
        };
        let ssl = Ssl::new(acceptor.context()).unwrap();
        connections.spawn(async move {
            let mut stream = SslStream::new(ssl, tcp).unwrap();
            if Pin::new(&mut stream).accept().await.is_ok() {
                answer(stream).await;
            }
        });
    }
}

/// Answers request after request as the CRS's own backend would.
async fn answer(mut stream: SslStream<TcpStream>) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let head = read_head(&mut stream, &mut buffer).await?;
        let parsed = Head::parse(&head).expect("what is forwarded is HTTP");
        let length = match parsed.body {
            BodyFraming::None => 0,
            BodyFraming::Length(length) => usize::try_from(length).unwrap(),
            BodyFraming::Chunked => panic!("held bodies have a length"),
        };
        while buffer.len() < length {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        let rest = buffer.split_off(length);
        let body = std::mem::replace(&mut buffer, rest);
        let method = &head[parsed.method.clone()];
        let reply = ftw::reply(method, &head[parsed.target.clone()], &body);
        let mut bytes = format!("HTTP/1.1 {} Told\r\n", reply.status).into_bytes();
        for (name, value) in &reply.headers {
            bytes.extend_from_slice(&[name, b": ".as_slice(), value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"\r\n");
        if method != b"HEAD" {
            bytes.extend_from_slice(&reply.body);
        }
        stream.write_all(&bytes).await.ok()?;
    }
}
