//! The log: one JSON line per event, and not more of them than anybody can read.
//!
//! Transitions are rare and always told. Everything else is limited to [`PER_SECOND`] lines per second and VM; the
//! next line says how many were left out. Nothing a client sent is logged unless it was cleaned.

use crate::cell::CellError;
use crate::host::Host;
use crate::json::{Fields, Value};
use core::cell::Cell;
use log::Level;

/// Lines per second and VM, transitions not counted.
pub const PER_SECOND: u32 = 5;

/// One plugin instance's log in one VM.
#[derive(Debug)]
pub struct Journal {
    head: [(&'static str, Value); 3],
    second: Cell<u64>,
    written: Cell<u32>,
    suppressed: Cell<u64>,
}

impl Journal {
    /// Lines that begin with the plugin's name, chain and instance.
    pub fn new(plugin: &str, chain: &str, instance: &str) -> Self {
        let head =
            [("holdfast", Value::from(plugin)), ("chain", Value::from(chain)), ("instance", Value::from(instance))];
        Self { head, second: Cell::new(0), written: Cell::new(0), suppressed: Cell::new(0) }
    }

    /// A change of state: always written.
    pub fn transition<H: Host>(&self, host: &H, event: &str, fields: &[(&str, Value)]) {
        self.write(host, Level::Warn, event, fields);
    }

    /// Anything else: written if the second's share is not used up.
    pub fn note<H: Host>(&self, host: &H, level: Level, event: &str, fields: &[(&str, Value)]) {
        let second = host.now().as_millis() / 1_000;
        if self.second.replace(second) != second {
            self.written.set(0);
        }
        if self.written.get() >= PER_SECOND {
            self.suppressed.set(self.suppressed.get() + 1);
            return;
        }
        self.written.set(self.written.get() + 1);
        self.write(host, level, event, fields);
    }

    /// A key's shared state could not be read or changed.
    pub fn state_unavailable<H: Host>(&self, host: &H, key: &str, error: CellError) {
        let fields = [("key", Value::from(key)), ("error", Value::from(error.to_string()))];
        self.note(host, Level::Error, "state_unavailable", &fields);
    }

    fn write<H: Host>(&self, host: &H, level: Level, event: &str, fields: &[(&str, Value)]) {
        let mut line = Fields::default();
        for (name, value) in &self.head {
            line.add(name, value);
        }
        line.add("event", &Value::from(event));
        for (name, value) in fields {
            line.add(name, value);
        }
        let suppressed = self.suppressed.replace(0);
        if suppressed > 0 {
            line.add("suppressed", &Value::from(suppressed));
        }
        host.log(level, &line.end());
    }
}
