//! (Re)makes the seeds of every target in `corpus`, or in the folder that is named; whatever
//! else lies there stays.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    let corpus = PathBuf::from(env::args().nth(1).unwrap_or(corpus.into()));
    for target in vhdx_rct_fuzz::targets::ALL {
        let folder = corpus.join(target.name);
        fs::create_dir_all(&folder)?;
        for old in fs::read_dir(&folder)? {
            let old = old?;
            if old.file_name().to_string_lossy().starts_with("seed-") {
                fs::remove_file(old.path())?;
            }
        }
        let seeds = (target.seeds)();
        for (index, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{index:02}")), seed)?;
        }
        let bytes: usize = seeds.iter().map(Vec::len).sum();
        println!("{}: {} seeds, {bytes} bytes", target.name, seeds.len());
    }
    Ok(())
}
