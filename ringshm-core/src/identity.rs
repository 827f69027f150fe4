//! What two programs must agree on about the messages of a ring.

/// The longest type name kept in a header, in bytes.
pub const MAX_TYPE_NAME: usize = 128;

/// What the messages of a ring are, as far as two programs must agree on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeIdentity {
    /// The type's name without its modules.
    pub name: String,
    /// Its size in bytes; 1 for records.
    pub size: u64,
    /// Its alignment in bytes.
    pub align: u32,
    /// A number that the program's author changes when the meaning of the fields changes.
    pub schema: u64,
}

impl TypeIdentity {
    /// The identity of byte records.
    #[must_use]
    pub fn records(schema: u64) -> Self {
        Self { name: "[u8]".to_owned(), size: 1, align: 1, schema }
    }

    /// The identity of `T`.
    #[must_use]
    pub fn of<T>(schema: u64) -> Self {
        let align = u32::try_from(align_of::<T>()).unwrap_or(u32::MAX);
        Self { name: without_modules(core::any::type_name::<T>()), size: size_of::<T>() as u64, align, schema }
    }
}

/// `a::b::C<d::E>` becomes `C<E>`: two programs may keep the same type in different modules.
fn without_modules(path: &str) -> String {
    let mut name = String::new();
    let mut segment = String::new();
    for character in path.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => segment.push(character),
            ':' => segment.clear(),
            other => {
                name.push_str(&segment);
                segment.clear();
                name.push(other);
            }
        }
    }
    name.push_str(&segment);
    while name.len() > MAX_TYPE_NAME {
        name.pop();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_no_part_of_a_types_identity() {
        assert_eq!(without_modules("feed::wire::Tick"), "Tick");
        assert_eq!(without_modules("feed::Pair<core::num::U16<x::Le>, u8>"), "Pair<U16<Le>, u8>");
        assert_eq!(without_modules("[u8; 16]"), "[u8; 16]");
    }
}
