use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::Failure;
use crate::git::{FolderTree, Local, repository_around};
use crate::object::{EnvironmentName, Tree, TreePath};

/// Which files.
#[derive(Clone, Debug, Args)]
pub struct RepoArguments {
    /// The infra repository, or a folder of it
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub repo: PathBuf,
    /// A revision of it (branch, tag, commit); the files as they lie there where it is not given
    #[arg(long, value_name = "REV")]
    pub rev: Option<String>,
}

/// The files that a verb works on, and the revision that they are of.
pub struct Repo {
    pub tree: Box<dyn Tree>,
    pub revision: Option<String>,
    /// Where paths of the tree start from.
    pub root: PathBuf,
}

impl RepoArguments {
    /// The whole repository that the folder belongs to; the folder itself where it belongs to none.
    pub fn open(&self) -> Result<Repo, Failure> {
        let folder = canonical(&self.repo)?;
        match &self.rev {
            Some(rev) => {
                let local = Local::open(&folder)?;
                let revision = local.revision(Some(rev))?;
                let tree = Box::new(local.tree(Some(rev))?);
                Ok(Repo { tree, revision: Some(revision.short().to_owned()), root: local.root().to_owned() })
            }
            None => {
                let root = match repository_around(&folder) {
                    // Only a repository that holds environments is the infra repository; a folder in another is its own.
                    Some(root) if !folder.join("environments").is_dir() => root,
                    _ => folder,
                };
                open_folder(root)
            }
        }
    }
}

/// One folder as `kustomize build` takes it: what it names may lie beside it or above it, within its repository.
pub fn open_around(folder: &Path) -> Result<(Repo, TreePath), Failure> {
    let folder = canonical(folder)?;
    let root = repository_around(&folder).unwrap_or_else(|| "/".into());
    let repo = open_folder(root)?;
    let path = repo.path_of(&folder)?;
    Ok((repo, path))
}

fn open_folder(root: PathBuf) -> Result<Repo, Failure> {
    let tree =
        FolderTree::open(&root).map_err(|error| Failure::input(format!("{}: {error}", root.display())))?;
    Ok(Repo { tree: Box::new(tree), revision: None, root })
}

fn canonical(folder: &Path) -> Result<PathBuf, Failure> {
    folder.canonicalize().map_err(|error| Failure::input(format!("{}: {error}", folder.display())))
}

impl Repo {
    fn path_of(&self, folder: &Path) -> Result<TreePath, Failure> {
        let root = canonical(&self.root)?;
        let within = folder.strip_prefix(&root).map_err(|_| {
            Failure::input(format!("{} is not in the repository {}", folder.display(), root.display()))
        })?;
        let text =
            within.to_str().ok_or_else(|| Failure::input(format!("{} is not UTF-8", folder.display())))?;
        Ok(TreePath::new(text)?)
    }

    /// The environments that the tree has a file for.
    pub fn environments(&self) -> Result<Vec<EnvironmentName>, Failure> {
        match environments(&*self.tree)? {
            Some(names) => Ok(names),
            None => Err(Failure::input(format!("{} has no folder environments", self.root.display()))
                .hint("--repo names the infra repository")),
        }
    }
}

/// The environments that a tree has a file for; `None` where it has no folder for them.
pub fn environments(tree: &dyn Tree) -> Result<Option<Vec<EnvironmentName>>, Failure> {
    let folder = TreePath::new("environments")?;
    if tree.entry(&folder)?.is_none() {
        return Ok(None);
    }
    let mut names = Vec::new();
    for entry in tree.list(&folder)? {
        let file = folder.child(&entry.name).child(crate::agent::desired::CONFIG_FILE);
        if tree.entry(&file).ok().flatten().is_some() {
            names.push(EnvironmentName::new(&entry.name).map_err(|error| Failure::input(error.to_string()))?);
        }
    }
    Ok(Some(names))
}
