//! Client certificates: who is let in, who is told to the upstream, and that nothing resumes past it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dev_pki::{Issued, LeafOptions, Usage};
use drawbridge::config;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslMethod, SslVersion};
use openssl::x509::X509;
use std::pin::Pin;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::front::{Front, RULES, Setup};
use crate::requests::echo;
use support::client::{Answer, read_answer};
use support::pki::{self, CORP, OLD, PUBLIC};
use support::upstream::Upstream;

const PARTNERS: &str = "[trust.partners]\nca = [\"corp-ca.pem\"]\n";

pub fn setup(upstream: &Upstream, client_ca: &str) -> Setup {
    Setup {
        listener: format!("client_ca = {{ trust = \"partners\"{client_ca} }}"),
        more: PARTNERS.to_owned(),
        ..Setup::to(upstream)
    }
}

/// One request of this client; None where it is not let in.
pub async fn ask(
    address: SocketAddr,
    host: &str,
    client: Option<&Issued>,
    newest: SslVersion,
    target: &str,
) -> Option<Answer> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    let store = builder.cert_store_mut();
    store.add_cert(PUBLIC.certificate().clone()).unwrap();
    builder.set_max_proto_version(Some(newest)).unwrap();
    if let Some(client) = client {
        let chain = X509::stack_from_pem(&client.chain_pem).unwrap();
        let key = PKey::private_key_from_pem(&client.key_pem).unwrap();
        builder.set_certificate(&chain[0]).unwrap();
        builder.set_private_key(&key).unwrap();
        for more in &chain[1..] {
            builder.add_extra_chain_cert(more.clone()).unwrap();
        }
    }
    let ssl = builder.build().configure().unwrap().into_ssl(host).unwrap();
    let tcp = TcpStream::connect(address).await.unwrap();
    let mut stream = SslStream::new(ssl, tcp).unwrap();
    Pin::new(&mut stream).connect().await.ok()?;
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nClient-Cert: :c3Bvb2Y=:\r\n\
        client_cert: :c3Bvb2Y=:\r\nClient-Cert-Chain: :c3Bvb2Y=:\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    read_answer(&mut stream, &mut Vec::new(), false).await
}

/// The fields with this name that the upstream got.
fn fields_received(answer: &Answer, name: &str) -> Vec<String> {
    let headers = answer.json()["headers"].as_array().unwrap().clone();
    let prefix = format!("{name}: ");
    let of = |line: &serde_json::Value| {
        let line = line.as_str().unwrap().to_owned();
        let head = line.get(..prefix.len())?.replace('_', "-");
        head.eq_ignore_ascii_case(&prefix)
            .then(|| line[prefix.len()..].to_owned())
    };
    headers.iter().filter_map(of).collect()
}

fn field(pem: &[u8], index: usize) -> String {
    let der = X509::stack_from_pem(pem).unwrap()[index].to_der().unwrap();
    format!(":{}:", openssl::base64::encode_block(&der))
}

pub const VERSIONS: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

