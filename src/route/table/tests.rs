use super::super::claim::MethodSet;
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
        (Some("a.b.test"), "/orders/open", "exact-open"),
        (Some("a.b.test"), "/orders/ope%6e", "exact-open"),
        (Some("a.b.test"), "/orders", "exact"),
        (Some("a.b.test"), "/%6frders/%6Eew", "exact-new"),
        // What the more specific host does not have, the less specific may.
        (Some("a.b.test"), "/order", "wild"),
        (Some("a.b.test"), "/ordersx", "wild"),
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
fn a_request_that_no_route_names_is_not_found() {
    let table =
        RouteTable::new(vec![route("o", &["a.test"], &["/orders/", "/x"], &["GET"])]).unwrap();
    for (host, path) in [
        (Some("a.test"), "/"),
        (Some("a.test"), "/order"),
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
fn allow_leaves_out_unreachable_routes() {
    let table = RouteTable::new(vec![
        route("read", &["*"], &["/o/"], &["GET", "HEAD"]),
        route("write", &["*"], &["/o/"], &["POST"]),
    ]);
    let table = table.unwrap();
    for (off, method, expected) in [
        (&[][..], "PUT", "405 GET, HEAD, POST of read"),
        (&["read"], "PUT", "405 POST of write"),
        (&["write"], "PUT", "405 GET, HEAD of read"),
        (&["read", "write"], "PUT", "405  of read"),
        (&["read", "write"], "POST", "write"),
    ] {
        let is_on = |name: &&str| !off.contains(name);
        let found = table.find_among("public", None, b"/o/1", method.as_bytes(), is_on);
        let found = match found {
            Lookup::Found(name) => (*name).to_owned(),
            Lookup::MethodNotAllowed { allow, nearest } => format!("405 {allow} of {nearest}"),
            Lookup::NotFound => "404".to_owned(),
        };
        assert_eq!(found, expected, "{off:?} {method}");
    }
}

#[test]
fn allow_lists_the_methods_of_all_routes_for_a_path() {
    let table = RouteTable::new(vec![
        route("read", &["*"], &["/o/"], &["GET", "HEAD"]),
        route("write", &["*"], &["/o/"], &["POST"]),
        route("all", &["*"], &["/"], &[]),
    ])
    .unwrap();
    assert_eq!(found(&table, None, "/o/1", "GET"), "read");
    assert_eq!(found(&table, None, "/o/1", "POST"), "write");
    assert_eq!(found(&table, None, "/o", "POST"), "write");
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
            DuplicateClaim {
                first: 0,
                second: 1,
                claimed: "host \"b.test\", path \"/%6f/\" on listener \"public\"".to_owned(),
            },
            DuplicateClaim {
                first: 0,
                second: 3,
                claimed: "host \"a.test\", path \"/p\" on listener \"public\"".to_owned(),
            },
        ]
    );
    let twice = route("a", &["a.test", "A.test"], &["/o/", "/o/"], &[]);
    assert!(RouteTable::new(vec![twice]).is_ok());
}

#[test]
fn no_spelling_reaches_another_route() {
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
        ("/b/one%20", "all", true),
        ("/b/one.", "all", true),
        ("//b/x", "any", true),
        ("/b;x/y", "any", true),
        ("//c/", "any", false),
        // Without its last slash, in every spelling.
        ("/b/admin@x", "admin", false),
        ("/b/%61dmin@x", "admin", false),
        ("/b/%2561dmin@x", "all", true),
        ("/b/%20admin@x", "all", true),
        ("/b/admin@x;y", "all", true),
        ("/b", "all", false),
        // What follows a question mark or a hash that is decoded twice, case and width.
        ("/b/one%3fa", "all", true),
        ("/b/one%253fa/b", "all", true),
        ("/b/one%23", "all", true),
        ("/b/ONE", "all", true),
        ("/b/On%65", "all", true),
        ("/b/%ef%bd%8f%ef%bd%8ee", "all", true),
        ("/b/%EF%BC%AFne", "all", true),
        ("/b/;%3f/one", "all", true),
        ("/b/one/", "all", true),
        ("/B/x", "any", true),
        // And only where there is a narrower route.
        ("/b/two%3fa", "all", false),
        ("/b/TWO", "all", false),
        ("/b/x%23", "all", false),
        ("/b/two/", "all", false),
        ("/b/%ef%bd%8fther", "all", false),
        ("/C/%3f", "any", false),
        ("/b/one/two", "all", false),
    ] {
        assert_eq!(
            found(&table, Some("a.test"), path, "GET"),
            selects,
            "{path}"
        );
        let checked = table.check_path(Some(b"a.test"), path.as_bytes(), false);
        let expected = match refused {
            true => Err("ambiguous_path"),
            false => Ok(()),
        };
        assert_eq!(checked.map_err(|r| r.code), expected, "{path}");
    }
    let slash = |pass| table.check_path(Some(b"a.test"), b"/b%2fone", pass);
    assert_eq!(slash(false), Err(PathRefusal::ENCODED_SLASH));
    assert_eq!(slash(true), Err(PathRefusal::AMBIGUOUS));
}

