//! Finds import loops between the modules of one crate, and imports that a pure module must not
//! have.
//!
//! A file is a module. Imports are the paths in `use` items and in the code. A re-export is
//! followed to the module that defines the name, so a parent may re-export items of its children.
//! Modules for tests are skipped. Method calls on a type that was not imported, and names that a
//! macro creates, are not found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use anyhow::{Context, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree, Visibility};

/// A path: that of a module within its crate (empty for the root), or one as written in the code.
type Names = Vec<String>;
type Modules = BTreeMap<Names, Source>;

/// The content of one file. Inline modules are a part of it.
#[derive(Default)]
struct Source {
    file: PathBuf,
    children: BTreeSet<String>,
    defined: BTreeSet<String>,
    imported: BTreeMap<String, Names>,
    globs: Vec<Names>,
    /// Paths with their lines, and for a `pub use` also the name that is re-exported.
    used: Vec<(usize, Names, Option<String>)>,
    /// Names outside `use` items: a name that is only re-exported is not used here.
    words: BTreeSet<String>,
    inner: usize,
}

/// The first file of each crate that is checked.
const CRATES: [&str; 11] = [
    "core/src/lib.rs",
    "backends/src/lib.rs",
    "fence/src/lib.rs",
    "admin/src/lib.rs",
    "cli/src/main.rs",
    "conformance-tests/src/lib.rs",
    "conformance-tests/tests/conformance/main.rs",
    "test-servers/src/lib.rs",
    "verification/src/lib.rs",
    "bench/src/main.rs",
    "xtask/src/main.rs",
];

/// The modules of `core` that use no clock, no I/O and no randomness. [`IMPURE`] lists the modules
/// that they must not import.
const PURE: [&str; 7] = [
    "lease::machine",
    "lease::hint_spread",
    "lease::in_flight",
    "lease::schedule",
    "lease::renewal_plan",
    "lease::loss_reason",
    "election::machine",
];
const IMPURE: [&str; 5] = ["clock", "engine", "lock", "client", "store::memory"];

/// Fails if modules of one crate import each other, or if a pure module imports an impure one.
pub(crate) fn check(workspace: &Path) -> Result<()> {
    let mut found = Vec::new();
    for root in CRATES {
        let mut modules = Modules::new();
        load(Vec::new(), &workspace.join(root), &mut modules)?;
        let imports = imports(&modules);
        if root.starts_with("core/") {
            found.extend(impure(&imports));
        }
        found.extend(loops(&imports));
    }
    if !found.is_empty() {
        bail!("modules have forbidden imports:\n{}", found.join("\n"));
    }
    Ok(())
}

fn load(module: Names, file: &Path, modules: &mut Modules) -> Result<()> {
    let text = fs::read_to_string(file)?;
    let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
    let mut source = Source { file: file.to_owned(), ..Source::default() };
    parsed.items.iter().for_each(|item| source.define(item));
    source.visit_file(&parsed);
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let folder = match stem {
        "mod" | "lib" | "main" => file.with_file_name(""),
        _ => file.with_extension(""),
    };
    for child in &source.children {
        let files = [folder.join(format!("{child}.rs")), folder.join(child).join("mod.rs")];
        if let Some(file) = files.iter().find(|file| file.exists()) {
            load([&module[..], std::slice::from_ref(child)].concat(), file, modules)?;
        }
    }
    modules.insert(module, source);
    Ok(())
}

fn only_for_tests(attributes: &[Attribute]) -> bool {
    let test = |it: &Attribute| it.parse_args::<syn::Ident>().is_ok_and(|word| word == "test");
    attributes.iter().any(|it| it.path().is_ident("cfg") && test(it))
}

impl Source {
    fn define(&mut self, item: &Item) {
        let name = match item {
            Item::Const(it) => &it.ident,
            Item::Enum(it) => &it.ident,
            Item::Fn(it) => &it.sig.ident,
            Item::Static(it) => &it.ident,
            Item::Struct(it) => &it.ident,
            Item::Trait(it) => &it.ident,
            Item::Type(it) => &it.ident,
            Item::Mod(it) if it.content.is_some() => &it.ident,
            _ => return,
        };
        self.defined.insert(name.to_string());
    }

