//! Damaged files, questions about them, and checks of the answers.

use crate::malformed_input::bounds::{MEMORY, bounded};
use vhdx_rct_fixtures::vhdx::Placement;

pub use crate::common::prelude::*;

pub type Answer = Result<VirtualDiskChanges, Error>;

pub const BASE: &str = "/disks/base.vhdx";
pub const DISK: &str = "/disks/disk.avhdx";
pub const TABLE: &str = "/disks/disk.avhdx.rct";
pub const SET: &str = "/disks/set.vhds";
pub const CATALOG: &str = "/disks/set.vhds.snapshots.json";

/// The subject of an error, and the file that it names; an empty path is none.
pub type About<'a> = (Subject, &'a str);

pub const REQUEST: About = (Subject::Request, "");
pub const THE_DISK: About = (Subject::Disk, DISK);
pub const THE_PARENT: About = (Subject::Parent, BASE);
pub const THE_TABLE: About = (Subject::TrackingTable, TABLE);
pub const THE_SET: About = (Subject::VhdSet, SET);
pub const THE_CATALOG: About = (Subject::Catalog, CATALOG);

/// A name, damage to a file, the code of the refusal, and parts of its message as in [`judge`].
pub type Case = (&'static str, fn(&mut Image), Code, &'static str);

/// Damages [`single`] in each way.
#[track_caller]
pub fn refuse_single(cases: &[Case]) {
    refuse_each(THE_DISK, &Image::new(&single()), cases, ask_single);
}

/// Damages the child of [`pair`] in each way.
#[track_caller]
pub fn refuse_child(cases: &[Case]) {
    let (parent, child) = pair();
    refuse_each(THE_DISK, &child, cases, |child| ask_pair(&parent, child));
}

/// Damages a copy of the image in each way, and reports all that went wrong at once.
#[track_caller]
pub fn refuse_each(about: About, image: &Image, cases: &[Case], ask: impl Fn(Image) -> Answer) {
    let problem = |&(name, damage, code, says): &Case| {
        eprintln!("{name}");
        let mut damaged = image.clone();
        damage(&mut damaged);
        let problem = judge(ask(damaged), code, about, says).err()?;
        Some(format!("{name}: {problem}"))
    };
    let problems: Vec<String> = cases.iter().filter_map(problem).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Checks a refusal as [`judge`] does, and returns it.
#[track_caller]
pub fn must_refuse(answer: Answer, code: Code, about: About, says: &str) -> Error {
    match judge(answer, code, about, says) {
        Ok(error) => error,
        Err(problem) => panic!("{problem}"),
    }
}

/// [`must_refuse`] for one of many cases.
#[track_caller]
pub fn must_refuse_case(name: &str, answer: Answer, code: Code, about: About, says: &str) -> Error {
    match judge(answer, code, about, says) {
        Ok(error) => error,
        Err(problem) => panic!("{name}: {problem}"),
    }
}

/// Checks the code of an error, its subject and file, its source, and the parts of its message,
/// which `says` joins by " & ".
fn judge(answer: Answer, code: Code, about: About, says: &str) -> Result<Error, String> {
    let error = match answer {
        Ok(answer) => return Err(format!("accepted, with {:?}", answer.ranges)),
        Err(error) => error,
    };
    let message = error.to_string();
    let found = (error.return_value().code(), error.win32_code());
    if found != code {
        return Err(format!("expected {code:x?}, found {found:x?}: {message}"));
    }
    let path = error.path().map(|path| path.display().to_string()).unwrap_or_default();
    let found = (error.subject(), &*path);
    if found != about || !message.contains(&path) {
        return Err(format!("expected an error about {about:?}, found {found:?}: {message}"));
    }
    if !has_its_cause(&error) {
        return Err(format!("{:?} is not its cause: {error:?}", std::error::Error::source(&error)));
    }
    match says.split(" & ").find(|part| !message.contains(part)) {
        Some(part) => Err(format!("expected \"{part}\" in: {message}")),
        None => Ok(error),
    }
}

/// Returns true if an error of a parent that hides the parent's own error has that as its source,
/// and the chain of sources of a failed read ends with it.
fn has_its_cause(error: &Error) -> bool {
    use ErrorKind::{ParentAccessDenied, ParentUnusable};
    let source = std::error::Error::source(error);
    let within = source.and_then(|source| source.downcast_ref::<Error>());
    let shown = !matches!(error.kind(), ParentAccessDenied | ParentUnusable)
        || within.is_some_and(|own| own.kind() != error.kind() && own.path() == error.path());
    let sources = std::iter::successors(source, |source| source.source());
    let cause = sources.filter_map(|source| source.downcast_ref::<std::io::Error>()).next();
    shown && error.io_kind() == cause.map(std::io::Error::kind)
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

/// The changes of [`child`].
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

pub fn options(storage: Arc<dyn Storage>) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.storage(storage);
    options
}

pub fn open(storage: impl Storage + 'static, path: impl AsRef<Path>) -> Result<Disk, Error> {
    options(Arc::new(storage)).open(path)
}

/// Opens a disk and asks about all of it, and then uses it in every other way: only the answer
/// counts, but all of that has to end, in bounded time and memory.
#[track_caller]
pub fn ask(storage: impl Storage + 'static, path: impl AsRef<Path>, since: Baseline) -> Answer {
    let (options, path) = (options(Arc::new(storage)), path.as_ref().to_owned());
    bounded("a question", MEMORY, move || {
        let disk = options.open(path)?;
        let answer = disk.changes(since.clone()).collect();
        let extents = disk.changes(since).extents();
        drop(extents.and_then(|mut all| all.try_for_each(|extent| extent.map(drop))));
        let mut bytes = vec![0; disk.identity().virtual_size.min(4 * MB) as usize];
        drop((disk.read_exact_at(&mut bytes, 0), disk.check(), disk.check_tables()));
        drop((disk.next_baselines(), disk.known_ids(), disk.metadata_parts(0)));
        answer
    })
}

pub fn open_single(image: &Image) -> Result<Disk, Error> {
    open(MemoryStorage::new().with(DISK, image.bytes.clone()), DISK)
}

/// Asks for everything that a file without a parent may hold.
pub fn ask_single(image: Image) -> Answer {
    ask(MemoryStorage::new().with(DISK, image.bytes), DISK, Baseline::Allocated)
}

/// The files of a chain of two.
pub fn files(parent: &Image, child: &Image) -> MemoryStorage {
    MemoryStorage::new().with(BASE, parent.bytes.clone()).with(DISK, child.bytes.clone())
}

/// Asks for the changes of a child since its parent.
pub fn ask_pair(parent: &Image, child: Image) -> Answer {
    ask(files(parent, &child), DISK, Baseline::File(BASE.into()))
}
