"""What decides: the policy, the checks, the judge and the report, without a clock or a socket."""
