//! How what is demanded of callers differs from one configuration to the next, in words, and whether somebody is let in who
//! was refused before.

use std::collections::BTreeMap;

use super::surface::SurfaceIdentity;

/// A difference in words; `widens` if it lets in callers that were refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) words: String,
    pub(super) widens: bool,
}

/// Every difference in what is demanded.
pub(super) fn differences(
    old: Option<&SurfaceIdentity>,
    new: Option<&SurfaceIdentity>,
) -> Vec<Difference> {
    match (old, new) {
        (None, None) => Vec::new(),
        (None, Some(new)) => {
            let words = match new.required {
                true => format!("now requires {}", demands(new)),
                false => format!(
                    "now takes identity {}, not required",
                    new.identities.join(" or ")
                ),
            };
            vec![narrows(words)]
        }
        (Some(old), None) => vec![Difference {
            words: format!("no longer asks for {}", demands(old)),
            // Who was let in without proof still is; only a bad token was refused.
            widens: old.required,
        }],
        (Some(old), Some(new)) => between(old, new),
    }
}

fn between(old: &SurfaceIdentity, new: &SurfaceIdentity) -> Vec<Difference> {
    let mut differences = Vec::new();
    if old.identities != new.identities {
        let is_new = |name: &String| !old.identities.contains(name);
        differences.push(Difference {
            words: format!(
                "identity {} -> {}",
                old.identities.join(" or "),
                new.identities.join(" or ")
            ),
            widens: new.identities.iter().any(is_new),
        });
    }
    match (old.required, new.required) {
        (true, false) => differences.push(Difference {
            words: "no longer requires an identity".to_owned(),
            widens: true,
        }),
        (false, true) => differences.push(narrows("now requires an identity".to_owned())),
        _ => {}
    }
    differences.extend(claims(&old.require, &new.require));
    if old.forward != new.forward {
        let words = format!("forward_identity {} -> {}", old.forward, new.forward);
        differences.push(narrows(words));
    }
    differences
}

fn claims<'c>(
    old: &'c BTreeMap<String, Vec<String>>,
    new: &'c BTreeMap<String, Vec<String>>,
) -> impl Iterator<Item = Difference> + use<'c> {
    let gone = old.iter().filter(|(claim, _)| !new.contains_key(*claim));
    let gone = gone.map(|(claim, words)| Difference {
        words: format!("no longer requires {}", demand(claim, words)),
        widens: true,
    });
    let others = new
        .iter()
        .filter_map(|(claim, words)| match old.get(claim) {
            None => Some(narrows(format!("now requires {}", demand(claim, words)))),
            Some(before) if before == words => None,
            Some(before) => {
                let lacks =
                    |all: &[String], of: &[String]| of.iter().any(|word| !all.contains(word));
                Some(Difference {
                    words: format!(
                        "now requires {} in place of {}",
                        demand(claim, words),
                        demand(claim, before)
                    ),
                    // Of a scope all words are demanded, of any other claim one.
                    widens: match claim.as_str() {
                        "scope" => lacks(words, before),
                        _ => lacks(before, words),
                    },
                })
            }
        });
    gone.chain(others)
}

/// What is demanded, as a list.
pub(super) fn demands(identity: &SurfaceIdentity) -> String {
    let mut words = vec![format!("identity {}", identity.identities.join(" or "))];
    let claims = identity.require.iter();
    words.extend(claims.map(|(claim, values)| demand(claim, values)));
    words.join(", ")
}

fn demand(claim: &str, words: &[String]) -> String {
    let and_or = if claim == "scope" { " and " } else { " or " };
    format!("{claim} {}", words.join(and_or))
}

fn narrows(words: String) -> Difference {
    let widens = false;
    Difference { words, widens }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(text: &str) -> Option<SurfaceIdentity> {
        let (identities, require) = text.split_once('/')?;
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let (identities, required) = match identities.strip_suffix('?') {
            Some(identities) => (identities, false),
            None => (identities, true),
        };
        let require = require
            .split(';')
            .filter_map(|demand| demand.split_once('='));
        Some(SurfaceIdentity {
            identities: list(identities),
            required,
            require: require
                .map(|(claim, words)| (claim.to_owned(), list(words)))
                .collect(),
            forward: "claims".to_owned(),
        })
    }

    #[test]
    fn what_lets_in_more_is_known() {
        for (old, new, words, widens) in [
            (
                "",
                "a/scope=r,w;role=x,y",
                "now requires identity a, role x or y, scope r and w",
                false,
            ),
            ("", "a?/", "now takes identity a, not required", false),
            ("a/", "", "no longer asks for identity a", true),
            ("a?/", "", "no longer asks for identity a", false),
            ("a/", "a?/", "no longer requires an identity", true),
            ("a?/", "a/", "now requires an identity", false),
            ("a/", "a,b/", "identity a -> a or b", true),
            ("a,b/", "b/", "identity a or b -> b", false),
            ("a/", "a/role=x", "now requires role x", false),
            ("a/role=x", "a/", "no longer requires role x", true),
            (
                "a/role=x",
                "a/role=x,y",
                "now requires role x or y in place of role x",
                true,
            ),
            (
                "a/role=x,y",
                "a/role=x",
                "now requires role x in place of role x or y",
                false,
            ),
            (
                "a/scope=x",
                "a/scope=x,y",
                "now requires scope x and y in place of scope x",
                false,
            ),
            (
                "a/scope=x,y",
                "a/scope=x",
                "now requires scope x in place of scope x and y",
                true,
            ),
        ] {
            let found = differences(identity(old).as_ref(), identity(new).as_ref());
            let words = words.to_owned();
            assert_eq!(found, [Difference { words, widens }], "{old} {new}");
        }
        assert_eq!(
            differences(identity("a/").as_ref(), identity("a/").as_ref()),
            []
        );
    }
}
