//! What is new and broken fails alone, and closed: it has no last good version that could go on.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::world::{World, until};
use support::client::{self, read_answer};
use support::pki::{self, CORP, OLD};
use support::ports;

const GET: &[u8] = b"GET /orders/1 HTTP/1.1\r\nHost: api.test\r\n\r\n";

/// Whether a client without a certificate gets nothing.
async fn is_refused(address: SocketAddr) -> bool {
    let Ok(mut stream) = client::connect(address, Some("api.test"), b"").await else {
        return true;
    };
    // In TLS 1.3 it is told late.
    let written = stream.write_all(GET).await;
    written.is_err()
        || read_answer(&mut stream, &mut Vec::new(), false)
            .await
            .is_none()
}

/// The second route answers 503, and nothing reaches its upstream.
async fn second_is_unavailable(world: &World) {
    let requests = world.upstream.requests();
    let answer = client::get(world.front.address, "/second/1").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(world.upstream.requests(), requests);
}

fn second_route(upstream: &str, policy: &str) -> String {
    format!(
        "[[routes]]\nname = \"second\"\nhosts = [\"api.test\"]\npaths = [\"/second/\"]\n\
        listeners = [\"public\"]\nupstream = \"{upstream}\"\npolicy = \"{policy}\"\n"
    )
}

fn second_policy(rules: &str) -> String {
    format!("[policies.second]\nmode = \"block\"\nrules = [\"{rules}\"]\n")
}

const NO_X: &str = "SecRule ARGS \"@streq x\" \"id:1,phase:1,deny\"\n";

