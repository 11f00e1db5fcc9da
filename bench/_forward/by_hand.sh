#!/bin/sh
# What people write by hand: `docker events` over ssh, and `ssh -O forward` through a ControlMaster.
#
#     by_hand.sh BIND CONTROL STATE [SSH OPTION]… HOST
#
# As good as such a loop gets: one session follows the events and looks ports up there, events and
# list leave no gap between them, forwards are cancelled when their container ends, and all of it
# begins anew, without a pause worth the name, when the link is lost.
bind=$1 control=$2 state=$3
shift 3

remote='
ports() { docker port "$1" | sed -n "s/.* -> 0\.0\.0\.0:/+ $1 /p"; }
since=$(date +%s)
for id in $(docker ps --quiet --no-trunc); do ports "$id"; done
docker events --since "$since" --filter type=container --filter event=start --filter event=die \
    --format "{{.Action}} {{.Actor.ID}}" |
while read -r action id; do
    case $action in
    start) ports "$id" ;;
    die) echo "- $id" ;;
    esac
done
'

while true; do
    rm -f "$state"/*
    if ssh -f -N -M -S "$control" "$@"; then
        ssh -S "$control" "$@" "$remote" | while read -r sign id port; do
            case $sign in
            +)
                grep -qsx "$port" "$state/$id" && continue
                ssh -S "$control" -O forward -L "$bind:$port:127.0.0.1:$port" "$@" &&
                    echo "$port" >>"$state/$id"
                ;;
            -)
                for port in $(cat "$state/$id"); do
                    ssh -S "$control" -O cancel -L "$bind:$port:127.0.0.1:$port" "$@"
                done
                rm -f "$state/$id"
                ;;
            esac
        done
        ssh -S "$control" -O exit "$@"
    fi
    sleep 0.1
done
