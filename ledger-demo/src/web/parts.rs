//! What pages are put together from: money, form fields, error summaries, bars and gauges.
//!
//! Each part is a template of its own, so everything in it is escaped there; pages write `{{ part }}`.

use askama::Template;
use askama::filters::HtmlSafe;

use super::amount;

/// What `amount::parse` takes. The gateway in front cannot read other amounts, so the browser asks before it sends one.
const AMOUNT_PATTERN: &str = r"[0-9]{1,13}(\.[0-9]{1,3})?";

/// An amount with its currency, in figures of equal width.
#[derive(Debug, Clone, Template)]
#[template(
    ext = "html",
    source = r#"<span class="money{{ tone }}">{{ sign }}{{ figures }}<span class="currency">{{ currency }}</span></span>"#
)]
pub struct Money {
    figures: String,
    currency: String,
    sign: &'static str,
    tone: &'static str,
}

impl Money {
    /// The amount as it is.
    pub fn plain(amount_minor: i64, currency: impl ToString) -> Self {
        let currency = currency.to_string();
        Self { figures: amount::show(amount_minor, &currency), currency, sign: "", tone: "" }
    }

    /// What came in gets a plus and a colour of its own; what went out keeps its minus.
    pub fn change(amount_minor: i64, currency: impl ToString) -> Self {
        let mut money = Self::plain(amount_minor, currency);
        if amount_minor > 0 {
            money.sign = "+";
            money.tone = " in";
        }
        money
    }

    /// The same in the size of a card's main figure.
    pub fn big(mut self) -> Self {
        self.tone = " big";
        self
    }

    /// The same in the size of a page's main figure.
    pub fn huge(mut self) -> Self {
        self.tone = " huge";
        self
    }
}

/// One field of a form with its label, hint and error.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/field.html")]
pub struct Field {
    /// The name that is sent, and the id that errors link to.
    pub name: &'static str,
    label: &'static str,
    hint: Option<String>,
    error: Option<String>,
    value: String,
    required: bool,
    control: Control,
    suffix: Option<String>,
}

#[derive(Debug, Clone)]
enum Control {
    Input(Input),
    Select(Vec<Choice>),
}

#[derive(Debug, Clone)]
struct Input {
    kind: &'static str,
    class: &'static str,
    inputmode: &'static str,
    /// What the browser asks for before it sends the form, and how it says so.
    pattern: Option<(&'static str, &'static str)>,
    autocomplete: &'static str,
    length_max: usize,
    suggestions: Vec<Choice>,
}

/// One line of a select or of an input's suggestions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// What is shown.
    pub label: String,
}

impl Field {
    /// A line of text of at most `length_max` characters.
    pub fn text(name: &'static str, label: &'static str, length_max: usize) -> Self {
        let input = Input {
            kind: "text",
            class: "",
            inputmode: "text",
            pattern: None,
            autocomplete: "off",
            length_max,
            suggestions: Vec::new(),
        };
        Self {
            name,
            label,
            hint: None,
            error: None,
            value: String::new(),
            required: false,
            control: Control::Input(input),
            suffix: None,
        }
    }

    /// An amount in major units, with its currency behind it.
    pub fn amount(label: &'static str, currency: Option<String>) -> Self {
        let mut field = Self::text("amount", label, 20);
        if let Control::Input(input) = &mut field.control {
            input.class = "amount";
            input.inputmode = "decimal";
            input.pattern = Some((AMOUNT_PATTERN, "Digits and a point, no commas or spaces: 1250.50"));
        }
        field.suffix = currency;
        field.required()
    }

    /// A password; its value is never sent back to the browser.
    pub fn new_password(name: &'static str, label: &'static str, length_max: usize) -> Self {
        let mut field = Self::text(name, label, length_max).autocomplete("new-password");
        if let Control::Input(input) = &mut field.control {
            input.kind = "password";
        }
        field.required()
    }

    /// A choice of one of these.
    pub fn select(name: &'static str, label: &'static str, choices: Vec<Choice>) -> Self {
        let mut field = Self::text(name, label, 0);
        field.control = Control::Select(choices);
        field
    }

    /// It cannot be left empty.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// A sentence under the label.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What stands in it.
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// What the browser may fill in (the HTML standard's autofill field names).
    pub fn autocomplete(mut self, token: &'static str) -> Self {
        if let Control::Input(input) = &mut self.control {
            input.autocomplete = token;
        }
        self
    }

    /// Values that the browser offers while somebody types.
    pub fn suggest(mut self, choices: Vec<Choice>) -> Self {
        if let Control::Input(input) = &mut self.control {
            input.suggestions = choices;
        }
        self
    }

    /// Takes the error of this field, if it has one.
    pub fn checked(mut self, errors: &Errors) -> Self {
        self.error = errors.of(self.name).map(str::to_owned);
        self
    }

    fn described_by(&self) -> String {
        let hint = self.hint.is_some().then(|| format!("{}-hint", self.name));
        let error = self.error.is_some().then(|| format!("{}-error", self.name));
        hint.into_iter().chain(error).collect::<Vec<_>>().join(" ")
    }
}

