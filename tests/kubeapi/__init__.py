"""A Kubernetes API server in this process, for tests that speak to one.

It speaks the protocol and no more: objects of the kinds in `kinds.py` with resourceVersions,
generations, managed fields, JSON and merge patches, the status subresource, dry runs, lists and
watches with bookmarks and 410 Gone. What a real server answered, word for word where the words
matter, is in the recordings of real clusters; `test_kubeapi.py` holds this one against them.

There are no controllers: a test plays them, by writing to `store` or by subscribing to it.
"""
