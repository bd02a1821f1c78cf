//! A front door with the CRS and its backend, on a thread of their own with a log of their own.

use std::fs::File;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use drawbridge::config;
use drawbridge::proxy::serve;
use ftw::{self, CRS_TEST_SETUP};
use http_strict::{BodyFraming, Head};
use openssl::ssl::{Ssl, SslAcceptor};
use support::pki::{self, CORP, ServerTls};
use support::setup::Setup;
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
    pub fn open(crs: &Path) -> Self {
        let backend = StdListener::bind("127.0.0.1:0").unwrap();
        let folder = setup(crs, backend.local_addr().unwrap()).write(CRS_TEST_SETUP);
        let log = folder.join("waf.log");
        let file = File::create(&log).unwrap();
        let (ready, is_ready) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn({
            let folder = folder.clone();
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
                runtime.block_on(run(&folder, backend, ready, stopped));
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

fn setup(crs: &Path, backend: SocketAddr) -> Setup {
    let crs = crs.canonicalize().unwrap();
    let crs = crs.display();
    Setup {
        top: "shutdown_timeout = \"1s\"".to_owned(),
        listener: "sni = \"any\"".to_owned(),
        mode: "detect",
        rules: format!("\"rules.conf\", \"{crs}/crs-setup.conf.example\", \"{crs}/rules/*.conf\""),
        hosts: "\"*\"".to_owned(),
        route: "paths = [\"/\"]".to_owned(),
        ..Setup::servers(&[backend])
    }
}

async fn run(
    folder: &Path,
    backend: StdListener,
    ready: mpsc::Sender<SocketAddr>,
    stopped: oneshot::Receiver<()>,
) {
    backend.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(backend).unwrap();
    let tls = ServerTls::new(pki::leaf(&CORP, "orders.corp.test"));
    let task = tokio::spawn(accept(listener, tls.acceptor()));
    let file = folder.join("drawbridge.toml");
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
