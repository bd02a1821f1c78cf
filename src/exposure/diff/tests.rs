use super::*;
use crate::exposure::surface::SurfaceExposure;

/// `HOST PATHS METHODS UPSTREAM POLICY [EXPOSURE]`, on the listener `public`; `any` for all methods.
fn surface(routes: &[&str]) -> Surface {
    let bind = vec!["192.0.2.1:443".to_owned()];
    let routes = routes.iter().enumerate().map(|(index, text)| {
        let words: Vec<&str> = text.split(' ').collect();
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let exposure = words.get(5).map(|name| {
            let (name, owner) = ((*name).to_owned(), "team".to_owned());
            ("public".to_owned(), SurfaceExposure { name, owner })
        });
        SurfaceRoute {
            name: format!("route-{index}"),
            hosts: list(words[0]),
            paths: list(words[1]),
            methods: (words[2] != "any").then(|| list(words[2])),
            head_refused: false,
            listeners: vec!["public".to_owned()],
            exposures: exposure.into_iter().collect(),
            path_regex: None,
            cors: None,
            rewrite: None,
            own_answer: None,
            upstream: words[3].to_owned(),
            servers: vec![format!("{}.corp.test:443", words[3])],
            policy: words[4].to_owned(),
            mode: "block".to_owned(),
            stream: None,
            pass_encoded_slashes: false,
            identity: BTreeMap::new(),
            limits: BTreeMap::new(),
        }
    });
    Surface {
        listeners: BTreeMap::from([("public".to_owned(), bind)]),
        routes: routes.collect(),
        key_sets: BTreeMap::new(),
    }
}

#[test]
fn changes_are_reported_as_requests_see_them() {
    let orders = "a.test /orders/ GET orders default public";
    // The old routes, the new ones, what is reported, and whether a pipeline stops.
    for (old, new, expected, stops) in [
        (&[orders][..], &[orders][..], &[][..], false),
        (
            &[],
            &[orders],
            &[
                "+ public: GET,HEAD /orders/* -> orders, policy default, host a.test, exposure public, owner team",
            ],
            false,
        ),
        (
            &[orders],
            &[],
            &["- public: GET,HEAD /orders/* -> orders, policy default, host a.test"],
            false,
        ),
        (
            &[],
            &["*.a.test /x any orders default"],
            &["+ public: any method /x -> orders, policy default, host *.a.test, no owner"],
            true,
        ),
        (
            &[orders],
            &["a.test /orders/ GET,PURGE billing strict public"],
            &[
                "~ public: GET,HEAD /orders/*, host a.test: upstream orders -> billing, servers orders.corp.test:443 -> billing.corp.test:443, policy default -> strict",
                "+ public: PURGE /orders/* -> billing, policy strict, host a.test, exposure public, owner team",
            ],
            false,
        ),
        (
            &[orders],
            &["a.test /orders/ any orders default public"],
            &[
                "+ public: any method but GET,HEAD /orders/* -> orders, policy default, host a.test, exposure public, owner team",
            ],
            false,
        ),
        // Another policy below what was reachable already.
        (
            &[orders],
            &[orders, "a.test /orders/admin/ GET orders loose public"],
            &["~ public: GET,HEAD /orders/admin/*, host a.test: policy default -> loose"],
            false,
        ),
        // Other servers, and nobody's: something becomes reachable.
        (
            &[orders],
            &[orders, "a.test /orders/admin/ GET admin default"],
            &[
                "~ public: GET,HEAD /orders/admin/*, host a.test: upstream orders -> admin, servers orders.corp.test:443 -> admin.corp.test:443, exposure public -> none, owner team -> none",
            ],
            true,
        ),
        // A route that goes away uncovers a less specific one.
        (
            &[
                "a.test / any web default public",
                "a.test /private/ HEAD web default public",
            ],
            &["a.test / any web default public"],
            &[
                "+ public: any method but HEAD /private/* -> web, policy default, host a.test, exposure public, owner team",
            ],
            false,
        ),
        // A host that goes away uncovers what a less specific host pattern has.
        (
            &[
                "*.test /orders/ GET orders default public",
                "a.test / PUT web default public",
            ],
            &["*.test /orders/ GET orders default public"],
            &[
                "- public: PUT /* -> web, policy default, host a.test",
                "+ public: GET,HEAD /orders/* -> orders, policy default, host a.test, exposure public, owner team",
            ],
            false,
        ),
        // The owner alone.
        (
            &[orders],
            &["a.test /orders/ GET orders default"],
            &[
                "~ public: GET,HEAD /orders/*, host a.test: exposure public -> none, owner team -> none",
            ],
            false,
        ),
    ] {
        let changes = diff(&surface(old), &surface(new)).unwrap();
        let words: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(words, expected, "{old:?} {new:?}");
        assert_eq!(changes.iter().any(|c| c.unowned), stops, "{old:?} {new:?}");
    }
}

