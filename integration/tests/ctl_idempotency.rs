//! A payment of which nobody knows the end: an operator lists it, asks the service's books, settles it, and its client's next repeat gets that.
#![allow(clippy::disallowed_methods, reason = "the stories live in real time")]

mod idempotency;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use idempotency::load::{key, keys, pay};
use idempotency::store::Store;
use idempotency::{Kind, Plan, SECRETS, SOON, Site};
use integration::client::Response;
use integration::command::{Reply, holdfastctl, holdfastctl_as};
use integration::ledger::Trouble;
use integration::store::{Redis, Relay};
use integration::{ReservedPort, TestResult, eventually};
use serde_json::{Value, json};
use tempfile::tempdir;

const NAMESPACE: &str = "shop";

/// With a lease that a story can wait for.
fn plan(kind: Kind) -> Plan {
    Plan::new(kind).with(json!({"lease": "1s", "store": {"timeout": "500ms"}, "namespace": NAMESPACE}))
}

/// An operator beside a store, with the secrets at hand.
struct Operator {
    url: String,
}

impl Operator {
    fn of(site: &Site) -> TestResult<Self> {
        let port = match site.store.redis() {
            Ok(redis) => redis.port(),
            // Any node: where a key is, it says.
            Err(_) => site.store.cluster()?.ports()[0],
        };
        Ok(Self { url: format!("redis://127.0.0.1:{port}") })
    }

    fn run(&self, arguments: &[&str]) -> TestResult<Reply> {
        let variables = [&[("HOLDFAST_STORE", self.url.as_str())], &SECRETS[..]].concat();
        let place = ["--namespace", NAMESPACE];
        holdfastctl_as(&variables, &[&["--json", "idempotency"], arguments, &place].concat())
    }

    fn listed(&self) -> TestResult<Vec<Value>> {
        let answer = self.run(&["list"])?.json()?;
        answer["keys"].as_array().cloned().context("no keys")
    }

    /// What the gateways call a payment, by the key that the service's books have.
    fn find(&self, key: &str) -> TestResult<Value> {
        let variables = [&[("HOLDFAST_STORE", self.url.as_str()), ("KEY", key)], &SECRETS[..]].concat();
        let request = ["--key-env", "KEY", "--path", "/pay?amount=7", "--secret-env", SECRETS[0].0];
        let arguments = [&["--json", "idempotency", "find", "--namespace", NAMESPACE], &request[..]].concat();
        holdfastctl_as(&variables, &arguments)?.json()
    }

    fn show(&self, id: &str) -> TestResult<Value> {
        self.run(&["show", id])?.json()
    }

    fn resolve(&self, id: &str, end: &str, more: &[&str]) -> TestResult<Reply> {
        self.run(&[&["resolve", id, "--as", end], more].concat())
    }

    /// As done; whose record it is, is proved by its key.
    fn resolve_with_key(&self, id: &str, key: &str, more: &[&str]) -> TestResult<Reply> {
        let variables = [&[("HOLDFAST_STORE", self.url.as_str()), ("KEY", key)], &SECRETS[..]].concat();
        let request = ["--as", "done", "--key-env", "KEY", "--path", "/pay?amount=7", "--namespace", NAMESPACE];
        holdfastctl_as(&variables, &[&["--json", "idempotency", "resolve", id], &request[..], more].concat())
    }

    fn sealed(&self, id: &str, end: &str, more: &[&str]) -> TestResult<Reply> {
        self.resolve(id, end, &[&["--secret-env", SECRETS[0].0], more].concat())
    }
}

/// Payments that are made, and whose answers never come; the service is well again afterwards.
fn unanswered(site: &Site, keys: &[String]) -> TestResult {
    site.ledger.trouble(Trouble::Hang, 100);
    let edge = site.edges()[0];
    let sent: Vec<_> = keys
        .iter()
        .map(|key| {
            thread::spawn({
                let key = key.clone();
                move || pay(edge, &key).send()
            })
        })
        .collect();
    for one in sent {
        let answer = one.join().expect("a client")?;
        ensure!(answer.status == 504, "{answer:?}");
    }
    site.ledger.trouble(Trouble::None, 0);
    Ok(())
}

