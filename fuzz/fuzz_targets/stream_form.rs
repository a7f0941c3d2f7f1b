#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| goastgateway_fuzz::bodies::stream_form(data));
