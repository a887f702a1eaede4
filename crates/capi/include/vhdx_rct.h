/* Which byte ranges of a Hyper-V virtual disk changed since X. Made by cbindgen; see cbindgen.toml. */

#ifndef VHDX_RCT_H
#define VHDX_RCT_H

#include <stddef.h>
#include <stdint.h>

// Accepts files that were not closed cleanly; an answer may then lack what was written last.
#define VHDX_RCT_ALLOW_UNCLEAN 1

// The size in bytes of an RCT id as text, including the NUL.
#define VHDX_RCT_ID_SIZE 51


// A return value of `GetVirtualDiskChanges`, with Microsoft's number and description.
//
// | code | name | when this crate returns it |
// | --- | --- | --- |
// | 0 | [`Completed`](Self::Completed) | the query succeeded |
// | 4096 | [`JobStarted`](Self::JobStarted) | the parameters were checked and a job runs |
// | 32768 | [`Failed`](Self::Failed) | I/O error; corrupt or malicious file; cancelled |
// | 32769 | [`AccessDenied`](Self::AccessDenied) | the operating system refuses to open or read |
// | 32770 | [`NotSupported`](Self::NotSupported) | another format, an unknown version, region, item or record |
// | 32771 | [`StatusUnknown`](Self::StatusUnknown) | a job's worker was lost without a result |
// | 32772 | [`Timeout`](Self::Timeout) | the request's deadline passed |
// | 32773 | [`InvalidParameter`](Self::InvalidParameter) | malformed id, region outside the disk, range limit 0, unrelated snapshots |
// | 32774 | [`InUse`](Self::InUse) | sharing violation or lock; the file changed while it was read; its creation is unfinished |
// | 32775 | [`InvalidState`](Self::InvalidState) | tracking off, id unknown, table of another size, not closed cleanly or contradicted, parent changed or not frozen |
// | 32776 | [`IncorrectDataType`](Self::IncorrectDataType) | a snapshot id for a single disk, or an RCT id in place of a snapshot id |
// | 32777 | [`NotAvailable`](Self::NotAvailable) | a parent, or a set's active or snapshot file, cannot be found |
// | 32778 | [`OutOfMemory`](Self::OutOfMemory) | the request's memory budget would be exceeded |
// | 32779 | [`FileNotFound`](Self::FileNotFound) | the path does not exist |
enum VhdxRctReturnValue
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Completed with No Error.
  VHDX_RCT_RETURN_VALUE_COMPLETED = 0,
  // Method Parameters Checked - Job Started.
  VHDX_RCT_RETURN_VALUE_JOB_STARTED = 4096,
  // Failed.
  VHDX_RCT_RETURN_VALUE_FAILED = 32768,
  // Access Denied.
  VHDX_RCT_RETURN_VALUE_ACCESS_DENIED = 32769,
  // Not Supported.
  VHDX_RCT_RETURN_VALUE_NOT_SUPPORTED = 32770,
  // Status is unknown.
  VHDX_RCT_RETURN_VALUE_STATUS_UNKNOWN = 32771,
  // Timeout.
  VHDX_RCT_RETURN_VALUE_TIMEOUT = 32772,
  // Invalid parameter.
  VHDX_RCT_RETURN_VALUE_INVALID_PARAMETER = 32773,
  // System is in use.
  VHDX_RCT_RETURN_VALUE_IN_USE = 32774,
  // Invalid state for this operation.
  VHDX_RCT_RETURN_VALUE_INVALID_STATE = 32775,
  // Incorrect data type.
  VHDX_RCT_RETURN_VALUE_INCORRECT_DATA_TYPE = 32776,
  // System is not available.
  VHDX_RCT_RETURN_VALUE_NOT_AVAILABLE = 32777,
  // Out of memory.
  VHDX_RCT_RETURN_VALUE_OUT_OF_MEMORY = 32778,
  // File not found.
  VHDX_RCT_RETURN_VALUE_FILE_NOT_FOUND = 32779,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum VhdxRctReturnValue VhdxRctReturnValue;
