use qnnw::*; use qnnw::parallel::*; use std::time::Instant;
fn go<R: qnnw::state::Kept>(n: usize, reps: usize) {
    let c: Circuit = EfficientSu2::new(n, reps, Entanglement::Linear).unwrap().into();
    let angles = c.random_angles(0);
    let mut out = vec![R::default(); c.dimension()];
    let cancel = Cancel::default();
    let mut best = f64::MAX;
    let iters = if n <= 13 { 300 } else if n <= 16 { 30 } else { 5 };
    for _ in 0..iters { let t = Instant::now(); evolve::probabilities::<R>(&c, &angles, &mut out, &cancel).unwrap(); best = best.min(t.elapsed().as_secs_f64()); }
    let sum: f64 = out.iter().map(|p| p.to_f64()).sum();
    let fma = (1u64<<n) as f64 * (2*n+8) as f64 * reps as f64;
    println!("N={n} {} {:.3} us  sum-1 {:.2e}  {:.1} GFLOP/s", std::any::type_name::<R>(), best*1e6, sum-1.0, 2.0*fma/best/1e9);
}
fn main() {
    let threads: usize = std::env::args().nth(1).map_or(1, |s| s.parse().unwrap());
    set_num_threads(threads).unwrap();
    for n in std::env::args().nth(2).unwrap_or("8,10,13,16".into()).split(',') { let n: usize = n.parse().unwrap(); let reps = if n > 20 {6} else {26}; go::<f64>(n, reps); go::<f32>(n, reps); }
}
