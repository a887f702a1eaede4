#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vhdx_rct_fuzz::targets::vhds::run(data));
