#![no_main]

use vhdx_rct_fuzz::targets::log::{Input, run};

libfuzzer_sys::fuzz_target!(|input: Input| {
    run(&input);
});
