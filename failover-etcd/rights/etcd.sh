#!/bin/sh
# Gives a user the least rights that failover-etcd needs: to read and write below one prefix, and nothing else.
#
#   ETCDCTL_ENDPOINTS=https://e1:2379 ETCDCTL_USER=root:PASSWORD sh etcd.sh USER PREFIX < password
#
# USER is made with the password on standard input, with a role failover-USER. PREFIX is the option `prefix` of the address
# (`failover` unless you set it). etcdctl takes everything else from its environment (ETCDCTL_CACERT and so on).
set -eu
export ETCDCTL_API=3
user=$1 prefix=$2 role="failover-$1"

etcdctl user add "$user" --interactive=false
etcdctl role add "$role"
# Up to the character after `/`: exactly the keys below the prefix, and not those of a longer name.
etcdctl role grant-permission "$role" readwrite "$prefix/" "${prefix}0"
etcdctl user grant-role "$user" "$role"
