//! Cross-site scripting: tags, attributes, script URLs and script code as a browser would see them.

use super::text::{Hit, from, is_word, listed, strongest, word_at_start, word_before};

/// Tags that run or load something by themselves; sorted.
const ACTIVE_TAGS: &[&str] = &[
    "animate", "applet", "base", "embed", "frame", "frameset", "iframe", "link", "math", "meta", "object",
    "script", "set", "svg", "xml",
];

/// Other tags of HTML; sorted.
const TAGS: &[&str] = &[
    "a",
    "abbr",
    "audio",
    "b",
    "bgsound",
    "big",
    "blink",
    "body",
    "br",
    "button",
    "canvas",
    "center",
    "command",
    "details",
    "dialog",
    "div",
    "font",
    "form",
    "h1",
    "h2",
    "h3",
    "head",
    "hr",
    "html",
    "i",
    "image",
    "img",
    "input",
    "isindex",
    "keygen",
    "label",
    "layer",
    "li",
    "listing",
    "map",
    "marquee",
    "menu",
    "noscript",
    "option",
    "p",
    "param",
    "picture",
    "plaintext",
    "pre",
    "select",
    "source",
    "span",
    "strong",
    "style",
    "summary",
    "table",
    "td",
    "template",
    "textarea",
    "title",
    "tr",
    "ul",
    "var",
    "video",
    "x",
    "xmp",
    "xss",
];

/// Beginnings of event handler names after `on`; sorted. `only=` or `once=` are none.
const EVENTS: &[&str] = &[
    "abort",
    "activate",
    "after",
    "animation",
    "autocomplete",
    "aux",
    "before",
    "begin",
    "blur",
    "bounce",
    "can",
    "change",
    "click",
    "close",
    "contextmenu",
    "copy",
    "cue",
    "cut",
    "data",
    "dbl",
    "drag",
    "drop",
    "dur",
    "emptied",
    "end",
    "error",
    "filter",
    "finish",
    "focus",
    "form",
    "full",
    "got",
    "hash",
    "help",
    "input",
    "invalid",
    "key",
    "language",
    "layout",
    "load",
    "lose",
    "media",
    "message",
    "mouse",
    "move",
    "offline",
    "online",
    "page",
    "paste",
    "pause",
    "play",
    "pointer",
    "pop",
    "progress",
    "property",
    "rate",
    "ready",
    "redo",
    "repeat",
    "reset",
    "resize",
    "resume",
    "reverse",
    "row",
    "scroll",
    "search",
    "seek",
    "select",
    "show",
    "start",
    "stop",
    "storage",
    "submit",
    "suspend",
    "sync",
    "time",
    "toggle",
    "touch",
    "track",
    "transition",
    "undo",
    "unhandled",
    "unload",
    "url",
    "volume",
    "waiting",
    "webkit",
    "wheel",
    "zoom",
];

/// Calls that script injected into a page makes; sorted.
const CALLS: &[&str] = &[
    "alert",
    "atob",
    "confirm",
    "eval",
    "execscript",
    "expression",
    "fetch",
    "fromcharcode",
    "function",
    "import",
    "prompt",
    "setinterval",
    "settimeout",
    "unescape",
    "write",
    "writeln",
];

/// Looks at lower-case text.
pub(super) fn detect(text: &[u8]) -> Option<Hit> {
    let mut best = None;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'<' => tag(from(text, at + 1), &mut best),
            b'=' => handler(text, at, &mut best),
            b':' => script_url(text, at, &mut best),
            b'(' | b'`' => call(text, at, &mut best),
            b'.' => property(text, at, &mut best),
            b'+' if from(text, at).starts_with(b"+adw-") => strongest(&mut best, 0.8, "tag hidden in UTF-7"),
            _ => {}
        }
    }
    best
}

/// How far an unclosed tag is searched for attributes.
const TAG_BYTES_MAX: usize = 512;

fn tag(after: &[u8], best: &mut Option<Hit>) {
    let closing = after.first() == Some(&b'/');
    let name_at = after
        .iter()
        .take(8)
        .take_while(|byte| matches!(byte, b'/' | 0 | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c))
        .count();
    let rest = from(after, name_at);
    if rest.starts_with(b"![cdata[") || rest.starts_with(b"!--") {
        strongest(best, 0.5, "HTML comment");
        return;
    }
    let name = word_at_start(rest);
    if name.is_empty() {
        return;
    }
    let boundary = rest.get(name.len()).is_none_or(|byte| !is_word(*byte) && *byte != b'@' && *byte != b'.');
    let namespaced = rest.get(name.len()) == Some(&b':');
    if name == b"script" {
        strongest(best, 0.97, "script tag");
    } else if !boundary {
        // `<john@example.org>`, `<3.5`
    } else if listed(ACTIVE_TAGS, name) {
        let score = if closing { 0.6 } else { 0.88 };
        strongest(best, score, "tag that loads or runs something");
    } else if listed(TAGS, name) {
        let attributes = rest.get(..TAG_BYTES_MAX.min(rest.len())).unwrap_or(rest);
        let score = if closing {
            0.35
        } else if attributes.contains(&b'=') {
            0.6
        } else {
            0.45
        };
        strongest(best, score, "HTML tag");
    } else if namespaced {
        strongest(best, 0.6, "tag with a namespace");
    }
}

