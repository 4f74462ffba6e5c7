//! Makes the static binary smaller: the list of addresses that are put right at its start takes 120 KB as it usually is,
//! and 4 KB packed (DT_RELR).
//!
//! The C library that is linked in must know the packed form, or the program would not start: glibc does since 2.36.
//! In the dynamic binary the list is shorter, and it would not run with an older glibc any more.

#[cfg(target_env = "gnu")]
use std::ffi::CStr;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name| std::env::var(name).unwrap_or_default();
    let is_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    let is_glibc = variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    let is_native = variable("HOST") == variable("TARGET");
    if is_static && is_glibc && is_native && glibc_version().is_some_and(|version| version >= (2, 36)) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// That of the system the build runs on, which is the one that is linked in.
#[cfg(target_env = "gnu")]
fn glibc_version() -> Option<(u32, u32)> {
    unsafe extern "C" {
        fn gnu_get_libc_version() -> *const std::ffi::c_char;
    }
    // SAFETY: it takes nothing, and returns a text that is never freed.
    let text = unsafe { CStr::from_ptr(gnu_get_libc_version()) }.to_str().ok()?;
    let mut numbers = text.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(not(target_env = "gnu"))]
fn glibc_version() -> Option<(u32, u32)> {
    None
}
