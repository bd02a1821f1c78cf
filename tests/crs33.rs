//! The regression tests of CRS 3.3, in the older format, in process.

mod corpus;

use corpus::Corpus;

#[test]
fn every_test_passes() {
    Corpus {
        variable: "CRS33_DIR",
        folder: "crs-3.3",
        overrides: "crs33-overrides.yaml",
        tests: 2_553,
    }
    .run();
}
