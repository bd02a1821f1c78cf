//! `[trust.*]`, and what other tables say of trust bundles, certificates and clients.

use super::document::{Document, Named};
use super::reader::{Item, Section};
use super::source::{At, Placed};
use crate::config::section_kind::SectionKind;
use crate::tls::ClientCertificateMode;

/// `[trust.NAME]`
#[derive(Debug)]
pub(crate) struct WrittenTrust<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    /// Empty if nothing usable is written, which was reported.
    pub(crate) files: Vec<Placed<'s, &'s str>>,
    /// Whether the bundle may be worse than the one in use.
    pub(crate) allow_expired: bool,
}

/// `chain` and `key` of a certificate.
#[derive(Debug)]
pub(crate) struct CertificateFiles<'s> {
    pub(crate) chain: Placed<'s, &'s str>,
    pub(crate) key: Placed<'s, &'s str>,
    /// Whether the certificate may be worse than the one in use.
    pub(crate) allow_expired: bool,
}

/// `client_ca = { trust = "NAME", mode = "optional" | "required", crl = ["FILE"] }`
#[derive(Debug)]
pub(crate) struct WrittenClientCa<'s> {
    pub(crate) at: At<'s>,
    pub(crate) trust: Option<Placed<'s, &'s str>>,
    pub(crate) mode: Option<ClientCertificateMode>,
    pub(crate) crl: Vec<Placed<'s, &'s str>>,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Vec<WrittenTrust<'s>> {
    let named = document.named("trust", SectionKind::Trust, "trust");
    let bundles = named.into_iter().map(|Named { name, at, section }| {
        let files = section.required(
            "ca",
            "ca = [\"ca.pem\"], the CAs that sign the servers' certificates",
        );
        let bundle = WrittenTrust {
            name,
            at,
            files: files.map(|item| item.strings()).unwrap_or_default(),
            allow_expired: parse_flag(&section, "allow_expired"),
        };
        section.finish();
        bundle
    });
    bundles.collect()
}

/// False if it is not written, or faulty: a flag only ever permits something.
pub(crate) fn parse_flag(section: &Section<'_, '_>, key: &'static str) -> bool {
    section
        .optional(key, Item::boolean)
        .value()
        .unwrap_or(false)
}

/// `{ chain = "FILE", key = "FILE" }`
pub(crate) fn parse_certificate<'s>(
    item: &Item<'s, '_>,
    kind: SectionKind,
) -> Option<CertificateFiles<'s>> {
    let section = item.section(kind, "a certificate")?;
    let files = parse_certificate_files(&section);
    section.finish();
    files
}

/// Leaves the other keys of the table to the caller.
pub(crate) fn parse_certificate_files<'s>(
    section: &Section<'s, '_>,
) -> Option<CertificateFiles<'s>> {
    let allow_expired = parse_flag(section, "allow_expired");
    let chain = section.required("chain", "chain = \"FILE\", PEM, the leaf first");
    let key = section.required("key", "key = \"FILE\", PEM");
    // Both before any `?`, so that problems of both are reported.
    let (chain, key) = (chain.and_then(|i| i.string()), key.and_then(|i| i.string()));
    Some(CertificateFiles {
        chain: chain?,
        key: key?,
        allow_expired,
    })
}

pub(crate) fn parse_client_ca<'s>(item: &Item<'s, '_>) -> Option<WrittenClientCa<'s>> {
    parse_client_ca_of(item, SectionKind::ClientCa)
}

pub(crate) fn parse_client_ca_of<'s>(
    item: &Item<'s, '_>,
    kind: SectionKind,
) -> Option<WrittenClientCa<'s>> {
    let section = item.section(kind, "\"client_ca\"")?;
    let trust = section.required("trust", "trust = the name of a [trust.NAME] table");
    let mode = section.optional("mode", |item| {
        item.choice(&[
            ("optional", ClientCertificateMode::Optional),
            ("required", ClientCertificateMode::Required),
        ])
    });
    let crl = section.optional("crl", |item| Some(item.strings()));
    section.finish();
    Some(WrittenClientCa {
        at: item.at,
        trust: trust.and_then(|item| item.string()),
        // The stricter mode by default: a forgotten key lets in nobody without a certificate.
        mode: mode.or(ClientCertificateMode::Required),
        crl: crl.value().unwrap_or_default(),
    })
}
