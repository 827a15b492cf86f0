//! Path traversal: climbing out of a directory, files that only the system reads, wrappers for both.

use super::text::{Hit, from, is_word, strongest, word_before};

/// Files and folders of systems and servers, each with what may not come right before it.
const FILES: &[(&[u8], f32)] = &[
    (b"/etc/passwd", 0.95),
    (b"/etc/shadow", 0.95),
    (b"/etc/group", 0.9),
    (b"/etc/hosts", 0.85),
    (b"/etc/issue", 0.85),
    (b"/etc/motd", 0.85),
    (b"/etc/fstab", 0.85),
    (b"/etc/ssh", 0.9),
    (b"/etc/nginx", 0.85),
    (b"/etc/apache", 0.85),
    (b"/etc/httpd", 0.85),
    (b"/etc/mysql", 0.85),
    (b"/etc/init", 0.85),
    (b"/etc/cron", 0.85),
    (b"/etc/resolv", 0.85),
    (b"/etc/", 0.55),
    (b"/proc/self", 0.95),
    (b"/proc/version", 0.9),
    (b"/proc/", 0.7),
    (b"/var/log", 0.8),
    (b"/var/www", 0.75),
    (b"/root/.", 0.9),
    (b"/usr/local/apache", 0.8),
    (b"/web-inf", 0.9),
    (b"/windows/", 0.7),
    (b"/winnt/", 0.85),
    (b"/system32", 0.85),
    (b"/.git/", 0.85),
    (b"/.svn/", 0.8),
    (b"/.env", 0.8),
    (b"/.ssh/", 0.9),
    (b"/.aws/", 0.9),
    (b"/.htaccess", 0.85),
    (b"/.htpasswd", 0.9),
    (b"/.bash_history", 0.9),
    (b"/.mysql_history", 0.9),
];

/// Names of single files; matched as whole names.
const NAMES: &[(&[u8], &[u8], f32)] = &[
    (b"boot", b"ini", 0.9),
    (b"win", b"ini", 0.9),
    (b"system", b"ini", 0.85),
    (b"php", b"ini", 0.8),
    (b"my", b"cnf", 0.8),
    (b"web", b"config", 0.85),
    (b"httpd", b"conf", 0.85),
    (b"nginx", b"conf", 0.8),
    (b"access", b"log", 0.6),
    (b"error", b"log", 0.5),
    (b"config", b"php", 0.75),
    (b"global", b"asa", 0.85),
];

/// Looks at lower-case text; back-slashes count as slashes.
pub(super) fn detect(text: &[u8]) -> Option<Hit> {
    let mut best = None;
    let mut climbs = 0;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'/' | b'\\' => {
                climbs += usize::from(climb(text, at));
                file(from(text, at), &mut best);
                wrapper(text, at, &mut best);
            }
            b'.' => name(text, at, &mut best),
            b'0' if hex_climb(text, at) => climbs += 1,
            0 => strongest(&mut best, 0.7, "zero byte"),
            _ => {}
        }
    }
    if text.starts_with(b"etc/passwd") || text.starts_with(b"etc/shadow") {
        strongest(&mut best, 0.9, "file of the system");
    }
    if text == b".." || text.ends_with(b"/..") || text.ends_with(b"\\..") {
        climbs += 1;
    }
    match climbs {
        0 => {}
        1 => strongest(&mut best, 0.5, "climbs out of a directory"),
        _ => strongest(&mut best, 0.92, "climbs out of several directories"),
    }
    if climbs > 0 && best.is_some_and(|hit| hit.score >= 0.5 && hit.matched != "climbs out of a directory") {
        strongest(&mut best, 0.97, "climbs out of a directory towards a file of the system");
    }
    best
}

/// `../`, `..;/` and `....//` before the slash at `at`. Three dots are an ellipsis.
fn climb(text: &[u8], at: usize) -> bool {
    let head = text.get(..at).unwrap_or(&[]);
    let head = head.strip_suffix(b";").unwrap_or(head);
    let Some(before) = head.strip_suffix(b"..") else { return false };
    match before.last() {
        Some(b'.') => before.ends_with(b"..") && !before.ends_with(b"..."),
        Some(byte) => !is_word(*byte) || *byte == b'_',
        None => true,
    }
}

/// `..0x2f`, `..0x5c` and `0x2e0x2e`, written for filters that know percent-encoding only.
fn hex_climb(text: &[u8], at: usize) -> bool {
    let tail = from(text, at);
    let head = text.get(..at).unwrap_or(&[]);
    ((tail.starts_with(b"0x2f") || tail.starts_with(b"0x5c")) && head.ends_with(b".."))
        || tail.starts_with(b"0x2e0x2e")
}

fn file(tail: &[u8], best: &mut Option<Hit>) {
    for (known, score) in FILES {
        let same = tail.len() >= known.len()
            && tail.iter().zip(*known).all(|(a, b)| a == b || (*a == b'\\' && *b == b'/'));
        if same {
            strongest(best, *score, "file of the system");
        }
    }
}

/// `php://input`, `file:///…` and the like.
fn wrapper(text: &[u8], at: usize, best: &mut Option<Hit>) {
    if !from(text, at).starts_with(b"//") || text.get(at.wrapping_sub(1)) != Some(&b':') {
        return;
    }
    let scheme = word_before(text, at - 1);
    if matches!(
        scheme,
        b"file"
            | b"php"
            | b"expect"
            | b"phar"
            | b"zip"
            | b"glob"
            | b"zlib"
            | b"gopher"
            | b"dict"
            | b"ldap"
            | b"jar"
            | b"netdoc"
    ) {
        strongest(best, 0.85, "address that reads files or speaks another protocol");
    }
}

fn name(text: &[u8], at: usize, best: &mut Option<Hit>) {
    let (stem, tail) = (word_before(text, at), from(text, at + 1));
    for (known, extension, score) in NAMES {
        let whole = tail.get(extension.len()).is_none_or(|byte| !is_word(*byte));
        if stem == *known && tail.starts_with(extension) && whole {
            strongest(best, *score, "configuration or log file of a server");
        }
    }
}
