//! Browser log-ins: the gateway is the OpenID Connect client, and the browser holds nothing but a short random cookie.
//!
//! | module | what it is |
//! |---|---|
//! | `login` | from `/.gatehouse/login` or `/step-up` to the issuer, and back through `/callback` |
//! | `form` | a form that was answered with a step-up, kept until it can be sent |
//! | `client` | the gateway's requests to the issuer: pushed authorization, code, refresh |
//! | `id_token` | what of an ID token and a logout token is checked |
//! | `store` | sessions at rest (sealed) and in the process |
//! | `refresh` | renewing what the issuer granted, one at a time |
//! | `logout` | ending sessions: by the person, by the issuer |
//! | `origin` | whether a request with a cookie came from the application's own pages |

mod client;
mod form;
pub(super) mod id_token;
mod login;
mod logout;
mod origin;
mod owned;
mod refresh;
mod return_to;
mod secret;
mod store;

pub use client::LoginClient;
pub use form::{FORM_BYTES_MAX, Form};
pub use id_token::parse_logout_token;
pub use origin::{Origin, same_origin};
pub use refresh::Turns;
pub use return_to::LocalPath;
pub use secret::{Secret, session_key};
pub use store::{Cached, Session, Sessions};

pub(super) use login::login_url;
pub(super) use origin::is_unsafe;
pub(super) use owned::see_other;
