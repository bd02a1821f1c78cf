//! What a blocked request needs to pass: the fewest rules, each for one target, and the ways to write that.

use waf::MatchedRule;

use super::attacks::Class;
use super::place::Place;
use super::scope::{self, Scope};
use super::target::Target;
use super::trial::{Ran, Trial};
use crate::recorded::Request;

/// Matches that are looked at. The engine bounds them too, and a client chooses how many there are.
const MOST_NEEDS: usize = 256;
/// Other sets of needs that are proposed beside the first.
const MOST_ALTERNATIVES: usize = 4;
/// What rules look at in XML: all text, all attributes. A match does not tell in which of them it was.
const XML_PATHS: [&str; 2] = ["/*", "//@*"];
/// Ids of rules that exist only while exclusions are tried, above all that rule files use.
const TRIAL_IDS: u64 = 4_000_000_000;

/// How wide an exclusion is, narrowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Rules by their ids, for arguments by their names.
    Argument,
    /// The same with any number in place of the numbers in the names.
    Numbered,
    /// All rules of a tag, for these arguments.
    Tag,
    /// The rules as a whole, on this path.
    Rule,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Argument, Self::Numbered, Self::Tag, Self::Rule];

    /// As a table shows it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Argument => "one argument",
            Self::Numbered => "one argument, any number in its name",
            Self::Tag => "one argument, all rules of the tag",
            Self::Rule => "the rule on this path",
        }
    }
}

/// A rule that must not look at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) rule: u64,
    /// None if an exclusion cannot name what the rule looked at.
    pub(super) target: Option<Target>,
    pub(super) tags: Vec<String>,
    /// What it matched, as received.
    pub(super) value: Vec<u8>,
    /// 0 is the most severe.
    severity: u8,
    /// The rule did not tell its target: this is one of those that it may have looked at.
    is_guess: bool,
}

/// One way to write what a request needs.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// How wide it is.
    pub kind: Kind,
    /// The rules that it takes out, without those that only a tag names.
    pub rules: Vec<u64>,
    /// The `ctl` of the rule, each once.
    pub controls: Vec<String>,
    /// Every engine reads it in the same way. Only some know patterns of names and the numbers in names of JSON.
    pub is_portable: bool,
    pub(super) gates: Vec<usize>,
    pub(super) needs: Vec<Need>,
}

/// All needs in each way they can be written, as rules that a [`Trial`] switches on by their places.
#[derive(Debug)]
pub(super) struct Variants {
    needs: Vec<Need>,
}

impl Candidate {
    /// Whether its rules are for this class of attack.
    pub(super) fn is_for(&self, class: Class) -> bool {
        let mut classes = self.needs.iter().flat_map(Need::classes);
        classes.any(|own| own == class || class.is_part_of(own))
    }
}

impl Need {
    /// The classes of attack that the rule is for.
    fn classes(&self) -> impl Iterator<Item = Class> {
        self.tags.iter().filter_map(|tag| Class::of_tag(tag))
    }

    /// Whether nothing but what matched can stand there.
    pub(super) fn is_fixed(&self) -> bool {
        self.target.as_ref().is_none_or(Target::is_fixed)
    }

    fn tag(&self) -> Option<&String> {
        let is_of_attack = |tag: &&String| Class::of_tag(tag).is_some();
        let mut tags = self.tags.iter().filter(is_of_attack);
        // `language-...` says what a rule reads, and rules of several classes share it: an exclusion by it would be far
        // too wide.
        tags.find(|tag| tag.starts_with("attack-"))
    }

    fn control(&self, kind: Kind) -> String {
        let rule = self.rule;
        match (kind, &self.target) {
            (Kind::Argument, Some(target)) => {
                format!("ruleRemoveTargetById={rule};{}", target.exact())
            }
            (Kind::Numbered, Some(target)) => {
                let named = target.numbered().unwrap_or_else(|| target.exact());
                format!("ruleRemoveTargetById={rule};{named}")
            }
            (Kind::Tag, Some(target)) if let Some(tag) = self.tag() => {
                let named = target.numbered().unwrap_or_else(|| target.exact());
                format!("ruleRemoveTargetByTag={tag};{named}")
            }
            // Nothing narrower can be written for a value that an exclusion cannot name.
            _ => format!("ruleRemoveById={rule}"),
        }
    }
}

