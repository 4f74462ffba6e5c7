# Keeps one booted systemd for as long as somebody holds the other end of the standard input, and leaves nothing of it
# behind: keeper.sh CGROUP DIRECTORY INIT [ARGUMENT]...
#
# INIT is the text of a script that runs as the first process of new namespaces, in the control group CGROUP, which is
# made here; it gets DIRECTORY and the arguments. What is written to standard output is the pid of the process around
# them.
cgroup=$1
directory=$2
init=$3
shift 3
mkdir "$cgroup" || exit 1
# Should this script be killed, the kernel takes `unshare` with it, and that its child, and that the whole namespace.
sh -c '
    cgroup=$1
    shift
    echo 0 >"$cgroup/cgroup.procs" || exit 1
    exec setpriv --pdeathsig KILL \
        unshare --cgroup --pid --fork --mount --ipc --uts --net --mount-proc --kill-child sh -c "$@"
' boot "$cgroup" "$init" init "$directory" "$@" </dev/null >/dev/null &
child=$!
echo $child
cat >/dev/null

# The tests are over, or dead.
echo 1 >"$cgroup/cgroup.kill" || kill -KILL $child
wait $child 2>/dev/null
rm -rf "$directory"
# What is killed may take a moment to be torn down, and until then its control group is not empty.
attempts=0
until find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null && [ ! -d "$cgroup" ]; do
    attempts=$((attempts + 1))
    [ $attempts -lt 500 ] || exit 1
    sleep 0.01
done
