use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::config;
use crate::tls::CertifiedKey;
use crate::tls::acceptor::presents_the_same;
use dev_pki::{Authority, KeyKind, LeafOptions};

#[test]
fn tickets_are_rotated_past_a_listener_that_fails() {
    const TEXT: &str = r#"
        [listeners.a]
        bind = ["127.0.0.1:1"]
        certificates = [{ chain = "a.pem", key = "a.key" }]
        [listeners.b]
        bind = ["127.0.0.1:2"]
        certificates = [{ chain = "a.pem", key = "a.key" }]
    "#;
    let site = Site::new(TEXT);
    let mut snapshot = site.start();
    let acceptors = |snapshot: &Snapshot| ["a", "b"].map(|name| snapshot.acceptor(name).unwrap());
    let before = acceptors(&snapshot);
    assert!(snapshot.rotate_tickets().is_empty());
    let after = acceptors(&snapshot);
    assert!(before.iter().zip(&after).all(|(b, a)| !Arc::ptr_eq(b, a)));

    let weak = LeafOptions {
        key: KeyKind::Rsa1024,
        ..LeafOptions::default()
    };
    let weak = site.root.leaf(&["a.test"], &weak).unwrap();
    let weak = CertifiedKey::from_pem(&weak.chain_pem, &weak.key_pem).unwrap();
    let first = Arc::get_mut(&mut snapshot.config.listeners[0]).unwrap();
    let ListenerKind::Tls { certificates, .. } = &mut first.kind else {
        panic!("it has certificates");
    };
    *certificates = vec![Arc::new(weak)];
    let failed = snapshot.rotate_tickets();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].unit, Unit::Listener("a".to_owned()));
    let last = acceptors(&snapshot);
    assert!(Arc::ptr_eq(&after[0], &last[0]));
    assert!(!Arc::ptr_eq(&after[1], &last[1]));
    assert!(snapshot.acceptor("other").is_none());
}

/// A configuration in a folder of its own, with the files of two hosts.
struct Site {
    folder: TempDir,
    root: Authority,
}

impl Site {
    const TEXT: &str = r#"
        [listeners.public]
        bind = ["127.0.0.1:1"]
        certificates = [
            { chain = "a.pem", key = "a.key", allow_expired = true },
            { chain = "b.pem", key = "b.key", allow_expired = true },
        ]
        [trust.corp]
        ca = ["ca.pem"]
        [upstreams.one]
        servers = ["127.0.0.1:2"]
        tls = { server_name = "one.test", trust = "corp" }
        [policies.first]
        mode = "block"
        rules = ["first.conf"]
        [policies.second]
        mode = "block"
        rules = ["second.conf"]
        [[routes]]
        name = "a"
        hosts = ["a.test"]
        paths = ["/"]
        listeners = ["public"]
        upstream = "one"
        policy = "first"
        [[routes]]
        name = "b"
        hosts = ["b.test"]
        paths = ["/"]
        listeners = ["public"]
        upstream = "one"
        policy = "second"
    "#;

    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Authority::new("Root", 90).unwrap();
        let site = Self { folder, root };
        site.write("drawbridge.toml", text);
        site.write("first.conf", &Self::rule(1));
        site.write("second.conf", &Self::rule(2));
        site.issue("a");
        site.issue("b");
        site.issue_ca(&site.root);
        site
    }

    fn rule(id: u32) -> String {
        format!("SecRule ARGS \"@rx attack-{id}\" \"id:{id},phase:2,deny\"")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn issue(&self, host: &str) {
        let name = format!("{host}.test");
        let leaf = self.root.leaf(&[&name], &LeafOptions::default()).unwrap();
        let [chain, key] = ["pem", "key"].map(|end| self.path(&format!("{host}.{end}")));
        let _ = std::fs::remove_file(&key);
        leaf.write(&chain, &key).unwrap();
    }

    fn issue_ca(&self, authority: &Authority) {
        std::fs::write(self.path("ca.pem"), authority.certificate_pem().unwrap()).unwrap();
    }

    fn start(&self) -> Snapshot {
        let loaded = config::load(&self.path("drawbridge.toml")).unwrap();
        Snapshot::new(loaded.config).unwrap()
    }

    fn next(&self, running: &Snapshot) -> Snapshot {
        let (loaded, ..) = config::load_next(&self.path("drawbridge.toml"), &running.config);
        let loaded = loaded.unwrap();
        assert!(loaded.refused.is_empty(), "{:#?}", loaded.refused);
        let (next, refused) = Snapshot::next(loaded.config, running);
        assert!(refused.is_empty());
        next
    }

    fn key(&self, snapshot: &Snapshot, host: &str) -> Arc<CertifiedKey> {
        let files = ["pem", "key"].map(|end| self.path(&format!("{host}.{end}")));
        let [chain, key] = files;
        Arc::clone(&snapshot.config.certificates[&(chain, key)])
    }
}

