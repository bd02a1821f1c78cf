//! The binary, as a service manager runs it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::world::until;

pub struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// `run` with the configuration of this folder.
    pub fn start(folder: &Path, arguments: &[&str], notify: Option<&Path>) -> Self {
        let notify = notify.map(|socket| ("NOTIFY_SOCKET", socket.as_os_str()));
        Self::start_with(folder, arguments, notify.as_slice())
    }

    /// Like [`Process::start`], with this environment.
    pub fn start_with(folder: &Path, arguments: &[&str], environment: &[(&str, &OsStr)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        command
            .args(["run", "--config"])
            .arg(folder.join("drawbridge.toml"))
            .args(arguments)
            .env("RUST_LOG", "info")
            .env_remove("NOTIFY_SOCKET")
            .envs(environment.iter().copied())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let heard = Arc::clone(&said);
        // Read to the end, so that the pipe never fills.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *heard.lock().unwrap() += &(line + "\n");
            }
        });
        Self { child, said }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn heard(&self) -> &Arc<Mutex<String>> {
        &self.said
    }

    /// Where its listener `public` is, once it accepts.
    pub async fn address(&self) -> SocketAddr {
        let found = || {
            let said = self.said.lock().unwrap().clone();
            let line = said
                .lines()
                .find_map(|l| l.split_once("listener public on "));
            line.map(|(_, address)| address.trim().parse().unwrap())
        };
        until("it listens", async || found().is_some()).await;
        found().unwrap()
    }

    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    pub async fn ended(mut self) -> Option<i32> {
        let mut code = None;
        until("it ends", async || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        })
        .await;
        code.unwrap().code()
    }
}

pub fn signal(process: u32, name: &str) {
    let sent = Command::new("kill")
        .args([name, &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}
