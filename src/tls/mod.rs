//! Certificates and keys, trust bundles, the SNI resolver, x509 reasons in words.

/// A chain and the key that fits it.
#[derive(Debug)]
pub struct CertifiedKey {}

/// The CAs that an upstream may be signed by, and no others.
#[derive(Debug)]
pub struct TrustBundle {}
