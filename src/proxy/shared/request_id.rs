//! Request ids: UUIDs of version 7 (RFC 9562, section 5.7), so that they sort by time.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use std::cell::RefCell;
use std::time::SystemTime;

use uuid::{Builder, Uuid};

use crate::time::milliseconds;

/// The random bytes of one id.
const EACH: usize = 10;
/// For how many ids random bytes are drawn at once.
const DRAWN: usize = 64;

thread_local! {
    /// The random bytes, and for how many ids they still suffice.
    static RANDOM: RefCell<([u8; EACH * DRAWN], usize)> = const { RefCell::new(([0; EACH * DRAWN], 0)) };
}

/// A new id. A system call for each id would cost too much, so random bytes for many are drawn at once.
pub(crate) fn request_id() -> String {
    let millis = milliseconds(SystemTime::now());
    let id = match random() {
        Some(random) => Builder::from_unix_timestamp_millis(millis, &random).into_uuid(),
        None => Uuid::now_v7(),
    };
    id.to_string()
}

/// None where OpenSSL has no random bytes to give.
fn random() -> Option<[u8; EACH]> {
    RANDOM.with_borrow_mut(|(bytes, left)| {
        if *left == 0 {
            openssl::rand::rand_bytes(bytes).ok()?;
            *left = DRAWN;
        }
        // Taken from the end, so that `left` is also the index.
        *left -= 1;
        bytes[*left * EACH..].first_chunk().copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_of_version_7() {
        let ids: std::collections::HashSet<String> = (0..3 * DRAWN).map(|_| request_id()).collect();
        assert_eq!(ids.len(), 3 * DRAWN);
        for id in ids {
            let id = Uuid::parse_str(&id).expect("a UUID");
            assert_eq!(id.get_version_num(), 7);
            let (seconds, _) = id.get_timestamp().expect("a time").to_unix();
            assert!(seconds > 1_700_000_000, "{id}");
        }
    }
}