/// A second upstream, which leads to the same server, and its route.
fn second_upstream(world: &World, tls: &str) -> String {
    format!(
        "[upstreams.second]\nservers = [\"{}\"]\n\
        tls = {{ server_name = \"orders.corp.test\", {tls} }}\n{}",
        world.upstream.address,
        second_route("second", "default")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_answers_503_until_its_files_are_mended() {
    let bundle = "[trust.second]\nca = [\"second-ca.pem\"]\n";
    let certificate =
        "trust = \"onprem\", client_certificate = { chain = \"second.pem\", key = \"second.key\" }";
    for (tls, more, units) in [
        (certificate, "", &["upstream second"][..]),
        (
            "trust = \"second\"",
            bundle,
            &["trust second", "upstream second"],
        ),
    ] {
        let world = World::start().await;
        assert_eq!(world.status_of("/orders/1").await, 200);
        for name in ["second-ca.pem", "second.pem", "second.key"] {
            world.write(name, "nothing");
        }
        let text = world.setup.text().replace("/orders/", "/bills/");
        world.write(
            "drawbridge.toml",
            text + more + &second_upstream(&world, tls),
        );
        let (status, said) = world.reload().await;
        assert_eq!(status, 422, "{said}");
        let refused = said["refused"].as_array().unwrap();
        let refused: Vec<_> = refused
            .iter()
            .map(|r| r["unit"].as_str().unwrap())
            .collect();
        assert_eq!(refused, units, "{said}");

        assert_eq!(world.status_of("/bills/1").await, 200, "the rest is live");
        second_is_unavailable(&world).await;
        assert!(world.ready().await.contains("upstream second"));
        let metrics = world.ask("GET", "/metrics").await.text();
        for line in [
            "drawbridge_config_refused{unit=\"upstream second\"} 1",
            "drawbridge_upstream_refused_total{upstream=\"second\",reason=\"upstream_not_live\"} 1",
        ] {
            assert!(metrics.lines().any(|l| l == line), "{line}: {metrics}");
        }

        let issued = pki::client(&CORP, "second");
        world.write("second-ca.pem", CORP.certificate_pem().unwrap());
        world.write("second.key", &issued.key_pem);
        world.write("second.pem", &issued.chain_pem);
        until("the mended files are live", async || {
            world.status_of("/second/1").await == 200
        })
        .await;
        until("nothing is refused", async || {
            world.ready().await.contains("[+]reload ok")
        })
        .await;

        // From now on it has a last good version.
        world.write("second-ca.pem", "nothing");
        world.write("second.pem", "nothing");
        assert_eq!(world.reload().await.0, 422);
        assert_eq!(world.status_of("/second/1").await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_stays_shut_until_it_can_ask_for_its_clients() {
    for (client_ca, more) in [
        ("trust = \"onprem\", crl = [\"corp.crl\"]", ""),
        (
            "trust = \"partners\"",
            "[trust.partners]\nca = [\"partners-ca.pem\"]\n",
        ),
    ] {
        let world = World::start().await;
        let address = ports::free();
        world.write("corp.crl", "nothing");
        world.write("partners-ca.pem", "nothing");
        let text = world.setup.text().replace("/orders/", "/bills/");
        let second = format!(
            "{more}[listeners.second]\nbind = [\"{address}\"]\n\
            certificates = [{{ chain = \"front.pem\", key = \"front.key\" }}]\n\
            client_ca = {{ {client_ca} }}\n\
            [[routes]]\nname = \"second\"\nhosts = [\"api.test\"]\npaths = [\"/orders/\"]\n\
            client_certificate = \"required\"\n\
            listeners = [\"second\"]\nupstream = \"orders\"\npolicy = \"default\"\n"
        );
        world.write("drawbridge.toml", text + &second);
        let (status, said) = world.reload().await;
        assert_eq!(status, 422, "{said}");
        assert!(said.to_string().contains("listener second"), "{said}");
        assert_eq!(world.status_of("/bills/1").await, 200, "the rest is live");
        assert!(TcpStream::connect(address).await.is_err());

        world.write("corp.crl", CORP.revocation_list(&[], 2).unwrap());
        world.write("partners-ca.pem", CORP.certificate_pem().unwrap());
        until("it comes up once it is mended", async || {
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        assert!(is_refused(address).await);
    }
}

/// It must not serve, without asking, what was written for a listener that asks; and it must not close.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_runs_does_not_go_on_without_asking() {
    let world = World::start().await;
    for (client_ca, certificate) in [
        (
            "client_ca = { trust = \"onprem\", crl = [\"corp.crl\"] }",
            "front.pem",
        ),
        ("client_ca = { trust = \"partners\" }", "front.pem"),
    ] {
        world.write("corp.crl", "nothing");
        world.write("partners-ca.pem", "nothing");
        let text = world.setup.text().replace("/orders/", "/bills/");
        let text = text.replace("[log]", &format!("{client_ca}\n[log]"));
        let text = text.replace("front.pem", certificate);
        let partners = "[trust.partners]\nca = [\"partners-ca.pem\"]\n";
        world.write("drawbridge.toml", text + partners);
        let (status, said) = world.reload().await;
        assert_eq!(status, 422, "{said}");
        assert_eq!(said["refused"][0]["unit"], "configuration", "{said}");
        assert_eq!(world.status_of("/orders/1").await, 200, "all is as it was");
        assert_eq!(world.status_of("/bills/1").await, 404, "and nothing new");
    }

    // A broken certificate is no reason to go on without asking either: the last good one asks.
    world.write("front.pem", OLD.certificate_pem().unwrap());
    let text = world.setup.text().replace("/orders/", "/bills/");
    let text = text.replace("[log]", "client_ca = { trust = \"onprem\" }\n[log]");
    world.write("drawbridge.toml", text);
    let (status, said) = world.reload().await;
    assert_eq!(status, 422, "{said}");
    assert_eq!(said["refused"][0]["unit"], "listener public", "{said}");
    assert!(is_refused(world.front.address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_answers_503_until_its_rules_are_mended() {
    for (rules, mended) in [
        (
            "SecRule ARGS \"@rx (\" \"id:1,phase:1,deny\"\n",
            "second.conf",
        ),
        ("", "missing.conf"),
    ] {
        let world = World::start().await;
        assert_eq!(world.status_of("/orders/1").await, 200);
        world.write("second.conf", rules);
        let text = world.setup.text().replace("/orders/", "/bills/");
        let more = second_policy(mended) + &second_route("orders", "second");
        world.write("drawbridge.toml", text + &more);
        let (status, said) = world.reload().await;
        assert_eq!(status, 422, "{said}");
        assert_eq!(said["refused"][0]["unit"], "policy second", "{said}");

        assert_eq!(world.status_of("/bills/1").await, 200, "the rest is live");
        second_is_unavailable(&world).await;
        let line = world.front.line(|line| line["path"] == "/second/1").await;
        assert_eq!(line["error"], "policy_not_live");
        let metrics = world.ask("GET", "/metrics").await.text();
        let counted = "drawbridge_waf_requests_total{policy=\"second\",action=\"not_live\"} 1";
        assert!(metrics.lines().any(|l| l == counted), "{metrics}");

        world.write(mended, NO_X);
        until("the mended rules are live", async || {
            world.status_of("/second/1").await == 200
        })
        .await;
        assert_eq!(world.status_of("/second/1?a=x").await, 403);

        // From now on it has a last good version.
        world.write(mended, "nothing");
        assert_eq!(world.reload().await.0, 422);
        assert_eq!(world.status_of("/second/1?a=x").await, 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_stays_under_its_policy_until_its_new_one_is_mended() {
    let world = World::start().await;
    assert_eq!(world.status_of("/orders/1?a=x").await, 200);
    assert_eq!(world.status_of("/orders/1?a=an+attack").await, 403);
    world.write("second.conf", "nothing");
    let text = world.setup.text();
    let moved = text.replace("policy = \"default\"", "policy = \"second\"");
    assert_ne!(text, moved);
    world.write("drawbridge.toml", moved + &second_policy("second.conf"));
    for _ in 0..2 {
        assert_eq!(world.reload().await.0, 422);
        assert_eq!(world.status_of("/orders/1?a=x").await, 200);
        assert_eq!(world.status_of("/orders/1?a=an+attack").await, 403);
    }

    world.write("second.conf", NO_X);
    until("the mended rules are live", async || {
        world.status_of("/orders/1?a=x").await == 403
    })
    .await;
    assert_eq!(world.status_of("/orders/1?a=an+attack").await, 200);
}