#[tokio::test(flavor = "multi_thread")]
async fn required_lets_in_whom_the_bundle_knows_and_tells_the_upstream() {
    let upstream = echo().await;
    let front = Front::start(&setup(&upstream, "")).await;
    let expired = LeafOptions {
        starts_in_days: -9,
        ends_in_days: -1,
        usage: Usage::Client,
        ..LeafOptions::default()
    };
    let issuing = CORP.intermediate("Partner CA", 10).unwrap();
    let (direct, chained) = (
        pki::client(&CORP, "partner"),
        pki::client(&issuing, "partner 2"),
    );
    for newest in VERSIONS {
        for (what, refused) in [
            ("none", None),
            ("another CA", Some(pki::client(&OLD, "partner"))),
            ("the public CA", Some(pki::client(&PUBLIC, "partner"))),
            ("expired", Some(CORP.leaf(&["partner"], &expired).unwrap())),
            ("a server's", Some(pki::leaf(&CORP, "partner"))),
        ] {
            let answer = ask(
                front.address,
                "api.test",
                refused.as_ref(),
                newest,
                "/orders/",
            )
            .await;
            assert!(answer.is_none(), "{what}: {answer:?}");
        }
        assert_eq!(upstream.requests(), 0);
    }
    for newest in VERSIONS {
        for (client, chain) in [
            (&direct, vec![]),
            (&chained, vec![field(&chained.chain_pem, 1)]),
        ] {
            let answer = ask(front.address, "api.test", Some(client), newest, "/orders/").await;
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200);
            assert_eq!(
                fields_received(&answer, "client-cert"),
                [field(&client.chain_pem, 0)]
            );
            assert_eq!(fields_received(&answer, "client-cert-chain"), chain);
            let id = answer.json()["headers"].to_string();
            assert!(
                !id.contains("c3Bvb2Y"),
                "what a client says is dropped: {id}"
            );
        }
    }
    let line = front.line(|line| line["status"] == 200).await;
    assert_eq!(line["tls"]["client"], "CN=partner", "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn optional_lets_in_who_shows_none_and_a_route_may_ask_for_more() {
    let upstream = echo().await;
    let mut setup = setup(&upstream, ", mode = \"optional\"");
    setup.more += r#"
[[routes]]
name = "partners"
hosts = ["api.test"]
paths = ["/partners/"]
listeners = ["public"]
upstream = "orders"
policy = "default"
client_certificate = "required"
"#;
    let front = Front::start(&setup).await;
    let (known, strange) = (pki::client(&CORP, "partner"), pki::client(&OLD, "partner"));
    for newest in VERSIONS {
        let ask =
            async |client, target| ask(front.address, "api.test", client, newest, target).await;
        let answer = ask(None, "/orders/").await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(fields_received(&answer, "client-cert").is_empty());
        assert!(ask(Some(&strange), "/orders/").await.is_none());
        let answer = ask(None, "/partners/").await.unwrap();
        assert_eq!(answer.status, 403);
        let line = front.line_of(answer.header("x-request-id").unwrap()).await;
        assert_eq!(line["error"], "client_certificate");
        let answer = ask(Some(&known), "/partners/").await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(fields_received(&answer, "client-cert").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_clients_are_refused() {
    let upstream = echo().await;
    let folder = setup(&upstream, ", crl = [\"corp.crl\"]").write(RULES);
    let (good, bad) = (pki::client(&CORP, "good"), pki::client(&CORP, "bad"));
    let revoked = X509::from_pem(&bad.chain_pem).unwrap();
    let list = CORP.revocation_list(&[revoked], 2).unwrap();
    std::fs::write(folder.join("corp.crl"), list).unwrap();
    let front = Front::start_in(folder).await;
    for newest in VERSIONS {
        let ask =
            async |client| ask(front.address, "api.test", Some(client), newest, "/orders/").await;
        assert_eq!(ask(&good).await.unwrap().status, 200);
        assert!(ask(&bad).await.is_none());
    }
}

/// The lists of every CA of the chain count, and all must be there.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_chain_is_looked_up_in_the_lists() {
    let issuer = |name| CORP.intermediate(name, 10).unwrap();
    let (good, bad) = (issuer("Good Issuing CA"), issuer("Bad Issuing CA"));
    let clients = [&good, &bad].map(|ca| pki::client(ca, "partner"));
    let revoked = pki::client(&good, "revoked");
    let leaf = X509::stack_from_pem(&revoked.chain_pem).unwrap().remove(0);
    let root = CORP
        .revocation_list(&[bad.certificate().clone()], 2)
        .unwrap();
    let good_list = good.revocation_list(&[leaf], 2).unwrap();
    let bad_list = bad.revocation_list(&[], 2).unwrap();
    let bundle = [&*CORP, &good, &bad].map(|ca| ca.certificate_pem().unwrap());
    for (lists, lets_good_in) in [
        (vec![&root, &good_list, &bad_list], true),
        (vec![&root, &bad_list], false),
        (vec![&good_list, &bad_list], false),
    ] {
        let upstream = echo().await;
        let folder = setup(&upstream, ", crl = [\"all.crl\"]").write(RULES);
        std::fs::write(folder.join("corp-ca.pem"), bundle.concat()).unwrap();
        let lists: Vec<&[u8]> = lists.into_iter().map(Vec::as_slice).collect();
        std::fs::write(folder.join("all.crl"), lists.concat()).unwrap();
        let front = Front::start_in(folder).await;
        for newest in VERSIONS {
            let is_in = async |client| {
                let answer = ask(front.address, "api.test", Some(client), newest, "/else").await;
                answer.is_some()
            };
            assert_eq!(is_in(&clients[0]).await, lets_good_in);
            assert!(!is_in(&clients[1]).await, "its issuer is revoked");
            assert!(!is_in(&revoked).await);
        }
    }
}

fn problems(folder: &Path) -> String {
    let found = match config::load(&folder.join("drawbridge.toml")) {
        Ok(loaded) => loaded.warnings,
        Err(found) => found,
    };
    // Every configuration of the tests has a listener on any port, routes without an owner, and a rule
    // for answers that not every test has the rules see.
    let usual = |m: &str| {
        m.starts_with("with port 0")
            || m.ends_with("no exposure names it")
            || m.starts_with("RESPONSE_BODY stays empty")
    };
    let found = found.iter().filter(|d| !usual(&d.message));
    found.map(|d| d.render(false)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_said() {
    let upstream = echo().await;
    let outdated = CORP.revocation_list(&[], -1).unwrap();
    let foreign = OLD.revocation_list(&[], 2).unwrap();
    for (client_ca, more, list, expected) in [
        (
            ", mode = \"maybe\"",
            "",
            &b""[..],
            "\"optional\" or \"required\"",
        ),
        (", crls = []", "", b"", "unknown key \"crls\""),
        (", crl = [\"c.crl\"]", "", b"x", "holds no revocation list"),
        (
            ", crl = [\"c.crl\"]",
            "",
            &foreign,
            "signed by no CA of trust bundle \"partners\"",
        ),
        (", crl = [\"c.crl\"]", "", &outdated, "was good until"),
        (", crl = [\"none.crl\"]", "", b"", "cannot read"),
        ("", "sni = \"any\"", b"", ""),
    ] {
        let mut setup = setup(&upstream, client_ca);
        setup.listener += &format!("\n{more}");
        let folder = setup.write(RULES);
        std::fs::write(folder.join("c.crl"), list).unwrap();
        let found = problems(&folder);
        assert!(found.contains(expected), "{expected}: {found}");
        assert_eq!(found.is_empty(), expected.is_empty(), "{found}");
    }
    let mut route = Setup::to(&upstream);
    route.route = "paths = [\"/orders/\"]\nclient_certificate = \"required\"".to_owned();
    let found = problems(&route.write(RULES));
    assert!(
        found.contains("listener \"public\" asks for none"),
        "{found}"
    );
    let mut own = by_name(&upstream);
    own.listener = "sni = \"any\"".to_owned();
    let found = problems(&with_partner(&own));
    assert!(found.contains("needs sni = \"strict\""), "{found}");
}

/// `api.test` is open, `partner.test` demands a certificate.
fn by_name(upstream: &Upstream) -> Setup {
    Setup {
        certificates: ", { chain = \"partner.pem\", key = \"partner.key\", \
            client_ca = { trust = \"partners\" } }"
            .to_owned(),
        more: format!(
            "{PARTNERS}\n[[routes]]\nname = \"partner\"\nhosts = [\"partner.test\"]\n\
            paths = [\"/orders/\"]\nlisteners = [\"public\"]\nupstream = \"orders\"\npolicy = \"default\"\n"
        ),
        ..Setup::to(upstream)
    }
}

fn with_partner(setup: &Setup) -> PathBuf {
    let folder = setup.write(RULES);
    pki::leaf(&PUBLIC, "partner.test")
        .write(&folder.join("partner.pem"), &folder.join("partner.key"))
        .unwrap();
    folder
}

/// `openssl s_client`, as rust-openssl resumes sessions only in unsafe code.
pub async fn s_client(address: SocketAddr, name: &str, version: &str, more: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command
        .args([
            "s_client",
            "-connect",
            &address.to_string(),
            "-servername",
            name,
        ])
        .args([version, "-ign_eof"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let request = format!("GET /orders/ HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    tokio::task::spawn_blocking(move || {
        use std::io::Write;
        let mut child = command.spawn().expect("openssl is installed");
        // It may have been refused before it reads.
        let _ = child.stdin.take().unwrap().write_all(request.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_resumes_past_a_client_certificate() {
    let upstream = echo().await;
    let open = Front::start(&Setup::to(&upstream)).await;
    let required = Front::start(&setup(&upstream, "")).await;
    let named = Front::start_in(with_partner(&by_name(&upstream))).await;
    let folder = Setup::default().write(RULES);
    for version in ["-tls1_2", "-tls1_3"] {
        let file = folder.join(format!("session{version}"));
        let session = file.to_str().unwrap();
        // That the tool resumes at all, so that what follows means something.
        let first = s_client(open.address, "api.test", version, &["-sess_out", session]).await;
        assert!(first.contains("HTTP/1.1 200"), "{first}");
        let again = s_client(open.address, "api.test", version, &["-sess_in", session]).await;
        assert!(again.contains("Reused, TLSv1."), "{again}");
        assert!(again.contains("HTTP/1.1 200"), "{again}");

        // A session of an open listener, or of an open name, does not open another door.
        let sent = upstream.requests();
        for (front, name) in [(&required, "api.test"), (&named, "partner.test")] {
            let refused = s_client(front.address, name, version, &["-sess_in", session]).await;
            assert!(!refused.contains("Reused, TLSv1."), "{refused}");
            assert!(!refused.contains("HTTP/1.1 200"), "{refused}");
        }
        assert_eq!(upstream.requests(), sent);
        let own = folder.join(format!("own{version}"));
        let own_path = own.to_str().unwrap();
        let opened = s_client(named.address, "api.test", version, &["-sess_out", own_path]).await;
        assert!(opened.contains("HTTP/1.1 200"), "{opened}");
        // TLS 1.3 without tickets leaves nothing to resume.
        if own.exists() {
            let sent = upstream.requests();
            let args = ["-sess_in", own_path];
            let refused = s_client(named.address, "partner.test", version, &args).await;
            assert!(!refused.contains("Reused, TLSv1."), "{refused}");
            assert!(!refused.contains("HTTP/1.1 200"), "{refused}");
            assert_eq!(upstream.requests(), sent);
        }
    }
    for newest in VERSIONS {
        let known = pki::client(&CORP, "partner");
        let ask = async |name, client| ask(named.address, name, client, newest, "/orders/").await;
        assert_eq!(ask("api.test", None).await.unwrap().status, 200);
        assert!(ask("partner.test", None).await.is_none());
        let answer = ask("partner.test", Some(&known)).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(fields_received(&answer, "client-cert").len(), 1);
    }
}
