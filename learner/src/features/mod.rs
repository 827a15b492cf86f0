//! Named, versioned features: one piece of code makes the vector in training and in serving.

#![deny(clippy::indexing_slicing)]

pub mod request;

use sha2::{Digest, Sha256};

/// One column of a feature vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureSpec {
    /// Stable name, `snake_case`.
    pub name: &'static str,
    /// What it says, in words.
    pub meaning: &'static str,
    /// Unit or scale of the value.
    pub unit: &'static str,
    /// Raised whenever the way it is computed changes, so that older models are refused.
    pub version: u16,
    /// Whether the value can be absent (`NaN` in the vector); a model then imputes it and learns a flag.
    pub may_be_missing: bool,
}

/// SHA-256 (hex) over names, versions and absence of a feature table, in order; models carry it.
pub fn schema_hash(table: &str, specs: &[FeatureSpec]) -> String {
    let mut hash = Sha256::new();
    hash.update(table);
    for spec in specs {
        hash.update(format!("\n{} {} {}", spec.name, spec.version, spec.may_be_missing));
    }
    crate::artifact::hex(&hash.finalize())
}

/// Declares a row of features: a struct with one field a feature, its [`FeatureSpec`] table and the array form.
/// Names, order and table cannot drift apart.
macro_rules! feature_row {
    ($row:ident of $number:ty { $($name:ident $version:literal $presence:ident $unit:literal $meaning:literal;)+ }) => {
        /// One row, field by field in table order.
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $row { $(pub(crate) $name: $number),+ }

        /// Number of features in a vector.
        pub const COUNT: usize = [$(stringify!($name)),+].len();

        /// The columns of a vector, in order.
        pub const FEATURES: [FeatureSpec; COUNT] = [$(FeatureSpec {
            name: stringify!($name),
            meaning: $meaning,
            unit: $unit,
            version: $version,
            may_be_missing: feature_row!(@$presence),
        }),+];

        impl $row {
            pub(crate) fn into_array(self) -> [$number; COUNT] { [$(self.$name),+] }
        }
    };
    (@always) => { false };
    (@sometimes) => { true };
}
pub(crate) use feature_row;
