//! What kills a real proxy's VM makes a test panic with the row of docs/hosts.md that says so.
#![allow(missing_docs)]

mod fake_support;

use fake_support::{Event, ask_first, callout, reply, start};
use sdk_shim::entry::Flow;
use sdk_shim::fake::{FakeHost, Trap};
use sdk_shim::host::{Callout, CalloutId, ContextId, Direction, Host, Map, MetricKind, Reply};
use std::panic::{AssertUnwindSafe, catch_unwind};

const GET: &[(&str, &str); 2] = &[(":method", "GET"), (":path", "/pay")];

/// The trap that `act` runs into.
fn trap(host: &FakeHost, act: impl FnOnce()) -> Trap {
    let died = catch_unwind(AssertUnwindSafe(act)).expect_err("nothing trapped");
    let trap = *host.traps().last().expect("a panic that is no trap");
    assert_eq!(died.downcast_ref::<String>().unwrap(), trap.row());
    trap
}

/// What happens where `script` acts in one kind of callback, and the stream is led through all of them.
fn trap_in(host: &FakeHost, script: impl Fn(Event, &FakeHost) -> Flow + 'static) -> Trap {
    let worker = start(host, script);
    trap(host, || {
        let mut call = worker.request(GET);
        call.respond(&[(":status", "200")], false).body(b"x", true);
        call.finish();
    })
}

#[test]
fn callouts_from_late_phases_trap_on_wasmx_only() {
    let late: [fn(&Event) -> bool; 5] = [
        |event| matches!(event, Event::Configure),
        |event| matches!(event, Event::ResponseHeaders { .. }),
        |event| matches!(event, Event::ResponseBody { .. }),
        |event| matches!(event, Event::Done),
        |event| matches!(event, Event::Log),
    ];
    for when in late {
        let script = move |event: Event, host: &FakeHost| {
            if when(&event) {
                host.dispatch(&callout("store")).unwrap();
            }
            Flow::Continue
        };
        let wasmx = FakeHost::wasmx();
        let died = trap(&wasmx, || {
            let mut call = start(&wasmx, script).request(GET);
            call.respond(&[(":status", "200")], false).body(b"x", true);
            call.finish();
        });
        assert_eq!(died, Trap::DispatchPhase);
        let mut call = start(&FakeHost::envoy(), script).request(GET);
        call.respond(&[(":status", "200")], false).body(b"x", true);
        call.finish();
    }
}

/// Kong's table of words is in its pool by then, and the next request's.
#[test]
fn a_word_at_the_end_is_another_requests_in_kong_and_none_is_found_there() {
    for when in [Event::Done, Event::Log] {
        let last = when;
        let script = move |event: Event, host: &FakeHost| {
            if event == last {
                host.set_property(&["holdfast.word"], b"said");
            }
            Flow::Continue
        };
        assert_eq!(trap_in(&FakeHost::wasmx(), script), Trap::WordAtTheEnd);
        let call = start(&FakeHost::envoy(), script).request(GET);
        let words = call.filter_state();
        call.finish();
        assert_eq!(words.get("holdfast.word").as_deref(), Some(&b"said"[..]), "Envoy's access log shows it");
        for (host, found) in [(FakeHost::envoy(), true), (FakeHost::wasmx(), false)] {
            let last = when;
            let worker = start(&host, move |event, host: &FakeHost| {
                assert!(event != last || host.property(&["holdfast.word"]).is_some() == found);
                Flow::Continue
            });
            let call = worker.request(GET);
            call.filter_state().set("holdfast.word", b"said");
            call.finish();
        }
    }
}

#[test]
fn wasmx_dies_of_a_callout_that_nobody_waits_for() {
    let script = |event, host: &FakeHost| {
        ask_first(event, host);
        Flow::Continue
    };
    assert_eq!(trap_in(&FakeHost::wasmx(), script), Trap::DispatchThenContinue);
    let worker = start(&FakeHost::wasmx(), |event, host| {
        if event == Event::Tick {
            host.dispatch(&callout("store")).unwrap();
        }
        Flow::Continue
    });
    worker.request(GET).finish();
    worker.tick();
    assert_eq!(worker.host().pending_callouts().len(), 1);
}

#[test]
fn wasmx_dies_of_a_callout_without_a_path() {
    let host = FakeHost::wasmx();
    let pathless = Callout { headers: Vec::new(), ..callout("store") };
    assert_eq!(trap(&host, || _ = host.dispatch(&pathless)), Trap::DispatchTarget);
}

#[test]
fn a_second_answer_and_one_in_a_wasmx_body_trap() {
    let twice = |event, host: &FakeHost| {
        if matches!(event, Event::RequestHeaders { .. }) {
            host.reply(&Reply::default());
        }
        reply(503)
    };
    assert_eq!(trap_in(&FakeHost::envoy(), twice), Trap::SecondReply);
    let late = |event, _: &FakeHost| match event {
        Event::ResponseBody { .. } => reply(503),
        _ => Flow::Continue,
    };
    assert_eq!(trap_in(&FakeHost::wasmx(), late), Trap::ReplyInResponseBody);
}

