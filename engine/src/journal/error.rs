//! What received bytes are not.

/// Why received bytes are not a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// No entry and no frame begins with this byte.
    UnknownOp(u8),
    /// A number of more bytes than it needs, or of more than 64 bits.
    BadNumber,
    /// A database number that is 0 though spelled out, or above 65535.
    BadDatabase(u64),
    /// A key longer than [`super::KEY_BYTES_MAX`].
    KeyTooLong(u64),
    /// A value longer than [`super::VALUE_BYTES_MAX`].
    ValueTooLong(u64),
    /// A change of a number above 65535.
    BadChange(u64),
    /// A type of number 0, which is not spelled out, or above 255.
    BadType(u64),
    /// A deadline that is none of those that there are.
    BadDeadline(u64),
    /// A transaction id of 0.
    ZeroTransaction,
    /// A set of shards that is empty, too large or has zeros at its end.
    BadShards(u64),
    /// A frame of more entries than [`super::FRAME_ENTRIES_MAX`], or of fewer than its form is for.
    BadEntryCount(u64),
    /// A global effect outside a transaction.
    GlobalOutsideTransaction,
    /// A frame longer than [`super::FRAME_BYTES_MAX`].
    FrameTooLong(u64),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DecodeError::UnknownOp(op) => write!(f, "unknown journal op 0x{op:02x}"),
            DecodeError::BadNumber => write!(f, "malformed number in a journal frame"),
            DecodeError::BadDatabase(db) => write!(f, "bad database {db} in a journal frame"),
            DecodeError::KeyTooLong(bytes) => write!(f, "journal key of {bytes} bytes"),
            DecodeError::ValueTooLong(bytes) => write!(f, "journal value of {bytes} bytes"),
            DecodeError::BadType(number) => write!(f, "bad type {number} in a journal frame"),
            DecodeError::BadChange(what) => write!(f, "bad change {what} in a journal frame"),
            DecodeError::BadDeadline(tag) => write!(f, "bad deadline {tag} in a journal frame"),
            DecodeError::ZeroTransaction => write!(f, "journal transaction with id 0"),
            DecodeError::BadShards(bytes) => write!(f, "journal shard set of {bytes} bytes"),
            DecodeError::BadEntryCount(count) => write!(f, "journal frame of {count} entries"),
            DecodeError::GlobalOutsideTransaction => {
                write!(f, "global journal effect outside a transaction")
            }
            DecodeError::FrameTooLong(bytes) => write!(f, "journal frame of {bytes} bytes"),
        }
    }
}

impl std::error::Error for DecodeError {}