/// What is wrong with a form that was sent: shown together above it, each linked to its field.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "parts/errors.html")]
pub struct Errors(Vec<FieldError>);

#[derive(Debug, Clone)]
struct FieldError {
    field: &'static str,
    text: String,
}

impl Errors {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what is wrong with `field`.
    pub fn add(&mut self, field: &'static str, text: impl ToString) {
        self.0.push(FieldError { field, text: text.to_string() });
    }

    /// These errors with one more.
    pub fn with(mut self, field: &'static str, text: impl ToString) -> Self {
        self.add(field, text);
        self
    }

    /// The same for a page that has no such fields to link to.
    pub fn unlinked(mut self) -> Self {
        for error in &mut self.0 {
            error.field = "";
        }
        self
    }

    fn of(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|error| error.field == field).map(|error| error.text.as_str())
    }
}

/// A form that posts to one of our own pages.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/form.html")]
pub struct Form {
    action: String,
    csrf: String,
    hidden: Vec<(&'static str, String)>,
    fields: Vec<Field>,
    submit: &'static str,
    style: &'static str,
}

impl Form {
    /// A form with a token and no fields yet.
    pub fn new(action: impl Into<String>, csrf: String, submit: &'static str) -> Self {
        Self { action: action.into(), csrf, hidden: Vec::new(), fields: Vec::new(), submit, style: "button" }
    }

    /// Adds a value that is not shown.
    pub fn hidden(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.hidden.push((name, value.into()));
        self
    }

    /// Adds a field.
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// The classes of its button.
    pub fn button(mut self, style: &'static str) -> Self {
        self.style = style;
        self
    }
}

/// A bar of 0 to 100 percent with an optional mark; the figures beside it say the same in words.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/bar.html")]
pub struct Bar {
    tone: &'static str,
    filled: u32,
    mark: Option<u32>,
}

impl Bar {
    /// How much of `whole` is `part`, in percent, never outside 0..=100.
    pub fn share(part: i64, whole: i64) -> Self {
        Self { tone: "", filled: percent(part, whole), mark: None }
    }

    /// The same with a mark at `part` of `whole`.
    pub fn mark(mut self, part: Option<i64>, whole: i64) -> Self {
        // At most 99, so that all of the mark is inside the frame.
        self.mark = part.map(|part| percent(part, whole).min(99));
        self
    }

    /// In another colour: `good`, `warn` or `bad`.
    pub fn tone(mut self, tone: &'static str) -> Self {
        self.tone = tone;
        self
    }
}

fn percent(part: i64, whole: i64) -> u32 {
    if whole <= 0 {
        return 0;
    }
    let share = i128::from(part).clamp(0, i128::from(whole)) * 100 / i128::from(whole);
    u32::try_from(share).unwrap_or(0)
}

impl HtmlSafe for Money {}
impl HtmlSafe for Field {}
impl HtmlSafe for Errors {}
impl HtmlSafe for Form {}
impl HtmlSafe for Bar {}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";

    #[test]
    fn hostile_text_stays_text_in_every_part() {
        let errors = Errors::default().with("memo", HOSTILE);
        let choice = Choice { value: HOSTILE.into(), label: HOSTILE.into() };
        let form = Form::new(HOSTILE, HOSTILE.into(), "Send")
            .hidden("id", HOSTILE)
            .field(Field::text("memo", "Memo", 140).hint(HOSTILE).value(HOSTILE).checked(&errors))
            .field(Field::text("to", "To", 80).suggest(vec![choice.clone()]))
            .field(Field::select("from", "From", vec![choice]))
            .field(Field::amount("Amount", Some(HOSTILE.into())));
        let parts = [form.to_string(), errors.to_string(), Money::plain(1, HOSTILE).to_string()];
        for html in parts {
            assert!(html.contains("script"), "the text is shown: {html}");
            assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("\"'"), "{html}");
        }
    }

    #[test]
    fn an_error_is_tied_to_its_field_for_eyes_and_screen_readers() {
        let errors = Errors::default().with("amount", "Enter an amount");
        assert!(errors.to_string().contains("href=\"#amount\""));
        let field = Field::amount("Amount", None).hint("For example 12.50").checked(&errors).to_string();
        for part in ["id=\"amount\"", "for=\"amount\"", "aria-invalid=\"true\"", "amount-hint amount-error"] {
            assert!(field.contains(part), "{part} in {field}");
        }
    }

    #[test]
    fn a_password_is_never_shown_again() {
        let field = Field::new_password("password", "Password", 128).value("correct horse").to_string();
        assert!(!field.contains("correct horse"), "{field}");
    }

    #[test]
    fn bars_stay_inside_their_frame() {
        for (part, whole, expected) in
            [(1, 2, 50), (3, 2, 100), (-1, 2, 0), (1, 0, 0), (1, -1, 0), (i64::MAX, i64::MAX, 100)]
        {
            assert_eq!(percent(part, whole), expected);
        }
    }
}
