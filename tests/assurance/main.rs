//! The fuzzers' bodies in stable Rust: every seed, and for a moment random changes to them.
//!
//! Coverage-guided runs are `script/soak --fuzz MINUTES`; this is what every run of the tests
//! gets. `FUZZ_SECONDS` (default 1) is the time of one body, `FUZZ_SEED` repeats a run.

#[path = "../../fuzz/src/bodies.rs"]
mod bodies;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

/// Longest input; the fuzzers' own is the same.
const MAX_INPUT: usize = 4096;

/// A generator that needs no library: xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n.max(1)
    }
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no seeds for {name}");
    files.iter().map(|file| fs::read(file).expect("a seed")).collect()
}

/// A few of what fuzzers do to an input.
fn change(input: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(8) {
            0 => input.insert(at, random.next() as u8),
            1 if at < input.len() => input[at] = random.next() as u8,
            2 if at < input.len() => input[at] ^= 1 << random.below(8),
            3 if at < input.len() => {
                let end = input.len().min(at + 1 + random.below(16));
                input.drain(at..end);
            }
            4 => {
                let end = input.len().min(at + 1 + random.below(64));
                let piece = input[at..end].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            5 => {
                let other = &others[random.below(others.len())];
                let from = random.below(other.len() + 1);
                let end = other.len().min(from + 1 + random.below(64));
                input.splice(at..at, other[from..end].iter().copied());
            }
            6 => {
                let many: Vec<u8> = (0..random.below(48)).map(|_| random.next() as u8).collect();
                input.splice(at..at, many);
            }
            _ => input.truncate(at.max(1)),
        }
    }
    input.truncate(MAX_INPUT);
}

/// Runs a body over its seeds and their changes; a failure shows the input.
fn run(name: &str) {
    let (_, body) = bodies::BODIES.iter().find(|(n, _)| *n == name).expect("a body");
    let number = |key: &str| std::env::var(key).ok().and_then(|value| value.parse::<u64>().ok());
    let time = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(1));
    let clock =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |t| t.as_nanos());
    let seed = number("FUZZ_SEED").unwrap_or(clock as u64) | 1;
    let mut random = Random(seed);
    let seeds = seeds(name);
    let attempt = |input: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| body(input))).is_err() {
            panic!("{name}, FUZZ_SEED={seed}: \"{}\"", input.escape_ascii());
        }
    };
    seeds.iter().for_each(|seed| attempt(seed));
    let began = Instant::now();
    let mut runs = 0u64;
    while began.elapsed() < time {
        for _ in 0..64 {
            let mut input = seeds[random.below(seeds.len())].clone();
            change(&mut input, &seeds, &mut random);
            attempt(&input);
            runs += 1;
        }
    }
    println!("{name}: {} seeds, {runs} changes", seeds.len());
}

macro_rules! bodies {
    ($($test:ident $name:literal;)*) => {
        $(#[test] fn $test() { run($name); })*

        #[test]
        fn every_body_is_a_test_and_a_fuzz_target() {
            let tested = [$($name),*];
            let manifest = include_str!("../../fuzz/Cargo.toml");
            for (name, _) in bodies::BODIES {
                assert!(tested.contains(&name), "{name} has no test");
                assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} has no target");
            }
        }
    };
}

bodies! {
    any_bytes_of_the_manager_are_packets_or_an_error "manager";
    any_text_of_asterisk_is_an_event_or_an_error "asterisk_events";
    any_text_of_a_phone_is_a_word_or_nothing "phone_text";
    any_settings_are_a_configuration_or_problems_with_remedies "config_file";
    any_groups_can_be_hunted_or_are_refused "groups_file";
    any_token_is_refused_or_holds "token";
    any_pattern_compiles_or_says_why "exten_pattern";
    nobody_is_believed_but_a_trusted_proxy "forwarded_for";
    no_byte_of_audio_is_lost_in_framing "framer";
    any_bytes_on_a_socket_give_messages_and_one_end "wire";
    any_frames_are_heard_the_same_however_they_are_cut "ws";
    any_inputs_give_a_call_one_ending "call";
    any_answers_end_a_hunt "hunt";
    every_call_that_a_phone_was_told_of_ends_for_it_once "session";
    any_text_is_a_message_of_the_phone_protocol_or_none "phone_v1";
    audio_is_never_too_far_ahead_and_every_frame_is_counted "pacer";
    any_text_is_a_time_a_cursor_a_profile_or_nothing "record_texts";
    any_text_of_ari_is_an_event_a_channel_or_nothing "ari_texts";
    an_event_sends_audio_to_who_is_on_the_list_or_nowhere "audiofork";
    any_json_is_a_stream_or_all_that_is_wrong_with_it "stream_form";
}
