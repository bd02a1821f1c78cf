//! SecLang: from rule text to a syntax tree with spans.
//!
//! It knows the grammar and the names of directives; what they mean is decided in `waf`.
//!
//! Source: ModSecurity v2 Reference Manual, "Configuration Directives".

pub mod diagnostic;
pub mod files;
pub mod glob;
pub mod suggest;

mod ast;
mod disk;
mod lists;
mod loader;
mod names;
mod parser;
mod pieced;
mod word;

pub use ast::{
    ActionSyntax, Directive, OperatorSyntax, RuleSyntax, Selector, Source, SourceId, Sources, Span,
    Spanned, TargetSyntax,
};
pub use disk::DiskFiles;
pub use loader::{Files, Input, Loaded, load};
pub use names::directive_names;
pub use parser::{Parsed, parse};

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