/// A client is told that nobody knows.
fn is_uncertain(edge: u16, key: &str) -> TestResult {
    eventually("nobody knows", SOON, || {
        let answer = pay(edge, key).send()?;
        anyhow::Ok((answer.status, answer.rejected_by()) == (409, Some("idempotency; cause=uncertain")))
    })
}

/// One payment of which nobody knows the end, and its id.
fn quarantined(site: &Site, operator: &Operator, key: &str) -> TestResult<String> {
    unanswered(site, &[key.to_owned()])?;
    is_uncertain(site.edges()[1], key)?;
    // A gateway writes the line when its client has been told already.
    eventually("it is listed", SOON, || anyhow::Ok(!operator.listed()?.is_empty()))?;
    let found = &operator.listed()?[0];
    assert_eq!(found["fence"].as_u64(), site.ledger.fences(key)[0]);
    assert_eq!(operator.find(key)?["id"], found["id"]);
    assert_eq!(
        (&found["stage"], &found["route"], &found["answer"]),
        (&"uncertain".into(), &"pay".into(), &false.into())
    );
    Ok(found["id"].as_str().context("no id")?.to_owned())
}

fn body(answer: &Response) -> TestResult<Value> {
    Ok(serde_json::from_slice(&answer.body)?)
}

fn assert_replayed(answer: &Response, status: u16) {
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (status, Some("true")), "{answer:?}");
}

// --- done ---

fn settled_as_done(kind: Kind) -> TestResult {
    let site = plan(kind).start()?;
    let (operator, key) = (Operator::of(&site)?, key(1));
    let id = quarantined(&site, &operator, &key)?;
    let fence = site.ledger.fences(&key)[0].context("no fence")?;
    let shown = operator.show(&id)?;
    assert_eq!(
        (&shown["stage"], &shown["fence"], &shown["settled"]),
        (&"uncertain".into(), &fence.into(), &Value::Null)
    );

    let resolved =
        operator.sealed(&id, "done", &["--fence", &fence.to_string(), "--reason", "in the bank's books"])?.json()?;
    assert_eq!((&resolved["resolved"], &resolved["index"]), (&true.into(), &Value::Null));
    for edge in site.edges() {
        let answer = pay(edge, &key).send()?;
        assert_replayed(&answer, 200);
        assert_eq!((&body(&answer)?["cause"], &body(&answer)?["fence"]), (&"settled_done".into(), &fence.into()));
    }
    assert_eq!(site.ledger.executions(&key).len(), 1);
    assert_eq!(operator.listed()?, [Value::Null; 0]);
    let shown = operator.show(&id)?;
    assert_eq!((&shown["stage"], &shown["answer"]), (&"done".into(), &true.into()));
    assert_eq!((&shown["settled"]["as"], &shown["settled"]["reason"]), (&"done".into(), &"in the bank's books".into()));
    // What is done stays.
    operator.sealed(&id, "failed", &[])?.ends_with(1, "its repeats are answered")?;
    site.assert_no_trap();
    Ok(())
}

#[test]
fn a_payment_that_was_made_is_settled_and_its_client_is_told() -> TestResult {
    settled_as_done(Kind::Redis)
}

#[test]
fn the_same_in_a_redis_cluster_whatever_node_is_asked() -> TestResult {
    settled_as_done(Kind::RedisCluster)
}

#[test]
fn a_client_gets_the_answer_that_the_operator_has_at_hand() -> TestResult {
    let site = plan(Kind::Redis).start()?;
    let (operator, key, folder) = (Operator::of(&site)?, key(1), tempdir()?);
    let id = quarantined(&site, &operator, &key)?;
    let receipt = folder.path().join("receipt.json").display().to_string();
    // As long as takes several pieces to read.
    let document = json!({"payment": 7, "note": "x".repeat(100_000)}).to_string();
    fs::write(&receipt, &document)?;
    let answer = ["--status", "201", "--header", "Content-Type: application/json", "--header", "location: /payments/7"];
    let more = [&answer[..], &["--body", &receipt]].concat();
    operator.sealed(&id, "done", &more)?.good()?;
    let answer = pay(site.edges()[1], &key).send()?;
    assert_replayed(&answer, 201);
    assert_eq!(
        (answer.header("location"), answer.header("content-type")),
        (Some("/payments/7"), Some("application/json"))
    );
    assert_eq!(answer.body, document.as_bytes());
    assert_eq!(site.ledger.executions(&key).len(), 1);
    Ok(())
}

