//! What log replay lays over a file: pages found elsewhere in the file, and zeros.

use std::collections::BTreeMap;

/// Pages replaced by a data descriptor's sector, as [MS-VHDX] 2.3.1 defines the update:
/// 8 leading bytes from the descriptor, 4084 from the sector, 4 trailing from the descriptor.
pub(crate) const PAGE: u64 = 4096;

/// What stands in for a range of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    Zeros,
    /// One page; `sector` is the data sector's offset in the file.
    Page {
        sector: u64,
        leading: [u8; 8],
        trailing: [u8; 4],
    },
}

/// Pieces by their start; none overlap. Kept as references into the log, not as copies: a
/// large log costs little memory.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    pieces: BTreeMap<u64, (u64, Piece)>,
}

impl Overlay {
    /// Memory that one piece takes, about.
    pub const PIECE_BYTES: u64 = 96;

    /// Lays a piece over whatever was there. Both ends are multiples of a page, so a page is
    /// replaced whole and only zeros are ever cut.
    pub fn lay(&mut self, start: u64, end: u64, piece: Piece) {
        if let Some((&before, &(before_end, old))) = self.pieces.range(..start).next_back()
            && before_end > start
        {
            self.pieces.insert(before, (start, old));
            if before_end > end {
                self.pieces.insert(end, (before_end, old));
            }
        }
        while let Some((&inside, &(inside_end, old))) = self.pieces.range(start..end).next() {
            self.pieces.remove(&inside);
            if inside_end > end {
                self.pieces.insert(end, (inside_end, old));
            }
        }
        self.pieces.insert(start, (end, piece));
    }

    pub fn len(&self) -> u64 {
        self.pieces.len() as u64
    }

    /// The pieces that touch `start..end`, in order.
    pub fn touching(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64, Piece)> + '_ {
        let first = self.pieces.range(..=start).next_back().map_or(start, |(&at, _)| at);
        self.pieces
            .range(first..end.max(first))
            .map(|(&at, &(until, piece))| (at, until, piece))
            .filter(move |&(_, until, _)| until > start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(sector: u64) -> Piece {
        Piece::Page { sector, leading: [0; 8], trailing: [0; 4] }
    }

    #[test]
    fn later_pieces_win_and_zeros_are_cut() {
        let mut overlay = Overlay::default();
        overlay.lay(0, 10 * PAGE, Piece::Zeros);
        overlay.lay(3 * PAGE, 4 * PAGE, page(7));
        overlay.lay(8 * PAGE, 12 * PAGE, Piece::Zeros);
        overlay.lay(3 * PAGE, 4 * PAGE, page(9));
        let all: Vec<_> = overlay.touching(0, 20 * PAGE).collect();
        assert_eq!(
            all,
            [
                (0, 3 * PAGE, Piece::Zeros),
                (3 * PAGE, 4 * PAGE, page(9)),
                (4 * PAGE, 8 * PAGE, Piece::Zeros),
                (8 * PAGE, 12 * PAGE, Piece::Zeros),
            ]
        );
        let inner: Vec<_> = overlay.touching(5 * PAGE + 1, 5 * PAGE + 2).collect();
        assert_eq!(inner, [(4 * PAGE, 8 * PAGE, Piece::Zeros)]);
        assert_eq!(overlay.touching(12 * PAGE, 13 * PAGE).count(), 0);
    }
}
