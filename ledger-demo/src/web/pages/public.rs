//! Pages for everybody: the front page and registration.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;

use super::after;
use crate::ledger::CustomerId;
use crate::people::{
    FULL_NAME_BYTES_MAX, NewPerson, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, PersonId, RegisterError,
};
use crate::web::notice::Notice;
use crate::web::page::Page;
use crate::web::parts::{Errors, Field, Form};
use crate::web::submission::{Fields, PublicSubmission};
use crate::web::visitor::Visitor;
use crate::web::{Failure, WebState, headers};

#[derive(Template)]
#[template(path = "landing.html")]
struct Landing {
    page: Page,
}

#[derive(Template)]
#[template(path = "register.html")]
struct Registration {
    page: Page,
    errors: Errors,
    form: Form,
}

/// The query after a redirect.
#[derive(Debug, Deserialize)]
pub struct Done {
    done: Option<String>,
}

/// `GET /`
pub async fn landing(visitor: Result<Visitor, Failure>, Query(query): Query<Done>) -> Response {
    if visitor.is_ok() {
        return Redirect::to("/accounts").into_response();
    }
    let page = Page::public("A bank behind a gate", "/").done(query.done.as_deref());
    headers::html(StatusCode::OK, Landing { page }.render())
}

/// `GET /register`
pub async fn registration(State(web): State<WebState>) -> Response {
    render(&web, &Fields::default(), Errors::default())
}

/// `POST /register`
pub async fn register(State(web): State<WebState>, sent: PublicSubmission) -> Result<Response, Failure> {
    let fields = sent.fields;
    let password = fields.get("password");
    let new = NewPerson {
        username: fields.get("username").to_owned(),
        password: SecretString::from(password.to_owned()),
        full_name: fields.get("full_name").trim().to_owned(),
    };
    let mut errors = Errors::default();
    for fault in web.people().faults(&new) {
        explain(&fault, &mut errors)?;
    }
    if password != fields.get("password_again") {
        errors.add("password_again", "The two passwords are not the same");
    }
    if !errors.is_empty() {
        return Ok(render(&web, &fields, errors));
    }
    match web.people().register_in_turn(new, web.now_ms()).await {
        Ok(person) => {
            open_first_account(&web, &person).await?;
            Ok(after("/", Notice::Registered))
        }
        Err(error) => {
            explain(&error, &mut errors)?;
            Ok(render(&web, &fields, errors))
        }
    }
}

async fn open_first_account(web: &WebState, person: &PersonId) -> Result<(), Failure> {
    let customer = CustomerId::new(person.to_string()).map_err(|_| Failure::Unavailable)?;
    web.bank().open_first_account(&customer, web.now_ms()).await?;
    Ok(())
}

fn explain(error: &RegisterError, errors: &mut Errors) -> Result<(), Failure> {
    let field = match error {
        RegisterError::Username(_) | RegisterError::Taken => "username",
        RegisterError::Password => "password",
        RegisterError::FullName => "full_name",
        RegisterError::Busy(_) => return Err(Failure::Busy),
        RegisterError::Directory(cause) => {
            tracing::error!(%cause, "a registration failed");
            return Err(Failure::Unavailable);
        }
    };
    let text = match error {
        RegisterError::Username(_) => {
            "Choose a username of 3 to 32 small letters, digits, - or _ that begins with a letter".to_owned()
        }
        RegisterError::Taken => "This username is taken, please choose another".to_owned(),
        RegisterError::Password => {
            format!("Choose a password of {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} characters")
        }
        _ => format!("Enter your name, at most {FULL_NAME_BYTES_MAX} characters"),
    };
    errors.add(field, text);
    Ok(())
}

fn render(web: &WebState, fields: &Fields, errors: Errors) -> Response {
    let form = Form::new("/register", web.public_form_token(), "Become a customer")
        .field(
            Field::text("full_name", "Your name", FULL_NAME_BYTES_MAX)
                .required()
                .autocomplete("name")
                .value(fields.get("full_name"))
                .checked(&errors),
        )
        .field(
            Field::text("username", "Username", 32)
                .required()
                .hint("3 to 32 small letters, digits, - or _. It cannot be changed later.")
                .autocomplete("username")
                .value(fields.get("username"))
                .checked(&errors),
        )
        .field(
            Field::new_password("password", "Password", PASSWORD_BYTES_MAX)
                .hint(format!("At least {PASSWORD_BYTES_MIN} characters. A few words that you do not use elsewhere are best."))
                .checked(&errors),
        )
        .field(
            Field::new_password("password_again", "The same password again", PASSWORD_BYTES_MAX)
                .checked(&errors),
        );
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = Page::public("Become a customer", "/register").with_errors(!errors.is_empty());
    headers::html(status, Registration { page, errors, form }.render())
}
