//! Runs tests on all cores and collects the results in the order of the files.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::judge::failures;
use super::{Overrides, Stage, Test, TestFile, TestId};
use waf::Transaction;

/// What can play a stage: the engine in this process, or a server somewhere.
pub trait Play: Sync {
    /// Sends the stage's request and says what came of it. Stages of a test count from 0.
    fn play(&self, id: &TestId, number: usize, stage: &Stage) -> Outcome;

    /// Whether several stages may be played at once.
    fn concurrent(&self) -> bool {
        true
    }
}

/// The outcome of one request.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// None if there was no answer.
    pub status: Option<u16>,
    /// The answer that the client got; in process its body alone.
    pub response: Vec<u8>,
    /// The rules that were logged, each once, ascending.
    pub ids: Vec<u64>,
    /// The log lines, in order.
    pub log: Vec<Vec<u8>>,
    /// Anything else of interest, e.g. that the head was refused before the rules.
    pub note: Option<String>,
}

/// The results of all tests, in the order of their files.
#[derive(Debug)]
pub struct Report {
    /// In the order of the files that were given.
    pub tests: Vec<TestResult>,
}

/// The result of one test.
#[derive(Debug)]
pub struct TestResult {
    /// The test.
    pub id: TestId,
    /// The test's own; empty if it has none.
    pub description: String,
    /// Its index among the files that were given.
    pub file: usize,
    /// Its index among its file's tests.
    pub place: usize,
    /// In the order they were sent.
    pub stages: Vec<StageResult>,
}

/// The result of one stage.
#[derive(Debug)]
pub struct StageResult {
    /// What came of its request.
    pub outcome: Outcome,
    /// What was expected and did not come; empty if the stage passed.
    pub failures: Vec<String>,
    /// Why the file's own expectation was replaced.
    pub overridden: Option<String>,
    /// The file's own expectation was met: the override is no longer needed.
    pub override_unneeded: bool,
}

impl Report {
    /// How many tests passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.tests.iter().filter(|test| test.passed()).count()
    }

    /// How many tests failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.tests.len() - self.passed()
    }
}

impl TestResult {
    /// Whether every stage passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.stages.iter().all(|stage| stage.failures.is_empty())
    }

    /// Whether every stage's own expectation held though one was overridden.
    #[must_use]
    pub fn override_unneeded(&self) -> bool {
        let mut overridden = self
            .stages
            .iter()
            .filter(|s| s.overridden.is_some())
            .peekable();
        overridden.peek().is_some() && overridden.all(|stage| stage.override_unneeded)
    }
}

impl Outcome {
    /// What the engine logged, and the answer (status and body) that the client received.
    #[must_use]
    pub fn of(
        transaction: &Transaction,
        reply: Option<(u16, Vec<u8>)>,
        note: Option<String>,
    ) -> Self {
        let logged = || {
            transaction
                .matched_rules()
                .iter()
                // A test can only expect what a log shows.
                .filter(|rule| rule.logged)
        };
        let ids: BTreeSet<u64> = logged()
            .map(|rule| rule.rule_id)
            // 0 is the engine itself, which no test expects.
            .filter(|&id| id != 0)
            .collect();
        let (status, response) = reply.unzip();
        Self {
            status,
            response: response.unwrap_or_default(),
            ids: ids.into_iter().collect(),
            log: logged().map(|rule| rule.log_line.clone()).collect(),
            note,
        }
    }
}

/// Runs every test of `files`. After each test, `progress` is called with the number of finished tests.
#[must_use]
pub fn run(
    player: &dyn Play,
    files: &[TestFile],
    overrides: &Overrides,
    progress: &(dyn Fn(usize) + Sync),
) -> Report {
    let tests: Vec<(usize, usize, &Test)> = files
        .iter()
        .enumerate()
        .flat_map(|(file, tests)| {
            let tests = tests.tests.iter().enumerate();
            tests.map(move |(place, test)| (file, place, test))
        })
        .collect();
    // One slot for each test keeps the order, whichever worker finishes first.
    let results: Vec<OnceLock<TestResult>> = tests.iter().map(|_| OnceLock::new()).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((&(file, place, test), slot)) = {
            // The counter alone decides who takes which test; it orders nothing else.
            let at = next.fetch_add(1, Ordering::Relaxed);
            tests.get(at).zip(results.get(at))
        } {
            // Only one worker takes each number, so the slot is never set before.
            let _ = slot.set(run_test(player, (file, place), test, overrides));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let workers = match player.concurrent() {
        true => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        false => 1,
    };
    thread::scope(|scope| {
        // This thread is a worker too.
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
    Report {
        tests: results
            .into_iter()
            .filter_map(OnceLock::into_inner)
            .collect(),
    }
}

fn run_test(
    player: &dyn Play,
    (file, place): (usize, usize),
    test: &Test,
    overrides: &Overrides,
) -> TestResult {
    let stages = test
        .stages
        .iter()
        .enumerate()
        .map(|(number, stage)| {
            let outcome = player.play(&test.id, number, stage);
            let own = failures(&stage.output, &outcome);
            match overrides.of(&test.id, number) {
                None => StageResult {
                    outcome,
                    failures: own,
                    overridden: None,
                    override_unneeded: false,
                },
                Some(instead) => StageResult {
                    failures: failures(&instead.output, &outcome),
                    outcome,
                    overridden: Some(instead.reason.clone()),
                    override_unneeded: own.is_empty(),
                },
            }
        })
        .collect();
    TestResult {
        id: test.id.clone(),
        description: test.description.clone(),
        file,
        place,
        stages,
    }
}