/// Whatever a server does with a path that was let through, it stays below the route's prefix and out of
/// that of another route. Tried with every row of up to four pieces and every combination of leniencies.
#[test]
fn no_server_reads_an_accepted_path_as_another_routes() {
    const PIECES: [&str; 20] = [
        "..", ".", "/", "%2e", "%2E", "%2f", "%25", "2e", "2f", ";", "\\", "%5c", "%3b", "shut",
        "%73hut", "SHUT", "x", "%20", "%3f", "%23",
    ];
    let table = RouteTable::new(vec![
        route("open", &["*"], &["/open/"], &[]),
        route("inner", &["*"], &["/open/shut/"], &[]),
        route("shut", &["*"], &["/shut/"], &[]),
    ])
    .unwrap();
    let mut accepted = 0;
    for length in 1..=4 {
        for number in 0..PIECES.len().pow(length) {
            let digits = (0..length).map(|place| number / PIECES.len().pow(place) % PIECES.len());
            let tail: String = digits.map(|digit| PIECES[digit]).collect();
            let path = format!("/open/{tail}/");
            if found(&table, None, &path, "GET") != "open"
                || table.check_path(None, path.as_bytes(), true).is_err()
            {
                continue;
            }
            accepted += 1;
            for server in LenientServer::all() {
                let read = server.read(path.as_bytes());
                let escaped = !read.starts_with(b"/open/") || read.starts_with(b"/open/shut/");
                let read = String::from_utf8_lossy(&read);
                assert!(!escaped, "{path} is {read} to {server:?}");
            }
        }
    }
    assert!(accepted > 1000, "{accepted}");
}

#[test]
fn get_implies_head_unless_a_route_says_otherwise() {
    let mut refused = route("refused", &["*"], &["/r/"], &["GET", "PUT"]);
    refused.0.methods = MethodSet::Exactly(vec!["GET".to_owned(), "PUT".to_owned()]);
    let table = RouteTable::new(vec![
        route("get", &["*"], &["/g/"], &["GET", "POST"]),
        route("post", &["*"], &["/p/"], &["POST"]),
        route("own-get", &["*"], &["/o/"], &["GET"]),
        route("own-head", &["*"], &["/o/"], &["HEAD"]),
        refused,
    ])
    .unwrap();
    for (path, method, expected) in [
        ("/g/", "HEAD", "get"),
        ("/g/", "PUT", "405 GET, HEAD, POST"),
        ("/g/", "head", "405 GET, HEAD, POST"),
        ("/p/", "HEAD", "405 POST"),
        ("/o/", "HEAD", "own-head"),
        ("/o/", "GET", "own-get"),
        ("/o/", "PUT", "405 GET, HEAD"),
        ("/r/", "HEAD", "405 GET, PUT"),
        ("/r/", "GET", "refused"),
    ] {
        assert_eq!(
            found(&table, None, path, method),
            expected,
            "{method} {path}"
        );
    }
}

