//! host + path + method -> route. Pure.

/// All routes, ready to be asked.
#[derive(Debug, Default)]
pub struct RouteTable {}
