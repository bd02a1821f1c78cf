//! The requests that show what an exclusion opens: each is stopped without it.
//!
//! A request shows something only if the attack in it is stopped for itself. So it is tried first in a harmless form
//! of the event, which passes: other values stand where the false positive stood. What cannot be replaced there, such as
//! the method or a name, is excluded for this trial.

use super::attacks::{Class, corpus};
use super::candidates::{Candidate, Need};
use super::place::{Place, with_added_argument, with_another_host, with_another_path};
use super::target::Target;
use super::trial::Trial;
use crate::recorded::Request;

/// Other arguments of the request in which attacks are tried.
const MOST_BESIDE: usize = 8;

/// A request that is stopped without the exclusion. It is made each time it is needed: there are hundreds, and each
/// is as large as the event.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) question: Question,
    at: Where,
    attack: Vec<u8>,
}

/// What makes a probe out of a request.
#[derive(Debug)]
enum Where {
    AnotherPath,
    AnotherHost,
    /// In one more argument of the event.
    Added,
    /// In this place of the event, whose false positive stays.
    Event(Place),
    /// In this place of the harmless form.
    Harmless(Place),
}

impl Probe {
    /// Where the attack is.
    pub(super) fn place(&self) -> String {
        match &self.at {
            Where::AnotherPath => "another path".to_owned(),
            Where::AnotherHost => "another host".to_owned(),
            Where::Added => "an argument beside it".to_owned(),
            Where::Event(place) | Where::Harmless(place) => place.words(),
        }
    }

    /// What is tried there.
    pub(super) fn attack(&self) -> String {
        match self.question {
            Question::Elsewhere => "the same request".to_owned(),
            _ => String::from_utf8_lossy(&self.attack).into_owned(),
        }
    }
}

/// What a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// The rules' own attack in another argument. `like`: in one whose name differs only in numbers.
    Beside { like: bool },
    /// The same request elsewhere.
    Elsewhere,
    /// An attack in the place of the false positive.
    InPlace(Class),
}

/// Everything that is asked of all candidates of a request.
#[derive(Debug)]
pub(super) struct Probes {
    pub(super) all: Vec<Probe>,
    /// The event as it may be written to a file: without credentials, if it is judged in the same way.
    pub(super) event: Request,
    /// The event without its false positive.
    pub(super) harmless: Request,
    /// Places of the false positive in which no attack could be tried.
    pub(super) untried: Vec<String>,
}

impl Probes {
    /// What `candidates` have in common is not asked twice.
    pub(super) fn find(trial: &Trial, event: Request, candidates: &[Candidate]) -> Self {
        // The wider forms of a candidate have the same needs.
        let narrowest = candidates.first().map(|candidate| candidate.kind);
        let candidates = candidates.iter().filter(|c| Some(c.kind) == narrowest);
        let needs = candidates.flat_map(|c| c.needs.iter().zip(&c.gates));
        let (needs, gates): (Vec<&Need>, Vec<usize>) = needs.unzip();
        let places = places(&event, needs.iter().copied());
        let harmless = places.iter().fold(event.clone(), |request, place| {
            place.harmless(&request).unwrap_or(request)
        });
        let fixed = gates.iter().zip(&needs);
        let fixed = fixed.filter(|(_, need)| need.is_fixed());
        let mut finder = Finder {
            trial,
            event: &event,
            harmless: &harmless,
            fixed: fixed.map(|(gate, _)| *gate).collect(),
            needs: &needs,
            probes: Vec::new(),
        };
        finder.find_elsewhere();
        let mut untried = unknown_places(&event, &needs);
        match trial.run(&harmless, &finder.fixed).passes() {
            true => {
                finder.find_beside(&places);
                untried.extend(finder.find_in_place(&places));
            }
            // Whatever stands in it is stopped.
            false => untried.extend(places.iter().map(Place::words)),
        }
        Self {
            all: finder.probes,
            event,
            harmless,
            untried,
        }
    }
}

impl Probes {
    /// The request of a probe. None never comes: it could be made when it was found.
    pub(super) fn request(&self, probe: &Probe) -> Option<Request> {
        match &probe.at {
            Where::AnotherPath => Some(with_another_path(&self.event)),
            Where::AnotherHost => with_another_host(&self.event),
            Where::Added => Some(with_added_argument(&self.event, &probe.attack)),
            Where::Event(place) => place.with(&self.event, &probe.attack),
            Where::Harmless(place) => place.with(&self.harmless, &probe.attack),
        }
    }
}

/// Where the needs' values stand, each place once.
pub(super) fn places<'n>(event: &Request, needs: impl Iterator<Item = &'n Need>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for target in needs.filter_map(|need| need.target.as_ref()) {
        let place = Place::of(event, &target.collection, target.key.as_deref());
        places.extend(place.filter(|place| !places.contains(place)));
    }
    places
}

