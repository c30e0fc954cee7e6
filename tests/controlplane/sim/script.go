package sim

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Prefix is that of all annotations that script a simulation.
const Prefix = "sim.fairlead.dev/"

const (
	defaultCreate   = 50 * time.Millisecond
	defaultInit     = 50 * time.Millisecond
	defaultReady    = 200 * time.Millisecond
	defaultStop     = 100 * time.Millisecond
	defaultCrash    = 100 * time.Millisecond
	defaultRun      = 300 * time.Millisecond
	imagePullRetry  = 300 * time.Millisecond
	firstBackoff    = 300 * time.Millisecond
	longestBackoff  = 2 * time.Second
	referenceRetry  = 500 * time.Millisecond
	forever         = -1
	defaultExitCode = 1
)

// script is what a pod's annotations ask for.
type script struct {
	createFor  time.Duration
	readyAfter time.Duration
	stopAfter  time.Duration
	crashAfter time.Duration
	runFor     time.Duration
	initFor    time.Duration

	neverReady bool
	crashes    int // how often the container crashes: a number, or forever
	container  string
	exitCode   int32
	initFail   bool
	pullError  bool
	task       bool // the containers end by themselves
	taskFail   bool
	log        []string
	lastWord   string // the termination message

	httpStatus int
	httpDelay  time.Duration
}

// newScript reads a pod's annotations. What cannot be read counts as absent.
func newScript(pod *corev1.Pod) script {
	get := func(name string) string { return pod.Annotations[Prefix+name] }
	duration := func(name string, otherwise time.Duration) time.Duration {
		if value, err := time.ParseDuration(get(name)); err == nil && value >= 0 {
			return value
		}
		return otherwise
	}
	number := func(name string, otherwise int) int {
		if value, err := strconv.Atoi(get(name)); err == nil {
			return value
		}
		return otherwise
	}
	s := script{
		createFor:  duration("create-for", defaultCreate),
		readyAfter: duration("ready-after", defaultReady),
		stopAfter:  duration("stop-after", defaultStop),
		crashAfter: duration("crash-after", defaultCrash),
		runFor:     duration("run-for", defaultRun),
		initFor:    duration("init-for", defaultInit),
		neverReady: get("never-ready") == "true",
		container:  get("container"),
		exitCode:   int32(number("exit-code", defaultExitCode)),
		initFail:   get("init") == "fail",
		pullError:  get("image-pull-error") == "true",
		task:       get("run-for") != "" || ownedByJob(pod),
		taskFail:   get("job") == "fail",
		httpStatus: number("http-status", 200),
		httpDelay:  duration("http-delay", 0),
	}
	if s.httpStatus < 200 || s.httpStatus > 599 {
		s.httpStatus = 200
	}
	switch crash := get("crash"); crash {
	case "":
	case "always", "true":
		s.crashes = forever
	default:
		s.crashes = number("crash", 0)
	}
	s.lastWord = get("termination-message")
	if text := get("log"); text != "" {
		s.log = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	if s.container == "" && len(pod.Spec.Containers) > 0 {
		s.container = pod.Spec.Containers[0].Name
	}
	return s
}

// badImage says whether an image "cannot be pulled".
func (s script) badImage(container, image string) bool {
	return strings.Contains(image, "does-not-exist") || (s.pullError && container == s.container)
}

// crashesNow says whether the n-th run of a container (from 1) ends in a crash.
func (s script) crashesNow(container string, run int) bool {
	return container == s.container && (s.crashes == forever || run <= s.crashes)
}

func ownedByJob(pod *corev1.Pod) bool {
	for _, owner := range pod.OwnerReferences {
		if owner.Kind == "Job" && owner.Controller != nil && *owner.Controller {
			return true
		}
	}
	return false
}

// backoff is the pause before a container starts again after its n-th crash.
func backoff(crashes int) time.Duration {
	pause := firstBackoff
	for i := 1; i < crashes && pause < longestBackoff; i++ {
		pause *= 2
	}
	return min(pause, longestBackoff)
}
