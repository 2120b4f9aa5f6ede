//! Backups with the real program: made while it is busy, restored through kill -9.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod room;

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use room::{ENFORCER, Room, Running, Told, tell};

const QUIET: &str = "tftp = false\n[dhcp]\nmode = \"off\"\n";
/// Kills of a restore, spread over the time that it takes.
const KILLS: u32 = 12;

fn serve(room: &Room, state: &str) -> Running {
    let mut serve = room.serve(state, &["--config"]);
    serve.arg(room.file("c.toml", QUIET));
    Running::start(serve)
}

fn on(state: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(ENFORCER);
    command.args(words).arg("--state").arg(state);
    command
}

fn names(room: &Room, state: &str) -> Vec<String> {
    let told = room.ask(state, &["machines", "list", "-o", "name"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    told.stdout.lines().map(str::to_owned).collect()
}

fn register(room: &Room, n: usize) -> Told {
    let (mac, name) = (
        format!("52:54:00:00:{:02x}:{:02x}", n / 256, n % 256),
        format!("m{n}"),
    );
    room.ask("state", &["machines", "register", &mac, "--name", &name])
}

#[test]
fn a_busy_controller_is_backed_up_and_comes_back_elsewhere_and_in_its_place() {
    let room = Room::with_network();
    let running = serve(&room, "state");
    for n in 0..5 {
        assert_eq!(register(&room, n).code, Some(0));
    }
    let (file, state) = (room.path("b.tar"), room.path("state"));
    let (path, place) = (file.display().to_string(), state.display().to_string());
    let backup = ["backup", &path, "--state", &place];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            (5..)
                .take_while(|_| !done.load(Ordering::Relaxed))
                .for_each(|n| drop(register(&room, n)));
        });
        let told = room.ask("state", &backup);
        done.store(true, Ordering::Relaxed);
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(
            told.stderr.contains("read back") && told.stderr.contains("images are not in it"),
            "{told:?}"
        );
    });
    let again = room.ask("state", &backup);
    again.one_sentence(1, &["b.tar", "is there already"]);
    let restore = ["restore", &path];
    tell(on(&state, &restore)).one_sentence(1, &["a controller uses", "systemctl stop enforcer"]);
    running.kill();

    let elsewhere = serve_restored(&room, "elsewhere", &restore);
    let known = names(&room, "elsewhere");
    assert!(
        (0..5).all(|n| known.contains(&format!("m{n}"))),
        "{known:?}"
    );
    assert_eq!(
        key(&room.path("elsewhere")),
        key(&state),
        "it is the same site"
    );
    drop(elsewhere);
    // A restore that is killed leaves the folder of before or the new one, never a part.
    fs::write(state.join("mark"), "old").unwrap();
    for n in 0..KILLS {
        let mut child = on(&state, &restore).spawn().unwrap();
        thread::sleep(Duration::from_millis(u64::from(n) * 5));
        let _ = child.kill();
        child.wait().unwrap();
        assert!(
            state.join("enforcer.redb").exists() && key(&state) == key(&room.path("elsewhere"))
        );
    }
    let told = tell(on(&state, &restore));
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        !state.join("mark").exists() && told.stderr.contains("before-restore"),
        "{told:?}"
    );
    let _running = serve(&room, "state");
    assert!(names(&room, "state").contains(&"m4".to_owned()));
}

fn serve_restored(room: &Room, state: &str, restore: &[&str]) -> Running {
    let told = tell(on(&room.path(state), restore));
    assert_eq!(told.code, Some(0), "{told:?}");
    serve(room, state)
}

fn key(state: &Path) -> Vec<u8> {
    fs::read(state.join("ca/ca.key")).unwrap()
}
