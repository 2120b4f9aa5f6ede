//! `enforcer backup` and `enforcer restore`.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use http_body_util::BodyExt as _;

use super::{
    Session,
    failure::Failure,
    output::{moment, size},
};
use crate::{
    arguments::Place,
    backup::{self, BackupError},
};

/// Arguments of `enforcer backup`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Run it on the controller's host as root while the controller runs: the database is that of one moment, the keys and files come\nfrom the state folder. The file is new, readable for its owner only, and has its name only once it was read back and its\ndatabase opened. It holds every secret of the site: keep it as you would the site's key.\n\nExamples:\n  sudo enforcer backup /srv/backup/enforcer-monday.tar\n  sudo enforcer backup enforcer.tar --with-images"
)]
pub struct Backup {
    /// Where to; must not be there yet
    file: PathBuf,
    /// Images too; without them a backup is small, and what it restores needs the images from elsewhere
    #[arg(long)]
    with_images: bool,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `enforcer restore`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Stop the controller first. The whole backup is read and its database opened before anything changes; a database of an older\nversion becomes one of this version. The state folder of before stays beside the new one, as FOLDER.before-restore.\nImages, files and boot programs that the backup lacks are taken over from there.\nWhat happened since the backup is unknown afterwards: look through `enforcer activations list --open` and\n`enforcer deployments list --open` with the machines switched off.\n\nExample:\n  sudo systemctl stop enforcer && sudo enforcer restore enforcer-monday.tar && sudo systemctl start enforcer"
)]
pub struct Restore {
    /// A file that `enforcer backup` made
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn backup(args: Backup, session: &Session<'_>) -> Result<(), Failure> {
    let state = args.place.state;
    if fs::symlink_metadata(&args.file).is_ok() {
        return Err(BackupError::Exists(args.file).into());
    }
    if let Err(error) = fs::metadata(state.join("enforcer.redb")) {
        let text = format!(
            "{} is not the state folder of a controller, or you may not look into it ({error}); run this as root, or name it with --state",
            state.display()
        );
        return Err(Failure::Local(text));
    }
    let mut database = fetched(&args.file, session).await?;
    let (file, images, now) = (args.file.clone(), args.with_images, session.now);
    let made = tokio::task::spawn_blocking(move || {
        backup::make(&state, &mut database, &file, images, now)
    });
    let bytes = made.await.map_err(|e| Failure::Local(e.to_string()))??;
    let place = args.file.display();
    let images = match args.with_images {
        true => "images are in it",
        false => "images are not in it (--with-images)",
    };
    eprintln!(
        "{place}: {}, read back, its database opens; {images}",
        size(bytes)
    );
    Ok(())
}

/// The running controller's database, in a file beside the target that has no name.
async fn fetched(target: &Path, session: &Session<'_>) -> Result<File, Failure> {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".database-{}", std::process::id()));
    let path = target.with_file_name(name);
    let failed = |source| {
        Failure::from(BackupError::Io {
            path: path.clone(),
            source,
        })
    };
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create_new(true).mode(0o600);
    let mut file = options.open(&path).map_err(failed)?;
    fs::remove_file(&path).map_err(failed)?;
    let mut body = session.client.stream("/database").await?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Failure::Answer(e.to_string()))?;
        let bytes = frame.into_data().unwrap_or_default();
        file.write_all(&bytes).map_err(failed)?;
    }
    Ok(file)
}

pub(super) async fn restore(args: Restore) -> Result<(), Failure> {
    let (file, state) = (args.file.clone(), args.place.state.clone());
    let done = tokio::task::spawn_blocking(move || backup::restore(&file, &state));
    let done = done.await.map_err(|e| Failure::Local(e.to_string()))??;
    let (place, made) = (args.place.state.display(), moment(done.about.made));
    eprintln!(
        "{place} is the backup of {made}, by enforcer {}",
        done.about.program
    );
    if let Some(before) = done.before {
        eprintln!("what was there before is {}", before.display());
    }
    Ok(())
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::Local(error.to_string())
    }
}
