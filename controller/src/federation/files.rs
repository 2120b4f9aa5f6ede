//! Files that a peer granted, brought here: once, whole, and checked by the sum in the grant before anybody gets them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh_net::{BodyError, CallError};
use mesh_proto::message::peer::PeerAsk;

use super::{Federation, Inner, lock};
use crate::{
    assets::{AssetError, Sha256Hex},
    state::{activation::Activation, config::Asset},
};

/// Time until a peer begins to send.
const BEGIN: Duration = Duration::from_secs(5);

/// Why a file is not here.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Nobody's, or of no sum.
    #[error("it is no peer's file")]
    NotAPeers,
    /// No link with its owner.
    #[error("there is no link with {0} now")]
    NoLink(String),
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The bytes stopped.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Another length than granted.
    #[error("{got} bytes were sent, {of} were granted")]
    Length {
        /// Sent, or announced.
        got: u64,
        /// Granted.
        of: u64,
    },
    /// The folder, or another sum.
    #[error(transparent)]
    Asset(#[from] AssetError),
}

/// One lock per file that is being fetched: who comes second waits for the first and finds it here.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<HashMap<Sha256Hex, Arc<tokio::sync::Mutex<()>>>>);

impl InFlight {
    fn of(&self, sum: &Sha256Hex) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = lock(&self.0);
        // Nobody else holds those that are over.
        all.retain(|_, held| Arc::strong_count(held) > 1);
        Arc::clone(all.entry(sum.clone()).or_default())
    }
}

impl Federation {
    /// A file of a granted activation; it is in the asset folder when this returns.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn fetch(&self, activation: &Activation, asset: &Asset) -> Result<(), FileError> {
        let sum = asset.sha256.as_deref().and_then(|s| s.parse().ok());
        let sum: Sha256Hex = sum.ok_or(FileError::NotAPeers)?;
        let turn = self.0.in_flight.of(&sum);
        let _turn = turn.lock().await;
        if self.0.assets.find(&sum)?.is_some() {
            return Ok(());
        }
        self.0.download(activation, asset, &sum).await
    }
}

impl Inner {
    async fn download(
        &self,
        activation: &Activation,
        asset: &Asset,
        sum: &Sha256Hex,
    ) -> Result<(), FileError> {
        let owner = activation.taken.as_ref().ok_or(FileError::NotAPeers)?;
        let mut assets = activation.config.program.assets();
        let index = assets
            .position(|a| a == asset)
            .ok_or(FileError::NotAPeers)?;
        let link = lock(&self.links).with(&owner.site).last().cloned();
        let link = link.ok_or_else(|| FileError::NoLink(owner.site.to_string()))?;
        let ask = PeerAsk::File {
            nonce: activation.nonce.to_string(),
            index: u32::try_from(index).map_err(|_| FileError::NotAPeers)?,
        };
        let (len, mut body) = link.fetch(&ask, BEGIN).await?;
        let wrong = |got| FileError::Length {
            got,
            of: asset.size,
        };
        if len != asset.size {
            return Err(wrong(len));
        }
        let mut upload = self.assets.begin(len).await?;
        let mut got = 0;
        while let Some(bytes) = body.next().await? {
            got += bytes.len() as u64;
            if got > asset.size {
                return Err(wrong(got));
            }
            upload.write(&bytes).await?;
        }
        if got != asset.size {
            return Err(wrong(got));
        }
        upload.finish(Some(sum)).await?;
        Ok(())
    }
}
