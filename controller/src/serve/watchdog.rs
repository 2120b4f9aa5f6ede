//! Signs of life for the service manager's watchdog: given only while the store's writer answers. A controller whose writer is
//! stuck still peeks and would look alive from outside, but it can claim no boot and settle no job.

use mesh_net::ServiceManager;

use crate::store::Store;

/// Gives a sign as often as one is due. Never ends: when the writer is gone the signs stop, and the manager starts us anew.
pub(super) async fn give_signs(store: &Store, manager: Option<&ServiceManager>) {
    if let Some(manager) = manager
        && let Some(every) = manager.sign_every()
    {
        while store.flush().await.is_ok() {
            // Who does not listen restarts us, which is the right end.
            manager.alive().ok();
            tokio::time::sleep(every).await;
        }
    }
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixDatagram, time::Duration};

    use super::*;
    use crate::{
        state::policy::Policy,
        store::{SystemClock, memory::Memory},
    };

    /// Long beside a turn of the writer, short beside a test's limit.
    const LIMIT: Duration = Duration::from_millis(40);

    #[tokio::test]
    async fn signs_come_while_the_store_answers_and_stop_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("notify");
        let listener = tokio::net::UnixDatagram::from_std({
            let socket = UnixDatagram::bind(&at).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .unwrap();
        let manager = ServiceManager::at(at.as_os_str(), Some(LIMIT)).unwrap();
        let store = Store::open(Memory::calm(), Policy::default(), SystemClock).unwrap();
        let hear = async {
            for _ in 0..3 {
                let mut word = [0; 32];
                let len = listener.recv(&mut word).await.unwrap();
                assert_eq!(&word[..len], b"WATCHDOG=1");
            }
        };
        tokio::select! {
            () = give_signs(&store, Some(&manager)) => unreachable!("it never ends"),
            () = hear => {}
        }
        store.close().await;
        let silent = give_signs(&store, Some(&manager));
        let waited = tokio::time::timeout(LIMIT * 3, silent).await;
        assert!(waited.is_err(), "it never ends");
        let mut word = [0; 32];
        assert!(
            listener.try_recv(&mut word).is_err(),
            "a sign of a dead store"
        );
    }
}
