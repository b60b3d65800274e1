//! Whether a gRPC call is a stream: it is once a second message is seen in one direction.
//!
//! Headers don't say. But each message has five bytes in front, one of flags and four of its length, and the proxy says how long each part of a body is. So the
//! first five bytes of a direction are read, once; then bytes are counted, and whatever comes behind the first message is a second one (gRPC-Web: or its trailers).

use sdk_shim::host::{Body, Host};

/// Flags and length.
const HEAD: usize = 5;
/// gRPC-Web's flag of a frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// One direction of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// The first bytes, as far as they came.
    head: [u8; HEAD],
    read: usize,
    /// Bytes that went by.
    passed: u64,
    over: bool,
}

// === impl Frames ===

impl Frames {
    /// A part of `size` bytes goes by; whether a second message is seen for the first time. `web` where the frames may be trailers.
    pub fn pass<H: Host>(&mut self, host: &H, body: Body, size: usize, web: bool) -> bool {
        if self.over || size == 0 {
            return false;
        }
        if let Some(missing) = self.head.get_mut(self.read..).filter(|missing| !missing.is_empty()) {
            let bytes = host.body(body, missing.len().min(size)).unwrap_or_default();
            missing.iter_mut().zip(&bytes).for_each(|(to, byte)| *to = *byte);
            self.read += bytes.len();
            // Bytes that aren't shown can't be counted on.
            self.over = bytes.is_empty();
        }
        let before = self.passed;
        self.passed = before.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
        if self.over || self.read < HEAD || self.passed <= self.first() {
            return false;
        }
        self.over = true;
        !web || !self.is_trailers(host, body, before)
    }

    /// Where the first message ends.
    fn first(&self) -> u64 {
        let [_, length @ ..] = self.head;
        u64::from(u32::from_be_bytes(length)) + HEAD as u64
    }

    /// Whether the frame behind the first message is gRPC-Web's trailers, or the first one is.
    fn is_trailers<H: Host>(&self, host: &H, body: Body, before: u64) -> bool {
        let [flags, ..] = self.head;
        let at = usize::try_from(self.first().saturating_sub(before)).unwrap_or(usize::MAX);
        let next = host.body_from(body, at, 1).unwrap_or_default();
        (flags | next.first().copied().unwrap_or(TRAILERS)) & TRAILERS != 0
    }
}
