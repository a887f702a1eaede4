//! The states of a layer, and sets of them.

/// The state of a layer at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LayerState {
    /// Nothing: the layer below decides.
    Absent,
    /// Zeros, whatever the layer below has.
    Zero,
    /// Undefined content, which reads as zeros and never as the layer below.
    Undefined,
    /// Bytes of its own.
    Data,
}

/// The states that a question reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StateSet(u8);

impl StateSet {
    /// The states that do not certainly read as zeros.
    pub(crate) const ALLOCATED: Self = StateSet(bit(LayerState::Undefined) | bit(LayerState::Data));

    /// The states without bytes of their own that hide the layer below.
    pub(crate) const WITHOUT_DATA: Self =
        StateSet(bit(LayerState::Zero) | bit(LayerState::Undefined));

    /// Every state except absent.
    pub(crate) const HELD: Self = StateSet(Self::ALLOCATED.0 | Self::WITHOUT_DATA.0);

    pub(crate) const fn contains(self, state: LayerState) -> bool {
        self.0 & bit(state) != 0
    }
}

const fn bit(state: LayerState) -> u8 {
    1 << state as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_contain_what_their_names_say() {
        use LayerState::{Absent, Data, Undefined, Zero};
        let contained = |set: StateSet| [Absent, Zero, Undefined, Data].map(|s| set.contains(s));
        assert_eq!(contained(StateSet::HELD), [false, true, true, true]);
        assert_eq!(contained(StateSet::ALLOCATED), [false, false, true, true]);
        assert_eq!(contained(StateSet::WITHOUT_DATA), [false, true, true, false]);
    }
}
