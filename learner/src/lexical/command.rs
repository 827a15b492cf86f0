//! Command injection: a shell's separators followed by a shell's commands.

use super::text::{Hit, from, is_word, listed, strongest};

/// Commands whose names are no words of everyday language; sorted.
const COMMANDS: &[&str] = &[
    "arp",
    "base64",
    "bash",
    "busybox",
    "certutil",
    "chmod",
    "chown",
    "cmd",
    "crontab",
    "csh",
    "curl",
    "dash",
    "gcc",
    "getent",
    "id",
    "ifconfig",
    "ipconfig",
    "ksh",
    "ls",
    "lsof",
    "mkfifo",
    "mshta",
    "nc",
    "ncat",
    "net",
    "netcat",
    "netstat",
    "nmap",
    "nslookup",
    "openssl",
    "passwd",
    "perl",
    "php",
    "powershell",
    "printenv",
    "ps",
    "pwd",
    "pwsh",
    "python",
    "python2",
    "python3",
    "reg",
    "rm",
    "rmdir",
    "ruby",
    "sh",
    "ssh",
    "sudo",
    "systeminfo",
    "tasklist",
    "tcpdump",
    "tcsh",
    "telnet",
    "tftp",
    "traceroute",
    "uname",
    "vim",
    "wget",
    "whoami",
    "xterm",
    "zsh",
];

/// Commands that are also words; only with arguments that no sentence has, or alone.
const WORDS: &[&str] = &[
    "arch", "awk", "bg", "cat", "cd", "cp", "cut", "date", "dig", "dir", "echo", "env", "expr", "find",
    "free", "ftp", "grep", "head", "host", "hostname", "kill", "last", "less", "mail", "more", "mount", "mv",
    "node", "ping", "print", "printf", "sed", "set", "sleep", "sort", "stat", "strings", "tail", "tee",
    "top", "touch", "type", "ver", "vol", "w", "wc", "which", "who",
];

/// Looks at lower-case text.
pub(super) fn detect(text: &[u8]) -> Option<Hit> {
    let mut best = None;
    for (at, &byte) in text.iter().enumerate() {
        let tail = from(text, at + 1);
        match byte {
            b';' | b'|' | b'&' | b'\n' => command(tail, byte, &mut best),
            b'`' => substitution(tail, b'`', &mut best),
            b'$' => dollar(tail, &mut best),
            b'/' => program(text, at, &mut best),
            b'(' if tail.starts_with(b") {") || tail.starts_with(b"){") => shellshock(tail, &mut best),
            b'.' if tail.starts_with(b"exe") && tail.get(3).is_none_or(|byte| !is_word(*byte)) => {
                executable(text, at, &mut best)
            }
            _ => {}
        }
    }
    if let Some((name, after)) = first_word(text)
        && matches!(
            name.as_slice(),
            b"whoami"
                | b"nslookup"
                | b"ifconfig"
                | b"ipconfig"
                | b"wget"
                | b"curl"
                | b"uname"
                | b"cat"
                | b"ls"
                | b"ping"
                | b"netstat"
        )
        && argument(after) >= 2
    {
        strongest(&mut best, 0.7, "shell command");
    }
    best
}

/// A name of up to 16 bytes, as a shell reads it: quotes, backslashes, carets and empty expansions do not count.
#[derive(Default)]
struct Name {
    bytes: [u8; 16],
    length: usize,
    disguised: bool,
}

impl Name {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}

fn first_word(text: &[u8]) -> Option<(Name, &[u8])> {
    let blank = text
        .iter()
        .take(16)
        .take_while(|byte| byte.is_ascii_whitespace() || matches!(byte, b'(' | b'{' | b'@' | b'!'))
        .count();
    let mut rest = from(text, blank);
    let mut name = Name::default();
    loop {
        rest = match rest {
            [b'$', b'@', after @ ..] | [b'$', b'*', after @ ..] => after,
            [b'\'' | b'"' | b'\\' | b'^', after @ ..]
                if name.length > 0 || matches!(after.first(), Some(b'a'..=b'z' | b'/')) =>
            {
                name.disguised = true;
                after
            }
            [byte, after @ ..] if is_word(*byte) => {
                *name.bytes.get_mut(name.length)? = *byte;
                name.length += 1;
                after
            }
            _ => break,
        };
    }
    (name.length > 0).then_some((name, rest))
}

/// How much what follows a command looks like its arguments: 0 a sentence, 1 nothing, 2 arguments.
fn argument(after: &[u8]) -> u8 {
    match after.trim_ascii_start() {
        [] => 1,
        [b';' | b'|' | b'&' | b'>' | b'<' | b')' | b'`' | b'#' | b'}' | b'\'' | b'"', ..] => 2,
        [b'-' | b'/' | b'$' | b'.' | b'%' | b'*' | b'\\' | b'~' | b'{', next, ..]
            if !next.is_ascii_whitespace() =>
        {
            2
        }
        [b'h', b't', b't', b'p', ..] => 2,
        _ => 0,
    }
}

