//! Wide random trees: what `random` leaves out. Most kinds that have rules of their own, layers that meet again, every
//! field of a kustomization, and the styles in which people write them.

use std::collections::BTreeMap;

use fastrand::Rng;

mod fields;
mod objects;
mod patches;
mod pods;
mod writer;

use objects::Kind;
use writer::{Made, Writer};

pub type Files = BTreeMap<String, String>;
/// Field and name of what is generated.
type Generated = Vec<(&'static str, String)>;

/// The tree of a seed; its top folder is `overlay`.
pub fn files(rng: &mut Rng) -> Files {
    let writer = Writer { rng, made: Vec::new(), taken: Vec::new() };
    let mut tree = Tree {
        writer,
        files: Files::new(),
        generated: Vec::new(),
        seen: BTreeMap::new(),
        variables: 0,
        is_ambiguous: false,
    };
    match tree.writer.rng.u32(..10) {
        0..=1 => tree.layer("overlay", &[], &Wish::ALL),
        2..=4 => {
            tree.layer("base", &[], &Wish::ALL);
            tree.layer("overlay", &["../base"], &Wish::FEW);
        }
        5 => {
            tree.layer("base", &[], &Wish::ALL);
            tree.layer("middle", &["../base"], &Wish::FEW);
            tree.layer("overlay", &["../middle"], &Wish::FEW);
        }
        6 => {
            tree.layer("base", &[], &Wish::ALL);
            tree.layer("other", &[], &Wish::ALL);
            tree.layer("overlay", &["../base", "../other"], &Wish::FEW);
        }
        7..=8 => tree.diamond(),
        _ => tree.twins(),
    }
    tree.files
}

/// What a layer shall have.
struct Wish {
    objects: (usize, usize),
    may: fn(&Kind) -> bool,
    /// Lines of its own, before all others.
    first: String,
    has_names: bool,
}

impl Wish {
    const ALL: Self = Self { objects: (1, 8), may: |_| true, first: String::new(), has_names: true };
    const FEW: Self = Self { objects: (0, 3), may: |_| true, first: String::new(), has_names: true };

    fn with(self, first: String) -> Self {
        Self { first, has_names: false, ..self }
    }
}

pub struct Tree<'r> {
    writer: Writer<'r>,
    files: Files,
    generated: Generated,
    /// What there is in the layers that are done.
    seen: BTreeMap<String, (Vec<Made>, Generated)>,
    variables: usize,
    /// Whether there are objects of the same names, so that patches without target fit more than one.
    is_ambiguous: bool,
}

fn is_renamed(kind: &Kind) -> bool {
    !matches!(kind.kind, "CustomResourceDefinition" | "APIService" | "Namespace")
}

