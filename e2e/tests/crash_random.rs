//! The command killed at random times: what it started goes on, so this finds what no crash point shows.

use std::{collections::BTreeSet, os::unix::process::ExitStatusExt, time::Duration};

use e2e::{Bystander, Program, Rng, Site, env_number};
use serde_json::json;

const BOB: &str = "b0b00000-0000-4000-8000-000000000002";
const GUESTS: [&str; 2] = ["a11ce000-0000-4000-8000-000000000001", "ca401000-0000-4000-8000-000000000003"];
const IMAGES: [&str; 2] = ["one", "two"];

/// Longer than any call takes that does not wait.
const MAX_DELAY: Duration = Duration::from_millis(120);

type Attached = BTreeSet<(String, String)>;

#[test]
fn random_kills_lose_no_attachment_or_mount() {
    let mut rng = Rng::from_env();
    let site = Site::new(&[]);
    for name in ["one", "two", "bystander"] {
        site.volume().image(name, "raw", &[0; 4096]);
    }
    let mut attached = Attached::new();
    let mut bystander = None;
    let mut kills = 0;
    while kills < env_number("NOVA_QUOBYTE_KILLS", 50) {
        // Half of the time nobody else needs the mount, so that it comes and goes.
        match (rng.below(8), bystander.take()) {
            (0, Some(bob)) => Bystander::disconnect(bob, &site),
            (1, None) => bystander = Some(Bystander::attach(&site, BOB, "bystander")),
            (_, same) => bystander = same,
        }
        let user = (choose(&mut rng, GUESTS), choose(&mut rng, IMAGES));
        let verb = choose(&mut rng, ["connect", "disconnect", "reconcile"]);
        let delay = Duration::from_micros(rng.below(MAX_DELAY.as_micros() as u64));
        let mut after = attached.clone();
        match verb.as_str() {
            "connect" => drop(after.insert(user.clone())),
            "disconnect" => drop(after.remove(&user)),
            _ => {}
        }
        let was_killed = call(&site, &verb, &user).start().finish_within(delay);
        kills += u32::from(was_killed.status.signal() == Some(9));
        let when = format!("kill {kills}: {verb} {user:?} after {delay:?}");
        if rng.below(2) == 0 {
            site.run(&["reconcile"]).answer();
        }
        let recorded = recorded(&site);
        if was_killed.status.success() {
            assert_eq!(recorded, after, "{when}");
        } else {
            assert!(recorded == attached || recorded == after, "{when}: {attached:?} became {recorded:?}");
        }
        attached = recorded;
        if let Some(bob) = &bystander {
            bob.assert_served(&site, &when);
        }
    }
    if let Some(bob) = bystander {
        bob.disconnect(&site);
    }
    for user in &attached {
        assert_eq!(call(&site, "disconnect", user).run().status.code(), Some(0));
    }
    site.run(&["reconcile"]).answer();
    assert_eq!(site.run(&["reconcile"]).answer()["mended"], json!([]));
    site.assert_nothing_is_left();
}

fn choose<const N: usize>(rng: &mut Rng, among: [&str; N]) -> String {
    among[rng.below(N as u64) as usize].to_owned()
}

fn call(site: &Site, verb: &str, (instance, image): &(String, String)) -> Program {
    match verb {
        "reconcile" => site.command(&["reconcile"]),
        _ => {
            let mut info = site.info(image);
            info["multiattach"] = json!(true);
            let command = site.command(&[verb, "--instance", instance, "--connection-info", "-"]);
            command.input(info.to_string())
        }
    }
}

/// Who is attached, but for the bystander.
fn recorded(site: &Site) -> Attached {
    site.attachments().into_iter().filter(|(instance, _)| instance != BOB).collect()
}
