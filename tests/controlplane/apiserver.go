package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// auditPolicy is used with --audit-log: one line for each finished request.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

// apiServer is the API server of this control plane.
type apiServer struct {
	dir    string
	ids    *identities
	store  *store
	flags  *serveFlags
	binary string // with KUBEBUILDER_ASSETS: run this as a child process

	listener net.Listener
	port     int
	child    *child
}

// listen reserves the port. The in-process server gets the open socket, so
// nobody can take the port in between.
func (a *apiServer) listen() error {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", a.flags.port))
	if err != nil {
		return err
	}
	a.port = listener.Addr().(*net.TCPAddr).Port
	if a.binary != "" {
		return listener.Close()
	}
	a.listener = listener
	return nil
}

func (a *apiServer) url() string { return fmt.Sprintf("https://127.0.0.1:%d", a.port) }

func (a *apiServer) arguments() ([]string, error) {
	p := a.ids.path
	args := []string{
		"--etcd-servers=" + a.store.endpoint(),
		"--etcd-compaction-interval=0",
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", a.port),
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--allow-privileged=true",
		"--authorization-mode=RBAC",
		"--anonymous-auth=true",
		"--token-auth-file=" + p("tokens.csv"),
		"--client-ca-file=" + p("ca.crt"),
		"--tls-cert-file=" + p("server.crt"),
		"--tls-private-key-file=" + p("server.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p("service-account.pub"),
		"--service-account-signing-key-file=" + p("service-account.key"),
		"--requestheader-client-ca-file=" + p("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + p("front-proxy.crt"),
		"--proxy-client-key-file=" + p("front-proxy.key"),
		"--kubelet-certificate-authority=" + p("ca.crt"),
		"--kubelet-client-certificate=" + p("kubelet-client.crt"),
		"--kubelet-client-key=" + p("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		// The simulated nodes are ready from the start.
		"--disable-admission-plugins=TaintNodesByCondition",
		"--shutdown-delay-duration=0",
	}
	if a.flags.auditLog != "" {
		policy := filepath.Join(a.dir, "audit-policy.yaml")
		if err := writeFile(policy, auditPolicy); err != nil {
			return nil, err
		}
		args = append(args, "--audit-log-path="+a.flags.auditLog, "--audit-policy-file="+policy)
	}
	return append(args, a.flags.apiServerArgs...), nil
}

// start returns at once; a failure arrives on the channel.
func (a *apiServer) start(ctx context.Context, failed chan<- error) error {
	args, err := a.arguments()
	if err != nil {
		return err
	}
	if a.binary != "" {
		a.child, err = startChild(filepath.Join(a.dir, "kube-apiserver.log"), a.binary, args...)
		if err != nil {
			return err
		}
		go func() {
			<-a.child.done
			failed <- errors.New("the kube-apiserver process ended; see kube-apiserver.log")
		}()
		return nil
	}
	// Not by its cobra command: that and the scheduler's each install the signal
	// handler that may be installed only once.
	o := options.NewServerRunOptions()
	if err := parse(o.Flags(), args); err != nil {
		return err
	}
	if err := o.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	o.SecureServing.Listener = a.listener
	completed, err := o.Complete(ctx)
	if err != nil {
		return err
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return utilerrors.NewAggregate(errs)
	}
	utilfeature.DefaultMutableFeatureGate.AddMetrics()
	go func() {
		if err := app.Run(ctx, completed); err != nil && ctx.Err() == nil {
			failed <- fmt.Errorf("kube-apiserver: %w", err)
		}
	}()
	return nil
}

func (a *apiServer) close() {
	if a.child != nil {
		a.child.stop()
	}
}

// parse reads arguments into the flag sets of a component.
func parse(sets cliflag.NamedFlagSets, args []string) error {
	all := pflag.NewFlagSet("component", pflag.ContinueOnError)
	for _, set := range sets.FlagSets {
		all.AddFlagSet(set)
	}
	return all.Parse(args)
}
