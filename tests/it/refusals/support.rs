//! Files that are damaged in one place, what is asked about them, and how answers are judged.

use crate::common::image::Image;
use crate::common::memory::Memory;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;
use vhdx_rct::{ByteRange, ChangeQuery, Error, Limit, VirtualDiskChanges};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::vhdx::{Block, HeaderPlan, MB, ParentLocator, Placement, VhdxBuilder};

pub use crate::common::codes::*;
pub use crate::common::disks::{single, single_allocated};

pub type Answer = Result<VirtualDiskChanges, Error>;

pub const BASE: &str = "/disks/base.vhdx";
pub const DISK: &str = "/disks/disk.avhdx";

/// One way to damage a file, and what has to come of it.
pub struct Case {
    pub name: &'static str,
    pub damage: fn(&mut Image),
    pub code: Code,
    /// What the message says besides the file's name.
    pub says: &'static [&'static str],
}

pub const fn case(
    name: &'static str,
    damage: fn(&mut Image),
    code: Code,
    says: &'static [&'static str],
) -> Case {
    Case { name, damage, code, says }
}

/// Damages a copy of the image in each way; tells of all that went wrong at once.
pub fn refuse_each(image: &Image, cases: &[Case], ask: impl Fn(Image) -> Answer) {
    let problems: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let mut damaged = image.clone();
            (case.damage)(&mut damaged);
            let problem = judge(ask(damaged), case.code, DISK, case.says).err()?;
            Some(format!("{}: {problem}", case.name))
        })
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The one refusal that is right: its code, the file it is about, the words.
#[track_caller]
pub fn must_refuse(answer: Answer, code: Code, file: &str, says: &[&str]) {
    if let Err(problem) = judge(answer, code, file, says) {
        panic!("{problem}");
    }
}

fn judge(answer: Answer, code: Code, file: &str, says: &[&str]) -> Result<(), String> {
    let error = match answer {
        Ok(answer) => return Err(format!("accepted, with {:?}", answer.ranges)),
        Err(error) => error,
    };
    let message = error.to_string();
    let found = (error.return_value().code(), error.win32_code());
    if found != code {
        return Err(format!("{found:x?} instead of {code:x?}: {message}"));
    }
    let path = error.path().map(|path| path.display().to_string());
    let named = error.path() == Some(Path::new(file)) && path.is_some_and(|p| message.contains(&p));
    if !file.is_empty() && !named {
        return Err(format!("{file} is not named, {:?} is: {message}", error.path()));
    }
    match says.iter().find(|word| !message.contains(**word)) {
        Some(word) => Err(format!("\"{word}\" is not in: {message}")),
        None => Ok(()),
    }
}

/// A parent of 4 MB with data in its first block.
pub fn parent() -> VhdxBuilder {
    VhdxBuilder::new(4 * MB)
        .seed(2)
        .headers(HeaderPlan::Identical)
        .disk_id(Uuid::from_u128(0xD15C))
        .block(0, Block::Full(Fill(3)))
}

/// A child of [`parent`], without the locator: some sectors, and a whole block.
pub fn child() -> VhdxBuilder {
    VhdxBuilder::new(4 * MB)
        .seed(3)
        .headers(HeaderPlan::Identical)
        .disk_id(Uuid::from_u128(0xD15C))
        .block(0, Block::Partial { sectors: vec![8..24, 100..101], fill: Fill(4) })
        .block(2, Block::Full(Fill(5)))
}

pub fn child_of(parent: &Placement) -> VhdxBuilder {
    child().parent(locator(parent))
}

pub fn locator(parent: &Placement) -> ParentLocator {
    ParentLocator::new(parent.data_write_guid).relative(r".\base.vhdx")
}

/// What [`child`] changed.
pub fn child_changes() -> Vec<ByteRange> {
    changes(&[4096..12288, 51200..51712, 2 * MB..3 * MB])
}

pub fn changes(ranges: &[std::ops::Range<u64>]) -> Vec<ByteRange> {
    crate::common::ranges(ranges)
}

/// [`parent`] and [`child_of`] it.
pub fn pair() -> (Image, Image) {
    let parent = Image::new(&parent());
    let child = Image::new(&child_of(&parent.at));
    (parent, child)
}

pub fn query(files: Memory, disk: &str, limit: Limit) -> ChangeQuery {
    ChangeQuery::new(disk).since(limit).storage(Arc::new(files))
}

/// Everything that a file without a parent may hold.
pub fn ask_single(image: Image) -> Answer {
    query(Memory::default().with(DISK, image.bytes), DISK, Limit::Allocated).run()
}

/// What a child changed since its parent.
pub fn ask_pair(parent: &Image, child: Image) -> Answer {
    let files = Memory::default().with(BASE, parent.bytes.clone()).with(DISK, child.bytes);
    query(files, DISK, Limit::File(BASE.into())).run()
}
