package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

const scratchPrefix = "fairlead-controlplane-"

// scratch is the folder with everything that this process writes. While the
// process lives it holds a lock in it, so that a folder left behind by one that
// was killed can be told from one in use.
type scratch struct {
	dir    string
	remove bool
	lock   *os.File
	once   sync.Once
}

func newScratch(dir string, keep bool) (*scratch, error) {
	s := &scratch{dir: dir, remove: dir == "" && !keep}
	var err error
	if dir == "" {
		sweep()
		s.dir, err = os.MkdirTemp("", scratchPrefix)
	} else if s.dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(s.dir, 0o700)
	}
	if err != nil {
		return nil, err
	}
	if s.lock, err = lockFolder(s.dir); err != nil {
		return nil, err
	}
	if keep {
		// sweep takes no folder without a lock file in it
		_ = os.Remove(filepath.Join(s.dir, "lock"))
	}
	return s, nil
}

// clean removes a temporary folder.
func (s *scratch) clean() {
	s.once.Do(func() {
		if !s.remove {
			return
		}
		// etcd or a log may still be writing: a second attempt is enough
		if os.RemoveAll(s.dir) != nil {
			_ = os.RemoveAll(s.dir)
		}
	})
}

// lockFolder takes the lock of a folder, or fails when another process has it.
func lockFolder(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, &os.PathError{Op: "lock (in use by another process?)", Path: dir, Err: err}
	}
	return file, nil
}

// sweep removes the temporary folders of processes that were killed.
func sweep() {
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		return
	}
	for _, entry := range entries {
		dir := filepath.Join(os.TempDir(), entry.Name())
		if !strings.HasPrefix(entry.Name(), scratchPrefix) || !exists(filepath.Join(dir, "lock")) {
			continue
		}
		if lock, err := lockFolder(dir); err == nil {
			_ = os.RemoveAll(dir)
			lock.Close()
		}
	}
}

func writeFile(name, text string) error { return os.WriteFile(name, []byte(text), 0o600) }
