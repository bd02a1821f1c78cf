//! The narrower form of an exclusion that was only used for a part of what it excludes.

use std::collections::BTreeMap;
use std::sync::Arc;

use waf::{ExcludedTarget, Exclusion, ExclusionKind, RuleSet};

use super::super::scope;
use super::super::target::Target;
use super::finding::{Code, Finding};
use super::observed::{Evidence, Seen};
use super::{Subject, rules_in_words, shortened};
use crate::counted::counted;

/// With fewer uses than this, what they have in common may be an accident.
const ENOUGH_USES: usize = 3;
/// Parts of a narrower form. One with more is no easier to answer for than the wide one.
const MOST_PARTS: usize = 8;
/// Ids for rules of teams end below those of the program.
const OWN_IDS: std::ops::Range<u64> = 1..80_000;

/// What an exclusion was used for, where that is less than what it excludes.
#[derive(Debug, Default)]
struct Narrower {
    /// In words.
    only: Vec<String>,
    /// By rule: the targets that it need not look at; none if it need not run.
    parts: BTreeMap<u64, Vec<String>>,
    /// It holds for every request and was used for few kinds of them.
    is_scoped: bool,
}

pub(super) fn wider_than_used(
    subject: &Subject<'_>,
    seen: &Seen,
    rules: &Arc<RuleSet>,
    evidence: &Evidence,
) -> Option<Finding> {
    // Uses that were not told apart cannot be named in a narrower form.
    if seen.used < ENOUGH_USES || seen.has_more_uses {
        return None;
    }
    let narrower = Narrower::of(subject.exclusion, seen)?;
    let message = format!(
        "{} was used for less than it excludes: in {} of {} {}",
        subject.name(),
        seen.used,
        evidence.words(),
        narrower.only.join(", "),
    );
    let (help, instead) = narrower.written(subject.exclusion, seen, rules);
    Some(Finding {
        owner: subject.entry.map(|entry| entry.purpose.owner.clone()),
        instead,
        ..Finding::warning(
            Code::WiderThanUsed,
            subject.exclusion.at.clone(),
            message,
            help,
        )
    })
}

impl Narrower {
    /// None if it is as narrow as its uses, or if these are too many to name.
    fn of(exclusion: &Exclusion, seen: &Seen) -> Option<Self> {
        let mut narrower = Self::default();
        let rules = seen.rules();
        if rules.len() < exclusion.concerned.len() {
            let all = counted(exclusion.concerned.len(), "rule");
            narrower
                .only
                .push(format!("only {} of {all}", rules_in_words(&rules)));
        }
        let targets = seen.targets().filter(|_| names_no_value(exclusion));
        let named = targets.as_deref().map(named_targets);
        let own: Vec<String> = exclusion.targets.iter().map(ToString::to_string).collect();
        let is_narrower = |named: &BTreeMap<u64, Vec<String>>| {
            let mut all = named.values().flatten();
            all.any(|target| !own.contains(target))
        };
        let named = named.filter(is_narrower);
        if let Some(named) = &named {
            let mut all: Vec<&str> = named.values().flatten().map(String::as_str).collect();
            all.sort_unstable();
            all.dedup();
            let all = shortened(&all.join(", "));
            narrower.only.push(format!("only for {all}"));
        }
        // A scope of its own is left as its author chose it.
        let is_for_all = exclusion
            .by
            .as_ref()
            .is_none_or(|by| by.conditions.is_empty());
        if is_for_all && !seen.has_more_scopes {
            let scopes: Vec<String> = seen.scopes.iter().map(scope::Scope::words).collect();
            narrower.only.push(format!("only on {}", scopes.join(", ")));
            narrower.is_scoped = true;
        }
        narrower.parts = match named {
            Some(named) => named,
            None => rules.iter().map(|rule| (*rule, own.clone())).collect(),
        };
        let parts: usize = narrower.parts.values().map(|own| own.len().max(1)).sum();
        (!narrower.only.is_empty() && parts <= MOST_PARTS).then_some(narrower)
    }

    /// What to do, and the text of it.
    fn written(
        &self,
        exclusion: &Exclusion,
        seen: &Seen,
        rules: &RuleSet,
    ) -> (&'static str, Vec<String>) {
        let controls = self.controls();
        match (&exclusion.by, self.is_scoped) {
            (_, true) => {
                let id = free_id(rules);
                let scopes = (id..).zip(&seen.scopes);
                let written = scopes.map(|(id, own)| scope::rule(id, Some(own), None, &controls));
                let help = "if these are all requests that need it, write this in its place, in a file that is loaded before the rules that it names:";
                (help, written.collect())
            }
            (Some(_), false) => {
                let written = controls.iter().map(|control| format!("ctl:{control}"));
                (
                    "if these are all requests that need it, write this in its place:",
                    written.collect(),
                )
            }
            (None, false) => {
                let help = "if these are all requests that need it, write this in its place:";
                (help, self.directives())
            }
        }
    }

    fn controls(&self) -> Vec<String> {
        let parts = self.parts.iter();
        let controls = parts.flat_map(|(rule, targets)| match targets.as_slice() {
            [] => vec![format!("ruleRemoveById={rule}")],
            targets => {
                let targets = targets.iter();
                let one = |target| format!("ruleRemoveTargetById={rule};{target}");
                targets.map(one).collect()
            }
        });
        controls.collect()
    }

    fn directives(&self) -> Vec<String> {
        let parts = self.parts.iter();
        let directives = parts.map(|(rule, targets)| match targets.as_slice() {
            [] => format!("SecRuleRemoveById {rule}"),
            targets => {
                let targets: Vec<String> = targets.iter().map(|own| format!("!{own}")).collect();
                format!("SecRuleUpdateTargetById {rule} \"{}\"", targets.join(","))
            }
        });
        directives.collect()
    }
}

/// Whether it excludes rules as a whole, or whole collections.
fn names_no_value(exclusion: &Exclusion) -> bool {
    let is_whole = |target: &ExcludedTarget| target.selector.is_none();
    match exclusion.kind {
        ExclusionKind::Targets => exclusion.targets.iter().any(is_whole),
        _ => true,
    }
}

/// The targets of each rule by name, with a pattern for names that differ in their numbers alone.
fn named_targets(used: &[(u64, Target)]) -> BTreeMap<u64, Vec<String>> {
    let mut named: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (rule, target) in used {
        let own = named.entry(*rule).or_default();
        let others = used.iter().filter(|(other, _)| other == rule);
        let is_alike = |other: &Target| {
            other != target
                && other.collection == target.collection
                && other.key.as_deref().is_some_and(|key| target.is_like(key))
        };
        let has_like = others.into_iter().any(|(_, other)| is_alike(other));
        // One name with a number is a name. Two that differ in it show that it counts something.
        let text = target.numbered().filter(|_| has_like);
        let text = text.unwrap_or_else(|| target.exact());
        if !own.contains(&text) {
            own.push(text);
        }
    }
    named
}

/// An id above all that the teams use.
fn free_id(rules: &RuleSet) -> u64 {
    let removed = rules.removed().iter().map(|rule| rule.id);
    let all = rules.summaries().map(|rule| rule.id).chain(removed);
    let highest = all.filter(|id| OWN_IDS.contains(id)).max();
    highest.map_or(1000, |id| id + 1)
}
