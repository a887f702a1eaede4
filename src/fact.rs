//! What is known of a format that nobody has published, and how surely.

/// How sure a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Confidence {
    /// Seen in a file that Windows wrote.
    Verified,
    /// Read in a published analysis of the Windows driver.
    Published,
    /// Derived from numbers in one, or from the sizes of real files.
    Derived,
    /// Assumed, so chosen that being wrong means a refusal and not a wrong answer.
    Assumed,
}

/// One fact about a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct Fact {
    /// A short name, for reports.
    pub name: &'static str,
    /// How sure it is.
    pub confidence: Confidence,
    /// The fact, in one sentence.
    pub statement: &'static str,
}

pub(crate) const fn fact(
    name: &'static str,
    confidence: Confidence,
    statement: &'static str,
) -> Fact {
    Fact { name, confidence, statement }
}
