//! The walk over one JSON object.

use super::Faults;
use super::values::{decimal, duration, millionths, shown, whole};
use crate::json::{Object, Value};
use crate::ratio::{PPM, Ratio};
use core::time::Duration;

/// The least and the greatest value allowed, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds<T> {
    /// The least.
    pub least: T,
    /// The greatest.
    pub most: T,
}

impl<T: PartialOrd> Bounds<T> {
    /// From `least` to `most`.
    pub const fn new(least: T, most: T) -> Self {
        Self { least, most }
    }

    fn hold(&self, value: &T) -> bool {
        *value >= self.least && *value <= self.most
    }
}

/// The JSON path of the field `name` of the object at `path`.
pub fn path_of(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain { format!("{path}.{name}") } else { format!("{path}[{}]", Value::from(name)) }
}

/// Walks one JSON object and notes its faults.
#[derive(Debug)]
pub struct Reader<'a> {
    path: String,
    fields: &'a Object,
    used: Vec<&'a str>,
    faults: Faults,
}

impl<'a> Reader<'a> {
    /// Reads the root object with `read`, then reports unknown fields too.
    pub fn root<T>(value: &'a Value, read: impl FnOnce(&mut Self) -> T) -> Result<T, Faults> {
        let Value::Object(fields) = value else {
            return Err(Faults::one("$", shown(value), "a JSON object"));
        };
        let mut reader = Reader { path: "$".to_owned(), fields, used: Vec::new(), faults: Faults::default() };
        let result = read(&mut reader);
        let faults = reader.finish();
        if faults.is_empty() { Ok(result) } else { Err(faults) }
    }

    /// What `read` makes of an empty object: the defaults.
    pub fn defaults<T>(read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
        let fields = Object::default();
        read(&mut Reader { path: "$".to_owned(), fields: &fields, used: Vec::new(), faults: Faults::default() })
    }

    fn finish(mut self) -> Faults {
        for name in self.fields.keys() {
            if !self.used.contains(&name) {
                let mut allowed = String::new();
                for known in &self.used {
                    allowed.push_str(if allowed.is_empty() { "one of " } else { ", " });
                    allowed.push_str(known);
                }
                if allowed.is_empty() {
                    allowed.push_str("no field here");
                }
                self.faults.push(&self.at(name), "an unknown field", allowed);
            }
        }
        self.faults
    }

    fn at(&self, name: &str) -> String {
        path_of(&self.path, name)
    }

    /// Notes a fault of the field `name`.
    pub fn fault(&mut self, name: &str, found: impl Into<String>, allowed: impl Into<String>) {
        let path = if name.is_empty() { self.path.clone() } else { self.at(name) };
        self.faults.push(&path, found.into(), allowed.into());
    }

    /// Takes over faults that were found by other means, such as what a host lacks.
    pub fn adopt(&mut self, faults: Faults) {
        self.faults.append(faults);
    }

