//! What the HTTP/2 layer ends by itself, read off the frames that it writes.
//!
//! A request that breaks HTTP/2 (RFC 9113 8.1.1) is reset, or answered with a bare 400, before any hook of Pingora's proxy
//! runs, and a broken connection ends with a GOAWAY. All three stand in the heads of a few short frames.

/// Something that the HTTP/2 layer ended, with its error code (RFC 9113 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A request, answered with 400 and nothing else.
    Request,
    /// A stream, by RST_STREAM.
    Stream(u32),
    /// The connection, by GOAWAY.
    Connection(u32),
}

/// Error codes of RFC 9113 section 7, by number.
const CODES: [&str; 14] = [
    "no_error",
    "protocol_error",
    "internal_error",
    "flow_control_error",
    "settings_timeout",
    "stream_closed",
    "frame_size_error",
    "refused_stream",
    "cancel",
    "compression_error",
    "connect_error",
    "enhance_your_calm",
    "inadequate_security",
    "http_1_1_required",
];
const NO_ERROR: u32 = 0x0;
const PROTOCOL_ERROR: u32 = 0x1;
const REFUSED_STREAM: u32 = 0x7;
const CANCEL: u32 = 0x8;
const ENHANCE_YOUR_CALM: u32 = 0xb;

impl Cut {
    /// What was ended, and the name of the error code: two labels.
    pub fn labels(self) -> [&'static str; 2] {
        let name = |code| usize::try_from(code).ok().and_then(|at| CODES.get(at).copied()).unwrap_or("other");
        match self {
            Self::Request => ["request", name(PROTOCOL_ERROR)],
            Self::Stream(code) => ["stream", name(code)],
            Self::Connection(code) => ["connection", name(code)],
        }
    }

    /// Whether it came of too much being asked, and not of something that cannot be read.
    pub fn is_excess(self) -> bool {
        matches!(self, Self::Stream(REFUSED_STREAM) | Self::Connection(ENHANCE_YOUR_CALM))
    }

    /// Whether a request ended without a journey of its own. A body that is not as long as its `content-length` says resets
    /// its stream with the same code as a head that cannot be read: that one request has two records rather than the other
    /// none.
    pub fn is_unread(self) -> bool {
        matches!(self, Self::Request | Self::Connection(_) | Self::Stream(PROTOCOL_ERROR | REFUSED_STREAM))
    }
}

const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const GOAWAY: u8 = 0x7;
/// `:status: 400` in the static table (RFC 7541 appendix A). The gateway's own answers have more fields than that.
const STATUS_400: u8 = 0x8c;
/// Longest header block that may be a bare status: a change of the table's size may stand before it.
const BARE_BYTES_MAX: usize = 4;

/// Follows the frames of a server's side of a connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The frame's head, and of its payload what tells.
    head: Vec<u8>,
    /// Bytes of payload that tell nothing.
    skip: usize,
}

impl Frames {
    /// Takes note of bytes as they are written, in whatever pieces.
    pub fn pass(&mut self, mut bytes: &[u8], mut found: impl FnMut(Cut)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((&byte, rest)) = bytes.split_first() else { return };
            bytes = rest;
            self.head.push(byte);
            if let Some((left, cut)) = frame(&self.head) {
                self.head.clear();
                self.skip = left;
                cut.into_iter().for_each(&mut found);
            }
        }
    }
}

/// How much of a frame is left behind `head`, and what it ends; `None` while `head` does not tell.
fn frame(head: &[u8]) -> Option<(usize, Option<Cut>)> {
    let [a, b, c, kind, _flags, _, _, _, _, payload @ ..] = head else { return None };
    let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
    let telling = match *kind {
        HEADERS if length <= BARE_BYTES_MAX => length,
        RST_STREAM => 4,
        GOAWAY => 8,
        _ => 0,
    };
    if payload.len() < telling.min(length) {
        return None;
    }
    let code = payload.last_chunk().map(|code| u32::from_be_bytes(*code));
    let cut = match *kind {
        HEADERS => payload.last().filter(|&&last| last == STATUS_400).map(|_| Cut::Request),
        // The gateway's own way to end a stream is no error of its client.
        RST_STREAM => code.filter(|code| ![NO_ERROR, CANCEL].contains(code)).map(Cut::Stream),
        GOAWAY => code.filter(|&code| code != NO_ERROR).map(Cut::Connection),
        _ => None,
    };
    Some((length.saturating_sub(payload.len()), cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: u8, payload: &[u8]) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[a, b, c, kind, 0, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn only_errors_of_the_layer_are_found_in_whatever_pieces_they_are_written() {
        let reset = |code: u32| written(RST_STREAM, &code.to_be_bytes());
        let away = |code: u32| written(GOAWAY, &[&[0, 0, 0, 1], &code.to_be_bytes()[..], b"why"].concat());
        let bytes = [
            written(0x4, &[0; 12]),
            written(HEADERS, b"\x88\x5c\x01\x30\x40\x8c"),
            written(0x0, &vec![RST_STREAM; 20_000]),
            reset(NO_ERROR),
            reset(CANCEL),
            reset(PROTOCOL_ERROR),
            written(HEADERS, &[STATUS_400]),
            written(HEADERS, &[0x3f, 0xe1, 0x1f, STATUS_400]),
            written(HEADERS, &[0x88]),
            reset(REFUSED_STREAM),
            written(0x4, &[]),
            away(NO_ERROR),
            away(ENHANCE_YOUR_CALM),
            away(99),
        ]
        .concat();
        for piece in [1, 7, 10, bytes.len()] {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            bytes.chunks(piece).for_each(|bytes| frames.pass(bytes, |cut| found.push(cut)));
            let expected = [
                Cut::Stream(PROTOCOL_ERROR),
                Cut::Request,
                Cut::Request,
                Cut::Stream(REFUSED_STREAM),
                Cut::Connection(ENHANCE_YOUR_CALM),
                Cut::Connection(99),
            ];
            assert_eq!(found, expected, "in pieces of {piece}");
        }
        assert_eq!(Cut::Connection(99).labels(), ["connection", "other"]);
    }
}
