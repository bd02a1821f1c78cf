//! Bech32 (BIP 173), in which age writes keys: a name, five bits in each letter, and a checksum.

const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Letters of the checksum.
const CHECKSUM: usize = 6;

/// The bytes of a text with this name in lower case; None if it is malformed or mistyped.
pub(super) fn decode(name: &str, text: &str) -> Option<Vec<u8>> {
    // Both cases are right, a mix is not.
    if text.bytes().any(|b| b.is_ascii_uppercase()) && text.bytes().any(|b| b.is_ascii_lowercase())
    {
        return None;
    }
    // The checksum is of the lower-case form, whichever was written.
    let text = text.to_ascii_lowercase();
    let letters = text.strip_prefix(name)?.strip_prefix('1')?;
    let values = letters.bytes().map(|letter| {
        let place = LETTERS.iter().position(|known| *known == letter)?;
        u8::try_from(place).ok()
    });
    let values: Vec<u8> = values.collect::<Option<_>>()?;
    // A constant of 1 is Bech32; Bech32m has another one, and age does not use it.
    if values.len() < CHECKSUM || checksum(name, &values) != 1 {
        return None;
    }
    let data = values.get(..values.len() - CHECKSUM)?;
    bytes_of(data)
}

fn checksum(name: &str, values: &[u8]) -> u32 {
    const GENERATOR: [u32; 5] = [
        0x3b6a_57b2,
        0x2650_8e6d,
        0x1ea1_19fa,
        0x3d42_33dd,
        0x2a14_62b3,
    ];
    let high = name.bytes().map(|byte| byte >> 5);
    let low = name.bytes().map(|byte| byte & 31);
    let all = high.chain([0]).chain(low).chain(values.iter().copied());
    all.fold(1, |sum: u32, value| {
        let top = sum >> 25;
        let next = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
        let terms = GENERATOR.iter().enumerate();
        terms.fold(next, |next, (bit, term)| {
            next ^ if top >> bit & 1 == 1 { *term } else { 0 }
        })
    })
}

/// Five bits each become eight; the bits that are left must be few and zero.
fn bytes_of(values: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(values.len() * 5 / 8);
    let (mut held, mut bits) = (0_u32, 0);
    for value in values {
        held = (held << 5 | u32::from(*value)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    (bits < 5 && held & ((1 << bits) - 1) == 0).then_some(bytes)
}
