//! What a route answers itself, and what it changes in requests and answers: redirects, fixed answers, header fields,
//! rewritten paths, what pages of other origins may read, what refusals look like.
//!
//! Pure: the configuration makes these values, the proxy gives them the [`Facts`] of a request and sends what they make of
//! them. Invariant: no value of a request can end a header field or leave the host that a redirect names.

mod cors;
mod field;
mod fixed;
mod page;
mod redirect;
mod rewrite;
mod security_headers;
mod template;

pub use cors::{Cors, Names as CorsNames, Origin, OriginError, Origins, Preflight, PreflightFault};
pub use field::{FieldChanges, FieldEdit, FieldError, FieldName, Message};
pub use fixed::{FixedAnswer, RouteAnswer};
pub use page::{
    ErrorPages, MAX_PAGE, PageError, PageFacts, PageFault, PageFor, PageFormat, PageReason,
    PageText,
};
pub use redirect::{Redirect, RedirectError, RedirectFault, RedirectHost, RedirectStatus};
pub use rewrite::{Rewrite, RewriteError};
pub use security_headers::{
    CSP_DIRECTIVES, CspError, Hsts, SecurityField, SecurityHeaders, check_csp,
};
pub use template::{Facts, Template, TemplateError, TlsFact, Use, Variable};
