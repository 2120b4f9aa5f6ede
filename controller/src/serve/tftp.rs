//! TFTP on a thread of its own. In lockstep a transfer is as fast as one thread wakes up for one packet; on a runtime with
//! several threads each packet also wakes a second one, which looks for work and finds none.

use std::{io, net::SocketAddr, sync::Arc};

use ipxe_net::TftpServer;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::boot::Desk;

/// A bound server and the runtime that hears its socket.
pub(super) struct TftpThread {
    runtime: Hearing,
    server: TftpServer,
}

impl TftpThread {
    /// Binds the socket.
    pub(super) fn bind(at: SocketAddr) -> io::Result<Self> {
        let runtime = Hearing(Some(Builder::new_current_thread().enable_all().build()?));
        let server = {
            let _inside = runtime.0.as_ref().map(Runtime::enter);
            TftpServer::bind(at)?
        };
        Ok(Self { runtime, server })
    }

    /// Serves until `stop`.
    pub(super) fn spawn(self, tasks: &mut JoinSet<()>, desk: &Arc<Desk>, stop: &CancellationToken) {
        let Self { runtime, server } = self;
        let serving = server.run(Arc::clone(desk), stop.clone());
        tasks.spawn_blocking(move || {
            if let Some(runtime) = &runtime.0 {
                runtime.block_on(serving);
            }
        });
    }
}

/// A runtime that may also be dropped where one may not wait, as when another port is taken at the start.
struct Hearing(Option<Runtime>);

impl Drop for Hearing {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
