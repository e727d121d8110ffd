//! Libraries of functions as Redis 7 writes them: in a file, and what FUNCTION DUMP answers with.
//!
//! ```text
//!   245 | code      of each library: in a file before the keys; in a payload the footer of values follows
//! ```
//!
//! The name of a library stands in its code. Payloads of Redis 7.0's first candidates (246) are not read.

use super::dump::{FOOTER, fits, footer, version, write_string};
use super::read::{Cursor, Text};
use super::{Crc, lzf};

/// The first version of files that has them: Redis 7.0's.
pub const VERSION: u16 = 10;

const FUNCTION: u8 = 245;

/// Appends a library.
pub fn write(code: &[u8], out: &mut Vec<u8>) {
    out.push(FUNCTION);
    write_string(code, out);
}

/// What FUNCTION DUMP answers with.
pub fn payload<'a>(codes: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut payload = Vec::new();
    codes.for_each(|code| write(code, &mut payload));
    let footer = footer(Crc::of(&payload));
    payload.extend_from_slice(&footer);
    payload
}

/// The code of each library in a payload, of at most `bytes_max` bytes together.
pub fn parse(payload: &[u8], bytes_max: usize) -> Result<Vec<Vec<u8>>, &'static str> {
    const DAMAGED: &str = "DUMP payload version or checksum are wrong";
    version(payload).ok_or(DAMAGED)?;
    let sum = Crc::of(&payload[..payload.len() - size_of::<u64>()]);
    if !fits(payload, sum) {
        return Err(DAMAGED);
    }
    let body = &payload[..payload.len() - FOOTER];
    let (mut cursor, mut codes, mut bytes) = (Cursor::at(body, 0), Vec::new(), 0);
    while cursor.at < body.len() {
        let kind = cursor.byte().map_err(|error| error.why)?;
        if kind != FUNCTION {
            return Err("given type is not a function");
        }
        let code = match cursor.text().map_err(|error| error.why)? {
            Text::Int(number) => number.to_string().into_bytes(),
            Text::Raw(range) => body[range].to_vec(),
            Text::Packed(_, length) if length > bytes_max => return Err("too long a library"),
            Text::Packed(range, length) => {
                lzf::unpack(&body[range], length).ok_or("LZF does not hold")?
            }
        };
        bytes += code.len();
        if bytes > bytes_max {
            return Err("the libraries are too long together");
        }
        codes.push(code);
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dumped_is_parsed_and_what_is_damaged_is_refused() {
        let codes = [b"#!lua name=a\n...".to_vec(), [b'x'; 9000].to_vec(), b"17".to_vec()];
        let whole = payload(codes.iter().map(Vec::as_slice));
        assert_eq!(parse(&whole, 10_000), Ok(codes.to_vec()));
        assert_eq!(parse(&whole, 9000), Err("the libraries are too long together"));
        assert!(parse(&whole, 100).is_err());
        assert_eq!(parse(&payload(std::iter::empty()), 0), Ok(Vec::new()));
        for at in 0..whole.len() {
            assert!(parse(&whole[..at], 10_000).is_err(), "{at}");
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(parse(&damaged, 10_000).is_err(), "{at}");
        }
    }
}
