//! More requests than may wait for one fetch of keys.

use std::time::Duration;

use drawbridge::identity::issuer::{Live, Schedule};

use crate::issuer::{Issuer, Key};
use crate::issuers::{futures, settings, source, status};
use crate::requests::echo;

/// The most that wait.
const MOST: usize = 256;
const MORE: usize = 44;

#[tokio::test(flavor = "multi_thread")]
async fn so_many_wait_and_the_others_go_on_at_once() {
    let (one, two) = (Key::new(), Key::new());
    let issuer = Issuer::start(&[&one]).await;
    let schedule = Schedule {
        asked_interval: Duration::ZERO,
        wait: Duration::from_secs(600),
        ..Schedule::default()
    };
    let live = Live::new(source(&issuer, &settings(), schedule));
    live.start(&tokio::runtime::Handle::current());
    live.tried().await;
    issuer.publish(&[&two]);
    let released = issuer.hold();
    let all = (0..MOST + MORE).map(|_| live.renewed());
    // The last of them is refused before any answer is there, and lets the issuer answer.
    let refused = std::sync::atomic::AtomicUsize::new(0);
    let counted = all.map(|renewed| {
        let (refused, released) = (&refused, &released);
        async move {
            let renewed = renewed.await;
            if !renewed && refused.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == MORE {
                released.add_permits(1);
            }
            renewed
        }
    });
    let all = futures(counted).await;
    assert_eq!(all.iter().filter(|renewed| **renewed).count(), MOST);
    assert_eq!(issuer.asked_for_keys(), 2);
    assert_eq!(live.current().unwrap().generation, 2);
    // Nobody is counted any more.
    released.add_permits(1);
    assert!(live.renewed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn none_of_them_hangs_and_none_is_wrongly_taken() {
    let (upstream, old, new, stranger) = (echo().await, Key::new(), Key::new(), Key::new());
    let issuer = Issuer::start(&[&old]).await;
    let front = issuer.front(&upstream, "").await;
    let address = front.address;
    issuer.publish(&[&new]);
    let released = issuer.hold();
    let tokens: Vec<(String, bool)> = (0..MOST + MORE)
        .map(|n| match n % 10 {
            0 => (issuer.token(&stranger, &n.to_string()), false),
            _ => (issuer.token(&new, &n.to_string()), true),
        })
        .collect();
    let tasks: Vec<_> = tokens
        .into_iter()
        .map(|(token, is_good)| {
            tokio::spawn(async move { (status(address, &token).await, is_good) })
        })
        .collect();
    // The document and the keys at the start, and now the document.
    let asked = || {
        let mut asked = 0;
        issuer.change(|published| asked = published.asked.len());
        asked
    };
    let held = crate::front::wait(|| (asked() == 3).then_some(()));
    held.await.unwrap();
    released.add_permits(2);
    for task in tasks {
        match task.await.unwrap() {
            (200, true) | (401, _) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(issuer.asked_for_keys(), 2);
    assert_eq!(status(address, &issuer.token(&new, "after")).await, 200);
    assert_eq!(
        status(address, &issuer.token(&stranger, "after")).await,
        401
    );
}
