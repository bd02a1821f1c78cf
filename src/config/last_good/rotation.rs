//! Finds rotations that would make things worse, such as an expired certificate in the place of a valid one. Such a
//! file is refused like a broken one, unless the configuration allows it.

use std::collections::HashSet;
use std::sync::Arc;

use openssl::x509::X509;

use crate::tls::inventory::WARNING_DAYS;
use crate::tls::reason::{name_text, time_text, unix_time};
use crate::tls::{CertifiedKey, TrustBundle, now};

pub(crate) const HELP: &str =
    "use one that is valid for longer, or write allow_expired = true beside it";

const DAY: i64 = 24 * 60 * 60;
/// How far clocks may differ, in seconds.
const SKEW: i64 = 60;

/// When all certificates of a chain are valid, in seconds since 1970. Clients check each of them, so the shortest one
/// counts.
struct Validity {
    from: i64,
    until: i64,
}

impl Validity {
    fn of(chain: &[X509]) -> Option<Self> {
        let from = chain.iter().map(|c| unix_time(c.not_before()));
        let until = chain.iter().map(|c| unix_time(c.not_after()));
        Some(Self {
            // One date that cannot be read makes the whole span unknown.
            from: from.collect::<Option<Vec<_>>>()?.into_iter().max()?,
            until: until.collect::<Option<Vec<_>>>()?.into_iter().min()?,
        })
    }

    fn is_now(&self) -> bool {
        (self.from..self.until).contains(&now())
    }
}

/// Why `new` must not replace `old`; None if it may.
pub(crate) fn worse(new: &CertifiedKey, old: &CertifiedKey) -> Option<String> {
    // Anything may replace a certificate that is not valid itself.
    let before = Validity::of(&old.chain).filter(Validity::is_now)?;
    let Some(after) = Validity::of(&new.chain) else {
        return Some("the new certificate has a date that cannot be read".to_owned());
    };
    let now = now();
    let soon = now + WARNING_DAYS[0] * DAY;
    let last = new.chain.iter().min_by_key(|c| unix_time(c.not_after()))?;
    let first = new.chain.iter().max_by_key(|c| unix_time(c.not_before()))?;
    let (certificate, state) = match after {
        Validity { until, .. } if until <= now => {
            (last, format!("expired on {}", time_text(last.not_after())))
        }
        // An issuer's clock may be ahead of ours, and its certificate starts at the moment of issue.
        Validity { from, .. } if from > now + SKEW => (
            first,
            format!("is not valid before {}", time_text(first.not_before())),
        ),
        // A shorter life alone is no fault: issuers shorten it. One that ends soon is most likely an old file.
        Validity { until, .. } if until < before.until && until <= soon => {
            (last, format!("ends on {}", time_text(last.not_after())))
        }
        _ => return None,
    };
    let good = old.chain.iter().min_by_key(|c| unix_time(c.not_after()))?;
    Some(format!(
        "the new certificate of \"{}\" {state}; the current one is valid until {}",
        name_text(certificate.subject_name()),
        time_text(good.not_after())
    ))
}

/// Compares a new list of certificates with the list that serves, since a certificate may come from another file now.
/// Returns why one that is not `allowed` must not replace a better one.
pub(crate) fn worse_of(
    new: &[Arc<CertifiedKey>],
    allowed: &[bool],
    old: &[Arc<CertifiedKey>],
) -> Option<String> {
    let leaf = |one: &Arc<CertifiedKey>| one.chain.first().and_then(|leaf| leaf.to_der().ok());
    let leaves = |list: &[Arc<CertifiedKey>]| list.iter().map(leaf).collect::<Vec<_>>();
    let (old_leaves, new_leaves) = (leaves(old), leaves(new));
    // A certificate that is in both lists replaces nothing.
    let gone = missing_from(old.iter().zip(&old_leaves), &new_leaves);
    let come = missing_from(new.iter().zip(allowed).zip(&new_leaves), &old_leaves);
    let mut judged = come.into_iter().filter(|(_, allowed)| !**allowed);
    judged.find_map(|(new, _)| {
        let same = |old: &&&Arc<CertifiedKey>| {
            // A listener may have an RSA and an ECDSA certificate for one name; they do not replace each other.
            old.key.id() == new.key.id() && old.names.iter().any(|name| new.covers(name))
        };
        gone.iter().filter(same).find_map(|old| worse(new, old))
    })
}

/// What has a leaf that is not among `others`.
fn missing_from<'l, T>(
    list: impl Iterator<Item = (T, &'l Option<Vec<u8>>)>,
    others: &[Option<Vec<u8>>],
) -> Vec<T> {
    let others: HashSet<_> = others.iter().collect();
    list.filter(|(_, leaf)| !others.contains(leaf))
        .map(|(one, _)| one)
        .collect()
}

/// Why a bundle must not replace another: none of its CAs is valid now.
pub(crate) fn worse_bundle(new: &TrustBundle, old: &TrustBundle) -> Option<String> {
    let is_now =
        |ca: &X509| Validity::of(std::slice::from_ref(ca)).is_some_and(|span| span.is_now());
    let new_has = new.certificates.iter().any(is_now);
    let old_has = old.certificates.iter().any(is_now);
    // One valid CA is enough: during a change of CA a bundle holds an old one beside the new one.
    (old_has && !new_has).then(|| {
        "no CA of the new bundle is valid now, but one of the current bundle is".to_owned()
    })
}
