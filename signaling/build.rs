//! Builds the binary anew when the built web client changes: it is compiled in.

fn main() {
    // Where the client is not built yet, naming the missing folder makes cargo look again each time.
    println!("cargo::rerun-if-changed=../tools/web/dist");
    println!("cargo::rerun-if-changed=build.rs");
}