fn rules(snapshot: &Snapshot, policy: &str) -> Arc<waf::RuleSet> {
    Arc::clone(snapshot.config.policies[policy].rules.live().unwrap())
}

#[test]
fn what_did_not_change_is_the_same_object_and_what_did_is_not() {
    let site = Site::new(Site::TEXT);
    let first = site.start();
    let acceptor = |snapshot: &Snapshot| snapshot.acceptor("public").unwrap();
    let pool = |snapshot: &Snapshot| Arc::clone(snapshot.pool("one").unwrap());

    site.write(
        "drawbridge.toml",
        &Site::TEXT.replace("[\"/\"]", "[\"/new/\"]"),
    );
    let route = site.next(&first);
    assert!(Arc::ptr_eq(&acceptor(&first), &acceptor(&route)));
    assert!(Arc::ptr_eq(&pool(&first), &pool(&route)));
    for policy in ["first", "second"] {
        assert!(Arc::ptr_eq(&rules(&first, policy), &rules(&route, policy)));
    }
    for host in ["a", "b"] {
        assert!(Arc::ptr_eq(
            &site.key(&first, host),
            &site.key(&route, host)
        ));
    }
    // Both snapshots have the new keys of tickets.
    assert!(route.rotate_tickets().is_empty());
    assert!(Arc::ptr_eq(&acceptor(&first), &acceptor(&route)));

    site.issue("b");
    let certificate = site.next(&route);
    let (old, new) = (acceptor(&route), acceptor(&certificate));
    assert!(!Arc::ptr_eq(&old, &new));
    assert!(presents_the_same(&old, &new, "a.test"));
    assert!(!presents_the_same(&old, &new, "b.test"));
    assert!(Arc::ptr_eq(
        &site.key(&route, "a"),
        &site.key(&certificate, "a")
    ));
    assert!(!Arc::ptr_eq(
        &site.key(&route, "b"),
        &site.key(&certificate, "b")
    ));

    site.write("second.conf", &Site::rule(3));
    let policy = site.next(&certificate);
    assert!(Arc::ptr_eq(
        &rules(&certificate, "first"),
        &rules(&policy, "first")
    ));
    assert!(!Arc::ptr_eq(
        &rules(&certificate, "second"),
        &rules(&policy, "second")
    ));
    assert!(Arc::ptr_eq(&acceptor(&certificate), &acceptor(&policy)));

    site.issue_ca(&Authority::new("Another", 90).unwrap());
    let trust = site.next(&policy);
    assert!(!Arc::ptr_eq(&pool(&policy), &pool(&trust)));
    assert!(Arc::ptr_eq(&acceptor(&policy), &acceptor(&trust)));
}

/// Kubernetes and careless tools can keep size and times of a file, so stamps say nothing here.
#[test]
fn a_key_of_the_same_size_and_time_is_noticed() {
    let site = Site::new(Site::TEXT);
    let first = site.start();
    let before = std::fs::metadata(site.path("a.key")).unwrap();
    let modified = before.modified().unwrap();
    site.issue("a");
    for name in ["a.pem", "a.key"] {
        let file = std::fs::File::options().append(true).open(site.path(name));
        file.unwrap().set_modified(modified).unwrap();
    }
    let next = site.next(&first);
    let (old, new) = (site.key(&first, "a"), site.key(&next, "a"));
    assert!(!new.key.public_eq(&old.key));
    assert!(!presents_the_same(
        &first.acceptor("public").unwrap(),
        &next.acceptor("public").unwrap(),
        "a.test"
    ));
}
