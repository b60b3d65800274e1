//! Answers of every shape.

use std::time::Duration;

use integration::{Response, TestResult, eventually};
use serde_json::json;

use crate::idempotency::SOON;
use crate::idempotency::edge::{Edge, Setup};
use crate::idempotency::scripted::Scripted;
use crate::is_replay;

/// What every replay of an answer leaves out.
const NEVER: [&str; 5] = ["set-cookie", "x-trace-id", "connection", "age", "x-secret"];

/// An answer of HTTP/1 with a body of known length.
fn known(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn chunked(head: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {head}\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in chunks.iter().chain(&[&b""[..]]) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend(*chunk);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// Bytes that look like nothing, and whose order shows.
fn noise(count: usize) -> Vec<u8> {
    (0..count).map(|n| u8::try_from(n * 31 % 251).unwrap_or(0)).collect()
}

fn shapes() -> Vec<(&'static str, Vec<u8>)> {
    let cookie = "set-cookie: a=b\r\nx-trace-id: 7\r\nx-secret: s\r\nage: 3";
    let json = "content-type: application/json";
    let zipped = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\x4a\xcc\x4d\x55\xb2\x52\x30\xa8\x05\x00\x7a\x6b\x0e\x0c\x0c\x00\x00\x00";
    vec![
        (
            "/created",
            known(
                &format!("201 Created\r\n{json}\r\nlocation: /payments/7\r\netag: \"7\"\r\n{cookie}"),
                b"{\"id\": 7}",
            ),
        ),
        ("/empty", format!("HTTP/1.1 204 No Content\r\n{cookie}\r\n\r\n").into_bytes()),
        ("/empty-200", known("200 OK", b"")),
        ("/big", known("200 OK\r\ncontent-type: application/octet-stream", &noise(200_000))),
        ("/chunked", chunked(&format!("202 Accepted\r\n{json}"), &[b"{\"a\":", &noise(30_000), b"}"])),
        ("/zipped", known(&format!("200 OK\r\n{json}\r\ncontent-encoding: gzip\r\ncontent-language: de"), zipped)),
        ("/untyped", known("200 OK", b"nobody knows what this is")),
        (
            "/until-the-end",
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nall of it".to_vec(),
        ),
        ("/failed", known(&format!("500 Internal Server Error\r\n{json}"), b"{\"error\": true}")),
        ("/teapot", known("418 I'm a teapot\r\ncontent-type: text/html; charset=utf-8", b"<p>short and stout")),
        ("/moved", known("303 See Other\r\nlocation: /elsewhere", b"")),
    ]
}

/// What a repeat gets is what the first got, as far as it is not for that one alone.
fn assert_same(path: &str, first: &Response, again: &Response) {
    assert!(is_replay(again), "{path}: {} {:?} {}", again.status, again.headers, again.text());
    assert_eq!(again.status, first.status, "{path}");
    assert!(again.body == first.body, "{path}: {} bytes, not {}", again.body.len(), first.body.len());
    for name in ["content-type", "content-encoding", "content-language", "location", "etag"] {
        assert_eq!(again.header(name), first.header(name), "{path}: {name}");
    }
    for name in NEVER {
        assert_eq!(again.header(name), None, "{path}: {name}");
    }
}

fn every_shape(edge: &Edge, service: &Scripted) -> TestResult {
    for (path, _) in shapes() {
        let key = format!("\"of {path}\"");
        let first = edge.post(path, &key).send()?;
        assert!(!is_replay(&first) && first.rejected_by().is_none(), "{path}: {} {}", first.status, first.text());
        for call in [edge.post(path, &key), edge.post(path, &key).http2(), edge.post(path, &key).fresh_connection()] {
            assert_same(path, &first, &call.send()?);
        }
        assert_eq!(service.hits(path), 1, "{path}");
    }
    edge.assert_no_trap();
    Ok(())
}

#[test]
fn an_answer_of_any_shape_is_replayed_as_it_was() -> TestResult {
    let service = Scripted::start(shapes())?;
    every_shape(&Setup::new(json!({})).start(service.port())?, &service)
}

#[test]
fn the_same_in_memory() -> TestResult {
    let service = Scripted::start(shapes())?;
    every_shape(&Setup::new(json!({})).over(crate::idempotency::Kind::Memory).start(service.port())?, &service)
}

#[test]
fn the_same_over_memcached_and_webdis() -> TestResult {
    for kind in [crate::idempotency::Kind::Memcached, crate::idempotency::Kind::Webdis] {
        let service = Scripted::start(shapes())?;
        every_shape(&Setup::new(json!({"store": {"timeout": "2s"}})).over(kind).start(service.port())?, &service)?;
    }
    Ok(())
}

#[test]
fn over_http2_the_first_is_answered_as_well() -> TestResult {
    let service = Scripted::start(shapes())?;
    let edge = Setup::new(json!({})).start(service.port())?;
    for (path, _) in shapes() {
        let first = edge.post(path, "\"h2\"").http2().send()?;
        assert_same(path, &first, &edge.post(path, "\"h2\"").http2().send()?);
    }
    Ok(())
}

#[test]
fn an_answer_that_is_too_long_comes_whole_and_is_replayed_without_its_body() -> TestResult {
    let long = noise(300_000);
    let service = Scripted::start([
        ("/known", known("200 OK\r\ncontent-type: text/plain\r\netag: \"1\"\r\nlocation: /7", &long)),
        (
            "/unknown",
            chunked("200 OK\r\ncontent-type: text/plain\r\nlocation: /7", &[&long[..100_000], &long[100_000..]]),
        ),
    ])?;
    let edge = Setup::new(json!({})).start(service.port())?;
    for path in ["/known", "/unknown"] {
        let first = edge.post(path, "\"k\"").send()?;
        assert!(
            (first.status, is_replay(&first)) == (200, false) && first.body == long,
            "{path}: {}",
            first.body.len()
        );
        eventually("it is done", SOON, || {
            let again = edge.post(path, "\"k\"").send()?;
            let mark = again.header("x-holdfast-idempotency");
            anyhow::ensure!(
                is_replay(&again) && mark == Some("body-not-stored"),
                "{} {:?}",
                again.status,
                again.headers
            );
            assert_eq!((again.status, again.body.len(), again.header("location")), (200, 0, Some("/7")));
            assert_eq!(
                (again.header("etag"), again.header("content-type")),
                (None, None),
                "{path}: they are of the body"
            );
            Ok::<_, anyhow::Error>(true)
        })?;
        assert_eq!(service.hits(path), 1);
    }
    edge.assert_no_trap();
    Ok(())
}

/// Some of it is there while the store is asked, and more comes when the store has answered.
#[test]
fn no_part_of_an_answer_is_lost_on_the_way() -> TestResult {
    let long = noise(300_000);
    let parts = |whole: &[u8], at: &[usize]| -> Vec<Vec<u8>> {
        let ends = at.iter().copied().chain([whole.len()]);
        let mut begin = 0;
        ends.map(|end| whole[std::mem::replace(&mut begin, end)..end].to_vec()).collect()
    };
    let known_long = known("200 OK\r\ncontent-type: text/plain", &long);
    let known_short = known("200 OK\r\ncontent-type: text/plain", &long[..100_000]);
    let service = Scripted::in_parts([
        ("/long", parts(&known_long, &[20_000, 60_000, 200_000])),
        ("/short", parts(&known_short, &[20_000, 60_000])),
    ])?;
    let edge = Setup::new(json!({})).start(service.port())?;
    for (path, expected) in [("/long", &long[..]), ("/short", &long[..100_000])] {
        let first = edge.post(path, "\"k\"").send()?;
        assert!(first.body == expected, "{path}: {} of {} bytes", first.body.len(), expected.len());
        eventually("it is replayed", SOON, || {
            let again = edge.post(path, "\"k\"").send()?;
            anyhow::Ok(is_replay(&again) && (again.body == expected || again.body.is_empty()))
        })?;
        assert_eq!(service.hits(path), 1);
    }
    Ok(())
}

#[test]
fn without_bodies_a_replay_says_that_it_has_none() -> TestResult {
    let service = Scripted::start(shapes())?;
    let edge = Setup::new(json!({"store_body": false})).start(service.port())?;
    let first = edge.post("/created", "\"k\"").send()?;
    let again = edge.post("/created", "\"k\"").send()?;
    assert_eq!((first.status, again.status, again.body.len()), (201, 201, 0));
    assert_eq!(again.header("x-holdfast-idempotency"), Some("body-not-stored"));
    assert_eq!(again.header("location"), Some("/payments/7"));
    assert!(is_replay(&again) && service.hits("/created") == 1);
    Ok(())
}

#[test]
fn a_replay_is_quick_and_asks_the_service_nothing() -> TestResult {
    let service = Scripted::start(shapes())?;
    let edge = Setup::new(json!({})).start(service.port())?;
    edge.post("/created", "\"k\"").send()?;
    for _ in 0..50 {
        assert!(is_replay(&edge.post("/created", "\"k\"").send()?));
    }
    assert_eq!((service.hits("/created"), edge.counted("replayed_total", &[])?), (1, 50));
    let told = service.seen("/created")[0].clone();
    assert!(told.header("x-holdfast-fence").is_some_and(|fence| fence.parse::<u64>().is_ok_and(|fence| fence > 0)));
    assert_eq!((told.header("idempotency-key"), told.header("x-envoy-max-retries")), (Some("\"k\""), None));
    Ok(())
}

#[test]
fn reordered_json_is_the_same_request_and_another_amount_is_not() -> TestResult {
    let service = Scripted::start(shapes())?;
    let edge = Setup::new(json!({})).start(service.port())?;
    let ask = |body: &str| {
        let call = integration::Call::post(edge.port, "/created", body.as_bytes());
        call.header("content-type", "application/json; charset=utf-8").header("idempotency-key", "\"k\"").send()
    };
    assert_eq!(ask(r#"{"amount": 10.50, "to": {"name": "é", "iban": "DE1"}, "tags": [1, 2]}"#)?.status, 201);
    let same = [
        r#"{"to":{"iban":"DE1","name":"\u00e9"},"tags":[1,2],"amount":10.5}"#,
        "{ \"tags\" : [ 1,\n2 ], \"amount\" : 1.05e1 , \"to\": {\"name\": \"é\", \"iban\": \"DE1\"} }",
    ];
    for body in same {
        assert!(is_replay(&ask(body)?), "{body}");
    }
    let others = [r#"{"amount": 10.51, "to": {"name": "é", "iban": "DE1"}, "tags": [1, 2]}"#, "", "[]", "{"];
    for body in others {
        crate::assert_problem(&ask(body)?, 422, "mismatch");
    }
    assert_eq!(service.hits("/created"), 1);
    Ok(())
}

#[test]
fn what_is_chosen_of_a_request_is_what_counts() -> TestResult {
    let service = Scripted::start(shapes())?;
    let chosen = json!({"fingerprint": {"exclude": ["/sent_at"], "headers": ["x-channel"], "query": []}});
    let edge = Setup::new(chosen).start(service.port())?;
    let ask = |at: u64, channel: &str| {
        edge.post_json("/created", "\"k\"", &json!({"amount": 1, "sent_at": at})).header("x-channel", channel).send()
    };
    assert_eq!(ask(1, "web")?.status, 201);
    assert!(is_replay(&ask(2, "web")?));
    crate::assert_problem(&ask(1, "app")?, 422, "mismatch");
    Ok(())
}

#[test]
fn a_key_is_remembered_for_its_time_and_no_longer() -> TestResult {
    let service = Scripted::start(shapes())?;
    let edge = Setup::new(json!({"lease": "1s", "ttl": "3s"})).start(service.port())?;
    edge.post("/created", "\"k\"").send()?;
    assert!(is_replay(&edge.post("/created", "\"k\"").send()?));
    std::thread::sleep(Duration::from_secs(3));
    eventually("it is forgotten", SOON, || anyhow::Ok(!is_replay(&edge.post("/created", "\"k\"").send()?)))?;
    assert_eq!(service.hits("/created"), 2);
    Ok(())
}
