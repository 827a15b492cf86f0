//! Bounded decoding of what an application, a browser or a careless filter behind it might decode.

/// Layers undone at most; text that still changes after them is suspicious in itself.
pub(super) const LAYERS_MAX: usize = 4;

/// Undoes one layer of percent (`%41`, `%u0041`, overlong UTF-8), HTML entity and backslash (`\u0041`, `\x41`)
/// encoding into `out`; with `plus`, `+` becomes a space as in forms. Says whether anything but `+` changed.
pub(super) fn layer(text: &[u8], plus: bool, out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut changed = false;
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let decoded = match byte {
            b'%' => percent(after),
            b'&' => entity(after),
            b'\\' => backslash(after),
            b'+' if plus => {
                out.push(b' ');
                rest = after;
                continue;
            }
            _ => None,
        };
        match decoded {
            Some((code, length)) => {
                push(code, out);
                changed = true;
                rest = after.get(length..).unwrap_or(&[]);
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    changed
}

/// Bytes stay bytes; code points above become UTF-8, full-width forms their ASCII letters.
fn push(code: u32, out: &mut Vec<u8>) {
    match code {
        0..=0xff => out.push(code as u8),
        0xff01..=0xff5e => out.push((code - 0xfee0) as u8),
        _ => {
            let mut buffer = [0; 4];
            let letter = char::from_u32(code).unwrap_or('?');
            out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
        }
    }
}

fn percent(after: &[u8]) -> Option<(u32, usize)> {
    if let Some(b'u' | b'U') = after.first() {
        return hex(after.get(1..5)?).map(|code| (code, 5));
    }
    let byte = hex(after.get(..2)?)?;
    // Overlong UTF-8: two bytes for what fits in one, only ever written to get past a filter.
    if (byte == 0xc0 || byte == 0xc1)
        && after.get(2) == Some(&b'%')
        && let Some(low) = after.get(3..5).and_then(hex)
    {
        return Some((((byte & 0x1f) << 6 | (low & 0x3f)) & 0x7f, 5));
    }
    Some((byte, 2))
}

fn backslash(after: &[u8]) -> Option<(u32, usize)> {
    match after.first()? {
        b'u' => hex(after.get(1..5)?).map(|code| (code, 5)),
        b'x' => hex(after.get(1..3)?).map(|code| (code, 3)),
        _ => None,
    }
}

/// The entities that stand for characters with a meaning in HTML, URLs or scripts.
const ENTITIES: [(&[u8], u8); 12] = [
    (b"lt", b'<'),
    (b"gt", b'>'),
    (b"quot", b'"'),
    (b"apos", b'\''),
    (b"amp", b'&'),
    (b"colon", b':'),
    (b"lpar", b'('),
    (b"rpar", b')'),
    (b"sol", b'/'),
    (b"tab", b'\t'),
    (b"newline", b'\n'),
    (b"nbsp", b' '),
];

fn entity(after: &[u8]) -> Option<(u32, usize)> {
    let end = after.iter().take(12).position(|&byte| byte == b';');
    if after.first() == Some(&b'#') {
        let (radix, start) = if matches!(after.get(1), Some(b'x' | b'X')) { (16, 2) } else { (10, 1) };
        let digits =
            after.get(start..)?.iter().take(8).take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let text = std::str::from_utf8(after.get(start..start + digits)?).ok()?;
        let code = u32::from_str_radix(text, radix).ok()?;
        let length = start + digits;
        return Some((code, length + usize::from(after.get(length) == Some(&b';'))));
    }
    let end = end?;
    let name = after.get(..end)?;
    let (_, byte) = ENTITIES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
    Some((u32::from(*byte), end + 1))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |code, &digit| Some(code * 16 + char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_layer_at_a_time() {
        for (text, plus, expected, changed) in [
            ("a+b", true, "a b", false),
            ("a+b", false, "a+b", false),
            ("100% sure", true, "100% sure", false),
            ("%3Cscript%3E", false, "<script>", true),
            ("%253C", false, "%3C", true),
            ("%u003cb", false, "<b", true),
            ("%c0%ae%c0%ae%c0%af", false, "../", true),
            ("&lt;b&GT;", false, "<b>", true),
            ("&#60;&#x3c;&#0000060x", false, "<<<x", true),
            ("fish & chips; AT&T", false, "fish & chips; AT&T", false),
            (r"\u003cb\x3e", false, "<b>", true),
            (r"C:\users\xavier", false, r"C:\users\xavier", false),
            ("%uff1cscript", false, "<script", true),
            ("%", false, "%", false),
            ("%4", false, "%4", false),
            ("&#", false, "&#", false),
        ] {
            let mut out = Vec::new();
            assert_eq!(layer(text.as_bytes(), plus, &mut out), changed, "{text}");
            assert_eq!(String::from_utf8_lossy(&out), expected, "{text}");
        }
    }
}
