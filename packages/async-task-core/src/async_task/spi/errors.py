"""The errors a driver raises, so that a driver imports nothing but `async_task.spi`."""

from async_task.errors import AccessDeniedError as AccessDeniedError
from async_task.errors import ConfigurationError as ConfigurationError
from async_task.errors import ConnectionLostError as ConnectionLostError
from async_task.errors import DriverError as DriverError
from async_task.errors import DriverTimeoutError as DriverTimeoutError
from async_task.errors import EnqueueError as EnqueueError
from async_task.errors import MessageTooLargeError as MessageTooLargeError
from async_task.errors import OutcomeUnknownError as OutcomeUnknownError
from async_task.errors import ThrottledError as ThrottledError
from async_task.errors import UnsupportedError as UnsupportedError
