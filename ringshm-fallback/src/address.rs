//! The name of a channel: `scheme://place?option=value&…`.

use crate::framing::Framing;
use core::str::FromStr;
use percent_encoding::percent_decode_str;
use ringshm_core::OnDeath;
use ringshm_core::error::OpenError;

/// A name, taken apart. Whoever opens it takes the options that it knows, and then says that this is all: what is left over is a mistake.
///
/// ```
/// # use ringshm_fallback::address::Address;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut address = Address::parse("unix:///run/feed.sock?type=seqpacket&await")?;
/// assert_eq!((address.scheme(), address.place()), ("unix", "/run/feed.sock"));
/// assert_eq!(address.take("type").as_deref(), Some("seqpacket"));
/// assert!(address.finish().is_err());
/// assert!(address.take_flag("await")?);
/// address.finish()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Address {
    name: String,
    scheme: String,
    place: String,
    options: Vec<(String, String)>,
    on_death: OnDeath,
    /// Every option that was asked for.
    known: Vec<&'static str>,
}

impl Address {
    /// Takes a name apart. Two slashes behind the scheme may be left out. `%` and two hexadecimal digits stand for a byte, such as `%3F` for a
    /// question mark.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`].
    pub fn parse(name: &str) -> Result<Self, OpenError> {
        let invalid = |reason: String| OpenError::InvalidName { name: name.to_owned(), reason };
        let Some((scheme, rest)) = name.split_once(':') else {
            return Err(invalid("it has no scheme, such as shm:// or unix://".to_owned()));
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let decode = |text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
            _ => Err(invalid("what stands behind a % is no text".to_owned())),
        };
        let mut options: Vec<(String, String)> = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let (key, value) = (decode(key)?, decode(value)?);
            if options.iter().any(|(other, _)| *other == key) {
                return Err(invalid(format!("it has the option {key} twice")));
            }
            options.push((key, value));
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            place: decode(place)?,
            options,
            on_death: OnDeath::Disconnect,
            known: Vec::new(),
            name: name.to_owned(),
        })
    }

    /// The name as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands before the colon.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What stands between the scheme and the options.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The place is none.
    #[must_use]
    pub fn invalid(&self, reason: impl Into<String>) -> OpenError {
        OpenError::InvalidName { name: self.name.clone(), reason: reason.into() }
    }

    /// The value of an option, empty if it was given without one.
    pub fn take(&mut self, option: &'static str) -> Option<String> {
        self.known.push(option);
        let at = self.options.iter().position(|(key, _)| key == option)?;
        Some(self.options.remove(at).1)
    }

    /// The value of an option, made a `T` by `read`, which says what it takes if it is none.
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`].
    pub fn take_as<T>(
        &mut self,
        option: &'static str,
        read: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<Option<T>, OpenError> {
        let Some(value) = self.take(option) else { return Ok(None) };
        read(&value)
            .map(Some)
            .map_err(|takes| OpenError::InvalidOption { option, reason: format!("{value:?} is not {takes}") })
    }

    /// The value of an option that is a number of any type.
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`].
    pub fn take_number<T: FromStr>(&mut self, option: &'static str) -> Result<Option<T>, OpenError> {
        self.take_as(option, |value| value.parse().map_err(|_| "a number that it can be"))
    }

    /// An option that is given, or not: `await`, `await=true`, `await=false`.
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`].
    pub fn take_flag(&mut self, option: &'static str) -> Result<bool, OpenError> {
        Ok(self.read_flag(option)?.unwrap_or(false))
    }

    fn read_flag(&mut self, option: &'static str) -> Result<Option<bool>, OpenError> {
        self.take_as(option, |value| match value {
            "" | "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("true or false"),
        })
    }

    /// What to do when the other side dies, if the name does not say.
    #[must_use]
    pub fn with_on_death(self, on_death: OnDeath) -> Self {
        Self { on_death, ..self }
    }

    /// `await`: what to do when the other side dies.
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`].
    pub fn take_on_death(&mut self) -> Result<OnDeath, OpenError> {
        Ok(match self.read_flag("await")? {
            None => self.on_death,
            Some(true) => OnDeath::AwaitSuccessor,
            Some(false) => OnDeath::Disconnect,
        })
    }

    /// `framing=frames`, `lines`, `len32`, `raw:BYTES`, `bare`.
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`].
    pub fn take_framing(&mut self) -> Result<Option<Framing>, OpenError> {
        self.take_as("framing", |value| match value.split_once(':') {
            None => match value {
                "frames" => Ok(Framing::Frames),
                "lines" => Ok(Framing::Lines),
                "len32" => Ok(Framing::Len32),
                "bare" => Ok(Framing::Bare),
                _ => Err(FRAMINGS),
            },
            Some(("raw", bytes)) => bytes.parse().map(Framing::Raw).map_err(|_| FRAMINGS),
            Some(_) => Err(FRAMINGS),
        })
    }

    /// `mode=600`: the rights of what is made, in octal digits.
    ///
    /// # Errors
    /// [`OpenError::InvalidOption`].
    pub fn take_mode(&mut self) -> Result<Option<u32>, OpenError> {
        self.take_as("mode", |value| match u32::from_str_radix(value, 8) {
            Ok(mode) if mode <= 0o777 => Ok(mode),
            _ => Err("three octal digits, such as 600"),
        })
    }

    /// That was all: to be called before anything is opened.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`] if an option was not taken.
    pub fn finish(&self) -> Result<(), OpenError> {
        let Some((option, _)) = self.options.first() else { return Ok(()) };
        let (scheme, known) = (&self.scheme, self.known.join(", "));
        Err(self.invalid(format!("{scheme} has no option {option:?}; it has: {known}")))
    }
}

