//! RCT ids: a branch and the sequence number at which the id was created.

use crate::error::{Error, ErrorKind};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A change tracking id: a point in the history of a tracked disk.
///
/// Its text is the one that Hyper-V uses, `rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001`: the
/// branch, then the number in hexadecimal. Parsed in any letter case, printed in lower case. Ids
/// are ordered within a branch only.
///
/// ```
/// use vhdx_rct::RctId;
///
/// let id: RctId = "RCTX:5BFDE23B:CE75:4303:B54F:6C18394F105C:0000000A".parse()?;
/// assert_eq!(id.number, 10);
/// assert_eq!(id.to_string(), "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:0000000a");
/// assert!(RctId::new(id.branch, 11) > id);
/// # Ok::<(), vhdx_rct::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RctId {
    /// The branch of the disk's history, as a GUID.
    pub branch: Uuid,
    /// The sequence number at which the id was created: later writes have a greater one.
    pub number: u32,
}

/// The text's shape; `h` stands for a hexadecimal digit.
const SHAPE: &str = "rctX:hhhhhhhh:hhhh:hhhh:hhhh:hhhhhhhhhhhh:hhhhhhhh";

impl RctId {
    /// Creates an id from its parts.
    #[must_use]
    pub fn new(branch: Uuid, number: u32) -> Self {
        RctId { branch, number }
    }

    /// Returns whether a text is intended as an RCT id, well formed or not.
    pub(crate) fn has_prefix(text: &str) -> bool {
        text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("rctX"))
    }
}

impl FromStr for RctId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fits = |(shape, found): &(char, char)| match shape {
            'h' => found.is_ascii_hexdigit(),
            _ => found.eq_ignore_ascii_case(shape),
        };
        let at = SHAPE.chars().zip(text.chars()).take_while(fits).count();
        let (expected, found) = (SHAPE.chars().nth(at), text.chars().nth(at));
        if expected.is_some() || found.is_some() {
            return Err(malformed(text, at, expected, found));
        }
        // The format is valid: 32 digits of the branch, then 8 of the number.
        let digits: String = text[5..].split(':').collect();
        let (branch, number) = digits.split_at(32);
        Ok(RctId {
            branch: Uuid::from_u128(u128::from_str_radix(branch, 16).unwrap_or_default()),
            number: u32::from_str_radix(number, 16).unwrap_or_default(),
        })
    }
}

/// Creates the error for a character that is not the one of the shape; None is the end.
fn malformed(text: &str, at: usize, expected: Option<char>, found: Option<char>) -> Error {
    let name = |c: Option<char>| c.map_or("the end".into(), |c| format!("'{}'", c.escape_debug()));
    let expected =
        if expected == Some('h') { "a hexadecimal digit".into() } else { name(expected) };
    let message = format!(
        "the RCT id \"{}\" is malformed at character {}: expected {expected}, found {}; an id looks like \
         rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001",
        text.escape_debug(),
        at + 1,
        name(found)
    );
    Error::new(ErrorKind::MalformedId, message)
}

impl fmt::Display for RctId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let branch = self.branch.hyphenated().to_string().replace('-', ":");
        write!(f, "rctX:{branch}:{:08x}", self.number)
    }
}

impl PartialOrd for RctId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.branch == other.branch).then(|| self.number.cmp(&other.number))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for RctId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for RctId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: String = serde::Deserialize::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001";

    #[test]
    fn round_trips_in_any_letter_case() {
        let id: RctId = TEXT.parse().unwrap();
        assert_eq!(id.branch.to_string(), "5bfde23b-ce75-4303-b54f-6c18394f105c");
        assert_eq!((id.number, id.to_string().as_str()), (1, TEXT));
        for text in [TEXT.to_uppercase(), TEXT.to_lowercase()] {
            assert_eq!(text.parse::<RctId>().unwrap(), id);
        }
        let last = RctId::new(Uuid::max(), u32::MAX);
        assert_eq!(last.to_string().parse::<RctId>().unwrap(), last);
    }

    #[test]
    fn reports_the_place_of_a_malformed_character() {
        let mut cases = vec![
            (String::new(), "character 1:"),
            ("rct:5bfde23b".into(), "character 4:"),
            (TEXT.replace(':', "-"), "character 5:"),
            (TEXT[..49].into(), "character 50: expected a hexadecimal digit, found the end"),
            (format!("{TEXT}0"), "character 51: expected the end, found '0'"),
        ];
        cases.push((
            TEXT.replacen("ce75", "ce7g", 1),
            "character 18: expected a hexadecimal digit, found 'g'",
        ));
        for (text, place) in cases {
            let error = text.parse::<RctId>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MalformedId);
            assert!(error.to_string().contains(place), "{error}");
        }
    }

    #[test]
    fn orders_ids_within_a_branch_only() {
        let id = |branch, number| RctId::new(Uuid::from_u128(branch), number);
        assert!(id(1, 2) < id(1, 3));
        assert_eq!(id(1, 2).partial_cmp(&id(2, 3)), None);
    }
}