impl Tree<'_> {
    /// Two overlays of one base, joined.
    fn diamond(&mut self) {
        let by_name = self.writer.chance(70);
        let may: fn(&Kind) -> bool = if by_name { is_renamed } else { |kind| !kind.is_of_cluster };
        self.layer("base", &[], &Wish { may, ..Wish::ALL });
        let variables = self.variables;
        for (folder, prefix, namespace) in [("left", "l-", "prod"), ("right", "r-", "dev")] {
            let first = if by_name {
                let namespace = self.writer.write("?30 namespace: ‹prod|dev›\n");
                let end = self.writer.pick(&["namePrefix", "namePrefix", "nameSuffix"]);
                let text = if end == "namePrefix" { prefix.to_owned() } else { format!("-{folder}") };
                format!("{namespace}{end}: {text}\n")
            } else {
                format!("namespace: {namespace}\n")
            };
            self.layer(folder, &["../base"], &Wish { objects: (0, 1), may, ..Wish::FEW.with(first) });
        }
        self.is_ambiguous = true;
        self.variables = variables;
        self.layer("overlay", &["../left", "../right"], &Wish { objects: (0, 2), ..Wish::FEW });
    }

    /// Two bases with objects of the same names in namespaces of their own.
    fn twins(&mut self) {
        let own = |kind: &Kind| !kind.is_of_cluster && !matches!(kind.kind, "Widget" | "Gadget");
        for (folder, namespace) in [("base", "prod"), ("other", "dev")] {
            self.writer.taken.clear();
            let first = format!("namespace: {namespace}\n");
            self.layer(folder, &[], &Wish { objects: (2, 6), may: own, ..Wish::ALL.with(first) });
        }
        self.is_ambiguous = true;
        self.layer("overlay", &["../base", "../other"], &Wish { objects: (0, 2), ..Wish::FEW });
    }

    fn layer(&mut self, folder: &str, below: &[&str], wish: &Wish) {
        self.writer.made.clear();
        self.generated.clear();
        for path in below {
            let (made, generated) = self.seen[path.trim_start_matches("../")].clone();
            self.writer.made.extend(made);
            self.generated.extend(generated);
        }
        let mut text = self.writer.write(
            "?15 # written by hand\n?40 ---\n?40 apiVersion: kustomize.config.k8s.io/v1beta1\n?40 kind: Kustomization\n",
        );
        text.push_str(&wish.first);
        let mut resources: Vec<String> = below.iter().map(|&path| path.to_owned()).collect();
        let count = self.writer.rng.usize(wish.objects.0..=wish.objects.1);
        let mut objects: Vec<String> =
            (0..count * 2).filter_map(|_| self.writer.object(wish.may)).take(count).collect();
        if below.is_empty() && objects.is_empty() {
            objects.extend(self.writer.object(|kind| kind.kind == "Deployment"));
        }
        let mut number = 0;
        while !objects.is_empty() {
            let together = self.writer.rng.usize(1..=objects.len().min(3));
            let content = self.file(objects.drain(..together).collect());
            let name =
                self.writer.pick(&["r.yaml", "r.yml", "sub/r.yaml"]).replace('r', &format!("r{number}"));
            self.files.insert(format!("{folder}/{name}"), content);
            resources.push(name);
            number += 1;
        }
        let bases = !below.is_empty() && self.writer.chance(5);
        if bases {
            text.push_str(&format!("bases: [{}]\n", below.join(", ")));
            resources.drain(..below.len());
        } else {
            let turn = self.writer.rng.usize(..resources.len().max(1));
            resources.rotate_left(turn);
        }
        if !resources.is_empty() {
            text.push_str("resources:\n");
            for path in resources {
                text.push_str(&self.writer.write(&format!("- ‹{path}|{path}|\"{path}\"|{path} # here›\n")));
            }
        }
        self.generators(folder, &mut text);
        if self.writer.chance(12) {
            self.components(&mut text);
        }
        self.fields(folder, wish.has_names, &mut text);
        let name = self.writer.pick(&[
            "kustomization.yaml",
            "kustomization.yaml",
            "kustomization.yml",
            "Kustomization",
        ]);
        self.files.insert(format!("{folder}/{name}"), text);
        self.seen.insert(folder.to_owned(), (self.writer.made.clone(), self.generated.clone()));
    }

    /// Some objects in one file: documents, or a List.
    fn file(&mut self, objects: Vec<String>) -> String {
        if objects.len() > 1 && objects.iter().all(|object| !object.contains('*')) && self.writer.chance(12) {
            let mut text = "apiVersion: v1\nkind: List\nitems:\n".to_owned();
            for object in objects {
                for (nth, line) in object.lines().enumerate() {
                    text.push_str(if nth == 0 { "- " } else { "  " });
                    text.push_str(line);
                    text.push('\n');
                }
            }
            return text;
        }
        let mut text = self.writer.write("?15 # by hand\n?40 ---\n");
        let between = self.writer.write("?20 # and\n---\n?10 # nothing here\n?10 ---\n");
        text.push_str(&objects.join(&between));
        text.push_str(&self.writer.write("?10 ---\n?5 # end\n"));
        match self.writer.chance(3) {
            true => text.replace('\n', "\r\n"),
            false => text,
        }
    }

    /// One or two components, perhaps one inside the other, perhaps twice.
    fn components(&mut self, text: &mut String) {
        let is_there = self.files.keys().any(|path| path.starts_with("one/") || path.starts_with("two/"));
        if is_there && !self.writer.chance(10) {
            return;
        }
        let list = self.writer.pick(&["[../one]", "[../one, ../two]", "[../one, ../one]", "[../two]"]);
        text.push_str(&format!("components: {list}\n"));
        for (folder, nested) in [("one", false), ("two", true)] {
            if self.files.keys().any(|path| path.starts_with(&format!("{folder}/"))) {
                continue;
            }
            let mut text = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n".to_owned();
            if nested && self.writer.chance(60) {
                text.push_str("components:\n- ../one\n");
            }
            let is_listed_twice = list.matches("one").count() > 1;
            if !is_listed_twice
                && list.contains(folder)
                && self.writer.chance(20)
                && let Some(object) = self.writer.object(|_| true)
            {
                self.files.insert(format!("{folder}/own.yaml"), object);
                text.push_str("resources: [own.yaml]\n");
            }
            let empty = text.len();
            if !is_listed_twice {
                self.generators(folder, &mut text);
            }
            self.fields(folder, true, &mut text);
            if text.len() == empty {
                text.push_str("commonAnnotations: {component: x}\n");
            }
            self.files.insert(format!("{folder}/kustomization.yaml"), text);
        }
    }
}