// --- failed, release ---

#[test]
fn a_payment_that_failed_is_refused_for_good() -> TestResult {
    let site = plan(Kind::Redis).start()?;
    let (mut operator, key) = (Operator::of(&site)?, key(1));
    // With a user of its own, who may do what the docs list.
    let rules = "on >horse ~* -@all +eval +time +type +hmget +hget +hkeys +hset +hdel +del +pttl +pexpireat +zrem +zrange +hstrlen +scan";
    site.store.redis()?.ask(&[&["ACL", "SETUSER", "ops"], &rules.split(' ').collect::<Vec<_>>()[..]].concat())?;
    operator.url = operator.url.replace("redis://", "redis://ops:horse@");
    let id = quarantined(&site, &operator, &key)?;
    operator.sealed(&id, "failed", &[])?.good()?;
    for edge in site.edges() {
        let answer = pay(edge, &key).send()?;
        assert_replayed(&answer, 424);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(body(&answer)?["cause"], "settled_failed");
    }
    assert_eq!(site.ledger.executions(&key).len(), 1);
    Ok(())
}

#[test]
fn a_payment_that_was_not_made_is_released_and_runs_once_more() -> TestResult {
    let site = plan(Kind::Redis).start()?;
    let (operator, key) = (Operator::of(&site)?, key(1));
    let id = quarantined(&site, &operator, &key)?;
    let told = operator.resolve(&id, "release", &["--reason", "the bank knows nothing of it"])?;
    assert_eq!(told.json()?["resolved"], true);
    assert_eq!(operator.show(&id)?["stage"], "released");
    let [first, second] = [0, 1].map(|n| pay(site.edges()[n], &key).send());
    assert_eq!(first?.status, 201);
    assert_replayed(&second?, 201);
    let fences = site.ledger.fences(&key);
    assert!(fences.len() == 2 && fences[0].is_some() && fences[0] < fences[1], "{fences:?}");
    Ok(())
}

/// Nobody was left to write a line: the first repeat does.
#[test]
fn a_payment_whose_gateway_and_service_died_is_listed_when_its_client_repeats_it() -> TestResult {
    let site = plan(Kind::DurableRedis).start()?;
    let (operator, key) = (Operator::of(&site)?, key(1));
    site.ledger.trouble(Trouble::Hang, 100);
    let (edge, payer) = (site.edges()[0], key.clone());
    let client = thread::spawn(move || pay(edge, &payer).send());
    eventually("it has begun", SOON, || site.ledger.executions(&key).len() == 1)?;
    site.gateways[0].kill();
    site.ledger.kill();
    assert!(client.join().expect("a client").is_err(), "its connection was cut");
    assert_eq!(operator.listed()?, [Value::Null; 0]);
    assert_eq!(operator.find(&key)?["noted_fence"], Value::Null);

    site.ledger.trouble(Trouble::None, 0);
    site.ledger.restart();
    is_uncertain(site.edges()[1], &key)?;
    eventually("it is listed", SOON, || anyhow::Ok(operator.listed()?.len() == 1))?;
    let found = operator.find(&key)?;
    operator.resolve(found["id"].as_str().context("no id")?, "release", &[])?.good()?;
    assert_eq!(pay(site.edges()[1], &key).send()?.status, 201);
    assert_eq!(site.ledger.executions(&key).len(), 2);
    Ok(())
}

// --- what is left alone ---