/// `onerror=` and its kin, as an attribute of a tag or after a quote that closes one.
fn handler(text: &[u8], at: usize, best: &mut Option<Hit>) {
    let name = word_before(text, at);
    let Some(event) = name.strip_prefix(b"on") else {
        style_or_source(text, at, name, best);
        return;
    };
    let known = EVENTS.iter().any(|known| event.starts_with(known.as_bytes()));
    if !known {
        return;
    }
    let head_length = text.get(..at).unwrap_or(&[]).trim_ascii_end().len() - name.len();
    let head = text.get(..head_length).unwrap_or(&[]);
    let separated =
        head.last().is_none_or(|byte| b" \t\n\r\x0b\x0c/'\"`,;<>\0".contains(byte) || *byte >= 0x80);
    if !separated {
        return;
    }
    let inside_tag =
        head.iter().rev().take(TAG_BYTES_MAX).take_while(|byte| **byte != b'>').any(|byte| *byte == b'<');
    let after_quote = head.iter().rev().take(64).any(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    let value = from(text, at + 1).trim_ascii_start();
    let code = value.iter().take(128).any(|byte| matches!(byte, b'(' | b'`' | b'&' | b';' | b':' | b'='));
    let score = match (inside_tag, after_quote, code) {
        (true, _, _) => 0.96,
        (_, true, true) => 0.92,
        (_, true, false) if !value.is_empty() => 0.75,
        (_, _, true) => 0.8,
        _ => 0.4,
    };
    strongest(best, score, "event handler");
}

/// `style=` and `src=` right after a closed quote, and `srcdoc`, `formaction` anywhere.
fn style_or_source(text: &[u8], at: usize, name: &[u8], best: &mut Option<Hit>) {
    if matches!(name, b"srcdoc" | b"formaction") {
        strongest(best, 0.8, "attribute that runs script");
    }
    if name == b"style" && from(text, at).iter().take(128).any(|byte| *byte == b'(') {
        strongest(best, 0.6, "style with a function");
    }
}

/// `javascript:`, also with blanks inside the word, and `data:text/html`.
fn script_url(text: &[u8], at: usize, best: &mut Option<Hit>) {
    let mut word = [0u8; 10];
    let mut length = 0;
    for &byte in text.get(..at).unwrap_or(&[]).iter().rev().take(40) {
        match byte {
            b'\t' | b'\n' | b'\r' | 0 | b'\\' => continue,
            b'a'..=b'z' if length < word.len() => {}
            _ => break,
        }
        if let Some(slot) = word.get_mut(length) {
            *slot = byte;
            length += 1;
        }
    }
    word.get_mut(..length).unwrap_or(&mut []).reverse();
    let word = word.get(..length).unwrap_or(&[]);
    let after = from(text, at + 1);
    if word.ends_with(b"javascript")
        || word.ends_with(b"vbscript")
        || word.ends_with(b"livescript")
        || word == b"jscript"
    {
        let prose = after.first().is_none_or(|byte| *byte == b' ') && !after.contains(&b'(');
        strongest(best, if prose { 0.2 } else { 0.92 }, "script URL");
    } else if word == b"data"
        && (after.starts_with(b"text/html")
            || after.starts_with(b"image/svg")
            || after.starts_with(b"text/xml"))
    {
        strongest(best, 0.85, "data URL that is a page");
    } else if word == b"binding" || word == b"behavior" {
        strongest(best, 0.6, "style that loads script");
    }
}

/// `alert(1)` and its kin.
fn call(text: &[u8], at: usize, best: &mut Option<Hit>) {
    let name = word_before(text, at);
    if !listed(CALLS, name) {
        return;
    }
    let head = text.get(..at).unwrap_or(&[]).trim_ascii_end();
    let head = head.get(..head.len() - name.len()).unwrap_or(&[]).trim_ascii_end();
    let broken_out = head.last().is_none_or(|byte| b"'\";-+*/=>(){}[],|&:!~^%\n`".contains(byte));
    let quoted = head.iter().any(|byte| matches!(byte, b'\'' | b'"' | b'`' | b'<' | b'{'));
    let direct = head.len() + name.len() == text.get(..at).map_or(0, <[u8]>::len);
    let score = match (broken_out, quoted, direct) {
        (true, true, _) => 0.88,
        (true, false, true) => 0.65,
        _ if text.get(at) == Some(&b'`') => 0.3,
        _ => 0.35,
    };
    let score = if matches!(name, b"function" | b"write" | b"import" | b"expression" | b"fetch") && !quoted {
        0.4
    } else {
        score
    };
    strongest(best, score, "script call");
}

/// `document.cookie` and other properties that injected script reads.
fn property(text: &[u8], at: usize, best: &mut Option<Hit>) {
    let object = word_before(text, at);
    let name = word_at_start(from(text, at + 1));
    let telling = matches!(
        (object, name),
        (b"document", b"cookie" | b"domain" | b"write" | b"location" | b"body" | b"documentelement")
            | (b"window", b"location" | b"name" | b"open")
            | (b"self" | b"top" | b"parent", b"location" | b"alert" | b"name")
            | (b"string", b"fromcharcode")
            | (b"location", b"href" | b"hash")
            | (_, b"innerhtml" | b"outerhtml" | b"fromcharcode")
    );
    if telling {
        strongest(best, 0.82, "page property used by script");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        for list in [ACTIVE_TAGS, TAGS, CALLS] {
            assert!(list.is_sorted());
        }
    }
}
