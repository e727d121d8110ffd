//! Scores: as numbers of the same order, and in as few bytes as they need.

/// The score as a number: of two scores the greater has the greater one. -0 is 0 here, as it is in Redis's
/// small sorted sets: they are equal, and which one was given is not kept.
#[inline]
pub(super) fn key_of(score: f64) -> u64 {
    // Of -0 and 0 the sum is 0.
    let bits = (score + 0.0).to_bits();
    if bits >> 63 > 0 { !bits } else { bits | 1 << 63 }
}

/// The score that has this number.
#[inline]
pub(super) fn score_of(key: u64) -> f64 {
    f64::from_bits(if key >> 63 > 0 { key & !(1 << 63) } else { !key })
}

/// The number's bytes but the zeros at its end: whole scores that are not large take few.
#[inline]
pub(super) fn trimmed(bytes: &[u8; 8]) -> &[u8] {
    let zeros = u64::from_be_bytes(*bytes).trailing_zeros() / 8;
    &bytes[..8 - zeros as usize]
}

/// The number of which [`trimmed`] left these bytes, at most eight.
#[inline]
pub(super) fn untrimmed(bytes: &[u8]) -> u64 {
    let mut whole = [0; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    u64::from_be_bytes(whole)
}

/// How many bytes [`trimmed`] leaves.
#[inline]
pub(super) fn trimmed_len(key: u64) -> usize {
    8 - key.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_scores_have_their_order_and_give_them_back() {
        let scores = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.5,
            -1.0,
            -f64::MIN_POSITIVE,
            -5e-324,
            0.0,
            5e-324,
            1.0,
            3.0,
            1e15,
            f64::MAX,
            f64::INFINITY,
        ];
        for pair in scores.windows(2) {
            assert!(key_of(pair[0]) < key_of(pair[1]), "{pair:?}");
        }
        for score in scores {
            let key = key_of(score);
            assert_eq!(score_of(key).to_bits(), score.to_bits());
            let bytes = key.to_be_bytes();
            assert_eq!(untrimmed(trimmed(&bytes)), key);
            assert_eq!(trimmed(&bytes).len(), trimmed_len(key));
        }
        assert_eq!(score_of(key_of(-0.0)).to_bits(), 0);
        assert_eq!(trimmed_len(key_of(3.0)), 2);
        assert_eq!(trimmed_len(0), 0);
    }
}
