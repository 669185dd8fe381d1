//! What libvirt's capabilities say of the host.

use roxmltree::Document;

/// The number of the user that QEMU runs as, unless a domain's description names another: what the security model `dac`
/// has as its base. `None` where the capabilities do not tell.
#[must_use]
pub fn emulator_user(capabilities: &str) -> Option<u32> {
    let document = Document::parse(capabilities).ok()?;
    let mut models = document.descendants().filter(|node| node.has_tag_name("secmodel"));
    let dac = models.find(|model| {
        model.children().any(|child| child.has_tag_name("model") && child.text() == Some("dac"))
    })?;
    let label = dac.children().find(|child| child.has_tag_name("baselabel"))?.text()?;
    label.split(':').next()?.strip_prefix('+')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulator_user_is_read_from_dac_model() {
        let capabilities = |models: &str| format!("<capabilities><host>{models}</host></capabilities>");
        let apparmor = "<secmodel><model>apparmor</model><doi>0</doi></secmodel>";
        let dac = "<secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>+64055:+107</baselabel>\
                   <baselabel type='qemu'>+64055:+107</baselabel></secmodel>";
        assert_eq!(emulator_user(&capabilities(&format!("{apparmor}{dac}"))), Some(64055));
        assert_eq!(emulator_user(&capabilities(&dac.replace("+64055", "+0"))), Some(0));
        for text in [&capabilities(apparmor), &dac.replace("+64055", "qemu"), "", "<capabilities>"] {
            assert_eq!(emulator_user(text), None, "{text}");
        }
    }
}
