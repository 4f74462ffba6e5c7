# The way from new namespaces to a systemd that is PID 1 in them: init.sh DIRECTORY PROGRAMS
#
# DIRECTORY holds `image`, an empty directory to mount things on, and `inside`, which is shared with whoever made it. PROGRAMS
# is the directory of the programs under test.
#
# The root directory is the machine's own, with a memory file system on top of it that takes every change.
set -eu
directory=$1
programs=$2
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$directory/image"
cd "$directory/image"
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
mount -t proc proc root/proc
mount -t sysfs -o ro sysfs root/sys
mount -t cgroup2 cgroup2 root/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs root/run
mount -t tmpfs -o mode=1777 tmpfs root/tmp
mount -t tmpfs -o mode=755 tmpfs root/dev
for device in null zero full random urandom tty; do
    : >root/dev/$device
    mount --bind /dev/$device root/dev/$device
done
mkdir root/dev/pts root/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts root/dev/pts
mount -t tmpfs -o mode=1777 tmpfs root/dev/shm
ln -s pts/ptmx root/dev/ptmx
ln -s /proc/self/fd root/dev/fd

# What the tests bring along. The links have the names that unit files use.
mkdir -p root/opt/under-test root/run/lab
mount --bind "$programs" root/opt/under-test
mount -o remount,bind,ro root/opt/under-test
mount --bind "$directory/inside" root/run/lab
ln -sf /opt/under-test/curfew_under_test root/usr/local/bin/curfew
ln -sf /opt/under-test/supervised-app root/usr/local/bin/supervised-app
ln -sf /opt/under-test/fixture root/usr/local/bin/fixture
# A user who is nobody special.
echo 'lab:x:4711:4711::/tmp:/bin/sh' >>root/etc/passwd
echo 'lab:*:19000:0:99999:7:::' >>root/etc/shadow
echo 'lab:x:4711:' >>root/etc/group

# Only what the tests need is started: nothing of the machine's own, and nothing that would reach out of the namespaces.
units=root/run/systemd/system
mkdir -p $units root/run/systemd/journald.conf.d
for unit in sysctl binfmt modules-load remount-fs sysusers udevd tmpfiles-setup tmpfiles-setup-dev update-utmp \
    journal-flush network-generator pcrphase pcrphase-sysinit; do
    ln -s /dev/null $units/systemd-$unit.service
done
for unit in dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-fs-fuse-connections.mount sys-kernel-config.mount modprobe@.service; do
    ln -s /dev/null $units/$unit
done
cat >$units/lab.target <<'EOT'
[Unit]
DefaultDependencies=no
Wants=systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket dbus.socket
After=systemd-journald.service dbus.socket
EOT
cat >root/run/systemd/journald.conf.d/lab.conf <<'EOT'
[Journal]
Storage=volatile
RuntimeMaxUse=64M
ReadKMsg=no
RateLimitBurst=0
EOT

mkdir root/tmp/old-root
cd root
pivot_root . tmp/old-root
umount -l /tmp/old-root
rmdir /tmp/old-root
exec env -i container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NOTIFY_SOCKET=/run/lab/booted /lib/systemd/systemd --system --unit=lab.target
