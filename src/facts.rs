//! Facts about an undocumented format, and the confidence in each.

/// The confidence in a fact: where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Confidence {
    /// Seen in a file that Windows wrote.
    Verified,
    /// Read in a published analysis of the Windows driver.
    Published,
    /// Derived from numbers in such an analysis, or from the sizes of real files.
    Derived,
    /// Assumed, and chosen so that a wrong assumption causes a refusal, not a wrong answer.
    Assumed,
}

/// One fact about an undocumented format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "PascalCase"))]
#[non_exhaustive]
pub struct Fact {
    /// A short name, for reports.
    pub name: &'static str,
    /// The confidence in the fact.
    pub confidence: Confidence,
    /// The fact, in one sentence.
    pub statement: &'static str,
}

/// A table of facts, one per row: name, confidence, statement.
macro_rules! facts {
    ($($name:literal $confidence:ident $statement:literal;)*) => {
        &[$(Fact {
            name: $name,
            confidence: $crate::facts::Confidence::$confidence,
            statement: $statement,
        }),*]
    };
}
pub(crate) use facts;
