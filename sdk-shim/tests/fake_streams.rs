//! The fake host leads a stream through its callbacks as the real proxies do.
#![allow(missing_docs)]

mod fake_support;

use fake_support::{Event, reply, start, start_idle};
use sdk_shim::entry::Flow;
use sdk_shim::fake::{FakeHost, FakeProxy, Headers};
use sdk_shim::host::{Body, Direction, Host, Map};
use std::cell::RefCell;
use std::rc::Rc;

const GET: &[(&str, &str); 3] = &[(":method", "GET"), (":path", "/pay"), (":authority", "shop")];

/// What `read` gave in each callback.
fn watch<T: 'static>(
    host: &FakeHost,
    read: impl Fn(&FakeHost) -> T + 'static,
) -> (sdk_shim::fake::Worker<fake_support::Probe>, Rc<RefCell<Vec<T>>>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&seen);
    let worker = start(host, move |event, host| {
        if event != Event::Configure {
            into.borrow_mut().push(read(host));
        }
        Flow::Continue
    });
    (worker, seen)
}

#[test]
fn a_healthy_request_runs_its_callbacks_in_order() {
    let worker = start_idle(&FakeHost::envoy());
    let mut call = worker.stream().with_body().request(GET);
    call.request_body(b"abc", true).respond(&[(":status", "200")], false).body(b"de", true);
    let ended = call.finish();
    assert_eq!((ended.status, ended.reply), (Some(200), None));
    assert_eq!(
        worker.plugin().seen(),
        [
            Event::RequestHeaders { end: false },
            Event::RequestBody { size: 3, end: true },
            Event::ResponseHeaders { end: false },
            Event::ResponseBody { size: 2, end: true },
            Event::Log,
            Event::Done,
        ]
    );
}

#[test]
fn wasmx_never_tells_the_end_and_is_done_before_it_logs() {
    let worker = start_idle(&FakeHost::wasmx());
    let mut call = worker.request(GET);
    call.respond(&[(":status", "200")], true).trailers(&[("grpc-status", "0")]);
    call.finish();
    let expected =
        [Event::RequestHeaders { end: false }, Event::ResponseHeaders { end: false }, Event::Done, Event::Log];
    assert_eq!(worker.plugin().seen(), expected);
}

#[test]
fn an_attempt_ends_without_a_log() {
    let worker = start_idle(&FakeHost::envoy());
    worker.attempt(2, GET).fail_upstream("delayed connect error: Connection refused");
    assert_eq!(worker.plugin().seen(), [Event::RequestHeaders { end: true }, Event::Done]);
}

#[test]
#[should_panic(expected = "WasmX has no upstream chain")]
fn wasmx_has_no_attempts() {
    let _ = start_idle(&FakeHost::wasmx()).attempt(1, GET);
}

#[test]
fn envoy_shows_request_headers_until_they_left_and_in_the_log() {
    let (worker, seen) = watch(&FakeHost::envoy(), |host| {
        (host.header(Map::RequestHeaders, ":PATH").is_some(), host.property(&["request", "path"]).is_some())
    });
    worker.request(GET).respond(&[(":status", "200")], false).body(b"x", true);
    assert_eq!(*seen.borrow(), [(true, true), (false, false), (false, false)]);
    let mut call = worker.request(GET);
    seen.borrow_mut().clear();
    call.respond(&[(":status", "200")], true);
    call.finish();
    assert_eq!(*seen.borrow(), [(false, false), (true, true), (false, false)]);
}

#[test]
fn wasmx_shows_request_headers_throughout_but_its_own_name_as_authority() {
    let (worker, seen) = watch(&FakeHost::wasmx(), |host| {
        [":authority", "host"].map(|name| host.header(Map::RequestHeaders, name).unwrap())
    });
    let mut call = worker.request(GET);
    call.respond(&[(":status", "200")], true);
    let pair = [b"localhost".to_vec(), b"shop".to_vec()];
    assert_eq!(*seen.borrow(), [pair.clone(), pair]);
}

