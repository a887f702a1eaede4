//! The `.vhds` file itself.

use crate::common::RealImages;
use vhdx_rct::vhd_set::VhdSet;
use vhdx_rct::{ChangeQuery, ErrorKind, Limit, ReturnValue};
use vhdx_rct_fixtures::rct::HeaderPlan;
use vhdx_rct_fixtures::testing::two_kept;
use vhdx_rct_fixtures::vhds::VhdsBuilder;

#[test]
fn the_real_set_opens() {
    let Some(images) = RealImages::unpack("set", |name| name == "rsvd.vhds") else { return };
    let set = VhdSet::open(images.path("rsvd.vhds")).unwrap();
    assert_eq!(set.active_name(), images.index["rsvd.vhds"]["active_file"].as_str().unwrap());
    assert_eq!(set.sequence_number(), images.index["rsvd.vhds"]["sequence"]);
    assert!(set.unknown_records().is_empty(), "{:?}", set.unknown_records());
    // Its active file is not there.
    let error =
        ChangeQuery::new(images.path("rsvd.vhds")).since(Limit::Allocated).run().unwrap_err();
    assert_eq!(error.return_value(), ReturnValue::NotAvailable, "{error}");
}

#[test]
fn set_files_that_break_the_format_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.vhds");
    let open = |builder: VhdsBuilder| {
        builder.write(&path).unwrap();
        VhdSet::open(&path)
    };
    let good = || VhdsBuilder::new("x_1.avhdx");
    for plan in [
        HeaderPlan::Identical,
        HeaderPlan::FirstBroken,
        HeaderPlan::SecondBroken,
        HeaderPlan::FirstStale,
    ] {
        assert_eq!(open(good().headers(plan)).unwrap().active_name(), "x_1.avhdx", "{plan:?}");
    }
    let kind = |builder| open(builder).err().map(|error| error.kind());
    assert_eq!(kind(good().headers(HeaderPlan::BothBroken)), Some(ErrorKind::Corrupt));
    for name in [r"..\x.avhdx", r"C:\x.avhdx", "a/b.avhdx", "x.avhdx:stream"] {
        assert_eq!(kind(VhdsBuilder::new(name)), Some(ErrorKind::Corrupt), "{name}");
    }
    assert_eq!(open(good().header_extra(0x24, &[1])).unwrap().unknown_records().len(), 1);
    assert_eq!(open(good().data_extra(40, &[1])).unwrap().unknown_records().len(), 1);
}

/// An id that only unread records could tell of is "not supported", not "unknown".
#[test]
fn unread_records_are_named_where_they_matter() {
    let (_directory, set, ..) = two_kept();
    let active = VhdSet::open(&set.path).unwrap().active_name().to_owned();
    let ask = || {
        ChangeQuery::new(&set.path)
            .since(Limit::Snapshot(uuid::Uuid::from_u128(7)))
            .run()
            .unwrap_err()
    };
    assert_eq!(ask().return_value(), ReturnValue::InvalidParameter);
    VhdsBuilder::new(&active).data_extra(100, b"records").write(&set.path).unwrap();
    assert_eq!(ask().return_value(), ReturnValue::NotSupported);
    assert!(ask().to_string().contains("cannot read"));
}