#[test]
fn an_answer_in_wasmx_response_headers_changes_the_status_only() {
    for (host, length) in [(FakeHost::wasmx(), Some("5")), (FakeHost::envoy(), None)] {
        let worker = start(&host, |event, _| match event {
            Event::ResponseHeaders { .. } => reply(503),
            _ => Flow::Continue,
        });
        let mut call = worker.request(GET);
        call.respond(&[(":status", "200"), ("content-length", "5")], false);
        assert_eq!((call.status(), call.response_header("content-length").as_deref()), (Some(503), length));
    }
}

#[test]
fn metrics_and_properties_trap_on_wasmx() {
    let host = FakeHost::wasmx();
    host.pretend_request(GET);
    let gauge = host.define_metric(MetricKind::Gauge, "g").unwrap();
    assert_eq!(trap(&host, || host.increment(gauge, 1)), Trap::IncrementOnOther);
    for late in [false, true] {
        let host = FakeHost::wasmx();
        let died = trap(&host, || {
            let worker = start(&host, move |event, host| {
                if event == if late { Event::Tick } else { Event::Configure } {
                    host.property(&["plugin_name"]);
                }
                Flow::Continue
            });
            worker.request(GET).finish();
            worker.tick();
        });
        assert_eq!(died, Trap::PluginNameOutsideRequests);
    }
    host.proxy().without_shared_memory();
    assert_eq!(trap(&host, || _ = host.shared_get("k")), Trap::NoSharedMemory);
}

#[test]
fn an_upstream_that_wasnt_found_has_no_address_to_be_read() {
    let script = |event, host: &FakeHost| {
        if event == Event::Log {
            host.property(&["upstream", "address"]);
        }
        Flow::Continue
    };
    let host = FakeHost::wasmx();
    let worker = start(&host, script);
    let mut served = worker.request(GET);
    served.respond(&[(":status", "200")], true);
    served.finish();
    let mut unresolved = worker.request(GET);
    unresolved.local_reply(502, 0, "");
    assert_eq!(trap(&host, || _ = unresolved.finish()), Trap::UnresolvedAddress);
}

#[test]
fn words_for_other_filters_stand_where_kong_keeps_them() {
    for host in [FakeHost::envoy(), FakeHost::wasmx()] {
        let worker = start(&host, |event, host| {
            if matches!(event, Event::RequestHeaders { .. }) {
                host.set_property(&["holdfast.word"], b"1");
                host.set_property(&["somebody.else"], b"1");
            }
            Flow::Continue
        });
        let call = worker.request(GET);
        let is_kept = |name: &str| call.filter_state().get(name).is_some();
        assert!(is_kept("holdfast.word"));
        assert_eq!(is_kept("somebody.else"), host.capabilities().words.is_empty());
        call.abort();
    }
}

#[test]
fn one_callback_wakes_272_streams_and_no_more() {
    for (count, dies) in [(272, false), (273, true)] {
        let host = FakeHost::envoy();
        let worker = start(&host, |event, host| match event {
            Event::RequestHeaders { .. } => Flow::Pause,
            Event::Tick => {
                let streams = (0..400).map(ContextId);
                streams.filter(|id| host.set_context(*id)).for_each(|_| host.resume(Direction::Request));
                Flow::Continue
            }
            _ => Flow::Continue,
        });
        let calls: Vec<_> = (0..count).map(|_| worker.request(GET)).collect();
        assert_eq!(worker.hung().len(), calls.len());
        if dies {
            assert_eq!(trap(&host, || worker.tick()), Trap::WokeTooMany);
        } else {
            worker.tick();
            assert!(worker.hung().is_empty());
        }
    }
}

#[test]
fn an_attempt_made_retriable_inside_a_callout_kills_the_vm_without_stop_iteration() {
    let script = |event, host: &FakeHost| match event {
        Event::ResponseHeaders { .. } => host.dispatch(&callout("store")).map_or(Flow::Continue, |_| Flow::Pause),
        Event::Answer(_) => {
            host.set_header(Map::ResponseHeaders, ":status", b"503");
            host.resume(Direction::Response);
            Flow::Continue
        }
        _ => Flow::Continue,
    };
    let host = FakeHost::envoy();
    let worker = start(&host, script);
    worker.attempt(1, GET).respond(&[(":status", "200")], false);
    assert_eq!(trap(&host, || _ = worker.answer(CalloutId(1), &[(":status", "200")], b"")), Trap::RetryInsideResume);
    host.proxy().stop_iteration(true);
    worker.attempt(1, GET).respond(&[(":status", "200")], false);
    assert!(worker.answer(CalloutId(2), &[(":status", "200")], b""));
}
