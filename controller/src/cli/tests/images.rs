//! Claims about images and deployments on the command line.

use clap::Parser as _;

use super::{Controller, Line, refusal};
use crate::cli::failure::Failure;

const MIB: usize = 1 << 20;

/// A disk with data, a hole and data, that ends in a hole.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 4 * MIB];
    disk[..MIB].fill(1);
    disk[2 * MIB..2 * MIB + 9000].fill(2);
    disk
}

impl Controller {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write_bytes(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    async fn stored_chunks(&self) -> u64 {
        let images = self.site.api.images().unwrap();
        images.usage().await.unwrap().chunks
    }
}

#[tokio::test]
async fn a_disk_that_is_pushed_raw_or_packed_is_pulled_the_same() {
    let (c, disk) = (Controller::start(), disk());
    let raw = c.write_bytes("disk.raw", &disk);
    let packed = c.write_bytes("disk.zst", &zstd::bulk::compress(&disk, 1).unwrap());
    let told = c
        .run(&["images", "push", &raw, "debian", "--note", "first"])
        .await
        .unwrap();
    assert!(
        told.contains("debian@1") && told.contains("first"),
        "{told}"
    );
    assert_eq!(c.stored_chunks().await, 2);
    for file in [&raw, &packed] {
        c.run(&["images", "push", file, "debian"]).await.unwrap();
    }
    assert_eq!(c.stored_chunks().await, 2, "nothing was new");
    for (version, to) in [
        ("debian", "a.raw"),
        ("debian@1", "b.raw"),
        ("debian@3", "c.raw.zst"),
    ] {
        let to = c.path(to);
        c.run(&["images", "pull", version, &to]).await.unwrap();
        let mut got = std::fs::read(&to).unwrap();
        if to.ends_with(".zst") {
            got = zstd::stream::decode_all(&got[..]).unwrap();
        }
        assert!(got == disk, "{version}");
    }
    let there = c.run(&["images", "pull", "debian", &raw]).await;
    assert!(matches!(there, Err(Failure::Usage(_))), "{there:?}");
    let list = c.run(&["images", "list"]).await.unwrap();
    assert!(
        list.contains("debian  @3") && list.contains("4.0 MiB"),
        "{list}"
    );
    let shown = c.run(&["images", "show", "debian"]).await.unwrap();
    assert!(shown.lines().any(|l| l.starts_with("@2 ")), "{shown}");
}

#[tokio::test]
async fn a_push_of_a_packed_disk_that_broke_goes_on_where_it_was() {
    let c = Controller::start();
    // Each chunk another, none of them small when it is packed.
    let mut state = 1_u64;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    let disk: Vec<u8> = (0..40 * MIB).map(|_| noise()).collect();
    let packed = zstd::bulk::compress(&disk, 1).unwrap();
    let cut = c.write_bytes("disk.zst", &packed[..packed.len() * 9 / 10]);
    assert!(c.run(&["images", "push", &cut, "noise"]).await.is_err());
    assert_eq!(
        c.stored_chunks().await,
        32,
        "what came whole before it broke"
    );
    let whole = c.write_bytes("disk.zst", &packed);
    c.run(&["images", "push", &whole, "noise"]).await.unwrap();
    let view = c.site.api.store.view();
    let image = view.image(&"noise".parse().unwrap()).unwrap();
    let content = &image.latest().unwrap().content;
    assert_eq!(content.size, 40 * MIB as u64);
    assert!(
        content.new_bytes < 9 * MIB as u64,
        "only the last eight chunks were sent again: {}",
        content.new_bytes
    );
}

#[tokio::test]
async fn a_pull_that_broke_goes_on_where_it_was() {
    let (c, disk) = (Controller::start(), disk());
    let raw = c.write_bytes("disk.raw", &disk);
    c.run(&["images", "push", &raw, "debian"]).await.unwrap();
    // What came before is kept, also when it was wrong: it is not asked for again.
    let mut part = disk[..3 * MIB].to_vec();
    part[0] = 99;
    c.write_bytes("got.raw.1.part", &part);
    c.run(&["images", "pull", "debian", &c.path("got.raw")])
        .await
        .unwrap();
    let got = std::fs::read(c.path("got.raw")).unwrap();
    assert!(got[0] == 99 && got[1..] == disk[1..]);
    // All had come but the last word.
    c.write_bytes("whole.raw.1.part", &disk);
    c.run(&["images", "pull", "debian", &c.path("whole.raw")])
        .await
        .unwrap();
    assert!(std::fs::read(c.path("whole.raw")).unwrap() == disk);
}

#[tokio::test]
async fn images_are_set_and_deleted_and_one_in_use_is_not() {
    let c = Controller::start();
    let raw = c.write_bytes("disk.raw", &disk());
    c.run(&["images", "push", &raw, "debian", "--private"])
        .await
        .unwrap();
    c.run(&["images", "set", "debian", "--owner", "ada"])
        .await
        .unwrap();
    let list = c.run(&["images", "list"]).await.unwrap();
    assert!(list.contains("private") && list.contains("ada"), "{list}");
    c.run(&[
        "machines",
        "register",
        "52:54:00:77:00:01",
        "--name",
        "web1",
    ])
    .await
    .unwrap();
    c.run(&["deploy", "web1", "debian", "--save-current", "before"])
        .await
        .unwrap();
    let refused = refusal(c.run(&["images", "delete", "debian@1", "--yes"]).await);
    assert_eq!(refused, "image-in-use");
    let listed = c
        .run(&["deployments", "list", "--machine", "web1", "--open"])
        .await
        .unwrap();
    assert!(
        listed.contains("debian@1") && listed.contains("queued"),
        "{listed}"
    );
    c.run(&["deployments", "cancel", "1"]).await.unwrap();
    let watched = c.run(&["deployments", "watch", "1"]).await;
    assert!(
        matches!(&watched, Err(Failure::Local(why)) if why.contains("cancelled")),
        "{watched:?}"
    );
    let shown = c.run(&["deployments", "show", "1"]).await.unwrap();
    assert!(
        shown
            .lines()
            .any(|l| l.starts_with("was") && l.contains("queued")),
        "{shown}"
    );
    c.run(&["images", "delete", "debian", "--yes"])
        .await
        .unwrap();
    let usage = c.run(&["images", "usage"]).await.unwrap();
    assert!(usage.contains("quota"), "{usage}");
}

#[tokio::test]
async fn what_has_no_table_gets_the_sectors_that_people_say_and_a_table_is_believed() {
    let c = Controller::start();
    let pushed = async |file: &str, more: &[&str]| {
        let args = [&["images", "push", file, "home"], more].concat();
        c.run(&args).await.map(|_| {
            let view = c.site.api.store.view();
            let image = view.image(&"home".parse().unwrap()).unwrap();
            image.latest().unwrap().content.sector_size
        })
    };
    let plain = c.write_bytes("home.ext4", &disk());
    let mut large = disk();
    large[4096..4104].copy_from_slice(b"EFI PART");
    let large = c.write_bytes("large.raw", &large);
    for (file, more, expected) in [
        (&plain, &[][..], 512),
        (&plain, &["--sector-size", "4096"], 4096),
        (&plain, &["--sector-size", "512"], 512),
        (&large, &[], 4096),
        (&large, &["--sector-size", "4096"], 4096),
    ] {
        assert_eq!(pushed(file, more).await.unwrap(), expected, "{more:?}");
    }
    let refused = pushed(&large, &["--sector-size", "512"]).await;
    assert!(
        matches!(&refused, Err(Failure::Local(why)) if why.contains("4096")),
        "{refused:?}"
    );
    let odd = [
        "enforcer",
        "images",
        "push",
        "f",
        "n",
        "--sector-size",
        "520",
    ];
    let odd = Line::try_parse_from(odd).err().unwrap().to_string();
    assert!(odd.contains("512 or 4096"), "{odd}");
}

#[tokio::test]
async fn what_is_no_disk_is_refused_with_a_sentence() {
    let c = Controller::start();
    let odd = c.write_bytes("odd.raw", &[1; 700]);
    let refused = c.run(&["images", "push", &odd, "odd"]).await;
    assert!(
        matches!(&refused, Err(Failure::Local(why)) if why.contains("sectors")),
        "{refused:?}"
    );
    let cut = zstd::bulk::compress(&disk(), 1).unwrap();
    let cut = c.write_bytes("cut.zst", &cut[..cut.len() / 2]);
    let refused = c.run(&["images", "push", &cut, "cut"]).await;
    assert!(
        matches!(&refused, Err(Failure::Local(why)) if why.contains("cut short")),
        "{refused:?}"
    );
    let other = c.write_bytes("disk.qcow2", b"QFI\xfb and so on");
    let refused = c.run(&["images", "push", &other, "other"]).await;
    assert!(
        matches!(&refused, Err(Failure::Local(why)) if why.contains("qcow2")),
        "{refused:?}"
    );
    let empty = c.write_bytes("empty.raw", &[]);
    assert!(c.run(&["images", "push", &empty, "x"]).await.is_err());
}

#[tokio::test]
async fn setups_are_written_and_deployed_by_their_name() {
    let c = Controller::start();
    let raw = c.write_bytes("disk.raw", &disk());
    c.run(&["images", "push", &raw, "debian"]).await.unwrap();
    c.run(&[
        "machines",
        "register",
        "52:54:00:77:00:01",
        "--name",
        "web1",
    ])
    .await
    .unwrap();
    c.run(&[
        "setups",
        "set",
        "node",
        "debian:smallest",
        "debian@1:serial=D2",
    ])
    .await
    .unwrap();
    let shown = c.run(&["setups", "show", "node"]).await.unwrap();
    assert!(shown.contains("debian@1 → serial=D2"), "{shown}");
    c.run(&["deploy", "web1", "setup:node"]).await.unwrap();
    let listed = c.run(&["deployments", "list", "-o", "json"]).await.unwrap();
    assert_eq!(listed.matches("\"setup\": \"node\"").count(), 2, "{listed}");
    c.run(&["machines", "erase", "web1", "--yes", "--how", "zero"])
        .await
        .unwrap();
}
