//! What every page of the bank has around its content: title, menu, who is logged in, and what was just done.

use super::assets;
use super::notice::Notice;

/// The frame of one page.
#[derive(Debug)]
pub struct Page {
    /// The title, also of the browser's tab.
    pub title: &'static str,
    /// The name of who is logged in; none on public pages.
    pub caller: Option<String>,
    /// What was just done.
    pub notice: Option<Notice>,
    path: &'static str,
    is_staff: bool,
    has_errors: bool,
}

/// A titled part of the menu.
pub struct MenuGroup {
    /// Its title.
    pub title: &'static str,
    /// Its pages.
    pub items: &'static [MenuItem],
}

/// A page in the menu.
pub struct MenuItem {
    /// Where it is.
    pub path: &'static str,
    /// What it is called.
    pub label: &'static str,
}

const fn item(path: &'static str, label: &'static str) -> MenuItem {
    MenuItem { path, label }
}

const CUSTOMER_MENU: [MenuGroup; 3] = [
    MenuGroup {
        title: "Everyday",
        items: &[
            item("/accounts", "Accounts"),
            item("/history", "History"),
            item("/transfer", "Transfer"),
            item("/deposit", "Deposit"),
            item("/withdraw", "Withdraw"),
        ],
    },
    MenuGroup {
        title: "Planning",
        items: &[item("/advice", "Spending"), item("/loans", "Loans"), item("/credit-score", "Credit score")],
    },
    MenuGroup {
        title: "Safety",
        items: &[
            item("/fraud-check", "Check a payment"),
            item("/consents", "Connected apps"),
            item("/profile", "Profile"),
        ],
    },
];
const STAFF_MENU: MenuGroup = MenuGroup { title: "Staff", items: &[item("/admin", "The whole bank")] };

impl Page {
    /// The frame of the page at `path` for somebody who is logged in.
    pub fn new(title: &'static str, path: &'static str, caller: String, is_staff: bool) -> Self {
        Self { title, caller: Some(caller), notice: None, path, is_staff, has_errors: false }
    }

    /// The frame of a page for everybody.
    pub fn public(title: &'static str, path: &'static str) -> Self {
        Self { title, caller: None, notice: None, path, is_staff: false, has_errors: false }
    }

    /// With what the query parameter `done` says was just done.
    pub fn done(mut self, code: Option<&str>) -> Self {
        self.notice = code.and_then(Notice::from_code);
        self
    }

    /// Marks the title when a form was not accepted, which screen readers read first.
    pub fn with_errors(mut self, has_errors: bool) -> Self {
        self.has_errors = has_errors;
        self
    }

    pub(super) fn failed(&self) -> bool {
        self.has_errors
    }

    pub(super) fn css_href(&self) -> &'static str {
        assets::css_href()
    }

    pub(super) fn menu(&self) -> impl Iterator<Item = MenuGroup> {
        CUSTOMER_MENU.into_iter().chain(self.is_staff.then_some(STAFF_MENU))
    }

    pub(super) fn is_at(&self, path: &str) -> bool {
        self.path == path
    }
}
