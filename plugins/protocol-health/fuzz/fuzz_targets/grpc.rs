//! Any bytes as a gRPC-Web body, whole and in pieces, and as a `grpc-timeout`. The first byte says as which, and how large the pieces are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol_health::grpc_timeout::{parse, write};
use protocol_health::grpc_web::{End, Reader};

fuzz_target!(|input: &[u8]| {
    let [how, bytes @ ..] = input else { return };
    match how % 2 {
        0 => body(bytes, usize::from(how / 2) + 1),
        _ => timeout(bytes),
    }
});

fn body(bytes: &[u8], size: usize) {
    let read = |size: usize| {
        let mut reader = Reader::default();
        bytes.chunks(size).for_each(|piece| reader.feed(piece));
        (reader.end(), reader.messages())
    };
    let whole = read(bytes.len().max(1));
    assert_eq!(read(size), whole);
    assert!(bytes.len() >= 5 || whole.0 == End::Cut || whole.0 == End::Broken);
}

fn timeout(bytes: &[u8]) {
    if let Some(said) = parse(bytes) {
        let sent = parse(write(said).as_bytes()).expect("what is sent on can be read");
        assert!(sent <= said && said.saturating_sub(sent) <= said / 1_000_000, "{said:?} {sent:?}");
    }
}
