use super::*;
use dev_pki::{Authority, LeafOptions, Usage};

fn bundle(cas: &[&Authority]) -> TrustBundle {
    TrustBundle {
        name: "corp".to_owned(),
        certificates: cas.iter().map(|ca| ca.certificate().clone()).collect(),
        files: Vec::new(),
        plain: false,
        digest: [0; 32],
    }
}

fn chain(ca: &Authority, usage: Usage) -> Vec<X509> {
    let options = LeafOptions {
        usage,
        ..LeafOptions::default()
    };
    let issued = ca.leaf(&["gw.corp.test"], &options).unwrap();
    X509::stack_from_pem(&issued.chain_pem).unwrap()
}

fn judged(cas: &[&Authority], chain: &[X509], lists: &[PathBuf]) -> Verdict {
    let role = match lists {
        [] => Role::Server("gw.corp.test"),
        _ => Role::Client,
    };
    let verifier = Verifier::new(&bundle(cas), role, lists).unwrap();
    let verdict = verifier.verify(&chain[0], &chain[1..]);
    assert!(ErrorStack::get().errors().is_empty(), "none is left");
    verdict
}

/// The code of X509_verify_cert; 0 is good.
fn code(cas: &[&Authority], chain: &[X509]) -> i32 {
    judged(cas, chain, &[]).result.as_raw()
}

#[test]
fn cas_of_one_name_are_all_tried_in_any_order() {
    let made = || Authority::without_key_ids("Corp Root CA", 9).unwrap();
    let (old, new, other) = (made(), made(), made());
    let issuing = |root: &Authority| root.intermediate("Corp Issuing CA", 9).unwrap();
    let (old_issuing, new_issuing) = (issuing(&old), issuing(&new));
    for bundle in [
        [&old, &new, &old_issuing, &new_issuing],
        [&new_issuing, &new, &old, &old_issuing],
        [&old_issuing, &old, &new_issuing, &new],
    ] {
        for signer in [&old, &new, &old_issuing, &new_issuing] {
            assert_eq!(code(&bundle, &chain(signer, Usage::Server)), 0);
        }
        assert_ne!(code(&bundle, &chain(&other, Usage::Server)), 0);
        assert_ne!(code(&bundle, &chain(&issuing(&other), Usage::Server)), 0);
    }
    // What was presented counts also where a CA of the bundle has its name.
    let found = code(&[&old_issuing, &new], &chain(&new_issuing, Usage::Server));
    assert_eq!(found, 0);
    // The one that signed says why, not the one that was tried first.
    let name = Role::Server("other.corp.test");
    let verifier = Verifier::new(&bundle(&[&old, &new]), name, &[]).unwrap();
    let leaf = &chain(&new, Usage::Server)[0];
    assert_eq!(verifier.verify(leaf, &[]).result.as_raw(), 62);
}

#[test]
fn a_ca_without_its_root_is_an_anchor() {
    let root = Authority::new("Root", 9).unwrap();
    let issuing = root.intermediate("Issuing", 9).unwrap();
    let sibling = root.intermediate("Sibling", 9).unwrap();
    assert_eq!(code(&[&issuing], &chain(&issuing, Usage::Server)), 0);
    assert_eq!(code(&[&issuing], &chain(&issuing, Usage::Server)[..1]), 0);
    for stranger in [&sibling, &root] {
        assert_ne!(code(&[&issuing], &chain(stranger, Usage::Server)), 0);
    }
    assert_eq!(code(&[&issuing], &chain(&issuing, Usage::Client)), 26);
    let plain = |cas: &[&Authority]| is_plain(&bundle(cas).certificates);
    assert!(plain(&[&root]) && !plain(&[&issuing]) && !plain(&[&root, &issuing]));
}

#[test]
fn lists_count_up_to_the_topmost_ca() {
    let folder = tempfile::tempdir().unwrap();
    let made = || Authority::new("Root", 9).unwrap();
    let (root, rival) = (made(), made());
    let issuing = root.intermediate("Issuing", 9).unwrap();
    let (good, bad) = (
        chain(&issuing, Usage::Client),
        chain(&issuing, Usage::Client),
    );
    let list = |name: &str, by: &Authority, revoked: &[X509]| {
        let path = folder.path().join(name);
        std::fs::write(&path, by.revocation_list(revoked, 2).unwrap()).unwrap();
        path
    };
    let of_issuing = list("issuing", &issuing, &bad[..1]);
    let nothing = list("nothing", &root, &[]);
    let of_root = list("root", &root, &[issuing.certificate().clone()]);
    const REVOKED: i32 = 23;
    const NO_LIST: i32 = 3;
    for (bundle, lists, expected) in [
        (vec![&issuing], vec![&of_issuing], 0),
        (vec![&issuing], vec![&nothing], NO_LIST),
        (vec![&issuing, &root], vec![&of_issuing], NO_LIST),
        (vec![&issuing, &root], vec![&of_issuing, &nothing], 0),
        (vec![&issuing, &root], vec![&of_issuing, &of_root], REVOKED),
        (
            vec![&rival, &issuing, &root],
            vec![&of_issuing, &nothing],
            0,
        ),
        (vec![&root, &rival], vec![&of_issuing, &of_root], REVOKED),
        (vec![&rival, &root], vec![&of_issuing, &nothing], 0),
    ] {
        let lists: Vec<PathBuf> = lists.into_iter().cloned().collect();
        let found = judged(&bundle, &good, &lists).result.as_raw();
        assert_eq!(found, expected, "{lists:?}");
        assert_ne!(judged(&bundle, &bad, &lists).result.as_raw(), 0);
    }
}
