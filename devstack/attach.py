"""The fleet of a running stack, for a notebook, a script or a benchmark."""

import os
from typing import TYPE_CHECKING

from devstack.launch import ray_environment, settings_of_running
from devstack.state import running_stack
from fleetpulse.errors import SetupError
from fleetpulse.settings import Settings

if TYPE_CHECKING:
    from actors.fleet import Fleet


def attach(settings: Settings) -> "Fleet":
    """Connect this process to the stack of `settings.data_folder`.

    `await attach(load_settings()).device("pump-7").view()` is a device's state now. Call it before
    anything imports ray. Raises SetupError when no stack runs there.
    """
    stack = running_stack(settings.data_folder)
    if stack is None or stack.phase != "ready":
        raise SetupError(f"no stack runs in {settings.data_folder}", remedy="run `fleetpulse up`")
    os.environ |= ray_environment(settings.data_folder.absolute())
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray  # noqa: PLC0415  # it reads the environment when imported

    from actors.fleet import connect  # noqa: PLC0415
    from actors.live_hub import NAMESPACE  # noqa: PLC0415

    ray.init(address=stack.ray_address, namespace=NAMESPACE, log_to_driver=False)
    return connect(settings_of_running(settings))
