#![no_main]

use vhdx_rct_fuzz::targets::rct_id::{Input, run};

libfuzzer_sys::fuzz_target!(|input: Input| {
    run(&input);
});