    /// Records a path, and returns it as it would be written at the top of the file.
    fn note(&mut self, line: usize, mut path: Names, re_exported: Option<String>) -> Names {
        let outer = path.iter().take(self.inner).take_while(|name| *name == "super").count();
        drop(path.splice(..outer, iter::repeat_n("self".to_owned(), usize::from(outer > 0))));
        self.used.push((line, path.clone(), re_exported));
        path
    }

    fn import(&mut self, tree: &UseTree, prefix: &[String], line: usize, public: bool) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        let (path, name) = match tree {
            UseTree::Path(it) => return self.import(&it.tree, &with(&it.ident), line, public),
            UseTree::Group(it) => {
                return it.items.iter().for_each(|it| self.import(it, prefix, line, public));
            }
            UseTree::Glob(_) => return self.globs.push(prefix.to_vec()),
            UseTree::Rename(it) => (with(&it.ident), it.rename.to_string()),
            UseTree::Name(it) if it.ident == "self" => {
                (prefix.to_vec(), prefix[prefix.len() - 1].clone())
            }
            UseTree::Name(it) => (with(&it.ident), it.ident.to_string()),
        };
        let path = self.note(line, path, public.then(|| name.clone()));
        self.imported.insert(name, path);
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut path = Names::new();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(word) => {
                    self.words.insert(word.to_string());
                    path.push(word.to_string());
                    let goes_on = tokens.get(at + 1).is_some_and(|it| it.to_string() == ":")
                        && tokens.get(at + 2).is_some_and(|it| it.to_string() == ":");
                    if !goes_on {
                        let path = std::mem::take(&mut path);
                        self.note(word.span().start().line, path, None);
                    }
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if only_for_tests(&item.attrs) {
            return;
        }
        if item.content.is_none() {
            self.children.insert(item.ident.to_string());
            return;
        }
        self.inner += 1;
        visit::visit_item_mod(self, item);
        self.inner -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let public = !matches!(item.vis, Visibility::Inherited);
        if !only_for_tests(&item.attrs) {
            self.import(&item.tree, &[], item.use_token.span.start().line, public);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Names = path.segments.iter().map(|it| it.ident.to_string()).collect();
        self.words.insert(names[0].clone());
        self.note(path.segments[0].ident.span().start().line, names, None);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.tokens(call.tokens.clone());
    }

    // `pub(in crate::run)` imports nothing, nor does an attribute.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// Returns the module that defines the item of the path, and whether the path is that of the module
/// itself; `None` if it belongs to another crate.
fn resolve(modules: &Modules, from: &Names, path: &[String], left: u8) -> Option<(Names, bool)> {
    let (mut module, mut rest) = (from.clone(), path);
    match path.first()?.as_str() {
        "crate" => (module, rest) = (Names::new(), &path[1..]),
        "self" | "super" => {
            let steps = path.iter().take_while(|it| *it == "self" || *it == "super").count();
            path[..steps].iter().filter(|it| *it == "super").for_each(|_| _ = module.pop());
            rest = &path[steps..];
        }
        first => {
            let source = &modules[from];
            let known = source.children.contains(first) || source.imported.contains_key(first);
            known.then_some(())?;
        }
    }
    while let Some(name) = rest.first() {
        let source = modules.get(&module)?;
        let child = [&module[..], std::slice::from_ref(name)].concat();
        if modules.contains_key(&child) {
            (module, rest) = (child, &rest[1..]);
        } else if source.defined.contains(name) {
            return Some((module, false));
        } else if let Some(imported) = source.imported.get(name) {
            // `use serde::Serialize` and `use serde;` lead out of the crate.
            let own = left > 0 && imported[0] != *name;
            let whole = [&imported[..], &rest[1..]].concat();
            return own.then(|| resolve(modules, &module, &whole, left - 1))?;
        } else {
            // A macro creates the name, unless a glob import of another crate has it.
            let foreign = |it: &Names| resolve(modules, &module, it, 1).is_none();
            return (!source.globs.iter().any(foreign)).then_some((module, false));
        }
    }
    Some((module, true))
}

/// The imports of each module, with the location of the first.
type Imports = BTreeMap<(Names, Names), String>;

fn imports(modules: &Modules) -> Imports {
    let mut imports = Imports::new();
    for (from, source) in modules {
        for (line, path, re_exported) in &source.used {
            let used = re_exported.as_ref().is_none_or(|name| source.words.contains(name));
            // Importing a module imports none of its items; the paths that begin with it do.
            let Some((to, false)) = resolve(modules, from, path, 8) else { continue };
            if used && to != *from {
                let location = format!("  {}:{line}: {}", source.file.display(), path.join("::"));
                imports.entry((from.clone(), to)).or_insert(location);
            }
        }
    }
    imports
}

/// Returns the imports that are part of a loop.
fn loops(imports: &Imports) -> Vec<String> {
    let in_loop = |(from, to): &(Names, Names)| reachable(imports, to).contains(from);
    imports
        .iter()
        .filter(|(import, _)| in_loop(import))
        .map(|(_, location)| location.clone())
        .collect()
}

/// Returns what a module imports, directly or not.
fn reachable<'a>(imports: &'a Imports, from: &Names) -> BTreeSet<&'a Names> {
    let mut reached = BTreeSet::new();
    let mut left = vec![from];
    while let Some(module) = left.pop() {
        let of_module = imports.keys().filter(|(from, _)| from == module).map(|(_, to)| to);
        for to in of_module {
            if reached.insert(to) {
                left.push(to);
            }
        }
    }
    reached
}