    /// Whether the object has this field. Doesn't mark it as known.
    pub fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some()
    }

    /// The names in this object, for objects whose names are free; marks them as known.
    pub fn names(&mut self) -> Vec<&'a str> {
        let names: Vec<&'a str> = self.fields.keys().collect();
        self.used.extend(&names);
        names
    }

    /// The field as it stands; `None` where it is absent.
    pub fn raw(&mut self, name: &'static str) -> Option<&'a Value> {
        if !self.used.contains(&name) {
            self.used.push(name);
        }
        self.fields.get(name)
    }

    /// Configurations are read once, so a call through a pointer costs nothing and saves a copy per field type in the module.
    fn field<T>(
        &mut self,
        name: &'static str,
        default: T,
        allowed: &dyn Fn() -> String,
        take: &dyn Fn(&'a Value) -> Option<T>,
    ) -> T {
        let Some(value) = self.raw(name) else { return default };
        take(value).unwrap_or_else(|| {
            self.fault(name, shown(value), allowed());
            default
        })
    }

    /// `true` or `false`.
    pub fn bool(&mut self, name: &'static str, default: bool) -> bool {
        self.field(name, default, &|| "true or false".into(), &Value::as_bool)
    }

    /// A whole number within bounds (`20` and `20.0` are the same: a protobuf Struct knows only doubles).
    pub fn integer(&mut self, name: &'static str, default: u64, bounds: Bounds<u64>) -> u64 {
        let allowed = || format!("a whole number from {} to {}", bounds.least, bounds.most);
        self.field(name, default, &allowed, &|value| whole(value).filter(|n| bounds.hold(n)))
    }

    /// A number of at most 6 decimals within bounds, in parts per million.
    pub fn ppm(&mut self, name: &'static str, default: u64, bounds: Bounds<u64>) -> u64 {
        let allowed = || {
            format!("a number from {} to {} with at most 6 decimals", decimal(bounds.least, 6), decimal(bounds.most, 6))
        };
        self.field(name, default, &allowed, &|value| millionths(value).filter(|n| bounds.hold(n)))
    }

    /// A share from `least` to 1.
    pub fn ratio(&mut self, name: &'static str, default: Ratio, least: Ratio) -> Ratio {
        let bounds = Bounds::new(u64::from(least.ppm()), u64::from(PPM));
        let ppm = self.ppm(name, u64::from(default.ppm()), bounds);
        u32::try_from(ppm).ok().and_then(Ratio::from_ppm).unwrap_or(default)
    }

    /// A share above 0, or `null` for "never".
    pub fn ratio_or_never(&mut self, name: &'static str, default: Option<Ratio>) -> Option<Ratio> {
        let allowed = || "a number from 0.000001 to 1 with at most 6 decimals, or null for never".into();
        let bounds = Bounds::new(1, u64::from(PPM));
        self.field(name, default, &allowed, &|value| match value {
            Value::Null => Some(None),
            _ => millionths(value).filter(|n| bounds.hold(n)).map(|n| u32::try_from(n).ok().and_then(Ratio::from_ppm)),
        })
    }

    /// A duration: `"250ms"`, `"10s"`, `"2m"`, `"1h"`, or whole milliseconds.
    pub fn duration(&mut self, name: &'static str, default: Duration, bounds: Bounds<Duration>) -> Duration {
        let allowed = || {
            let (least, most) = (bounds.least.as_millis(), bounds.most.as_millis());
            format!(
                "a duration from {least}ms to {most}ms, such as \"250ms\", \"10s\", \"2m\", \"1h\" or whole milliseconds"
            )
        };
        self.field(name, default, &allowed, &|value| duration(value).filter(|wait| bounds.hold(wait)))
    }

    /// A text for which `check` holds; `allowed` says what that is.
    pub fn text(&mut self, name: &'static str, default: &str, allowed: &str, check: impl Fn(&str) -> bool) -> String {
        self.field(name, default.to_owned(), &|| allowed.to_owned(), &|value| {
            value.as_str().filter(|text| check(text)).map(str::to_owned)
        })
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, name: &'static str, default: T, words: &[(&'static str, T)]) -> T {
        let allowed = || words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        self.field(name, default, &allowed, &|value| {
            let word = value.as_str()?;
            words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
        })
    }

    /// A list whose items `take` understands; each item that it doesn't is a fault of its own.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        default: Vec<T>,
        allowed: &str,
        take: impl Fn(&'a Value) -> Option<T>,
    ) -> Vec<T> {
        self.items(name, default, allowed, &take)
    }

    fn items<T>(
        &mut self,
        name: &'static str,
        default: Vec<T>,
        allowed: &str,
        take: &dyn Fn(&'a Value) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = self.raw(name) else { return default };
        let Value::Array(items) = value else {
            self.fault(name, shown(value), format!("a list; each item {allowed}"));
            return default;
        };
        let mut taken = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            match take(item) {
                Some(item) => taken.push(item),
                None => self.faults.push(&format!("{}[{n}]", self.at(name)), shown(item), allowed),
            }
        }
        taken
    }

    /// A text under a free name (one of [`Reader::names`]).
    pub fn text_of(&mut self, name: &str, allowed: &str, check: impl Fn(&str) -> bool) -> String {
        match self.fields.get(name).map(|value| (value, value.as_str().filter(|text| check(text)))) {
            Some((_, Some(text))) => text.to_owned(),
            Some((value, None)) => {
                self.fault(name, shown(value), allowed);
                String::new()
            }
            None => String::new(),
        }
    }

    /// A list of texts under a free name (one of [`Reader::names`]).
    pub fn strings_of(&mut self, name: &str, allowed: &str, check: impl Fn(&str) -> bool) -> Vec<String> {
        let Some(Value::Array(items)) = self.fields.get(name) else {
            self.fault(
                name,
                self.fields.get(name).map_or_else(|| "nothing".into(), shown),
                format!("a list; each item {allowed}"),
            );
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            match item.as_str().filter(|text| check(text)) {
                Some(text) => texts.push(text.to_owned()),
                None => self.faults.push(&format!("{}[{n}]", self.at(name)), shown(item), allowed),
            }
        }
        texts
    }

    /// A nested object, read by `read`; `None` where it is absent or `null`.
    pub fn object<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Reader<'a>) -> T) -> Option<T> {
        let mut inner = self.nested(name)?;
        let result = read(&mut inner);
        self.faults.0.extend(inner.finish().0);
        Some(result)
    }

    /// A list of objects, each read by `read`. What is no object isn't shown: it may be a secret without its `{"literal": ...}`.
    pub fn objects<T>(
        &mut self,
        name: &'static str,
        allowed: &str,
        mut read: impl FnMut(&mut Reader<'a>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.raw(name) else { return Vec::new() };
        let Value::Array(items) = value else {
            self.fault(name, "no list", format!("a list; each item {allowed}"));
            return Vec::new();
        };
        let mut taken = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            let path = format!("{}[{n}]", self.at(name));
            let Value::Object(fields) = item else {
                self.faults.push(&path, "no object", allowed);
                continue;
            };
            let mut inner = Self { path, fields, used: Vec::new(), faults: Faults::default() };
            taken.push(read(&mut inner));
            self.faults.append(inner.finish());
        }
        taken
    }

    fn nested(&mut self, name: &'static str) -> Option<Reader<'a>> {
        match self.raw(name)? {
            Value::Null => None,
            Value::Object(fields) => {
                Some(Self { path: self.at(name), fields, used: Vec::new(), faults: Faults::default() })
            }
            other => {
                self.fault(name, shown(other), "an object or null");
                None
            }
        }
    }
}
