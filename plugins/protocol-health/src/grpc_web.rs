//! gRPC-Web: the trailers are in the body, in a frame of their own, because browsers show none (PROTOCOL-WEB of gRPC).
//!
//! ```text
//! body  = frame*
//! frame = flags (1 byte: 0x80 trailers, 0x01 compressed) · length (4 bytes, most significant first) · payload
//! payload of a trailers frame = header lines, as HTTP/1 has them: `grpc-status: 0\r\ngrpc-message: …\r\n`
//! ```
//!
//! Messages pass by uncopied; of a trailers frame at most [`MOST_TRAILERS`] bytes are kept.

/// Bytes of a trailers frame that are looked at.
pub const MOST_TRAILERS: usize = 8 * 1024;

const HEAD: usize = 5;
const TRAILERS: u8 = 0x80;
const COMPRESSED: u8 = 0x01;

/// Reads a body as it comes.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    head: Vec<u8>,
    /// Bytes of the frame that are still to come.
    left: usize,
    trailers: Vec<u8>,
    messages: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Message,
    Trailers,
    /// Longer than is looked at, or compressed.
    Opaque,
    /// After the trailers nothing may follow.
    Over,
    Broken,
}

/// What a body ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A `grpc-status`.
    Status(u32),
    /// Trailers without a status that is a number, or ones that can't be read.
    NoStatus,
    /// It ended before its trailers did.
    Cut,
    /// It isn't gRPC-Web.
    Broken,
}

// === impl Reader ===

impl Reader {
    /// The next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Head => self.take_head(bytes),
                State::Message | State::Trailers | State::Opaque => self.take_payload(bytes),
                State::Over | State::Broken => {
                    self.state = State::Broken;
                    return;
                }
            };
        }
    }

    /// Messages that have begun: of a call with one answer there is never a second one.
    pub const fn begun(&self) -> u64 {
        self.messages + matches!(self.state, State::Message) as u64
    }

    /// Messages that have come whole.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// The body is over.
    pub fn end(&self) -> End {
        match self.state {
            State::Broken => End::Broken,
            State::Over => status(&self.trailers).map_or(End::NoStatus, End::Status),
            _ => End::Cut,
        }
    }

    fn take_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (mine, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend(mine);
        if let [flags, a, b, c, d] = self.head[..] {
            self.head.clear();
            self.begin(flags, usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX));
        }
        rest
    }

    fn begin(&mut self, flags: u8, length: usize) {
        self.left = length;
        self.state = match flags {
            _ if flags & !(TRAILERS | COMPRESSED) != 0 => State::Broken,
            _ if flags & TRAILERS == 0 => State::Message,
            TRAILERS if length <= MOST_TRAILERS => State::Trailers,
            _ => State::Opaque,
        };
        if length == 0 {
            self.finish();
        }
    }

    fn take_payload<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (mine, rest) = bytes.split_at(bytes.len().min(self.left));
        self.left -= mine.len();
        if self.state == State::Trailers {
            self.trailers.extend(mine);
        }
        if self.left == 0 {
            self.finish();
        }
        rest
    }

    fn finish(&mut self) {
        match self.state {
            State::Message => {
                self.messages += 1;
                self.state = State::Head;
            }
            State::Trailers | State::Opaque => self.state = State::Over,
            _ => {}
        }
    }
}

/// The `grpc-status` among header lines. Names count in any case, as in HTTP/1; of several the first counts.
fn status(trailers: &[u8]) -> Option<u32> {
    let lines = trailers.split(|byte| *byte == b'\n');
    let pairs = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
    });
    let value = pairs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(b"grpc-status"))?.1;
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[flags][..], &length, payload].concat()
    }

    fn read(body: &[u8]) -> (End, u64) {
        let mut reader = Reader::default();
        reader.feed(body);
        (reader.end(), reader.messages())
    }

    #[test]
    fn the_status_is_in_the_last_frame() {
        let body =
            [frame(0, b"one"), frame(1, b"two, compressed"), frame(0x80, b"grpc-status: 14\r\ngrpc-message: no\r\n")];
        assert_eq!(read(&body.concat()), (End::Status(14), 2));
        assert_eq!(read(&frame(0x80, b"Grpc-Status:0")), (End::Status(0), 0));
    }

    #[test]
    fn what_says_no_status_is_no_success() {
        for trailers in
            [&b""[..], b"grpc-message: x\r\n", b"grpc-status: \r\n", b"grpc-status: +1", b"grpc-status: 99999999999"]
        {
            assert_eq!(read(&frame(0x80, trailers)).0, End::NoStatus, "{:?}", String::from_utf8_lossy(trailers));
        }
        assert_eq!(read(&frame(0x81, b"\x1f\x8b")).0, End::NoStatus, "compressed");
        assert_eq!(read(&frame(0x80, &[b' '; MOST_TRAILERS + 1])).0, End::NoStatus, "too long");
        assert_eq!(read(&frame(0, b"message")).0, End::Cut);
        assert_eq!(read(&frame(0x80, b"grpc-status: 0")[..9]).0, End::Cut);
        assert_eq!(read(b"").0, End::Cut);
    }

    #[test]
    fn what_is_no_grpc_web_is_broken() {
        assert_eq!(read(b"{\"errors\": []}").0, End::Broken);
        assert_eq!(
            read(&[frame(0x80, b"grpc-status: 0"), frame(0, b"x")].concat()).0,
            End::Broken,
            "after the trailers"
        );
    }

    proptest! {
        #[test]
        fn how_it_is_cut_into_pieces_changes_nothing(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4),
            trailers in "(grpc-status: ?[0-9]{0,3}\r\n|x: y\r\n){0,3}",
            noise in prop::collection::vec(any::<u8>(), 0..6),
            cuts in prop::collection::vec(0..80_usize, 0..8),
        ) {
            let mut body: Vec<u8> = messages.iter().flat_map(|message| frame(0, message)).collect();
            body.extend(frame(0x80, trailers.as_bytes()));
            body.extend(noise);
            let mut reader = Reader::default();
            let mut rest = &body[..];
            for cut in cuts {
                let (piece, more) = rest.split_at(cut.min(rest.len()));
                reader.feed(piece);
                rest = more;
            }
            reader.feed(rest);
            prop_assert_eq!((reader.end(), reader.messages()), read(&body));
        }
    }
}
