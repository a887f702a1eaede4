//! Whole chains: an answer must be what the builders wrote; and with some bytes changed, every
//! question still ends.

mod model;
mod place;
mod plan;

use super::encode;
use crate::ask::{ask, check_answer, open, reading, whole};
use crate::media::{Disks, Image};
use arbitrary::{Arbitrary, Unstructured};
use model::Model;
use place::apply;
use plan::{Plan, Question, Since};
use std::ops::Range;
use vhdx_rct::{Baseline, Disk, Error, ErrorKind, RctId};
use vhdx_rct_fixtures::rng::Rng;

pub type Input = Plan;

pub fn run(plan: &Input) -> bool {
    // Some plans cannot be written: the log is too small for its entries.
    let Ok(model) = model::build(plan) else { return false };
    let answered = well_formed(plan, &model);
    if !plan.patches.is_empty() {
        let mut images = model.images.clone();
        for (file, place, patch) in plan.patches.iter().take(8) {
            apply(patch, *place, &model, &mut images, *file);
        }
        if let Ok(disk) = opened(&model, &images, true) {
            let _ = whole(&disk, &since(plan, &model), &plan.question.check);
        }
    }
    answered
}

fn opened(
    model: &Model,
    images: &[(Image, Option<Image>)],
    allow_unclean: bool,
) -> Result<Disk, Error> {
    let mut disks = Disks::default();
    for ((disk, table), path) in images.iter().zip(&model.paths) {
        disks = disks.with(path, disk.clone());
        if let Some(table) = table {
            disks = disks.with(format!("{path}.rct"), table.clone());
        }
    }
    let mut options = reading(disks);
    open(options.allow_unclean(allow_unclean), &model.paths[model.paths.len() - 1])
}

fn since(plan: &Plan, model: &Model) -> Baseline {
    match plan.question.since {
        Since::File(index) => Baseline::File(model.file(index).1.into()),
        Since::Id(index) => match model.id(index) {
            Some((branch, number)) => Baseline::Rct(RctId::new(branch, number)),
            None => Baseline::Allocated,
        },
        Since::Allocated => Baseline::Allocated,
    }
}

/// Asks the question about the files as they were written, and returns whether it is answered.
fn well_formed(plan: &Plan, model: &Model) -> bool {
    let question = &plan.question;
    let since = since(plan, model);
    let disk = opened(model, &model.images, question.allow_unclean).expect("a well-formed chain");
    let region = region(plan, model.size());
    let max_ranges = (question.max_ranges > 0).then_some(usize::from(question.max_ranges));
    let expected = expected(&plan.question, model);
    let answer = ask(&disk, &since, Some(region.clone()), max_ranges);
    let answered = answer.is_ok();
    match (answer, expected) {
        (Ok(answer), Ok(expected)) => {
            check_answer(&answer, &expected, &region, max_ranges, &question.since);
            let all = whole(&disk, &since, &question.check).expect("a well-formed chain");
            check_answer(&all, &expected, &(0..model.size()), None, &question.since);
        }
        (Err(error), Err(kind)) => assert_eq!(error.kind(), kind, "{error}"),
        (Ok(_), Err(kind)) => panic!("since {since} is not refused with {kind:?}"),
        (Err(error), Ok(_)) => panic!("a well-formed chain is refused: {error}"),
    }
    if question.allow_unclean || model.unclean_parent().is_none() {
        content(&disk, model, region.start);
    }
    answered
}

/// The required answer, or the kind of error.
fn expected(question: &Question, model: &Model) -> Result<Vec<Range<u64>>, ErrorKind> {
    // Such a parent and what lies below it are not opened.
    let refused = model.unclean_parent().filter(|_| !question.allow_unclean);
    match question.since {
        Since::File(index) => match model.file(index).0 {
            file if file + 1 == model.paths.len() => Err(ErrorKind::InvalidParameter),
            file if refused.is_some_and(|refused| file <= refused) => {
                Err(ErrorKind::ParentNotFrozen)
            }
            file => Ok(model.stack.changed_since(file)),
        },
        _ if refused.is_some() => Err(ErrorKind::ParentNotFrozen),
        Since::Id(index) => match model.id(index) {
            Some(id) => model.since_id(id, question.allow_unclean),
            None => Ok(model.stack.allocated()),
        },
        Since::Allocated => Ok(model.stack.allocated()),
    }
}

/// Checks that some of the disk's content is what was written.
fn content(disk: &Disk, model: &Model, at: u64) {
    let mut buffer = vec![0; (model.size() - at).min(16384) as usize];
    disk.read_exact_at(&mut buffer, at).expect("inside the disk");
    assert!(buffer == model.stack.read(at, buffer.len()), "another content at {at}");
}

fn region(plan: &Plan, size: u64) -> Range<u64> {
    let place = |at: u16| u64::from(at) * (size / 0xFFFF + 1) % (size + 1);
    let (a, b) = (place(plan.question.start), place(plan.question.end));
    if a <= b { a..b } else { a..size }
}

/// Random plans that use every part of a plan.
pub fn seeds() -> Vec<Vec<u8>> {
    let plan = |seed: u64| {
        let mut rng = Rng::new(seed);
        let bytes: Vec<u8> = (0..40 + seed % 200).map(|_| rng.next_u64() as u8).collect();
        Plan::arbitrary_take_rest(Unstructured::new(&bytes)).ok()
    };
    (0..).filter_map(plan).filter(Plan::is_rich).take(60).map(|plan| encode(&plan)).collect()
}
