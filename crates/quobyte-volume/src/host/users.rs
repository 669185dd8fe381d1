//! What the host's own file says of users.

use std::path::PathBuf;

/// A user as the host's own file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    /// The number of the user's own group.
    pub(super) group: u32,
    pub(super) home: PathBuf,
}

/// What `sudo -u` takes for the user of that number: the name, or the number itself where the host's own file has none.
#[must_use]
pub fn name(user: u32) -> String {
    account(user).map_or_else(|| format!("#{user}"), |account| account.name)
}

/// The user of that number; `None` where the host's own file has none.
pub(super) fn account(user: u32) -> Option<Account> {
    find(&std::fs::read_to_string("/etc/passwd").ok()?, user)
}

fn find(accounts: &str, user: u32) -> Option<Account> {
    accounts.lines().find_map(|line| {
        let [name, _, number, group, _, home, ..] = line.split(':').collect::<Vec<_>>()[..] else {
            return None;
        };
        let is_it = number.parse() == Ok(user);
        is_it.then_some(Account { name: name.to_owned(), group: group.parse().ok()?, home: home.into() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_found_by_number() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n+::::::\nvmops:x:1001:100::/home/vmops:/bin/sh\n";
        let vmops = Account { name: "vmops".to_owned(), group: 100, home: "/home/vmops".into() };
        assert_eq!(find(accounts, 1001), Some(vmops));
        assert_eq!(find(accounts, 100), None);
        assert_eq!(name(u32::MAX - 1), format!("#{}", u32::MAX - 1));
    }
}
