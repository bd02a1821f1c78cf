//! Why a token was not taken. The names are part of logs, metrics and documents and do not change.

macro_rules! reasons {
    ($($variant:ident $name:literal $text:literal)*) => {
        /// Why a token was not taken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $text] $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the checks.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in logs, metrics and documents.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// A sentence for whoever sent the token. It has no quotes and no backslash, so it fits into a quoted string of
            /// a header field.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

reasons! {
    Missing "missing" "The request has no token"
    Repeated "repeated" "The request has more than one token"
    TooLong "too_long" "The token is longer than 16 KiB"
    Malformed "malformed" "The token is not three parts with dots between them"
    Encoding "encoding" "A part of the token is not canonical base64url without padding"
    HeaderJson "header_json" "The header of the token is not a JSON object"
    PayloadJson "payload_json" "The payload of the token is not a JSON object"
    DuplicateMember "duplicate_member" "A JSON object of the token names a member twice"
    TooComplex "too_complex" "The token is nested too deep or has too many members"
    HeaderKey "header_key" "The header of the token brings a key or a link to one"
    HeaderCritical "header_critical" "The header of the token demands an extension that is not supported"
    HeaderForm "header_form" "A member of the token's header has a wrong type or asks for encryption or compression"
    Algorithm "algorithm" "The algorithm of the token is not allowed"
    Type "type" "The type of the token is not an expected one"
    Issuer "issuer" "The issuer of the token is not the expected one"
    Audience "audience" "The token is for another audience"
    ClaimForm "claim_form" "A claim of the token has a wrong type or value"
    ExpiryMissing "expiry_missing" "The token does not say when it expires"
    Expired "expired" "The token has expired"
    NotYetValid "not_yet_valid" "The token is not valid yet"
    IssuedInFuture "issued_in_future" "The token was issued in the future"
    KeysUnavailable "keys_unavailable" "The keys of the issuer are not available"
    KeyUnknown "key_unknown" "No key of the issuer has the token's key id"
    KeyAmbiguous "key_ambiguous" "More than one key of the issuer could have signed the token"
    KeyMismatch "key_mismatch" "The key of the token is not for this algorithm"
    SignatureForm "signature_form" "The signature of the token has a wrong length or range"
    Signature "signature" "The signature of the token is wrong"
    BindingMissing "binding_missing" "The token is not bound to a client certificate"
    Binding "binding" "The token is bound to another client certificate"
    BindingUnsupported "binding_unsupported" "The token is bound in a way that is not supported"
    Denied "denied" "The token or its subject is denied"
    DeniedUnavailable "denied_unavailable" "The list of denied tokens is not available"
    Inactive "inactive" "The issuer says that the token does not hold"
    IntrospectionUnavailable "introspection_unavailable" "The issuer cannot be asked whether the token holds"
    IdMissing "id_missing" "The token has no id, and tokens are taken only once here"
    Replayed "replayed" "The token was used before, and is taken only once"
    ReplayMemoryFull "replay_memory_full" "There is no room to remember that the token was used"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_texts_fit_into_quoted_strings() {
        let names: HashSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            let plain = |b: u8| matches!(b, b'a'..=b'z' | b'_');
            assert!(reason.name().bytes().all(plain), "{reason:?}");
            // RFC 6750, 3: the characters of error_description.
            let fits = |b: u8| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            assert!(reason.text().bytes().all(fits), "{reason:?}");
        }
    }
}
