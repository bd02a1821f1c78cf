//! What an exclusion lets through, and what it does not: found out by running it.
//!
//! Three things must hold. The request passes. What the rule is for is still stopped in other arguments, on other
//! paths and hosts, and attacks of other classes are still stopped where the false positive stood. And no recorded
//! request is judged otherwise, unless the exclusion is for it.

use std::time::{Duration, Instant};

use super::attacks::Class;
use super::candidates::{Candidate, Kind};
use super::probes::{Probe, Probes, Question};
use super::trial::Trial;
use crate::recorded::Request;

/// Runs of one request by which its time is measured.
const TIMED: usize = 33;

/// What was found out of one candidate.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The request passes.
    pub passes: bool,
    /// The rules' own attacks in other arguments, and the request itself elsewhere.
    pub beside: Tally,
    /// Attacks in the place of the false positive, by their class.
    pub in_place: Vec<Opened>,
    /// Places of the false positive in which no attack could be tried.
    pub untried: Vec<String>,
    /// Recorded requests.
    pub recorded: Recorded,
    /// The time of a harmless request without and with it.
    pub time: (Duration, Duration),
    /// For each probe, the rule that stops it.
    stopped_by: Vec<Option<u64>>,
}

/// Attacks that were stopped before, and those among them that now pass.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How many were stopped before.
    pub tried: usize,
    /// Where, and the attack.
    pub passing: Vec<(String, String)>,
}

/// Attacks of one class in the place of the false positive.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Their class.
    pub class: Class,
    /// The excluded rules are for this class.
    pub is_own: bool,
    /// What was tried.
    pub tally: Tally,
}

/// How much of something an exclusion opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// All of it is still stopped.
    Nothing,
    /// Some attacks of a class pass, others are still stopped.
    Part,
    /// All attacks of a class pass.
    All,
}

/// Recorded requests that are judged otherwise.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// How many there were.
    pub total: usize,
    /// Names of those that now pass because of what the exclusion is for.
    pub intended: Vec<String>,
    /// Names of all others that are judged otherwise.
    pub unintended: Vec<String>,
}

impl Proof {
    /// What holds of a candidate. `narrowest`: the gates of its narrowest form.
    pub(super) fn of(
        candidate: &Candidate,
        narrowest: &[usize],
        trial: &Trial,
        event: &Request,
        probes: &Probes,
        recorded: &[(String, Request)],
    ) -> Self {
        let gates = &candidate.gates;
        let mut proof = Self {
            passes: trial.run(event, gates).passes(),
            beside: Tally::default(),
            in_place: Vec::new(),
            untried: probes.untried.clone(),
            recorded: judge_recorded(trial, candidate, narrowest, recorded),
            time: time(trial, &probes.harmless, gates),
            stopped_by: Vec::new(),
        };
        for probe in &probes.all {
            let request = probes.request(probe);
            // A request that cannot be made lets nothing pass.
            let stopped_by = request.map_or(Some(0), |r| trial.run(&r, gates).stopped_by);
            proof.stopped_by.push(stopped_by);
            if let Some(tally) = proof.tally(probe, candidate) {
                tally.tried += 1;
                if stopped_by.is_none() {
                    tally.passing.push((probe.place(), probe.attack()));
                }
            }
        }
        proof
    }

    /// Whether the exclusion does what it is for and leaves something of every other class of attack stopped.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.passes
            && self.beside.passing.is_empty()
            && self.untried.is_empty()
            && self.recorded.unintended.is_empty()
            && self.opens_beyond() < Extent::All
    }

    /// What it opens of classes that the excluded rules are not for.
    #[must_use]
    pub fn opens_beyond(&self) -> Extent {
        let others = self.in_place.iter().filter(|opened| !opened.is_own);
        let extents = others.map(|opened| opened.tally.extent());
        extents.max().unwrap_or(Extent::Nothing)
    }

    /// The rule that stops the probe with this number while the exclusion holds.
    pub(super) fn stopped_by(&self, probe: usize) -> Option<u64> {
        self.stopped_by.get(probe).copied().flatten()
    }

    /// Where a probe counts; None if the candidate is meant to let it pass.
    fn tally(&mut self, probe: &Probe, candidate: &Candidate) -> Option<&mut Tally> {
        let class = match probe.question {
            // Names that differ in numbers alone are one name to such a candidate.
            Question::Beside { like: true } if candidate.kind > Kind::Argument => return None,
            Question::Beside { .. } | Question::Elsewhere => return Some(&mut self.beside),
            Question::InPlace(class) => class,
        };
        let known = self.in_place.iter().position(|o| o.class == class);
        let at = known.unwrap_or_else(|| {
            self.in_place.push(Opened {
                class,
                is_own: candidate.is_for(class),
                tally: Tally::default(),
            });
            self.in_place.len() - 1
        });
        self.in_place.get_mut(at).map(|opened| &mut opened.tally)
    }
}

impl Tally {
    /// How much of it passes.
    #[must_use]
    pub fn extent(&self) -> Extent {
        match self.passing.len() {
            0 => Extent::Nothing,
            passing if passing < self.tried => Extent::Part,
            _ => Extent::All,
        }
    }
}

impl Extent {
    /// As JSON shows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Part => "part",
            Self::All => "all",
        }
    }
}

/// `narrowest`: the gates of the narrowest form of the same exclusion. What only a wider form lets pass, in other
/// arguments, is not what the exclusion is for.
fn judge_recorded(
    trial: &Trial,
    candidate: &Candidate,
    narrowest: &[usize],
    recorded: &[(String, Request)],
) -> Recorded {
    let is_for_argument = candidate.kind <= Kind::Numbered;
    let mut judged = Recorded {
        total: recorded.len(),
        ..Recorded::default()
    };
    for (name, request) in recorded {
        let passes = |gates| trial.run_beside_others(request, gates).passes();
        let (before, after) = (passes(&[]), passes(&candidate.gates));
        // A request that is stopped by another rule is judged as before.
        if before == after {
            continue;
        }
        let is_meant = after && (is_for_argument || passes(narrowest));
        let names = match is_meant {
            true => &mut judged.intended,
            false => &mut judged.unintended,
        };
        names.push(name.clone());
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
    // The median and not the mean: one interruption by another process would decide the mean.
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times.get(TIMED / 2).copied().unwrap_or_default()
    };
    (median(times.0), median(times.1))
}
