//! What the page after a redirect says about what was just done.
//!
//! The redirect carries a code from this list and never a text, so no link can put words into the bank's mouth.

/// Something that was just done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Money was paid in.
    Deposited,
    /// Cash was taken out.
    Withdrawn,
    /// A transfer was booked.
    Transferred,
    /// A loan was paid out.
    LoanPaidOut,
    /// A loan's instalment was paid.
    LoanRepaid,
    /// A third party lost its access.
    ConsentWithdrawn,
    /// A third party had no access any more.
    ConsentGone,
    /// Somebody became a customer.
    Registered,
}

const ALL: [(&str, Notice); 8] = [
    ("deposited", Notice::Deposited),
    ("withdrawn", Notice::Withdrawn),
    ("transferred", Notice::Transferred),
    ("loan-paid-out", Notice::LoanPaidOut),
    ("loan-repaid", Notice::LoanRepaid),
    ("consent-withdrawn", Notice::ConsentWithdrawn),
    ("consent-gone", Notice::ConsentGone),
    ("registered", Notice::Registered),
];

impl Notice {
    /// The notice with this code; none for any other text.
    pub fn from_code(code: &str) -> Option<Self> {
        ALL.iter().find(|(known, _)| *known == code).map(|(_, notice)| *notice)
    }

    /// The code for the query parameter `done`.
    pub fn code(self) -> &'static str {
        ALL.iter().find(|(_, notice)| *notice == self).map_or("", |(code, _)| code)
    }

    /// The sentence for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Deposited => "The money is in your account.",
            Self::Withdrawn => "The cash is taken from your account.",
            Self::Transferred => "Your transfer is booked.",
            Self::LoanPaidOut => "Your loan is paid out to your account.",
            Self::LoanRepaid => "Your repayment is booked.",
            Self::ConsentWithdrawn => "Access is withdrawn. It ended at once.",
            Self::ConsentGone => "That third party had no access any more.",
            Self::Registered => "Welcome. You can log in now.",
        }
    }

    /// The style of the box it stands in.
    pub fn tone(self) -> &'static str {
        if self == Self::ConsentGone { "warn" } else { "good" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_from_the_list_say_anything() {
        for (code, notice) in ALL {
            assert_eq!(Notice::from_code(code), Some(notice));
            assert_eq!(notice.code(), code);
            assert!(!notice.text().is_empty());
        }
        for text in ["", "Deposited", "deposited ", "<b>hi</b>", "Your account is blocked, call 555"] {
            assert_eq!(Notice::from_code(text), None);
        }
    }
}
