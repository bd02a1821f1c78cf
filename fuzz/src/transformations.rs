//! A value through a chain of transformations: each step keeps what it promises.
//!
//! The first four bytes choose the chain, the rest is the value.

use std::sync::LazyLock;

use waf::internals::byteset::ByteSet;
use waf::internals::transform::{Transformation, UnicodeMap};

static ALL: LazyLock<Vec<Transformation>> = LazyLock::new(|| Transformation::all().collect());

static MAP: LazyLock<UnicodeMap> = LazyLock::new(|| {
    UnicodeMap::parse("1 one\n0041:ff ff1c:3c 0000:01\n", 1).expect("the map is well formed")
});

pub fn run(data: &[u8]) {
    let Some((chain, value)) = data.split_first_chunk::<4>() else {
        return;
    };
    let mut value = value.to_vec();
    for &choice in chain {
        let transformation = ALL[usize::from(choice) % ALL.len()];
        let unicode = (choice >= 128).then_some(&*MAP);
        value = step(transformation, value, unicode);
    }
}

fn step(transformation: Transformation, value: Vec<u8>, unicode: Option<&UnicodeMap>) -> Vec<u8> {
    let mut out = Vec::new();
    if !transformation.apply(&value, &mut out, unicode) {
        return value;
    }
    assert_ne!(out, value);
    let bound = transformation.max_growth() * value.len();
    assert!(out.len() <= bound.max(Transformation::SMALL));
    let present = ByteSet::of(&value);
    assert!(value.is_empty() || present.intersects(&transformation.triggers()));
    let outside = transformation.image(&present).complement();
    assert!(!ByteSet::of(&out).intersects(&outside));
    out
}
