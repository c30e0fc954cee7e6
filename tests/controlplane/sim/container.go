package sim

import (
	"crypto/sha256"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type stage int

const (
	waiting stage = iota
	running
	exited
)

// container is one container's simulated life.
type container struct {
	name    string
	image   string
	init    bool
	sidecar bool

	stage   stage
	reason  string // of waiting
	message string
	runs    int // how often it has been started
	since   time.Time
	until   time.Time // when this stage ends; zero: not by itself
	last    *corev1.ContainerStateTerminated
	logs    [][]logLine // of the last two runs
	web     *web
}

type logLine struct {
	at   time.Time
	text string
}

func newContainers(specs []corev1.Container, init bool) []*container {
	var list []*container
	for i := range specs {
		always := specs[i].RestartPolicy != nil && *specs[i].RestartPolicy == corev1.ContainerRestartPolicyAlways
		list = append(list, &container{name: specs[i].Name, image: specs[i].Image, init: init, sidecar: init && always})
	}
	return list
}

// done says whether an init container lets the next one start.
func (c *container) done() bool {
	if c.sidecar {
		return c.stage == running
	}
	return c.stage == exited && c.last.ExitCode == 0
}

func (c *container) wait(reason, message string, until time.Time) {
	c.stage, c.reason, c.message, c.until = waiting, reason, message, until
}

// advance moves the container on to where it is to be now.
func (c *container) advance(p *podRun, now time.Time) {
	for range 20 { // far more steps than are ever due at once
		switch c.stage {
		case waiting:
			if p.script.badImage(c.name, c.image) {
				c.failPull(p, now)
				return
			}
			if c.reason == "ErrImagePull" || c.reason == "ImagePullBackOff" {
				c.until = now // the image has been put right
			}
			if now.Before(c.until) {
				return
			}
			c.start(p, now)
		case running:
			if c.until.IsZero() || now.Before(c.until) {
				return
			}
			c.exit(p, c.until)
		case exited:
			return
		}
	}
}

func (c *container) failPull(p *podRun, now time.Time) {
	switch {
	case c.reason != "ErrImagePull" && c.reason != "ImagePullBackOff":
		message := fmt.Sprintf("failed to pull and unpack image %q: %s: not found", c.image, c.image)
		c.wait("ErrImagePull", message, now.Add(imagePullRetry))
		p.warn("Failed", fmt.Sprintf("Failed to pull image %q: %s", c.image, message))
		p.warn("Failed", "Error: ErrImagePull")
	case c.reason == "ErrImagePull" && !now.Before(c.until):
		message := fmt.Sprintf("Back-off pulling image %q: ErrImagePull: failed to pull and unpack image %q: %s: not found", c.image, c.image, c.image)
		c.wait("ImagePullBackOff", message, time.Time{})
		p.warn("Failed", "Error: ImagePullBackOff")
		p.note("BackOff", fmt.Sprintf("Back-off pulling image %q", c.image))
	}
}

func (c *container) start(p *podRun, now time.Time) {
	c.runs++
	c.stage, c.reason, c.message, c.since = running, "", "", now
	c.replan(p.script)
	lines := []string{fmt.Sprintf("%s: started, image %s, run %d", c.name, c.image, c.runs)}
	if c.name == p.script.container {
		lines = append(lines, p.script.log...)
	}
	var log []logLine
	for _, text := range lines {
		log = append(log, logLine{now, text})
	}
	if c.logs = append(c.logs, log); len(c.logs) > 2 {
		c.logs = c.logs[1:]
	}
	if !c.init || c.sidecar {
		c.web = newWeb(p, c.name)
	}
}

// replan sets when the current run ends by itself: when it begins, and again
// when somebody changes the script meanwhile.
func (c *container) replan(s script) {
	if c.stage != running {
		return
	}
	c.until = time.Time{}
	if runs, ends := c.plan(s); ends {
		c.until = c.since.Add(runs)
	}
}

// plan says for how long the current run lasts, if it ends by itself.
func (c *container) plan(s script) (time.Duration, bool) {
	switch {
	case c.sidecar:
		return 0, false
	case c.init:
		return s.initFor, true
	case s.crashesNow(c.name, c.runs):
		return s.crashAfter, true
	case s.task:
		return s.runFor, true
	}
	return 0, false
}

func (c *container) exitCode(s script) int32 {
	bad := s.crashesNow(c.name, c.runs) || (s.task && s.taskFail && c.name == s.container)
	if c.init {
		bad = s.initFail && !c.sidecar
	}
	if bad {
		return s.exitCode
	}
	return 0
}

// exit ends a run, and decides whether another follows.
func (c *container) exit(p *podRun, at time.Time) {
	c.terminate(p, at, c.exitCode(p.script))
	policy := p.pod.Spec.RestartPolicy
	again := policy == corev1.RestartPolicyAlways || (policy == corev1.RestartPolicyOnFailure && c.last.ExitCode != 0)
	if c.init { // a finished init container does not run again
		again = c.last.ExitCode != 0 && policy != corev1.RestartPolicyNever
	}
	if !again {
		return
	}
	pause := backoff(c.runs)
	message := fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", pause, c.name, p.name, p.namespace, p.uid)
	c.wait("CrashLoopBackOff", message, at.Add(pause))
	p.warn("BackOff", fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)", c.name, p.name, p.namespace, p.uid))
}

// terminate ends the current run with an exit code.
func (c *container) terminate(p *podRun, at time.Time, code int32) {
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	c.last = &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, ContainerID: c.id(p),
		StartedAt: metav1.NewTime(c.since), FinishedAt: metav1.NewTime(at),
	}
	if c.name == p.script.container {
		c.last.Message = p.script.lastWord
	}
	c.stage, c.until = exited, time.Time{}
	c.web.close()
	c.web = nil
}

func (c *container) id(p *podRun) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", p.uid, c.name, c.runs))
	return fmt.Sprintf("sim://%x", sum)
}

func (c *container) status(p *podRun, now time.Time) corev1.ContainerStatus {
	started := c.stage == running
	status := corev1.ContainerStatus{
		Name:         c.name,
		Image:        c.image,
		RestartCount: int32(max(c.runs-1, 0)),
		Started:      &started,
		Ready:        c.ready(p, now),
	}
	if c.runs > 0 {
		status.ContainerID = c.id(p)
		status.ImageID = fmt.Sprintf("sim@sha256:%x", sha256.Sum256([]byte(c.image)))
	}
	previous := c.last
	switch c.stage {
	case waiting:
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: c.reason, Message: c.message}
	case running:
		status.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(c.since)}
	case exited:
		status.State.Terminated, previous = c.last, nil
	}
	if previous != nil {
		status.LastTerminationState.Terminated = previous
	}
	return status
}

// ready says whether the container is ready; an init container is, when it is done.
func (c *container) ready(p *podRun, now time.Time) bool {
	if c.init && !c.sidecar {
		return c.done()
	}
	if c.stage != running {
		return false
	}
	if c.init || p.script.task {
		return true
	}
	return !p.script.neverReady && !now.Before(c.since.Add(p.script.readyAfter))
}

// next is when something happens by itself; zero: nothing does.
func (c *container) next(p *podRun, now time.Time) time.Time {
	if c.stage == running && !c.init && !p.script.task {
		if ready := c.since.Add(p.script.readyAfter); ready.After(now) {
			return earlier(ready, c.until)
		}
	}
	if c.stage == exited {
		return time.Time{}
	}
	return c.until
}

// earlier is the first of two times, where zero stands for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