#[test]
fn response_headers_are_gone_in_the_body_and_back_in_the_log() {
    let (worker, seen) = watch(&FakeHost::envoy(), |host| host.headers(Map::ResponseHeaders).len());
    let mut call = worker.request(GET);
    call.respond(&[(":status", "200"), ("a", "b")], false).body(b"x", true);
    call.finish();
    assert_eq!(*seen.borrow(), [0, 2, 0, 2, 0]);
}

#[test]
fn trailers_are_seen_and_a_byte_that_is_not_text_is_data() {
    let (worker, seen) = watch(&FakeHost::envoy(), |host| {
        (host.header(Map::ResponseTrailers, "grpc-status"), host.header(Map::RequestHeaders, "x-odd"))
    });
    let mut call = worker.request(Headers::from(GET).with("x-odd", b"\xFF"));
    call.respond(&[(":status", "200")], false).trailers(&[("grpc-status", "14")]);
    assert_eq!(seen.borrow()[0], (None, Some(b"\xFF".to_vec())));
    assert_eq!(seen.borrow()[2], (Some(b"14".to_vec()), None));
}

#[test]
fn a_filter_changes_headers_only_while_they_are_there() {
    let worker = start(&FakeHost::envoy(), |_, host| {
        host.set_header(Map::RequestHeaders, "x-way", b"1");
        host.remove_header(Map::ResponseHeaders, "server");
        Flow::Continue
    });
    let mut call = worker.request(GET);
    assert_eq!(call.request_header("x-way").unwrap(), "1");
    call.respond(&[(":status", "200"), ("server", "x")], true);
    assert_eq!(call.response_header("server"), None);
}

#[test]
fn our_own_answer_passes_our_own_response_callbacks() {
    let worker = start(&FakeHost::envoy(), |event, _| match event {
        Event::RequestHeaders { .. } => reply(503),
        _ => Flow::Continue,
    });
    let call = worker.request(GET);
    assert!(!call.passed());
    let ended = call.finish();
    assert_eq!((ended.status, ended.reply.unwrap().status), (Some(503), 503));
    let expected = [Event::ResponseHeaders { end: false }, Event::ResponseBody { size: 2, end: true }];
    assert_eq!(worker.plugin().seen()[1..3], expected);
}

#[test]
fn of_a_request_that_we_answered_no_router_was_asked() {
    let attempts = |answers: bool| {
        let worker = start(&FakeHost::envoy(), move |event, host| {
            if matches!(event, Event::ResponseHeaders { .. }) {
                let number = host.property(&["upstream", "request_attempt_count"]).unwrap();
                host.set_property(&["attempts"], &number);
            }
            let first = answers && matches!(event, Event::RequestHeaders { .. });
            if first { reply(503) } else { Flow::Continue }
        });
        let mut request = worker.request(GET);
        if !answers {
            request.respond(&[(":status", "200")], true);
        }
        let state = request.filter_state();
        request.finish();
        state.get("attempts").unwrap()
    };
    assert_eq!((attempts(true), attempts(false)), (0_i64.to_le_bytes().to_vec(), 1_i64.to_le_bytes().to_vec()));
}

#[test]
fn what_is_gone_is_told_apart_from_what_is_empty() {
    let host = FakeHost::envoy();
    assert!(!host.shows(Map::RequestHeaders), "there is no stream");
    host.pretend_request(GET);
    assert!(host.shows(Map::RequestHeaders) && !host.shows(Map::ResponseHeaders));
    host.pretend_response(&[]);
    assert!(!host.shows(Map::RequestHeaders) && host.shows(Map::ResponseHeaders));
}

#[test]
fn a_grpc_client_gets_trailers_only() {
    let worker = start_idle(&FakeHost::envoy());
    let mut call = worker.request(&[(":method", "POST"), ("content-type", "application/grpc+proto")]);
    call.local_reply(503, 32, "upstream_reset_before_response_started{connection_failure}");
    assert_eq!((call.status(), call.response_header("grpc-status").unwrap()), (Some(200), "14".to_owned()));
    assert_eq!(worker.plugin().seen()[1], Event::ResponseHeaders { end: true });
}

