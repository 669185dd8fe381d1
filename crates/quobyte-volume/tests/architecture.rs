//! What docs/ARCHITECTURE.md says of the library's modules: which may use which, and that `pure` does no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// The layers from the ground up. A module uses its own layer and those before it.
const LAYERS: [&str; 5] = ["error", "pure", "host", "mount", "driver"];

/// The library's package.
const LIBRARY: &str = "crates/quobyte-volume";

/// What `pure` does not touch.
const IO: [&str; 14] = [
    "libc",
    "rustix",
    "tempfile",
    "std::env",
    "std::fs",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os::unix::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "crate::host",
];

/// The name of a package's root among its modules.
const ROOT: &str = "crate";

/// The modules of a package, by path: `host::share::helper`. Tests are left out.
type Modules = BTreeMap<String, Module>;

#[derive(Default)]
struct Module {
    /// Every path that it names from the crate's root or from another crate.
    paths: BTreeSet<String>,
    /// Where the names come from that it hands on.
    handed_on: BTreeMap<String, String>,
}

#[test]
fn modules_use_only_lower_layers() {
    let layer = |module: &str| {
        let first = module.split("::").next().unwrap_or_default();
        LAYERS.iter().position(|layer| *layer == first).unwrap_or_else(|| panic!("{first} is no layer"))
    };
    let modules = modules_of(LIBRARY);
    for (module, uses) in edges(&modules).into_iter().filter(|(module, _)| *module != ROOT) {
        for used in uses {
            assert!(layer(used) <= layer(module), "{module} uses {used}");
        }
    }
}

#[test]
fn pure_modules_do_no_io() {
    for (name, module) in modules_of(LIBRARY).iter().filter(|(name, _)| name.starts_with("pure")) {
        let io: Vec<_> = module.paths.iter().filter(|path| IO.iter().any(|io| is_below(path, io))).collect();
        assert!(io.is_empty(), "{name} uses {io:?}");
    }
}

#[test]
fn modules_form_no_import_cycle() {
    for name in
        [LIBRARY, "crates/nova-quobyte", "crates/nova-quobyte-python", "crates/quobyte-standin", "e2e"]
    {
        let modules = modules_of(name);
        let mut edges = edges(&modules);
        // What uses nothing that is left, or is used by nothing that is left, is in no cycle.
        loop {
            let used: BTreeSet<_> = edges.values().flatten().copied().collect();
            let is_free =
                |(module, uses): &(&&str, &BTreeSet<&str>)| uses.is_empty() || !used.contains(**module);
            let Some(free) = edges.iter().find(is_free).map(|(module, _)| *module) else { break };
            edges.remove(free);
            for uses in edges.values_mut() {
                uses.remove(free);
            }
        }
        assert!(edges.is_empty(), "{name}: cycles are among {edges:#?}");
    }
}

#[test]
fn import_scan_finds_known_imports() {
    let modules = modules_of(LIBRARY);
    let edges = edges(&modules);
    assert!(modules.len() > 60, "{}", modules.len());
    assert!(edges["driver::connect"].contains("driver::operation"), "{:?}", edges["driver::connect"]);
    assert!(edges["host::linux"].contains("host"), "{:?}", edges["host::linux"]);
    assert!(edges["driver::context"].contains("host::deadline"), "{:?}", edges["driver::context"]);
}

/// Which modules each module uses: those that define what it names.
fn edges(modules: &Modules) -> BTreeMap<&str, BTreeSet<&str>> {
    let used = |module: &str, path: &String| definer(modules, path).filter(|used| *used != module);
    let edge = |(name, module): (&'_ String, &'_ Module)| {
        module.paths.iter().filter_map(|path| used(name, path)).collect::<BTreeSet<_>>()
    };
    modules.iter().map(|entry| (entry.0.as_str(), edge(entry))).collect()
}

