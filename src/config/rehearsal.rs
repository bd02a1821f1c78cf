//! What a reload would say of a certificate that is not in its file yet.

use std::sync::Arc;

use serde::Serialize;

use super::last_good::listeners::why_worse;
use super::model::{Config, Listener, ListenerKind, RotationAllowance};
use crate::tls::{CandidateChain, CertificateFacts, CertifiedKey, Finding};

/// A chain, judged in the place of the one that serves.
#[derive(Debug, Serialize)]
pub struct RehearsedChain {
    /// The names of the certificate that it would replace.
    pub replaces: Vec<String>,
    /// Whether a reload would take it, with a key that fits.
    pub taken: bool,
    /// Why it would not, and what to do.
    pub refused_for: Option<String>,
    /// Whether the key that is there now fits it. If not, it needs its own beside it.
    pub fits_present_key: bool,
    /// Names that it has and the present one has not.
    pub gained: Vec<String>,
    /// The chain, the leaf first.
    pub chain: Vec<CertificateFacts>,
}

impl Config {
    /// Judges a chain in the place of the certificate of this listener that has most of its names. None if the listener
    /// has no certificates; `Some(None)` if the chain cannot be used, for what is in `findings`.
    pub fn rehearse_chain(
        &self,
        listener: &str,
        pem: &[u8],
        findings: &mut Vec<Finding>,
    ) -> Option<Option<RehearsedChain>> {
        let listener = self.listeners.iter().find(|known| known.name == listener)?;
        let ListenerKind::Tls { certificates, .. } = &listener.kind else {
            return None;
        };
        let candidate = CandidateChain::from_pem(pem, findings);
        candidate.map_or(Some(None), |candidate| {
            judge(candidate, listener, certificates).map(Some)
        })
    }
}

fn judge(
    candidate: CandidateChain,
    listener: &Listener,
    certificates: &[Arc<CertifiedKey>],
) -> Option<RehearsedChain> {
    let shared = |present: &CertifiedKey| {
        let names = present.names.iter();
        names.filter(|name| candidate.names.contains(name)).count()
    };
    let at = (0..certificates.len()).max_by_key(|at| {
        let names = certificates.get(*at).map_or(0, |present| shared(present));
        // Of several with as many names, the first.
        (names, std::cmp::Reverse(*at))
    })?;
    let present = certificates.get(at)?;
    let fits_present_key = candidate.fits(present);
    let chain = candidate.chain.iter().map(|c| CertificateFacts::of(c));
    let chain = chain.collect();
    let gained = candidate.names.iter();
    let gained = gained.filter(|name| !present.covers(name)).cloned();
    let gained = gained.collect();
    let mut next = certificates.to_vec();
    if let Some(place) = next.get_mut(at) {
        *place = Arc::new(candidate.in_place_of(present));
    }
    // With the others beside it, since one of them may have a name that it lost.
    let RotationAllowance {
        expired,
        fewer_names,
    } = &listener.rotation;
    // Where other certificates serve than are written, there may be more of them.
    let expired = (0..next.len()).map(|at| expired.get(at).copied().unwrap_or(false));
    let expired: Vec<bool> = expired.collect();
    let worse = why_worse(&next, &expired, *fewer_names, Some(listener));
    Some(RehearsedChain {
        replaces: present.names.clone(),
        taken: worse.is_none(),
        refused_for: worse.map(|(why, help)| format!("{why}: {help}")),
        fits_present_key,
        gained,
        chain,
    })
}
