//! What a controller decides, and the rails that no controller can leave.

use serde::{Deserialize, Serialize};

use super::class::{Class, PerClass};

/// How a pool's capacity is handed out until the next tick.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// Requests in flight over all classes.
    pub limit: f64,
    /// Class c is admitted while the pool's in-flight count is under `split[c] * limit`; 0 to 1, never rising
    /// from a more important class to a less important one.
    pub split: PerClass<f64>,
    /// How long a request of each class may wait for a permit, in milliseconds; 0 means it never waits.
    pub queue_deadline_ms: PerClass<u16>,
}

/// The split a controller uses that does not choose one.
pub const DEFAULT_SPLIT: PerClass<f64> = PerClass([1.0, 0.95, 0.85, 0.35]);

/// The queue deadlines a controller uses that does not choose them.
pub const DEFAULT_QUEUE_DEADLINE_MS: PerClass<u16> = PerClass([80, 40, 40, 10]);

impl Allocation {
    /// `limit` with the default split and deadlines.
    #[must_use]
    pub const fn of_limit(limit: f64) -> Self {
        Self { limit, split: DEFAULT_SPLIT, queue_deadline_ms: DEFAULT_QUEUE_DEADLINE_MS }
    }
}

/// Bounds that hold whatever a controller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rails {
    /// Least limit, at least 1.
    pub limit_min: f64,
    /// Greatest limit, at most [`Rails::LIMIT_CEILING`].
    pub limit_max: f64,
    /// Greatest growth factor of the limit in one tick, over 1. One permit more is always allowed.
    pub growth_max: f64,
    /// Greatest shrinkage factor of the limit in one tick, 0 to 1.
    pub shrink_max: f64,
    /// Share of the limit that a class holds for itself even when the pool is full. At least one permit each.
    pub floor: PerClass<f64>,
    /// Longest wait for a permit, in milliseconds.
    pub queue_deadline_max_ms: u16,
}

impl Default for Rails {
    fn default() -> Self {
        Self {
            limit_min: 4.0,
            limit_max: 2048.0,
            growth_max: 1.5,
            shrink_max: 0.6,
            floor: PerClass([0.10, 0.05, 0.03, 0.01]),
            queue_deadline_max_ms: 100,
        }
    }
}

impl Rails {
    /// No limit goes beyond this, whatever the configuration says: a class's permits are counted in 16 bits.
    pub const LIMIT_CEILING: f64 = 16_384.0;
    /// The floors of all classes together may not be more than this share of the limit.
    pub const FLOOR_SUM_MAX: f64 = 0.5;

    /// The nearest rails that make sense: ordered, finite and within the ceilings.
    #[must_use]
    pub fn checked(self) -> Self {
        let fallback = Self::default();
        let limit_min = finite_or(self.limit_min, fallback.limit_min).clamp(1.0, Self::LIMIT_CEILING);
        let mut floor = PerClass::from_fn(|class| {
            finite_or(self.floor[class], fallback.floor[class]).clamp(0.0, Self::FLOOR_SUM_MAX)
        });
        let sum: f64 = floor.0.iter().sum();
        if sum > Self::FLOOR_SUM_MAX {
            floor = PerClass::from_fn(|class| floor[class] * Self::FLOOR_SUM_MAX / sum);
        }
        Self {
            limit_min,
            limit_max: finite_or(self.limit_max, fallback.limit_max).clamp(limit_min, Self::LIMIT_CEILING),
            growth_max: finite_or(self.growth_max, fallback.growth_max).clamp(1.0, 10.0),
            shrink_max: finite_or(self.shrink_max, fallback.shrink_max).clamp(0.1, 1.0),
            floor,
            queue_deadline_max_ms: self.queue_deadline_max_ms.min(1_000),
        }
    }

    /// `wanted`, brought within the rails as seen from `previous`. Anything that is not a number keeps its
    /// previous value.
    #[must_use]
    pub fn confine(&self, previous: &Allocation, wanted: &Allocation) -> Allocation {
        let before = finite_or(previous.limit, self.limit_min).clamp(self.limit_min, self.limit_max);
        let highest = (before * self.growth_max).max(before + 1.0).min(self.limit_max);
        let lowest = (before * self.shrink_max).min(before - 1.0).max(self.limit_min);
        let mut ceiling = 1.0_f64;
        let split = PerClass::from_fn(|class| {
            let share =
                finite_or(wanted.split[class], finite_or(previous.split[class], DEFAULT_SPLIT[class]));
            // Money may always use the whole limit; nobody stands before those who matter more.
            ceiling = if class == Class::MoneyMoving { 1.0 } else { share.clamp(0.0, ceiling) };
            ceiling
        });
        Allocation {
            limit: finite_or(wanted.limit, before).clamp(lowest, highest),
            split,
            queue_deadline_ms: PerClass::from_fn(|class| {
                wanted.queue_deadline_ms[class].min(self.queue_deadline_max_ms)
            }),
        }
    }
}

fn finite_or(value: f64, otherwise: f64) -> f64 {
    if value.is_finite() { value } else { otherwise }
}
