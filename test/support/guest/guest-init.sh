#!/bin/sh
# The first and only program of a guest: brings up what tests need, runs one test file, and switches the guest off.
#   guest-init.sh FOLDER FILE SECONDS
# All files are the host's and read-only, except FOLDER/report (the host's) and FOLDER/temp (the guest's own).
folder=$1 file=$2 seconds=$3
root=$(dirname "$0")/../../..

mount -t proc none /proc
mount -t sysfs none /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs none "$folder/temp"
mount -t hostfs -o "$folder/report" none "$folder/report"

cd "$root" || exit
export HOME="$folder/temp" TMPDIR="$folder/temp" ERRAND_TEST_GUEST=1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# The timeout ends it even if its parent was killed.
timeout -k 5 "$seconds" node_modules/node/bin/node --test-reporter=./test/support/test-reporter.ts "$file" 3>"$folder/report/tests"
echo $? >"$folder/report/code"

echo o >/proc/sysrq-trigger
# Waits until that takes effect, because the kernel panics without its first program.
sleep 60
