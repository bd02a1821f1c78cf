//! Tokens: logins that last, for scripts, and for people who cannot reach the machine of the front door.
//!
//! Invariants: a token is shown once, when it is made, and only its hash is kept; a file that cannot be read lets nobody in
//! and is never overwritten; a change is on the disk before it is answered, and what is revoked is refused in any case.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use openssl::error::ErrorStack;
use openssl::sha::sha256;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::sessions::new_secret;
use crate::hex::hex;
use crate::replace_file::{Access, replace_file};
use crate::role::Role;
use crate::time::{parse_rfc3339, rfc3339};

const FILE: &str = "console-tokens.json";
const ASIDE: &str = "console-tokens.json.new";
/// By this, programs that look for leaked secrets know it.
const PREFIX: &str = "drawbridge_";
/// Far more than three teams have scripts.
const MOST: usize = 256;
/// The longest name in bytes.
const LONGEST_NAME: usize = 64;
/// How late the file may learn of a use.
const SAVE_USES: Duration = Duration::from_secs(60);

/// The tokens of a front door.
#[derive(Debug)]
pub(super) struct Tokens {
    /// With None there is no folder for them.
    file: Option<PathBuf>,
    /// Held by whoever writes the file, which takes a while; nobody who checks a token waits for it.
    writing: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the hash of the token. Whoever measures a lookup learns something of a hash, which does not log anybody in.
    tokens: HashMap<String, Kept>,
    /// Why the file could not be read.
    unreadable: Option<String>,
    unsaved: Unsaved,
}

/// What the file does not have yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Unsaved {
    #[default]
    Nothing,
    /// Uses, the first one at this time.
    Uses(SystemTime),
    /// A revocation, which a restart must not forget.
    Revocation,
}

/// A token as the file has it, and as it is listed without its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) name: TokenName,
    pub(super) role: Role,
    made: When,
    /// Who asked for it, such as `unix:uid=1000 (alice)`.
    made_by: String,
    pub(super) expires: Option<When>,
    last_used: Option<When>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    sha256: String,
    token: Kept,
}

/// What a token is called in lists and audits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct TokenName(String);

/// A time, in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct When(pub(super) SystemTime);

/// What is asked for when a token is made.
#[derive(Debug)]
pub(super) struct NewToken {
    pub(super) name: TokenName,
    pub(super) role: Role,
    pub(super) expires: Option<SystemTime>,
    pub(super) made_by: String,
}

/// Why tokens are not changed.
#[derive(Debug)]
pub(super) enum TokenError {
    /// The configuration has no folder for them.
    NoStateDir,
    /// What is in the file is unknown.
    Unreadable(String),
    /// Another token has this name.
    Taken(TokenName),
    /// No token has this name.
    Unknown(TokenName),
    /// There are too many.
    TooMany,
    /// There is no randomness.
    Random(ErrorStack),
    /// The file cannot be written.
    Unsaved(PathBuf, io::Error),
}

impl Tokens {
    /// Reads the file in the `state_dir`.
    pub(super) fn open(state_dir: Option<&Path>) -> Self {
        let file = state_dir.map(|folder| folder.join(FILE));
        let mut state = State::default();
        match file.as_deref().map_or_else(|| Ok(HashMap::new()), read) {
            Ok(tokens) => state.tokens = tokens,
            Err(why) => {
                // No reason to stay down: clients of the front door need no token.
                tracing::warn!(target: "console", "no token is accepted: {why}");
                state.unreadable = Some(why);
            }
        }
        Self {
            file,
            writing: Mutex::default(),
            state: Mutex::new(state),
        }
    }

