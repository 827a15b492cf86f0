//! A page in the making: sections of text, figures and tables. Everything put into it is escaped.
//!
//! A report shows names from other people's files, so the page forbids itself scripts and everything from elsewhere
//! (Content Security Policy Level 3): the style sheet alone is let in, by its hash.

use super::chart::{Chart, Ink};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Longer names and values are cut, characters.
const TEXT_MAX: usize = 2_000;

/// A plot with what is said about it.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) note: String,
    svg: String,
    legend: Vec<(Ink, String)>,
}

impl Figure {
    /// Draws a chart at its usual size.
    pub(super) fn new(title: &str, note: &str, chart: &Chart) -> Result<Self, String> {
        Self::of_size(title, note, chart, (440.0, 310.0))
    }

    /// Draws a chart of this width and height, CSS pixels.
    pub(super) fn of_size(title: &str, note: &str, chart: &Chart, size: (f64, f64)) -> Result<Self, String> {
        let svg = chart.svg(&format!("{title}. {note}"), size)?;
        Ok(Self { title: title.to_owned(), note: note.to_owned(), svg, legend: Vec::new() })
    }

    /// Says what a colour stands for.
    pub(super) fn key(mut self, ink: Ink, name: impl Into<String>) -> Self {
        self.legend.push((ink, name.into()));
        self
    }
}

/// A table; the first cell of a row is its heading.
#[derive(Debug, Default)]
pub(super) struct Table {
    caption: String,
    head: Vec<String>,
    /// So many columns from the left are text.
    words: usize,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<String>,
    /// Length of a bar at the end, 0 to 1.
    bar: Option<f64>,
    marked: bool,
}

impl Table {
    pub(super) fn new(caption: &str, head: &[&str]) -> Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Self { caption: caption.to_owned(), head, words: 1, rows: Vec::new() }
    }

    /// The first `columns` columns are text.
    pub(super) fn words(self, columns: usize) -> Self {
        Self { words: columns, ..self }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(Row { cells, bar: None, marked: false });
    }

    /// A row that stands out.
    pub(super) fn marked(&mut self, cells: Vec<String>) {
        self.rows.push(Row { cells, bar: None, marked: true });
    }

    /// A row with a bar of this length at its end, 0 to 1.
    pub(super) fn bar(&mut self, cells: Vec<String>, length: f64) {
        self.rows.push(Row { cells, bar: Some(length), marked: false });
    }

    fn html(&self) -> String {
        let class = |column: usize| if column < self.words { " class=\"t\"" } else { "" };
        let caption = escaped(&self.caption);
        let mut html = format!(
            "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">\n<table><caption>{caption}</caption>\n<thead><tr>"
        );
        for (column, name) in self.head.iter().enumerate() {
            // An empty corner is no heading.
            let tag = if name.is_empty() { "td" } else { "th scope=\"col\"" };
            let end = if name.is_empty() { "td" } else { "th" };
            let _ = write!(html, "<{tag}{}>{}</{end}>", class(column), escaped(name));
        }
        let bars = self.rows.iter().any(|row| row.bar.is_some());
        html += if bars { "<td></td></tr></thead>\n<tbody>\n" } else { "</tr></thead>\n<tbody>\n" };
        for Row { cells, bar, marked } in &self.rows {
            html += if *marked { "<tr class=\"marked\">" } else { "<tr>" };
            for (column, cell) in cells.iter().enumerate() {
                let (tag, end) = if column == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
                let _ = write!(html, "<{tag}{}>{}</{end}>", class(column), escaped(cell));
            }
            if let Some(length) = bar {
                let length = 100.0 * length.clamp(0.0, 1.0);
                let fill = Ink::Model.mark();
                let _ = write!(
                    html,
                    "<td class=\"bar\" aria-hidden=\"true\"><svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\"><rect width=\"{length:.1}\" height=\"8\" fill=\"{fill}\"/></svg></td>"
                );
            }
            html += "</tr>\n";
        }
        html + "</tbody></table></div>\n"
    }
}