#[test]
fn a_local_reply_says_why_and_an_abort_too() {
    let flags = |host: &FakeHost| {
        let bytes = host.property(&["response", "flags"]).unwrap();
        (i64::from_le_bytes(bytes.try_into().unwrap()), host.property(&["response", "code_details"]))
    };
    let (worker, seen) = watch(&FakeHost::envoy(), flags);
    worker.request(GET).local_reply(504, 4, "response_timeout");
    assert_eq!(seen.borrow()[0], (0, None));
    assert_eq!(seen.borrow()[1], (4, Some(b"response_timeout".to_vec())));
    assert_eq!(worker.request(GET).abort().status, None);
    assert_eq!(seen.borrow().last().unwrap().0, 16384);
}

#[test]
fn a_stream_whose_request_was_never_seen_still_ends() {
    let worker = start_idle(&FakeHost::envoy());
    let mut call = worker.unseen();
    call.respond(&[(":status", "409")], true);
    call.finish();
    assert_eq!(worker.plugin().seen(), [Event::ResponseHeaders { end: true }, Event::Log, Event::Done]);
}

#[test]
fn a_body_waits_behind_paused_headers_unless_stop_iteration_is_on() {
    let pausing = |event, _: &FakeHost| match event {
        Event::RequestHeaders { .. } | Event::RequestBody { end: false, .. } => Flow::Pause,
        _ => Flow::Continue,
    };
    let proxy = FakeProxy::envoy();
    let worker = start(&proxy.worker(), pausing);
    let mut held = worker.stream().with_body().request(GET);
    held.request_body(b"ab", false).request_body(b"cd", true);
    assert_eq!(worker.plugin().seen().len(), 1);
    assert_eq!(worker.hung(), [held.id()]);

    proxy.stop_iteration(true);
    let mut flows = worker.stream().with_body().request(GET);
    flows.request_body(b"ab", false).request_body(b"cd", true);
    let expected = [Event::RequestBody { size: 2, end: false }, Event::RequestBody { size: 4, end: true }];
    assert_eq!(worker.plugin().seen()[2..], expected);
    assert!(!flows.paused());
    held.abort();
}

#[test]
fn what_waited_follows_a_resume() {
    let worker = start(&FakeHost::envoy(), |event, host| match event {
        Event::RequestHeaders { .. } => Flow::Pause,
        Event::Tick => {
            assert!(host.set_context(sdk_shim::host::ContextId(2)));
            host.resume(Direction::Request);
            Flow::Continue
        }
        Event::RequestBody { .. } => {
            assert_eq!(host.body(Body::Request, 3).unwrap(), b"abc");
            Flow::Continue
        }
        _ => Flow::Continue,
    });
    let mut call = worker.stream().with_body().request(GET);
    call.request_body(b"abcd", true);
    worker.tick();
    assert_eq!(worker.plugin().seen().last(), Some(&Event::RequestBody { size: 4, end: true }));
    assert_eq!(call.respond(&[(":status", "200")], true).status(), Some(200));
}

#[test]
#[should_panic(expected = "is paused; the service never saw it")]
fn a_paused_request_gets_no_response() {
    let worker = start(&FakeHost::envoy(), |_, _| Flow::Pause);
    worker.request(GET).respond(&[(":status", "200")], true);
}

#[test]
#[should_panic(expected = "still paused")]
fn a_paused_request_does_not_finish() {
    start(&FakeHost::envoy(), |_, _| Flow::Pause).request(GET).finish();
}

#[test]
fn wasmx_shows_a_request_body_whole_and_only_a_small_one() {
    let (worker, seen) = watch(&FakeHost::wasmx(), |host| host.body(Body::Request, usize::MAX).map(|body| body.len()));
    worker.stream().with_body().request(GET).request_body(b"ab", false).request_body(b"cd", true);
    worker.stream().with_body().request(GET).request_body(&[0; 9000], true);
    assert_eq!(*seen.borrow(), [None, Some(4), None, None]);
    assert_eq!(worker.plugin().seen()[3], Event::RequestBody { size: 9000, end: true });
}

