//! The snapshot catalog that PowerShell writes.

use super::vhds::{FROZEN, SET, ask_all, members, well_formed_set};
use super::{decode, encode};
use crate::ask::{CrossCheck, checked, reading};
use arbitrary::Arbitrary;
use std::sync::LazyLock;
use uuid::Uuid;
use vhdx_rct::{RctId, SnapshotCatalog, SnapshotId};
use vhdx_rct_fixtures::rct::id_text;
use vhdx_rct_fixtures::vhds::{CreationTime, Encoding, JsonStyle, Snapshot, catalog_json};

#[derive(Arbitrary, Debug)]
pub struct Input<'a> {
    /// Encodes the text in UTF-16.
    utf16: bool,
    /// Passes the parsed catalog, instead of placing the text beside the set.
    parsed: bool,
    check: CrossCheck,
    text: &'a [u8],
}

pub fn run(input: &Input) -> bool {
    static SET_BYTES: LazyLock<Vec<u8>> = LazyLock::new(well_formed_set);
    let text = if input.utf16 { utf16(input.text) } else { input.text.to_vec() };
    let disks = members().with_bytes(SET, SET_BYTES.clone());
    let beside = format!("{SET}.snapshots.json");
    let Some(catalog) = checked(SnapshotCatalog::from_json(&text)) else {
        // It refuses the questions about snapshots, and no others.
        return ask_all(&reading(disks.with_bytes(beside, text)), &[FROZEN], &input.check);
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
    let options = match input.parsed {
        true => reading(disks).catalog(catalog).clone(),
        false => reading(disks.with_bytes(beside, text)),
    };
    ask_all(&options, &ids, &input.check)
}

/// The text in UTF-16LE with a byte order mark; bytes that are not UTF-8 become lone surrogates.
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
    let spelled_out = br#"{"SnapshotId":"{00000000-0000-0000-0000-000000000001}","SnapshotPath":"",
        "CreationTime":{"value":"\/Date(0)\/","DateTime":"Thursday"},
        "ParentPathsList":"C:\\a.avhdx"}"#;
    let texts = [
        (false, false, catalog_json(std::slice::from_ref(&first), style(false))),
        (false, true, catalog_json(&[first.clone(), second.clone()], style(true))),
        (true, false, catalog_json(&[first, third, second], style(false))),
        (false, false, Vec::new()),
        (false, false, b"\xEF\xBB\xBF[]".to_vec()),
        (false, false, b"\xFF\xFE[\0]\0".to_vec()),
        (true, true, spelled_out.to_vec()),
    ];
    let seed = |(utf16, parsed, text): (bool, bool, Vec<u8>)| {
        let bytes = [encode(&(utf16, parsed, CrossCheck::Extents)), text.clone()].concat();
        assert_eq!(decode::<Input>(&bytes).text, text);
        bytes
    };
    texts.map(seed).into()
}
