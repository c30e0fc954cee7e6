package main

import (
	"context"
	"fmt"

	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	cmoptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	schedulerapp "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"
)

// startControllerManager returns once it runs; later failures arrive on the channel.
func startControllerManager(ctx context.Context, kubeconfig string, ids *identities, extra []string, failed chan<- error) error {
	args := append([]string{
		"--kubeconfig=" + kubeconfig,
		"--secure-port=0",
		"--leader-elect=false",
		"--root-ca-file=" + ids.path("ca.crt"),
		"--service-account-private-key-file=" + ids.path("service-account.key"),
		"--cluster-signing-cert-file=" + ids.path("ca.crt"),
		"--cluster-signing-key-file=" + ids.path("ca.key"),
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--node-monitor-grace-period=2m",
		"--pvclaimbinder-sync-period=2s",
		"--concurrent-deployment-syncs=20",
		"--concurrent-replicaset-syncs=20",
		"--concurrent-statefulset-syncs=20",
		"--concurrent-daemonset-syncs=10",
		"--concurrent-job-syncs=20",
		"--concurrent-namespace-syncs=20",
		"--concurrent-endpoint-syncs=10",
		"--concurrent-service-endpoint-syncs=20",
		"--concurrent-serviceaccount-token-syncs=10",
		"--concurrent-gc-syncs=40",
	}, extra...)
	o, err := cmoptions.NewKubeControllerManagerOptions()
	if err != nil {
		return err
	}
	if err := parse(o.Flags(app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases()), args); err != nil {
		return err
	}
	if err := o.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	config, err := o.Config(ctx, app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases())
	if err != nil {
		return err
	}
	go func() {
		if err := app.Run(ctx, config.Complete()); err != nil && ctx.Err() == nil {
			failed <- fmt.Errorf("kube-controller-manager: %w", err)
		}
	}()
	return nil
}

// startScheduler returns once it runs; later failures arrive on the channel.
func startScheduler(ctx context.Context, kubeconfig string, failed chan<- error) error {
	o := scheduleroptions.NewOptions()
	if err := parse(*o.Flags, []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-skip-lookup=true",
		"--secure-port=0",
		"--leader-elect=false",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
	}); err != nil {
		return err
	}
	if err := o.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	config, scheduler, err := schedulerapp.Setup(ctx, o)
	if err != nil {
		return err
	}
	go func() {
		if err := schedulerapp.Run(ctx, config, scheduler); err != nil && ctx.Err() == nil {
			failed <- fmt.Errorf("kube-scheduler: %w", err)
		}
	}()
	return nil
}
