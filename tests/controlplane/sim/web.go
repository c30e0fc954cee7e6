package sim

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// answer is how the listeners of a pod answer at the moment.
type answer struct {
	ready   bool
	status  int
	delay   time.Duration
	version string
}

type answerBox struct{ atomic.Pointer[answer] }

// web is the listeners of one running container.
type web struct{ servers []*http.Server }

// newWeb listens on every TCP port that the container declares. A port that cannot
// be had is left out.
func newWeb(p *podRun, name string) *web {
	w := &web{}
	for _, container := range append(append([]corev1.Container{}, p.pod.Spec.InitContainers...), p.pod.Spec.Containers...) {
		if container.Name != name {
			continue
		}
		for _, port := range container.Ports {
			if port.Protocol != "" && port.Protocol != corev1.ProtocolTCP {
				continue
			}
			address := net.JoinHostPort(listenAddress(p.ip), strconv.Itoa(int(port.ContainerPort)))
			listener, err := net.Listen("tcp", address)
			if err != nil {
				klog.InfoS("A pod goes without its port", "pod", p.namespace+"/"+p.name, "err", err)
				continue
			}
			server := &http.Server{Handler: p.handler(container.Name, container.Image), ReadHeaderTimeout: 10 * time.Second}
			go func() { _ = server.Serve(listener) }()
			w.servers = append(w.servers, server)
		}
	}
	return w
}

func (w *web) close() {
	if w == nil {
		return
	}
	for _, server := range w.servers {
		_ = server.Close()
	}
	w.servers = nil
}

func (p *podRun) handler(container, image string) http.Handler {
	ip, node := p.ip, p.pod.Spec.NodeName
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		now := p.answer.Load()
		if now == nil {
			now = &answer{}
		}
		status := now.status
		if !now.ready {
			status = http.StatusServiceUnavailable
		}
		if now.delay > 0 {
			select {
			case <-time.After(now.delay):
			case <-request.Context().Done():
				return
			}
		}
		header := response.Header()
		header.Set("Content-Type", "application/json")
		header.Set("X-Pod", p.name)
		header.Set("X-Version", now.version)
		response.WriteHeader(status)
		_ = json.NewEncoder(response).Encode(map[string]any{
			"pod": p.name, "namespace": p.namespace, "container": container, "image": image,
			"version": now.version, "node": node, "ip": ip, "path": request.URL.Path, "ready": now.ready,
		})
	})
}

// tell lets the listeners know how to answer from now on.
func (p *podRun) tell(ready bool) {
	version := p.pod.Labels["app.kubernetes.io/version"]
	if version == "" {
		version = p.pod.Labels["version"]
	}
	p.answer.Store(&answer{ready: ready, status: p.script.httpStatus, delay: p.script.httpDelay, version: version})
}

// writeLogs is what the kubelet's log endpoint answers.
func writeLogs(response http.ResponseWriter, lines []logLine, query map[string][]string) {
	first := func(name string) string {
		if values := query[name]; len(values) > 0 {
			return values[0]
		}
		return ""
	}
	if tail, err := strconv.Atoi(first("tailLines")); err == nil && tail >= 0 && tail < len(lines) {
		lines = lines[len(lines)-tail:]
	}
	left := -1
	if limit, err := strconv.Atoi(first("limitBytes")); err == nil {
		left = limit
	}
	for _, line := range lines {
		text := line.text + "\n"
		if first("timestamps") == "true" {
			text = fmt.Sprintf("%s %s", line.at.UTC().Format(time.RFC3339Nano), text)
		}
		if left >= 0 && len(text) > left {
			text = text[:left]
		}
		if left >= 0 {
			left -= len(text)
		}
		if _, err := response.Write([]byte(text)); err != nil {
			return
		}
	}
}
