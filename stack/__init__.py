"""The whole system on one machine: emulators, table, Lambda and API processes.

``./taskw up`` and the end-to-end tests start it through the same code, so that what is tested is what people run.
Nothing here is deployed.
"""

import os

from stack.network import spare_loopback

# Here because every program of the workbench, every one of load/ and every test imports this package, and whatever they
# start inherits it.
spare_loopback(os.environ)