#[test]
fn a_new_address_is_reported() {
    let old = surface(&["a.test /orders/ GET orders default"]);
    let mut new = old.clone();
    new.listeners
        .insert("public".to_owned(), vec!["0.0.0.0:443".to_owned()]);
    let changes = diff(&old, &new).unwrap();
    let words: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "+ public: all of it on 0.0.0.0:443",
            "- public: all of it on 192.0.2.1:443"
        ]
    );
    assert!(changes[0].unowned);
}

#[test]
fn a_surface_survives_json() {
    let surface = surface(&[
        "a.test /orders/ GET,PUT orders default public",
        "* /x any a b",
    ]);
    let text = serde_json::to_string(&surface).unwrap();
    assert_eq!(serde_json::from_str::<Surface>(&text).unwrap(), surface);
}

/// A route that does not name the listener shadows a less specific one there; when it goes away, that one is reachable.
#[test]
fn what_a_narrower_route_elsewhere_shadows_is_reported() {
    let wide = surface(&["a.test /orders/ any orders default public"]);
    let mut both = surface(&[
        "a.test /orders/ any orders default public",
        "a.test /orders/admin/ any orders default",
        "a.test /orders/secret any orders default",
    ]);
    let bind = vec!["10.0.0.1:443".to_owned()];
    both.listeners.insert("internal".to_owned(), bind);
    both.routes[1].listeners = vec!["internal".to_owned()];
    both.routes[2].listeners = vec!["internal".to_owned()];
    let of_public = |old: &Surface, new: &Surface| {
        let changes = diff(old, new).unwrap();
        let words = changes.iter().map(ToString::to_string);
        words
            .filter(|words| words.contains(" public: "))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of_public(&both, &wide),
        [
            "+ public: any method /orders/admin/* -> orders, policy default, host a.test, exposure public, owner team; route route-1 shadowed it before",
            "+ public: any method /orders/secret -> orders, policy default, host a.test, exposure public, owner team; route route-2 shadowed it before",
        ]
    );
    assert_eq!(
        of_public(&wide, &both),
        [
            "- public: any method /orders/admin/* -> orders, policy default, host a.test; route route-1 shadows it now",
            "- public: any method /orders/secret -> orders, policy default, host a.test; route route-2 shadows it now",
        ]
    );
}

/// What a route demands of its callers, where all else is the same.
#[test]
fn what_is_demanded_of_callers_is_reported() {
    use crate::exposure::surface::SurfaceIdentity;

    let route = "a.test /orders/ GET orders default public";
    let with = |identity: Option<SurfaceIdentity>| {
        let mut surface = surface(&[route]);
        surface.routes[0].identity = identity
            .map(|identity| ("public".to_owned(), identity))
            .into_iter()
            .collect();
        surface
    };
    let asks = |required, claims: &[(&str, &[&str])]| {
        let require = claims.iter().map(|(claim, words)| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            ((*claim).to_owned(), words)
        });
        Some(SurfaceIdentity {
            identities: vec!["corp".to_owned()],
            required,
            require: require.collect(),
            forward: "claims".to_owned(),
        })
    };
    let start = "~ public: GET,HEAD /orders/*, host a.test: ";
    // The old demand, the new one, what is reported, and whether it lets in more.
    for (old, new, words, widens) in [
        (None, asks(true, &[]), "now requires identity corp", false),
        (
            asks(true, &[]),
            None,
            "no longer asks for identity corp",
            true,
        ),
        (
            asks(true, &[]),
            asks(false, &[]),
            "no longer requires an identity",
            true,
        ),
        (
            asks(false, &[]),
            asks(true, &[]),
            "now requires an identity",
            false,
        ),
        (
            asks(true, &[("scope", &["read", "write"])]),
            asks(true, &[("scope", &["read"])]),
            "now requires scope read in place of scope read and write",
            true,
        ),
        (
            asks(true, &[("role", &["clerk"])]),
            asks(true, &[("role", &["clerk", "guest"])]),
            "now requires role clerk or guest in place of role clerk",
            true,
        ),
        (
            asks(true, &[("role", &["clerk"])]),
            asks(true, &[]),
            "no longer requires role clerk",
            true,
        ),
        (
            asks(true, &[]),
            asks(true, &[("role", &["clerk"])]),
            "now requires role clerk",
            false,
        ),
    ] {
        let changes = diff(&with(old), &with(new)).unwrap();
        let [change] = changes.as_slice() else {
            panic!("{words}: {changes:?}");
        };
        assert!(
            change.to_string().starts_with(&format!("{start}{words}")),
            "{change}"
        );
        assert_eq!(change.widens, widens, "{change}");
    }
}

