package sim

import (
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// podRun is one pod's simulated life. It decides; its caller writes to the API.
type podRun struct {
	uid       types.UID
	namespace string
	name      string
	sim       *Sim

	mu      sync.Mutex
	pod     *corev1.Pod // the newest one seen
	script  script
	ip      string
	hasIP   bool // the sandbox is up, the address is known
	started metav1.Time
	inits   []*container
	mains   []*container
	stopAt  time.Time
	stopped bool // all is over, the pod can go
	gone    bool // the pod is no more
	changed map[corev1.PodConditionType]corev1.PodCondition
	written *corev1.PodStatus
	answer  answerBox
}

func newPodRun(s *Sim, pod *corev1.Pod, now time.Time) *podRun {
	p := &podRun{
		uid: pod.UID, namespace: pod.Namespace, name: pod.Name, sim: s,
		started: metav1.NewTime(now),
		inits:   newContainers(pod.Spec.InitContainers, true),
		mains:   newContainers(pod.Spec.Containers, false),
		changed: map[corev1.PodConditionType]corev1.PodCondition{},
	}
	p.see(pod)
	reason := "ContainerCreating"
	if len(p.inits) > 0 {
		reason = "PodInitializing"
	}
	for _, c := range append(append([]*container{}, p.inits...), p.mains...) {
		c.wait(reason, "", now.Add(p.script.createFor))
	}
	if old := pod.Status.PodIP; old != "" { // from an earlier life of this control plane
		p.ip, p.hasIP = old, true
		s.addresses.adopt(old)
		p.reboot(pod, now)
	}
	return p
}

// reboot continues a pod as after a restart of its node: init containers that are
// done stay so, the others start again.
func (p *podRun) reboot(pod *corev1.Pod, now time.Time) {
	if pod.Status.StartTime != nil {
		p.started = *pod.Status.StartTime
	}
	old := map[string]corev1.ContainerStatus{}
	for _, status := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		old[status.Name] = status
	}
	for _, c := range append(append([]*container{}, p.inits...), p.mains...) {
		status, found := old[c.name]
		if !found || status.ContainerID == "" {
			continue
		}
		c.runs = int(status.RestartCount) + 1
		if ended := status.State.Terminated; ended != nil {
			c.stage, c.last = exited, ended
		} else {
			c.until = now
		}
	}
}

// see takes note of a new version of the pod.
func (p *podRun) see(pod *corev1.Pod) {
	p.pod = pod
	p.script = newScript(pod)
	images := map[string]string{}
	for _, c := range append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		images[c.Name] = c.Image
	}
	for _, c := range append(append([]*container{}, p.inits...), p.mains...) {
		if c.stage == waiting {
			c.image = images[c.name]
		}
		c.replan(p.script)
	}
}

// step moves the pod on to where it is to be now, and returns when it is to be
// called next; zero: not before the pod changes.
func (p *podRun) step(now time.Time) time.Time {
	if p.pod.DeletionTimestamp != nil {
		return p.stopping(now)
	}
	if p.over() {
		return time.Time{}
	}
	var next time.Time
	for _, c := range p.inits {
		if c.stage == waiting && c.runs == 0 && now.Before(c.until) {
			return earlier(next, c.until)
		}
		if wait := p.missing(c, now); wait > 0 {
			return earlier(next, now.Add(wait))
		}
		p.sandbox()
		c.advance(p, now)
		next = earlier(next, c.next(p, now))
		if !c.done() {
			return next
		}
	}
	for _, c := range p.mains {
		if len(p.inits) > 0 && c.runs == 0 && c.reason == "PodInitializing" {
			c.until = now
		}
		if c.stage == waiting && c.runs == 0 && now.Before(c.until) {
			next = earlier(next, c.until)
			continue
		}
		if wait := p.missing(c, now); wait > 0 {
			next = earlier(next, now.Add(wait))
			continue
		}
		p.sandbox()
		c.advance(p, now)
		next = earlier(next, c.next(p, now))
	}
	if p.over() {
		p.closeSidecars(now)
		return time.Time{}
	}
	return next
}

// sandbox gives the pod its address.
func (p *podRun) sandbox() {
	if !p.hasIP {
		p.ip, p.hasIP = p.sim.addresses.take(), true
	}
}

// stopping waits for the pod's shortened end.
func (p *podRun) stopping(now time.Time) time.Time {
	if p.stopAt.IsZero() {
		pause := p.script.stopAfter
		if grace := p.pod.DeletionGracePeriodSeconds; grace != nil {
			pause = min(pause, time.Duration(*grace)*time.Second)
		}
		if p.over() || !p.hasIP {
			pause = 0
		}
		p.stopAt = now.Add(pause)
	}
	if now.Before(p.stopAt) {
		return p.stopAt
	}
	code := int32(0)
	if ownedByJob(p.pod) {
		code = 143
	}
	for _, c := range append(append([]*container{}, p.inits...), p.mains...) {
		if c.stage == running {
			c.terminate(p, now, code)
		}
	}
	p.stopped = true
	return time.Time{}
}

func (p *podRun) closeSidecars(now time.Time) {
	for _, c := range p.inits {
		if c.stage == running {
			c.terminate(p, now, 0)
		}
	}
}

// release gives back what the pod holds.
func (p *podRun) release() {
	for _, c := range append(append([]*container{}, p.inits...), p.mains...) {
		c.web.close()
		c.web = nil
	}
	if p.hasIP {
		p.sim.addresses.give(p.ip)
		p.hasIP = false
	}
}

// over says whether all containers have ended for good.
func (p *podRun) over() bool {
	phase := p.phase()
	return phase == corev1.PodSucceeded || phase == corev1.PodFailed
}

func (p *podRun) phase() corev1.PodPhase {
	for _, c := range p.inits {
		if c.stage == exited && c.last.ExitCode != 0 {
			return corev1.PodFailed
		}
	}
	started, ended, failed := 0, 0, 0
	for _, c := range p.mains {
		if c.runs > 0 {
			started++
		}
		if c.stage == exited {
			ended++
			if c.last.ExitCode != 0 {
				failed++
			}
		}
	}
	switch {
	case ended == len(p.mains) && failed > 0:
		return corev1.PodFailed
	case ended == len(p.mains):
		return corev1.PodSucceeded
	case started > 0:
		// a container that cannot start keeps the pod pending, as with a real kubelet
		for _, c := range p.mains {
			if c.runs == 0 {
				return corev1.PodPending
			}
		}
		return corev1.PodRunning
	}
	return corev1.PodPending
}

// warn and note record events at the pod.
func (p *podRun) warn(reason, message string) {
	p.sim.recorder.Event(p.pod, corev1.EventTypeWarning, reason, message)
}

func (p *podRun) note(reason, message string) {
	p.sim.recorder.Event(p.pod, corev1.EventTypeNormal, reason, message)
}

// missing says how long to wait because of a ConfigMap or Secret that the container
// needs and that is not there.
func (p *podRun) missing(c *container, now time.Time) time.Duration {
	if c.stage != waiting || c.runs > 0 {
		return 0
	}
	reason, message := p.sim.missingReference(p.pod, c.name)
	if reason == "" {
		if c.reason == "CreateContainerConfigError" {
			c.wait("ContainerCreating", "", now)
		}
		return 0
	}
	if c.message != message {
		if reason == "CreateContainerConfigError" {
			c.wait(reason, message, now)
			p.warn("Failed", "Error: "+message)
		} else {
			c.message = message
			p.warn("FailedMount", fmt.Sprintf("MountVolume.SetUp failed for volume: %s", message))
		}
	}
	return referenceRetry
}
