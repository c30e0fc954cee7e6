package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sys/unix"
)

// store is the etcd of this control plane: inside this process, or, with
// KUBEBUILDER_ASSETS, a child process.
type store struct {
	dir        string
	binary     string // the child's binary; empty: inside this process
	clientPort int
	peerPort   int

	mu       sync.Mutex
	embedded *embed.Etcd
	child    *child
}

func (s *store) endpoint() string { return fmt.Sprintf("http://127.0.0.1:%d", s.clientPort) }

// start picks free ports; somebody else can take one between the choice and the
// use, so it tries a few times.
func (s *store) start(ctx context.Context) error {
	var err error
	for range 5 {
		if s.clientPort, err = freePort(); err != nil {
			return err
		}
		if s.peerPort, err = freePort(); err != nil {
			return err
		}
		if err = s.open(ctx); err == nil {
			return nil
		}
	}
	return fmt.Errorf("etcd does not start: %w", err)
}

func (s *store) open(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.binary != "" {
		return s.openChild(ctx)
	}
	config := embed.NewConfig()
	config.Dir = filepath.Join(s.dir, "etcd")
	config.LogLevel = "error"
	config.LogOutputs = []string{filepath.Join(s.dir, "etcd.log")}
	config.UnsafeNoFsync = true
	config.WarningUnaryRequestDuration = 5 * time.Second
	config.QuotaBackendBytes = 4 << 30
	client := url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", s.clientPort)}
	peer := url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", s.peerPort)}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	select {
	case <-server.Server.ReadyNotify():
		s.embedded = server
		return nil
	case err = <-server.Err():
	case <-time.After(20 * time.Second):
		err = errors.New("not ready after 20 s")
	case <-ctx.Done():
		err = ctx.Err()
	}
	server.Close()
	return err
}

func (s *store) openChild(ctx context.Context) error {
	peer := fmt.Sprintf("http://127.0.0.1:%d", s.peerPort)
	started, err := startChild(filepath.Join(s.dir, "etcd.log"), s.binary,
		"--data-dir="+filepath.Join(s.dir, "etcd"),
		"--listen-client-urls="+s.endpoint(), "--advertise-client-urls="+s.endpoint(),
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer,
		"--initial-cluster=default="+peer,
		"--unsafe-no-fsync", "--log-level=error")
	if err != nil {
		return err
	}
	s.child = started
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if started.exited() {
			return errors.New("the etcd process ended; see etcd.log")
		}
		if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.clientPort)); err == nil {
			conn.Close()
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	started.stop()
	return errors.New("etcd does not listen")
}

// close stops etcd, and gives up waiting for that after a while.
func (s *store) close(patience time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil {
		s.child.stop()
		s.child = nil
	}
	if s.embedded == nil {
		return
	}
	done := make(chan struct{})
	go func(server *embed.Etcd) {
		defer close(done)
		server.Close()
	}(s.embedded)
	s.embedded = nil
	// Etcd would wait seconds for its clients, whose watches never end.
	timeout := time.After(patience)
	for {
		select {
		case <-done:
			return
		case <-timeout:
			return
		case <-time.After(20 * time.Millisecond):
			cutConnections(s.clientPort)
		}
	}
}

// cutConnections ends the connections whose server side is in this process, at
// this port. Where there is no /proc it does nothing.
func cutConnections(port int) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		local, err := unix.Getsockname(fd)
		if err != nil {
			continue
		}
		if address, ok := local.(*unix.SockaddrInet4); !ok || address.Port != port {
			continue
		}
		if _, err := unix.Getpeername(fd); err == nil {
			_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		}
	}
}

// restart stops etcd and starts it again on the same data and the same ports.
func (s *store) restart(ctx context.Context) error {
	s.close(10 * time.Second)
	var err error
	for range 20 {
		if err = s.open(ctx); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// compact forgets all history before the current revision, and returns that.
func (s *store) compact(ctx context.Context) (int64, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{s.endpoint()}, DialTimeout: 5 * time.Second})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	current, err := client.Get(ctx, "compact_rev_key")
	if err != nil {
		return 0, err
	}
	revision := current.Header.Revision
	_, err = client.Compact(ctx, revision, clientv3.WithCompactPhysical())
	return revision, err
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// exists says whether there is such a file.
func exists(file string) bool {
	info, err := os.Stat(file)
	return err == nil && !info.IsDir()
}
