//! The files of rules beside this one, by name.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!($name, ".yaml")))),*]
    };
}

pub const FILES: &[(&str, &str)] = files![
    "acme.cert-manager.io",
    "apps.3scale.net",
    "apps.kruise.io",
    "apps.openshift.io",
    "argoproj.io",
    "autoscaling.k8s.io",
    "bitnami.com",
    "capabilities.3scale.net",
    "cdi.kubevirt.io",
    "ceph.rook.io",
    "cert-manager.io",
    "cluster.x-k8s.io",
    "cnrm.cloud.google.com",
    "crossplane.io",
    "datadoghq.com",
    "druid.apache.org",
    "external-secrets.io",
    "flink.apache.org",
    "install.istio.io",
    "k8s.mariadb.com",
    "keda.sh",
    "kubevirt.io",
    "minio.min.io",
    "networking.gke.io",
    "numaplane.numaproj.io",
    "operator.knative.dev",
    "operators.coreos.com",
    "platform.confluent.io",
    "policy.open-cluster-management.io",
    "postgresql.cnpg.io",
    "promoter.argoproj.io",
    "rabbitmq.com",
    "rollouts.kruise.io",
    "services.cloud.sap.com",
    "services.k8s.aws",
    "spark.apache.org",
    "sparkoperator.k8s.io",
    "tower.ansible.com",
    "trident.netapp.io",
    "velero.io",
    "work.karmada.io",
];
