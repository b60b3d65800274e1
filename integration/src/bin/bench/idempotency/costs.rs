//! Requests that aren't theirs, beside the same requests without a filter and through a no-op module.

use std::iter;
use std::path::PathBuf;

use anyhow::Result;
use integration::Wasm;
use integration::config::wasm::modules;
use serde_json::{Value, json};

use super::plugin;
use crate::args::Args;
use crate::bed::{self, Bed};
use crate::load::Loader;
use crate::stats::Estimate;
use crate::subject::{Paths, Role, Subject, noop};
use crate::table::{Row, Table};
use crate::verdict::{Bound, Verdict};
use crate::{Figures, json as written, measure as rounds, report, solo};

/// What they may cost, in the no-op module's addition.
const TO_NOOP: f64 = 1.5;
/// The module's size in bytes.
const SIZE: f64 = 350.0 * 1024.0;

/// Measures, prints and judges.
pub(crate) fn measure(args: &Args, loader: &Loader, figures: &mut Figures) -> Result<()> {
    let (_service, port) = bed::service()?;
    let got = [("a GET", json!({}))];
    let posted = [("a POST to another path", json!({"paths": ["/pay"]})), ("a POST without a key", json!({}))];
    let kinds: [(_, _, &[_]); 2] = [("GET", Paths::One, &got), ("POST", Paths::OnePosted, &posted)];
    for (method, paths, cases) in kinds {
        let subjects = subjects(paths, cases, args)?;
        let solo = solo::all(&subjects, loader, args, port)?;
        let bed = Bed::direct(&subjects, port)?;
        let rounds = rounds::rounds(&bed, loader, args.rounds, args.requests)?;
        let title = format!("{method}, Envoy answers by itself");
        let table = Table::new(&title, &subjects, &rounds, solo);
        print!("{}", report::table(&table));
        figures.tables.push(written::table(&table));
        figures.verdicts.extend(table.rows.iter().filter_map(to_noop));
        if paths == Paths::One {
            figures.verdicts.extend(table.row(Role::NotOurs).and_then(size));
        }
    }
    Ok(())
}

/// Each case with the shipped build, and with the others that were named. The store is never asked, and need not be there.
fn subjects(paths: Paths, cases: &[(&str, Value)], args: &Args) -> Result<Vec<Subject>> {
    let store = json!({"kind": "redis", "cluster": "store"});
    let builds: Vec<(Role, String, PathBuf)> =
        iter::once((Role::NotOurs, String::new(), modules()?.join("idempotency.wasm")))
            .chain(args.also.iter().map(|also| (Role::Other, format!(": {}", also.name), also.file.clone())))
            .collect();
    let mut subjects = vec![Subject::stock(Role::None, "no filter", &[]).visited(3), noop()?];
    for (name, change) in cases {
        for (role, suffix, file) in &builds {
            let entry = plugin(Wasm::file("idempotency", file), &format!("case{}", subjects.len()), &store, change);
            let name = format!("idempotency, {name}{suffix}");
            subjects.push(Subject::wasm(*role, &name, &entry, file.clone()).visited(3));
        }
    }
    Ok(subjects.into_iter().map(|subject| Subject { paths, ..subject }).collect())
}

fn to_noop(row: &Row) -> Option<Verdict> {
    let measured = row.to_noop.filter(|_| row.subject.role == Role::NotOurs)?;
    let promise = format!("{}, times the no-op's addition", row.subject.name);
    Some(Verdict { promise, unit: "x", bound: Bound::AtMost(TO_NOOP), measured })
}

fn size(row: &Row) -> Option<Verdict> {
    // Far below 2^52, so the conversion is exact.
    #[allow(clippy::cast_precision_loss)]
    let bytes = row.module_size? as f64;
    let measured = Estimate { value: bytes, low: bytes, high: bytes };
    Some(Verdict { promise: "idempotency's module".into(), unit: "bytes", bound: Bound::AtMost(SIZE), measured })
}
