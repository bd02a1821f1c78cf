//! `drawbridge demo`: a front door, two on-premises gateways and curl lines that show what it does.
//!
//! The front door is the real one: it runs from the file written here, as `drawbridge run` would.

mod certificates;
mod echo;
mod files;
mod gateway;
mod tour;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{io, thread};

use tokio::runtime::{Builder, Runtime};

use self::files::Folder;
use self::gateway::Gateway;
use self::tour::Tour;
use super::config_file::ConfigFile;
use super::error::CommandError;
use super::output::Output;
use super::run;

/// The host that the demo's front door answers for.
const PUBLIC_HOST: &str = "api.demo.test";
/// The gateways' names and the names in their certificates.
const ORDERS: (&str, &str) = ("orders", "orders.corp.test");
const BILLING: (&str, &str) = ("billing", "billing.corp.test");

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The folder holds drawbridge.toml, certs/, gateways/ and rules/. A folder that a demo has used before is
used again: its certificates are kept while they are valid; drawbridge.toml is written anew.
Ctrl-C stops the demo.")]
pub struct Args {
    /// Where to put the demo's files [default: a temporary folder, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Where the front door listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    pub bind: SocketAddr,
}

/// Prepares the folder, starts the gateways and runs the front door until it is stopped.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match Demo::prepare(args) {
        Ok(demo) => demo.serve(),
        Err(error) => CommandError::Problem(format!("demo: {error}")).report(Output::Human),
    }
}

struct Demo {
    folder: Folder,
    tour: Tour,
    /// Runs the gateways for as long as it is held.
    gateways: Runtime,
}

impl Demo {
    fn prepare(args: &Args) -> Result<Self, Box<dyn Error>> {
        let folder = Folder::open(args.dir.as_deref())?;
        let certificates = certificates::ensure(&folder)?;
        let orders = Gateway::bind(ORDERS, &folder)?;
        let billing = Gateway::bind(BILLING, &folder)?;
        let mut addresses = Addresses {
            public: args.bind,
            plain: free_port()?,
            orders: orders.address(),
            billing: billing.address(),
        };
        if addresses.public.port() == 0 {
            addresses.public.set_port(free_port()?.port());
        }
        let replaced = folder.write_configuration(&addresses)?;

        let gateways = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("demo-gateway")
            .enable_all()
            .build()?;
        gateways.spawn(orders.serve());
        gateways.spawn(billing.serve());
        Ok(Self {
            tour: Tour::new(&folder, addresses, certificates, replaced),
            folder,
            gateways,
        })
    }

    fn serve(self) -> ExitCode {
        let args = run::Args {
            config: ConfigFile {
                config: Some(self.folder.path("drawbridge.toml")),
            },
            upgrade: false,
        };
        // Not joined: where the front door does not come up, this process ends and the thread with it.
        let tour = self.tour;
        thread::spawn(move || tour.print_when_open());
        let code = run::run(&args);
        self.gateways.shutdown_background();
        code
    }
}

/// Where everything listens.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    public: SocketAddr,
    plain: SocketAddr,
    orders: SocketAddr,
    billing: SocketAddr,
}

/// A loopback port that was free a moment ago.
fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
