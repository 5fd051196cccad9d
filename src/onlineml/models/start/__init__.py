"""The first weights of a network: from the local cache, a mirror, a hub or a package, or random."""