#[test]
fn nothing_but_the_run_that_was_looked_at_is_settled() -> TestResult {
    let site = plan(Kind::Redis).with(json!({"lease": "5s"})).start()?;
    let operator = Operator::of(&site)?;
    site.ledger.trouble(Trouble::Hang, 100);
    let (edge, slow) = (site.edges()[0], key(1));
    let sent = thread::spawn(move || pay(edge, &slow).send());
    eventually("it has begun", SOON, || site.ledger.executions(&key(1)).len() == 1)?;
    let redis = site.store.redis()?;
    let begun = redis.ask(&["KEYS", "{????}*"])?;
    let id = begun.lines().last().context("no record")?.to_owned();
    operator.resolve(&id, "release", &[])?.ends_with(1, "its lease is over in")?;
    assert_eq!(operator.show(&id)?["stage"], "running");
    assert_eq!(sent.join().expect("a client")?.status, 504);
    is_uncertain(site.edges()[1], &key(1))?;

    let fence = site.ledger.fences(&key(1))[0].context("no fence")?;
    operator.resolve(&id, "release", &["--fence", &(fence - 1).to_string()])?.ends_with(1, "it has moved on")?;
    operator.sealed("{0000}0", "done", &[])?.ends_with(1, "there is no record")?;
    assert_eq!(operator.run(&["show", "{0000}0"])?.code(), Some(1));
    // An answer that came in time stays.
    site.ledger.trouble(Trouble::None, 0);
    assert_eq!(pay(site.edges()[0], &key(2)).send()?.status, 201);
    let all = redis.ask(&["KEYS", "{????}*"])?;
    let other = all.lines().find(|line| line.starts_with('{') && *line != id).context("no other record")?;
    operator.sealed(other, "failed", &[])?.ends_with(1, "its repeats are answered")?;
    operator.resolve(other, "release", &[])?.ends_with(1, "its repeats are answered")?;
    assert_replayed(&pay(site.edges()[1], &key(2)).send()?, 201);
    is_uncertain(site.edges()[0], &key(1))?;
    assert_eq!(site.ledger.total(), 2);
    Ok(())
}

#[test]
fn a_secret_that_is_not_the_gateways_is_noticed() -> TestResult {
    let site = plan(Kind::Redis).start()?;
    let (operator, key) = (Operator::of(&site)?, key(1));
    let id = quarantined(&site, &operator, &key)?;
    let wrong = ["--secret-env", SECRETS[1].0];
    // Nothing else in the store tells. It is said, and not more.
    assert_eq!(pay(site.edges()[0], &idempotency::load::key(2)).send()?.status, 201);
    let told = operator.resolve(&id, "done", &wrong)?;
    told.refuses("no gateway would open what it seals")?;
    is_uncertain(site.edges()[0], &key)?;
    let resolved = operator.sealed(&id, "done", &[])?.json()?;
    assert_eq!(resolved["secret_proved"], true);
    assert_replayed(&pay(site.edges()[0], &key).send()?, 200);

    // Who insists has closed the key: nobody is told anything, and nothing runs.
    let key = idempotency::load::key(3);
    let id = quarantined(&site, &operator, &key)?;
    let insisted = operator.resolve(&id, "done", &[&wrong[..], &["--trust-secret"]].concat())?.json()?;
    assert_eq!(insisted["secret_proved"], false);
    let answer = pay(site.edges()[0], &key).send()?;
    assert_eq!((answer.status, answer.rejected_by()), (409, Some("idempotency; cause=unknown")));
    assert_eq!(site.ledger.executions(&key).len(), 1);
    Ok(())
}

/// In the middle of a rotation the record is under the old secret's name, and the gateways look for both.
#[test]
fn a_payment_is_settled_while_the_secret_changes() -> TestResult {
    let site = plan(Kind::Redis).start()?;
    let (operator, key) = (Operator::of(&site)?, key(1));
    quarantined(&site, &operator, &key)?;
    let secrets = json!([{"env": SECRETS[1].0}, {"env": SECRETS[0].0}]);
    (0..2).try_for_each(|n| site.push(n, json!({"secret": secrets})))?;
    let id = eventually_listed_with_both(&site, &operator, &key)?;
    operator.sealed(&id, "done", &[])?.refuses("the record has 2 names")?;
    let both = ["--secret-env", SECRETS[1].0, "--secret-env", SECRETS[0].0];
    operator.resolve_with_key(&id, &key, &both)?.good()?;
    site.edges().into_iter().try_for_each(|edge| {
        assert_replayed(&pay(edge, &key).send()?, 200);
        TestResult::Ok(())
    })?;
    assert_eq!(operator.listed()?, [Value::Null; 0]);
    assert_eq!(site.ledger.executions(&key).len(), 1);
    Ok(())
}

