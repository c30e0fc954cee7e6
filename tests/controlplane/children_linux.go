package main

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

var (
	spawner  sync.Once
	toSpawn  = make(chan *exec.Cmd)
	spawnErr = make(chan error)
)

// spawn starts a process that the kernel kills when this one dies. Linux ties that
// to the thread that starts it, so one goroutine keeps one thread for it for ever.
func spawn(cmd *exec.Cmd) error {
	spawner.Do(func() {
		go func() {
			runtime.LockOSThread()
			for cmd := range toSpawn {
				cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
				spawnErr <- cmd.Start()
			}
		}()
	})
	toSpawn <- cmd
	return <-spawnErr
}
