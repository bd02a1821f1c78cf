//! Trust bundles as teams have them: an issuing CA alone, two CAs of one name while one replaces the other.

use dev_pki::{Authority, LeafOptions, Usage};

use crate::doctor::{drawbridge, json};
use crate::front::{Front, RULES, Setup};
use crate::mtls::{self, VERSIONS, ask};
use crate::requests::echo;
use support::client::get;
use support::pki::{self, CORP, OLD, ServerTls};
use support::upstream::{Behaviour, Upstream};

const NAME: &str = "orders.corp.test";

fn pem(cas: &[&Authority]) -> Vec<u8> {
    let pems = cas.iter().map(|ca| ca.certificate_pem().unwrap());
    pems.collect::<Vec<_>>().concat()
}

/// The status that a client gets from a gateway of `signer` under this bundle, and doctor's exit code.
async fn gateway(bundle: &[&Authority], signer: &Authority) -> (u16, Option<i32>, u64) {
    let tls = ServerTls::new(pki::leaf(signer, NAME));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let folder = Setup::to(&upstream).write(RULES);
    std::fs::write(folder.join("corp-ca.pem"), pem(bundle)).unwrap();
    let doctor = drawbridge(&folder, &["doctor", "upstream", "orders"]).await;
    let front = Front::start_in(folder).await;
    let status = get(front.address, "/orders/1").await.status;
    (status, doctor.status.code(), upstream.requests() as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_of_either_ca_of_one_name_are_taken() {
    let made = || Authority::without_key_ids("Corp Root CA", 9).unwrap();
    let (old, new, third) = (made(), made(), made());
    let issuing = new.intermediate("Corp Issuing CA", 9).unwrap();
    for bundle in [[&old, &new], [&new, &old]] {
        for signer in [&old, &new, &issuing] {
            assert_eq!(gateway(&bundle, signer).await, (200, Some(0), 1));
        }
        assert_eq!(gateway(&bundle, &third).await, (502, Some(1), 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuing_ca_alone_is_enough() {
    let issuing = CORP.intermediate("Corp Issuing CA 1", 9).unwrap();
    let other = CORP.intermediate("Corp Issuing CA 2", 9).unwrap();
    assert_eq!(gateway(&[&issuing], &issuing).await, (200, Some(0), 1));
    assert_eq!(gateway(&[&issuing, &OLD], &OLD).await, (200, Some(0), 1));
    for stranger in [&other, &CORP, &OLD] {
        assert_eq!(gateway(&[&issuing], stranger).await, (502, Some(1), 0));
    }
}

/// The other ends of the same refusals: names, dates and usages count under every kind of bundle.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuing_ca_alone_lets_nothing_else_through() {
    let issuing = CORP.intermediate("Corp Issuing CA 1", 9).unwrap();
    for (issued, code) in [
        (pki::leaf(&issuing, "billing.corp.test"), "name_mismatch"),
        (pki::common_name(&issuing, NAME), "common_name_only"),
        (pki::expired(&issuing, NAME), "expired"),
        (pki::client(&issuing, NAME), "wrong_usage"),
    ] {
        let upstream = Upstream::start(ServerTls::new(issued), Behaviour::Echo).await;
        let folder = Setup::to(&upstream).write(RULES);
        std::fs::write(folder.join("corp-ca.pem"), pem(&[&issuing])).unwrap();
        let front = Front::start_in(folder).await;
        let answer = get(front.address, "/orders/1").await;
        assert_eq!(answer.status, 502, "{code}");
        let line = front.line_of(answer.header("x-request-id").unwrap()).await;
        assert_eq!(line["error"], code, "{line}");
        assert_eq!(upstream.requests(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_either_ca_of_one_name_and_of_an_issuing_ca_are_let_in() {
    let made = || Authority::without_key_ids("Partner CA", 9).unwrap();
    let (old, new, third) = (made(), made(), made());
    let issuing = CORP.intermediate("Corp Issuing CA 1", 9).unwrap();
    for bundle in [[&old, &new, &issuing], [&issuing, &new, &old]] {
        let upstream = echo().await;
        let folder = mtls::setup(&upstream, "").write(RULES);
        let clients = |ca: &Authority| pki::client(ca, "partner");
        std::fs::write(folder.join("corp-ca.pem"), pem(&bundle)).unwrap();
        let front = Front::start_in(folder).await;
        for newest in VERSIONS {
            for (ca, is_in) in [
                (&old, true),
                (&new, true),
                (&issuing, true),
                (&third, false),
                (&*CORP, false),
            ] {
                let client = clients(ca);
                let client = Some(&client);
                let answer = ask(front.address, "api.test", client, newest, "/else").await;
                assert_eq!(answer.is_some(), is_in, "{newest:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_count_below_an_issuing_ca_alone() {
    let issuing = CORP.intermediate("Corp Issuing CA 1", 9).unwrap();
    let (good, bad) = (pki::client(&issuing, "good"), pki::client(&issuing, "bad"));
    let revoked = openssl::x509::X509::from_pem(&bad.chain_pem).unwrap();
    let upstream = echo().await;
    let folder = mtls::setup(&upstream, ", crl = [\"issuing.crl\"]").write(RULES);
    std::fs::write(folder.join("corp-ca.pem"), pem(&[&issuing])).unwrap();
    let list = issuing.revocation_list(&[revoked], 2).unwrap();
    std::fs::write(folder.join("issuing.crl"), list).unwrap();
    let front = Front::start_in(folder).await;
    for newest in VERSIONS {
        let is_in = async |client| {
            let answer = ask(front.address, "api.test", Some(client), newest, "/else").await;
            answer.is_some()
        };
        assert!(is_in(&good).await);
        assert!(!is_in(&bad).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_does_not_advise_what_is_there_already() {
    let made = || Authority::without_key_ids("Corp Root CA", 9).unwrap();
    let (known, stranger) = (made(), made());
    let tls = ServerTls::new(pki::leaf(&stranger, NAME));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let folder = Setup::to(&upstream).write(RULES);
    std::fs::write(folder.join("corp-ca.pem"), pem(&[&known])).unwrap();
    let args = ["doctor", "upstream", "orders", "--output", "json"];
    let report = json(&drawbridge(&folder, &args).await);
    let failure = &report["servers"][0]["failure"];
    assert_eq!(failure["code"], "untrusted", "{report:#}");
    let reason = failure["reason"].as_str().unwrap();
    assert!(
        reason.contains("another key than that of \"CN=Corp Root CA\""),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_for_a_server_is_named() {
    let options = LeafOptions {
        usage: Usage::Client,
        ..LeafOptions::default()
    };
    let tls = ServerTls::new(CORP.leaf(&[NAME], &options).unwrap());
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let folder = Setup::to(&upstream).write(RULES);
    let args = ["doctor", "upstream", "orders", "--output", "json"];
    let report = json(&drawbridge(&folder, &args).await);
    let failure = &report["servers"][0]["failure"];
    assert_eq!(failure["code"], "wrong_usage", "{report:#}");
    let reason = failure["reason"].as_str().unwrap();
    assert!(reason.contains("extended key usage clientAuth"), "{reason}");
    assert!(failure["fix"].as_str().unwrap().contains("serverAuth"));
}