    /// Makes a token and returns it. Blocks on the disk.
    pub(super) fn make(&self, new: NewToken) -> Result<String, TokenError> {
        let (secret, _) = new_secret().map_err(TokenError::Random)?;
        let secret = format!("{PREFIX}{secret}");
        let kept = Kept {
            name: new.name,
            role: new.role,
            made: When(SystemTime::now()),
            made_by: new.made_by,
            expires: new.expires.map(When),
            last_used: None,
        };
        // Held until the end, so that two callers cannot both find the name free.
        let _writing = lock(&self.writing);
        let mut next = self.readable()?;
        if next.values().any(|known| known.name == kept.name) {
            return Err(TokenError::Taken(kept.name));
        }
        if next.len() >= MOST {
            return Err(TokenError::TooMany);
        }
        let hash = hash_of(&secret);
        next.insert(hash.clone(), kept.clone());
        // On the disk first: nobody must get a token that a restart forgets.
        self.write(&next)?;
        lock(&self.state).tokens.insert(hash, kept);
        Ok(secret)
    }

    /// Refuses a token from now on. Blocks on the disk.
    pub(super) fn revoke(&self, name: &TokenName) -> Result<(), TokenError> {
        let _writing = lock(&self.writing);
        let mut next = self.readable()?;
        let before = next.len();
        next.retain(|_, known| known.name != *name);
        if next.len() == before {
            return Err(TokenError::Unknown(name.clone()));
        }
        // First, so that it is refused even if the disk is full; then the write is tried again and again.
        let mut state = lock(&self.state);
        state.tokens.retain(|_, known| known.name != *name);
        state.unsaved = Unsaved::Revocation;
        // The disk may take its time, and checks wait for this lock.
        drop(state);
        self.write(&next)?;
        // `next` may lack a use of another token that came since.
        lock(&self.state).unsaved = Unsaved::Uses(SystemTime::now());
        Ok(())
    }

    /// Whose token it is, if it is one that has not expired. Notes its use.
    pub(super) fn check(&self, given: &str) -> Option<Kept> {
        // A token outlives the process, so its end is a time of the system's clock.
        let now = SystemTime::now();
        let mut state = lock(&self.state);
        let known = state.tokens.get_mut(&hash_of(given))?;
        if known.has_expired(now) {
            return None;
        }
        known.last_used = Some(When(now));
        let known = known.clone();
        // The first one counts: else a token in steady use would put the write off for ever.
        if state.unsaved == Unsaved::Nothing {
            state.unsaved = Unsaved::Uses(now);
        }
        Some(known)
    }

    /// Whether it is a token still. Unlike [`Tokens::check`], asking is no use.
    pub(super) fn knows(&self, given: &str) -> bool {
        lock(&self.state).tokens.contains_key(&hash_of(given))
    }

    /// All of them, by name.
    pub(super) fn list(&self) -> Result<Vec<Kept>, TokenError> {
        let mut tokens: Vec<Kept> = self.readable()?.into_values().collect();
        tokens.sort_by(|a, b| a.name.0.cmp(&b.name.0));
        Ok(tokens)
    }

    /// Writes what the file lacks, if that is due. Blocks on the disk.
    pub(super) fn save_due(&self) -> Result<(), TokenError> {
        let is_due = match lock(&self.state).unsaved {
            Unsaved::Nothing => false,
            // A clock that was set back must not put it off.
            Unsaved::Uses(since) => since.elapsed().is_ok_and(|age| age >= SAVE_USES),
            Unsaved::Revocation => true,
        };
        if !is_due {
            return Ok(());
        }
        let _writing = lock(&self.writing);
        // Before the tokens are read, so that a use during the write counts as unsaved.
        let lacked = std::mem::take(&mut lock(&self.state).unsaved);
        let written = self.readable().and_then(|tokens| self.write(&tokens));
        if written.is_err() {
            lock(&self.state).unsaved = lacked;
        }
        written
    }

    fn readable(&self) -> Result<HashMap<String, Kept>, TokenError> {
        let state = lock(&self.state);
        match (&self.file, &state.unreadable) {
            (None, _) => Err(TokenError::NoStateDir),
            (_, Some(why)) => Err(TokenError::Unreadable(why.clone())),
            _ => Ok(state.tokens.clone()),
        }
    }