const FRAMINGS: &str = "frames, lines, len32, bare or raw:BYTES";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart() {
        for (name, scheme, place) in [
            ("shm://ticks", "shm", "ticks"),
            ("pipe:", "pipe", ""),
            ("pipe:3", "pipe", "3"),
            ("fifo:///run/x", "fifo", "/run/x"),
            ("sysv://0x51ab", "sysv", "0x51ab"),
            ("unix:@abstract?type=dgram", "unix", "@abstract"),
            ("tcp://[::1]:9000?await", "tcp", "[::1]:9000"),
            ("fifo:///a%3Fb%20c", "fifo", "/a?b c"),
        ] {
            let address = Address::parse(name).unwrap();
            assert_eq!((address.scheme(), address.place()), (scheme, place), "{name}");
        }
    }

    #[test]
    fn a_mistake_in_a_name_is_explained() {
        let refusal = |name: &str, take: fn(&mut Address) -> Result<(), OpenError>| {
            Address::parse(name).and_then(|mut address| take(&mut address)).unwrap_err().to_string()
        };
        let nothing = |_: &mut Address| Ok(());
        for (name, take, says) in [
            ("ticks", nothing as fn(&mut Address) -> _, "no scheme"),
            ("fifo:///x?a=1&a=2", nothing, "a twice"),
            ("fifo:///%00", nothing, "no text"),
            ("fifo:///%ff", nothing, "no text"),
            (
                "mq:///x?messages=ten",
                |address| address.take_number::<u64>("messages").map(drop),
                "\"ten\" is not a number",
            ),
            ("mq:///x?await=perhaps", |address| address.take_on_death().map(drop), "true or false"),
            ("mq:///x?mode=9", |address| address.take_mode().map(drop), "octal"),
            ("mq:///x?framing=raw:0", |address| address.take_framing().map(drop), "raw:BYTES"),
            (
                "unix:///x?typ=dgram",
                |address| {
                    address.take("type");
                    address.take_flag("await")?;
                    address.finish()
                },
                "unix has no option \"typ\"; it has: type, await",
            ),
        ] {
            let refusal = refusal(name, take);
            assert!(refusal.contains(says), "{name}: {refusal}");
        }
    }
}
