use qnnw::*; use qnnw::parallel::*; use qnnw::simd::*; use std::time::Instant;
use qnnw::kernels::{sweep::*, read::Source}; use qnnw::layer::*; use qnnw::buffer::Buffer;
fn go<R: qnnw::state::Kept>(n: usize) {
    let c: Circuit = EfficientSu2::new(n, 4, Entanglement::Linear).unwrap().into();
    let level = Level::current().unwrap();
    let plan = c.plan::<R>(level);
    let angles = c.random_angles(0);
    let mut h = qnnw::simd::math::HalfAngles::default(); h.fill(level, &angles);
    let mut layer = Layer::<R>::default(); layer.fill(plan.layout, plan.last_bits, LayerAngles::new(&h, 1, n), 0, level);
    let len = plan.layout.length();
    let (mut a, mut b) = (Buffer::<R>::new(len), Buffer::<R>::new(len+4096));
    for i in 0..len { unsafe { *a.as_mut_ptr().add(i) = R::from_f64(1e-2); *b.as_mut_ptr().add(i) = R::from_f64(1e-2); } }
    let off: usize = std::env::var("OFF").map_or(0, |s| s.parse().unwrap()); let bp = Pointer::new(unsafe { b.as_mut_ptr().add(off/std::mem::size_of::<R>()) });
    let mut t = |name: &str, f: &mut dyn FnMut()| { let mut best = f64::MAX; let reps = if n <= 13 {20} else {2}; for _ in 0..100 { let s = Instant::now(); for _ in 0..reps { f() } best = best.min(s.elapsed().as_secs_f64()/reps as f64); 
        for i in 0..len { unsafe { *bp.get().add(i) = R::from_f64(1e-2); } } }
        println!("  N={n} {} {name}: {:.2} us  {:.2} cycles/amp", std::any::type_name::<R>(), best*1e6, best*3.23e9/(1u64<<n) as f64); };
    let ap = a.as_ptr();
    let np = plan.schedule.passes.len();
    for (i, pass) in plan.schedule.passes.iter().enumerate() {
        let last = i + 1 == np;
        let run = |pass: &qnnw::schedule::Pass, first: bool, fin: Finish| level.run(Sweep { pass, layer: &layer, state: bp.get(), source: first.then(|| Source { state: ap, gather: plan.forward(0) }), finish: fin, kept: None, tiles: 0..pass.tiles.len() });
        t(&format!("pass {i} whole"), &mut || run(pass, i == 0, if last { Finish::Phases } else { Finish::Open }));
        for (si, st) in pass.stages.iter().enumerate() { for (k, step) in st.steps.iter().enumerate() {
            let mut p = pass.clone(); p.stages = vec![qnnw::schedule::Stage { blocks: st.blocks.clone(), steps: vec![step.clone()] }];
            let first = i == 0 && si == 0 && k == 0; let lst = last && si + 1 == pass.stages.len() && k + 1 == st.steps.len();
            t(&format!("pass {i} stage {si} step {:?} {}", step.bits, if first {"first"} else if lst {"last"} else {"mid"}), &mut || run(&p, first, if lst { Finish::Phases } else { Finish::Open }));
            if lst { t("   (as middle)", &mut || run(&p, false, Finish::Open)); t("   (no phases)", &mut || run(&p, false, Finish::Rotations)); }
            if first { t("   (as middle)", &mut || run(&p, false, Finish::Open)); }
        } }
    }
}
fn main() { for n in std::env::args().nth(1).unwrap_or("8,13".into()).split(',') { let n: usize = n.parse().unwrap(); go::<f64>(n); go::<f32>(n); } }
