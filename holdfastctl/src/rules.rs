//! What a plugin can't know of itself: what is around it in the proxy's configuration.

mod clusters;
mod entries;
mod filters;
mod kong;
mod routes;

use crate::check::Context;
use crate::finding::Finding;

/// One or more checks of everything that was read.
type Rule = fn(&Context<'_>, &mut Vec<Finding>);

const RULES: [Rule; 17] = [
    entries::flag,
    entries::fails_open,
    entries::literals,
    entries::reload,
    filters::order,
    filters::chain,
    filters::shared,
    filters::buffer,
    filters::exposed,
    routes::retried,
    routes::hash,
    routes::lease,
    clusters::store,
    clusters::ejection,
    kong::plugins,
    kong::services,
    kong::settings,
];

/// All of them.
pub(crate) fn apply(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for rule in RULES {
        rule(context, findings);
    }
}
