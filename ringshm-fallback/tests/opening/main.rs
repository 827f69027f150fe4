//! Names that name nothing.

#[path = "../support/mod.rs"]
mod support;

use support::Process;

/// Not a test: what a child process does. See [`support`].
#[test]
fn child() {
    support::play(|_, _| None);
}

#[test]
fn an_unknown_scheme_is_refused_and_the_known_ones_are_named() {
    let folder = support::Folder::new();
    let mut child = Process::start(&folder);
    for side in ["sender", "receiver"] {
        let refusal = child.ask(&format!("{side} carrier-pigeon://home"));
        assert!(refusal.starts_with("InvalidName: "), "{refusal}");
        assert!(refusal.contains("carrier-pigeon is no scheme; there are: shm"), "{refusal}");
    }
    child.finish();
}
