//! `random SECONDS [SEED [FIRST]]`: every target on random bytes, taking turns, from a run on.

use std::time::{Duration, Instant};

use qnnw::rng::{Domain, Stream};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<u64>().expect("a number"));
    let seconds = arguments.next().expect("how many seconds");
    let seed = arguments.next().unwrap_or_else(|| std::process::id().into());
    println!("seed {seed}");
    let end = Instant::now() + Duration::from_secs(seconds);
    let first = arguments.next().unwrap_or(0);
    let mut runs = first;
    while Instant::now() < end {
        let mut stream = Stream::new(seed, Domain::Angles, runs, 0);
        let length = 8 * (1 + stream.below(128));
        let bytes: Vec<_> = (0..length / 8).flat_map(|_| stream.next_u64().to_le_bytes()).collect();
        let (name, target) = targets::ALL[(runs % targets::ALL.len() as u64) as usize];
        // Said before it can fail: the seed and this number make the bytes again.
        if let Err(fault) = std::panic::catch_unwind(|| target(&bytes)) {
            eprintln!("{name} failed in run {runs} of seed {seed}");
            std::panic::resume_unwind(fault);
        }
        runs += 1;
    }
    let runs = runs - first;
    println!("{runs} runs, {} of each target", runs / targets::ALL.len() as u64);
}
