//! Whole chains: what the builders wrote must be what is answered; and then, with some bytes
//! flipped, every question still has an end.

mod flip;
mod model;
mod plan;

use crate::ask::{ask, checked, must_be, whole};
use crate::media::{Disks, Image};
use arbitrary::{Arbitrary, Unstructured};
use flip::flipped;
use model::{Expected, Model};
use plan::{Plan, Since};
use std::ops::Range;
use vhdx_rct::{ChangeQuery, ErrorKind, Limit, RctId};
use vhdx_rct_fixtures::rng::Rng;

pub fn run(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else { return };
    // A plan that cannot be written (its log is too small for what it should hold) is none.
    let Ok(model) = model::build(&plan) else { return };
    well_formed(&plan, &model);
    if plan.flips.is_empty() {
        return;
    }
    let mut images = model.images.clone();
    for flip in plan.flips.iter().take(8) {
        flipped(flip, &model, &mut images);
    }
    let query = since(&plan, &model, query(&model, &images)).allow_unclean(true);
    let _ = whole(&query, plan.question.start.into());
    checked(query.known_ids());
}

fn query(model: &Model, images: &[(Image, Option<Image>)]) -> ChangeQuery {
    let mut disks = Disks::default();
    for ((disk, table), path) in images.iter().zip(&model.paths) {
        disks = disks.with(path, disk.clone());
        if let Some(table) = table {
            disks = disks.with(format!("{path}.rct"), table.clone());
        }
    }
    ChangeQuery::new(&model.paths[model.paths.len() - 1]).storage(disks.shared())
}

fn since(plan: &Plan, model: &Model, query: ChangeQuery) -> ChangeQuery {
    query.since(match plan.question.since {
        Since::File(index) => Limit::File(model.file(index).1.into()),
        Since::Id(index) => match model.id(index) {
            Some((branch, number)) => Limit::Rct(RctId::new(branch, number)),
            None => Limit::Allocated,
        },
        Since::Allocated => Limit::Allocated,
    })
}

/// The question, put to the files as they were written.
fn well_formed(plan: &Plan, model: &Model) {
    let question = &plan.question;
    let query = since(plan, model, query(model, &model.images));
    let query = query.allow_unclean(question.allow_unclean);
    let region = region(plan, model.size());
    let most = (question.most > 0).then_some(usize::from(question.most));
    let expected = match question.since {
        Since::File(index) => match model.file(index).0 {
            itself if itself + 1 == model.paths.len() => {
                Expected::Refused(ErrorKind::InvalidParameter)
            }
            index => Expected::Ranges(model.stack.changed_since(index)),
        },
        Since::Id(index) => match model.id(index) {
            Some(id) => model.since_id(id, question.allow_unclean),
            None => Expected::Ranges(model.stack.allocated()),
        },
        Since::Allocated => Expected::Ranges(model.stack.allocated()),
    };
    match (ask(&query, Some(region.clone()), most), expected) {
        (Ok(answer), Expected::Ranges(expected)) => {
            must_be(&answer, &expected, &region, most, &question.since);
            let all = whole(&query, question.start.into()).expect("a well-formed chain");
            must_be(&all, &expected, &(0..model.size()), None, &question.since);
        }
        (Err(error), Expected::Refused(kind)) => assert_eq!(error.kind(), kind, "{error}"),
        (Ok(_), Expected::Refused(kind)) => panic!("answered instead of {kind:?}"),
        (Err(error), _) => panic!("a well-formed chain is refused: {error}"),
    }
    content(&query, model, region.start);
}

/// Some of the disk's content, which must be what was written.
fn content(query: &ChangeQuery, model: &Model, at: u64) {
    let disk = query.clone().since(Limit::Allocated).disk().expect("a well-formed chain");
    let mut buffer = vec![0; (model.size() - at).min(16384) as usize];
    disk.read_at(&mut buffer, at).expect("inside the disk");
    assert!(buffer == model.stack.read(at, buffer.len()), "another content at {at}");
}

fn region(plan: &Plan, size: u64) -> Range<u64> {
    let place = |at: u16| u64::from(at) * (size / 0xFFFF + 1) % (size + 1);
    let (a, b) = (place(plan.question.start), place(plan.question.end));
    if a <= b { a..b } else { a..size }
}

/// Plans have no text of their own: bytes from which some come, as different as can be had
/// from few.
pub fn seeds() -> Vec<Vec<u8>> {
    let bytes = |seed: u64| -> Vec<u8> {
        let mut rng = Rng::new(seed);
        (0..40 + seed % 200).map(|_| rng.next_u64() as u8).collect()
    };
    let worth_it = |bytes: &Vec<u8>| {
        let plan = Plan::arbitrary_take_rest(Unstructured::new(bytes));
        plan.is_ok_and(|plan| plan.is_rich())
    };
    (0..).map(bytes).filter(worth_it).take(60).collect()
}
