# Boots a machine: systemd as process 1 of namespaces of its own. $1 is the machine's folder, $2 the repository, $3 the
# folder with its programs. Called twice: the second time inside its control group.
set -eu
machine=$1
if [ "${4:-}" != inside ]; then
    mount --make-rprivate /
    mkdir -p "$machine/cgroup"
    mount -t cgroup2 cgroup2 "$machine/cgroup"
    own=$machine/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/$(basename "$machine")
    mkdir "$own"
    echo $$ >"$own/cgroup.procs"
    exec unshare --cgroup sh "$0" "$1" "$2" "$3" inside
fi
umount "$machine/cgroup"

# This host's programs and its /etc, without what its administrators enabled.
mkdir -p "$machine/etc" "$machine/var-lib" "$machine/dev"
cp -a /etc/. "$machine/etc/"
rm -rf "$machine"/etc/systemd "$machine"/etc/fstab "$machine"/etc/credstore* "$machine"/etc/sysusers.d
mkdir -p "$machine/etc/systemd/system" "$machine/etc/systemd/journald.conf.d" "$machine/etc/sysusers.d" "$machine/etc/tmpfiles.d"
echo inro-machine >"$machine/etc/hostname"
printf '127.0.0.1 localhost inro-machine www.bank.example login.bank.example pki.bank.example\n' >"$machine/etc/hosts"
printf '%s\n' "$(basename "$machine" | sha256sum | cut -c1-32)" >"$machine/etc/machine-id"
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nForwardToConsole=no\nRateLimitIntervalSec=0\n' \
    >"$machine/etc/systemd/journald.conf.d/machine.conf"
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >"$machine/etc/systemd/system/machine.target"
# Of what every Debian starts, the journal is all that is wanted; the rest would set up this host's kernel.
for target in sysinit basic local-fs sockets timers network-online time-sync; do
    for unit in /usr/lib/systemd/system/$target.target.wants/*; do
        case $(basename "$unit") in
        systemd-journald* | '*') ;;
        *) ln -sf /dev/null "$machine/etc/systemd/system/$(basename "$unit")" ;;
        esac
    done
done
ln -sf /dev/null "$machine/etc/systemd/system/systemd-remount-fs.service"

# A TPM, in software. It is no device, so the service manager is told where it is.
mkdir -p "$machine/tpm" "$machine/etc/systemd/system/machine.target.wants"
printf '[Unit]\nDescription=TPM\n[Service]\nExecStart=%s --tpmstate dir=%s --server %s --ctrl %s\n' \
    '/usr/bin/swtpm socket --tpm2 --flags not-need-init,startup-clear' "$machine/tpm" \
    type=tcp,port=2321,bindaddr=127.0.0.1 type=tcp,port=2322,bindaddr=127.0.0.1 \
    >"$machine/etc/systemd/system/machine-tpm.service"
ln -s ../machine-tpm.service "$machine/etc/systemd/system/machine.target.wants/machine-tpm.service"

mount --bind "$machine/etc" /etc
mount --bind "$machine/var-lib" /var/lib
for folder in /run /var/log /mnt /srv /usr/local/src; do
    mount -t tmpfs -o mode=755 tmpfs "$folder"
done
mkdir -p /var/lib/systemd /run/lock /mnt/other-site /mnt/backup /usr/local/src/inro
mount --bind "$2" /usr/local/src/inro
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
for program in "$machine"/bin/*; do
    cp -a "$program" /usr/local/bin/
done
for program in inro-hsm inro-ca inro-agent; do
    touch "/usr/local/bin/$program"
    mount --bind "$3/$program" "/usr/local/bin/$program"
done

mount -t tmpfs -o mode=755 tmpfs "$machine/dev"
for node in null zero full random urandom tty; do
    touch "$machine/dev/$node"
    mount --bind "/dev/$node" "$machine/dev/$node"
done
mkdir "$machine/dev/pts" "$machine/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$machine/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$machine/dev/shm"
ln -s pts/ptmx "$machine/dev/ptmx"
ln -s /proc/self/fd "$machine/dev/fd"
for stream in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${stream%%:*}" "$machine/dev/${stream#*:}"
done
mount --move "$machine/dev" /dev 2>/dev/null || mount --rbind "$machine/dev" /dev

mount -t proc proc /proc
umount -R /sys
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# Credentials are mounted in a service's own namespace and must be seen outside it, as on every host.
mount --make-rshared /
exec env -i container=other SYSTEMD_TPM2_DEVICE=swtpm:host=127.0.0.1,port=2321 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=machine.target --log-target=null --show-status=no