/// A page in the making.
#[derive(Debug)]
pub(super) struct Page {
    title: String,
    under: String,
    /// Headings with what stands below them.
    sections: Vec<(String, String)>,
}

impl Page {
    /// A page with a title and a line under it.
    pub(super) fn new(title: &str, under: &str) -> Self {
        Self { title: title.to_owned(), under: under.to_owned(), sections: Vec::new() }
    }

    /// Begins a section.
    pub(super) fn section(&mut self, heading: &str) {
        self.sections.push((heading.to_owned(), String::new()));
    }

    fn put(&mut self, html: &str) {
        if self.sections.is_empty() {
            self.section("Summary");
        }
        if let Some((_, body)) = self.sections.last_mut() {
            body.push_str(html);
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.put(&format!("<p>{}</p>\n", escaped(text)));
    }

    /// Text in the background.
    pub(super) fn note(&mut self, text: &str) {
        self.put(&format!("<p class=\"note\">{}</p>\n", escaped(text)));
    }

    /// Text that must not be missed.
    pub(super) fn warning(&mut self, text: &str) {
        self.put(&format!("<p class=\"said\">{}</p>\n", escaped(text)));
    }

    pub(super) fn list(&mut self, points: &[String]) {
        let points: String = points.iter().map(|point| format!("<li>{}</li>\n", escaped(point))).collect();
        self.put(&format!("<ul>\n{points}</ul>\n"));
    }

    /// Names with values, which are shown as they stand.
    pub(super) fn facts(&mut self, facts: &[(&str, String)]) {
        let facts: String = facts
            .iter()
            .map(|(name, value)| {
                format!("<dt>{}</dt><dd><code>{}</code></dd>\n", escaped(name), escaped(value))
            })
            .collect();
        self.put(&format!("<dl class=\"facts\">\n{facts}</dl>\n"));
    }

    /// The figures that matter: name, value, and what to see it beside.
    pub(super) fn cards(&mut self, cards: &[(&str, String, String)]) {
        let cards: String = cards
            .iter()
            .map(|(name, value, beside)| {
                let [name, value, beside] = [name, value.as_str(), beside.as_str()].map(escaped);
                format!("<div><dt>{name}</dt><dd>{value}<small>{beside}</small></dd></div>\n")
            })
            .collect();
        self.put(&format!("<dl class=\"cards\">\n{cards}</dl>\n"));
    }

    /// Figures side by side where there is room.
    pub(super) fn figures(&mut self, figures: &[Figure]) {
        self.grid("figures", figures);
    }

    /// Many small figures side by side.
    pub(super) fn small_figures(&mut self, figures: &[Figure]) {
        self.grid("figures small", figures);
    }

    /// Figures with a table beside them.
    pub(super) fn beside(&mut self, figures: &[Figure], table: &Table) {
        self.put(&format!(
            "<div class=\"figures\">\n{}<div>{}</div>\n</div>\n",
            drawn(figures),
            table.html()
        ));
    }

    fn grid(&mut self, class: &str, figures: &[Figure]) {
        self.put(&format!("<div class=\"{class}\">\n{}</div>\n", drawn(figures)));
    }

    pub(super) fn table(&mut self, table: &Table) {
        self.put(&table.html());
    }

    /// The whole file.
    pub(super) fn end(self) -> String {
        let style = format!("\n{}{}\n", include_str!("page.css"), Ink::style());
        let hash = STANDARD.encode(Sha256::digest(&style));
        let (title, under) = (escaped(&self.title), escaped(&self.under));
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n\
             <header>\n<h1>{title}</h1>\n<p class=\"under\">{under}</p>\n</header>\n<nav aria-label=\"Contents\"><ul>\n"
        );
        for (at, (heading, _)) in self.sections.iter().enumerate() {
            let _ = writeln!(html, "<li><a href=\"#s{at}\">{}</a></li>", escaped(heading));
        }
        html += "</ul></nav>\n<main>\n";
        for (at, (heading, body)) in self.sections.iter().enumerate() {
            let heading = escaped(heading);
            let _ = writeln!(
                html,
                "<section id=\"s{at}\" aria-labelledby=\"h{at}\">\n<h2 id=\"h{at}\">{heading}</h2>\n{body}</section>"
            );
        }
        html + "</main>\n</body>\n</html>\n"
    }
}

