package sim

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"
)

// serveKubelet is the part of a kubelet that the API server asks: the logs. One
// server stands for all nodes.
func (s *Sim) serveKubelet(ctx context.Context, certificate tls.Certificate) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.kubeletPort = listener.Addr().(*net.TCPAddr).Port
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.containerLogs)
	mux.HandleFunc("/", func(response http.ResponseWriter, _ *http.Request) {
		http.Error(response, "the simulated kubelet serves logs only", http.StatusNotImplemented)
	})
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	return nil
}

func (s *Sim) containerLogs(response http.ResponseWriter, request *http.Request) {
	namespace, pod, name := request.PathValue("namespace"), request.PathValue("pod"), request.PathValue("container")
	p := s.find(namespace, pod)
	if p == nil {
		http.Error(response, fmt.Sprintf("pod %q not found in namespace %q", pod, namespace), http.StatusNotFound)
		return
	}
	query := request.URL.Query()
	lines, problem := p.linesOf(name, query.Get("previous") == "true")
	if problem != "" {
		http.Error(response, problem, http.StatusBadRequest)
		return
	}
	response.Header().Set("Content-Type", "text/plain")
	writeLogs(response, lines, query)
}

// linesOf is the log of a container, of its current run, or, when it waits, of the
// last one; or else the reason why there is none.
func (p *podRun) linesOf(name string, previous bool) ([]logLine, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range append(append([]*container{}, p.inits...), p.mains...) {
		if c.name != name {
			continue
		}
		runs := len(c.logs)
		switch {
		case runs == 0 && c.stage == exited:
			return nil, "" // of an earlier life of this control plane
		case previous && c.stage == waiting && runs > 0:
			return c.logs[runs-1], ""
		case previous && runs > 1:
			return c.logs[runs-2], ""
		case previous:
			return nil, fmt.Sprintf("previous terminated container %q in pod %q not found", name, p.name)
		case runs == 0:
			return nil, fmt.Sprintf("container %q in pod %q is waiting to start: %s", name, p.name, waitReason(c))
		}
		return c.logs[runs-1], ""
	}
	return nil, fmt.Sprintf("container %s is not valid for pod %s", name, p.name)
}

func waitReason(c *container) string {
	switch c.reason {
	case "ErrImagePull", "ImagePullBackOff":
		return "trying and failing to pull image"
	case "":
		return "ContainerCreating"
	}
	return c.reason
}
