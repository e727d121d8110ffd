//! What elements take in Redis's listpacks: values count as small or large by it, as they would there.

/// A whole number.
pub(super) fn integer_entry(number: i64) -> u64 {
    with_backlen(match number {
        0..=127 => 1,
        -4096..=4095 => 2,
        -32_768..=32_767 => 3,
        -8_388_608..=8_388_607 => 4,
        -2_147_483_648..=2_147_483_647 => 5,
        _ => 9,
    })
}

/// So many bytes that are no whole number.
pub(super) fn string_entry(length: u64) -> u64 {
    let head = match length {
        0..64 => 1,
        64..4096 => 2,
        _ => 5,
    };
    with_backlen(head + length)
}

/// With the length once more, to be read from behind.
fn with_backlen(length: u64) -> u64 {
    length
        + match length {
            0..128 => 1,
            128..16_383 => 2,
            16_383..2_097_151 => 3,
            2_097_151..268_435_455 => 4,
            _ => 5,
        }
}