#[test]
fn wasmx_shows_no_request_body_that_is_empty() {
    let worker = start_idle(&FakeHost::wasmx());
    let mut call = worker.stream().with_body().request(GET);
    call.request_body(b"", true).respond(&[(":status", "200")], true);
    let expected = [Event::RequestHeaders { end: false }, Event::ResponseHeaders { end: false }];
    assert_eq!(worker.plugin().seen(), expected);
}

/// The host tells the end of the first alone; of the second a module's own entry knows it.
#[test]
fn wasmx_shows_an_answers_end_in_its_last_piece_or_behind_it() {
    let pieces = |length: Option<&'static str>, parts: &[&[u8]]| {
        let worker = start_idle(&FakeHost::wasmx());
        let headers: Vec<_> =
            [(":status", "200")].into_iter().chain(length.map(|length| ("content-length", length))).collect();
        let mut call = worker.request(GET);
        call.respond(headers.as_slice(), false);
        for part in parts {
            call.body(part, false);
        }
        call.body(b"", true);
        worker.plugin().seen().split_off(2)
    };
    let body = |size, end| Event::ResponseBody { size, end };
    assert_eq!(pieces(Some("4"), &[b"abcd"]), [body(4, true)]);
    assert_eq!(pieces(Some("4"), &[b"abc", b"d"]), [body(3, false), body(1, true)]);
    assert_eq!(pieces(Some("9"), &[b"abc", b"d"]), [body(3, false), body(1, false)], "it was cut");
    assert_eq!(pieces(None, &[b"abc", b"d"]), [body(3, false), body(1, false), body(0, true)]);
}

#[test]
fn wasmx_shows_a_hundred_headers_and_its_own_first() {
    let (worker, seen) = watch(&FakeHost::wasmx(), |host| {
        let shown = host.headers(Map::RequestHeaders);
        let own = shown.iter().take(3).all(|(name, _)| name.starts_with(b":"));
        (shown.len(), own, host.header(Map::RequestHeaders, "x-299"))
    });
    let many = (0..300).fold(Headers::default(), |all, n| all.with(&format!("x-{n}"), b"1"));
    let many = GET.iter().fold(many, |all, (name, value)| all.with(name, value.as_bytes()));
    let _ = worker.request(many);
    assert_eq!(*seen.borrow(), [(100, true, Some(b"1".to_vec()))]);
}

/// Its error pages are made elsewhere.
#[test]
fn of_kongs_own_errors_no_filter_hears() {
    let worker = start_idle(&FakeHost::wasmx());
    worker.request(GET).forget();
    assert_eq!(worker.plugin().seen(), [Event::RequestHeaders { end: false }]);
}

/// A request's headers may have been told to one that has trapped since.
#[test]
fn a_vm_that_was_made_anew_is_told_the_headers_with_the_body() {
    let host = FakeHost::wasmx();
    let former = start_idle(&host);
    let mut call = former.stream().with_body().request(GET);
    let next = start_idle(&host);
    call = call.anew(&next);
    call.request_body(b"ab", true);
    let told = [Event::RequestHeaders { end: false }, Event::RequestBody { size: 2, end: true }];
    assert_eq!((former.plugin().seen().len(), next.plugin().seen().as_slice()), (1, &told[..]));
}

#[test]
fn wasmx_ignores_a_pause_in_response_headers() {
    let worker = start(&FakeHost::wasmx(), |event, _| match event {
        Event::ResponseHeaders { .. } => Flow::Pause,
        _ => Flow::Continue,
    });
    let mut call = worker.request(GET);
    assert!(!call.respond(&[(":status", "200")], true).paused());
    assert!(worker.host().logs().iter().any(|log| log.level == log::Level::Warn));
}
