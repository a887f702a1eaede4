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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateSet(u8);

impl StateSet {
    /// Every state except absent.
    pub(crate) const HELD: Self =
        Self::of(&[LayerState::Zero, LayerState::Undefined, LayerState::Data]);

    /// The states that do not certainly read as zeros.
    pub(crate) const ALLOCATED: Self = Self::of(&[LayerState::Undefined, LayerState::Data]);

    /// The states without bytes of their own that hide the layer below.
    pub(crate) const WITHOUT_DATA: Self = Self::of(&[LayerState::Zero, LayerState::Undefined]);

    const fn of(states: &[LayerState]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < states.len() {
            bits |= 1 << states[i] as u8;
            i += 1;
        }
        StateSet(bits)
    }

    pub(crate) const fn contains(self, state: LayerState) -> bool {
        self.0 >> state as u8 & 1 == 1
    }
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