/// Figures as HTML.
fn drawn(figures: &[Figure]) -> String {
    let mut html = String::new();
    for Figure { title, note, svg, legend } in figures {
        let note = if note.is_empty() { String::new() } else { format!("<small>{}</small>", escaped(note)) };
        let keys: String = legend
            .iter()
            .map(|(ink, name)| {
                let mark = ink.mark();
                format!(
                    "<li><svg viewBox=\"0 0 96 40\" aria-hidden=\"true\"><path d=\"M0 20h96\" stroke=\"{mark}\" stroke-width=\"11\"/></svg>{}</li>",
                    escaped(name)
                )
            })
            .collect();
        let legend = if keys.is_empty() { keys } else { format!("<ul class=\"legend\">{keys}</ul>") };
        let _ = writeln!(
            html,
            "<figure><figcaption><b>{}</b>{note}</figcaption>\n{svg}{legend}</figure>",
            escaped(title)
        );
    }
    html
}

/// Text for HTML, in elements and attributes. Controls and marks that turn the direction of writing are shown as such,
/// so that no name passes for another.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for (at, letter) in text.chars().enumerate() {
        match letter {
            _ if at == TEXT_MAX => {
                html.push('…');
                break;
            }
            '&' => html += "&amp;",
            '<' => html += "&lt;",
            '>' => html += "&gt;",
            '"' => html += "&quot;",
            '\'' => html += "&#39;",
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                html.push('\u{fffd}');
            }
            letter if letter.is_control() => html.push('\u{fffd}'),
            letter => html.push(letter),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::super::chart::Axis;
    use super::*;

    const NAME: &str = "<script>\"x'&\u{202e}\u{0}</script>";

    #[test]
    fn no_name_becomes_markup_wherever_it_stands() {
        let mut page = Page::new(NAME, NAME);
        page.section(NAME);
        page.text(NAME);
        page.note(NAME);
        page.warning(NAME);
        page.list(&[NAME.to_owned()]);
        page.facts(&[(NAME, NAME.to_owned())]);
        page.cards(&[(NAME, NAME.to_owned(), NAME.to_owned())]);
        let chart = Chart { x: Axis::share(NAME), y: Axis::share(NAME), marks: Vec::new() };
        let mut table = Table::new(NAME, &["", NAME]);
        table.row(vec![NAME.to_owned(), NAME.to_owned()]);
        table.bar(vec![NAME.to_owned(), NAME.to_owned()], 0.5);
        page.beside(&[Figure::new(NAME, NAME, &chart).unwrap().key(Ink::Model, NAME)], &table);
        let html = page.end();
        let body = html.split_once("</style>").unwrap().1;
        assert!(!body.contains("<script") && !body.contains("x'") && !body.contains("\"x"));
        assert_eq!(
            body.matches("&lt;script&gt;&quot;x&#39;&amp;\u{fffd}\u{fffd}&lt;/script&gt;").count(),
            25
        );
    }

    #[test]
    fn only_the_style_sheet_is_let_in() {
        let html = Page::new("Title", "").end();
        let style = html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = STANDARD.encode(Sha256::digest(style));
        assert!(html.contains(&format!("default-src 'none'; style-src 'sha256-{hash}';")));
        assert!(!html.contains("style=") && !html.contains("http://") && !html.contains("https://"));
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(escaped(&"x".repeat(TEXT_MAX)).len(), TEXT_MAX);
        assert!(escaped(&"x".repeat(TEXT_MAX + 1)).ends_with("x…"));
    }
}
