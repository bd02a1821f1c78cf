//! Logins: one-time codes that become sessions.
//!
//! Invariants: only hashes of codes and session ids are held, so that nothing in memory or a dump of it logs anybody in;
//! an id exists only after its login succeeded; there are never more than [`MOST`] of either.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::rand::rand_bytes;
use openssl::sha::sha256;

use crate::config::ConsoleOpenId;
use crate::hex::hex;
use crate::role::Role;

/// Far more logins than three teams have at once. The one that was idle longest makes room for a new one.
const MOST: usize = 64;
/// Logins of one person or token, so that one that logs in over and over ends only its own.
const MOST_OF_ONE: usize = 8;
/// How long a link may be used.
pub(super) const CODE_LIFE: Duration = Duration::from_secs(5 * 60);

/// Who logged in, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) role: Role,
    /// Such as `unix:uid=1000 (alice)`, who asked for the link, `token NAME`, `certificate SUBJECT` or `openid ISSUER SUB (NAME)`.
    pub(super) who: String,
    pub(super) origin: Origin,
}

/// What a login rests on, as long as it lasts.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A link or a token, which end their sessions themselves.
    Secret,
    /// A certificate, by its fingerprint.
    Certificate([u8; 32]),
    /// A provider, and what it had to say for the role.
    OpenId(Arc<ConsoleOpenId>),
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret, Self::Secret) => true,
            (Self::Certificate(a), Self::Certificate(b)) => a == b,
            (Self::OpenId(a), Self::OpenId(b)) => a.grants_like(b),
            _ => false,
        }
    }
}

impl Eq for Origin {}

/// All logins of a front door. They end with its process.
#[derive(Debug)]
pub(super) struct Sessions {
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
    last: Instant,
    /// When it ends in any case.
    ends: Instant,
}

impl Sessions {
    /// `idle`: a session ends after this time without a request; `max`: after this time in any case.
    pub(super) fn new(idle: Duration, max: Duration) -> Self {
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
        // All codes live equally long, so those that are over leave first.
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
        // Removed before it is judged, so that only one of two requests at once logs in.
        let code = self.state().codes.remove(&sha256(code.as_bytes()));
        match code.filter(|code| code.made.elapsed() < CODE_LIFE) {
            // The session gets another secret: the link stays in histories and chats.
            Some(Code { identity, .. }) => {
                Ok(Some((self.begin(identity.clone(), None)?, identity)))
            }
            None => Ok(None),
        }
    }

    /// The id of a new session, which lasts no longer than `most`.
    pub(super) fn begin(
        &self,
        identity: Identity,
        most: Option<Duration>,
    ) -> Result<String, ErrorStack> {
        let (secret, hash) = new_secret()?;
        // Whoever sets the system's clock cannot prolong a session.
        let now = Instant::now();
        let mut state = self.state();
        // In this order, so that no session in use ends in place of one that is over, or of one
        // that belongs to whoever logs in too often.
        state.sessions.retain(|_, session| !self.is_over(session));
        make_room_beside(&mut state.sessions, &identity.who);
        make_room(&mut state.sessions, |session| session.last);
        let session = Session {
            identity,
            last: now,
            ends: now + most.map_or(self.max, |most| most.min(self.max)),
        };
        state.sessions.insert(hash, session);
        Ok(secret)
    }

    /// The id of a new session whose login was good until it began. None, and no session, if it was revoked meanwhile.
    pub(super) fn begin_while(
        &self,
        identity: Identity,
        most: Option<Duration>,
        is_good: impl FnOnce() -> bool,
    ) -> Result<Option<String>, ErrorStack> {
        let id = self.begin(identity, most)?;
        // Afterwards: a revocation from now on finds the session and ends it.
        if is_good() {
            return Ok(Some(id));
        }
        self.end(&id);
        Ok(None)
    }

    /// Whose session it is. A request with it starts its idle time anew.
    pub(super) fn identify(&self, id: &str) -> Option<Identity> {
        let mut state = self.state();
        state.sessions.retain(|_, session| !self.is_over(session));
        // The lookup goes by hash, so its duration shows nothing of an id.
        let session = state.sessions.get_mut(&sha256(id.as_bytes()))?;
        session.last = Instant::now();
        Some(session.identity.clone())
    }

    /// Whose session it is, if it goes on. Unlike a request, asking does not prolong it.
    pub(super) fn alive(&self, id: &str) -> Option<Identity> {
        let state = self.state();
        let session = state.sessions.get(&sha256(id.as_bytes()))?;
        (!self.is_over(session)).then(|| session.identity.clone())
    }

    fn is_over(&self, session: &Session) -> bool {
        session.last.elapsed() >= self.idle || Instant::now() >= session.ends
    }

    /// Ends the sessions of somebody.
    pub(super) fn end_all_of(&self, who: &str) {
        let mut state = self.state();
        state
            .sessions
            .retain(|_, session| session.identity.who != who);
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
    // There are so few that a search costs less than a second order beside the map.
    let oldest = entries.iter().min_by_key(|(_, entry)| age(entry));
    if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
        entries.remove(&oldest);
    }
}

fn make_room_beside(sessions: &mut HashMap<Hash, Session>, who: &str) {
    let own = sessions.iter();
    let own = own.filter(|(_, session)| session.identity.who == who);
    let mut own: Vec<(Instant, Hash)> = own.map(|(hash, session)| (session.last, *hash)).collect();
    own.sort_unstable();
    let excess = (own.len() + 1).saturating_sub(MOST_OF_ONE);
    for (_, hash) in own.into_iter().take(excess) {
        sessions.remove(&hash);
    }
}

/// 256 random bits as text, and their hash.
pub(super) fn new_secret() -> Result<(String, Hash), ErrorStack> {
    let mut bytes = [0; 32];
    rand_bytes(&mut bytes)?;
    let text = hex(&bytes);
    // Without salt or slowness: nobody can guess 256 random bits.
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
            origin: Origin::Secret,
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
            assert!(sessions.alive(&id).is_none());
            assert_eq!(sessions.identify(&id), None);
        }
    }

    #[test]
    fn whoever_logs_in_over_and_over_ends_only_own_sessions() {
        let sessions = Sessions::new(HOUR, HOUR);
        let bob = Identity {
            role: Role::Viewer,
            who: "token bob".to_owned(),
            origin: Origin::Secret,
        };
        let id = sessions.begin(alice(), None).unwrap();
        let of_bob = (0..2 * MOST).map(|_| sessions.begin(bob.clone(), None).unwrap());
        let of_bob: Vec<String> = of_bob.collect();
        assert_eq!(sessions.identify(&id), Some(alice()));
        let alive = of_bob
            .iter()
            .filter(|id| sessions.alive(id).is_some())
            .count();
        assert_eq!(alive, MOST_OF_ONE);
        sessions.end_all_of("token bob");
        assert!(of_bob.iter().all(|id| sessions.alive(id).is_none()));
        assert!(sessions.alive(&id).is_some());
        let over = sessions.begin(bob, Some(Duration::ZERO)).unwrap();
        assert!(sessions.alive(&over).is_none());
    }

    #[test]
    fn what_is_revoked_while_it_logs_in_leaves_no_session() {
        let sessions = Sessions::new(HOUR, HOUR);
        let revoked = sessions.begin_while(alice(), None, || {
            assert_eq!(sessions.state().sessions.len(), 1);
            false
        });
        assert_eq!(revoked.unwrap(), None);
        assert!(sessions.state().sessions.is_empty());
        let good = sessions.begin_while(alice(), None, || true).unwrap();
        assert_eq!(sessions.identify(&good.unwrap()), Some(alice()));
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
