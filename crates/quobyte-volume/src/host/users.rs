//! The names of users, for people who are to type them.

/// What `sudo -u` takes for the user of that number: the name, or the number itself where the host's own file has none.
#[must_use]
pub fn name(user: u32) -> String {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    find(&accounts, user).map_or_else(|| format!("#{user}"), str::to_owned)
}

fn find(accounts: &str, user: u32) -> Option<&str> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(user)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_found_by_number() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n+::::::\nvmops:x:1001:100::/home/vmops:/bin/sh\n";
        assert_eq!(find(accounts, 1001), Some("vmops"));
        assert_eq!(find(accounts, 100), None);
        assert_eq!(name(u32::MAX - 1), format!("#{}", u32::MAX - 1));
    }
}
