//! The pages as a browser sees them: through the router, with identities that the gateway could have signed.

mod forms;
mod pages;
mod site;
