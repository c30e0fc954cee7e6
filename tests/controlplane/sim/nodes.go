package sim

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-base/version"
	"k8s.io/klog/v2"
)

const heartbeat = 10 * time.Second

func nodeName(i int) string { return fmt.Sprintf("node-%d", i+1) }

// createNodes creates the nodes, ready at once, and adapts those of an earlier
// life to the new kubelet port.
func (s *Sim) createNodes(ctx context.Context) error {
	for i := range s.config.Nodes {
		node := s.node(i)
		_, err := s.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			var old *corev1.Node
			if old, err = s.client.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{}); err == nil {
				old.Status = node.Status
				_, err = s.client.CoreV1().Nodes().UpdateStatus(ctx, old, metav1.UpdateOptions{})
			}
		}
		if err != nil {
			return fmt.Errorf("node %s: %w", node.Name, err)
		}
		s.nodes[node.Name] = true
	}
	return nil
}

func (s *Sim) node(i int) *corev1.Node {
	name := nodeName(i)
	plenty := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("256"),
		corev1.ResourceMemory:           resource.MustParse("1Ti"),
		corev1.ResourceEphemeralStorage: resource.MustParse("4Ti"),
		corev1.ResourcePods:             resource.MustParse("5000"),
	}
	now := metav1.Now()
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Reason: reason, Message: message, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				corev1.LabelHostname:           name,
				corev1.LabelOSStable:           "linux",
				corev1.LabelArchStable:         "amd64",
				corev1.LabelTopologyRegion:     "sim",
				corev1.LabelTopologyZone:       fmt.Sprintf("sim-%c", 'a'+i%3),
				corev1.LabelInstanceTypeStable: "sim.large",
			},
		},
		Status: corev1.NodeStatus{
			Capacity:    plenty,
			Allocatable: plenty,
			Conditions: []corev1.NodeCondition{
				condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
				condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
				condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
				condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "kubelet is posting ready status"),
			},
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: "127.0.0.1"},
				{Type: corev1.NodeHostName, Address: name},
			},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(s.kubeletPort)}},
			NodeInfo: corev1.NodeSystemInfo{
				Architecture: "amd64", OperatingSystem: "linux", OSImage: "simulated", KernelVersion: "0",
				ContainerRuntimeVersion: "sim://1", KubeletVersion: version.Get().GitVersion,
				MachineID: name, SystemUUID: name, BootID: name,
			},
		},
	}
}

// beat renews the nodes' leases for ever.
func (s *Sim) beat(ctx context.Context) {
	for {
		pause := heartbeat
		for name := range s.nodes {
			if err := s.renew(ctx, name); err != nil && ctx.Err() == nil {
				klog.ErrorS(err, "Renewing a node's lease", "node", name)
				pause = time.Second
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (s *Sim) renew(ctx context.Context, name string) error {
	leases := s.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	now := metav1.NowMicro()
	lease, err := leases.Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		lease.Spec.RenewTime = &now
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
		return err
	}
	if !apierrors.IsNotFound(err) {
		return err
	}
	seconds := int32(40)
	_, err = leases.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}, metav1.CreateOptions{})
	return err
}

// Ready says whether all nodes are ready and the informers have their first lists.
func (s *Sim) Ready(ctx context.Context) bool {
	list, err := s.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil || !s.synced() {
		return false
	}
	ready := 0
	for _, node := range list.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				ready++
			}
		}
	}
	return ready >= s.config.Nodes
}
