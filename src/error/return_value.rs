//! The method's return values.

/// A return value of `GetVirtualDiskChanges`, with Microsoft's number and description.
///
/// | code | name | when this crate returns it |
/// | --- | --- | --- |
/// | 0 | [`Completed`](Self::Completed) | the query succeeded |
/// | 4096 | [`JobStarted`](Self::JobStarted) | the parameters were checked and a job runs |
/// | 32768 | [`Failed`](Self::Failed) | I/O error; corrupt or malicious file; cancelled |
/// | 32769 | [`AccessDenied`](Self::AccessDenied) | the operating system refuses to open or read |
/// | 32770 | [`NotSupported`](Self::NotSupported) | another format, an unknown version, region, item or record |
/// | 32771 | [`StatusUnknown`](Self::StatusUnknown) | a job's worker was lost without a result |
/// | 32772 | [`Timeout`](Self::Timeout) | the request's deadline passed |
/// | 32773 | [`InvalidParameter`](Self::InvalidParameter) | malformed id, region outside the disk, range limit 0, unrelated snapshots |
/// | 32774 | [`InUse`](Self::InUse) | sharing violation or lock; the file changed while it was read; its creation is unfinished |
/// | 32775 | [`InvalidState`](Self::InvalidState) | tracking off, id unknown, table of another size, not closed cleanly or contradicted, parent changed or not frozen |
/// | 32776 | [`IncorrectDataType`](Self::IncorrectDataType) | a snapshot id for a single disk, or an RCT id in place of a snapshot id |
/// | 32777 | [`NotAvailable`](Self::NotAvailable) | a parent, or a set's active or snapshot file, cannot be found |
/// | 32778 | [`OutOfMemory`](Self::OutOfMemory) | the request's memory budget would be exceeded |
/// | 32779 | [`FileNotFound`](Self::FileNotFound) | the path does not exist |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum ReturnValue {
    /// Completed with No Error.
    Completed = 0,
    /// Method Parameters Checked - Job Started.
    JobStarted = 4096,
    /// Failed.
    Failed = 32768,
    /// Access Denied.
    AccessDenied = 32769,
    /// Not Supported.
    NotSupported = 32770,
    /// Status is unknown.
    StatusUnknown = 32771,
    /// Timeout.
    Timeout = 32772,
    /// Invalid parameter.
    InvalidParameter = 32773,
    /// System is in use.
    InUse = 32774,
    /// Invalid state for this operation.
    InvalidState = 32775,
    /// Incorrect data type.
    IncorrectDataType = 32776,
    /// System is not available.
    NotAvailable = 32777,
    /// Out of memory.
    OutOfMemory = 32778,
    /// File not found.
    FileNotFound = 32779,
}

impl ReturnValue {
    /// Returns the number that the WMI method returns.
    #[must_use]
    pub fn code(self) -> u32 {
        self as u32
    }
}

impl TryFrom<u32> for ReturnValue {
    type Error = u32;

    /// Returns the value with this number, or the number if the method has no such value.
    fn try_from(code: u32) -> Result<Self, u32> {
        use ReturnValue::*;
        let all: [&[Self]; 3] = [
            &[Completed, JobStarted, Failed, AccessDenied, NotSupported],
            &[StatusUnknown, Timeout, InvalidParameter, InUse, InvalidState],
            &[IncorrectDataType, NotAvailable, OutOfMemory, FileNotFound],
        ];
        all.into_iter().flatten().copied().find(|value| value.code() == code).ok_or(code)
    }
}
