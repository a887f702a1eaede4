//! The texts of RCT ids, of baselines and of snapshot ids.

use crate::ask::{check_error, checked};
use vhdx_rct::{Baseline, RctId, SnapshotId};

pub type Input<'a> = &'a str;

pub fn run(text: &Input) -> bool {
    let id = text.parse::<RctId>();
    match &id {
        Ok(id) => {
            assert!(has_form(text), "{text:?} is not an id");
            assert!(id.to_string().eq_ignore_ascii_case(text), "{text:?} was read as {id}");
            assert_eq!(id.to_string().parse::<RctId>().ok(), Some(*id));
        }
        Err(error) => {
            check_error(error);
            assert!(!has_form(text), "{text:?} is an id: {error}");
        }
    }
    let since = checked(text.parse::<Baseline>());
    if let Some(since) = &since {
        assert_eq!(since.to_string().parse::<Baseline>().as_ref().ok(), Some(since));
    }
    if let Some(id) = checked(text.parse::<SnapshotId>()) {
        assert_eq!(id.to_string().parse::<SnapshotId>().ok(), Some(id));
        assert_eq!(since, Some(Baseline::Snapshot(id)));
    }
    since.is_some()
}

/// `rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001` in any letter case.
fn has_form(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let digits = |(part, length): (&&str, usize)| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    parts.len() == 7
        && parts[0].eq_ignore_ascii_case("rctx")
        && parts[1..].iter().zip([8, 4, 4, 4, 12, 8]).all(digits)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "rctX:5bfde23b:ce75:4303:b54f:6c18394f105c:00000001",
        "RCTX:5BFDE23B:CE75:4303:B54F:6C18394F105C:FFFFFFFF",
        "rctX:5bfde23b-ce75-4303-b54f-6c18394f105c:00000001",
        "rctX:",
        "*",
        "parent",
        "dwg:{9ac15b72-2a6d-44b2-ba7c-f5f06831c74a}",
        r"file:C:\disks\base.vhdx",
        "{9ac15b72-2a6d-44b2-ba7c-f5f06831c74a}",
        "9ac15b722a6d44b2ba7cf5f06831c74a",
        "urn:uuid:9ac15b72-2a6d-44b2-ba7c-f5f06831c74a",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}
