#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::model::prepare(), |data: &[u8]| {
    fuzz::model::run(data);
});
