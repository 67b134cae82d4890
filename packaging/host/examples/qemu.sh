#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# QEMU with cubar's device: the last two lines are what a command line of yours needs.
# usage: qemu.sh DISK [QEMU arguments]
disk=$1
shift
exec qemu-system-x86_64 -machine q35 -accel kvm -cpu host -smp 4 -m 8G \
    -drive file="$disk",if=virtio -nic user,model=virtio-net-pci "$@" \
    -chardev socket,id=cubar,path=/run/cubar/vm1 \
    -device ivshmem-doorbell,chardev=cubar,vectors=1