#[test]
fn the_most_specific_route_decides_whatever_listener_it_names() {
    let inside = |mut route: (Claim, &'static str)| {
        route.0.listeners = vec!["internal".to_owned()];
        route
    };
    let table = RouteTable::new(vec![
        route("orders", &["a.test"], &["/orders/"], &[]),
        route("any", &["*"], &["/"], &[]),
        inside(route("admin", &["a.test"], &["/orders/admin/"], &[])),
        inside(route("exact", &["a.test"], &["/orders/x"], &["GET"])),
        inside(route("host", &["b.test"], &["/"], &[])),
        inside(route("write", &["a.test"], &["/shared/"], &["POST"])),
        route("read", &["a.test"], &["/shared/"], &["GET"]),
    ])
    .unwrap();
    for (host, path, method, public, internal) in [
        ("a.test", "/orders/1", "GET", "orders", "404"),
        ("a.test", "/orders/admin/users", "GET", "404", "admin"),
        ("a.test", "/orders/admin", "GET", "404", "admin"),
        ("a.test", "/orders/%61dmin/", "GET", "404", "admin"),
        ("a.test", "/orders/x", "GET", "404", "exact"),
        ("a.test", "/orders/x", "PUT", "404", "405 GET, HEAD"),
        ("b.test", "/any", "GET", "404", "host"),
        ("c.test", "/any", "GET", "any", "404"),
        ("a.test", "/shared/", "POST", "405 GET, HEAD", "write"),
        ("a.test", "/shared/", "GET", "read", "405 POST"),
    ] {
        for (listener, expected) in [("public", public), ("internal", internal)] {
            let lookup = table.find(
                listener,
                Some(host.as_bytes()),
                path.as_bytes(),
                method.as_bytes(),
            );
            assert_eq!(said(lookup), expected, "{listener} {method} {host}{path}");
        }
    }
    let both = |path: &[u8]| table.check_path(Some(b"a.test"), path, false);
    assert_eq!(both(b"/orders/ADMIN/users"), Err(PathRefusal::AMBIGUOUS));
    assert_eq!(both(b"/orders/X%3f"), Err(PathRefusal::AMBIGUOUS));
    // Methods of one place may be of two routes where they meet on no listener.
    let get = || route("a", &["*"], &["/"], &["GET"]);
    assert!(RouteTable::new(vec![get(), inside(get())]).is_ok());
    assert!(RouteTable::new(vec![get(), get()]).is_err());
}

#[derive(Debug)]
struct LenientServer {
    decodes: u8,
    backslashes: bool,
    parameters: bool,
    merges: bool,
    /// Takes what follows a decoded question mark or hash for no part of the path.
    cuts: bool,
    ignores_case: bool,
}

impl LenientServer {
    fn all() -> impl Iterator<Item = Self> {
        (0..128).map(|bits| Self {
            decodes: bits & 3,
            backslashes: bits & 4 != 0,
            parameters: bits & 8 != 0,
            merges: bits & 16 != 0,
            cuts: bits & 32 != 0,
            ignores_case: bits & 64 != 0,
        })
    }

    fn read(&self, path: &[u8]) -> Vec<u8> {
        let mut path = path.to_vec();
        for _ in 0..self.decodes {
            path = decoded_once(&path);
        }
        let end = path.iter().position(|b| self.cuts && b"?#".contains(b));
        path.truncate(end.unwrap_or(path.len()));
        if self.ignores_case {
            path.make_ascii_lowercase();
        }
        let separates = |b: &u8| *b == b'/' || (self.backslashes && *b == b'\\');
        let mut kept: Vec<&[u8]> = Vec::new();
        for segment in path[1..].split(separates) {
            let end = segment.iter().position(|&b| self.parameters && b == b';');
            let segment = segment[..end.unwrap_or(segment.len())].trim_ascii();
            match segment {
                b".." => drop(kept.pop()),
                b"." => {}
                b"" if self.merges => {}
                _ => kept.push(segment),
            }
        }
        [b"/", kept.join(&b'/').as_slice(), b"/"].concat()
    }
}

fn decoded_once(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let hex = path.get(at + 1..at + 3).filter(|_| path[at] == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(path[at]);
                at += 1;
            }
        }
    }
    out
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
    said(table.find("public", host, path.as_bytes(), method.as_bytes()))
}

fn said(lookup: Lookup<'_, &'static str>) -> String {
    match lookup {
        Lookup::Found(name) => (*name).to_owned(),
        Lookup::MethodNotAllowed { allow, .. } => format!("405 {allow}"),
        Lookup::NotFound => "404".to_owned(),
    }
}
