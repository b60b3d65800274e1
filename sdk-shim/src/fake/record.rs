//! What a worker was asked, in order.

use core::fmt;

/// One host call, as a test reads it: `increment(holdfast_x_total +1)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCall {
    /// The method of [`crate::host::Host`].
    pub name: &'static str,
    /// Its arguments, shortened to what a reader needs.
    pub args: String,
}

impl fmt::Display for HostCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.args)
    }
}

/// One line of the proxy's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How grave.
    pub level: log::Level,
    /// The text.
    pub line: String,
}
