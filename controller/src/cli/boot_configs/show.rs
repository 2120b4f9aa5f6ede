//! Boot configs for people: a row of the list, and one in full.

use std::fmt::Write as _;

use crate::{
    cli::output::{Line, ago, size, when},
    http::api::{
        boot_configs::{AssetDoc, ConfigDoc, ConfigSummary, FileState, PresetDoc, ProgramDoc},
        words::Level,
    },
    state::Timestamp,
};

pub(super) const HEADERS: [&str; 7] = [
    "NAME",
    "TYPE",
    "REVISION",
    "FILES",
    "EVIDENCE",
    "ACTIVE FOR",
    "CHANGED",
];

pub(super) fn row(config: &ConfigSummary, now: Timestamp) -> [String; 7] {
    let files: Vec<&str> = config
        .files
        .iter()
        .chain(&config.answers)
        .map(String::as_str)
        .collect();
    [
        config.name.clone(),
        config.r#type.clone(),
        config.revision.to_string(),
        files.join(" "),
        config.evidence.word().to_owned(),
        config.active_for.join(" "),
        ago(config.updated, now),
    ]
}

pub(super) fn details(config: &ConfigDoc, now: Timestamp) -> Vec<Line> {
    let mut lines = vec![
        ("name", config.name.clone()),
        ("revision", config.revision.to_string()),
        ("changed", when(config.updated, now)),
        ("evidence", config.evidence.word().to_owned()),
        (
            "level",
            config
                .level
                .map_or("all may read it", Level::word)
                .to_owned(),
        ),
    ];
    lines.extend(config.preset.iter().map(|p| ("system", system(p))));
    match &config.program {
        ProgramDoc::Kernel {
            kernel,
            initrds,
            cmdline,
        } => {
            lines.push(("kernel", asset(kernel)));
            lines.extend(initrds.iter().map(|i| ("initrd", asset(i))));
            lines.push(("cmdline", cmdline.clone()));
        }
        ProgramDoc::Ipxe { script, files } => {
            lines.extend(script.lines().map(|l| ("script", l.to_owned())));
            lines.extend(files.iter().map(|f| ("file", asset(f))));
        }
    }
    lines.extend(config.overlays.iter().map(|name| ("overlay", name.clone())));
    for (name, text) in &config.answers {
        lines.push(("answer", format!("{name} ({})", size(text.len() as u64))));
    }
    lines
}

fn system(preset: &PresetDoc) -> String {
    let words = [
        Some(preset.os.word()),
        preset.release.as_deref(),
        Some(preset.arch.word()),
        preset.location.as_deref(),
        preset.disk.as_deref(),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn asset(asset: &AssetDoc) -> String {
    let mut text = format!("{} (", asset.name);
    let _ = match (asset.state, &asset.sha256, asset.got) {
        (FileState::Uploaded | FileState::Cached, Some(sum), _) => {
            let sum = sum.get(..12).unwrap_or_default();
            write!(text, "{}, sha256 {sum}…)", size(asset.size))
        }
        (FileState::Fetching, _, Some(got)) if asset.size > 0 => {
            write!(text, "fetching: {} of {})", size(got), size(asset.size))
        }
        (FileState::Fetching, _, Some(got)) => write!(text, "fetching: {})", size(got)),
        (FileState::Failed, ..) => {
            write!(
                text,
                "failed: {})",
                asset.why.as_deref().unwrap_or_default()
            )
        }
        _ => write!(text, "fetching: waits for its turn)"),
    };
    if let Some(url) = &asset.url {
        let _ = write!(text, " from {url}");
    }
    text
}
