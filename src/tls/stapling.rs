//! Reads OCSP responses from files, to be stapled (RFC 6066, 8; RFC 6960).
//!
//! A response is stapled only if it is good now: clients treat a bad one worse than none.

use std::path::Path;

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::ocsp::{
    OcspBasicResponse, OcspCertId, OcspCertStatus, OcspFlag, OcspResponse, OcspResponseStatus,
};
use openssl::stack::Stack;
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};

use super::finding::{Finding, Part};

/// How far the responder's clock may differ from ours, in seconds.
const SKEW: u32 = 300;

/// What becomes of a file with an OCSP response.
#[derive(Debug)]
pub(super) enum Stapling {
    /// It is stapled (DER).
    Staple(Vec<u8>),
    /// It is outdated, revoked or cannot be checked: a warning.
    LeaveOut,
    /// The file is no response, or one for another certificate: an error.
    Broken,
}

/// Reads the response in a DER file. Why it is not stapled is in `findings`.
pub(super) fn load(path: &Path, chain: &[X509], findings: &mut Vec<Finding>) -> Stapling {
    let shown = path.display();
    let mut report = |error: bool, message: String, help| {
        findings.push(match error {
            true => Finding::error(Part::Ocsp, message, help),
            false => Finding::warning(Part::Ocsp, message, help),
        });
    };
    let der = match seclang::files::read(path) {
        Ok(der) => der,
        Err(error) => {
            report(true, format!("cannot read {shown}: {error}"), None);
            return Stapling::Broken;
        }
    };
    let basic = OcspResponse::from_der(&der)
        .ok()
        .filter(|response| response.status() == OcspResponseStatus::SUCCESSFUL)
        .and_then(|response| response.basic().ok());
    let Some(basic) = basic else {
        report(
            true,
            format!("{shown} holds no OCSP response"),
            Some("DER, as written by: openssl ocsp -respout FILE"),
        );
        return Stapling::Broken;
    };
    let [leaf, issuer, ..] = chain else {
        report(
            false,
            format!("{shown} cannot be checked: the chain has no issuer; it is not stapled"),
            Some("put the issuer's certificate into the chain"),
        );
        return Stapling::LeaveOut;
    };
    match judge(&basic, leaf, issuer) {
        Judged::Good => Stapling::Staple(der),
        Judged::Foreign => {
            report(
                true,
                format!("{shown} is a response for another certificate"),
                None,
            );
            Stapling::Broken
        }
        Judged::Bad(why) => {
            let help =
                "fetch a new one: openssl ocsp -issuer ISSUER -cert LEAF -url URL -respout FILE";
            report(
                false,
                format!("{shown} {why}; it is not stapled"),
                Some(help),
            );
            Stapling::LeaveOut
        }
    }
}

enum Judged {
    Good,
    Foreign,
    Bad(&'static str),
}

fn judge(basic: &OcspBasicResponse, leaf: &X509, issuer: &X509) -> Judged {
    // The responder chose the hash of the certificate's id (RFC 6960, 4.1.1), so both in use are tried.
    for digest in [MessageDigest::sha1(), MessageDigest::sha256()] {
        let Ok(id) = OcspCertId::from_cert(digest, leaf, issuer) else {
            continue;
        };
        let Some(status) = basic.find_status(&id) else {
            continue;
        };
        return match status.status {
            // The signature first: nothing that an unsigned response says can be reported as a fact.
            _ if !is_signed(basic, issuer) => {
                Judged::Bad("is not signed by the issuer of the certificate, nor for it")
            }
            OcspCertStatus::GOOD if status.check_validity(SKEW, None).is_ok() => Judged::Good,
            OcspCertStatus::GOOD => Judged::Bad("is outdated"),
            OcspCertStatus::REVOKED => Judged::Bad("says that the certificate is revoked"),
            _ => Judged::Bad("does not know the certificate"),
        };
    }
    Judged::Foreign
}

/// Whether the issuer signed it, or a responder that the issuer authorised (RFC 6960, 4.2.2.2).
fn is_signed(basic: &OcspBasicResponse, issuer: &X509) -> bool {
    let verify = || -> Result<(), ErrorStack> {
        let mut param = X509VerifyParam::new()?;
        // The issuer is the only anchor, and it is an intermediate in most chains.
        param.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
        let mut store = X509StoreBuilder::new()?;
        store.set_param(&param)?;
        store.add_cert(issuer.clone())?;
        let mut others = Stack::new()?;
        others.push(issuer.clone())?;
        basic.verify(&others, &store.build(), OcspFlag::empty())
    };
    verify().is_ok()
}
