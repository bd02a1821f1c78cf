//! Which names stand for secrets.
//!
//! A name that is missed puts a secret into a log; one too many hides a harmless value. The lists therefore lean to the
//! second.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::sync::LazyLock;

use crate::byteset::ByteSet;

/// Bytes of a name that are considered, from its end.
pub(super) const NAME: usize = 128;

/// Parts of names that mark a secret wherever they occur. In lower case, without separators.
const INSIDE: &[&[u8]] = &[
    b"passw",
    b"passphrase",
    b"passcode",
    b"pwd",
    b"secret",
    b"token",
    b"apikey",
    b"accesskey",
    b"privatekey",
    b"authorization",
    b"credential",
    b"creditcard",
    b"cardnumber",
    b"cardno",
    b"ccnumber",
    b"sessionid",
    b"sessid",
    b"sessionkey",
    b"signature",
    b"samlresponse",
    b"samlart",
    b"authcode",
    b"devicecode",
    b"usercode",
    b"verificationcode",
    b"recoverycode",
    b"backupcode",
    b"resetcode",
    b"onetimecode",
    b"pincode",
    b"passkey",
    b"sharedkey",
    b"masterkey",
    b"signingkey",
    b"encryptionkey",
    b"subscriptionkey",
];

/// The first bytes of these: most positions of most names fail this check.
const BEGINS_INSIDE: ByteSet = {
    let mut first = ByteSet::EMPTY;
    let mut at = 0;
    while at < INSIDE.len() {
        first = first.with(INSIDE[at][0]);
        at += 1;
    }
    first
};

/// Words that mark a secret only as a whole word: `pin` does, `shipping` does not.
const WORDS: &[&[u8]] = &[
    b"pass",
    b"pin",
    b"otp",
    b"cvv",
    b"cvc",
    b"cvv2",
    b"ccnum",
    b"pan",
    b"jwt",
    b"sid",
    b"auth",
    b"pw",
    b"sig",
    b"hmac",
    b"assertion",
    b"totp",
    b"csrf",
    b"xsrf",
    b"ssn",
    b"verifier",
    b"dpop",
];

/// Names, or last steps of a path, that mark a secret only as a whole: `code` does, `country_code` does not.
const ALONE: &[&[u8]] = &[
    b"code", b"session", b"sess", b"sign", b"ticket", b"bearer", b"wresult",
];

/// Keys and elements whose content may be the name of the value next to it.
pub(super) const NAMING: &[&[u8]] = &[b"name", b"key", b"id", b"field", b"param", b"k", b"n"];

/// Whether an argument, a header or a key of this name holds a secret. Escapes in the name are decoded: they must not
/// hide it.
pub(crate) fn is_secret_name(name: &[u8]) -> bool {
    // The end of a long name is what counts: `json.user.password`.
    let name = &name[name.len().saturating_sub(NAME)..];
    let plain = unescape(name);
    // Without separators, so that `pass_word` and `pass-word` are found as well.
    let mut run = Vec::with_capacity(plain.len());
    for &byte in &plain {
        if byte.is_ascii_alphanumeric() {
            run.push(byte.to_ascii_lowercase());
        }
    }
    let has_part = |at: usize| {
        let parts = Beginning::of(&INSIDE_BY_FIRST, &run[at..]);
        parts.iter().any(|part| run[at..].starts_with(part))
    };
    if (0..run.len()).any(|at| BEGINS_INSIDE.contains(run[at]) && has_part(at)) {
        return true;
    }
    let is_one_of = |words: &'static LazyLock<Beginning>, word: &[u8]| {
        let words = Beginning::of(words, word);
        words.iter().any(|w| w.eq_ignore_ascii_case(word))
    };
    // With separators, since a short word is a secret only where it stands alone.
    let mut words = plain.split(|b| !b.is_ascii_alphanumeric());
    // `session.referer_check` is no session, but `json.code.0` is a code.
    let last = plain
        .rsplit(|b| b".[]:/ ".contains(b))
        .find(|step| !step.iter().all(u8::is_ascii_digit));
    words.any(|word| is_one_of(&WORDS_BY_FIRST, word))
        || last.is_some_and(|step| is_one_of(&ALONE_BY_FIRST, step))
}

static INSIDE_BY_FIRST: LazyLock<Beginning> = LazyLock::new(|| Beginning::new(INSIDE));
static WORDS_BY_FIRST: LazyLock<Beginning> = LazyLock::new(|| Beginning::new(WORDS));
static ALONE_BY_FIRST: LazyLock<Beginning> = LazyLock::new(|| Beginning::new(ALONE));

/// Words by their first byte, because nearly every name has none of them. One list for each byte.
struct Beginning(Vec<Vec<&'static [u8]>>);

impl Beginning {
    fn new(words: &[&'static [u8]]) -> Self {
        let mut lists = vec![Vec::new(); 256];
        for &word in words {
            if let Some(list) = word.first().and_then(|&b| lists.get_mut(usize::from(b))) {
                list.push(word);
            }
        }
        Self(lists)
    }

    /// The words that this one may be or begin with, in either case.
    fn of(words: &'static Self, word: &[u8]) -> &'static [&'static [u8]] {
        let first = word.first().map(u8::to_ascii_lowercase);
        let list = first.and_then(|byte| words.0.get(usize::from(byte)));
        list.map_or(&[], Vec::as_slice)
    }
}

fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let escape = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| (h << 4 | l, 3)),
            (b'\\', [b'u', b'0', b'0', high, low, ..]) => {
                hex(*high).zip(hex(*low)).map(|(h, l)| (h << 4 | l, 6))
            }
            _ => None,
        };
        let (byte, length) = escape.unwrap_or((byte, 1));
        plain.push(byte);
        rest = rest.get(length..).unwrap_or_default();
    }
    plain
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}
