//! An HTTP server that is told things: it writes down every POST it gets, and can lose its first answers.

use super::START_LIMIT;
use crate::lab::{Service, Space, need};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Python's own server. Each POST becomes a line of JSON in the log before it is answered; of the first `argv[2]` the
/// answer never leaves.
const PROGRAM: &str = r#"
import http.server, json, sys
lose = int(sys.argv[2])
class Take(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        global lose
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        heads = {k.lower(): v for k, v in self.headers.items()}
        print("POST " + json.dumps({"path": self.path, "headers": heads, "body": body.decode()}), flush=True)
        if lose > 0:
            lose -= 1
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer((sys.argv[1], 8088), Take)
print("receiving", flush=True)
server.serve_forever()
"#;

/// One POST that came in.
#[derive(Debug)]
pub struct Received {
    /// What the header `webhook-id` says.
    pub id: String,
    /// The body, as JSON.
    pub body: Value,
}

/// The server, on a host of its own.
#[derive(Debug)]
pub struct Receiver {
    log: PathBuf,
    address: Ipv4Addr,
    _service: Service,
}

impl Receiver {
    /// Starts it; its first `lost` answers get lost.
    pub fn start(space: &Space, lost: u32) -> Result<Self> {
        need::programs(&["python3"])?;
        let address = Ipv4Addr::new(10, 77, 0, 40);
        let host = space.home().host("receiver", address)?;
        let log = space.folder().file("receiver.log");
        let mut command = host.command("python3");
        command.args(["-c", PROGRAM, &address.to_string(), &lost.to_string()]);
        let mut service = Service::start("receiver", command, &log)?;
        service.wait_log("receiving", START_LIMIT)?;
        Ok(Self {
            log,
            address,
            _service: service,
        })
    }

    /// Where it takes POSTs.
    pub fn url(&self) -> String {
        format!("http://{}:8088/told", self.address)
    }

    /// All that has come in so far.
    pub fn received(&self) -> Result<Vec<Received>> {
        let log = fs::read_to_string(&self.log)?;
        let posts = log.lines().filter_map(|line| line.strip_prefix("POST "));
        posts.map(read).collect()
    }
}

fn read(line: &str) -> Result<Received> {
    let post: Value = serde_json::from_str(line)?;
    let body = post["body"].as_str().context("a body")?;
    Ok(Received {
        id: post["headers"]["webhook-id"]
            .as_str()
            .context("a webhook-id")?
            .to_owned(),
        body: serde_json::from_str(body)?,
    })
}
