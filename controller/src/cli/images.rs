//! `enforcer images …`

mod from_site;
mod pull;
mod push;

use std::path::PathBuf;

use clap::Subcommand;
use hyper::Method;

use super::{
    Session,
    client::{encode, read},
    consent::Consent,
    failure::Failure,
    output::{Column, Columns, Line, Listing, Output, ago, dash, size, when},
};
use crate::{
    http::api::{
        images::{ImageChange, ImageDoc, OriginDoc, VersionDoc, usage::ImageStoreDoc},
        words::Visibility,
    },
    state::{Timestamp, image::ImageSpec},
};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List images
    #[command(
        after_help = "Examples:\n  enforcer images list\n  enforcer images list -o json | jq -r '.[].name'"
    )]
    List(Listing),
    /// Show an image and its versions
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Upload a disk as a new version of an image; the image is made when it is new
    #[command(
        after_help = "FILE is a disk: raw, or compressed with gzip, zstd or xz (seen by its first bytes).\nOf a raw disk only what the store lacks is sent, and an upload that broke goes on where it was: run it again.\n\nExamples:\n  enforcer images push debian-13-generic-amd64.raw debian\n  enforcer images push disk.img.zst web --private --note 'before the upgrade'\n  enforcer images push home.ext4 home --sector-size 4096"
    )]
    Push {
        /// The disk
        file: PathBuf,
        /// The image's name: letters, digits, '-', '_', '.'
        name: String,
        /// Words about this version
        #[arg(long)]
        note: Option<String>,
        /// A new image is for machines with a well proved key only (T2)
        #[arg(long)]
        private: bool,
        /// Bytes of a sector, for a disk or file system without a GUID partition table [default: 512]
        #[arg(long, value_name = "BYTES", value_parser = push::parse_sector_size)]
        sector_size: Option<u32>,
        #[command(flatten)]
        output: Output,
    },
    /// Download a version, as a disk or, to a file that ends in .zst, as zstd; or bring another site's image here
    #[command(
        after_help = "A download that broke goes on where it was: run it again.\nWith --site the controller itself fetches, only what it lacks; Ctrl-C ends the looking on, not the fetching.\n\nExamples:\n  enforcer images pull debian disk.raw\n  enforcer images pull debian@3 disk.raw.zst\n  enforcer images pull --site hq debian@3"
    )]
    Pull {
        /// NAME, NAME@latest or NAME@NUMBER
        image: ImageSpec,
        /// Where to; must not be there yet
        #[arg(required_unless_present = "site")]
        file: Option<PathBuf>,
        /// The site whose image it is: it becomes an image of this site
        #[arg(long, value_name = "NAME", conflicts_with = "file")]
        site: Option<String>,
        /// What it is called here [default: as there]
        #[arg(long = "as", value_name = "NAME", requires = "site")]
        name: Option<String>,
    },
    /// Change which machines may have an image, or whose it is
    #[command(
        after_help = "Examples:\n  enforcer images set web --visibility private\n  enforcer images set web --owner ''"
    )]
    Set {
        /// Its name
        name: String,
        /// Which machines may have it
        #[arg(long)]
        visibility: Option<Visibility>,
        /// Whose it is; '' gives it back to the site
        #[arg(long)]
        owner: Option<String>,
    },
    /// Delete an image with all its versions, or one version; refused while somebody needs it
    #[command(
        after_help = "The name has to be typed as it was given; scripts say --yes.\n\nExamples:\n  enforcer images delete old\n  enforcer images delete debian@3 --yes"
    )]
    Delete {
        /// NAME, or NAME@NUMBER for one version
        image: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Show how full the store of images is
    Usage(Output),
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List(listing) => {
            let headers = ["NAME", "LATEST", "SIZE", "VISIBILITY", "OWNER", "CHANGED"];
            let columns = Columns::new(headers, row).wide(WIDE);
            session.listed(&listing, "/images", columns).await
        }
        Verb::Show { name, output } => show(&name, &output, session).await,
        Verb::Push {
            file,
            name,
            note,
            private,
            sector_size,
            output,
        } => {
            let about = push::About {
                note,
                private,
                sector_size,
            };
            let version = push::push(&file, &name, &about, session).await?;
            session.show(&output, version, version_lines)?;
            session.hint(&format!("enforcer deploy MACHINE {name}"));
            Ok(())
        }
        Verb::Pull {
            image,
            file: Some(file),
            ..
        } => pull::pull(&image, &file, session).await,
        Verb::Pull {
            image, site, name, ..
        } => from_site::pull(&image, site.unwrap_or_default(), name, session).await,
        Verb::Set {
            name,
            visibility,
            owner,
        } => {
            let change = ImageChange { visibility, owner };
            let path = format!("/images/{}", encode(&name));
            session.client.send(Method::PATCH, &path, &change).await?;
            Ok(())
        }
        Verb::Delete { image, consent } => delete(&image, &consent, session).await,
        Verb::Usage(output) => {
            let usage = session.client.get("/image-store").await?;
            session.show(&output, usage, usage_lines)
        }
    }
}

