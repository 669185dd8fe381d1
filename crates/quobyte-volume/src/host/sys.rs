//! System calls that no library wraps: statmount(2), Linux 6.8, in [`aio`] those of Linux AIO, and in [`process_setup`]
//! those that change what a process has inherited.

#![expect(unsafe_code, reason = "a raw system call")]

pub(crate) mod aio;
pub(crate) mod process_setup;

use std::io;

/// statmount(2)'s number, the same on every architecture since numbers were unified.
const SYS_STATMOUNT: libc::c_long = 457;

/// `struct mnt_id_req`, first published size.
#[repr(C)]
struct MntIdReq {
    size: u32,
    spare: u32,
    mnt_id: u64,
    param: u64,
}

/// Fills `buffer` with what the kernel knows of the mount with the given unique id, limited to `mask`.
///
/// # Errors
/// `ENOENT` for a mount that is gone or out of reach, `ENOSYS` before Linux 6.8, `EOVERFLOW` for a buffer too small.
pub(crate) fn statmount(unique_id: u64, mask: u64, buffer: &mut [u8]) -> io::Result<()> {
    let request = MntIdReq { size: size_of::<MntIdReq>() as u32, spare: 0, mnt_id: unique_id, param: mask };
    // SAFETY: `request` lives across the call and says its own size; the kernel writes at most `buffer.len()` bytes
    // into `buffer`, which is exclusively borrowed, and any byte is a valid `u8`.
    let result = unsafe {
        libc::syscall(SYS_STATMOUNT, &raw const request, buffer.as_mut_ptr(), buffer.len(), 0 as libc::c_uint)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
