//! An HTTP proxy that notes what it is asked, connects where it is asked to, and wants credentials where it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

pub struct ForwardProxy {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl ForwardProxy {
    /// With `authorization`, a head without this value of Proxy-Authorization is answered 407.
    pub async fn start(authorization: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, authorization, Arc::clone(&noted)));
            }
        });
        Self {
            address,
            heads,
            task,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut client: TcpStream,
    authorization: Option<&'static str>,
    noted: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    noted.lock().unwrap().push(head.clone());
    let has = |wanted: &str| {
        let mut lines = head.lines();
        lines.any(|line| {
            line.split_once(": ").is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("proxy-authorization") && value == wanted
            })
        })
    };
    let answer: &[u8] = match (authorization.is_none_or(has), head.split(' ').next()) {
        (false, _) => b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n",
        (true, Some("CONNECT")) => {
            let target = head.split(' ').nth(1).unwrap();
            let Ok(mut server) = TcpStream::connect(target).await else {
                let _ = client.write_all(b"HTTP/1.1 502 Cannot\r\n\r\n").await;
                return;
            };
            let _ = client.write_all(b"HTTP/1.1 200 Tunnel\r\n\r\n").await;
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
        (true, _) => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy",
    };
    let _ = client.write_all(answer).await;
    // Until the client has read it and closed.
    let _ = client.read(&mut [0; 1024]).await;
}
