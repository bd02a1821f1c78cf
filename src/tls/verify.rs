//! Decides whether a certificate leads to a CA of a bundle. Gateways, clients of listeners and `doctor` are all judged
//! here.
//!
//! Every CA of a bundle is a trust anchor, self-signed or not (RFC 5280, 6.1.1 (d)). OpenSSL follows only one of
//! several issuers with the same name; if that leads nowhere, each CA that did sign is tried (RFC 4158, 2.4.2). What
//! OpenSSL cannot decide is refused.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::ssl::SslFiletype;
use openssl::stack::Stack;
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509CheckFlags, X509VerifyFlags, X509VerifyParam};
use openssl::x509::{
    X509, X509PurposeId, X509Ref, X509StoreContext, X509StoreContextRef, X509VerifyResult,
};

use super::TrustBundle;

/// OpenSSL's own level for TLS: 112 bits, RSA 2048.
const SECURITY_LEVEL: i32 = 2;
/// In a bundle with at most so many CAs, each is also tried alone. In a larger one only CAs are whose name another CA
/// has, because an attempt costs a store of its own.
const FEW: usize = 16;
/// How many presented certificates are compared with the CAs that are tried. The other side chooses how many it
/// presents, and each comparison verifies a signature.
const MOST_PRESENTED: usize = 10;
/// OpenSSL could not decide.
const UNKNOWN: X509VerifyResult = X509VerifyResult::APPLICATION_VERIFICATION;

/// What the certificate is to be good for.
#[derive(Debug, Clone, Copy)]
pub enum Role<'n> {
    /// A server of this name.
    Server(&'n str),
    /// A client's certificate.
    Client,
}

/// Judges certificates under one bundle. It reads its revocation lists when it is made, and never again.
pub struct Verifier {
    /// The first has all CAs; then one for each CA that may be needed alone.
    attempts: Vec<Attempt>,
}

/// The result of a verification.
#[derive(Clone)]
pub struct Verdict {
    /// OpenSSL's result.
    pub result: X509VerifyResult,
    /// The certificate that was refused.
    pub refused: Option<X509>,
    /// The leaf first, as far as it was built.
    pub chain: Vec<X509>,
}

struct Attempt {
    /// The CA that must have signed one of the certificates, otherwise this attempt is skipped; None: never skipped.
    only: Option<X509>,
    anchors: X509Store,
    /// CAs of the bundle that an anchor signed. A list may revoke them, so they are no anchors: OpenSSL does not look
    /// anchors up.
    below: Vec<X509>,
    /// Verifies one issuer against the lists; None without lists.
    issuers: Option<X509Store>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("attempts", &self.attempts.len())
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// # Errors
    /// OpenSSL does not take a CA or a list.
    pub fn new(trust: &TrustBundle, role: Role<'_>, lists: &[PathBuf]) -> Result<Self, ErrorStack> {
        let family = Family::of(&trust.certificates);
        let mut attempts = vec![Attempt::new(&family, &family.all(), None, role, lists)?];
        if !family.is_plain() {
            for ca in 0..family.cas.len() {
                // Those above it are needed too: with lists, the anchor is the topmost of them.
                let line = family.line_of(ca);
                let has_rival = line.iter().any(|&ca| family.has_rival(ca));
                if has_rival || family.cas.len() <= FEW {
                    attempts.push(Attempt::new(&family, &line, Some(ca), role, lists)?);
                }
            }
        }
        Ok(Self { attempts })
    }

    /// Judges a chain against the bundle.
    #[must_use]
    pub fn verify(&self, leaf: &X509Ref, presented: &[X509]) -> Verdict {
        let verdict = self.try_all(leaf, presented);
        // OpenSSL keeps errors by thread. What is left in the queue would be taken for an error of the handshake that
        // this verification is a part of.
        drop(ErrorStack::get());
        verdict
    }

    fn try_all(&self, leaf: &X509Ref, presented: &[X509]) -> Verdict {
        let mut closest: Option<Verdict> = None;
        for attempt in &self.attempts {
            // The first attempt always runs, so that there is a verdict to report.
            if closest.is_some() && !attempt.concerns(leaf, presented) {
                continue;
            }
            let verdict = attempt.verify(leaf, presented);
            if verdict.is_good() {
                return verdict;
            }
            // A later attempt replaces it: its CA signed one of the certificates, so its reason is closer.
            closest = Some(verdict);
        }
        closest.unwrap_or_else(Verdict::unknown)
    }