/// Gateways have the secrets in one order before the roll and in another one behind it: a line may be of either. An answer under the wrong one of them could
/// never be opened, nor taken back.
#[test]
fn the_order_of_secrets_closes_no_payment_for_good() -> TestResult {
    let site = plan(Kind::Redis).start()?;
    let (operator, key) = (Operator::of(&site)?, key(1));
    // Another payment's answer: it proves that a secret is the gateways', and not which one made this record's name.
    assert_eq!(pay(site.edges()[0], &idempotency::load::key(2)).send()?.status, 201);
    quarantined(&site, &operator, &key)?;
    let secrets = json!([{"env": SECRETS[1].0}, {"env": SECRETS[0].0}]);
    (0..2).try_for_each(|n| site.push(n, json!({"secret": secrets})))?;
    let id = eventually_listed_with_both(&site, &operator, &key)?;
    let order = ["--secret-env", SECRETS[0].0, "--secret-env", SECRETS[1].0];
    operator.resolve(&id, "done", &order)?.refuses("say --key-env and --path")?;
    let other = idempotency::load::key(2);
    operator.resolve_with_key(&id, &other, &order)?.refuses("under none of these secrets")?;
    is_uncertain(site.edges()[0], &key)?;
    let resolved = operator.resolve_with_key(&id, &key, &order)?.json()?;
    assert_eq!(resolved["secret_proved"], true);
    site.edges().into_iter().try_for_each(|edge| {
        assert_replayed(&pay(edge, &key).send()?, 200);
        TestResult::Ok(())
    })?;
    assert_eq!(site.ledger.executions(&key).len(), 1);
    Ok(())
}

/// The first gateway that is asked with both secrets notes the key under its new name.
fn eventually_listed_with_both(site: &Site, operator: &Operator, key: &str) -> TestResult<String> {
    let before = operator.listed()?[0]["id"].clone();
    let mut id = None;
    eventually("it has another id", SOON, || {
        is_uncertain(site.edges()[0], key)?;
        is_uncertain(site.edges()[1], key)?;
        id = operator.listed()?.iter().map(|one| one["id"].clone()).find(|one| *one != before);
        anyhow::Ok(id.is_some())
    })?;
    Ok(id.as_ref().and_then(Value::as_str).context("no id")?.to_owned())
}

// --- races ---

/// Whoever is first: the operator, and nothing runs, or the client, and the operator is told so.
#[test]
fn an_operator_and_a_client_that_runs_it_again_do_not_both_win() -> TestResult {
    const KEYS: usize = 24;
    let site = plan(Kind::Redis).start()?;
    let (operator, keys) = (Operator::of(&site)?, keys(KEYS));
    unanswered(&site, &keys)?;
    keys.iter().try_for_each(|key| is_uncertain(site.edges()[0], key))?;
    eventually("all are listed", SOON, || anyhow::Ok(operator.listed()?.len() == KEYS))?;
    (0..2).try_for_each(|n| site.push(n, json!({"on_uncertain": "reexecute"})))?;
    // Until both gateways have it: one key is run again.
    for (edge, spare) in site.edges().into_iter().zip(["\"spare-1\"", "\"spare-2\""]) {
        unanswered(&site, &[spare.to_owned()])?;
        eventually("it runs again", SOON, || anyhow::Ok(pay(edge, spare).send()?.status == 201))?;
    }

    let (mut settled, mut left) = (0, 0);
    for (n, key) in keys.iter().enumerate() {
        // By its key: two that were claimed in one millisecond have the same fence.
        let found = operator.find(key)?;
        let id = found["id"].as_str().context("no id")?;
        let (edge, payer) = (site.edges()[n % 2], key.clone());
        // The command starts at once, the client a little later, each time a little more.
        let client = thread::spawn(move || {
            thread::sleep(Duration::from_millis(n as u64));
            pay(edge, &payer).send()
        });
        let operated = operator.sealed(id, "done", &[])?;
        let answer = client.join().expect("a client")?;
        match operated.code() {
            Some(0) => {
                settled += 1;
                assert_replayed(&answer, 200);
                assert_eq!(site.ledger.executions(key).len(), 1, "{key}");
            }
            Some(1) => {
                left += 1;
                assert_eq!(answer.status, 201, "{answer:?}");
                assert_eq!(site.ledger.executions(key).len(), 2, "{key}");
            }
            _ => bail!("{}", operated.all()),
        }
        let repeat = pay(site.edges()[(n + 1) % 2], key).send()?;
        assert_eq!((repeat.header("idempotency-replayed"), &repeat.body), (Some("true"), &answer.body));
    }
    println!("the operator was first {settled} times, the client {left} times");
    site.assert_no_trap();
    Ok(())
}

