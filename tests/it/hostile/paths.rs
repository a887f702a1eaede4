//! Parents, tables and disks that are no files, or not where they may be.

use super::bounds::*;
use crate::common::faulty::{Call, Fault, Faulty};
use crate::common::image::Image;
use crate::common::ranges;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use vhdx_rct::source::LocalStorage;
use vhdx_rct::{ChangeQuery, Error, Limit, RctId, VirtualDiskChanges};
use vhdx_rct_fixtures::pattern::Fill;
use vhdx_rct_fixtures::rct::RctBuilder;
use vhdx_rct_fixtures::vhdx::{Block, MB, ParentLocator, VhdxBuilder};

/// A folder with a child in `inside/`, and room for what its locator names.
struct Place {
    folder: tempfile::TempDir,
    parent: Image,
}

fn disk(seed: u64) -> VhdxBuilder {
    VhdxBuilder::new(4 * MB).seed(seed).disk_id(uuid::Uuid::from_u128(1))
}

impl Place {
    fn new(locator: impl FnOnce(ParentLocator) -> ParentLocator) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["inside", "outside"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let parent = Image::new(&disk(1));
        let locator = locator(ParentLocator::new(parent.at.data_write_guid));
        let child = Image::new(&disk(2).parent(locator).block(1, Block::Full(Fill(1))));
        let place = Place { folder, parent };
        child.save(&place.path("inside/disk.avhdx"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn query(&self) -> ChangeQuery {
        ChangeQuery::new(self.path("inside/disk.avhdx")).since(Limit::Allocated)
    }

    fn ask(&self, name: &str) -> Result<VirtualDiskChanges, Error> {
        let query = self.query();
        bounded(name, MEMORY, || query.run())
    }
}

fn beside() -> Place {
    Place::new(|locator| locator.relative(r".\base.vhdx"))
}

/// Makes a pipe that nobody writes to; opening one waits for ever.
fn pipe(path: &Path) -> bool {
    let made = Command::new("mkfifo").arg(path).status().is_ok_and(|status| status.success());
    if !made {
        crate::common::skip("a_pipe: mkfifo makes none here");
    }
    made
}

#[test]
fn a_parent_where_it_should_be() {
    let place = beside();
    place.parent.save(&place.path("inside/base.vhdx"));
    assert_eq!(place.ask("a parent").unwrap().ranges, ranges(&[MB..2 * MB]));
}

#[test]
fn parents_that_are_no_files() {
    type Make = fn(&Path) -> bool;
    let cases: [(&str, Make, Code); 7] = [
        ("a pipe", pipe, BAD_PARENT),
        ("a folder", |path| fs::create_dir(path).is_ok(), BAD_PARENT),
        ("zeros without end", |path| symlink("/dev/zero", path).is_ok(), BAD_PARENT),
        ("nothing", |path| symlink("/dev/null", path).is_ok(), BAD_PARENT),
        ("a link to itself", |path| symlink("base.vhdx", path).is_ok(), PARENT_NOT_FOUND),
        ("a link to nowhere", |path| symlink("gone.vhdx", path).is_ok(), PARENT_NOT_FOUND),
        ("an empty file", |path| fs::write(path, "").is_ok(), PARENT_NO_DISK),
    ];
    for (name, make, code) in cases {
        let place = beside();
        if make(&place.path("inside/base.vhdx")) {
            must_fail(name, place.ask(name), code);
        }
    }
}

#[test]
fn disks_that_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhdx");
    for (name, target) in [("zeros", "/dev/zero"), ("nothing", "/dev/null"), ("a folder", "/")] {
        symlink(target, &path).unwrap();
        let query = ChangeQuery::new(&path).since(Limit::Allocated);
        must_fail(name, bounded(name, MEMORY, || query.run()), CORRUPT);
        fs::remove_file(&path).unwrap();
    }
    if pipe(&path) {
        let query = ChangeQuery::new(&path).since(Limit::Allocated);
        must_fail("a pipe", bounded("a pipe", MEMORY, || query.run()), CORRUPT);
    }
}

#[test]
fn tables_that_are_no_files() {
    type Make = fn(&Path) -> bool;
    let cases: [(&str, Make); 3] = [
        ("a pipe", pipe),
        ("a folder", |path| fs::create_dir(path).is_ok()),
        ("zeros without end", |path| symlink("/dev/zero", path).is_ok()),
    ];
    for (name, make) in cases {
        let place = beside();
        place.parent.save(&place.path("inside/base.vhdx"));
        if make(&place.path("inside/disk.avhdx.rct")) {
            let query = place.query().since(Limit::Rct(RctId::new(uuid::Uuid::nil(), 0)));
            must_fail(name, bounded(name, MEMORY, || query.run()), CORRUPT);
        }
    }
}

/// What a stranger's file may name instead of a parent.
#[test]
fn paths_that_lead_elsewhere() {
    const UP: &str = r"..\..\..\..\..\..\..\..";
    let climbing = [format!(r"{UP}\etc\passwd"), format!("{}/etc/passwd", UP.replace('\\', "/"))];
    for path in climbing {
        let place = Place::new(|locator| locator.relative(&path));
        must_fail(&path, place.ask(&path), PARENT_NO_DISK);
        let confined = place.query().confine_to([place.path("inside")]);
        let answer = bounded(&path, MEMORY, || confined.run());
        must_fail(&path, answer, PARENT_NOT_FOUND);
    }
    let elsewhere = [
        r"\\.\PhysicalDrive0",
        r"\\.\C:",
        r"\\?\GLOBALROOT\Device\Harddisk0\Partition0",
        r"\\server\share\base.vhdx",
        r"\\?\UNC\server\share\base.vhdx",
        r"//server/share/base.vhdx",
        "/etc/passwd",
        "/dev/zero",
        r"C:\Windows\win.ini",
        "C:base.vhdx",
        "NUL",
        "base.vhdx:stream",
        "..",
        r"..\",
        ".",
        "",
        "\0",
        "base\0.vhdx",
        "\u{202E}xdhv.esab",
    ];
    for path in elsewhere {
        let place = Place::new(|l| l.relative(path).absolute(path).volume(path));
        must_fail(path, place.ask(path), PARENT_NOT_FOUND);
    }
    let long = "a".repeat(30_000);
    let place = Place::new(|locator| locator.relative(&long));
    must_fail("a long name", place.ask("a long name"), PARENT_NOT_FOUND);
    let deep = r"a\".repeat(10_000) + "b";
    let place = Place::new(|locator| locator.relative(&deep));
    must_fail("a deep path", place.ask("a deep path"), PARENT_NOT_FOUND);
}

/// Counts the files of `outside/` that are opened.
fn watched(query: ChangeQuery) -> (ChangeQuery, Faulty) {
    let hits = |call, path: &Path| call == Call::Open && path.to_str().unwrap().contains("outside");
    let storage = Faulty::new(Arc::new(LocalStorage::new()), Fault::none(hits));
    (query.storage(Arc::new(storage.clone())), storage)
}

#[test]
fn a_parent_outside_the_folders() {
    let link =
        |place: &Place| symlink(place.path("outside/base.vhdx"), place.path("inside/base.vhdx"));
    let linked = beside();
    link(&linked).unwrap();
    let linked_folder = Place::new(|locator| locator.relative(r".\folder\base.vhdx"));
    symlink("../outside", linked_folder.path("inside/folder")).unwrap();
    let named = Place::new(|locator| locator.relative(r"..\outside\base.vhdx"));
    for (name, place) in
        [("a link", linked), ("a link to a folder", linked_folder), ("a path", named)]
    {
        place.parent.save(&place.path("outside/base.vhdx"));
        assert_eq!(place.ask(name).unwrap().ranges.len(), 1, "{name}, not confined");
        let (query, storage) = watched(place.query().confine_to([place.path("inside")]));
        must_fail(name, bounded(name, MEMORY, || query.run()), PARENT_NOT_FOUND);
        assert_eq!(storage.calls(), 0, "{name}");
        // A search folder does not widen what is permitted.
        let search =
            place.query().confine_to([place.path("inside")]).parent_search([place.path("outside")]);
        let (query, storage) = watched(search);
        must_fail(name, bounded(name, MEMORY, || query.run()), PARENT_NOT_FOUND);
        assert_eq!(storage.calls(), 0, "{name}");
        let both = place.query().confine_to([place.path("inside"), place.path("outside")]);
        assert_eq!(bounded(name, MEMORY, || both.run()).unwrap().ranges.len(), 1);
    }
}

#[test]
fn confined_to_nothing() {
    let place = beside();
    place.parent.save(&place.path("inside/base.vhdx"));
    for folders in
        [vec![], vec![place.path("gone")], vec![place.path("outside")], vec![place.path("in")]]
    {
        let query = place.query().confine_to(folders);
        must_fail("confined", bounded("confined", MEMORY, || query.run()), PARENT_NOT_FOUND);
    }
}

/// The table beside a file may be opened where the file may; a link in its place may not lead
/// elsewhere, and overlooking it is no way out.
#[test]
fn a_table_outside_the_folders() {
    let place = beside();
    place.parent.save(&place.path("inside/base.vhdx"));
    let table = RctBuilder::new(4 * MB).seed(9).with(7..8, 1);
    let (branch, number) = table.current_id();
    table.write(place.path("outside/table")).unwrap();
    symlink(place.path("outside/table"), place.path("inside/base.vhdx.rct")).unwrap();
    let ask = || place.query().since(Limit::Rct(RctId::new(branch, number)));
    assert_eq!(ask().run().unwrap().ranges.len(), 2);
    let (query, storage) = watched(ask().confine_to([place.path("inside")]));
    must_fail("a table", query.run(), UNTRUSTED);
    assert_eq!(storage.calls(), 0);
    fs::remove_file(place.path("inside/base.vhdx.rct")).unwrap();
    table.write(place.path("inside/base.vhdx.rct")).unwrap();
    assert_eq!(ask().confine_to([place.path("inside")]).run().unwrap().ranges.len(), 2);
}

/// The disk asked about may lie outside, and so may its own table.
#[test]
fn a_disk_outside_the_folders() {
    let place = beside();
    let path = place.path("outside/base.vhdx");
    place.parent.save(&path);
    let table = RctBuilder::new(4 * MB).seed(9).with(7..8, 1);
    let (branch, number) = table.current_id();
    table.write(place.path("outside/base.vhdx.rct")).unwrap();
    let limit = Limit::Rct(RctId::new(branch, number));
    let query = ChangeQuery::new(&path).since(limit).confine_to([place.path("inside")]);
    assert_eq!(query.run().unwrap().ranges, ranges(&[7 << 14..8 << 14]));
}
