#![no_main]

use vhdx_rct_fuzz::targets::metadata::{Input, run};

libfuzzer_sys::fuzz_target!(|input: Input| {
    run(&input);
});
