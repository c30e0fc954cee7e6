#!/usr/bin/env bash
# Sourced by scripts that run a control plane of their own, after make/tools.sh. It stops when they end, however they
# end: it listens on its stdin, which ends with them. What they leave in the background must close 7 and 8.

kubeconfig=''
controlplane_pid=''
controlplane_pipes=''

# start_controlplane ARG... starts one, waits until it is ready and sets `kubeconfig`.
start_controlplane() {
	local line=''
	controlplane_pipes=$(mktemp -d)
	mkfifo "$controlplane_pipes/in" "$controlplane_pipes/out"
	# In a group of its own, so that Ctrl-C reaches it through us, after what uses it has stopped.
	setsid "$FAIRLEAD_CONTROLPLANE" serve --stop-on-stdin-eof "$@" \
		<"$controlplane_pipes/in" >"$controlplane_pipes/out" &
	controlplane_pid=$!
	exec 8>"$controlplane_pipes/in" 7<"$controlplane_pipes/out"
	if ! read -r -t 100 line <&7; then
		echo "the control plane did not start" >&2
		return 1
	fi
	kubeconfig=$(sed -n 's|.*"kubeconfig":"\([^"]*\)".*|\1|p' <<<"$line")
}

stop_controlplane() {
	[[ -n $controlplane_pid ]] || return 0
	exec 8>&- 7<&-
	# It needs less than 3 s; one that hangs is not waited for.
	for _ in {1..100}; do
		kill -0 "$controlplane_pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$controlplane_pid" 2>/dev/null || true
	wait "$controlplane_pid" 2>/dev/null || true
	controlplane_pid=''
	rm -rf "$controlplane_pipes"
}

kubectl() { "$FAIRLEAD_KUBECTL" --kubeconfig "$kubeconfig" "$@"; }
