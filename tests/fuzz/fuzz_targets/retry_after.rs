#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| age_oauth::testing::retry_after(input));
