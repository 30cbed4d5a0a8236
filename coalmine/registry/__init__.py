"""OCI registries over the distribution API: blobs and manifests in and out, byte for byte.

Source of every protocol rule here: the OCI distribution specification 1.1, and for tokens the
Docker registry's token authentication specification. `client` is the face of this room.
"""
