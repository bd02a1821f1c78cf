//! SecLang: rule text -> syntax tree with spans. Pure; what the words mean is `waf`'s business.
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