    fn write(&self, tokens: &HashMap<String, Kept>) -> Result<(), TokenError> {
        let file = self.file.as_ref().ok_or(TokenError::NoStateDir)?;
        let unsaved = |error| TokenError::Unsaved(file.clone(), error);
        let stored = tokens.iter().map(|(sha256, token)| Stored {
            sha256: sha256.clone(),
            token: token.clone(),
        });
        let mut stored: Vec<Stored> = stored.collect();
        // The map has a new order in each process, which would change the whole file.
        stored.sort_by(|a, b| a.token.name.0.cmp(&b.token.name.0));
        let mut content = serde_json::to_vec_pretty(&stored).map_err(|e| unsaved(e.into()))?;
        content.push(b'\n');
        replace_file(file, &file.with_file_name(ASIDE), Access::Private, &content).map_err(unsaved)
    }
}

impl Kept {
    pub(super) fn has_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|When(expires)| expires <= now)
    }

    /// As audits name whoever used it.
    pub(super) fn who(&self) -> String {
        who(&self.name)
    }
}

/// As audits name whoever used the token of this name.
pub(super) fn who(name: &TokenName) -> String {
    format!("token {name}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Entries are inserted and removed whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash_of(secret: &str) -> String {
    hex(&sha256(secret.as_bytes()))
}

fn read(file: &Path) -> Result<HashMap<String, Kept>, String> {
    let shown = file.display();
    let content = match fs::read(file) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(format!("cannot read {shown}: {error}")),
    };
    let stored: Vec<Stored> = serde_json::from_slice(&content)
        .map_err(|error| format!("{shown} is damaged: {error}; restore or remove it"))?;
    let tokens = stored.into_iter();
    Ok(tokens.map(|stored| (stored.sha256, stored.token)).collect())
}

impl FromStr for TokenName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        // A name stands in paths of the API and in lines of the log.
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        match (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits) {
            true => Ok(Self(name.to_owned())),
            false => Err(format!(
                "a token's name has 1 to {LONGEST_NAME} letters, digits, \"-\", \"_\" and \".\""
            )),
        }
    }
}

impl TryFrom<String> for TokenName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<TokenName> for String {
    fn from(TokenName(name): TokenName) -> Self {
        name
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        rfc3339(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = parse_rfc3339(&text);
        time.map(Self)
            .ok_or_else(|| D::Error::custom(format!("{text:?} is no time in RFC 3339")))
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStateDir => {
                f.write_str("tokens are kept in the \"state_dir\", and the configuration has none")
            }
            Self::Unreadable(why) => write!(f, "{why}, then restart the front door"),
            Self::Taken(name) => write!(
                f,
                "there is a token {name}: revoke it first, or take another name"
            ),
            Self::Unknown(name) => write!(f, "there is no token {name}"),
            Self::TooMany => write!(f, "there are {MOST} tokens: revoke one first"),
            Self::Random(error) => write!(f, "no randomness: {error}"),
            Self::Unsaved(file, error) => write!(
                f,
                "cannot write {}: {error}; until that works, a restart brings back what is there now",
                file.display()
            ),
        }
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn new(name: &str, expires: Option<SystemTime>) -> NewToken {
        NewToken {
            name: name.parse().unwrap(),
            role: Role::Security,
            expires,
            made_by: "alice".to_owned(),
        }
    }

    #[test]
    fn a_token_outlives_the_process_and_only_its_hash_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(Some(folder.path()));
        let secret = tokens.make(new("ci", None)).unwrap();
        assert_eq!(secret.len(), PREFIX.len() + 64);
        let file = folder.path().join(FILE);
        let content = fs::read_to_string(&file).unwrap();
        assert!(!content.contains(&secret[PREFIX.len()..]), "{content}");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let tokens = Tokens::open(Some(folder.path()));
        let known = tokens.check(&secret).unwrap();
        assert_eq!(
            (known.role, known.who()),
            (Role::Security, "token ci".to_owned())
        );
        assert!(tokens.list().unwrap()[0].last_used.is_some());
        for wrong in ["", "ci", &secret[1..], &hash_of(&secret)] {
            assert_eq!(tokens.check(wrong), None, "{wrong}");
        }
        assert!(matches!(
            tokens.make(new("ci", None)),
            Err(TokenError::Taken(_))
        ));

        tokens.revoke(&"ci".parse().unwrap()).unwrap();
        assert_eq!(tokens.check(&secret), None);
        assert_eq!(Tokens::open(Some(folder.path())).check(&secret), None);
        let again = tokens.revoke(&"ci".parse().unwrap());
        assert!(matches!(again, Err(TokenError::Unknown(_))));
    }

