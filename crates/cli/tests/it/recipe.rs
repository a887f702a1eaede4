//! The README's backup recipe, run as it stands there.

use std::fs;
use std::path::Path;
use std::process::Command;
use vhdx_rct_fixtures::testing::{RealImages, file_sha256, skip};

/// Returns the script of the recipe: the README's only block of bash.
fn script() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(readme).unwrap();
    let blocks: Vec<_> = text.split("```bash\n").skip(1).collect();
    assert_eq!(blocks.len(), 1, "the README should have one block of bash");
    blocks[0].split("```").next().unwrap().to_owned()
}

#[test]
fn the_backup_recipe_works_on_real_disks() {
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("the recipe needs Python");
    }
    let Some(images) = RealImages::unpack("recipe", |_| true) else { return };
    let tool = Path::new(env!("CARGO_BIN_EXE_vhdx-rct")).parent().unwrap();
    let path = format!("{}:{}", tool.display(), std::env::var("PATH").unwrap());
    let mut children = 0;
    for (name, entry) in &images.index {
        let Some(parent) = entry["parent"].as_str() else { continue };
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("copy.raw");
        // One night the parent is the disk, the next night the child is.
        for (disk, since) in [(parent, "full copy"), (name, "incremental")] {
            let mut night = Command::new("bash");
            night.args(["-euo", "pipefail", "-c", &script()]).env("PATH", &path);
            let night = night.env("DISK", images.path(disk)).env("COPY", &copy);
            let output = night.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{disk}: {text}\n{output:?}");
            assert!(text.contains(since), "{disk}: {text}");
            let expected = images.index[disk]["content_sha256"].as_str().unwrap();
            assert_eq!(file_sha256(&copy), expected, "{disk}");
        }
        children += 1;
    }
    assert!(children > 0, "no real image has a parent");
}
