package sim

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reference is a ConfigMap or Secret that a pod needs, and maybe one key of it.
type reference struct {
	secret bool
	name   string
	key    string
	mount  bool
}

// missingReference looks for ConfigMaps and Secrets that the container needs, as a
// kubelet does. A missing one is CreateContainerConfigError in the environment, and
// a pod that stays in ContainerCreating in a volume.
func (s *Sim) missingReference(pod *corev1.Pod, container string) (reason, message string) {
	for _, r := range references(pod, container) {
		keys, err := s.keys(pod.Namespace, r)
		kind := "configmap"
		if r.secret {
			kind = "secret"
		}
		switch {
		case apierrors.IsNotFound(err):
			message = fmt.Sprintf("%s %q not found", kind, r.name)
		case err != nil:
			continue
		case r.key != "" && !keys[r.key]:
			message = fmt.Sprintf("couldn't find key %s in %s %s/%s", r.key, kind, pod.Namespace, r.name)
		default:
			continue
		}
		if r.mount {
			return "ContainerCreating", message
		}
		return "CreateContainerConfigError", message
	}
	return "", ""
}

func (s *Sim) keys(namespace string, r reference) (map[string]bool, error) {
	keys := map[string]bool{}
	if r.secret {
		secret, err := s.client.CoreV1().Secrets(namespace).Get(context.Background(), r.name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		for key := range secret.Data {
			keys[key] = true
		}
		return keys, nil
	}
	config, err := s.client.CoreV1().ConfigMaps(namespace).Get(context.Background(), r.name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	for key := range config.Data {
		keys[key] = true
	}
	for key := range config.BinaryData {
		keys[key] = true
	}
	return keys, nil
}

func references(pod *corev1.Pod, name string) []reference {
	var list []reference
	add := func(optional *bool, r reference) {
		if optional == nil || !*optional {
			list = append(list, r)
		}
	}
	for _, volume := range pod.Spec.Volumes {
		if source := volume.ConfigMap; source != nil {
			add(source.Optional, reference{name: source.Name, mount: true})
		}
		if source := volume.Secret; source != nil {
			add(source.Optional, reference{secret: true, name: source.SecretName, mount: true})
		}
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if config := source.ConfigMap; config != nil && config.Name != "kube-root-ca.crt" {
				add(config.Optional, reference{name: config.Name, mount: true})
			}
			if secret := source.Secret; secret != nil {
				add(secret.Optional, reference{secret: true, name: secret.Name, mount: true})
			}
		}
	}
	for _, container := range append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		if container.Name != name {
			continue
		}
		for _, from := range container.EnvFrom {
			if source := from.ConfigMapRef; source != nil {
				add(source.Optional, reference{name: source.Name})
			}
			if source := from.SecretRef; source != nil {
				add(source.Optional, reference{secret: true, name: source.Name})
			}
		}
		for _, env := range container.Env {
			if env.ValueFrom == nil {
				continue
			}
			if source := env.ValueFrom.ConfigMapKeyRef; source != nil {
				add(source.Optional, reference{name: source.Name, key: source.Key})
			}
			if source := env.ValueFrom.SecretKeyRef; source != nil {
				add(source.Optional, reference{secret: true, name: source.Name, key: source.Key})
			}
		}
	}
	return list
}
