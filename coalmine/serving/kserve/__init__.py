"""KServe, and KFServing before it: canaries of an InferenceService."""
