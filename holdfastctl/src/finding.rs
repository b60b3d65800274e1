//! What is wrong, and where.

use crate::codes::Code;
use crate::document::Span;

/// One thing that is wrong with a file, or that its author should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) code: &'static Code,
    /// The number of its file.
    pub(crate) file: usize,
    pub(crate) span: Span,
    /// Of a plugin's configuration: the JSON path.
    pub(crate) path: Option<String>,
    /// What stands there.
    pub(crate) found: String,
    /// What may stand there, or what to do.
    pub(crate) allowed: String,
}

// === impl Finding ===

impl Finding {
    pub(crate) fn new(
        code: &'static Code,
        file: usize,
        span: &Span,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self { code, file, span: span.clone(), path: None, found: found.into(), allowed: allowed.into() }
    }
}
