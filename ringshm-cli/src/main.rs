#![doc = "ringshm"]
fn main() {}