#else
typedef uint32_t VhdxRctReturnValue;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A changed range of the virtual disk, in bytes.
typedef struct VhdxRctRange {
  // The first byte.
  uint64_t byte_offset;
  // The length; never 0.
  uint64_t byte_length;
} VhdxRctRange;

// The disk that an answer is about.
typedef struct VhdxRctDisk {
  // The virtual disk's id: a GUID, its bytes in the order of its text.
  uint8_t virtual_disk_id[16];
  // The virtual disk's size in bytes.
  uint64_t virtual_size;
  // The logical sector size in bytes: 512 or 4096.
  uint32_t logical_sector_size;
  // The smallest change that the answer can show, in bytes.
  uint32_t granularity;
} VhdxRctDisk;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Lists the byte ranges of a virtual disk that changed since a baseline.
//
// - `path`: a `.vhdx`, `.avhdx` or `.vhds` file.
// - `limit_id`: the baseline: `rctX:...`, a snapshot's GUID, `file:PATH`, `dwg:GUID`, `parent`
//   or `*`.
// - `target_snapshot_id`: a snapshot of a VHD Set, or NULL for the active state.
// - `byte_offset`, `byte_length`: the region, which lies inside the disk. A length of 0 is
//   valid and fills in only `disk`.
// - `flags`: 0 or `VHDX_RCT_ALLOW_UNCLEAN`.
// - `ranges`, `range_count`: a buffer, and its capacity in ranges: at least 1, even for a region
//   of length 0. On return, `range_count` is the number of ranges written. They are sorted, do
//   not touch each other, and lie inside the region.
// - `processed_byte_length`: the length of the processed part of the region, in bytes from its
//   start. Less than `byte_length` only if the buffer is full: ask again from `byte_offset +
//   processed_byte_length` on, and nothing is lost or repeated.
// - `disk`: the disk that the answer is about; may be NULL.
//
// Returns 0, or the return value of the method for the failure. After a failure `range_count`
// and `processed_byte_length` are 0, the content of `ranges` is meaningless, and
// `vhdx_rct_last_error` returns the text.
//
// # Safety
// Each pointer is valid for its purpose, or NULL. NULL is an invalid parameter except where it is
// allowed above.
VhdxRctReturnValue vhdx_rct_get_virtual_disk_changes(const char *path,
                                                     const char *limit_id,
                                                     const char *target_snapshot_id,
                                                     uint64_t byte_offset,
                                                     uint64_t byte_length,
                                                     uint32_t flags,
                                                     struct VhdxRctRange *ranges,
                                                     size_t *range_count,
                                                     uint64_t *processed_byte_length,
                                                     struct VhdxRctDisk *disk);

// Writes the newest RCT id of a disk, to be kept for the next question, as text to `id`. The
// text is empty if the disk is not tracked, if its tracking table cannot be used, or if the
// table may lag behind what was written and `flags` (0 or `VHDX_RCT_ALLOW_UNCLEAN`) do not
// accept that.
//
// Returns 0 or a return value, as `vhdx_rct_get_virtual_disk_changes` does.
//
// # Safety
// `path` is text or NULL; `id` is a buffer of `VHDX_RCT_ID_SIZE` bytes or NULL. NULL is an invalid
// parameter.
VhdxRctReturnValue vhdx_rct_newest_id(const char *path, uint32_t flags, char *id);

// Writes the text of the calling thread's last failure: what was expected, what was found, and
// what to do next. Writes as much as fits into `size` bytes, followed by a NUL, and returns the
// length of the whole text in bytes, without the NUL. `buffer` may be NULL if `size` is 0.
//
// # Safety
// `buffer` is a buffer of at least `size` bytes, or NULL.
size_t vhdx_rct_last_error(char *buffer, size_t size);

// Returns the code that Windows' own API has for the calling thread's last failure
// (`0xC03A....`); 0 if there is none.
uint32_t vhdx_rct_last_win32_code(void);

// Returns 1 if the calling thread's last failure concerns only change tracking, else 0. If 1, the
// files have no answer since that baseline, but a full backup (since `*`) is possible.
uint32_t vhdx_rct_needs_full_backup(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* VHDX_RCT_H */