/// Deletes an image or a version, once that is confirmed.
async fn delete(image: &str, consent: &Consent, session: &mut Session<'_>) -> Result<(), Failure> {
    let (name, _) = image.split_once('@').unwrap_or((image, ""));
    let path = format!("/images/{}", encode(name));
    let known: ImageDoc = read(&session.client.get(&path).await?)?;
    let all = known.versions.len();
    let loss = match image == name {
        true => format!("the image {image} is deleted, with its {all} versions"),
        false => format!("the version {image} is deleted, one of {all}"),
    };
    if !session.agreed(consent, image, &loss)? {
        return Ok(());
    }
    session.client.delete(&path_of(image)).await?;
    eprintln!("{image} is deleted");
    Ok(())
}

/// `debian@3` as the path of a version, `debian` as that of an image.
fn path_of(image: &str) -> String {
    match image.split_once('@') {
        Some((name, version)) => {
            format!("/images/{}/versions/{}", encode(name), encode(version))
        }
        None => format!("/images/{}", encode(image)),
    }
}

const WIDE: &[Column<ImageDoc>] = &[
    ("VERSIONS", |i, _| i.versions.len().to_string()),
    ("DATA", |i, _| {
        dash(i.versions.last().map(|v| size(v.data_bytes)))
    }),
    ("SECTOR", |i, _| {
        dash(i.versions.last().map(|v| v.sector_size))
    }),
    ("FROM", |i, _| dash(i.versions.last().map(origin))),
    ("NOTE", |i, _| {
        dash(i.versions.last().and_then(|v| v.note.as_ref()))
    }),
];

fn row(image: &ImageDoc, now: Timestamp) -> [String; 6] {
    let latest = image.versions.last();
    [
        image.name.clone(),
        latest.map_or_else(|| "-".to_owned(), |v| format!("@{}", v.number)),
        dash(latest.map(|v| size(v.size))),
        image.visibility.word().to_owned(),
        dash(image.owner.clone()),
        ago(latest.map_or(image.created, |v| v.created), now),
    ]
}

async fn show(name: &str, output: &Output, session: &mut Session<'_>) -> Result<(), Failure> {
    let image = session
        .client
        .get(&format!("/images/{}", encode(name)))
        .await?;
    if session.printed(output, &image)? {
        return Ok(());
    }
    let image: ImageDoc = read(&image)?;
    let rows = [
        ["name".to_owned(), image.name.clone()],
        ["visibility".to_owned(), image.visibility.word().to_owned()],
        ["owner".to_owned(), dash(image.owner.clone())],
        ["created".to_owned(), when(image.created, session.now)],
    ];
    session.text(&super::output::table(&rows))?;
    let headers = [
        "VERSION", "SIZE", "DATA", "NEW", "CREATED", "FROM", "USED BY",
    ];
    let mut rows = vec![headers.map(str::to_owned)];
    for v in &image.versions {
        rows.push([
            format!("@{}", v.number),
            size(v.size),
            size(v.data_bytes),
            size(v.new_bytes),
            ago(v.created, session.now),
            origin(v),
            v.used_by.join(", "),
        ]);
    }
    session.text(&format!("\n{}", super::output::table(&rows)))
}

fn origin(version: &VersionDoc) -> String {
    match &version.origin {
        OriginDoc::Upload { by } => format!("upload by {by}"),
        OriginDoc::Capture {
            machine,
            machine_name,
            deployment,
        } => {
            let name = machine_name.as_ref().unwrap_or(machine);
            format!("disk of {name} (deployment {deployment})")
        }
        OriginDoc::Pulled { site, version, by } => format!("{version} of {site}, by {by}"),
    }
}

fn version_lines(version: &VersionDoc, now: Timestamp) -> Vec<Line> {
    vec![
        ("version", version.id.clone()),
        ("size", size(version.size)),
        ("data", size(version.data_bytes)),
        ("new in the store", size(version.new_bytes)),
        ("sector size", version.sector_size.to_string()),
        ("created", when(version.created, now)),
        ("note", dash(version.note.clone())),
    ]
}

fn usage_lines(usage: &ImageStoreDoc, _: Timestamp) -> Vec<Line> {
    vec![
        ("stored", size(usage.stored_bytes)),
        ("chunks", usage.chunks.to_string()),
        ("free on the disk", size(usage.free_bytes)),
        ("kept free", size(usage.reserve_bytes)),
        (
            "quota",
            usage.quota_bytes.map_or_else(|| "none".to_owned(), size),
        ),
    ]
}
