//! Catalogs in every format that PowerShell writes, and malformed ones.

use vhdx_rct::{ErrorKind, SnapshotCatalog, SnapshotId};
use vhdx_rct_fixtures::vhds::{CreationTime, Encoding, JsonStyle, Snapshot as Entry, catalog_json};

#[test]
fn reads_catalogs_in_every_powershell_format() {
    let (id, path) = (uuid::Uuid::from_u128(1), r"C:\sets\disk_1.avhdx");
    let rct = "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001";
    let times = [
        CreationTime::SlashDate(1_520_000_000_123),
        CreationTime::Iso("2018-03-02T14:13:20.1230000Z".into()),
        CreationTime::Iso("2018-03-02T15:13:20.123+01:00".into()),
        CreationTime::Iso("2018-03-02T14:13:20.123".into()),
    ];
    for creation in times {
        let parents = vec![r"C:\sets\disk_0.avhdx".into()];
        let entry =
            Entry { id, path: Some(path.into()), rct_id: Some(rct.into()), creation, parents };
        for encoding in [Encoding::Utf8, Encoding::Utf8Bom, Encoding::Utf16LeBom] {
            for (array_even_if_one, pretty) in
                [(true, true), (true, false), (false, true), (false, false)]
            {
                let style = JsonStyle { array_even_if_one, encoding, pretty };
                let bytes = catalog_json(std::slice::from_ref(&entry), style);
                let read = SnapshotCatalog::from_json(&bytes).unwrap();
                let snapshot = read.get(SnapshotId(id)).unwrap();
                assert_eq!(snapshot.path.as_deref(), Some(path));
                assert_eq!(snapshot.rct_id.unwrap().to_string(), rct);
                assert_eq!(snapshot.parents, entry.parents, "{:?}", entry.creation);
            }
        }
    }
    assert!(SnapshotCatalog::from_json(b"").unwrap().snapshots.is_empty());
    let wrapped = br#"{"SnapshotId":"{00000000-0000-0000-0000-000000000001}","SnapshotPath":"",
        "CreationTime":{"value":"\/Date(0)\/","DateTime":"Thursday"},"ParentPathsList":"C:\\a.avhdx"}"#;
    let read = SnapshotCatalog::from_json(wrapped).unwrap();
    let snapshot = read.get(SnapshotId(id)).unwrap();
    assert_eq!(snapshot.path, None);
    assert_eq!(snapshot.parents, [r"C:\a.avhdx"]);
}

#[test]
fn rejects_malformed_catalogs() {
    let id = r#""SnapshotId":"00000000-0000-0000-0000-000000000001""#;
    let cases: [(Vec<u8>, ErrorKind); 8] = [
        (b"[".to_vec(), ErrorKind::Corrupt),
        (b"{}".to_vec(), ErrorKind::Corrupt),
        (br#"{"SnapshotId":"x"}"#.to_vec(), ErrorKind::MalformedId),
        (format!(r#"[{{{id}}},{{{id}}}]"#).into_bytes(), ErrorKind::Corrupt),
        (
            format!(r#"{{{id},"ResilientChangeTrackingId":"rctX:0"}}"#).into_bytes(),
            ErrorKind::MalformedId,
        ),
        (format!(r#"{{{id},"ParentPathsList":[1]}}"#).into_bytes(), ErrorKind::Corrupt),
        (vec![0xFF, 0xFE, 0x00, 0xD8], ErrorKind::Corrupt),
        ("[".repeat(1 << 20).into_bytes(), ErrorKind::Corrupt),
    ];
    for (bytes, kind) in cases {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert_eq!(SnapshotCatalog::from_json(&bytes).unwrap_err().kind(), kind, "{start}");
    }
}