/// Returns the imports of impure modules by pure ones, directly or not.
fn impure(imports: &Imports) -> Vec<String> {
    let within = |module: &Names, list: &[&str]| {
        let module = module.join("::");
        list.iter().any(|it| module == *it || module.starts_with(&format!("{it}::")))
    };
    let mut reached: BTreeSet<&Names> =
        imports.keys().map(|(from, _)| from).filter(|from| within(from, &PURE)).collect();
    let mut found = Vec::new();
    let mut left: Vec<_> = imports.iter().collect();
    loop {
        let (now, later): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|((from, _), _)| reached.contains(from));
        if now.is_empty() {
            return found;
        }
        for ((_, to), location) in now {
            if within(to, &IMPURE) {
                found.push(format!("{location} (from a pure module)"));
            } else {
                reached.insert(to);
            }
        }
        left = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the files of a crate and returns the imports that are in a loop.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let mut modules = Modules::new();
        load(Vec::new(), &root.path().join("lib.rs"), &mut modules).unwrap();
        loops(&imports(&modules))
    }

    #[test]
    fn modules_that_import_each_other_are_found() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub struct A; fn f() { B; }"),
            ("b.rs", "pub struct B; fn f() { crate::a::A; }"),
        ];
        assert_eq!(found(&files).len(), 2);
    }

    #[test]
    fn a_loop_through_re_exports_is_found() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            ("a.rs", "use crate::B; pub struct A(B);"),
            ("b/mod.rs", "mod inner; pub use inner::B;"),
            ("b/inner.rs", "use crate::A; pub struct B(A);"),
        ];
        assert_eq!(found(&files).len(), 2);
    }

    #[test]
    fn a_parent_may_re_export_items_of_its_children() {
        let files = [
            ("lib.rs", "mod a; pub use a::{A, B};"),
            ("a/mod.rs", "mod one; mod two; pub use one::A; pub use two::B;"),
            ("a/one.rs", "pub struct A;"),
            ("a/two.rs", "use super::A; pub struct B(A);"),
        ];
        assert_eq!(found(&files), [""; 0]);
    }

    #[test]
    fn imports_of_tests_do_not_count() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }"),
            ("b.rs", "use crate::a::A; pub struct B(A);"),
        ];
        assert_eq!(found(&files), [""; 0]);
    }
}
