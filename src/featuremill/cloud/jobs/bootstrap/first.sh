#!/bin/bash
# What the server's user data runs: it sets when the machine ends, before anything can fail, then
# fetches server.sh and runs it, and tells how that went.
# Arguments: minutes after which the machine ends, where to tell it (s3://…), address of server.sh, the
# arguments of that.
set -euo pipefail

minutes=$1
told=$2
address=$3
shift 3

# a date and not a delay, so that a reboot does not begin it anew; a machine that was stopped at that
# moment ends when it starts again. Powering off terminates it.
cat >/etc/systemd/system/end.timer <<END
[Unit]
Description=End featuremill's machine; notebooks are kept in the bucket
[Timer]
OnCalendar=$(date --utc --date "+$minutes minutes" "+%Y-%m-%d %H:%M:%S UTC")
Persistent=true
[Install]
WantedBy=timers.target
END
cat >/etc/systemd/system/end.service <<END
[Unit]
Description=End featuremill's machine
[Service]
Type=oneshot
ExecStart=/usr/bin/systemctl --no-block poweroff
END
systemctl daemon-reload
systemctl enable --now end.timer

log=/var/log/featuremill.log
how=ready
{ aws s3 cp "$address" - | bash -s -- "$@"; } 2>&1 | tee "$log" || how=failed
# `cloud server up` waits for this, and shows it where it failed
tail --lines 40 "$log" | aws s3 cp - "$told/$how"
[ "$how" = ready ]
