#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| goastgateway_fuzz::bodies::ari_texts(data));
