//! The disk that damage is done to.

use super::ranges;
use vhdx_rct::ByteRange;
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{Block, HeaderPlan, MB, VhdxBuilder};

/// A disk of 4 MB without a parent: data, zeros, data, nothing.
pub fn single() -> VhdxBuilder {
    VhdxBuilder::new(4 * MB)
        .seed(1)
        .headers(HeaderPlan::Identical)
        .block(0, Block::Full(Fill(1)))
        .block(1, Block::Zero { anchor: None })
        .block(2, Block::Full(Fill(2)))
}

/// What of [`single`] may hold data.
pub fn single_allocated() -> Vec<ByteRange> {
    ranges(&[0..MB, 2 * MB..3 * MB])
}
