//! `drawbridge demo`: a front door, two on-premises gateways and curl lines that show what it does.
//!
//! The front door is the real one: it runs from the file that the demo writes, through [`run::run`] like any other. The
//! gateways are servers of their own behind real sockets. Nothing outside this folder can import them, so they are no
//! part of the front door's own path.

mod certificates;
mod echo;
mod files;
mod gateway;
mod network;
mod tour;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use tokio::runtime::{Builder, Runtime};

use self::files::Folder;
use self::gateway::Gateway;
use self::network::{Addresses, BILLING, ORDERS, free_port};
use self::tour::Tour;
use super::config_file::ConfigFile;
use super::error::CommandError;
use super::output::Output;
use super::run;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The folder holds drawbridge.toml, certs/, gateways/ and rules/. The demo uses the folder
of an earlier demo again: it keeps valid certificates and replaces drawbridge.toml.
Ctrl-C stops the demo.")]
pub(super) struct Args {
    /// Where to put the demo's files [default: a temporary folder, which is removed at the end]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// Where the front door listens; with port 0 on a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    pub(super) bind: SocketAddr,
}

/// Prepares the folder, starts the gateways and runs the front door until it is stopped.
pub(super) fn run(args: &Args) -> ExitCode {
    match Demo::prepare(args) {
        Ok(demo) => demo.serve(),
        Err(error) => CommandError::Problem(format!("demo: {error}")).report(Output::Human),
    }
}

struct Demo {
    folder: Folder,
    tour: Tour,
    /// Runs the gateways until it is dropped.
    gateways: Runtime,
}

impl Demo {
    fn prepare(args: &Args) -> Result<Self, Box<dyn Error>> {
        let folder = Folder::open(args.dir.as_deref())?;
        let certificates = certificates::ensure(&folder)?;
        // Bound before the configuration is written, which names their ports.
        let orders = Gateway::bind(ORDERS, &folder)?;
        let billing = Gateway::bind(BILLING, &folder)?;
        let mut addresses = Addresses {
            public: args.bind,
            plain: free_port()?,
            orders: orders.address(),
            billing: billing.address(),
            console: free_port()?,
        };
        // The commands of the tour name the port, so it must be known before the bind.
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
        // Not joined: if the front door does not start, the thread waits for it in vain and ends with this process.
        let tour = self.tour;
        thread::spawn(move || tour.print_when_open());
        let code = run::run(&args);
        self.gateways.shutdown_background();
        code
    }
}
