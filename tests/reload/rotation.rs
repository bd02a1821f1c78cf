//! A rotation to something worse is refused like a broken file; the reload names what changed.

use dev_pki::{Authority, Issued, LeafOptions, Usage};

use crate::front::{RULES, logged};
use crate::world::{NAMES, World, taken};
use support::client;
use support::pki::{CORP, PUBLIC};

fn issued(starts_in_days: i64, ends_in_days: i64) -> Issued {
    let options = LeafOptions {
        starts_in_days,
        ends_in_days,
        ..LeafOptions::default()
    };
    PUBLIC.leaf(NAMES, &options).unwrap()
}

fn put(world: &World, name: &str, issued: &Issued) {
    world.write(&format!("{name}.key"), &issued.key_pem);
    world.write(&format!("{name}.pem"), &issued.chain_pem);
}

fn reasons(said: &serde_json::Value) -> String {
    said["refused"][0]["reasons"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worse_certificate_does_not_take_the_place_of_a_better_one() {
    let mut world = World::start().await;
    let first = world.serial().await;
    for (starts, ends, words) in [
        (-9, -1, "expired on 20"),
        (3, 200, "is not valid before 20"),
        (-9, 2, "ends on 20"),
        (-9, 20, "ends on 20"),
    ] {
        put(&world, "front", &issued(starts, ends));
        let (status, said) = world.reload().await;
        assert_eq!(status, 422, "{words}: {said}");
        assert_eq!(said["refused"][0]["unit"], "listener public", "{said}");
        assert!(reasons(&said).contains(words), "{said}");
        assert!(reasons(&said).contains("valid until 20"), "{said}");
        assert_eq!(world.serial().await, first, "{words}");
    }
    // The same from other files, with the good one taken out of the list.
    put(&world, "late", &issued(-9, -1));
    let text = world.setup.text().replace("front.", "late.");
    world.write("drawbridge.toml", &text);
    let (status, said) = world.reload().await;
    assert_eq!(status, 422, "{said}");
    assert!(reasons(&said).contains("expired on 20"), "{said}");
    assert_eq!(world.serial().await, first);

    // What is shorter and lasts is no mistake.
    put(&world, "front", &issued(0, 60));
    world.write_setup();
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    let second = world.serial().await;
    assert_ne!(second, first);

    // In writing.
    put(&world, "front", &issued(-9, 2));
    let text = world.setup.text();
    let text = text.replace("front.key\"", "front.key\", allow_expired = true");
    world.write("drawbridge.toml", text);
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    let third = world.serial().await;
    assert_ne!(third, second);

    // No better one serves any more: what ends later is taken, however soon that is.
    put(&world, "front", &issued(-9, 3));
    world.setup.route.clear();
    world.write_setup();
    assert_eq!(world.reload().await.0, 200);
    assert_ne!(world.serial().await, third);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_without_a_valid_ca_does_not_take_the_place_of_one_with() {
    let world = World::start().await;
    let past = Authority::new("Past CA", -2).unwrap();
    let pem = past.certificate_pem().unwrap();
    world.write("corp-ca.pem", &pem);
    let (status, said) = world.reload().await;
    assert_eq!(status, 422, "{said}");
    assert_eq!(said["refused"][0]["unit"], "trust onprem", "{said}");
    assert_eq!(world.status_of("/orders/1").await, 200);
    let both = [pem, CORP.certificate_pem().unwrap()].concat();
    world.write("corp-ca.pem", both);
    assert_eq!(world.reload().await.0, 200);
    assert_eq!(world.status_of("/orders/1").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_for_gateways_is_kept_alike() {
    let mut world = World::start().await;
    let client = |ends_in_days| {
        let options = LeafOptions {
            ends_in_days,
            usage: Usage::Client,
            ..LeafOptions::default()
        };
        CORP.leaf(&["front door"], &options).unwrap()
    };
    world.setup.tls =
        "{ server_name = \"orders.corp.test\", trust = \"onprem\", client_certificate = \
        { chain = \"client.pem\", key = \"client.key\" } }"
            .to_owned();
    world.write_setup();
    assert_eq!(world.reload().await.0, 200);
    put(&world, "client", &client(-1));
    let (status, said) = world.reload().await;
    assert_eq!(status, 422, "{said}");
    assert_eq!(said["refused"][0]["unit"], "upstream orders", "{said}");
    put(&world, "client", &client(99));
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    taken(&said, &["client certificate of upstream orders"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_list_does_not_take_the_place_of_a_current_one() {
    let mut world = World::start().await;
    let list = |days| CORP.revocation_list(&[], days).unwrap();
    world.write("corp.crl", list(2));
    world.setup.listener =
        "client_ca = { trust = \"onprem\", mode = \"optional\", crl = [\"corp.crl\"] }".to_owned();
    world.write_setup();
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    world.write("corp.crl", list(-1));
    let (status, said) = world.reload().await;
    assert_eq!(status, 422, "{said}");
    assert!(reasons(&said).contains("outdated"), "{said}");
    world.write("corp.crl", list(3));
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    taken(&said, &["client_ca of listener public"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reload_names_what_changed() {
    let mut world = World::start().await;
    world.rotate(NAMES);
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    logged("): certificate api.test (until 20").await;

    world.write("rules.conf", RULES.replace("attack", "assault"));
    world.setup.route = "paths = [\"/bills/\"]".to_owned();
    world.setup.upstream = "read_timeout = \"7s\"".to_owned();
    let pem = [&*CORP, &*PUBLIC].map(|ca| ca.certificate_pem().unwrap());
    world.write("corp-ca.pem", pem.concat());
    world.write_setup();
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    let wanted = [
        "trust bundle onprem",
        "upstream orders",
        "policy default",
        "route orders",
    ];
    taken(&said, &wanted).await;
    let (_, said) = world.reload().await;
    assert_eq!(said["changed"].to_string(), "[]");
    assert_eq!(
        client::get(world.front.address, "/bills/1").await.status,
        200
    );
}
