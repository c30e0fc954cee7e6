// Command controlplane is Fairlead's test bed: a real Kubernetes control plane
// (etcd, API server, controller manager and scheduler) with simulated nodes, in
// one process, on loopback. It is also kubectl of the same version, when it is
// called by that name or with "kubectl" as its first argument.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "time/tzdata" // time zones of CronJobs

	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	"k8s.io/component-base/version"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

const usage = `usage:
  controlplane serve [flags]     run the control plane (serve --help lists the flags)
  controlplane kubectl ARGS...   act as kubectl
  controlplane version           print the Kubernetes version
`

var processStart = time.Now()

func main() {
	if name := filepath.Base(os.Args[0]); name == "kubectl" || name == "kubectl.exe" {
		runKubectl()
		return
	}
	command := ""
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch command {
	case "serve":
		os.Exit(serveMain(os.Args[2:]))
	case "kubectl":
		os.Args = os.Args[1:]
		runKubectl()
	case "version", "--version":
		fmt.Println(version.Get().GitVersion)
	case "", "help", "-h", "--help":
		fmt.Print(usage)
	default:
		fmt.Fprintf(os.Stderr, "controlplane: unknown command %q\n%s", command, usage)
		os.Exit(2)
	}
}

// runKubectl is the main function of kubectl.
func runKubectl() {
	_, _ = logs.GlogSetter(cmd.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
