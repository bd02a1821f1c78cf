//! What an exclusion lets through, and what it does not: found out by running it.
//!
//! Three things must hold. The request passes. What the rule is for is still stopped in other arguments, on other
//! paths and hosts, and attacks of other classes are still stopped where the false positive stood. And no recorded
//! request is judged otherwise, unless the exclusion is for it.

use std::time::{Duration, Instant};

use super::attacks::{Class, corpus};
use super::candidates::{Candidate, Need};
use super::place::{Place, with_added_argument, with_another_host, with_another_path};
use super::scope::Scope;
use super::trial::Trial;
use crate::recorded::Request;

/// Other arguments of the request in which attacks are tried.
const MOST_BESIDE: usize = 8;
/// Runs of one request by which its time is measured.
const TIMED: usize = 33;
/// What stands where the false positive stood while something else is tried.
const HARMLESS: &[u8] = b"1";

/// What was found out of one candidate.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The request passes.
    pub passes: bool,
    /// The rules' own attacks in other arguments, and the request itself elsewhere.
    pub beside: Tally,
    /// Attacks of other classes in the same place.
    pub other_classes: Tally,
    /// Attacks of the rules' own classes in the same place: what the exclusion opens.
    pub own_classes: Tally,
    /// Recorded requests.
    pub recorded: Recorded,
    /// The time of a harmless request without and with it.
    pub time: (Duration, Duration),
}

/// Attacks that were stopped before, and those among them that now pass.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How many were stopped before.
    pub tried: usize,
    /// Where, and the attack.
    pub passing: Vec<(String, String)>,
}

/// Recorded requests that are judged otherwise.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// How many there were.
    pub total: usize,
    /// Names of those in the exclusion's scope that now pass.
    pub intended: Vec<String>,
    /// Names of all others that are judged otherwise.
    pub unintended: Vec<String>,
}

impl Proof {
    /// Whether the exclusion does what it is for and no more.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.passes
            && self.beside.passing.is_empty()
            && self.other_classes.passing.is_empty()
            && self.recorded.unintended.is_empty()
    }
}

/// A request that was stopped before, which shows what a candidate opens.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) question: Question,
    pub(super) request: Request,
    /// Where the attack is, in words.
    pub(super) place: String,
    pub(super) attack: String,
    /// The rule that stopped it.
    pub(super) stopped_by: u64,
}

/// What a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// The rules' own attack in another argument. `like`: in one whose name differs only in numbers.
    Beside { like: bool },
    /// The same request elsewhere.
    Elsewhere,
    /// An attack in the same place.
    Same(Class),
}

/// Everything that is asked of all candidates of a request.
#[derive(Debug)]
pub(super) struct Probes {
    pub(super) probes: Vec<Probe>,
    own: Vec<Class>,
    harmless: Request,
}

impl Probes {
    /// The requests that are stopped without an exclusion.
    pub(super) fn find(trial: &Trial, event: &Request, needs: &[Need]) -> Self {
        let mut own: Vec<Class> = needs.iter().flat_map(Need::classes).collect();
        own.sort_unstable();
        own.dedup();
        let places = places(event, needs);
        let harmless = places.iter().fold(event.clone(), |request, place| {
            place.with(&request, HARMLESS).unwrap_or(request)
        });
        let mut finder = Finder {
            trial,
            event,
            harmless: &harmless,
            rules: needs.iter().map(|need| need.rule).collect(),
            probes: Vec::new(),
        };
        finder.find_elsewhere();
        finder.find_beside(needs, &places);
        finder.find_in_place(&places);
        let probes = finder.probes;
        Self {
            probes,
            own,
            harmless,
        }
    }

    /// What holds of a candidate.
    pub(super) fn prove(
        &self,
        trial: &Trial,
        event: &Request,
        candidate: &Candidate,
        recorded: &[(String, Request)],
    ) -> Proof {
        let gates = &candidate.gates;
        let mut proof = Proof {
            passes: trial.run(event, gates).passes(),
            beside: Tally::default(),
            other_classes: Tally::default(),
            own_classes: Tally::default(),
            recorded: judge_recorded(trial, event, gates, recorded),
            time: time(trial, &self.harmless, gates),
        };
        for probe in &self.probes {
            let tally = match probe.question {
                // Arguments that differ in numbers alone are the same one to this candidate.
                Question::Beside { like: true } if candidate.kind > super::Kind::Argument => {
                    continue;
                }
                Question::Beside { .. } | Question::Elsewhere => &mut proof.beside,
                Question::Same(class) if self.own.contains(&class) => &mut proof.own_classes,
                Question::Same(_) => &mut proof.other_classes,
            };
            tally.tried += 1;
            if trial.run(&probe.request, gates).passes() {
                tally
                    .passing
                    .push((probe.place.clone(), probe.attack.clone()));
            }
        }
        proof
    }