/// The module that defines what a path names, whoever hands it on.
fn definer<'a>(modules: &'a Modules, path: &str) -> Option<&'a str> {
    let path = path.strip_prefix("crate::")?;
    let found = modules.iter().rev().find(|(name, _)| is_below(path, name));
    let (name, module) = found.or_else(|| modules.get_key_value(ROOT))?;
    let rest = path.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix("::")).unwrap_or(path);
    match module.handed_on.get(rest.split("::").next()?) {
        Some(origin) => definer(modules, origin),
        None => Some(name),
    }
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The modules of the package in that directory.
fn modules_of(package: &str) -> Modules {
    let mut modules = Modules::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    read(&root.join(package).join("src"), "", &mut modules);
    modules
}

fn read(directory: &Path, parent: &str, modules: &mut Modules) {
    for entry in fs::read_dir(directory).expect("the directory is listed") {
        let path = entry.expect("the directory is listed").path();
        let name = path.file_stem().and_then(OsStr::to_str).expect("names are text");
        let module = if parent.is_empty() { name.to_owned() } else { format!("{parent}::{name}") };
        let module = if ["lib", "main"].contains(&name) { ROOT.to_owned() } else { module };
        if ["bin", "tests", "fake"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            read(&path, &module, modules);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = fs::read_to_string(&path).expect("the file is read");
            let file = syn::parse_file(&file).expect("the file compiles");
            let content = Reader::read(&module, &file);
            modules.insert(module, content);
        }
    }
}

/// Collects what a file names.
struct Reader<'a> {
    name: &'a str,
    module: Module,
    /// The first word of each path outside `use`.
    words: BTreeSet<String>,
    children: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    fn read(name: &'a str, file: &syn::File) -> Module {
        let mut reader =
            Self { name, module: Module::default(), words: BTreeSet::new(), children: BTreeSet::new() };
        reader.visit_file(file);
        let Self { mut module, words, .. } = reader;
        // What a module hands on it may use, too.
        module.paths.extend(
            module.handed_on.iter().filter(|(name, _)| words.contains(*name)).map(|(_, path)| path.clone()),
        );
        module
    }

    /// A path as seen from the crate's root, or of another crate.
    fn absolute(&self, segments: &[String]) -> String {
        let above = |levels: usize| {
            let mut parts: Vec<_> = self.name.split("::").collect();
            parts.retain(|part| *part != ROOT);
            parts.truncate(parts.len().saturating_sub(levels));
            ["crate"].into_iter().chain(parts).map(str::to_owned).collect::<Vec<_>>()
        };
        let supers = segments.iter().take_while(|segment| *segment == "super").count();
        match segments.first().map(String::as_str) {
            Some("self") => [&above(0), &segments[1..]].concat().join("::"),
            Some("super") => [&above(supers), &segments[supers..]].concat().join("::"),
            _ => segments.join("::"),
        }
    }

    fn read_use(&mut self, tree: &UseTree, prefix: &[String], is_handed_on: bool) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        let (path, name) = match tree {
            UseTree::Path(path) => return self.read_use(&path.tree, &with(&path.ident), is_handed_on),
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.read_use(tree, prefix, is_handed_on));
            }
            UseTree::Name(name) if name.ident == "self" => (prefix.to_vec(), name.ident.to_string()),
            UseTree::Name(name) => (with(&name.ident), name.ident.to_string()),
            UseTree::Rename(rename) => (with(&rename.ident), rename.rename.to_string()),
            UseTree::Glob(_) => (prefix.to_vec(), "*".to_owned()),
        };
        let path = self.absolute(&path);
        if is_handed_on {
            self.module.handed_on.insert(name, path);
        } else {
            self.module.paths.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Use(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if attributes.iter().any(|attribute| attribute.path().is_ident("cfg")) {
            return;
        }
        match item {
            Item::Mod(item) if item.content.is_none() => drop(self.children.insert(item.ident.to_string())),
            Item::Use(item) => {
                self.read_use(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
            }
            item => visit::visit_item(self, item),
        }
    }

    /// Says who may use an item, not what it uses.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.words.insert(segments[0].clone());
        if ["crate", "self", "super", "std"].contains(&segments[0].as_str()) && segments.len() > 1 {
            self.module.paths.insert(self.absolute(&segments));
        } else if self.children.contains(&segments[0]) {
            self.module.paths.insert(self.absolute(&[&["self".to_owned()], &segments[..]].concat()));
        }
        visit::visit_path(self, path);
    }
}
