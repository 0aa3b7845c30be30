"""The driver interface: the only modules of core that a driver may import.

* `messages` - the values that cross the seam
* `capabilities` - what a driver can do, as data
* `driver`, `facets` - the protocols it implements
* `settings`, `plugin` - how it declares itself
* `errors` - what it may raise; `partial` - and what for a call that failed in part
* `reclaim` - the one rule every driver applies by itself
"""
