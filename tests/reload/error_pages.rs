//! The files of error pages are watched, and a broken one changes nothing.

use crate::world::World;
use support::client::raw;

const TABLE: &str = "[error_pages.house]\nhtml = { default = \"house.html\" }\n";

async fn page(world: &World) -> String {
    let request = b"GET /nowhere HTTP/1.1\r\nHost: api.test\r\nAccept: text/html\r\n\r\n";
    raw(world.front.address, request).await.unwrap().text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_page_is_shown_and_a_broken_one_is_not() {
    let world = World::start().await;
    let text = world.setup.text();
    let named = "[listeners.public]\nerror_pages = \"house\"";
    let text = text.replace("[listeners.public]", named) + TABLE;
    world.write("house.html", "one {{status}}");
    world.write("drawbridge.toml", &text);
    let (code, said) = world.reload().await;
    assert_eq!(code, 200, "{said}");
    assert_eq!(page(&world).await, "one 404");

    world.write("house.html", "two {{status}}");
    let (code, said) = world.reload().await;
    assert_eq!(code, 200, "{said}");
    assert_eq!(page(&world).await, "two 404");

    world.write("house.html", "three\n  {{staus}}");
    let (code, said) = world.reload().await;
    assert_eq!(code, 422, "{said}");
    let refused = said["refused"].to_string();
    assert!(
        refused.contains("error pages house") && refused.contains("house.html:2:3"),
        "{said}"
    );
    assert!(world.ready().await.contains("error pages house"));
    assert_eq!(page(&world).await, "two 404");

    world.write("house.html", "four {{status}}");
    let (code, said) = world.reload().await;
    assert_eq!(code, 200, "{said}");
    assert_eq!(page(&world).await, "four 404");
}
