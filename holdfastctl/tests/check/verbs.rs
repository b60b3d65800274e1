//! The other verbs, and how the command ends.

use crate::run::{answer, folder, holdfastctl, repository, told};

fn stdout(arguments: &[&str]) -> String {
    String::from_utf8(holdfastctl(&repository(), arguments).stdout).expect("UTF-8")
}

#[test]
fn a_finding_is_shown_in_its_file_and_explained() {
    let folder = folder("shown");
    std::fs::write(folder.join("breaker.json"), "{\n  \"failure_ratio\": 2,\n  \"colour\": 1\n}\n").expect("a file");
    let output = holdfastctl(&folder, &["check", "--plugin", "circuit-breaker", "breaker.json"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in [
        "error[HF002]: The plugin refuses this configuration.",
        "--> breaker.json:2:20",
        "$.failure_ratio: found 2",
        "--> breaker.json:3:3",
        "$.colour: found an unknown field",
        "1 file, 1 plugin: 2 errors, 0 warnings",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(stdout(&["explain", "hf002"]).starts_with("HF002 (error): The plugin refuses this configuration.\n"));
}

#[test]
fn exit_codes_tell_what_became_of_it() {
    let folder = folder("codes");
    std::fs::write(folder.join("good.json"), "{}").expect("a file");
    std::fs::write(
        folder.join("warned.json"),
        r#"{"insecure_literal": true, "debug_token": {"literal": "open sesame, please"}}"#,
    )
    .expect("a file");
    let code = |arguments: &[&str]| holdfastctl(&folder, arguments).status.code();
    let plugin = ["check", "--plugin", "circuit_breaker"];
    assert_eq!(code(&[&plugin[..], &["good.json"]].concat()), Some(0));
    assert_eq!(code(&[&plugin[..], &["warned.json"]].concat()), Some(0));
    assert_eq!(code(&[&plugin[..], &["--strict", "warned.json"]].concat()), Some(1));
    assert_eq!(code(&["check", "nowhere.yaml"]), Some(2));
    assert_eq!(code(&["check", "--plugin", "nobody", "good.json"]), Some(2));
    assert_eq!(code(&["explain", "HF999"]), Some(2));
    assert_eq!(code(&["nothing"]), Some(2));
}

#[test]
fn the_same_configuration_is_good_for_one_proxy_and_not_for_the_other() {
    let folder = folder("proxies");
    std::fs::write(folder.join("c.yaml"), "store: {kind: memory, slots: 4096}\n").expect("a file");
    let told = |proxy| told(&answer(&folder, &["check", "--plugin", "idempotency", "--proxy", proxy, "c.yaml"]));
    assert_eq!(told("kong"), ["HF002 c.yaml:1:1", "HF002 c.yaml:1:8"]);
    assert_eq!(told("envoy"), ["HF002 c.yaml:1:1"]);
    // An empty list has become an empty object once it has been in Lua.
    std::fs::write(folder.join("l.yaml"), "key_allow: {}\nkey: [method]\nfailure_on: {status: []}\n").expect("a file");
    let told = |proxy| {
        crate::run::told(&answer(&folder, &["check", "--plugin", "circuit_breaker", "--proxy", proxy, "l.yaml"]))
    };
    assert!(told("kong").len() > told("envoy").len(), "{:?}", told("kong"));
}

#[test]
fn a_secret_in_kong_must_be_let_through_by_nginx() {
    let folder = folder("environment");
    let kong = "_format_version: '3.0'\nservices:\n- name: a\n  url: http://a\n  plugins:\n  - name: circuit_breaker\n    config: {debug_token: {env: TOKEN}}\n";
    std::fs::write(folder.join("kong.yml"), kong).expect("a file");
    assert_eq!(told(&answer(&folder, &["check", "kong.yml"])), [""; 0], "what isn't known here may be there");
    for (lets, expected) in
        [("TOKEN", vec![]), ("A; env TOKEN", vec![]), ("TOKEN=secret", vec![]), ("OTHER", vec!["HF002 kong.yml:7:27"])]
    {
        let conf = format!("nginx_wasm_shm_kv = 64m\nnginx_main_env = {lets}\n");
        std::fs::write(folder.join("kong.conf"), conf).expect("a file");
        assert_eq!(told(&answer(&folder, &["check", "kong.yml", "kong.conf"])), expected, "{lets}");
    }
}

#[test]
fn a_schema_is_the_one_that_kong_reads() {
    let shipped = std::fs::read_to_string(repository().join("kong-configs/circuit_breaker.meta.json")).expect("a file");
    let shipped: serde_json::Value = serde_json::from_str(&shipped).expect("JSON");
    let own: serde_json::Value = serde_json::from_str(&stdout(&["schema", "circuit-breaker"])).expect("JSON");
    assert_eq!(own, shipped["config_schema"]);
    let said: serde_json::Value =
        serde_json::from_str(&stdout(&["schema", "circuit-breaker", "--draft", "04"])).expect("JSON");
    assert_eq!(own, said);
}

#[test]
fn a_schema_comes_in_the_draft_of_editors_too() {
    let modern: serde_json::Value =
        serde_json::from_str(&stdout(&["schema", "retry_budget", "--draft", "2020-12"])).expect("JSON");
    assert_eq!(modern["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(modern.get("dependencies").is_none() && modern["dependentSchemas"].is_object(), "{modern}");
    assert_eq!(holdfastctl(&repository(), &["schema", "retry_budget", "--draft", "07"]).status.code(), Some(2));
}

#[test]
fn every_code_is_explained_in_the_docs() {
    let path = repository().join("docs/checks.md");
    let text = std::fs::read_to_string(&path).expect("docs/checks.md");
    let (before, rest) = text.split_once("<!-- codes -->\n").expect("a place for the codes");
    let (_, after) = rest.split_once("<!-- end of codes -->").expect("its end");
    let codes = answer(&repository(), &["explain"]);
    let text_of = |one: &serde_json::Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    let row = |one: &serde_json::Value| {
        format!(
            "| `{}` | {} | {} | {} |\n",
            text_of(one, "code"),
            text_of(one, "severity"),
            text_of(one, "title"),
            text_of(one, "why")
        )
    };
    let rows: String = codes.as_array().expect("codes").iter().map(row).collect();
    let table = format!(
        "<!-- codes -->\n| code | | what is wrong | why, and what to do |\n|---|---|---|---|\n{rows}<!-- end of codes -->"
    );
    let made = format!("{before}{table}{after}");
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        std::fs::write(&path, &made).expect("the file written");
    }
    assert!(made == text, "the table of docs/checks.md is made of the codes: HOLDFAST_BLESS=1 writes it");
}

/// As with `| head -1`.
#[test]
fn who_reads_no_further_is_left_in_peace() {
    use std::io::BufRead as _;
    use std::process::{Command, Stdio};
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfastctl"));
    command.args(["schema", "holdfast_suite"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command");
    let mut line = String::new();
    let mut reader = std::io::BufReader::with_capacity(16, child.stdout.take().expect("its stdout"));
    reader.read_line(&mut line).expect("a line");
    drop(reader);
    let output = child.wait_with_output().expect("its end");
    assert_eq!((line.as_str(), output.status.code(), output.stderr.len()), ("{\n", Some(0), 0), "{output:?}");
}

#[test]
fn completions_are_printed() {
    assert!(stdout(&["completions", "bash"]).contains("holdfastctl"));
}
