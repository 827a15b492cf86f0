//! Other probes: look-ups and templates evaluated by a server, LDAP filters, split headers, entities, scanners.

use super::text::{Hit, from, is_word, strongest, word_at_start, word_before};

/// Tools that say who they are.
const SCANNERS: &[&[u8]] = &[
    b"acunetix",
    b"arachni",
    b"burp",
    b"dirbuster",
    b"feroxbuster",
    b"ffuf",
    b"fimap",
    b"gobuster",
    b"havij",
    b"hydra",
    b"jaeles",
    b"joomscan",
    b"masscan",
    b"metasploit",
    b"nessus",
    b"netsparker",
    b"nikto",
    b"nmap",
    b"nuclei",
    b"openvas",
    b"qualys",
    b"skipfish",
    b"sqlmap",
    b"w3af",
    b"wfuzz",
    b"whatweb",
    b"wpscan",
    b"zgrab",
    b"zmeu",
];

/// Whether a lower-case user agent is a scanner's.
pub(super) fn scanner(user_agent: &[u8]) -> Option<Hit> {
    let words = user_agent.split(|byte| !is_word(*byte));
    let known = |word: &[u8]| SCANNERS.iter().any(|scanner| word.starts_with(scanner));
    words.into_iter().any(known).then_some(Hit { score: 0.9, matched: "scanner that says its name" })
}

/// Looks at lower-case text.
pub(super) fn detect(text: &[u8]) -> Option<Hit> {
    let mut best = None;
    for (at, &byte) in text.iter().enumerate() {
        let tail = from(text, at + 1);
        match byte {
            b'$' | b'#' | b'{' | b'*' => expression(byte, tail, &mut best),
            b'<' => markup(tail, &mut best),
            b')' => ldap(tail, &mut best),
            b'\n' | b'\r' => split_header(tail, &mut best),
            b'(' => server_call(word_before(text, at), &mut best),
            b'_' if tail.starts_with(b"_proto__") => strongest(&mut best, 0.85, "prototype of an object"),
            b'1' if tail.starts_with(b"69.254.169.254") => {
                strongest(&mut best, 0.9, "metadata address of a cloud")
            }
            b'm' if tail.starts_with(b"etadata.google") => {
                strongest(&mut best, 0.9, "metadata address of a cloud")
            }
            b'r' if at == 0 && tail.starts_with(b"o0ab") => strongest(&mut best, 0.85, "serialized object"),
            b'o' if at == 0 => serialized(tail, &mut best),
            _ => {}
        }
    }
    best
}

/// `${jndi:…}`, `{{7*7}}`, `#{…}`, `*{…}`.
fn expression(byte: u8, tail: &[u8], best: &mut Option<Hit>) {
    let inner = match (byte, tail.first()) {
        (_, Some(b'{')) => from(tail, 1),
        (b'{', Some(b'%')) => from(tail, 1),
        (b'$', _) => return nosql(tail, best),
        _ => return,
    };
    if inner.starts_with(b"jndi")
        || inner.starts_with(b"${")
        || inner.starts_with(b"lower:")
        || inner.starts_with(b"env:")
        || inner.starts_with(b"::-")
    {
        strongest(best, 0.97, "look-up evaluated by a logger");
        return;
    }
    let Some(end) = inner.iter().take(256).position(|byte| *byte == b'}') else { return };
    let code = inner.get(..end).unwrap_or(&[]);
    let arithmetic = code.iter().any(|byte| b"*+".contains(byte)) && code.iter().any(u8::is_ascii_digit);
    let calls = code.contains(&b'(') || code.windows(2).any(|pair| pair == b"__");
    if calls || arithmetic {
        strongest(best, 0.88, "template expression");
    }
}

/// `$ne`, `$where` and their kin as the name of a field.
fn nosql(tail: &[u8], best: &mut Option<Hit>) {
    if matches!(
        word_at_start(tail),
        b"ne"
            | b"gt"
            | b"gte"
            | b"lt"
            | b"lte"
            | b"nin"
            | b"regex"
            | b"where"
            | b"exists"
            | b"elemmatch"
            | b"expr"
    ) {
        strongest(best, 0.6, "operator of a document database");
    }
}

fn markup(tail: &[u8], best: &mut Option<Hit>) {
    if tail.starts_with(b"!entity")
        || (tail.starts_with(b"!doctype") && tail.iter().take(512).any(|byte| *byte == b'['))
    {
        strongest(best, 0.95, "XML entity");
    } else if tail.starts_with(b"?php")
        || tail.starts_with(b"?=")
        || tail.starts_with(b"%=")
        || tail.starts_with(b"%@")
    {
        strongest(best, 0.92, "server-side code");
    } else if tail.starts_with(b"!--#") {
        strongest(best, 0.92, "server-side include");
    } else if tail.starts_with(b"xsl:") || tail.starts_with(b"xi:include") {
        strongest(best, 0.85, "XML include");
    }
}

/// A filter closed and another opened: `*)(uid=*`.
fn ldap(tail: &[u8], best: &mut Option<Hit>) {
    let Some(inner) = tail.strip_prefix(b"(") else { return };
    let inner = match inner.first() {
        Some(b'|' | b'&' | b'!') => {
            strongest(best, 0.85, "LDAP filter");
            return;
        }
        _ => inner,
    };
    let name = word_at_start(inner);
    if !name.is_empty() && matches!(from(inner, name.len()).first(), Some(b'=' | b'~' | b'>' | b'<')) {
        strongest(best, 0.82, "LDAP filter");
    }
}

/// A line break followed by a header: the value would go on as headers of its own.
fn split_header(tail: &[u8], best: &mut Option<Hit>) {
    let tail = tail.trim_ascii_start();
    let known = [
        &b"set-cookie:"[..],
        b"location:",
        b"content-length:",
        b"content-type:",
        b"http/1.",
        b"transfer-encoding:",
        b"refresh:",
        b"x-xss-protection:",
    ];
    if known.iter().any(|header| tail.starts_with(header)) {
        strongest(best, 0.9, "header after a line break");
    }
}

/// Functions of a server's language that run code or commands.
fn server_call(name: &[u8], best: &mut Option<Hit>) {
    let telling = matches!(
        name,
        b"phpinfo"
            | b"shell_exec"
            | b"passthru"
            | b"proc_open"
            | b"popen"
            | b"pcntl_exec"
            | b"base64_decode"
            | b"call_user_func"
            | b"file_get_contents"
            | b"file_put_contents"
            | b"fopen"
            | b"readfile"
            | b"require_once"
            | b"include_once"
            | b"getruntime"
            | b"processbuilder"
            | b"__import__"
            | b"child_process"
            | b"system"
            | b"assert"
            | b"str_rot13"
            | b"var_dump"
            | b"gzinflate"
            | b"create_function"
            | b"md5"
    );
    if telling {
        let score =
            if matches!(name, b"system" | b"assert" | b"fopen" | b"md5" | b"var_dump") { 0.6 } else { 0.85 };
        strongest(best, score, "function of a server's language");
    }
}

/// PHP's `O:8:"classname"`.
fn serialized(tail: &[u8], best: &mut Option<Hit>) {
    if let Some(rest) = tail.strip_prefix(b":") {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 && from(rest, digits).starts_with(b":\"") {
            strongest(best, 0.85, "serialized object");
        }
    }
}
