# shellcheck shell=bash
# shellcheck disable=SC2154 # The names are those of bed.sh.
# Sourced by run.sh: six servers form a cluster, as base/redis/components/cluster has it.

redis_ports=()
start_redis() { # NUMBER
	mkdir -p "$work/redis-$1"
	redis-server --port "${redis_ports[$1]}" --bind 127.0.0.1 --dir "$work/redis-$1" --cluster-enabled yes --cluster-node-timeout 2000 \
		--cluster-announce-ip 127.0.0.1 --cluster-require-full-coverage no --appendonly yes --daemonize no \
		>"$work/redis-$1/log" 2>&1 &
	# A file, since this runs in a $( ) and the end of all does not.
	echo "$!" >"$work/redis-$1.pid"
}
form() {
	local port names=''
	for port in "${redis_ports[@]}"; do names+="127.0.0.1:$port "; done
	NAMES=$names base/redis/components/cluster/form.sh
}
redis() { redis-cli -c -p "${redis_ports[$1]}" "${@:2}"; }
waits_for_all() {
	local n
	for n in 0 1 2 3 4; do start_redis "$n"; done
	sleep 1
	! form && [[ $(redis 0 cluster info) == *cluster_known_nodes:1* ]]
}
forms() {
	start_redis 5
	sleep 1
	form && [[ $(redis 3 cluster info) == *cluster_state:ok* ]] || return 1
	for n in {1..100}; do redis 0 set "key$n" "$n" >/dev/null || return 1; done
	[[ $(redis 5 get key77) == 77 ]] && (($(redis 0 cluster nodes | grep -c master) == 3))
}
does_nothing() {
	local before
	before=$(redis 0 cluster nodes | cut -d ' ' -f 1,3 | sort)
	form && [[ $(redis 0 cluster nodes | cut -d ' ' -f 1,3 | sort) == "$before" ]]
}
survives() { # One that owns keys goes, with its disk; it comes back empty and is taken in.
	local n _ lost=''
	for n in {0..5}; do
		[[ $(redis "$n" role | head -n 1) == master ]] && lost=$n && break
	done
	kill -KILL "$(<"$work/redis-$lost.pid")"
	sleep 0.2
	rm -rf "$work/redis-$lost"
	n=$(((lost + 1) % 6))
	for _ in {1..60}; do
		[[ $(redis "$n" cluster nodes) == *:${redis_ports[$lost]}@*master,fail\ * && $(redis "$n" cluster info) == *cluster_slots_ok:16384* ]] && break
		sleep 0.5
	done
	for _ in {1..100}; do [[ $(redis "$n" get "key$_") == "$_" ]] || { echo "key$_ is lost"; redis "$n" cluster nodes; redis "$n" cluster info | head -8; return 1; }; done
	start_redis "$lost"
	sleep 1
	form || return 1
	for _ in {1..40}; do
		[[ $(redis "$lost" role | head -n 1) == slave && $(redis "$lost" cluster info) == *cluster_state:ok* ]] && return 0
		sleep 0.5
	done
	return 1
}

redis_cluster() {
	local n
	echo '== a cluster of Redis'
	for n in {0..5}; do
		# The port of the bus is 10000 above, and has to be one.
		redis_ports[n]=$((20000 + RANDOM % 200 * 10 + n))
	done
	check 'while one of the six does not answer, none is formed' waits_for_all
	check 'six form a cluster, and it takes keys' forms
	check 'a second time does nothing' does_nothing
	check 'an owner of keys goes with its disk: no key is lost, and it is taken in again' survives
}
