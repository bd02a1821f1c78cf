//! Request ids: UUIDs of version 7 (RFC 9562, section 5.7), so that they sort by time.

use std::time::SystemTime;

use uuid::{Builder, Uuid};

use crate::randomness::random;
use crate::time::milliseconds;

/// A new id.
pub(crate) fn request_id() -> String {
    let millis = milliseconds(SystemTime::now());
    let id = match random() {
        Some(random) => Builder::from_unix_timestamp_millis(millis, &random).into_uuid(),
        None => Uuid::now_v7(),
    };
    id.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than random bytes are drawn for at once.
    const MANY: usize = 192;

    #[test]
    fn ids_differ_and_are_of_version_7() {
        let ids: std::collections::HashSet<String> = (0..MANY).map(|_| request_id()).collect();
        assert_eq!(ids.len(), MANY);
        for id in ids {
            let id = Uuid::parse_str(&id).expect("a UUID");
            assert_eq!(id.get_version_num(), 7);
            let (seconds, _) = id.get_timestamp().expect("a time").to_unix();
            assert!(seconds > 1_700_000_000, "{id}");
        }
    }
}