/// A number alone is an argument of few commands: `sleep 10`, `ping 127.0.0.1`, but not `id 4711` or `date 3 May`.
fn timed(name: &[u8], after: &[u8]) -> bool {
    let takes_number = matches!(
        name,
        b"sleep" | b"ping" | b"nc" | b"ncat" | b"telnet" | b"kill" | b"nslookup" | b"traceroute"
    );
    let after = after.trim_ascii();
    let digits = after.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    takes_number
        && digits > 0
        && after.get(digits).is_none_or(|byte| !byte.is_ascii_whitespace() && !is_word(*byte))
}

fn command(tail: &[u8], separator: u8, best: &mut Option<Hit>) {
    let Some((name, after)) = first_word(tail) else { return };
    let argument = if timed(name.as_slice(), after) { 2 } else { argument(after) };
    // Names of files, hosts and mail addresses are no commands.
    let joined = matches!(after.first(), Some(b'.' | b'@' | b'=' | b':' | b',' | b'!' | b'?' | 0x80..))
        && !after.starts_with(b".exe");
    if joined {
        return;
    }
    // `&id=7`, `&net` are parameters and company names; after a newline anything may come.
    let weak = matches!(separator, b'&' | b'\n');
    let score = if listed(COMMANDS, name.as_slice()) {
        match (argument, weak) {
            (2, _) => 0.92,
            (1, false) => 0.82,
            (1, true) => 0.6,
            (_, false) => 0.6,
            _ => 0.35,
        }
    } else if listed(WORDS, name.as_slice()) {
        match (argument, weak) {
            (2, false) => 0.85,
            (2, true) => 0.6,
            (1, false) if separator == b'|' => 0.6,
            _ => 0.15,
        }
    } else {
        return;
    };
    strongest(best, if name.disguised { 0.95 } else { score }, "shell command after a separator");
}

/// `` `id` `` and `$(id)`.
fn substitution(tail: &[u8], close: u8, best: &mut Option<Hit>) {
    let closed = tail.iter().take(512).any(|byte| *byte == close);
    let Some((name, after)) = first_word(tail) else { return };
    let known = listed(COMMANDS, name.as_slice()) || (listed(WORDS, name.as_slice()) && argument(after) == 2);
    if closed && known {
        strongest(best, 0.92, "shell command in a substitution");
    }
}

fn dollar(tail: &[u8], best: &mut Option<Hit>) {
    if let Some(inner) = tail.strip_prefix(b"(") {
        substitution(inner, b')', best);
    }
    if tail.starts_with(b"{ifs") || tail.starts_with(b"ifs") {
        strongest(best, 0.93, "shell field separator");
    }
    if tail.starts_with(b"{path:") || tail.starts_with(b"{home:") || tail.starts_with(b"{shell") {
        strongest(best, 0.85, "shell variable");
    }
}

/// `/bin/sh`, `/usr/bin/id`, `/dev/tcp/…`, also with wildcards.
fn program(text: &[u8], at: usize, best: &mut Option<Hit>) {
    let tail = from(text, at);
    let telling =
        [&b"/bin/"[..], b"/sbin/", b"/dev/tcp/", b"/dev/udp/", b"/???/", b"/bi?/", b"/b?n/", b"/cgi-bin/sh"];
    if telling.iter().any(|known| tail.starts_with(known)) {
        let named = first_word(tail.get(5..).unwrap_or(&[])).is_some_and(|(name, _)| {
            listed(COMMANDS, name.as_slice()) || listed(WORDS, name.as_slice()) || name.as_slice() == b"tcp"
        });
        let wild = tail.starts_with(b"/dev/") || tail.get(..5).is_some_and(|head| head.contains(&b'?'));
        strongest(best, if named || wild { 0.9 } else { 0.5 }, "program of the system");
    }
}

fn shellshock(tail: &[u8], best: &mut Option<Hit>) {
    if tail.iter().take(32).any(|byte| *byte == b';') {
        strongest(best, 0.95, "shell function in a value");
    }
}

fn executable(text: &[u8], at: usize, best: &mut Option<Hit>) {
    let head = text.get(..at).unwrap_or(&[]);
    if [&b"cmd"[..], b"powershell", b"command", b"nc", b"wscript", b"cscript", b"mshta", b"certutil"]
        .iter()
        .any(|name| head.ends_with(name))
    {
        strongest(best, 0.88, "program of the system");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        assert!(COMMANDS.is_sorted() && WORDS.is_sorted());
    }
}
