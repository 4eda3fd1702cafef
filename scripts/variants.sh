#!/usr/bin/env bash
# Every test of connections over every network, with and without each mechanism of connections, and with 1, 2 and 4
# processors. It takes about an hour, ends by itself and prints a table.
#
#   scripts/variants.sh [TEXT...]   only rows whose names contain one of the texts
#   scripts/variants.sh --list      the names of the rows
#
# scripts/install.sh go compiler node modules goes before.
set -euo pipefail
cd "$(dirname "$0")/.."

export GORACE=halt_on_error=1 # a data race ends the program, and with it the tests
root=$PWD
logs=$root/build/variants

# Over TCP alone, connections become cold.
variants=("tcp" "tcp watch" "tcp cold" "tcp watch,cold" "tcp warm")
for network in tls unix wrapped pipe; do variants+=("$network" "$network watch"); done

rows() { # one a line: what runs, network, what connections do without, processors
	local v cpu
	for cpu in 1 2 4; do echo "packages all - $cpu"; done # they run over all networks themselves
	for cpu in 1 4; do echo "root tcp - $cpu"; done
	for v in "${variants[@]}"; do
		read -r network without <<<"$v"
		echo "root $network ${without:--} 2"
	done
	for v in "${variants[@]}"; do
		read -r network without <<<"$v"
		for program in run sockjs plain together; do echo "$program.js $network ${without:--} 2"; done
	done
}

chosen() { # reads rows
	local row text
	while read -r row; do
		[ $# -gt 0 ] || echo "$row"
		for text in "$@"; do
			if [[ $row == *$text* ]]; then
				echo "$row"
				break
			fi
		done
	done
}

go_tests() { # counts
	awk '/^--- PASS/ { n++ } END { print n + 0 }' "$1"
}

node_tests() {
	awk 'match($0, /^[0-9]+ passed/) { n += $1 } END { print n + 0 }' "$1"
}

run() { # of a row: writes its log
	local what=$1 network=$2 without=$3 cpu=$4
	[ "$without" != - ] || without=
	case $what in
	packages)
		go test -race -shuffle=on -count=1 -v -cpu "$cpu" -timeout 20m ./internal/wsconn ./internal/engineio ./internal/socketio ./internal/jsonws ./internal/sockjs
		;;
	root)
		"$logs/root.test" -test.run 'Hostile|Stress|Compress|Burst|Slow|StayBehind' -test.skip 'HostileMemory' -test.v -test.shuffle on -test.cpu "$cpu" \
			-test.timeout 20m -network "$network" -without "$without"
		;;
	*)
		cd e2e
		GOMAXPROCS=$cpu THINKWS_NETWORK=$network THINKWS_WITHOUT=$without timeout 900 node "$what" --server "$logs/server"
		;;
	esac
}

if [ "${1:-}" = --list ]; then
	rows
	exit
fi
mapfile -t plan < <(rows | chosen "$@")
[ ${#plan[@]} -gt 0 ] || {
	echo "no row is called ${*@Q}" >&2
	exit 1
}
mkdir -p "$logs"
case "${plan[*]}" in *root*) go test -race -c -o "$logs/root.test" . ;; esac
case "${plan[*]}" in *.js*) go build -race -tags variants -o "$logs/server" ./e2e/server ;; esac

failed=0
format='| %-12s | %-8s | %-11s | %s | %5s | %7s | %s |\n'
printf '| tests        | network  | without     | P | count | seconds | result |\n|---|---|---|---|---|---|---|\n'
for row in "${plan[@]}"; do
	read -r what network without cpu <<<"$row"
	log="$logs/${row//[ ,]/_}.log"
	began=$SECONDS
	result=passed
	(run "$what" "$network" "$without" "$cpu") >"$log" 2>&1 || result="failed: $log"
	[ "$result" = passed ] || failed=$((failed + 1))
	case $what in
	*.js) count=$(node_tests "$log") ;;
	*) count=$(go_tests "$log") ;;
	esac
	# shellcheck disable=SC2059 # the format is ours
	printf "$format" "$what" "$network" "$without" "$cpu" "$count" $((SECONDS - began)) "$result"
done
[ "$failed" = 0 ] || {
	echo "$failed of ${#plan[@]} rows failed" >&2
	exit 1
}
echo "all ${#plan[@]} rows passed"