    /// For the verify callback of a handshake whose own store is empty: OpenSSL has collected what was presented, and
    /// takes over this verdict.
    #[must_use]
    pub fn verify_presented(&self, context: &X509StoreContextRef) -> Verdict {
        let Some(chain) = context.chain() else {
            return Verdict::unknown();
        };
        let mut chain: Vec<X509> = chain.iter().map(ToOwned::to_owned).collect();
        match chain.is_empty() {
            true => Verdict::unknown(),
            false => {
                let leaf = chain.remove(0);
                self.verify(&leaf, &chain)
            }
        }
    }
}

/// Whether OpenSSL alone judges under this bundle as [`Verifier`] does: it has only roots, and none shares its name
/// with another key.
#[must_use]
pub(super) fn is_plain(cas: &[X509]) -> bool {
    Family::of(cas).is_plain()
}

impl Verdict {
    /// Whether the certificate is accepted.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.result == X509VerifyResult::OK
    }

    fn unknown() -> Self {
        Self {
            result: UNKNOWN,
            refused: None,
            chain: Vec::new(),
        }
    }

    fn of(good: bool, context: &X509StoreContextRef) -> Self {
        let result = match (good, context.error()) {
            (true, _) => X509VerifyResult::OK,
            // Refused without a reason must not look like OK.
            (false, X509VerifyResult::OK) => UNKNOWN,
            (false, error) => error,
        };
        let chain = context.chain().into_iter().flatten();
        Self {
            result,
            refused: context
                .current_cert()
                .filter(|_| !good)
                .map(ToOwned::to_owned),
            chain: chain.map(ToOwned::to_owned).collect(),
        }
    }
}

impl Attempt {
    fn new(
        family: &Family,
        members: &[usize],
        only: Option<usize>,
        role: Role<'_>,
        lists: &[PathBuf],
    ) -> Result<Self, ErrorStack> {
        let is_anchor = |ca: usize| lists.is_empty() || family.is_top(ca);
        let (tops, below): (Vec<usize>, Vec<usize>) =
            members.iter().partition(|&&ca| is_anchor(ca));
        let certificate = |ca: usize| family.cas[ca].clone();
        let tops: Vec<X509> = match (only, lists.is_empty()) {
            // Without lists the CA itself is the anchor, whoever signed it.
            (Some(ca), true) => vec![certificate(ca)],
            _ => tops.into_iter().map(certificate).collect(),
        };
        let issuers = match lists {
            [] => None,
            lists => Some(store(&tops, None, lists)?),
        };
        Ok(Self {
            only: only.map(certificate),
            anchors: store(&tops, Some(role), lists)?,
            below: below.into_iter().map(certificate).collect(),
            issuers,
        })
    }

    /// Whether its CA signed one of these certificates.
    fn concerns(&self, leaf: &X509Ref, presented: &[X509]) -> bool {
        let Some(ca) = &self.only else { return true };
        let presented = presented.iter().take(MOST_PRESENTED).map(AsRef::as_ref);
        std::iter::once(leaf)
            .chain(presented)
            .any(|certificate| signed(ca, certificate))
    }

    fn verify(&self, leaf: &X509Ref, presented: &[X509]) -> Verdict {
        let others: Vec<&X509> = presented.iter().chain(&self.below).collect();
        let verdict = run(&self.anchors, leaf, &others);
        let Some(issuers) = self.issuers.as_ref().filter(|_| verdict.is_good()) else {
            return verdict;
        };
        let last = verdict.chain.len().saturating_sub(1);
        for (depth, issuer) in verdict.chain.iter().enumerate().skip(1) {
            // An anchor that is not its own issuer is trusted as it is: the list that could revoke it belongs to a CA
            // that is not in the bundle.
            if depth == last && !is_self_signed(issuer) {
                break;
            }
            let above: Vec<&X509> = verdict.chain.iter().skip(depth + 1).collect();
            let looked_up = run(issuers, issuer, &above);
            if !looked_up.is_good() {
                let chain = verdict.chain;
                return Verdict { chain, ..looked_up };
            }
        }
        verdict
    }
}

fn run(anchors: &X509Store, leaf: &X509Ref, others: &[&X509]) -> Verdict {
    let verify = || -> Result<Verdict, ErrorStack> {
        let mut untrusted = Stack::new()?;
        for other in others {
            untrusted.push((*other).clone())?;
        }
        let mut context = X509StoreContext::new()?;
        context.init(anchors, leaf, &untrusted, |context| {
            let good = context.verify_cert()?;
            Ok(Verdict::of(good, context))
        })
    };
    verify().unwrap_or_else(|_| Verdict::unknown())
}