/// Whether a rule only sums up what others found, or prepares them. Without it nothing would be blocked at all, so it
/// is never excluded.
///
/// The CRS 4 tags its evaluation `anomaly-evaluation`. The CRS 3 does not, so the numbers of its files count too: 901
/// initialises, 949 and 959 evaluate, 980 reports.
pub(super) fn is_evaluation(id: u64, tags: &[String]) -> bool {
    let file = id / 1000;
    tags.iter().any(|tag| tag == "anomaly-evaluation") || matches!(file, 901 | 949 | 959 | 980)
}

/// What matched in a request that nothing stopped on its way, without evaluation and without rules that keep silent.
pub(super) fn needs(request: &Request, detected: &Ran, only: Option<u64>) -> Vec<Need> {
    let (mut needs, mut guesses): (Vec<Need>, Vec<Need>) = (Vec::new(), Vec::new());
    for found in &detected.matches {
        let tags: Vec<String> = found.tags.iter().map(|t| lossy(t)).collect();
        // Rules that do not log only set variables for others.
        let counts = found.logged || found.interrupting;
        if !counts
            || found.rule_id == 0
            || is_evaluation(found.rule_id, &tags)
            || only.is_some_and(|only| only != found.rule_id)
        {
            continue;
        }
        for need in needs_of(request, found, &tags) {
            let known = match need.is_guess {
                true => &mut guesses,
                false => &mut needs,
            };
            let same = |n: &Need| n.rule == need.rule && n.target == need.target;
            if !known.iter().any(same) && known.len() < MOST_NEEDS {
                known.push(need);
            }
        }
    }
    // A client chooses how many arguments may be guessed.
    guesses.truncate(MOST_NEEDS - needs.len());
    needs.extend(guesses);
    // In this order they are tried without: guesses first, then the least severe.
    needs.sort_by_key(|need| (!need.is_guess, std::cmp::Reverse(need.severity)));
    needs
}

fn needs_of(request: &Request, found: &MatchedRule, tags: &[String]) -> Vec<Need> {
    let need = |target, is_guess| Need {
        rule: found.rule_id,
        target,
        tags: tags.to_vec(),
        value: found.value.clone(),
        // A rule that names no severity counts as severe, so it is tried without as the last.
        severity: found.severity.unwrap_or(0),
        is_guess,
    };
    // The engine names the collection alone, so both paths are tried.
    if found.variable == b"XML" {
        let paths = XML_PATHS.into_iter();
        return paths
            .map(|path| need(Some(Target::xml(path)), true))
            .collect();
    }
    if let Some(target) = Target::of(&found.variable) {
        return vec![need(Some(target), false)];
    }
    // The last link of a chain looked at what an earlier one captured, such as `TX:1`.
    if !found.variable.starts_with(b"TX:") {
        return vec![need(None, false)];
    }
    guesses(request)
        .map(|target| need(Some(target), true))
        .collect()
}

/// What the first link of a chain may have looked at.
fn guesses(request: &Request) -> impl Iterator<Item = Target> {
    let arguments = Place::arguments(request);
    let names = arguments
        .into_iter()
        .filter_map(|place| Some(place.name()?.to_vec()));
    let named = names.flat_map(|name| ["ARGS", "ARGS_NAMES"].map(|c| (c, Some(name.clone()))));
    let headers = request.headers().map(|(name, _)| Some(name.to_vec()));
    let headers = headers.map(|name| ("REQUEST_HEADERS", name));
    let others = [
        ("REQUEST_COOKIES", None),
        ("REQUEST_FILENAME", None),
        ("REQUEST_BODY", None),
    ];
    let all = named.chain(headers).chain(others);
    let all = all.map(|(collection, key)| Target {
        collection: collection.to_owned(),
        key,
    });
    all.chain(XML_PATHS.map(Target::xml))
}

impl Variants {
    pub(super) fn new(needs: Vec<Need>) -> Self {
        Self { needs }
    }

    /// The rules, one for each need and kind.
    pub(super) fn text(&self, scope: &Scope) -> String {
        let mut text = String::new();
        for (at, need) in self.needs.iter().enumerate() {
            for kind in Kind::ALL {
                let number = Self::number(at, kind);
                let gate = Trial::gate(number);
                let control = need.control(kind);
                // Numbers of gates are far below 2^32.
                let id = TRIAL_IDS + number as u64;
                text += &scope::rule(id, Some(scope), Some(&gate), &[control]);
            }
        }
        text
    }

