//! The branch history of a header: the ids that the table can answer for, and whether another table
//! continues it. A history is trusted only if it is consistent with the current id.

use super::header::TableHeader;
use super::layout::MAX_BRANCHES;
use super::{Branch, RctId};
use std::ops::RangeInclusive;
use uuid::Uuid;

impl TableHeader {
    /// Returns whether the history is consistent with the current id (consistent-history): it ends
    /// with the current branch, its first numbers do not decrease and do not exceed the current
    /// number, it begins at 0 unless it is full, and it contains no branch twice. A history in
    /// another order, or with last numbers instead of first ones, rarely passes.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let (Some(oldest), Some(last)) = (self.branches.first(), self.branches.last()) else {
            return false;
        };
        let mut ids: Vec<Uuid> = self.branches.iter().map(|branch| branch.id).collect();
        ids.sort_unstable();
        last.id == self.current.branch
            && last.first <= self.current.number
            && self.branches.is_sorted_by_key(|branch| branch.first)
            && (oldest.first == 0 || self.branches.len() == MAX_BRANCHES)
            && ids.is_sorted_by(|a, b| a < b)
    }

    /// Returns whether the table can answer for the id (resolve).
    ///
    /// Writes after an id of the current branch have greater numbers, wherever the branch began, so
    /// such an id needs no history. An id of an older branch does: a number after the branch's end
    /// was created in a history that this file does not share. A branch that is in the history
    /// twice may have had the same number twice, so none of its ids is resolved.
    #[must_use]
    pub fn resolves(&self, id: RctId) -> bool {
        if id.branch == self.current.branch {
            return id.number <= self.current.number && !self.has_current_twice();
        }
        self.numbers().any(|(branch, numbers)| branch == id.branch && numbers.contains(&id.number))
    }

    fn has_current_twice(&self) -> bool {
        self.branches.iter().filter(|branch| branch.id == self.current.branch).count() > 1
    }

    /// Returns the numbers of the ids that were created, for each branch, oldest branch first; all
    /// of them resolve. If the history is not consistent, nothing is known about older branches,
    /// nor about the start of the current one.
    pub(super) fn numbers(
        &self,
    ) -> impl DoubleEndedIterator<Item = (Uuid, RangeInclusive<u32>)> + use<> {
        let RctId { branch, number } = self.current;
        let numbers: Vec<_> = match self.is_consistent() {
            true => {
                let ends = self.branches.iter().skip(1).map(|next| next.first.saturating_sub(1));
                let ends = ends.chain([number]);
                let numbers = |branch: &Branch, end: u32| branch.first..=end.max(branch.first);
                self.branches.iter().zip(ends).map(|(b, end)| (b.id, numbers(b, end))).collect()
            }
            false if self.has_current_twice() => Vec::new(),
            false => vec![(branch, 0..=number)],
        };
        numbers.into_iter()
    }

    /// Returns whether the child's history begins with all of this one. Such a child was tracked
    /// from its first byte on: it inherited this table's history when it was created, at which time
    /// this table's last branch was the current one, and has continued it. `limit`, whose meaning
    /// is unknown, is not compared.
    pub(crate) fn is_continued_by(&self, child: &TableHeader) -> bool {
        let Some(last) = self.branches.last() else { return false };
        let count = self.branches.len();
        let own = self.branches.iter().map(|branch| (branch.id, branch.first));
        let theirs = child.branches.iter().map(|branch| (branch.id, branch.first));
        if last.id != self.current.branch || !own.eq(theirs.take(count)) {
            return false;
        }
        match child.branches.get(count) {
            Some(next) => self.current.number <= next.first,
            None => last.id == child.current.branch && self.current.number <= child.current.number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhdx_rct_fixtures::rng::Rng;

    fn guid(id: u128) -> Uuid {
        Uuid::from_u128(id)
    }

    fn header(history: &[(u128, u32)], current: (u128, u32)) -> TableHeader {
        let branch = |&(id, first): &(u128, u32)| Branch { id: guid(id), first, limit: 9 };
        TableHeader {
            signature: 0,
            checksum: 0,
            counter: 1,
            unknown_10: [0; 24],
            units: 1,
            current: RctId::new(guid(current.0), current.1),
            branch_count: history.len() as u16,
            new_id_flag: 0,
            branches: history.iter().map(branch).collect(),
        }
    }

    /// A disk whose checkpoints are taken and applied: the number of every unit, the history, and
    /// what was written since each id of this history.
    #[derive(Clone)]
    struct Life {
        units: Vec<u32>,
        history: Vec<(u128, u32)>,
        number: u32,
        ids: Vec<(RctId, Vec<bool>)>,
    }

    impl Life {
        fn create_id(&mut self) {
            let id = RctId::new(guid(self.history.last().unwrap().0), self.number);
            self.ids.push((id, vec![false; self.units.len()]));
        }

        fn write(&mut self, unit: usize) {
            self.units[unit] = self.number + 1;
            self.ids.iter_mut().for_each(|(_, written)| written[unit] = true);
        }
    }

    /// Returns the last state of a random disk, and every id that was created in its history or in
    /// a discarded future.
    fn live(rng: &mut Rng) -> (Life, Vec<RctId>) {
        let mut life =
            Life { units: vec![0; 6], history: vec![(100, 0)], number: 0, ids: Vec::new() };
        life.create_id();
        let (mut saved, mut all, mut branch) = (life.clone(), Vec::new(), 100);
        for _ in 0..rng.range(1..40) {
            match rng.below(8) {
                0 => saved = life.clone(),
                1 | 2 => {
                    if rng.one_in(2) {
                        life = saved.clone();
                    }
                    branch += 1;
                    life.number += 1;
                    life.history.push((branch, life.number));
                    life.create_id();
                }
                3 => {
                    life.number += 1;
                    life.create_id();
                }
                _ => life.write(rng.below(6) as usize),
            }
            all.extend(life.ids.iter().map(|(id, _)| *id));
        }
        (life, all)
    }

    type Kept = fn(&Life) -> Vec<(u128, u32)>;

    /// The possible forms of a history, after the assumed one: newest first, without the current
    /// branch, with last numbers instead of first ones.
    const KEPT: [Kept; 4] = [
        |life| life.history.clone(),
        |life| life.history.iter().rev().copied().collect(),
        |life| life.history[..life.history.len() - 1].to_vec(),
        |life| {
            let firsts = life.history.iter().skip(1).map(|(_, first)| first - 1);
            let ids = life.history.iter().map(|(id, _)| *id);
            ids.zip(firsts.chain([life.number])).collect()
        },
    ];

    #[test]
    fn resolves_no_id_with_a_range_missing_in_any_form_of_history() {
        let mut refused = [0; KEPT.len()];
        for seed in 0..3000 {
            let (life, all) = live(&mut Rng::new(seed));
            let current = *life.history.last().unwrap();
            for (way, kept) in KEPT.iter().enumerate() {
                let header = header(&kept(&life), (current.0, life.number));
                let ends_at_0 = life.history.get(1).is_some_and(|(_, first)| *first == 1);
                if way == 3 && ends_at_0 {
                    // Last numbers that begin with 0 are indistinguishable from first ones.
                    continue;
                }
                for id in &all {
                    let written = life.ids.iter().find(|(own, _)| own == id);
                    let resolves = header.resolves(*id);
                    refused[way] += u32::from(!resolves && written.is_some());
                    if !resolves {
                        continue;
                    }
                    let (_, written) = written.unwrap_or_else(|| {
                        panic!("seed {seed}: {id} is of another life: {header:?}")
                    });
                    let newer = life.units.iter().map(|&found| found > id.number);
                    let lacks = newer.zip(written).any(|(newer, written)| *written && !newer);
                    assert!(!lacks, "seed {seed}: {id}, {header:?}");
                }
            }
        }
        assert_eq!(refused[0], 0, "an id that this life has had is refused");
        assert!(refused[1..].iter().all(|&count| count > 1000), "{refused:?}");
    }

    /// Implements the documented rules literally, one entry and number at a time.
    fn model(header: &TableHeader, id: RctId) -> bool {
        let of = |i: usize| &header.branches[i];
        let count = header.branches.len();
        let times = |id: Uuid| (0..count).filter(|&i| of(i).id == id).count();
        if id.number > header.current.number {
            return false;
        }
        if id.branch == header.current.branch {
            return times(id.branch) <= 1;
        }
        let is_consistent = of(count - 1).id == header.current.branch
            && (1..count).all(|i| of(i - 1).first <= of(i).first)
            && (of(0).first == 0 || count == 511)
            && of(count - 1).first <= header.current.number
            && (0..count).all(|i| times(of(i).id) == 1);
        is_consistent
            && (0..count - 1).any(|i| {
                let end = i64::from(of(i + 1).first) - 1;
                let (first, number) = (i64::from(of(i).first), i64::from(id.number));
                of(i).id == id.branch && first <= number && number <= end.max(first)
            })
    }

    #[test]
    fn resolves_random_histories_as_the_model_does() {
        let (mut consistent, mut answered) = (0, 0);
        for seed in 0..20_000 {
            let rng = &mut Rng::new(seed);
            let mut history: Vec<(u128, u32)> =
                (0..rng.range(1..6)).map(|i| (i.into(), rng.below(9) as u32)).collect();
            if rng.one_in(2) {
                history.sort_by_key(|(_, first)| *first);
                history[0].1 = 0;
            }
            if rng.one_in(4) {
                history[0].0 = u128::from(rng.below(6));
            }
            let last = history.last().unwrap().0;
            let current = (if rng.one_in(4) { rng.below(6).into() } else { last }, rng.below(12));
            let header = header(&history, (current.0, current.1 as u32));
            consistent += u32::from(header.is_consistent());
            let listed: Vec<_> = header.numbers().collect();
            for id in (0..7).flat_map(|id| (0..13).map(move |n| RctId::new(guid(id), n))) {
                assert_eq!(header.resolves(id), model(&header, id), "seed {seed}: {id} {header:?}");
                answered += u32::from(header.resolves(id));
                let is_listed = listed
                    .iter()
                    .any(|(b, numbers)| *b == id.branch && numbers.contains(&id.number));
                // Only ids before the current branch's first one, which do not exist.
                let began = history.last().unwrap().1;
                let is_odd = header.is_consistent() && id.branch == header.current.branch;
                let may_lack = is_odd && id.number < began;
                assert_eq!(is_listed || may_lack, header.resolves(id), "seed {seed}: {id}");
            }
        }
        assert!(consistent > 4000 && answered > 100_000, "{consistent}, {answered}");
    }

    #[test]
    fn accepts_a_full_history_that_begins_after_0() {
        let full: Vec<(u128, u32)> = (0..511_u32).map(|i| (i.into(), 7 + i)).collect();
        assert!(header(&full, (510, 600)).is_consistent());
        assert!(!header(&full[..510], (509, 600)).is_consistent());
        assert!(!header(&[], (0, 0)).is_consistent());
    }

    #[test]
    fn detects_a_child_that_continues_its_parent() {
        type Case = (&'static [(u128, u32)], (u128, u32));
        let parent = header(&[(1, 0), (2, 5)], (2, 8));
        let children: [(Case, bool); 12] = [
            ((&[(1, 0), (2, 5)], (2, 8)), true),
            ((&[(1, 0), (2, 5)], (2, 9)), true),
            ((&[(1, 0), (2, 5)], (2, 7)), false),
            ((&[(1, 0), (2, 5)], (3, 9)), false),
            ((&[(1, 0), (2, 5), (3, 8)], (3, 8)), true),
            ((&[(1, 0), (2, 5), (3, 9), (4, 9)], (4, 12)), true),
            ((&[(1, 0), (2, 5), (3, 7)], (3, 9)), false),
            ((&[(1, 0), (2, 6)], (2, 9)), false),
            ((&[(1, 0), (3, 5)], (3, 9)), false),
            ((&[(2, 5), (1, 0)], (2, 9)), false),
            ((&[(1, 0)], (1, 9)), false),
            ((&[], (2, 9)), false),
        ];
        for ((history, current), continues) in children {
            let child = header(history, current);
            assert_eq!(parent.is_continued_by(&child), continues, "{child:?}");
        }
        assert!(!header(&[], (2, 8)).is_continued_by(&parent));
        assert!(!header(&[(1, 0), (2, 5)], (1, 4)).is_continued_by(&parent));
        assert!(!header(&[(1, 0)], (2, 4)).is_continued_by(&parent));
        // The limit is ignored.
        let mut other = parent.clone();
        other.branches[0].limit = 1;
        assert!(parent.is_continued_by(&other));
    }
}
