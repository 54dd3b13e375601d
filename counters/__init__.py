"""The core: admission, lanes, settlement and the key layout, over one narrow store interface.

Knows neither HTTP nor Lambda. This file imports nothing on purpose: the stream Lambda ships only the few modules
that it needs, all of them standard library only.
"""
