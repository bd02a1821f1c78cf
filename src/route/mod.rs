//! Finds the route of a request by host, path and method, and the exposure of a route on a listener.
//!
//! Pure, without I/O: it knows neither the configuration nor what a route leads to.
//!
//! A request selects the most specific route, whatever the order in the file: an exact host goes before the longest
//! wildcard and that before `*`; then an exact path goes before the longest prefix. The most specific route decides
//! even if it does not take the method: the answer is 405, not a less specific route. It decides even if it does not
//! name the listener: the answer is 404, so that nobody reaches what is internal from outside through a less specific
//! route.

mod claim;
mod exposure;
mod fold;
mod host;
pub mod path;
mod path_regex;
mod pattern;
mod stream;
mod table;

pub use claim::{Claim, HostPattern, MethodSet, PathPattern};
pub use exposure::{Exposures, Overlap, Pairs};
pub use host::normalize as normalize_host;
pub use path_regex::{PathRegex, PathRegexError};
pub use pattern::{PatternError, PatternFault};
pub use stream::Stream;
pub use table::{DuplicateClaim, Lookup, RouteTable};
