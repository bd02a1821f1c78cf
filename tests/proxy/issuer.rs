//! An issuer of tokens behind a private CA that answers what a test wants.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use identity::{Signer, SigningAlgorithm};
use openssl::ssl::Ssl;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_openssl::SslStream;

use crate::front::{Front, RULES, Setup};
use crate::tokens::now;
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Upstream, read_body, read_head};

/// What an issuer publishes now.
#[derive(Default)]
pub struct Published {
    /// `issuer` of its document; its own URL where empty.
    pub issuer: String,
    /// `jwks_uri` of its document; its own where empty.
    pub jwks_uri: String,
    pub keys: Vec<Value>,
    pub denied: String,
    /// Answers everything with these bytes instead.
    pub instead: Option<Vec<u8>>,
    /// Its document is only at the place of RFC 8414.
    pub is_oauth: bool,
    /// What it says of a token; that it does not hold where nothing is here.
    pub says: BTreeMap<String, Value>,
    /// Answers questions about tokens with these bytes instead; with none of them, never.
    pub says_instead: Option<Vec<u8>>,
    /// The tokens that it was asked about.
    pub tokens: Vec<String>,
    /// What it was asked to exchange, as forms.
    pub exchanges: Vec<BTreeMap<String, String>>,
    /// What it gives in exchange; a token that names audience and question where nothing is here.
    pub gives: Option<Value>,
    /// Answers such questions with these bytes instead.
    pub gives_instead: Option<Vec<u8>>,
    /// Answers wait for a permit of it.
    pub gate: Option<Arc<Semaphore>>,
    /// The paths that were asked.
    pub asked: Vec<String>,
}

/// Who may ask about tokens: `door` with the secret `the secret: 1`, form-encoded.
const CLIENT: &str = "Basic ZG9vcjp0aGUrc2VjcmV0JTNBKzE=";
pub const SECRET: &str = "the secret: 1";

/// An issuer of tokens with a certificate of the corporate CA.
pub struct Issuer {
    pub address: SocketAddr,
    published: Arc<Mutex<Published>>,
    task: Option<tokio::task::JoinHandle<()>>,
}

pub struct Key(pub Signer);

impl Key {
    pub fn new() -> Self {
        Self(Signer::generate(SigningAlgorithm::Es256).unwrap())
    }

    pub fn public(&self) -> Value {
        json!(self.0.public())
    }
}

impl Issuer {
    pub async fn start(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let published = Arc::<Mutex<Published>>::default();
        let mut issuer = Self {
            address,
            published,
            task: None,
        };
        issuer.publish(keys);
        issuer.serve(listener);
        issuer
    }

    fn serve(&mut self, listener: TcpListener) {
        let (published, url) = (Arc::clone(&self.published), self.url());
        self.task = Some(tokio::spawn(async move {
            let acceptor = ServerTls::new(pki::leaf(&CORP, "localhost")).acceptor();
            while let Ok((tcp, _)) = listener.accept().await {
                let ssl = Ssl::new(acceptor.context()).unwrap();
                let (published, url) = (Arc::clone(&published), url.clone());
                tokio::spawn(async move {
                    let mut tls = SslStream::new(ssl, tcp).unwrap();
                    if Pin::new(&mut tls).accept().await.is_err() {
                        return;
                    }
                    let mut buffer = Vec::new();
                    // A connection for each request, so that an outage is one at once.
                    let Some(head) = read_head(&mut tls, &mut buffer).await else {
                        return;
                    };
                    let head = String::from_utf8(head).unwrap();
                    let path = head.split(' ').nth(1).unwrap().to_owned();
                    let body = read_body(&mut tls, &mut buffer, head.as_bytes()).await;
                    let answer = match path.as_str() {
                        "/introspect" => published.lock().unwrap().introspect(&head, &body),
                        "/token" => published.lock().unwrap().exchange(&head, &body),
                        _ => published.lock().unwrap().answer(&path, &url),
                    };
                    let gate = published.lock().unwrap().gate.clone();
                    if let Some(gate) = gate {
                        gate.acquire().await.unwrap().forget();
                    }
                    if answer.is_empty() {
                        return std::future::pending().await;
                    }
                    let _ = tls.write_all(&answer).await;
                    let _ = tls.shutdown().await;
                });
            }
        }));
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/realms/prod", self.address.port())
    }

