//! The CRS's own regression tests, in process: the raw bytes of each go through the front door's strictness
//! and the engine.

use http_strict::Head;
use support::corpus::Corpus;
use support::materials;

const CRS: Corpus = Corpus {
    folder: materials::crs,
    overrides: "tests/crs-overrides.yaml",
    tests: 3_677,
};

#[test]
fn every_test_passes() {
    CRS.run();
}

/// What the strictness refuses the rules never see: no expected rule may be lost to it unnoticed.
#[test]
fn strictness_takes_nothing_from_the_rules() {
    let Some(crs) = materials::crs() else { return };
    let overrides = CRS.overrides();
    for file in CRS.load(&crs) {
        for test in &file.tests {
            for (number, stage) in test.stages.iter().enumerate() {
                if let Err(error) = Head::parse(&stage.request())
                    && overrides.of(&test.id, number).is_none()
                {
                    let expected = &stage.output;
                    assert!(
                        expected.expect_ids.is_empty() && expected.match_regex.is_none(),
                        "{}: {error}",
                        test.id
                    );
                    assert!(
                        expected.status.is_empty() || expected.status.contains(&error.status),
                        "{}: {error}",
                        test.id
                    );
                }
            }
        }
    }
}
