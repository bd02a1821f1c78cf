//! Finds the exposure of a route on a listener: who owns what is reachable, and which switch turns it off.
//!
//! Invariant: a pair of a route and a listener belongs to one exposure at most, so that one switch decides.

use std::collections::HashMap;

/// All exposures of a front door. `T` is the data of one.
#[derive(Debug)]
pub struct Exposures<T> {
    all: Vec<T>,
    /// By route: listeners, each with an index into `all`. A route has few listeners.
    pairs: HashMap<String, Vec<(String, usize)>>,
}

/// What one exposure claims: pairs of a route and a listener.
pub type Pairs = Vec<(String, String)>;

/// Two exposures claim the same pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The index of the exposure that claims it first.
    pub first: usize,
    /// The index of the other exposure.
    pub second: usize,
    /// The route's name.
    pub route: String,
    /// The listener's name.
    pub listener: String,
}

impl<T> Exposures<T> {
    /// An index of exposures, each with the pairs that it claims.
    ///
    /// # Errors
    /// Every pair that a second exposure claims.
    pub fn new(exposures: Vec<(Pairs, T)>) -> Result<Self, Vec<Overlap>> {
        let mut pairs: HashMap<String, Vec<(String, usize)>> = HashMap::new();
        let mut overlaps = Vec::new();
        let mut all = Vec::with_capacity(exposures.len());
        for (index, (claimed, exposure)) in exposures.into_iter().enumerate() {
            all.push(exposure);
            for (route, listener) in claimed {
                let known = pairs.entry(route.clone()).or_default();
                match known.iter().find(|(name, _)| *name == listener) {
                    Some((_, first)) if *first != index => overlaps.push(Overlap {
                        first: *first,
                        second: index,
                        route,
                        listener,
                    }),
                    // An exposure that names a pair twice still decides it alone.
                    Some(_) => {}
                    None => known.push((listener, index)),
                }
            }
        }
        match overlaps.is_empty() {
            true => Ok(Self { all, pairs }),
            false => Err(overlaps),
        }
    }

    /// The exposure that this route belongs to on this listener.
    #[must_use]
    pub fn of(&self, route: &str, listener: &str) -> Option<&T> {
        let pairs = self.pairs.get(route)?;
        let (_, index) = pairs.iter().find(|(name, _)| name == listener)?;
        self.all.get(*index)
    }

    /// All exposures, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.all.iter()
    }
}

impl<T> Default for Exposures<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            pairs: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(of: &[(&str, &str)]) -> Pairs {
        let of = of.iter();
        of.map(|(r, l)| ((*r).to_owned(), (*l).to_owned()))
            .collect()
    }

    #[test]
    fn a_route_can_belong_to_one_exposure_on_each_listener() {
        let exposures = Exposures::new(vec![
            (pairs(&[("orders", "public"), ("billing", "public")]), "out"),
            (pairs(&[("orders", "internal")]), "in"),
        ])
        .unwrap();
        for (route, listener, expected) in [
            ("orders", "public", Some("out")),
            ("billing", "public", Some("out")),
            ("orders", "internal", Some("in")),
            ("billing", "internal", None),
            ("other", "public", None),
        ] {
            let found = exposures.of(route, listener).copied();
            assert_eq!(found, expected, "{route} on {listener}");
        }
        assert_eq!(exposures.iter().count(), 2);
    }

    #[test]
    fn a_pair_belongs_to_one_exposure() {
        let twice_in_one = pairs(&[("orders", "public"), ("orders", "public")]);
        assert!(Exposures::new(vec![(twice_in_one, ())]).is_ok());
        let overlaps = Exposures::new(vec![
            (pairs(&[("a", "public")]), ()),
            (pairs(&[("b", "public")]), ()),
            (pairs(&[("b", "internal"), ("a", "public")]), ()),
        ])
        .unwrap_err();
        let expected = Overlap {
            first: 0,
            second: 2,
            route: "a".to_owned(),
            listener: "public".to_owned(),
        };
        assert_eq!(overlaps, [expected]);
    }
}
