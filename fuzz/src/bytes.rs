//! Taking inputs apart, and putting seeds together.

/// Parses an input from its start; after its end, yields zeros.
pub struct Take<'a>(pub &'a [u8]);

impl<'a> Take<'a> {
    /// Takes at most N bytes.
    pub fn some(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let taken = self.some(N);
        out[..taken.len()].copy_from_slice(taken);
        out
    }

    pub fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fills a page with one byte but for some pieces: what [`put_page`] writes.
    pub fn page(&mut self, page: &mut [u8]) {
        page.fill(self.u8());
        for _ in 0..self.u8() {
            let (at, length) = (usize::from(self.u16()), usize::from(self.u8()));
            let piece = self.some(length);
            let Some(target) = page.get_mut(at..) else { continue };
            let fits = piece.len().min(target.len());
            target[..fits].copy_from_slice(&piece[..fits]);
        }
    }
}

/// Writes a page of at most 64 KB as [`Take::page`] reads it, as far as 255 pieces go.
pub fn put_page(out: &mut Vec<u8>, page: &[u8]) {
    let fill = page.get(64).copied().unwrap_or_default();
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    for at in (0..page.len()).filter(|&at| page[at] != fill) {
        match pieces.last_mut() {
            // A short gap costs less than another piece.
            Some((start, end)) if at - *end < 4 && at - *start < 255 => *end = at + 1,
            _ => pieces.push((at, at + 1)),
        }
    }
    pieces.truncate(255);
    out.extend([fill, pieces.len() as u8]);
    for (start, end) in pieces {
        out.extend((start as u16).to_le_bytes());
        out.push((end - start) as u8);
        out.extend(&page[start..end]);
    }
}

/// The bytes up to the last that is not zero.
pub fn without_tail(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &bytes[..end]
}
