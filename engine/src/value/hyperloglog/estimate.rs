//! From registers to a count: Ertl's estimator ("New cardinality estimation algorithms for HyperLogLog
//! sketches", 2017), in the order of operations in which Redis does it, so that sums round alike.

use super::mark::{HEIGHT_BITS, REGISTERS};

/// How many registers have each height.
pub(super) type Heights = [u32; 64];

/// 1 / (2 ln 2).
const ALPHA: f64 = 0.721_347_520_444_481_7;

pub(super) fn count(heights: &Heights) -> u64 {
    let registers = REGISTERS as f64;
    let full = f64::from(heights[HEIGHT_BITS as usize + 1]);
    let mut sum = registers * tau((registers - full) / registers);
    for height in (1..=HEIGHT_BITS as usize).rev() {
        sum += f64::from(heights[height]);
        sum *= 0.5;
    }
    sum += registers * sigma(f64::from(heights[0]) / registers);
    // Half away from zero; no registers at all make 0 of an infinite sum.
    (ALPHA * registers * registers / sum).round() as u64
}

/// What registers at the greatest height add.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut weight, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}

/// What empty registers add.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}
