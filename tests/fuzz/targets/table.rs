#![no_main]

libfuzzer_sys::fuzz_target!(
    init: {
        // The reader of tables catches what Parquet's own reader panics on and makes it an error; only other panics are finds.
        let abort = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.location().is_some_and(|place| place.file().contains("/parquet-")) {
                abort(panic);
            }
        }));
    },
    |data: &[u8]| {
        fuzz::table::run(data);
    }
);