    #[test]
    fn what_has_expired_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(Some(folder.path()));
        let now = SystemTime::now();
        let past = tokens.make(new("past", Some(now))).unwrap();
        let later = now + Duration::from_secs(3600);
        let future = tokens.make(new("future", Some(later))).unwrap();
        assert_eq!(tokens.check(&past), None);
        assert!(tokens.check(&future).is_some());
    }

    #[test]
    fn a_damaged_file_lets_nobody_in_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let secret = Tokens::open(Some(folder.path()))
            .make(new("ci", None))
            .unwrap();
        let file = folder.path().join(FILE);
        let damaged = fs::read_to_string(&file)
            .unwrap()
            .replace("security", "root");
        fs::write(&file, &damaged).unwrap();
        let tokens = Tokens::open(Some(folder.path()));
        assert_eq!(tokens.check(&secret), None);
        assert!(matches!(
            tokens.make(new("other", None)),
            Err(TokenError::Unreadable(_))
        ));
        assert_eq!(fs::read_to_string(&file).unwrap(), damaged);
        assert!(matches!(
            Tokens::open(None).make(new("ci", None)),
            Err(TokenError::NoStateDir)
        ));
    }

    #[test]
    fn a_revocation_that_the_disk_did_not_take_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(Some(folder.path()));
        let secret = tokens.make(new("ci", None)).unwrap();
        let other = tokens.make(new("other", None)).unwrap();
        let full = folder.path().join(ASIDE).join("full");
        fs::create_dir_all(&full).unwrap();
        let revoked = tokens.revoke(&"ci".parse().unwrap());
        assert!(matches!(revoked, Err(TokenError::Unsaved(..))));
        // Neither a use nor another try that fails lets it be forgotten.
        assert!(tokens.check(&other).is_some());
        assert!(tokens.save_due().is_err());
        fs::remove_dir_all(folder.path().join(ASIDE)).unwrap();
        tokens.save_due().unwrap();
        let restarted = Tokens::open(Some(folder.path()));
        assert_eq!(restarted.check(&secret), None);
        assert!(restarted.check(&other).is_some());
    }

    #[test]
    fn what_is_revoked_is_refused_also_if_the_disk_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(Some(folder.path()));
        let secret = tokens.make(new("ci", None)).unwrap();
        // A folder of that name cannot be replaced by a file.
        fs::create_dir_all(folder.path().join(ASIDE).join("full")).unwrap();
        let revoked = tokens.revoke(&"ci".parse().unwrap());
        assert!(matches!(revoked, Err(TokenError::Unsaved(..))));
        assert_eq!(tokens.check(&secret), None);
    }

    #[test]
    fn names_fit_into_paths_and_lines() {
        for name in ["ci", "A-1_b.c"] {
            assert!(name.parse::<TokenName>().is_ok(), "{name}");
        }
        for name in ["", "a b", "a/b", "a\n", &"a".repeat(65)] {
            assert!(name.parse::<TokenName>().is_err(), "{name}");
        }
    }
}
