#![no_main]

use vhdx_rct_fuzz::targets::rct::{Input, run};

libfuzzer_sys::fuzz_target!(|input: Input| {
    run(&input);
});
