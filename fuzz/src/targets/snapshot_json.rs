//! What PowerShell writes about a set's snapshots.
//!
//! Input: the encoding, a hint, and the text.

use super::vhds::{FROZEN, SET, ask_all, members, right_set};
use crate::ask::{checked, reading};
use crate::bytes::Take;
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::{RctId, SnapshotCatalog, SnapshotId};
use vhdx_rct_fixtures::rct::id_text;
use vhdx_rct_fixtures::vhds::{CreationTime, Encoding, JsonStyle, Snapshot, catalog_json};

pub fn run(data: &[u8]) {
    static RIGHT: LazyLock<Vec<u8>> = LazyLock::new(right_set);
    let mut input = Take(data);
    let (encoding, hint) = (input.u8(), u64::from(input.u32()));
    let text = match encoding & 1 {
        0 => input.0.to_vec(),
        _ => utf16(input.0),
    };
    let disks = members().with_bytes(SET, RIGHT.clone());
    let Some(catalog) = checked(SnapshotCatalog::from_json(&text)) else {
        // It refuses the questions about snapshots, and no others.
        let disks = disks.with_bytes(format!("{SET}.snapshots.json"), text);
        ask_all(&reading(disks.shared()), &[FROZEN], hint);
        return;
    };
    assert_eq!(SnapshotCatalog::from_json(&text).ok().as_ref(), Some(&catalog));
    for snapshot in &catalog.snapshots {
        assert_eq!(catalog.get(snapshot.id), Some(snapshot), "an id that is listed twice");
        if let Some(id) = snapshot.rct_id {
            assert_eq!(id.to_string().parse::<RctId>().expect("an id's own text"), id);
        }
    }
    let mut ids: Vec<SnapshotId> = catalog.snapshots.iter().take(1).map(|one| one.id).collect();
    ids.push(FROZEN);
    let options = match encoding & 2 {
        0 => reading(disks.with_bytes(format!("{SET}.snapshots.json"), text).shared()),
        _ => reading(disks.shared()).catalog(catalog).clone(),
    };
    ask_all(&options, &ids, hint);
}

/// The text in UTF-16LE with a mark; what is no UTF-8 becomes lone surrogates.
fn utf16(bytes: &[u8]) -> Vec<u8> {
    let units = bytes.utf8_chunks().flat_map(|chunk| {
        let broken = chunk.invalid().iter().map(|&byte| 0xD800 | u16::from(byte));
        chunk.valid().encode_utf16().chain(broken).collect::<Vec<u16>>()
    });
    std::iter::once(0xFEFF).chain(units).flat_map(u16::to_le_bytes).collect()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let one = |id: u128, path: Option<&str>, creation| Snapshot {
        id: Uuid::from_u128(id),
        path: path.map(Into::into),
        rct_id: Some(id_text(Uuid::from_u128(id + 7), 3)),
        creation,
        parents: Vec::new(),
    };
    let frozen = format!(r"C:\sets\disk_{FROZEN}.avhdx");
    let first = one(FROZEN.0.as_u128(), Some(&frozen), CreationTime::SlashDate(1_500_000_000_000));
    let mut second = one(5, None, CreationTime::Iso("2018-03-02T15:13:20.123+01:00".into()));
    second.rct_id = None;
    let mut third = one(6, Some(""), CreationTime::Iso("2018-03-02T14:13:20.123".into()));
    third.parents = vec![frozen.clone(), r"C:\sets\it's & <more>.avhdx".into()];
    let style = |pretty| JsonStyle { encoding: Encoding::Utf8, pretty, array_even_if_one: false };
    let texts = [
        (0, catalog_json(std::slice::from_ref(&first), style(false))),
        (2, catalog_json(&[first.clone(), second.clone()], style(true))),
        (1, catalog_json(&[first, third, second], style(false))),
        (0, Vec::new()),
        (0, b"\xEF\xBB\xBF[]".to_vec()),
        (0, b"\xFF\xFE[\0]\0".to_vec()),
        (
            3,
            br#"{"SnapshotId":"{00000000-0000-0000-0000-000000000001}","SnapshotPath":"",
            "CreationTime":{"value":"\/Date(0)\/","DateTime":"Thursday"},
            "ParentPathsList":"C:\\a.avhdx"}"#
                .to_vec(),
        ),
    ];
    texts.map(|(encoding, text)| [&[encoding, 9, 0, 3, 0][..], &text].concat()).into()
}
