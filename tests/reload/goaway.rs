//! HTTP/2 clients are told to go, and lose nothing.

use std::sync::Arc;

use tokio::net::TcpStream;

use crate::world::{World, until};
use support::client::{Answer, Http2, h2_request};
use support::upstream::{Behaviour, Steering};

/// A request that its upstream holds until it is let go, on a connection that is told to end.
struct Held {
    steering: Arc<Steering>,
    connection: Http2,
    request: tokio::task::JoinHandle<Answer>,
}

impl Held {
    async fn new(world: &World, steering: Arc<Steering>) -> (Self, Arc<tokio::sync::Semaphore>) {
        let mut connection = Http2::connect(world.front.address, "api.test").await;
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let holding = Arc::clone(&steering);
        let until_open = Arc::clone(&gate);
        let (held, is_held) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let hold = holding.hold.write().await;
            held.send(()).unwrap();
            let _open = until_open.acquire().await;
            drop(hold);
        });
        is_held.await.unwrap();
        let mut asking = Http2 {
            send: connection.send.clone(),
        };
        let request = tokio::spawn(async move {
            let request = h2_request("GET", "https://api.test/orders/1")
                .body(())
                .unwrap();
            asking.request(request, None).await
        });
        until("the upstream has it", async || steering.asked() == 1).await;
        // Another stream of the connection is no reason to end it.
        let refused = h2_request("GET", "https://api.test/else").body(()).unwrap();
        assert_eq!(connection.request(refused, None).await.status, 404);
        (
            Self {
                steering,
                connection,
                request,
            },
            gate,
        )
    }

    /// GOAWAY without an error came, and what is under way is still answered.
    async fn hears_and_is_answered(self, gate: &tokio::sync::Semaphore) {
        let mut reason = None;
        until("GOAWAY came", async || {
            let ready = self.connection.send.clone().ready().await;
            reason = ready
                .err()
                .filter(h2::Error::is_go_away)
                .and_then(|e| e.reason());
            reason.is_some()
        })
        .await;
        assert_eq!(reason, Some(h2::Reason::NO_ERROR));
        assert!(!self.request.is_finished());
        gate.add_permits(1);
        assert_eq!(self.request.await.unwrap().status, 200);
        assert_eq!(self.steering.asked(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_shutdown() {
    let steering = Steering::new();
    let mut world = World::start_with(Behaviour::Steered(Arc::clone(&steering)), "").await;
    let (held, gate) = Held::new(&world, steering).await;
    world.front.begin_stop();
    held.hears_and_is_answered(&gate).await;
    world.front.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_their_listener_goes() {
    let steering = Steering::new();
    let world = World::start_with(Behaviour::Steered(Arc::clone(&steering)), "").await;
    let (held, gate) = Held::new(&world, steering).await;
    let text = world.setup.text();
    let text = text
        .replace("[listeners.public]", "[listeners.other]")
        .replace("listeners = [\"public\"]", "listeners = [\"other\"]");
    world.write("drawbridge.toml", text);
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    let address = world.front.address;
    until("nobody listens there", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    held.hears_and_is_answered(&gate).await;
}
