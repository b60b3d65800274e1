//! What was executed.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use hyper::body::Bytes;
use hyper::header::HeaderMap;

/// One execution.
#[derive(Clone, Debug)]
pub struct Execution {
    /// From 1 on, over all keys.
    pub payment: usize,
    /// When its body was complete.
    pub at: Instant,
    /// The header `idempotency-key` as it came; empty where there was none.
    pub key: String,
    /// The header `x-holdfast-fence`, where it is a number.
    pub fence: Option<u64>,
    /// Path without the query.
    pub path: String,
    /// Headers as they came, added ones of the proxy included.
    pub headers: HeaderMap,
    /// The request's body.
    pub body: Bytes,
    /// Status and body that the service answered with, whether or not they arrived; `None` where it meant to give no answer.
    pub answer: Option<(u16, Bytes)>,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    executions: Vec<Execution>,
    by_key: HashMap<String, Vec<usize>>,
    pub(super) declined: usize,
}

// === impl Execution ===

impl Execution {
    /// A request header's first value; `None` where it is absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

// === impl Book ===

impl Book {
    /// Books an execution, which gets the next number and an answer that is made of it.
    pub(super) fn add(
        &mut self,
        mut execution: Execution,
        answer: impl FnOnce(&Execution) -> Option<(u16, Bytes)>,
    ) -> Execution {
        execution.payment = self.executions.len() + 1;
        execution.answer = answer(&execution);
        if !execution.key.is_empty() {
            self.by_key.entry(execution.key.clone()).or_default().push(self.executions.len());
        }
        self.executions.push(execution.clone());
        execution
    }

    pub(super) fn all(&self) -> &[Execution] {
        &self.executions
    }

    pub(super) fn of(&self, key: &str) -> Vec<Execution> {
        if key.is_empty() {
            return self.executions.iter().filter(|execution| execution.key.is_empty()).cloned().collect();
        }
        let numbers = self.by_key.get(key).map_or(&[][..], Vec::as_slice);
        numbers.iter().filter_map(|number| self.executions.get(*number)).cloned().collect()
    }

    pub(super) fn keys(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn executed(&self) -> BTreeMap<String, usize> {
        self.by_key.iter().map(|(key, numbers)| (key.clone(), numbers.len())).collect()
    }

    pub(super) fn repeated(&self) -> BTreeMap<String, usize> {
        let mut repeated = self.executed();
        repeated.retain(|_, times| *times > 1);
        repeated
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
