//! Kernel timings: `cargo bench`.
fn main() {}
