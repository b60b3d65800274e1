//! SSE, WebSocket, gRPC streams.

use crate::support::{GET, GRPC, envoy, of, rest, worker};

const FRAME: &[u8] = b"\0\0\0\0\x02hi";

#[test]
fn events_are_a_stream_from_their_headers_on() {
    let proxy = envoy();
    let plugin = worker(&proxy, "{}");
    let mut call = plugin.request(GET);
    assert_eq!(rest(&proxy, "requests_in_flight"), 1);
    call.respond(&[(":status", "200"), ("content-type", "Text/Event-Stream; charset=utf-8")], false);
    assert_eq!((rest(&proxy, "requests_in_flight"), of(&proxy, "sse", "requests_in_flight")), (0, 1));
    assert_eq!(of(&proxy, "sse", "streams_open"), 1);
    call.body(b"data: 1\n\n", false);
    call.abort();
    assert_eq!((of(&proxy, "sse", "streams_open"), of(&proxy, "sse", "requests_in_flight")), (0, 0));
    assert_eq!(of(&proxy, "sse", "streams_total;outcome=ok"), 1, "whoever listens leaves when he has heard enough");
    assert_eq!((of(&proxy, "sse", "requests_total;outcome=ok"), of(&proxy, "sse", "response_bytes_total")), (1, 9));
}

#[test]
fn events_that_the_service_cuts_are_its_fault() {
    let proxy = envoy();
    let mut call = worker(&proxy, "{}").request(GET);
    call.respond(&[(":status", "200"), ("content-type", "text/event-stream")], false).body(b"data: 1\n\n", false);
    call.cut(64);
    assert_eq!(of(&proxy, "sse", "streams_total;outcome=unreachable"), 1);
}

#[test]
fn a_switched_connection_is_a_stream() {
    let proxy = envoy();
    let mut call = worker(&proxy, "{}").stream().with_body().request(GET);
    call.respond(&[(":status", "101")], false);
    assert_eq!(of(&proxy, "websocket", "streams_open"), 1);
    call.request_body(b"ping", false).body(b"pong", false);
    call.abort();
    assert_eq!((of(&proxy, "websocket", "streams_open"), of(&proxy, "websocket", "streams_total;outcome=ok")), (0, 1));
    assert_eq!(
        (of(&proxy, "websocket", "request_bytes_total"), of(&proxy, "websocket", "response_bytes_total")),
        (4, 4)
    );
}

#[test]
fn a_second_message_makes_a_stream_of_a_grpc_call_in_either_direction_and_any_pieces() {
    for second in [true, false] {
        for size in 1..FRAME.len() * 2 {
            for by_client in [true, false] {
                let proxy = envoy();
                let mut call = worker(&proxy, "{}").stream().with_body().request(GRPC);
                let frames = if second { [FRAME, FRAME].concat() } else { FRAME.to_vec() };
                if by_client {
                    for part in frames.chunks(size) {
                        call.request_body(part, false);
                    }
                    call.request_body(b"", true);
                    call.respond(&[(":status", "200")], false);
                } else {
                    call.request_body(FRAME, true).respond(&[(":status", "200")], false);
                    for part in frames.chunks(size) {
                        call.body(part, false);
                    }
                }
                assert_eq!(of(&proxy, "grpc", "streams_open"), u64::from(second), "{size} {by_client}");
                call.trailers(&[("grpc-status", "0")]);
                call.finish();
                assert_eq!(of(&proxy, "grpc", "streams_total;outcome=ok"), u64::from(second));
                assert_eq!(of(&proxy, "grpc", "streams_open"), 0);
            }
        }
    }
}

#[test]
fn trailers_of_grpc_web_are_no_second_message() {
    let web = [(":method", "POST"), (":path", "/shop.Orders/Get"), ("content-type", "application/grpc-web+proto")];
    let trailers = b"\x80\0\0\0\x0fgrpc-status: 0\n";
    for (frames, is_stream) in [(vec![FRAME, trailers], 0), (vec![FRAME, FRAME, trailers], 1), (vec![&trailers[..]], 0)]
    {
        for size in 1..30 {
            let proxy = envoy();
            let mut call = worker(&proxy, "{}").stream().with_body().request(&web);
            call.request_body(FRAME, true).respond(&[(":status", "200")], false);
            for part in frames.concat().chunks(size) {
                call.body(part, false);
            }
            call.body(b"", true);
            call.finish();
            assert_eq!(of(&proxy, "grpc_web", "streams_total;outcome=ok"), is_stream, "{size} of {frames:?}");
        }
    }
}

#[test]
fn a_grpc_stream_whose_client_leaves_was_well() {
    let proxy = envoy();
    let mut call = worker(&proxy, "{}").stream().with_body().request(GRPC);
    call.request_body(FRAME, true).respond(&[(":status", "200")], false).body(&[FRAME, FRAME].concat(), false);
    call.abort();
    assert_eq!(of(&proxy, "grpc", "streams_total;outcome=ok"), 1);
}
