//! Records whose content follows from their number.

pub(crate) fn mixed(number: u64, index: u64) -> u64 {
    let mut x = (number ^ index << 56).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Record number `number`: 8 to 87 bytes.
pub(crate) fn record(number: u64) -> Vec<u8> {
    let len = mixed(number, 99) % 80;
    let body = (0..len).map(|index| mixed(number, index) as u8);
    number.to_ne_bytes().into_iter().chain(body).collect()
}

/// The number of a record, if the content belongs to it.
pub(crate) fn number_of(bytes: &[u8]) -> u64 {
    let number = u64::from_ne_bytes(*bytes.first_chunk().expect("a record of 8 bytes or more"));
    assert_eq!(bytes, record(number), "a torn record");
    number
}