/// Targets that can hold other values, but whose place in the request is not known.
fn unknown_places(event: &Request, needs: &[&Need]) -> Vec<String> {
    let targets = needs.iter().filter(|need| !need.is_fixed());
    let targets = targets.filter_map(|need| need.target.as_ref());
    let is_unknown =
        |target: &&Target| Place::of(event, &target.collection, target.key.as_deref()).is_none();
    let unknown = targets.filter(is_unknown).map(Target::exact);
    let mut unknown: Vec<String> = unknown.collect();
    unknown.dedup();
    unknown
}

struct Finder<'a> {
    trial: &'a Trial,
    event: &'a Request,
    harmless: &'a Request,
    /// Gates of what cannot be replaced by a harmless value.
    fixed: Vec<usize>,
    needs: &'a [&'a Need],
    probes: Vec<Probe>,
}

impl Finder<'_> {
    fn add(&mut self, question: Question, at: Where, attack: &[u8]) {
        self.probes.push(Probe {
            question,
            at,
            attack: attack.to_vec(),
        });
    }

    /// Whether a harmless request is stopped for what was put into it.
    fn stops(&self, request: &Request) -> bool {
        !self.trial.run(request, &self.fixed).passes()
    }

    /// The event on another path and for another host.
    fn find_elsewhere(&mut self) {
        let path = Some((with_another_path(self.event), Where::AnotherPath));
        let host = with_another_host(self.event).map(|request| (request, Where::AnotherHost));
        for (request, at) in path.into_iter().chain(host) {
            if !self.trial.run(&request, &[]).passes() {
                self.add(Question::Elsewhere, at, b"");
            }
        }
    }

    /// The rules' own attacks, and the values that they matched, in other arguments of the event.
    fn find_beside(&mut self, places: &[Place]) {
        let is_like = |place: &Place| {
            let name = place.name().unwrap_or_default();
            let mut targets = self.needs.iter().filter_map(|need| need.target.as_ref());
            targets.any(|target| target.is_like(name))
        };
        let others = Place::arguments(self.event).into_iter();
        let others = others.filter(|place| !places.contains(place));
        // Each is tried with every attack, and a form can have a thousand fields.
        let others: Vec<Place> = others.take(MOST_BESIDE).collect();
        for value in self.own_attacks() {
            self.add(Question::Beside { like: false }, Where::Added, &value);
            for place in &others {
                let alone = place.with(self.harmless, &value);
                if alone.is_some_and(|request| self.stops(&request)) {
                    let like = is_like(place);
                    // Asked in the event, whose false positive the exclusion lets pass.
                    let at = Where::Event(place.clone());
                    self.add(Question::Beside { like }, at, &value);
                }
            }
        }
    }

    /// What these rules match and what is stopped for itself: values of the event and of the corpus.
    fn own_attacks(&self) -> Vec<Vec<u8>> {
        let rules: Vec<u64> = self.needs.iter().map(|need| need.rule).collect();
        let values = self.needs.iter().map(|need| need.value.as_slice());
        let attacks = corpus().map(|(_, attack)| attack.as_bytes());
        let mut all: Vec<&[u8]> = values.chain(attacks).filter(|v| !v.is_empty()).collect();
        all.sort_unstable();
        all.dedup();
        // Stopped alone, and by one of these rules: else another rule would stand in for them in the proof.
        all.retain(|value| {
            let alone = with_added_argument(self.harmless, value);
            let alone = self.trial.run(&alone, &self.fixed);
            !alone.passes() && alone.fired(&rules)
        });
        all.into_iter().map(<[u8]>::to_vec).collect()
    }

    /// Every attack in each place. Returns the places in which none can stand.
    fn find_in_place(&mut self, places: &[Place]) -> Vec<String> {
        let mut untried = Vec::new();
        for place in places {
            let mut is_tried = false;
            for (class, attack) in corpus() {
                let Some(request) = place.with(self.harmless, attack.as_bytes()) else {
                    continue;
                };
                is_tried = true;
                if self.stops(&request) {
                    let at = Where::Harmless(place.clone());
                    self.add(Question::InPlace(class), at, attack.as_bytes());
                }
            }
            if !is_tried {
                untried.push(place.words());
            }
            if place.is_content_type() {
                self.find_in_body();
            }
        }
        untried
    }

    /// Every attack that is stopped as an argument, in the body: what reads it depends on the content type.
    fn find_in_body(&mut self) {
        for (class, attack) in corpus() {
            // Once the content type may be anything, no parser is sure to take the body apart.
            let argument = with_added_argument(self.harmless, attack.as_bytes());
            if self.stops(&argument) {
                let at = Where::Event(Place::Body);
                self.add(Question::InPlace(class), at, attack.as_bytes());
            }
        }
    }
}