fn store(
    anchors: &[X509],
    role: Option<Role<'_>>,
    lists: &[PathBuf],
) -> Result<X509Store, ErrorStack> {
    let mut param = X509VerifyParam::new()?;
    param.set_auth_level(SECURITY_LEVEL);
    let mut flags = X509VerifyFlags::PARTIAL_CHAIN;
    if !lists.is_empty() {
        // Only the leaf. CRL_CHECK_ALL would also demand a list for an anchor that is no root; `Attempt::verify` looks
        // up the issuers.
        flags |= X509VerifyFlags::CRL_CHECK;
    }
    param.set_flags(flags)?;
    match role {
        Some(Role::Server(name)) => {
            param.set_purpose(X509PurposeId::SSL_SERVER)?;
            match name.parse() {
                Ok(address) => param.set_ip(address)?,
                Err(_) => {
                    // No common name and no `f*.example.com` (RFC 9525, 2 and 6.3).
                    param.set_hostflags(
                        X509CheckFlags::NEVER_CHECK_SUBJECT | X509CheckFlags::NO_PARTIAL_WILDCARDS,
                    );
                    param.set_host(name)?;
                }
            }
        }
        Some(Role::Client) => param.set_purpose(X509PurposeId::SSL_CLIENT)?,
        None => {}
    }
    let mut store = X509StoreBuilder::new()?;
    store.set_param(&param)?;
    for ca in anchors {
        store.add_cert(ca.clone())?;
    }
    for list in lists {
        add_list(&mut store, list)?;
    }
    Ok(store.build())
}

fn add_list(store: &mut X509StoreBuilder, list: &Path) -> Result<(), ErrorStack> {
    let lookup = store.add_lookup(X509Lookup::file())?;
    lookup.load_crl_file(list, SslFiletype::PEM).map(|_| ())
}

/// The CAs of a bundle, and which of them signed which.
struct Family {
    cas: Vec<X509>,
    self_signed: Vec<bool>,
    /// By CA: the other CAs that signed it.
    above: Vec<Vec<usize>>,
}

impl Family {
    fn of(certificates: &[X509]) -> Self {
        let mut cas: Vec<X509> = Vec::new();
        for ca in certificates {
            // A CA that is in two files is not its own rival.
            if !cas.iter().any(|known| known == ca) {
                cas.push(ca.clone());
            }
        }
        let above = |ca: usize| {
            let others = 0..cas.len();
            let others = others.filter(|&other| other != ca && signed(&cas[other], &cas[ca]));
            others.collect()
        };
        let above = (0..cas.len()).map(above).collect();
        Self {
            self_signed: cas.iter().map(|ca| is_self_signed(ca)).collect(),
            above,
            cas,
        }
    }

    fn all(&self) -> Vec<usize> {
        (0..self.cas.len()).collect()
    }

    /// Whether no other CA of the bundle signed it, or it signed itself.
    fn is_top(&self, ca: usize) -> bool {
        self.self_signed[ca] || self.above[ca].is_empty()
    }

    /// The CA and all above it, through every issuer: CAs may have signed each other (cross-certificates).
    fn line_of(&self, ca: usize) -> Vec<usize> {
        let mut line = vec![ca];
        let mut next = 0;
        while let Some(&below) = line.get(next) {
            for &above in &self.above[below] {
                if !line.contains(&above) {
                    line.push(above);
                }
            }
            next += 1;
        }
        line
    }

    /// Whether another CA has the same name and another key.
    fn has_rival(&self, ca: usize) -> bool {
        let own = &self.cas[ca];
        self.cas.iter().any(|other| {
            same_name(own, other)
                && match (own.public_key(), other.public_key()) {
                    (Ok(own), Ok(other)) => !own.public_eq(&other),
                    _ => true,
                }
        })
    }

    fn is_plain(&self) -> bool {
        self.self_signed.iter().all(|&own| own) && (0..self.cas.len()).all(|ca| !self.has_rival(ca))
    }
}

fn same_name(one: &X509Ref, other: &X509Ref) -> bool {
    let order = one.subject_name().try_cmp(other.subject_name());
    order.is_ok_and(std::cmp::Ordering::is_eq)
}

fn is_self_signed(ca: &X509Ref) -> bool {
    signed(ca, ca)
}

/// Whether `above` signed `below`, by name, key identifiers and signature.
#[must_use]
pub fn signed(above: &X509Ref, below: &X509Ref) -> bool {
    above.issued(below) == X509VerifyResult::OK
        && above
            .public_key()
            .is_ok_and(|key| below.verify(&key).unwrap_or(false))
}

#[cfg(test)]
mod tests;
