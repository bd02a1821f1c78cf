//! The one form of a field's name. Gateways that hand fields on as CGI variables (WSGI, PHP, Rack) make one name of
//! `X-Real-IP`, `X_Real_IP` and `X.Real.IP`.

/// A byte of a field's name in its one form: in lower case, and a dash for whatever is no letter and no digit.
#[must_use]
pub fn field_name_byte(byte: u8) -> u8 {
    match byte.is_ascii_alphanumeric() {
        true => byte.to_ascii_lowercase(),
        false => b'-',
    }
}

/// A field's name in its one form.
#[must_use]
pub fn field_name_form(name: &[u8]) -> Vec<u8> {
    name.iter().copied().map(field_name_byte).collect()
}

/// Whether two names have the same form.
#[must_use]
pub fn same_field_name(one: &[u8], other: &[u8]) -> bool {
    let mut pairs = one.iter().zip(other);
    one.len() == other.len() && pairs.all(|(a, b)| field_name_byte(*a) == field_name_byte(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_name_have_one_form() {
        assert_eq!(field_name_form(b"X_Real.IP"), b"x-real-ip");
        for (one, other, same) in [
            ("X-Real-IP", "x_real.ip", true),
            ("X-Real-IP", "x!real!ip", true),
            ("X-Real-IP", "x-real-ips", false),
            ("X-Real-IP", "x-real-ib", false),
            ("", "", true),
        ] {
            assert_eq!(same_field_name(one.as_bytes(), other.as_bytes()), same);
        }
    }
}
