package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"fairlead.dev/tests/controlplane/sim"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	readyTimeout = 90 * time.Second
	stopTimeout  = 2500 * time.Millisecond
)

type serveFlags struct {
	dir            string
	nodes          int
	auditLog       string
	keep           bool
	port           int
	stopOnStdinEOF bool
	verbose        bool
	apiServerArgs  []string
	managerArgs    []string
}

// controlPlane is everything that runs.
type controlPlane struct {
	flags   *serveFlags
	scratch *scratch
	ids     *identities
	store   *store
	api     *apiServer
	cancel  context.CancelFunc
	up      atomic.Bool
}

func serveMain(args []string) int {
	flags := &serveFlags{}
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	set.StringVar(&flags.dir, "dir", "", "folder for data, kubeconfig and logs; kept at the end (default: a temporary one)")
	set.IntVar(&flags.nodes, "nodes", 3, "number of simulated nodes")
	set.StringVar(&flags.auditLog, "audit-log", "", "write the API server's audit log to this file")
	set.BoolVar(&flags.keep, "keep", false, "keep the temporary folder")
	set.IntVar(&flags.port, "port", 0, "port of the API server (default: a free one)")
	set.BoolVar(&flags.stopOnStdinEOF, "stop-on-stdin-eof", false, "stop when stdin ends; read commands from it")
	set.BoolVar(&flags.verbose, "verbose", false, "write the logs to stderr as well")
	set.StringArrayVar(&flags.apiServerArgs, "apiserver-arg", nil, "one more argument for kube-apiserver (repeatable)")
	set.StringArrayVar(&flags.managerArgs, "controller-manager-arg", nil, "one more argument for kube-controller-manager (repeatable)")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return 0
		}
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		return 2
	}
	if set.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "controlplane: serve takes no arguments, got %q\n", set.Args())
		return 2
	}
	return serve(flags)
}

// serve runs until a signal, the end of stdin or a failure.
func serve(flags *serveFlags) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE)

	folder, err := newScratch(flags.dir, flags.keep)
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		return 1
	}
	stderr, err := startLogging(folder.dir, flags.verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		folder.clean()
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	plane := &controlPlane{flags: flags, scratch: folder, cancel: cancel}
	stop := make(chan string, 4)
	answers := make(chan any, 4)
	if flags.stopOnStdinEOF {
		go plane.commands(ctx, os.Stdin, answers, stop)
	}
	failed := make(chan error, 8)
	ready := make(chan struct{})
	go func() {
		if err := plane.start(ctx, failed); err != nil {
			failed <- err
			return
		}
		close(ready)
	}()

	code := 0
	encoder := json.NewEncoder(os.Stdout)
	for {
		select {
		case <-ready:
			ready = nil
			plane.up.Store(true)
			if err := encoder.Encode(plane.description()); err != nil {
				stop <- "stdout is closed"
			}
			continue
		case answer := <-answers:
			_ = encoder.Encode(answer)
			continue
		case <-signals:
		case <-stop:
		case err := <-failed:
			fmt.Fprintln(stderr, "controlplane:", err)
			tail(stderr, filepath.Join(folder.dir, "controlplane.log"))
			code = 1
		}
		break
	}
	plane.stop()
	return code
}

// start brings up one after the other, and returns when all is ready.
func (p *controlPlane) start(ctx context.Context, failed chan<- error) error {
	dir := p.scratch.dir
	var err error
	if p.ids, err = newIdentities(filepath.Join(dir, "pki")); err != nil {
		return err
	}
	p.store = &store{dir: dir, binary: asset("etcd")}
	if err := p.store.start(ctx); err != nil {
		return err
	}
	p.api = &apiServer{dir: dir, ids: p.ids, store: p.store, flags: p.flags, binary: asset("kube-apiserver")}
	if err := p.api.listen(); err != nil {
		return err
	}
	if err := writeKubeconfig(p.kubeconfig(), p.api.url(), p.ids); err != nil {
		return err
	}
	if err := p.api.start(ctx, failed); err != nil {
		return err
	}
	config, err := restConfig(p.kubeconfig())
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	deadline, cancel := context.WithTimeoutCause(ctx, readyTimeout, errors.New("not ready in time"))
	defer cancel()
	if err := waitFor(deadline, "the API server", func() bool {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(deadline).Error() == nil
	}); err != nil {
		return err
	}
	if err := startControllerManager(ctx, p.kubeconfig(), p.ids, p.flags.managerArgs, failed); err != nil {
		return err
	}
	go func() {
		if err := startScheduler(ctx, p.kubeconfig(), failed); err != nil {
			failed <- fmt.Errorf("kube-scheduler: %w", err)
		}
	}()
	certificate, err := tls.LoadX509KeyPair(p.ids.path("server.crt"), p.ids.path("server.key"))
	if err != nil {
		return err
	}
	nodes, err := sim.Start(ctx, sim.Config{Client: client, Nodes: p.flags.nodes, Certificate: certificate})
	if err != nil {
		return err
	}
	if err := waitFor(deadline, "the simulated nodes", func() bool { return nodes.Ready(deadline) }); err != nil {
		return err
	}
	return waitFor(deadline, "the default ServiceAccount", func() bool {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(deadline, "default", metav1.GetOptions{})
		return err == nil
	})
}

func (p *controlPlane) kubeconfig() string { return filepath.Join(p.scratch.dir, "kubeconfig") }

// description is the line that says that everything is up.
func (p *controlPlane) description() any {
	return map[string]any{
		"kubeconfig": p.kubeconfig(),
		"server":     p.api.url(),
		"pid":        os.Getpid(),
		"dir":        p.scratch.dir,
		"tokens":     map[string]string{"admin": p.ids.adminToken},
		"ca":         p.ids.path("ca.crt"),
	}
}

// stop ends everything, and this process at the latest after stopTimeout.
func (p *controlPlane) stop() {
	time.AfterFunc(stopTimeout, func() {
		p.scratch.clean()
		os.Exit(0)
	})
	p.cancel()
	if p.api != nil {
		p.api.close()
	}
	if p.store != nil {
		patience := time.Second
		if p.scratch.remove { // nobody needs these data again
			patience = 300 * time.Millisecond
		}
		p.store.close(patience)
	}
	p.scratch.clean()
}

// waitFor polls quickly until something is true.
func waitFor(ctx context.Context, what string, done func() bool) error {
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		case <-time.After(25 * time.Millisecond):
		}
	}
	return nil
}

// tail writes the end of a log, for a start that failed.
func tail(to io.Writer, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if len(data) > 4000 {
		data = data[len(data)-4000:]
	}
	_, _ = to.Write(data)
}
