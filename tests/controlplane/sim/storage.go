package sim

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	provisioner       = Prefix + "provisioner"
	annProvisioner    = "volume.kubernetes.io/storage-provisioner"
	annProvisionedBy  = "pv.kubernetes.io/provisioned-by"
	annDefaultClass   = "storageclass.kubernetes.io/is-default-class"
	classNow          = "sim"
	classFirstUse     = "sim-wffc"
	classNever        = "sim-never"
	volumePathOnNodes = "/var/lib/sim/"
)

// createClasses creates the StorageClasses; all but "sim-never" provision.
func (s *Sim) createClasses(ctx context.Context) error {
	reclaim := corev1.PersistentVolumeReclaimDelete
	expand := true
	for _, class := range []struct {
		name  string
		mode  storagev1.VolumeBindingMode
		first string
	}{
		{classNow, storagev1.VolumeBindingImmediate, "true"},
		{classFirstUse, storagev1.VolumeBindingWaitForFirstConsumer, "false"},
		{classNever, storagev1.VolumeBindingImmediate, "false"},
	} {
		_, err := s.client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
			ObjectMeta:           metav1.ObjectMeta{Name: class.name, Annotations: map[string]string{annDefaultClass: class.first}},
			Provisioner:          provisioner,
			ReclaimPolicy:        &reclaim,
			VolumeBindingMode:    &class.mode,
			AllowVolumeExpansion: &expand,
		}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

// watchStorage makes a volume for each claim that the volume controller hands to
// this provisioner, and removes it when the claim is gone. It is that controller
// that binds them.
func (s *Sim) watchStorage(ctx context.Context, factory informers.SharedInformerFactory) error {
	claims := factory.Core().V1().PersistentVolumeClaims().Informer()
	volumes := factory.Core().V1().PersistentVolumes().Informer()
	s.hasSynced = append(s.hasSynced, claims.HasSynced, volumes.HasSynced)
	handle := func(object any) {
		var err error
		switch it := object.(type) {
		case *corev1.PersistentVolumeClaim:
			err = s.provision(ctx, it)
		case *corev1.PersistentVolume:
			if it.Status.Phase == corev1.VolumeReleased && it.Annotations[annProvisionedBy] == provisioner &&
				it.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete && it.DeletionTimestamp == nil {
				err = ignoreNotFound(s.client.CoreV1().PersistentVolumes().Delete(ctx, it.Name, metav1.DeleteOptions{}))
			}
		}
		if err != nil && ctx.Err() == nil {
			klog.InfoS("Storage", "err", err)
		}
	}
	handlers := cache.ResourceEventHandlerFuncs{
		AddFunc:    handle,
		UpdateFunc: func(_, after any) { handle(after) },
	}
	if _, err := claims.AddEventHandler(handlers); err != nil {
		return err
	}
	_, err := volumes.AddEventHandler(handlers)
	return err
}

func (s *Sim) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	class := claim.Spec.StorageClassName
	if claim.Annotations[annProvisioner] != provisioner || claim.Spec.VolumeName != "" ||
		claim.DeletionTimestamp != nil || class == nil || *class == classNever {
		return nil
	}
	name := "pvc-" + string(claim.UID)
	kind := corev1.HostPathDirectoryOrCreate
	_, err := s.client.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{annProvisionedBy: provisioner}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			StorageClassName:              *class,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: volumePathOnNodes + name, Type: &kind},
			},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
			},
		},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