// --- what can't be done is said ---

#[test]
fn a_store_that_can_not_be_asked_is_told_from_one_that_refuses() -> TestResult {
    let store = Redis::start()?;
    store.ask(&["ACL", "SETUSER", "ops", "on", ">correct-horse", "~*", "&*", "+@all"])?;
    let at = |who: &str, port: u16| {
        let url = format!("redis://{who}127.0.0.1:{port}");
        holdfastctl_as(&[("HOLDFAST_STORE", &url)], &["idempotency", "list", "--timeout", "500ms"])
    };
    at("ops:correct-horse@", store.port())?.good()?;
    let wrong = at("ops:battery-staple@", store.port())?;
    wrong.refuses("user or password are wrong")?;
    assert!(!wrong.all().contains("battery"), "{}", wrong.all());
    let database = format!("redis://127.0.0.1:{}/99", store.port());
    holdfastctl(&["idempotency", "list", "--store", &database])?.refuses("DB index is out of range")?;

    let wire = Relay::to(store.port())?;
    wire.block();
    at("", wire.port())?.refuses("no answer in time")?;
    wire.mend();
    wire.cut_replies_after(3);
    at("", wire.port())?.refuses("the connection ended before the answer was whole")?;
    store.kill();
    at("", store.port())?.refuses("nobody listens there")?;
    let other = integration::Upstream::start("no redis")?;
    at("", other.port())?.refuses("isn't a Redis")?;
    holdfastctl(&["idempotency", "list"])?.refuses("where is the store?")?;
    Ok(())
}

/// Makes an authority, and a certificate of it for 127.0.0.1.
fn certificates(folder: &Path) -> TestResult {
    let make = |name: &str, more: &[&str]| {
        let (key, file) = (format!("{name}.key"), format!("{name}.pem"));
        let request = ["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"];
        let output = Command::new("openssl")
            .args(request)
            .args(["-subj", &format!("/CN={name}"), "-keyout", &key, "-out", &file])
            .args(more)
            .current_dir(folder)
            .output()
            .context("no openssl: run `cargo xtask setup`")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        TestResult::Ok(())
    };
    make("authority", &[])?;
    let host = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
    make("store", &[&["-CA", "authority.pem", "-CAkey", "authority.key"], &host[..]].concat())
}

