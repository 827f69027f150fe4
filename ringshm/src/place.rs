//! Where a ring is, by its name.

use ringshm_core::error::OpenError;
use ringshm_core::os::{Directory, Name, Place};
use ringshm_fallback::address::Address;

/// The schemes of rings.
pub(crate) const SCHEMES: [&str; 3] = ["shm", "file", "sysv-shm"];

/// Where the ring of that name is: `ticks` or `shm://ticks` in the folder, `file:///var/lib/app/feed.ring`, `sysv-shm://0x51ab`.
///
/// # Errors
/// [`OpenError::InvalidName`].
pub fn place_of(directory: &Directory, name: &str) -> Result<Place, OpenError> {
    match name.split_once(':') {
        Some((scheme, _)) if scheme != "shm" && SCHEMES.contains(&scheme) => {
            let address = Address::parse(name)?;
            let place = located(directory, &address)?;
            address.finish()?;
            Ok(place)
        }
        // Any other scheme is explained there.
        _ => Ok(Place::named(directory, &Name::new(name)?)),
    }
}

/// The same of a name that was taken apart, whose scheme is a ring's.
pub(crate) fn located(directory: &Directory, address: &Address) -> Result<Place, OpenError> {
    let place = address.place();
    match address.scheme() {
        "file" if place.starts_with('/') => Place::file(place),
        "file" => Err(address.invalid("a file has an absolute path, such as file:///var/lib/app/feed.ring")),
        "sysv-shm" => match key_of(place) {
            Some(key) => Place::system_v(key),
            None => Err(address.invalid("a key is a number of 32 bits, such as 0x51ab")),
        },
        _ => Ok(Place::named(directory, &Name::new(place)?)),
    }
}

/// A key, decimal or hexadecimal, whose highest bit tools print as a sign, or not.
fn key_of(text: &str) -> Option<i32> {
    let bits = |bits: u32| i32::from_ne_bytes(bits.to_ne_bytes());
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(bits),
        None => text.parse().ok().or_else(|| text.parse().ok().map(bits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_where_a_ring_is() {
        let folder = Directory::new("/dev/shm".as_ref());
        let path =
            |name: &str| place_of(&folder, name).map(|place| place.to_string()).map_err(|error| error.to_string());
        for (name, place) in [
            ("ticks", "/dev/shm/ringshm.ticks"),
            ("shm://ticks", "/dev/shm/ringshm.ticks"),
            ("file:///var/lib/app/feed.ring", "/var/lib/app/feed.ring"),
            ("file:///a%3Fb", "/a?b"),
            ("sysv-shm://0x51ab", "sysv-shm://0x51ab"),
            ("sysv-shm:20907", "sysv-shm://0x51ab"),
            ("sysv-shm://-1", "sysv-shm://0xffffffff"),
            ("sysv-shm://4294967295", "sysv-shm://0xffffffff"),
        ] {
            assert_eq!(path(name).as_deref(), Ok(place), "{name}");
        }
        for (name, says) in [
            ("file://feed.ring", "absolute path"),
            ("file:///feeds/", "path of a file"),
            ("file:///x?ring=mpmc", "no option \"ring\""),
            ("sysv-shm://0", "0 is no key"),
            ("sysv-shm://0x1ffffffff", "32 bits"),
            ("sysv-shm://ticks", "32 bits"),
            ("mq:///x", "ringshm::open"),
        ] {
            let refusal = path(name).expect_err(name);
            assert!(refusal.contains(says), "{name}: {refusal}");
        }
    }
}
