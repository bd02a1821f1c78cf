//! The Core Rule Set: its files through the parser, its regression tests through the engine.

// As everybody else calls it.
extern crate drawbridge_ftw as ftw;

mod crs33;
mod crs4;
mod seclang_files;
