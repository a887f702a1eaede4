//! Writes the seeds of every target into a directory, after checking that they get past the
//! parsers: `seeds DIRECTORY`.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let corpus = PathBuf::from(env::args().nth(1).expect("usage: seeds DIRECTORY"));
    for target in vhdx_rct_fuzz::targets::ALL {
        let directory = corpus.join(target.name);
        fs::create_dir_all(&directory)?;
        let seeds = (target.seeds)();
        let mut answered = 0;
        for (index, seed) in seeds.iter().enumerate() {
            answered += usize::from((target.run)(seed));
            fs::write(directory.join(format!("seed-{index:02}")), seed)?;
        }
        println!("{}: {answered} of {} seeds are answered", target.name, seeds.len());
        let enough = answered * 2 > seeds.len();
        assert!(enough, "expected most seeds of {} to be answered", target.name);
    }
    Ok(())
}