    /// Whether the rules are for this class.
    pub(super) fn is_own(&self, class: Class) -> bool {
        self.own.contains(&class)
    }
}

/// Where the needs' values stand, each place once.
pub(super) fn places(event: &Request, needs: &[Need]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for target in needs.iter().filter_map(|need| need.target.as_ref()) {
        let place = Place::of(event, &target.collection, target.key.as_deref());
        places.extend(place.filter(|place| !places.contains(place)));
    }
    places
}

struct Finder<'a> {
    trial: &'a Trial,
    event: &'a Request,
    harmless: &'a Request,
    rules: Vec<u64>,
    probes: Vec<Probe>,
}

impl Finder<'_> {
    /// Adds the request if it is stopped.
    fn add(&mut self, question: Question, request: Request, place: String, attack: &[u8]) {
        if let Some(stopped_by) = self.trial.run(&request, &[]).stopped_by {
            self.probes.push(Probe {
                question,
                request,
                place,
                attack: String::from_utf8_lossy(attack).into_owned(),
                stopped_by,
            });
        }
    }

    /// The event on another path and for another host.
    fn find_elsewhere(&mut self) {
        let path = with_another_path(self.event);
        self.add(
            Question::Elsewhere,
            path,
            "another path".to_owned(),
            b"the same request",
        );
        if let Some(host) = with_another_host(self.event) {
            self.add(
                Question::Elsewhere,
                host,
                "another host".to_owned(),
                b"the same request",
            );
        }
    }

    /// The rules' own attacks, and the values that they matched, in other arguments of the event.
    fn find_beside(&mut self, needs: &[Need], places: &[Place]) {
        let is_like = |place: &Place| {
            let name = place.name().unwrap_or_default();
            let mut targets = needs.iter().filter_map(|need| need.target.as_ref());
            targets.any(|target| target.is_like(name))
        };
        let others = Place::arguments(self.event).into_iter();
        let others = others.filter(|place| !places.contains(place));
        let others: Vec<Place> = others.take(MOST_BESIDE).collect();
        let values = needs.iter().map(|need| need.value.as_slice());
        let attacks = corpus().map(|attack| attack.value.as_bytes());
        let mut all: Vec<&[u8]> = values.chain(attacks).filter(|v| !v.is_empty()).collect();
        all.sort_unstable();
        all.dedup();
        for value in all {
            // Alone in a request it shows whether these rules are for it, and whether it is stopped by itself.
            let alone = with_added_argument(self.harmless, value);
            let alone = self.trial.run(&alone, &[]);
            if alone.passes() || !alone.fired(&self.rules) {
                continue;
            }
            let added = with_added_argument(self.event, value);
            let question = Question::Beside { like: false };
            self.add(question, added, "an argument beside it".to_owned(), value);
            for place in &others {
                let alone = place.with(self.harmless, value);
                let is_stopped = |r: &Request| !self.trial.run(r, &[]).passes();
                let Some(request) = place.with(self.event, value) else {
                    continue;
                };
                if alone.as_ref().is_some_and(is_stopped) {
                    let question = Question::Beside {
                        like: is_like(place),
                    };
                    self.add(question, request, place.words(), value);
                }
            }
        }
    }

    fn find_in_place(&mut self, places: &[Place]) {
        for place in places {
            for attack in corpus() {
                let value = attack.value.as_bytes();
                if let Some(request) = place.with(self.harmless, value) {
                    self.add(Question::Same(attack.class), request, place.words(), value);
                }
            }
        }
    }
}

fn judge_recorded(
    trial: &Trial,
    event: &Request,
    gates: &[usize],
    recorded: &[(String, Request)],
) -> Recorded {
    let scope = Scope::of(event);
    let mut judged = Recorded {
        total: recorded.len(),
        ..Recorded::default()
    };
    for (name, request) in recorded {
        let before = trial.run(request, &[]).passes();
        let after = trial.run(request, gates).passes();
        match (before, after) {
            (false, true) if Scope::of(request) == scope => judged.intended.push(name.clone()),
            (before, after) if before != after => judged.unintended.push(name.clone()),
            _ => {}
        }
    }
    judged
}

/// The medians of the times without and with the exclusion, measured in turns so that both meet the same machine.
fn time(trial: &Trial, request: &Request, gates: &[usize]) -> (Duration, Duration) {
    let measure = |gates: &[usize]| {
        let started = Instant::now();
        trial.run(request, gates);
        started.elapsed()
    };
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..TIMED {
        times.0.push(measure(&[]));
        times.1.push(measure(gates));
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times.get(TIMED / 2).copied().unwrap_or_default()
    };
    (median(times.0), median(times.1))
}
