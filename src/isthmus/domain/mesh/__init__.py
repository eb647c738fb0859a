"""Rules of one organisation's mesh: networks, addresses, peers, enrollment and tunnels."""
