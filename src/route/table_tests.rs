use super::super::MethodSet;
use super::*;

#[test]
fn the_most_specific_route_wins_in_any_order() {
    let routes = [
        route("any", &["*"], &["/"], &[]),
        route("any-health", &["*"], &["/health"], &[]),
        route("wild", &["*.b.test"], &["/"], &[]),
        route("wild-deep", &["*.c.b.test"], &["/"], &[]),
        route("exact", &["a.b.test"], &["/orders/"], &[]),
        route("exact-new", &["a.b.test"], &["/orders/new"], &[]),
        route("exact-open", &["a.b.test"], &["/orders/open/"], &[]),
        route("six", &["[::1]"], &["/"], &[]),
    ];
    let forward = RouteTable::new(routes.to_vec()).unwrap();
    let backward = RouteTable::new(routes.iter().rev().cloned().collect()).unwrap();
    for (host, path, expected) in [
        (Some("a.b.test"), "/orders/", "exact"),
        (Some("A.B.Test.:8443"), "/orders/1", "exact"),
        (Some("a.b.test"), "/orders/new", "exact-new"),
        (Some("a.b.test"), "/orders/new/", "exact"),
        (Some("a.b.test"), "/orders/newer", "exact"),
        (Some("a.b.test"), "/orders/open/1", "exact-open"),
        (Some("a.b.test"), "/orders/open", "exact"),
        (Some("a.b.test"), "/%6frders/%6Eew", "exact-new"),
        // What the more specific host does not have, the less specific may.
        (Some("a.b.test"), "/orders", "wild"),
        (Some("a.b.test"), "//orders/", "wild"),
        (Some("a.b.test"), "/Orders/", "wild"),
        (Some("a.b.test"), "/%256frders/", "wild"),
        (Some("x.b.test"), "/orders/", "wild"),
        (Some("x.y.b.test"), "/", "wild"),
        (Some("x.c.b.test"), "/", "wild-deep"),
        (Some("c.b.test"), "/", "wild"),
        (Some("b.test"), "/", "any"),
        (Some("xb.test"), "/", "any"),
        (Some("[0::1]:80"), "/", "six"),
        (Some("not a host"), "/health", "any-health"),
        (Some(""), "/", "any"),
        (None, "/x", "any"),
        (None, "", "any"),
    ] {
        for table in [&forward, &backward] {
            assert_eq!(found(table, host, path, "GET"), expected, "{host:?} {path}");
        }
    }
    assert_eq!(found(&forward, None, "*", "OPTIONS"), "404");
    assert!(matches!(
        forward.find("other", None, b"/", b"GET"),
        Lookup::NotFound
    ));
}

#[test]
fn what_no_route_names_is_not_found() {
    let table =
        RouteTable::new(vec![route("o", &["a.test"], &["/orders/", "/x"], &["GET"])]).unwrap();
    for (host, path) in [
        (Some("a.test"), "/"),
        (Some("a.test"), "/orders"),
        (Some("a.test"), "/ordersx/"),
        (Some("a.test"), "/x/"),
        (Some("a.test"), "/x;y"),
        (Some("a.test"), "/X"),
        (Some("a.test"), "/orders%2f"),
        (Some("a.test"), "orders/"),
        (Some("b.test"), "/orders/"),
        (Some("x.a.test"), "/orders/"),
        (Some("a.test.."), "/orders/"),
        (None, "/orders/"),
    ] {
        assert_eq!(found(&table, host, path, "GET"), "404", "{host:?} {path}");
    }
    assert!(table.knows_host("public", Some(b"A.test:80")));
    assert!(!table.knows_host("public", Some(b"b.test")));
    assert!(!table.knows_host("public", None));
    assert!(!table.knows_host("other", Some(b"a.test")));
}

#[test]
fn methods_are_shared_between_routes_and_told_by_allow() {
    let table = RouteTable::new(vec![
        route("read", &["*"], &["/o/"], &["GET", "HEAD"]),
        route("write", &["*"], &["/o/"], &["POST"]),
        route("all", &["*"], &["/"], &[]),
    ])
    .unwrap();
    assert_eq!(found(&table, None, "/o/1", "GET"), "read");
    assert_eq!(found(&table, None, "/o/1", "POST"), "write");
    assert_eq!(found(&table, None, "/o/1", "DELETE"), "405 GET, HEAD, POST");
    assert_eq!(found(&table, None, "/o/1", "get"), "405 GET, HEAD, POST");
    assert_eq!(found(&table, None, "/x", "PROPFIND"), "all");
    let all = "405 GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    assert_eq!(found(&table, None, "/x", "TRACE"), all);
    assert_eq!(found(&table, None, "/x", "CONNECT"), all);
}

