//! The configuration that the CRS's regression tests are written for.

use std::path::Path;

use waf::{RuleSet, RuleSetBuilder};

/// The configuration that is loaded before `crs-setup.conf` for the CRS's tests.
pub const CRS_TEST_SETUP: &str = include_str!("crs_setup.conf");

/// The CRS in the folder `crs` (its `crs-setup.conf.example` and `rules/*.conf`), set up for its tests.
#[must_use]
pub fn crs_rules(crs: &Path) -> RuleSetBuilder {
    RuleSet::builder()
        .text("crs-test-setup.conf", CRS_TEST_SETUP)
        .files(crs.join("crs-setup.conf.example").to_string_lossy())
        .files(crs.join("rules/*.conf").to_string_lossy())
}
