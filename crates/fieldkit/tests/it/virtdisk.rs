//! The structures that the script hands to virtdisk.dll, held against those that virtdisk.h
//! declares, as Microsoft documents them, laid out by a compiler. Pointers have 64 bits on every
//! host.
#![allow(dead_code)] // fields are there for their places

use super::kit::script;
use std::mem::{offset_of, size_of};

type Guid = [u32; 4];

#[repr(C)]
struct StorageType(u32, Guid);

#[repr(C)]
struct Open2 {
    version: i32,
    get_info_only: i32,
    read_only: i32,
    resiliency_guid: Guid,
    snapshot_id: Guid, // of version 3
}

#[repr(C)]
struct Create4 {
    version: i32,
    body: Create4Body,
}

#[repr(C)]
struct Create4Body {
    unique_id: Guid,
    maximum_size: u64,
    block_size: u32,
    sector_size: u32,
    physical_sector_size: u32,
    parent_path: u64,
    source_path: u64,
    open_flags: u32,
    parent_type: StorageType,
    source_type: StorageType,
    resiliency_guid: Guid,
    source_limit_path: u64,
    backing_type: StorageType,
    pmem_type: Guid,
    data_alignment: u64,
}

#[repr(C)]
struct SetInfo {
    version: i32,
    body: SetInfoBody,
}

/// The largest member has a GUID and a pointer.
#[repr(C)]
union SetInfoBody {
    change_tracking_enabled: i32,
    parent_locator: (Guid, u64),
}

#[repr(C)]
struct Merge2(i32, u32, u32);

/// A structure of the script: its name, its size, and where each field stands.
type Layout = (&'static str, usize, Vec<(&'static str, usize)>);

fn layouts() -> Vec<Layout> {
    let body = offset_of!(Create4, body);
    vec![
        (
            "OpenParameters",
            size_of::<Open2>(),
            vec![
                ("Version", offset_of!(Open2, version)),
                ("First", offset_of!(Open2, get_info_only)),
                ("ReadOnly", offset_of!(Open2, read_only)),
                ("ResiliencyGuid", offset_of!(Open2, resiliency_guid)),
            ],
        ),
        (
            "CreateParameters",
            size_of::<Create4>(),
            vec![
                ("Version", offset_of!(Create4, version)),
                ("UniqueId", body + offset_of!(Create4Body, unique_id)),
                ("MaximumSize", body + offset_of!(Create4Body, maximum_size)),
                ("BlockSizeInBytes", body + offset_of!(Create4Body, block_size)),
                ("SectorSizeInBytes", body + offset_of!(Create4Body, sector_size)),
                ("PhysicalSectorSizeInBytes", body + offset_of!(Create4Body, physical_sector_size)),
                ("ParentPath", body + offset_of!(Create4Body, parent_path)),
                ("SourcePath", body + offset_of!(Create4Body, source_path)),
                ("OpenFlags", body + offset_of!(Create4Body, open_flags)),
                ("ParentType", body + offset_of!(Create4Body, parent_type)),
                ("SourceType", body + offset_of!(Create4Body, source_type)),
                ("ResiliencyGuid", body + offset_of!(Create4Body, resiliency_guid)),
            ],
        ),
        (
            "SetInfo",
            size_of::<SetInfo>(),
            vec![
                ("Version", offset_of!(SetInfo, version)),
                ("ChangeTrackingEnabled", offset_of!(SetInfo, body)),
            ],
        ),
        (
            "MergeParameters",
            size_of::<Merge2>(),
            vec![("Version", offset_of!(Merge2, 0)), ("MergeDepth", offset_of!(Merge2, 1))],
        ),
    ]
}

#[test]
fn the_scripts_structures_are_laid_out_as_a_compiler_does() {
    let script = script();
    for (name, size, fields) in layouts() {
        let (before, after) = script.split_once(&format!("public struct {name}\n")).unwrap();
        let layout = before.trim_end().lines().last().unwrap();
        assert!(
            layout.contains(&format!("LayoutKind.Explicit, Size = {size})")),
            "{name}: {layout}"
        );
        let (inside, _) = after.split_once("    }\n").unwrap();
        let found: Vec<(&str, usize)> = inside
            .lines()
            .filter_map(|line| line.trim().strip_prefix("[FieldOffset(")?.split_once(")]"))
            .map(|(at, rest)| {
                (rest.trim_end_matches(';').rsplit(' ').next().unwrap(), at.parse().unwrap())
            })
            .collect();
        assert_eq!(found, fields, "{name}");
    }
}
