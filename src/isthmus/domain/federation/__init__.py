"""The rules between organisations: names, remotes, certificates, discovery, admission."""
