//! Labels, annotations, conditions and event reasons. A name that users or other tools see stands here once.

pub const GROUP: &str = "fairlead.dev";

/// Which environment an object belongs to; the watches select by it.
pub const ENVIRONMENT_LABEL: &str = "fairlead.dev/environment";
/// On the Environment of a preview: of which Environment it is one.
pub const PREVIEW_LABEL: &str = "fairlead.dev/preview-of";
/// Which app of the environment an object belongs to.
pub const APP_LABEL: &str = "fairlead.dev/app";
/// Which page of its Environment an EnvironmentPage is: a number from 0.
pub const PAGE_LABEL: &str = "fairlead.dev/page";
/// On an EnvironmentPage: names what stands in it, so that a new owner knows what it need not write.
pub const CONTENT_ANNOTATION: &str = "fairlead.dev/content";

/// Orders an object among those of its stage: a whole number, 0 where absent.
pub const WAVE_ANNOTATION: &str = crate::object::WAVE;
/// The ecosystem's own way to order: `group/namespaces/ns/Kind/name` or `group/Kind/name`, separated by commas.
pub const DEPENDS_ON_ANNOTATION: &str = "config.kubernetes.io/depends-on";
/// Set on an Environment by the agent: what of an approved set is still to be deleted, so that a restart goes on.
pub const APPROVED_ANNOTATION: &str = "fairlead.dev/approved";

/// On an object that is not put back when a rollout fails, because of its kind: that it may be.
pub const REVERSIBLE: &str = "fairlead.dev/reversible";

/// On an Environment whose objects go with it: it stays until they are gone.
pub const FINALIZER: &str = "fairlead.dev/remove";

/// The ApplySet specification: kubectl and others see our inventory by these.
pub const APPLYSET_PART_OF: &str = "applyset.kubernetes.io/part-of";
pub const APPLYSET_ID: &str = "applyset.kubernetes.io/id";
pub const APPLYSET_PARENT: &str = "applyset.kubernetes.io/is-parent-type";
pub const APPLYSET_TOOLING: &str = "applyset.kubernetes.io/tooling";
pub const APPLYSET_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
pub const APPLYSET_NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
/// Who tends an ApplySet: any version of us may, and nobody else's is touched.
pub const TOOLING: &str = "fairlead/v1alpha1";

/// All apps run what git says, and passed their gates.
pub const READY: &str = "Ready";
/// Whether every secret can be read and used in its newest version.
pub const SECRETS_READY: &str = "SecretsReady";
/// Whether it is known of all kinds if their objects are as git says. There once it was not.
pub const VERIFIED: &str = "Verified";
/// Something is being rolled out, or waited for.
pub const RECONCILING: &str = "Reconciling";
/// Something will not go on without a person or a new commit.
pub const STALLED: &str = "Stalled";

/// On the Leases of the agent's replicas: `heartbeat`, or `environments` for the record of who has which.
pub const LEASE_LABEL: &str = "fairlead.dev/lease";
/// On a heartbeat: the environments that the replica was told to look after, where it was.
pub const ONLY_ANNOTATION: &str = "fairlead.dev/only";
/// On the record, before the name of an environment: the heartbeat of its owner, and the epoch.
pub const OWNER_ANNOTATIONS: &str = "owner.fairlead.dev/";