#[test]
fn a_store_with_tls_is_asked_when_its_certificate_is_believed() -> TestResult {
    let (folder, port) = (tempdir()?, ReservedPort::new()?);
    certificates(folder.path())?;
    let file = |name: &str| folder.path().join(name).display().to_string();
    let store = Redis::options()
        .set("--tls-port", &port.number().to_string())
        .set("--tls-cert-file", &file("store.pem"))
        .set("--tls-key-file", &file("store.key"))
        .set("--tls-auth-clients", "no")
        .start()?;
    let list = |url: &str, authority: &str| {
        let variables = [("HOLDFAST_STORE", url), ("SSL_CERT_FILE", authority)];
        holdfastctl_as(&variables, &["idempotency", "list", "--timeout", "2s"])
    };
    let secure = format!("rediss://127.0.0.1:{}", port.number());
    assert_eq!(
        list(&secure, &file("authority.pem"))?.text()?,
        "0 uncertain, 0 still running, 0 ended since in namespace \"\"\n"
    );
    let stranger = tempdir()?;
    certificates(stranger.path())?;
    list(&secure, &stranger.path().join("authority.pem").display().to_string())?.refuses("TLS: ")?;
    // One that speaks TLS to who doesn't, and the other way.
    list(&secure.replace("rediss", "redis"), &file("authority.pem"))?.refuses("does it want TLS")?;
    let plain = format!("rediss://127.0.0.1:{}", store.port());
    list(&plain, &file("authority.pem"))?.refuses("no answer in time")?;
    Ok(())
}

#[test]
fn an_index_of_thousands_is_listed_and_what_has_ended_is_not() -> TestResult {
    use ::idempotency::store::redis::{Call, Entry};
    use ::idempotency::store::{Name, Names};
    const LINES: usize = 1_201;
    let store = Store::start(Kind::RedisCluster, false)?;
    let cluster = store.cluster()?;
    let index = ::idempotency::store::redis::index::key(NAMESPACE);
    let home = &cluster.nodes()[cluster.owner(cluster.slot(&index)?)?];
    let mut lines = Vec::new();
    for n in 0..LINES {
        let names = Names::from(Name::new(format!("{{{n:04x}}}{n}")).context("a name")?);
        let entry = Entry { names: &names, fence: 7, route: "pay\u{1b}[2J", tenant: "5e" };
        Call::index(NAMESPACE, &entry, 10_000, 600_000).in_full(&mut lines);
    }
    lines.extend(integration::store::command(&["ZADD", &index, "1", "rubbish"]));
    lines.extend(integration::store::command(&["QUIT"]));
    home.call(&lines)?;
    for port in cluster.ports() {
        let operator = Operator { url: format!("redis://127.0.0.1:{port}") };
        let answer = operator.run(&["list", "--all"])?.json()?;
        assert_eq!(answer["keys"].as_array().map(Vec::len), Some(LINES));
        assert_eq!((&answer["ended"], &answer["unreadable"]), (&LINES.into(), &1.into()));
        assert!(answer["keys"].as_array().is_some_and(|keys| keys.iter().all(|key| key["stage"] == "gone")));
        assert_eq!(operator.listed()?, [Value::Null; 0]);
    }
    // What somebody wrote there doesn't clear an operator's screen.
    let url = format!("redis://127.0.0.1:{}", cluster.ports()[0]);
    let text = holdfastctl(&["idempotency", "list", "--all", "--store", &url, "--namespace", NAMESPACE])?.text()?;
    assert!(text.contains("pay\u{fffd}[2J") && !text.contains('\u{1b}'), "{}", &text[..200]);
    Ok(())
}

/// Whether a store is well is each worker's own judgement; what all of them counted is in Envoy's admin.
#[test]
fn an_operator_sees_what_the_store_does_and_how_it_fails() -> TestResult {
    let site = plan(Kind::Redis).start()?;
    let edge = site.edges()[0];
    assert_eq!(pay(edge, &key(0)).send()?.status, 201);
    let seen = |site: &Site| {
        let port = site.gateways[0].look(|envoy| Ok(envoy.admin_port()))?;
        let admin = format!("http://127.0.0.1:{port}");
        // No control entry here: that is said, and the stores are shown all the same.
        let nobody = ["--control", "http://127.0.0.1:1", "--admin", &admin];
        holdfastctl_as(&[("HOLDFAST_CONTROL_TOKEN", "x")], &[&["state"], &nobody[..]].concat())
    };
    seen(&site)?.ends_with(1, "none failed")?;
    site.store.redis()?.kill();
    assert_eq!(pay(edge, &key(1)).send()?.status, 503);
    seen(&site)?.ends_with(1, "failed: ")
}
