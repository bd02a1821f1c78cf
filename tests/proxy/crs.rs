//! The CRS's own regression tests from end to end: a real TLS client, a listener, the proxy, a TLS
//! backend, and the verdicts as go-ftw reads them in the log.
//!
//! The log has one line of time, so several front doors share the tests, each with a log of its own.

use std::thread;

use crate::crs_front::CrsFront;
use drawbridge::cli::rules::TlsClient;
use ftw::{self, Overrides, Report, Target, TestFile};
use support::corpus::{self, Corpus};
use support::materials;

const CRS: Corpus = Corpus {
    folder: materials::crs,
    overrides: "tests/crs-e2e-overrides.yaml",
    tests: 3_677,
};
/// Tests wait for the log more than they work.
const DOORS: usize = 4;

#[test]
fn every_test_passes_through_the_front_door() {
    let Some(crs) = materials::crs() else { return };
    let overrides = CRS.overrides();
    let shares = shares(CRS.load(&crs));
    let reports: Vec<Report> = thread::scope(|scope| {
        let (crs, overrides) = (&crs, &overrides);
        let plays: Vec<_> = shares
            .iter()
            .map(|files| scope.spawn(move || play(&CrsFront::open(crs), files, overrides)))
            .collect();
        plays.into_iter().map(|play| play.join().unwrap()).collect()
    });
    let complaints: String = reports
        .iter()
        .zip(&shares)
        .map(|(report, files)| corpus::complaints(report, files))
        .collect();
    let count = |of: fn(&Report) -> usize| reports.iter().map(of).sum::<usize>();
    materials::say(&format!(
        "{} passed, {} failed",
        count(Report::passed),
        count(Report::failed)
    ));
    assert!(complaints.is_empty(), "{complaints}");
    let ran = count(|report| report.tests.len());
    assert!(
        ran >= CRS.tests,
        "{ran} tests ran; there were {}",
        CRS.tests
    );
}

/// Where a request cannot come as far as the rules, it is HTTP that forbids it.
#[test]
fn few_tests_are_overridden() {
    let overridden = CRS.overrides().tests();
    assert!(overridden < 15, "{overridden} tests are overridden");
}

fn play(front: &CrsFront, files: &[TestFile], overrides: &Overrides) -> Report {
    let url = format!("https://{}", front.address);
    let target = Target::new(&url, &front.log, Box::new(TlsClient::new(None).unwrap())).unwrap();
    ftw::run(&target, files, overrides, &|_| {})
}

/// Files dealt out so that each share has about as many tests.
fn shares(files: Vec<TestFile>) -> Vec<Vec<TestFile>> {
    let mut shares: Vec<Vec<TestFile>> = vec![Vec::new(); DOORS];
    for file in files {
        let tests = |share: &Vec<TestFile>| share.iter().map(|f| f.tests.len()).sum::<usize>();
        let least = shares.iter_mut().min_by_key(|share| tests(share));
        least.unwrap().push(file);
    }
    shares
}
