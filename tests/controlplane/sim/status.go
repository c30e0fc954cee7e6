package sim

import (
	"encoding/json"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// status is what a kubelet would report now.
func (p *podRun) status(now time.Time) *corev1.PodStatus {
	status := &corev1.PodStatus{
		ObservedGeneration: p.pod.Generation,
		Phase:              p.phase(),
		HostIP:             "127.0.0.1",
		HostIPs:            []corev1.HostIP{{IP: "127.0.0.1"}},
		StartTime:          &p.started,
		QOSClass:           p.pod.Status.QOSClass,
	}
	if p.hasIP {
		status.PodIP = p.ip
		status.PodIPs = []corev1.PodIP{{IP: p.ip}}
	}
	var unfinished, unready []string
	for _, c := range p.inits {
		if !c.done() {
			unfinished = append(unfinished, c.name)
		}
		if c.sidecar && !c.ready(p, now) {
			unready = append(unready, c.name)
		}
		status.InitContainerStatuses = append(status.InitContainerStatuses, c.status(p, now))
	}
	for _, c := range p.mains {
		if !c.ready(p, now) {
			unready = append(unready, c.name)
		}
		status.ContainerStatuses = append(status.ContainerStatuses, c.status(p, now))
	}
	completed := status.Phase == corev1.PodSucceeded

	set := func(kind corev1.PodConditionType, ok bool, reason, message string) bool {
		status.Conditions = append(status.Conditions, p.condition(kind, ok, reason, message, now))
		return ok
	}
	set(corev1.PodReadyToStartContainers, p.hasIP && !p.over(), "", "")
	switch {
	case len(unfinished) > 0 && !completed:
		set(corev1.PodInitialized, false, "ContainersNotInitialized", "containers with incomplete status: ["+strings.Join(unfinished, " ")+"]")
	case completed:
		set(corev1.PodInitialized, true, "PodCompleted", "")
	default:
		set(corev1.PodInitialized, true, "", "")
	}
	notReady := "containers with unready status: [" + strings.Join(unready, " ") + "]"
	switch {
	case completed:
		set(corev1.ContainersReady, false, "PodCompleted", "")
		set(corev1.PodReady, false, "PodCompleted", "")
	case status.Phase == corev1.PodFailed:
		set(corev1.ContainersReady, false, "PodFailed", "")
		set(corev1.PodReady, false, "PodFailed", "")
	case len(unready) > 0:
		set(corev1.ContainersReady, false, "ContainersNotReady", notReady)
		set(corev1.PodReady, false, "ContainersNotReady", notReady)
	default:
		set(corev1.ContainersReady, true, "", "")
		if gate := p.closedGate(); gate != "" {
			set(corev1.PodReady, false, "ReadinessGatesNotReady", "the status of pod readiness gate \""+gate+"\" is not \"True\", but False")
		} else {
			set(corev1.PodReady, true, "", "")
		}
	}
	return status
}

// condition keeps the time of the last change.
func (p *podRun) condition(kind corev1.PodConditionType, ok bool, reason, message string, now time.Time) corev1.PodCondition {
	value := corev1.ConditionFalse
	if ok {
		value = corev1.ConditionTrue
	}
	condition := corev1.PodCondition{
		Type: kind, Status: value, Reason: reason, Message: message,
		ObservedGeneration: p.pod.Generation, LastTransitionTime: metav1.NewTime(now),
	}
	if old, found := p.changed[kind]; found && old.Status == value {
		condition.LastTransitionTime = old.LastTransitionTime
	}
	p.changed[kind] = condition
	return condition
}

// closedGate is the first readiness gate that is not open.
func (p *podRun) closedGate() string {
	for _, gate := range p.pod.Spec.ReadinessGates {
		open := false
		for _, condition := range p.pod.Status.Conditions {
			open = open || (condition.Type == gate.ConditionType && condition.Status == corev1.ConditionTrue)
		}
		if !open {
			return string(gate.ConditionType)
		}
	}
	return ""
}

// ready says whether the pod counts as ready in this status.
func ready(status *corev1.PodStatus) bool {
	for _, condition := range status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// patch is a strategic merge patch, so that conditions of others stay. A list of
// conditions is merged by type, and so a field to be emptied must be named.
func patch(uid types.UID, status *corev1.PodStatus) ([]byte, error) {
	raw, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	conditions, _ := fields["conditions"].([]any)
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		for _, name := range []string{"reason", "message"} {
			if _, found := condition[name]; !found {
				condition[name] = nil
			}
		}
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{"uid": uid}, "status": fields})
}
