//! What is sent: a real feed of market data, or one that looks like it.

use std::path::Path;
use std::process::Command;

/// The real feed, of the folder that `RINGSHM_DATA` names, or else a made one. Lines, the last of which ends.
pub(crate) fn whole() -> Vec<u8> {
    std::env::var_os("RINGSHM_DATA").map_or_else(made, |folder| {
        let path = Path::new(&folder).join("binance-spot-btcusdt-20240809.jsonl.gz");
        let output = Command::new("gzip").arg("-dc").arg(&path).output().expect("gzip is installed");
        assert!(output.status.success(), "{}", path.display());
        output.stdout
    })
}

/// Lines of 0 to 700 bytes, of any bytes but newlines.
fn made() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes = Vec::new();
    for line in 0..50_000 {
        let len = if line % 1000 == 0 { 0 } else { random() % 700 };
        bytes.extend((0..len).map(|_| (random() >> 32) as u8).map(|byte| if byte == b'\n' { b' ' } else { byte }));
        bytes.push(b'\n');
    }
    bytes
}
