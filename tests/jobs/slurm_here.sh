#!/usr/bin/env bash
# A Slurm of one node on this machine, for tests: slurm_here.sh start|stop FOLDER
#
# It needs root and Debian's slurm-wlm and munge. Everything is in FOLDER: keys, sockets, state, logs and slurm.conf, which
# SLURM_CONF names to sbatch and its like. No cgroups, no accounting, no systemd.
set -euo pipefail
folder=$(realpath -m "$2")

stop() {
    export SLURM_CONF="$folder/slurm.conf"
    scancel --me 2>/dev/null || true
    for _ in $(seq 50); do
        [ -z "$(squeue --noheader 2>/dev/null)" ] && break
        sleep 0.2
    done
    for name in slurmd slurmctld munged; do
        [ -f "$folder/$name.pid" ] && kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
    done
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
}

start() {
    mkdir -p "$folder/state" "$folder/spool"
    chmod 755 "$folder"
    dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none
    chmod 400 "$folder/munge.key"
    munged --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" --num-threads=2 --force
    cat >"$folder/slurm.conf" <<CONF
ClusterName=here
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,sched_min_interval=0
ReturnToService=2
JobRequeue=1
KillWait=2
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=here Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    export SLURM_CONF="$folder/slurm.conf"
    slurmctld
    slurmd
    for _ in $(seq 100); do
        sinfo --noheader --format=%t 2>/dev/null | grep -q idle && return
        sleep 0.2
    done
    tail -n 20 "$folder"/slurm*.log >&2
    exit 1
}

"$1"
