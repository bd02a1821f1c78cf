//! The regression tests of CRS 3.3, in the older format, in process.

use support::corpus::Corpus;
use support::materials;

#[test]
fn every_test_passes() {
    Corpus {
        folder: materials::crs33,
        overrides: "tests/crs33-overrides.yaml",
        tests: 2_553,
    }
    .run();
}
