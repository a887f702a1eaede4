//! The codes that identify errors.

use vhdx_rct::Error;

/// A return value, and the code of Windows' own API that goes with it.
pub type Code = (u32, Option<u32>);

pub fn code(error: &Error) -> Code {
    (error.return_value().code(), error.win32_code())
}

pub const CORRUPT: Code = (32768, None);
pub const BAT_CORRUPT: Code = (32768, Some(0xC03A_000A));
pub const METADATA_CORRUPT: Code = (32768, Some(0xC03A_0010));
pub const CUT_SHORT: Code = (32768, Some(0xC03A_0013));
pub const CYCLE: Code = (32768, Some(0xC03A_0018));
pub const BAD_PARENT: Code = (32768, Some(0xC03A_0019));
pub const ACCESS_DENIED: Code = (32769, None);
pub const PARENT_ACCESS_DENIED: Code = (32769, Some(0xC03A_0016));
pub const UNKNOWN_PART: Code = (32770, None);
pub const UNKNOWN_FORMAT: Code = (32770, Some(0xC03A_0004));
pub const UNKNOWN_VERSION: Code = (32770, Some(0xC03A_0005));
pub const NO_DISK: Code = (32770, Some(0xC03A_0015));
pub const PARENT_NO_DISK: Code = (32770, Some(0xC03A_0019));
pub const INVALID_PARAMETER: Code = (32773, None);
pub const MALFORMED_ID: Code = (32773, Some(0xC03A_0029));
pub const IN_USE: Code = (32774, None);
pub const PARENT_MISMATCH: Code = (32775, Some(0xC03A_000E));
pub const UNTRUSTED: Code = (32775, Some(0xC03A_001C));
pub const TRACKING_OFF: Code = (32775, Some(0xC03A_002A));
pub const UNKNOWN_ID: Code = (32775, Some(0xC03A_0030));
pub const WRONG_KIND: Code = (32776, None);
pub const PARENT_NOT_FOUND: Code = (32777, Some(0xC03A_000D));
pub const OUT_OF_MEMORY: Code = (32778, None);
pub const FILE_NOT_FOUND: Code = (32779, None);