    /// The place of a need's rule of this kind.
    fn number(need: usize, kind: Kind) -> usize {
        need * Kind::ALL.len() + kind as usize
    }

    /// Sets of needs with which the request passes and of which none can be left out, in every way to write them. Empty
    /// if all needs together do not suffice.
    pub(super) fn candidates(&self, trial: &Trial, request: &Request) -> Vec<Candidate> {
        // By target if that suffices, else the rules as a whole. The kinds in between are wider ways to write the same
        // needs, so they need no search of their own.
        for kind in [Kind::Argument, Kind::Rule] {
            let passes = |needs: &[usize]| {
                let gates: Vec<usize> = needs.iter().map(|&at| Self::number(at, kind)).collect();
                trial.run(request, &gates).passes()
            };
            let sets = smallest_sets(self.needs.len(), &passes);
            if !sets.is_empty() {
                let written = sets.iter().flat_map(|kept| self.written(kept, kind));
                return written.collect();
            }
        }
        Vec::new()
    }

    fn written(&self, kept: &[usize], narrowest: Kind) -> Vec<Candidate> {
        let needs: Vec<Need> = kept
            .iter()
            .filter_map(|&at| self.needs.get(at))
            .cloned()
            .collect();
        let mut candidates: Vec<Candidate> = Vec::new();
        // With one rule that has no tag, the form by tag would name a rule after all and be no kind of its own.
        let have_tags = needs.iter().all(|need| need.tag().is_some());
        let kinds = Kind::ALL.into_iter().filter(|&kind| kind >= narrowest);
        for kind in kinds.filter(|&kind| kind != Kind::Tag || have_tags) {
            let mut controls: Vec<String> = Vec::new();
            let mut rules: Vec<u64> = Vec::new();
            for need in &needs {
                let control = need.control(kind);
                if !controls.contains(&control) {
                    controls.push(control);
                }
                if !rules.contains(&need.rule) {
                    rules.push(need.rule);
                }
            }
            // Two proposals with the same controls in another order must be found equal.
            rules.sort_unstable();
            controls.sort_unstable();
            // A way that says the same as a narrower one is no other way.
            if candidates.iter().any(|known| known.controls == controls) {
                continue;
            }
            candidates.push(Candidate {
                kind,
                rules,
                is_portable: controls.iter().all(|control| is_portable(control)),
                controls,
                gates: kept.iter().map(|&at| Self::number(at, kind)).collect(),
                needs: needs.clone(),
            });
        }
        candidates
    }
}

/// Sets of `0..all` that pass and of which nothing can be left out. The first one leaves out what comes early; each
/// other one does without something that the first has.
fn smallest_sets(all: usize, passes: &impl Fn(&[usize]) -> bool) -> Vec<Vec<usize>> {
    let smallest_without = |out: Option<usize>| {
        let mut kept: Vec<usize> = (0..all).filter(|&at| Some(at) != out).collect();
        if !passes(&kept) {
            return None;
        }
        // One pass is enough: an exclusion that a larger set needs, a smaller set needs too.
        for at in 0..all {
            let without: Vec<usize> = kept.iter().copied().filter(|&k| k != at).collect();
            if without.len() < kept.len() && passes(&without) {
                kept = without;
            }
        }
        Some(kept)
    };
    let Some(first) = smallest_without(None) else {
        return Vec::new();
    };
    // Which of several rules is wrong about the request only its owner knows, so each way is proposed.
    let others: Vec<Vec<usize>> = first
        .iter()
        .filter_map(|&at| smallest_without(Some(at)))
        .take(MOST_ALTERNATIVES)
        .collect();
    let mut sets = vec![first];
    for set in others {
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    sets
}

/// ModSecurity knows no patterns there, and numbers the items of a JSON array in another way or not at all.
fn is_portable(control: &str) -> bool {
    let Some((_, target)) = control.split_once(';') else {
        return true;
    };
    let name = target.split_once(':').map_or("", |(_, name)| name);
    let is_number = |piece: &str| !piece.is_empty() && piece.bytes().all(|b| b.is_ascii_digit());
    let is_in_array = name.starts_with("json.") && name.split('.').any(is_number);
    let is_pattern = name.starts_with('/') && !target.starts_with("XML:");
    !is_pattern && !is_in_array
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