#[test]
fn a_path_for_our_keys_is_shown_when_it_comes_and_goes() {
    let (plain, mut with) = (surface(&[]), surface(&[]));
    let path = "/.well-known/drawbridge/jwks.json".to_owned();
    with.key_sets.insert("public".to_owned(), path.clone());
    let words = |old: &Surface, new: &Surface| -> Vec<String> {
        let changes = diff(old, new).unwrap();
        changes.iter().map(ToString::to_string).collect()
    };
    let what = format!("public: GET,HEAD {path} -> the front door's key set, every host, no token");
    assert_eq!(words(&plain, &with), [format!("+ {what}")]);
    assert_eq!(words(&with, &plain), [format!("- {what}")]);
    assert!(words(&with, &with).is_empty());
}

#[test]
fn what_routes_answer_and_change_is_reported() {
    type Change = fn(&mut SurfaceRoute);
    let some = |text: &str| Some(text.to_owned());
    let with = |change: Change| {
        let mut surface = surface(&["a.test /orders/ GET orders default"]);
        change(&mut surface.routes[0]);
        surface
    };
    let regex: Change = |route| route.path_regex = Some("/orders/[0-9]+".to_owned());
    let rewrite: Change = |route| route.rewrite = Some("/v2/{below}?{query}".to_owned());
    let redirect: Change = |route| {
        route.own_answer = Some("308 to /new/{below}".to_owned());
        route.upstream = String::new();
        route.servers = Vec::new();
    };
    let cors: Change = |route| route.cors = Some("app (https://a.test)".to_owned());
    let same: Change = |_| {};
    // What it was, what it is, what is reported, and whether a pipeline stops: nobody owns the route.
    for (old, new, words, stops) in [
        (same, regex, "path_regex none -> /orders/[0-9]+", false),
        (regex, same, "path_regex /orders/[0-9]+ -> none", true),
        (same, rewrite, "rewrite none -> /v2/{below}?{query}", true),
        (
            same,
            redirect,
            "upstream orders -> none, servers orders.corp.test:443 -> none, answer the gateway's -> 308 to /new/{below}",
            false,
        ),
        (
            redirect,
            same,
            "upstream none -> orders, servers none -> orders.corp.test:443, answer 308 to /new/{below} -> the gateway's",
            true,
        ),
        (
            same,
            cors,
            "cors the gateway's -> app (https://a.test)",
            false,
        ),
    ] {
        let changes = diff(&with(old), &with(new)).unwrap();
        let said: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let expected = format!("~ public: GET,HEAD /orders/*, host a.test: {words}");
        assert_eq!(said, [expected]);
        assert_eq!(changes[0].unowned, stops, "{words}");
    }
    let both = |route: &mut SurfaceRoute| {
        route.path_regex = some("/orders/[0-9]+");
        route.rewrite = some("/v2/{below}?{query}");
    };
    let mut new = with(same);
    both(&mut new.routes[0]);
    let none = surface(&["b.test / GET web default"]);
    let said = diff(&none, &new).unwrap();
    assert!(
        said.iter().any(|change| change.to_string()
            == "+ public: GET,HEAD /orders/* -> orders as /v2/{below}?{query}, paths that match /orders/[0-9]+, policy default, host a.test, no owner"),
        "{said:?}"
    );
}
