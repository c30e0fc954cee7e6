package main

import (
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

// startLogging sends the logs of all components to controlplane.log in dir, and
// with verbose to stderr as well. Without it stderr is that file too, because
// some libraries write there whatever they are told; the returned file is the
// real stderr, for our own messages.
func startLogging(dir string, verbose bool) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "controlplane.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	stderr := os.Stderr
	var output io.Writer = file
	if verbose {
		output = io.MultiWriter(file, os.Stderr)
	} else {
		fd, err := unix.Dup(2)
		if err != nil {
			return nil, err
		}
		unix.CloseOnExec(fd)
		stderr = os.NewFile(uintptr(fd), "stderr")
		if err := unix.Dup2(int(file.Fd()), 2); err != nil {
			return nil, err
		}
		// a crash is to be seen by whoever started this
		if err := debug.SetCrashOutput(stderr, debug.CrashOptions{}); err != nil {
			return nil, err
		}
	}
	klog.SetLoggerWithOptions(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(output))), klog.ContextualLogger(true))
	return stderr, nil
}
