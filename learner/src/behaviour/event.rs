//! An event as behaviour sees it, whoever recorded it.

/// Somebody does something: pays, logs in, files a claim. Identifiers are 64-bit hashes made by the caller, so that
/// nothing here can be turned back into a person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event<'a> {
    /// When, unix milliseconds.
    pub at_ms: i64,
    /// Whose behaviour it belongs to.
    pub customer: Option<u64>,
    /// The other side: a payee, a merchant, a terminal.
    pub counterparty: Option<u64>,
    /// Amount in hundredths of a major unit; `None` where it is missing.
    pub amount_cents: Option<i64>,
    /// Offset of local time from UTC, for habits by hour of day.
    pub utc_offset_min: i16,
    /// Latitude and longitude of customer and counterparty, degrees.
    pub coordinates: Option<[[f64; 2]; 2]>,
    /// Hashes of category levels, in the schema's order; `None` where missing.
    pub categories: &'a [Option<u64>],
    /// Plain numbers, in the schema's order; `NaN` where missing.
    pub numbers: &'a [f32],
}

impl Event<'_> {
    /// Cents, amounts below zero as zero.
    pub(super) fn cents(&self) -> Option<f64> {
        self.amount_cents.map(|cents| cents.max(0) as f64)
    }

    /// ln(1 + cents), amounts below zero as zero.
    pub(super) fn log_cents(&self) -> Option<f64> {
        self.cents().map(f64::ln_1p)
    }

    /// Local time in whole hours since 1970.
    fn local_hours(&self) -> i64 {
        self.at_ms.saturating_add(i64::from(self.utc_offset_min) * 60_000).div_euclid(3_600_000)
    }

    /// Local hour of day, 0 to 23.
    pub fn local_hour(&self) -> usize {
        usize::try_from(self.local_hours().rem_euclid(24)).unwrap_or(0)
    }

    /// Local time of day as a fraction of the day, 0 to 1.
    pub fn local_day_part(&self) -> f64 {
        let local_ms = self.at_ms.saturating_add(i64::from(self.utc_offset_min) * 60_000);
        local_ms.rem_euclid(86_400_000) as f64 / 86_400_000.0
    }

    /// Whether it is Saturday or Sunday; 1970 began on a Thursday.
    pub fn weekend(&self) -> bool {
        (self.local_hours().div_euclid(24) + 3).rem_euclid(7) >= 5
    }

    /// Keys of the category levels that are present, different for each column.
    pub(super) fn levels(&self) -> impl Iterator<Item = u64> + '_ {
        let present = self.categories.iter().enumerate();
        present.filter_map(|(column, level)| level.map(|level| level_key(column, level)))
    }

    /// Keys of the columns whose levels are present.
    pub(super) fn columns(&self) -> impl Iterator<Item = u64> + '_ {
        let present = self.categories.iter().enumerate();
        present.filter_map(|(column, level)| level.map(|_| column_key(column)))
    }

    /// Kilometres between both sides.
    pub(super) fn distance_km(&self) -> Option<f64> {
        self.coordinates.map(|[here, there]| distance_km(here, there))
    }
}

/// The key under which it is known how often a column was present at all.
pub(super) fn column_key(column: usize) -> u64 {
    level_key(column, 0x616e_795f_6c65_7665)
}

/// The key under which a level of a column is known (the finaliser of SplitMix64 over both).
pub(super) fn level_key(column: usize, level: u64) -> u64 {
    let mut mixed = level ^ (column as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Great-circle distance by the haversine formula on a sphere of 6,371 km.
pub(super) fn distance_km([lat_a, long_a]: [f64; 2], [lat_b, long_b]: [f64; 2]) -> f64 {
    let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
    let across = lat_a.to_radians().cos() * lat_b.to_radians().cos() * half(long_a, long_b);
    2.0 * 6_371.0 * (half(lat_a, lat_b) + across).clamp(0.0, 1.0).sqrt().asin()
}

/// Whole seconds for the sliding windows, from 1970 to 2106.
pub(super) fn seconds(at_ms: i64) -> u32 {
    u32::try_from((at_ms / 1_000).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const EVENT: Event<'static> = Event {
        at_ms: 1_750_000_000_000,
        customer: Some(1),
        counterparty: Some(2),
        amount_cents: Some(1_000),
        utc_offset_min: 0,
        coordinates: None,
        categories: &[],
        numbers: &[],
    };

    #[test]
    fn hours_are_local() {
        for (at_ms, offset, hour) in [(0, 0, 0), (0, -60, 23), (23 * 3_600_000, 120, 1), (-1, 0, 23)] {
            let event = Event { at_ms, utc_offset_min: offset, ..EVENT };
            assert_eq!(event.local_hour(), hour, "{at_ms} at {offset}");
        }
    }

    #[test]
    fn weekends_begin_at_local_midnight() {
        // 2 January 1970 was a Friday.
        let friday_ms = 86_400_000;
        for (at_ms, offset, weekend) in [
            (friday_ms, 0, false),
            (friday_ms + 86_399_000, 0, false),
            (friday_ms + 86_399_000, 60, true),
            (friday_ms + 86_400_000, 0, true),
            (friday_ms + 3 * 86_400_000, 0, false),
        ] {
            let event = Event { at_ms, utc_offset_min: offset, ..EVENT };
            assert_eq!(event.weekend(), weekend, "{at_ms} at {offset}");
        }
    }

    #[test]
    fn distances_are_those_of_an_atlas() {
        let (vienna, berlin, sydney) = ([48.21, 16.37], [52.52, 13.40], [-33.87, 151.21]);
        assert!((distance_km(vienna, berlin) - 524.0).abs() < 5.0);
        assert!((distance_km(vienna, sydney) - 15_985.0).abs() < 60.0);
        assert_eq!(distance_km(berlin, berlin), 0.0);
    }

    #[test]
    fn the_same_level_of_two_columns_is_two_levels() {
        let categories = [Some(7), None, Some(7)];
        let keys: Vec<u64> = Event { categories: &categories, ..EVENT }.levels().collect();
        assert!(keys.len() == 2 && keys[0] != keys[1]);
    }
}
