//! What stands in a file's place and is none holds no reload up, and no end.

use std::path::Path;
use std::process::Command;

use crate::front::{RULES, Setup};
use crate::process::Process;
use crate::world::{World, until};
use support::pki::{CORP, ServerTls, leaf};
use support::upstream::{Behaviour, Upstream};

fn make_fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_in_the_place_of_a_file_is_refused_and_mended() {
    let mut world = World::start_with(Behaviour::Echo, "").await;
    let extra = "\nSecRule ARGS \"@pmFromFile words.data\" \"id:90,phase:2,deny,status:403\"\n";
    world.write("words.data", "forbidden\n");
    world.write("rules.conf", RULES.to_owned() + extra);
    world.write("more.toml", "[trust.other]\nca = [\"corp-ca.pem\"]\n");
    world.setup.top += "\ninclude = [\"more.toml\"]";
    world.write_setup();
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    for name in [
        "drawbridge.toml",
        "more.toml",
        "rules.conf",
        "words.data",
        "front.pem",
        "front.key",
        "corp-ca.pem",
    ] {
        let (path, aside) = (world.path(name), world.path("aside"));
        std::fs::rename(&path, &aside).unwrap();
        make_fifo(&path);
        let (status, said) = world.reload().await;
        assert_eq!(status, 422, "{name}: {said}");
        let said = said.to_string();
        assert!(said.contains(name), "{name}: {said}");
        assert!(said.contains("it is a FIFO"), "{name}: {said}");
        assert!(
            world.ready().await.contains("[!]reload: refused since"),
            "{name}"
        );
        assert_eq!(world.status_of("/orders/1").await, 200, "{name}");
        assert_eq!(world.status_of("/orders/?q=forbidden").await, 403, "{name}");
        std::fs::rename(&aside, &path).unwrap();
        until("it is mended", async || world.reload().await.0 == 200).await;
    }
    world.front.stopped().await;
}

/// Nobody asks: the watcher sees it, and the process still hears its signals.
#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_does_not_make_the_process_deaf() {
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let folder = Setup::to(&upstream).write(RULES);
    let process = Process::start(&folder, &[], None);
    process.address().await;
    let said = |text: &str| {
        let heard = process.heard().lock().unwrap();
        heard.contains(text)
    };
    std::fs::remove_file(folder.join("rules.conf")).unwrap();
    make_fifo(&folder.join("rules.conf"));
    until("it is refused", async || said("refused, the last good")).await;
    std::fs::rename(folder.join("access.log"), folder.join("access.log.1")).unwrap();
    process.signal("-USR1");
    until("logs are opened anew", async || {
        folder.join("access.log").exists()
    })
    .await;
    process.signal("-TERM");
    assert_eq!(process.ended().await, Some(0));
    std::fs::remove_dir_all(&folder).unwrap();
}
