# The emulator of `./taskw up`, beside what that makes.
name         = "distributed-counter-infra"
region       = "us-east-1"
endpoint_url = "http://127.0.0.1:4566"

# Of most machines that emulators run on. ./taskw deploy and infra:apply put in this machine's.
architecture = "x86_64"

# Emulators have no windows, and one shard that nobody names.
tumbling_window_s = 0

# MiniStack has no Application Auto Scaling.
api_autoscaling = false

# MiniStack forgets an interface endpoint's groups and names, the policy of a gateway, and what an alarm watches; each
# plan would mend them anew.
interface_endpoints = false
endpoint_policies   = false
alarms              = false

# An emulator on this machine gets no request minutes late.
heal_after_s = 15

# MiniStack's stream misses what PartiQL writes, so nothing would settle it.
own_ids_in_batches = false

# What is on trial is thrown away.
deletion_protection = false
