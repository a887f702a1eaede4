//! The `.vhds` file itself.

use super::active_name;
use crate::common::{RealImages, changes};
use vhdx_rct::{Disk, Error, ErrorKind, ReturnValue, SnapshotId};
use vhdx_rct_fixtures::rct::HeaderPlan;
use vhdx_rct_fixtures::testing::two_kept;
use vhdx_rct_fixtures::vhds::VhdsBuilder;
use vhdx_rct_fixtures::vhdx::{MB, VhdxBuilder};

#[test]
fn opens_the_real_set() {
    let Some(images) = RealImages::unpack("set", |name| name == "rsvd.vhds") else { return };
    let entry = &images.index["rsvd.vhds"];
    let active = entry["active_file"].as_str().unwrap();
    // Its active file is not there.
    let error = Disk::open(images.path("rsvd.vhds")).unwrap_err();
    assert_eq!(error.return_value(), ReturnValue::NotAvailable, "{error}");
    assert!(error.to_string().contains(active), "{error}");
    // Another file takes its place.
    VhdxBuilder::new(4 * MB).write(&images.path(active)).unwrap();
    let disk = Disk::open(images.path("rsvd.vhds")).unwrap();
    let set = disk.vhd_set().unwrap();
    assert_eq!(set.active_name(), active);
    assert_eq!(set.sequence_number(), entry["sequence"]);
    assert!(set.unknown_records().is_empty(), "{:?}", set.unknown_records());
}

#[test]
fn rejects_malformed_set_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.vhds");
    VhdxBuilder::new(4 * MB).write(&folder.path().join("x_1.avhdx")).unwrap();
    let open = |builder: VhdsBuilder| -> Result<(String, usize), Error> {
        builder.write(&path).unwrap();
        let disk = Disk::open(&path)?;
        let set = disk.vhd_set().expect("it was opened through a set");
        Ok((set.active_name().to_owned(), set.unknown_records().len()))
    };
    let good = || VhdsBuilder::new("x_1.avhdx");
    for plan in [
        HeaderPlan::Identical,
        HeaderPlan::FirstBroken,
        HeaderPlan::SecondBroken,
        HeaderPlan::FirstStale,
    ] {
        assert_eq!(open(good().headers(plan)).unwrap(), ("x_1.avhdx".into(), 0), "{plan:?}");
    }
    let kind = |builder| open(builder).err().map(|error| error.kind());
    assert_eq!(kind(good().headers(HeaderPlan::BothBroken)), Some(ErrorKind::Corrupt));
    for name in [r"..\x.avhdx", r"C:\x.avhdx", "a/b.avhdx", "x.avhdx:stream"] {
        assert_eq!(kind(VhdsBuilder::new(name)), Some(ErrorKind::Corrupt), "{name}");
    }
    assert_eq!(open(good().header_extra(0x24, &[1])).unwrap().1, 1);
    assert_eq!(open(good().data_extra(40, &[1])).unwrap().1, 1);
}

/// An id that only unread records could define is "not supported", not "unknown".
#[test]
fn reports_unknown_ids_as_not_supported_if_records_are_unread() {
    let (_directory, set, ..) = two_kept();
    let active = active_name(&set.path);
    let snapshot = SnapshotId(uuid::Uuid::from_u128(7));
    let ask = || changes(&set.path, snapshot.into()).unwrap_err();
    assert_eq!(ask().return_value(), ReturnValue::InvalidParameter);
    VhdsBuilder::new(&active).data_extra(100, b"records").write(&set.path).unwrap();
    assert_eq!(ask().return_value(), ReturnValue::NotSupported);
    assert!(ask().to_string().contains("cannot read"));
}
