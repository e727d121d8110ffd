//! Numbers that nobody can guess, from the operating system.
//!
//! For what a stranger must not know (the seed of the tables' hash) and what two nodes must not share
//! (histories, run ids). Dice that only spread things about may be any.

/// Fills `bytes`.
pub fn fill_random(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        // SAFETY: the pointer and the length are those of a slice that we may write.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => filled += got,
            Err(_) => {
                let error = std::io::Error::last_os_error();
                // Anything else would be a system without this call, older than io_uring, and going on
                // with numbers that can be guessed is no way out.
                assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "getrandom: {error}");
            }
        }
    }
}

/// A random number.
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    fill_random(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_every_byte_is_filled() {
        assert_ne!(random_u64(), random_u64());
        let mut seen = [0u8; 1000];
        for _ in 0..8 {
            let mut bytes = [0; 1000];
            fill_random(&mut bytes);
            seen.iter_mut().zip(bytes).for_each(|(seen, byte)| *seen |= byte);
        }
        assert!(seen.iter().all(|&byte| byte != 0), "2^-64 a byte");
    }
}
