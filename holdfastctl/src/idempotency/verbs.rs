//! `list`, `show` and `find`: nothing is changed.

use super::answer::secrets;
use super::index::{self, Line};
use super::store::{Question, Store};
use super::view::View;
use super::{Answer, Find, Request};
use idempotency::header::{Syntax, parse};
use idempotency::scope::Scope;
use idempotency::secret::Secrets;
use idempotency::store::Names;
use idempotency::store::redis::Call;
use idempotency::store::redis::settle;
use serde_json::json;
use std::collections::HashMap;
use std::process::ExitCode;

/// The index, each line beside the record that it is about: the index is help, the record is the truth.
pub(super) fn list(store: &mut Store, namespace: &str, all: bool) -> Result<Answer, String> {
    let noted = index::lines(store, namespace)?;
    let unreadable = noted.iter().filter(|line| line.is_none()).count();
    let lines: Vec<(Line, u64)> = noted.into_iter().flatten().collect();
    let questions: Vec<Question> = lines.iter().map(|(line, _)| Question::from(&Call::look(&line.names))).collect();
    let looks = store.ask_all(&questions, settle::look)?;
    let view = |((line, at), look): ((Line, u64), _)| View {
        names: line.names.clone(),
        line: Some(line),
        noted: Some(at),
        look,
        shared: false,
    };
    let mut views: Vec<View> = lines.into_iter().zip(looks).map(view).collect();
    mark_shared(&mut views);
    let count = |stage: &str| views.iter().filter(|view| view.stage() == stage).count();
    let (uncertain, running) = (count("uncertain"), count("running"));
    let ended = views.len() - uncertain - running;
    let shown: Vec<&View> = views.iter().filter(|view| all || view.is_open()).collect();
    let rows: String = shown.iter().map(|view| view.row()).collect();
    let head = if shown.is_empty() { String::new() } else { head() };
    let rest = if ended > 0 && !all { " (--all shows them)" } else { "" };
    let odd = if unreadable > 0 { format!(", {unreadable} lines that no gateway has written") } else { String::new() };
    let text = format!(
        "{head}{rows}{uncertain} uncertain, {running} still running, {ended} ended since{rest} in namespace {namespace:?}{odd}\n"
    );
    let value = json!({
        "namespace": namespace, "keys": shown.iter().map(|view| view.value()).collect::<Vec<_>>(),
        "uncertain": uncertain, "running": running, "ended": ended, "unreadable": unreadable,
    });
    Ok((value, text, ExitCode::SUCCESS))
}

/// Fences begin at the store's time: two keys that were claimed in one millisecond have the same.
fn mark_shared(views: &mut [View]) {
    let mut times: HashMap<Option<u64>, usize> = HashMap::new();
    for view in &*views {
        *times.entry(view.fence()).or_default() += 1;
    }
    for view in views {
        view.shared = times.get(&view.fence()).is_some_and(|times| *times > 1);
    }
}

fn head() -> String {
    format!("{:<70}  {:<9}  {:>14}  {:<12}  ROUTE\n", "ID", "STAGE", "FENCE", "NOTED")
}

/// One record.
pub(super) fn show(store: &mut Store, namespace: &str, id: &str) -> Result<Answer, String> {
    Ok(shown(&view(store, namespace, id)?))
}

/// The record of one request.
pub(super) fn find(wish: &Find) -> Result<Answer, String> {
    let secrets = secrets(&wish.secret_env)?;
    let names = names(&wish.request, &wish.place.namespace, &secrets)?;
    let mut store = wish.place.open()?;
    let look = store.ask(&Question::from(&Call::look(&names)), settle::look)?;
    let mut line = None;
    for name in names.iter() {
        line = line.or(index::line(&mut store, &wish.place.namespace, name.as_str())?);
    }
    Ok(shown(&View { names, line, noted: None, look, shared: false }))
}

/// What the gateways call the record of a request: a name for each secret, in their order.
pub(super) fn names(request: &Request, namespace: &str, secrets: &Secrets) -> Result<Names, String> {
    let variable = &request.key_env;
    let key = std::env::var(variable).map_err(|_| format!("--key-env {variable}: no such variable"))?;
    let syntax = if request.plain { Syntax::Plain } else { Syntax::Structured { strict: false } };
    let key = parse(key.as_bytes(), syntax);
    let key = key.map_err(|refusal| format!("--key-env {variable}: no key ({})", refusal.as_str()))?;
    let tenant: Vec<&[u8]> = request.tenant.iter().map(String::as_bytes).collect();
    let scope = Scope {
        namespace,
        tenant: &tenant,
        method: request.method.as_bytes(),
        target: request.path.as_bytes(),
        key: key.text.as_bytes(),
    };
    Names::new(scope.names(secrets)).ok_or_else(|| "no secret".to_owned())
}

fn shown(view: &View) -> Answer {
    let code = if view.seen().is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    (view.value(), view.page(), code)
}

/// A record by its id, whether the index has a line of it or not.
pub(super) fn view(store: &mut Store, namespace: &str, id: &str) -> Result<View, String> {
    let only = Names::new([id.to_owned()]).ok_or_else(|| format!("{id:?} is no id; `list` prints them"))?;
    let line = index::line(store, namespace, id)?;
    let names = line.as_ref().map_or(only, |line| line.names.clone());
    let look = store.ask(&Question::from(&Call::look(&names)), settle::look)?;
    Ok(View { names, line, noted: None, look, shared: false })
}
