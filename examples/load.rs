use drawbridge::waf::RuleSet;
fn main() {
    let t = std::time::Instant::now();
    let mut b = RuleSet::builder();
    for a in std::env::args().skip(1) {
        b = b.files(a);
    }
    match b.build() {
        Ok(r) => {
            println!("ok {:?} rules {}", t.elapsed(), r.summaries().count());
            for w in r.warnings() {
                print!("{}", w.render(false));
            }
        }
        Err(p) => {
            for d in p.0 {
                print!("{}", d.render(false));
            }
        }
    }
}
