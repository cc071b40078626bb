#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What a crash loop or a CI server does to a host: containers with a memory limit, one after another.
# usage: crash-loop.sh COUNT [PARALLEL]   Stops at the first that Docker cannot start and prints its message.
# Last line: "started N of COUNT". Exit code: 0 all started, 1 one failed.
count=$1
parallel=${2:-2}
errors=$(mktemp -d)
started=0
while [ "$started" -lt "$count" ]; do
    batch=0
    pids=
    while [ "$batch" -lt "$parallel" ] && [ $((started + batch)) -lt "$count" ]; do
        batch=$((batch + 1))
        docker run --rm --memory 64m --network none busybox:lab true > /dev/null 2> "$errors/$batch" &
        pids="$pids $!"
    done
    batch=0
    for pid in $pids; do
        batch=$((batch + 1))
        if wait "$pid"; then
            started=$((started + 1))
        else
            failed=$errors/$batch
        fi
    done
    if [ -n "$failed" ]; then
        cat "$failed"
        echo "started $started of $count"
        exit 1
    fi
done
echo "started $started of $count"
