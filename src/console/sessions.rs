//! Logins: one-time codes that become sessions.
//!
//! Invariants: only hashes of codes and session ids are held, so that nothing in memory or a dump of it logs anybody in;
//! an id exists only after its login succeeded; there are never more than [`MOST`] of either.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::rand::rand_bytes;
use openssl::sha::sha256;

use super::role::Role;

/// Far more logins than three teams have at once. The one that was idle longest makes room for a new one.
const MOST: usize = 64;
/// How long a link may be used.
pub(super) const CODE_LIFE: Duration = Duration::from_secs(5 * 60);

/// Who logged in, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) role: Role,
    /// Who asked for the link, such as `unix:uid=1000 (alice)`.
    pub(super) who: String,
}

/// All logins of a front door. They end with its process.
#[derive(Debug)]
pub struct Sessions {
    state: Mutex<State>,
    idle: Duration,
    max: Duration,
}

#[derive(Debug, Default)]
struct State {
    codes: HashMap<Hash, Code>,
    sessions: HashMap<Hash, Session>,
}

type Hash = [u8; 32];

#[derive(Debug)]
struct Code {
    identity: Identity,
    made: Instant,
}

#[derive(Debug)]
struct Session {
    identity: Identity,
    began: Instant,
    last: Instant,
}

impl Sessions {
    /// `idle`: a session ends after this time without a request; `max`: after this time in any case.
    #[must_use]
    pub fn new(idle: Duration, max: Duration) -> Self {
        Self {
            state: Mutex::default(),
            idle,
            max,
        }
    }

    /// A code that logs in once.
    pub(super) fn invite(&self, identity: Identity) -> Result<String, ErrorStack> {
        let (secret, hash) = new_secret()?;
        let mut state = self.state();
        make_room(&mut state.codes, |code| code.made);
        let made = Instant::now();
        state.codes.insert(hash, Code { identity, made });
        Ok(secret)
    }

    /// Whether a code would log in. Asking does not use it up.
    pub(super) fn invited(&self, code: &str) -> Option<Role> {
        let state = self.state();
        let code = state.codes.get(&sha256(code.as_bytes()))?;
        (code.made.elapsed() < CODE_LIFE).then_some(code.identity.role)
    }

    /// The id of a new session for a code, which no longer works.
    pub(super) fn redeem(&self, code: &str) -> Result<Option<(String, Identity)>, ErrorStack> {
        let code = self.state().codes.remove(&sha256(code.as_bytes()));
        match code.filter(|code| code.made.elapsed() < CODE_LIFE) {
            Some(Code { identity, .. }) => Ok(Some((self.begin(identity.clone())?, identity))),
            None => Ok(None),
        }
    }

    /// The id of a new session.
    fn begin(&self, identity: Identity) -> Result<String, ErrorStack> {
        let (secret, hash) = new_secret()?;
        let mut state = self.state();
        make_room(&mut state.sessions, |session| session.last);
        let now = Instant::now();
        let session = Session {
            identity,
            began: now,
            last: now,
        };
        state.sessions.insert(hash, session);
        Ok(secret)
    }

    /// Whose session it is. A request with it starts its idle time anew.
    pub(super) fn identify(&self, id: &str) -> Option<Identity> {
        let mut state = self.state();
        let (idle, max) = (self.idle, self.max);
        let is_over =
            |session: &Session| session.last.elapsed() >= idle || session.began.elapsed() >= max;
        state.sessions.retain(|_, session| !is_over(session));
        let session = state.sessions.get_mut(&sha256(id.as_bytes()))?;
        session.last = Instant::now();
        Some(session.identity.clone())
    }

    /// Whether a session goes on. Unlike a request, asking does not prolong it.
    pub(super) fn is_alive(&self, id: &str) -> bool {
        let state = self.state();
        let session = state.sessions.get(&sha256(id.as_bytes()));
        session.is_some_and(|session| {
            session.last.elapsed() < self.idle && session.began.elapsed() < self.max
        })
    }

    /// Ends a session.
    pub(super) fn end(&self, id: &str) {
        self.state().sessions.remove(&sha256(id.as_bytes()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Entries are inserted and removed whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room<T>(entries: &mut HashMap<Hash, T>, age: impl Fn(&T) -> Instant) {
    if entries.len() < MOST {
        return;
    }
    let oldest = entries.iter().min_by_key(|(_, entry)| age(entry));
    if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
        entries.remove(&oldest);
    }
}

/// 256 random bits as text, and their hash.
fn new_secret() -> Result<(String, Hash), ErrorStack> {
    let mut bytes = [0; 32];
    rand_bytes(&mut bytes)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = sha256(text.as_bytes());
    Ok((text, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Identity {
        Identity {
            role: Role::Security,
            who: "alice".to_owned(),
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_code_logs_in_once_and_gives_a_new_id() {
        let sessions = Sessions::new(HOUR, HOUR);
        let code = sessions.invite(alice()).unwrap();
        assert_eq!(sessions.invited(&code), Some(Role::Security));
        assert_eq!(sessions.identify(&code), None, "a code is no session");
        let (id, _) = sessions.redeem(&code).unwrap().unwrap();
        assert_ne!(id, code);
        assert_eq!(sessions.redeem(&code).unwrap(), None);
        assert_eq!(sessions.identify(&id), Some(alice()));
        sessions.end(&id);
        assert_eq!(sessions.identify(&id), None);
    }

    #[test]
    fn sessions_end_when_idle_and_in_any_case() {
        for (idle, max) in [(Duration::ZERO, HOUR), (HOUR, Duration::ZERO)] {
            let sessions = Sessions::new(idle, max);
            let code = sessions.invite(alice()).unwrap();
            let (id, _) = sessions.redeem(&code).unwrap().unwrap();
            assert!(!sessions.is_alive(&id));
            assert_eq!(sessions.identify(&id), None);
        }
    }

    #[test]
    fn the_number_of_logins_is_bounded() {
        let sessions = Sessions::new(HOUR, HOUR);
        let codes: Vec<String> = (0..=MOST)
            .map(|_| sessions.invite(alice()).unwrap())
            .collect();
        assert_eq!(sessions.invited(&codes[0]), None, "the oldest made room");
        assert_eq!(sessions.invited(&codes[MOST]), Some(Role::Security));
    }
}
