//! The control socket's threads outlive `C_Finalize`: the library must stay in memory when it is closed.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
