//! Inputs that a model makes of the others: which group of past events one belongs to, and how well it fits ordinary ones.

use super::Unavailable;
use super::clusters::{CLUSTERS_MAX, Clusters};
use crate::anomaly::{self, Encoding, Member};
use crate::behaviour::Column;
use serde::{Deserialize, Serialize};

/// Widest bottleneck that becomes inputs.
pub const BOTTLENECK_MAX: usize = 8;
/// Inputs at most: memberships, a distance, an error and a bottleneck.
const ROOM: usize = CLUSTERS_MAX + 1 + 1 + BOTTLENECK_MAX;
/// So many times further off than usual is worth a sentence.
const UNUSUAL: f32 = 1.5;

/// What makes further inputs of the columns of behaviour and levels, and comes after them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Derived {
    /// Membership in groups of training rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Clusters>,
    /// Reconstruction by an autoencoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoencoder: Option<Reconstruction>,
}

/// An autoencoder that knows normal training rows only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconstruction {
    /// From the columns to the network's inputs.
    pub encoding: Encoding,
    /// The network.
    pub network: Member,
    /// Median error of normal rows that the weights were not fitted on, above zero.
    pub usual: f32,
}

impl Derived {
    /// Number of inputs.
    pub fn width(&self) -> usize {
        let autoencoder = self.autoencoder.as_ref().map_or(0, Reconstruction::width);
        self.clusters.as_ref().map_or(0, Clusters::width) + autoencoder
    }

    /// The inputs, in their order.
    pub fn columns(&self) -> Vec<Column> {
        let column = |name: String, meaning: String, unit: &str| Column {
            name,
            meaning,
            unit: unit.to_owned(),
            may_be_missing: false,
        };
        let mut columns = Vec::with_capacity(self.width());
        if let Some(clusters) = &self.clusters {
            columns.extend(clusters.frauds.iter().enumerate().map(|(at, share)| {
                let meaning =
                    format!("membership in a group of training rows, {} of them fraud", often(*share));
                column(format!("cluster {}", at + 1), meaning, "share")
            }));
            let meaning = "distance from the nearest group of training rows".to_owned();
            columns.push(column("cluster distance".to_owned(), meaning, "usual distances"));
        }
        if let Some(autoencoder) = &self.autoencoder {
            let meaning =
                "how badly the autoencoder, which knows normal rows only, gives the row back".to_owned();
            columns.push(column("reconstruction error".to_owned(), meaning, "usual errors"));
            columns.extend((1..autoencoder.width()).map(|at| {
                let meaning = format!("what the autoencoder's bottleneck keeps of the row, number {at}");
                column(format!("bottleneck {at}"), meaning, "activation")
            }));
        }
        columns
    }

    /// Adds the inputs to a vector that has all other columns; `NaN` where they cannot be made of it. Allocates nothing
    /// where the vector has room.
    pub fn extend(&self, vector: &mut Vec<f32>) {
        let mut room = [0.0f32; ROOM];
        let inputs = room.get_mut(..self.width()).unwrap_or_default();
        self.write(vector, inputs);
        vector.extend_from_slice(inputs);
    }

    /// Fills in `out`, shape [`Derived::width`]; `NaN` where they cannot be made of the row.
    pub(crate) fn write(&self, row: &[f32], out: &mut [f32]) {
        let mut rest = out;
        if let Some(clusters) = &self.clusters {
            let Some((inputs, after)) = rest.split_at_mut_checked(clusters.width()) else { return };
            if clusters.write(row, inputs).is_err() {
                inputs.fill(f32::NAN);
            }
            rest = after;
        }
        if let Some(autoencoder) = &self.autoencoder
            && autoencoder.write(row, rest).is_err()
        {
            rest.fill(f32::NAN);
        }
    }

    /// What speaks for fraud in the inputs of an event, in words; `inputs` as [`Derived::extend`] adds them.
    pub(super) fn sentence(&self, inputs: &[f32]) -> String {
        let width = self.clusters.as_ref().map_or(0, Clusters::width);
        let (groups, picture) = inputs.split_at_checked(width).unwrap_or_default();
        if let Some(share) = self.clusters.as_ref().and_then(|clusters| clusters.telling_share(groups)) {
            return format!("it resembles a group of earlier transfers of which {} were fraud", often(share));
        }
        let unusual = |ratio: Option<&f32>| ratio.copied().filter(|ratio| *ratio >= UNUSUAL);
        if let Some(ratio) = unusual(picture.first()) {
            return format!("taken as a whole, it fits ordinary transfers {ratio:.1} times worse than usual");
        }
        if let Some(ratio) = unusual(groups.last()) {
            return format!(
                "it is {ratio:.1} times further than usual from every group of earlier transfers"
            );
        }
        "taken as a whole, it resembles earlier fraud".to_owned()
    }

    /// Whether the parts fit together, over so many columns, and the numbers can score.
    pub(super) fn check(&self, width: usize) -> Result<(), String> {
        if self.clusters.is_none() && self.autoencoder.is_none() {
            return Err("neither clusters nor an autoencoder where inputs are made".to_owned());
        }
        self.clusters.as_ref().map_or(Ok(()), |clusters| clusters.check(width))?;
        self.autoencoder.as_ref().map_or(Ok(()), |autoencoder| {
            autoencoder.check(width).map_err(|why| format!("the autoencoder of the inputs: {why}"))
        })
    }
}

impl Reconstruction {
    fn width(&self) -> usize {
        1 + self.network.bottleneck_width()
    }

    fn write(&self, row: &[f32], out: &mut [f32]) -> Result<(), Unavailable> {
        let mut room = [0.0f32; anomaly::WIDTH_MAX];
        let inputs = room.get_mut(..self.encoding.inputs()).ok_or(Unavailable::BadInput)?;
        self.encoding.apply(row, &[], inputs)?;
        let (error, kept) = out.split_first_mut().ok_or(Unavailable::BadInput)?;
        *error = self.network.judge(inputs, kept) / self.usual;
        Ok(())
    }

    fn check(&self, width: usize) -> Result<(), String> {
        let Self { encoding, network, usual } = self;
        encoding.check()?;
        if encoding.numbers.len() != width || !encoding.categories.is_empty() {
            return Err(format!("{} columns, of {width}", encoding.columns()));
        }
        network.check(encoding.inputs())?;
        let kept = network.bottleneck_width();
        if kept > BOTTLENECK_MAX {
            return Err(format!("a bottleneck of {kept}, at most {BOTTLENECK_MAX}"));
        }
        if usual.is_finite() && *usual > 0.0 { Ok(()) } else { Err("no usual error".to_owned()) }
    }
}

/// A share in words.
fn often(share: f32) -> String {
    match share {
        share if share >= 0.095 => format!("{:.0} in 100", share * 100.0),
        share if share >= 0.000_5 => format!("{:.0} in 1,000", share * 1_000.0),
        _ => "hardly any".to_owned(),
    }
}