    pub fn publish(&self, keys: &[&Key]) {
        self.published.lock().unwrap().keys = keys.iter().map(|key| key.public()).collect();
    }

    pub fn change(&self, change: impl FnOnce(&mut Published)) {
        change(&mut self.published.lock().unwrap());
    }

    pub fn asked_for_keys(&self) -> usize {
        let published = self.published.lock().unwrap();
        published
            .asked
            .iter()
            .filter(|path| *path == "/keys")
            .count()
    }

    /// It answers no more before there are permits.
    pub fn hold(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.change(|published| published.gate = Some(Arc::clone(&gate)));
        gate
    }

    /// Its socket closes, as if it were down.
    pub async fn stop(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    pub async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    pub fn token(&self, key: &Key, id: &str) -> String {
        let claims = json!({
            "iss": self.url(), "aud": "orders", "sub": "anna", "jti": id, "exp": now() + 300,
        });
        key.0.sign("JWT", claims.as_object().unwrap()).unwrap()
    }

    /// The table, with the keys by discovery unless `extra` says where they are.
    pub fn table(&self, extra: &str) -> String {
        let discovery = match extra.contains("jwks = ") {
            true => "",
            false => "discovery = true\n",
        };
        format!(
            "[identity.corp]\nissuer = \"{}\"\naudiences = [\"orders\"]\ntrust = \"onprem\"\n{discovery}{extra}\n",
            self.url()
        )
    }

    pub async fn front(&self, upstream: &Upstream, extra: &str) -> Front {
        Front::start_in(self.setup(upstream, extra).write(RULES)).await
    }

    pub fn setup(&self, upstream: &Upstream, extra: &str) -> Setup {
        Setup {
            top: "admin = \"admin.sock\"".to_owned(),
            route: "paths = [\"/orders/\"]\nmethods = [\"GET\"]\nidentity = \"corp\"".to_owned(),
            more: self.table(extra),
            ..Setup::to(upstream)
        }
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Published {
    fn answer(&mut self, path: &str, url: &str) -> Vec<u8> {
        self.asked.push(path.to_owned());
        if let Some(instead) = &self.instead {
            return instead.clone();
        }
        let host = url.strip_suffix("/realms/prod").unwrap();
        let body = match path {
            "/realms/prod/.well-known/openid-configuration" if !self.is_oauth => {
                self.document(url, host)
            }
            "/.well-known/oauth-authorization-server/realms/prod" if self.is_oauth => {
                self.document(url, host)
            }
            "/keys" => json!({ "keys": self.keys }).to_string(),
            "/denied" => self.denied.clone(),
            _ => return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        };
        ok(&body)
    }

    fn document(&self, url: &str, host: &str) -> String {
        let or = |text: &str, own: String| match text {
            "" => own,
            text => text.to_owned(),
        };
        json!({
            "issuer": or(&self.issuer, url.to_owned()),
            "jwks_uri": or(&self.jwks_uri, format!("{host}/keys")),
            "introspection_endpoint": format!("{host}/introspect"),
            "token_endpoint": format!("{host}/token"),
        })
        .to_string()
    }

    /// RFC 8693.
    fn exchange(&mut self, head: &str, body: &[u8]) -> Vec<u8> {
        let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let audience = form["audience"].clone();
        self.exchanges.push(form);
        if !head.contains(CLIENT) {
            return b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        if let Some(instead) = &self.gives_instead {
            return instead.clone();
        }
        let given = json!({
            "access_token": format!("{audience}-{}", self.exchanges.len()),
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": 300,
        });
        ok(&self.gives.clone().unwrap_or(given).to_string())
    }

    fn introspect(&mut self, head: &str, body: &[u8]) -> Vec<u8> {
        let mut pairs = form_urlencoded::parse(body);
        let token = pairs.find(|(name, _)| name == "token").unwrap().1;
        self.tokens.push(token.clone().into_owned());
        if !head.contains(CLIENT) {
            return b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        if let Some(instead) = &self.says_instead {
            return instead.clone();
        }
        let said = self.says.get(token.as_ref());
        let said = said.cloned().unwrap_or(json!({ "active": false }));
        ok(&said.to_string())
    }
}

pub fn ok(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}
