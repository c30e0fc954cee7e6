package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
)

// answer is what a command on stdin gets back, as one JSON line.
type answer struct {
	Command  string `json:"command"`
	OK       bool   `json:"ok"`
	Error    string `json:"error,omitempty"`
	Revision int64  `json:"revision,omitempty"`
}

// commands carries out the lines of stdin, one after the other, until it ends.
func (p *controlPlane) commands(ctx context.Context, stdin io.Reader, answers chan<- any, stop chan<- string) {
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		command := strings.TrimSpace(lines.Text())
		if command == "" {
			continue
		}
		if command == "stop" {
			break
		}
		answers <- p.command(ctx, command)
	}
	stop <- "stdin ended"
}

func (p *controlPlane) command(ctx context.Context, command string) answer {
	result := answer{Command: command}
	var err error
	switch {
	case !p.up.Load():
		err = errors.New("not ready yet")
	case command == "compact":
		result.Revision, err = p.store.compact(ctx)
	case command == "restart-etcd":
		err = p.store.restart(ctx)
	default:
		err = errors.New("unknown command")
	}
	if err != nil {
		result.Error = err.Error()
	}
	result.OK = err == nil
	return result
}
