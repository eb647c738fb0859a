"""WireGuard's own formats: keys, wg-quick files, `wg show dump` and the userspace protocol. No I/O."""
