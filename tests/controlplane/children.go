package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// child is etcd or kube-apiserver as a process of its own, which is only so
// with KUBEBUILDER_ASSETS.
type child struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// asset is the path of a binary in KUBEBUILDER_ASSETS, or nothing.
func asset(name string) string {
	folder := os.Getenv("KUBEBUILDER_ASSETS")
	if folder == "" {
		return ""
	}
	if file := filepath.Join(folder, name); exists(file) {
		return file
	}
	return ""
}

func startChild(logFile, binary string, args ...string) (*child, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &child{cmd: exec.Command(binary, args...), done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := spawn(c.cmd); err != nil {
		return nil, err
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

func (c *child) exited() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// stop asks it to end, and kills it after a second.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(os.Interrupt)
	select {
	case <-c.done:
	case <-time.After(time.Second):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}
