#!/bin/sh
# The DHCP client's hook: applies the lease and leaves it for the agent, whole or not at all.
lease=/run/enforcer/lease-$interface
case $1 in
deconfig)
  rm -f "$lease"
  ifconfig "$interface" 0.0.0.0 ;;
bound | renew)
  ifconfig "$interface" "$ip" netmask "${subnet:-255.255.255.0}"
  [ -n "$router" ] && route add default gw "${router%% *}" dev "$interface" 2>/dev/null
  for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
  printf 'ip=%s\nsubnet=%s\nserverid=%s\nhostname=%s\n' "$ip" "$subnet" "$serverid" "$hostname" >"/run/enforcer/.new-$interface"
  # The agent looks only at lease-…, so it never sees half a lease.
  mv "/run/enforcer/.new-$interface" "$lease" ;;
esac
exit 0
