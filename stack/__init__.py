"""The whole system on one machine: emulators, table, Lambda and API processes.

``./taskw up`` and the end-to-end tests start it through the same code, so that what is tested is what people run.
Nothing here is deployed.
"""
