//! Who a local peer is: root and the daemon's own user may everything, the group `enforcer` operates, others nothing.

use std::fs;

use crate::http::{
    auth::{Caller, Role},
    error::{Code, Problem},
};

/// Members of this group may operate the controller.
pub const GROUP: &str = "enforcer";

/// Decides who a peer is.
#[derive(Debug, Clone)]
pub struct PeerRule {
    /// The daemon's own user.
    own_uid: u32,
    /// Where groups are looked up; asked at each connection, so that a new member need not wait for a restart.
    accounts: fn() -> Accounts,
}

/// The two account files, as far as they matter. Read here and not through the C library: a static binary has no name
/// service switch. Members that only a directory service knows must have the group as their current one (`newgrp`).
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// `/etc/passwd`.
    pub passwd: String,
    /// `/etc/group`.
    pub group: String,
}

impl PeerRule {
    /// The rule of this process and host.
    #[must_use]
    pub fn of_this_host() -> Self {
        Self {
            own_uid: rustix::process::geteuid().as_raw(),
            accounts: Accounts::of_this_host,
        }
    }

    /// The rule of a daemon of user `own_uid` with these accounts.
    #[must_use]
    pub fn new(own_uid: u32, accounts: fn() -> Accounts) -> Self {
        Self { own_uid, accounts }
    }

    /// Who `uid` is, whose current group is `gid`.
    ///
    /// # Errors
    /// When they may nothing.
    pub fn caller(&self, uid: u32, gid: u32) -> Result<Caller, Problem> {
        let accounts = (self.accounts)();
        let user = accounts.user(uid).unwrap_or_else(|| uid.to_string());
        let role = if uid == 0 || uid == self.own_uid {
            Role::Admin
        } else if accounts.is_member(&user, gid) {
            Role::Operator
        } else {
            return Err(stranger(&user));
        };
        Ok(Caller {
            name: format!("local:{user}"),
            role,
        })
    }
}

fn stranger(user: &str) -> Problem {
    Problem::new(
        Code::Forbidden,
        format!(
            "{user} is not in the group '{GROUP}': run `sudo usermod -aG {GROUP} {user}` and log in again, or use sudo"
        ),
    )
}

impl Accounts {
    fn of_this_host() -> Self {
        // Without the files nobody but root and ourselves is known, which is the safe side.
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            passwd: read("/etc/passwd"),
            group: read("/etc/group"),
        }
    }

    /// The name of a user (passwd(5): name, password, uid, …).
    fn user(&self, uid: u32) -> Option<String> {
        let mut lines = self
            .passwd
            .lines()
            .map(|l| l.split(':').collect::<Vec<_>>());
        let line = lines.find(|f| f.get(2).and_then(|id| id.parse().ok()) == Some(uid))?;
        line.first().map(|&name| name.to_owned())
    }

    fn has(&self, user: &str) -> bool {
        let mut names = self.passwd.lines().filter_map(|l| l.split(':').next());
        names.any(|name| name == user)
    }

    fn is_member(&self, user: &str, gid: u32) -> bool {
        let Some((id, members)) = self.group(GROUP) else {
            return false;
        };
        id == gid || members.contains(&user)
    }

    /// A group's id and members (group(5): name, password, gid, members).
    fn group(&self, name: &str) -> Option<(u32, Vec<&str>)> {
        let mut lines = self.group.lines().map(|l| l.split(':').collect::<Vec<_>>());
        let line = lines.find(|f| f.first() == Some(&name))?;
        let id = line.get(2)?.parse().ok()?;
        let members = line.get(3).copied().unwrap_or_default();
        Some((id, members.split(',').filter(|m| !m.is_empty()).collect()))
    }
}

/// Whether an account of this host has this name.
pub(in crate::http) fn is_account(name: &str) -> bool {
    Accounts::of_this_host().has(name)
}

/// The id of a group of this host.
pub(super) fn group_id(name: &str) -> Option<u32> {
    Accounts::of_this_host().group(name).map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\neve:x:1002:1002::/:/bin/sh\n".to_owned(),
            group: "root:x:0:\nenforcerx:x:998:eve\nenforcer:x:999:ada\nada:x:1000:\n".to_owned(),
        }
    }

    fn role(uid: u32, gid: u32) -> Option<Role> {
        PeerRule::new(500, accounts)
            .caller(uid, gid)
            .ok()
            .map(|c| c.role)
    }

    #[test]
    fn the_kernels_word_decides_the_role() {
        assert_eq!(role(0, 0), Some(Role::Admin));
        assert_eq!(role(500, 500), Some(Role::Admin), "the daemon's own user");
        assert_eq!(role(1000, 1000), Some(Role::Operator), "a member");
        assert_eq!(
            role(1001, 999),
            Some(Role::Operator),
            "the group is its current one"
        );
        assert_eq!(role(1001, 1001), None);
        assert_eq!(role(1002, 1002), None, "a member of a longer-named group");
        assert_eq!(role(4242, 4242), None, "an unknown user");
        assert!(accounts().has("eve") && !accounts().has("ev") && !accounts().has("1002"));
    }

    #[test]
    fn without_the_group_only_root_and_we_are_known() {
        let rule = PeerRule::new(500, Accounts::default);
        assert!(rule.caller(0, 0).is_ok() && rule.caller(500, 1).is_ok());
        let refused = rule.caller(1000, 1000).unwrap_err();
        assert!(refused.detail.contains("usermod -aG enforcer"), "{refused}");
    }
}
