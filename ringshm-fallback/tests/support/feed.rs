//! A real feed: a day's trades as lines of JSON.

use std::path::PathBuf;
use std::process::Command;

/// Its lines, without their newlines: of the recording in the folder that `RINGSHM_DATA` names, or made up if there is none.
pub(crate) fn lines() -> Vec<Vec<u8>> {
    let folder = std::env::var_os("RINGSHM_DATA").map(PathBuf::from).unwrap_or_default();
    let recording = std::fs::read_dir(&folder).ok().and_then(|entries| {
        let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.find(|path| path.to_string_lossy().ends_with(".jsonl.gz"))
    });
    let Some(recording) = recording else {
        let made_up =
            |n: u64| format!(r#"{{"trade":{n},"price":"{}.{:02}","maker":{}}}"#, 60_000 + n % 977, n % 100, n % 3 == 0);
        return (0..50_000).map(|n| made_up(n).into_bytes()).collect();
    };
    let output = Command::new("gzip").arg("-dc").arg(&recording).output().expect("install gzip, or unset RINGSHM_DATA");
    assert!(output.status.success(), "gzip cannot read {}", recording.display());
    let text = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
    text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}
