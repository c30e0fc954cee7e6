#!/bin/sh
# Forms the cluster once all six pods answer. Where it is formed already, or was once, it does nothing but see that each is in it.
set -eu

names=${NAMES:-redis-0.redis-pods:6379 redis-1.redis-pods:6379 redis-2.redis-pods:6379 redis-3.redis-pods:6379 redis-4.redis-pods:6379 redis-5.redis-pods:6379}

ask() { # NAME COMMAND...
	of=$1
	shift
	redis-cli -h "${of%:*}" -p "${of#*:}" "$@"
}

# The address that a pod tells the others.
address_of() { printf '%s:%s' "$(ask "$1" config get cluster-announce-ip | tail -n 1)" "${1#*:}"; }

formed=''
for name in $names; do
	# Who does not answer may hold the only copy of something: it is waited for.
	[ "$(ask "$name" ping)" = PONG ] || { echo "$name does not answer yet" >&2 && exit 1; }
	# A pod that lost its disk must not begin a cluster of its own, so all are asked.
	! ask "$name" cluster info | grep -q '^cluster_known_nodes:[2-9]' || formed=${formed:-$name}
done

if [ -z "$formed" ]; then
	addresses=''
	for name in $names; do
		addresses="$addresses $(address_of "$name")"
	done
	# shellcheck disable=SC2086 # A list.
	redis-cli --cluster create $addresses --cluster-replicas 1 --cluster-yes
	formed=${names%% *}
else
	# A pod that came back empty is taken in as a replica of whoever lacks one.
	for name in $names; do
		if ask "$name" cluster info | grep -q '^cluster_known_nodes:1'; then
			redis-cli --cluster add-node "$(address_of "$name")" "$(address_of "$formed")" --cluster-slave
		fi
	done
fi
# Done is when every key has an owner, and every replica a copy: one without would not take over.
whole() {
	ask "$formed" cluster info | grep -q '^cluster_state:ok' || return 1
	for name in $names; do
		! ask "$name" info replication | grep -q '^master_link_status:down' || return 1
	done
}
tries=60
until whole; do
	tries=$((tries - 1))
	[ "$tries" -gt 0 ] || { echo 'the cluster lacks some of its keys or copies' >&2 && exit 1; }
	sleep 1
done
echo 'the cluster has all of its keys, and copies of them'
