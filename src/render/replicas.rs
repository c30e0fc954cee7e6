//! `replicas`: how many, by name.

use super::fields::{FieldSpec, Make, NotThere, visit};
use super::kustomization::{At, Kustomization, Replica};
use super::layer::{Build, Layer};
use crate::object::Problem;
use crate::yaml::Node;

pub(crate) fn run(build: &mut Build<'_>, kustomization: &Kustomization, layer: &mut Layer) {
    let fields = layer.fields.clone();
    for replica in &kustomization.replicas {
        apply(build, replica, &fields.replicas, layer);
        build.transformed(kustomization, layer, "ReplicaCountTransformer");
    }
}

pub(crate) fn apply(build: &mut Build<'_>, replica: &At<Replica>, specs: &[FieldSpec], layer: &mut Layer) {
    let mut is_found = false;
    for object in &mut layer.objects {
        let has_name = object.name() == replica.it.name
            || object.previous.iter().any(|previous| previous.name == replica.it.name);
        if !has_name {
            continue;
        }
        let (api_version, kind) = (object.api_version().to_owned(), object.kind().to_owned());
        for spec in specs {
            let fits =
                |name: &str, kind: &str| name == replica.it.name && spec.gvk.selects(&api_version, kind);
            let before = object.previous.iter().any(|previous| fits(&previous.name, &previous.kind));
            if !(before || fits(object.name(), &kind)) {
                continue;
            }
            is_found = true;
            if !spec.gvk.selects(&api_version, &kind) {
                continue;
            }
            let set = visit(&mut object.node, &spec.path, spec.create, Make::Scalar, &mut |node| {
                put(node, &replica.it)
            });
            if let Err(NotThere(message)) = set {
                let message = format!("{message} (setting the replicas of {kind} {})", object.name());
                build.found.push(Problem::at(object.origin.place.clone(), message));
            }
            object.touch("replicas", &replica.place);
        }
    }
    // On the short way only what changed is there.
    if !is_found && !build.trail.is_short() {
        let message = format!("no object called {} has replicas", replica.it.name);
        let problem = Problem::at(replica.place.clone(), message);
        build
            .found
            .push(problem.hint("it must be a Deployment, StatefulSet, ReplicaSet or ReplicationController"));
    }
}

fn put(node: &mut Node, replica: &Replica) -> Result<(), NotThere> {
    match node {
        node if node.is_quoted() => *node = Node::quoted(replica.count.to_string()),
        Node::List(_) | Node::Map(_) => return Err(NotThere(format!("the replicas are {}", node.what()))),
        node => *node = Node::Number(replica.count.into()),
    }
    Ok(())
}
