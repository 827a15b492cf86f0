#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz::logout_token::run(data);
});
