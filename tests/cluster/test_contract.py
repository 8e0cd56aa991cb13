"""The contract of every store, unchanged, against a real API server."""

from tests.stores.test_contract import *  # noqa: F403 - the tests themselves
from tests.stores.test_contract_kinds import *  # noqa: F403 - the same
from tests.stores.test_contract_model import test_a_store_is_a_dict_with_versions  # noqa: F401 - the same
from tests.stores.test_contract_watch import *  # noqa: F403 - the same