#[test]
fn the_same_claim_twice_names_both_routes() {
    let problems = RouteTable::new(vec![
        route("a", &["a.test", "b.test"], &["/o/", "/p"], &["GET", "POST"]),
        route("b", &["B.test"], &["/%6f/"], &["POST", "PUT"]),
        route("c", &["b.test"], &["/o/"], &["DELETE"]),
        route("d", &["a.test"], &["/p"], &[]),
        route("e", &["a.test"], &["/p"], &["TRACE"]),
    ])
    .unwrap_err();
    assert_eq!(
        problems,
        [
            (
                0,
                1,
                "host \"b.test\", path \"/%6f/\" on listener \"public\"".to_owned()
            ),
            (
                0,
                3,
                "host \"a.test\", path \"/p\" on listener \"public\"".to_owned()
            ),
        ]
    );
    let twice = route("a", &["a.test", "A.test"], &["/o/", "/o/"], &[]);
    assert!(RouteTable::new(vec![twice]).is_ok());
}

#[test]
fn no_spelling_steps_to_another_route() {
    let table = RouteTable::new(vec![
        route("any", &["*"], &["/"], &[]),
        route("all", &["a.test"], &["/b/"], &[]),
        route("admin", &["a.test"], &["/b/admin@x/"], &[]),
        route("one", &["a.test"], &["/b/one"], &[]),
    ])
    .unwrap();
    for (path, selects, refused) in [
        ("/b/admin@x/", "admin", false),
        ("/b/%61dmin@x/", "admin", false),
        ("/b/x//y;z", "all", false),
        ("/b/%40/x%2525", "all", false),
        ("/b/admin%40x/", "all", true),
        ("/b/admin%2540x/", "all", true),
        ("/b//admin@x/", "all", true),
        ("/b/;/admin@x/1", "all", true),
        ("/b/admin@x;y/1", "all", true),
        ("/b/on%2565", "all", true),
        ("/b/one;x", "all", true),
        ("//b/x", "any", true),
        ("/b;x/y", "any", true),
        ("//c/", "any", false),
    ] {
        assert_eq!(
            found(&table, Some("a.test"), path, "GET"),
            selects,
            "{path}"
        );
        let checked = table.check_path("public", Some(b"a.test"), path.as_bytes(), false);
        let expected = match refused {
            true => Err("ambiguous_path"),
            false => Ok(()),
        };
        assert_eq!(checked.map_err(|r| r.code), expected, "{path}");
    }
    let slash = |pass| table.check_path("public", Some(b"a.test"), b"/b%2fone", pass);
    assert_eq!(slash(false), Err(PathRefusal::ENCODED_SLASH));
    assert_eq!(slash(true), Err(PathRefusal::AMBIGUOUS));
}

fn route(
    name: &'static str,
    hosts: &[&str],
    paths: &[&str],
    methods: &[&str],
) -> (Claim, &'static str) {
    let claim = Claim {
        hosts: hosts.iter().map(|h| h.parse().unwrap()).collect(),
        paths: paths.iter().map(|p| p.parse().unwrap()).collect(),
        methods: match methods {
            [] => MethodSet::Default,
            _ => MethodSet::Only(methods.iter().map(|m| (*m).to_owned()).collect()),
        },
        listeners: vec!["public".to_owned()],
    };
    (claim, name)
}

fn found(table: &RouteTable<&'static str>, host: Option<&str>, path: &str, method: &str) -> String {
    let host = host.map(str::as_bytes);
    match table.find("public", host, path.as_bytes(), method.as_bytes()) {
        Lookup::Found(name) => (*name).to_owned(),
        Lookup::MethodNotAllowed { allow, .. } => format!("405 {allow}"),
        Lookup::NotFound => "404".to_owned(),
    }
}
