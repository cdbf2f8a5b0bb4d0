"""Start a process in an image's files, as a container runtime starts a pod of the chart, by the kernel's own means."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack.child import Child, Command
from tests.image.builder import Image

_ENTER = """\
set -e
mount --make-rprivate /
mount --bind {root} {root}
mount --rbind /dev {root}/dev
mount -t proc proc {root}/proc
{lock}
mount -t tmpfs -o mode=1777 tmpfs {root}/tmp
exec setpriv --no-new-privs chroot --userspec={user} --groups={group} {root} env --ignore-environment "$@"
"""


def start(
    image: Image,
    command: Sequence[str],
    *,
    name: str,
    environment: Mapping[str, str],
    log: Path,
    user: str = "65532:65532",
    read_only: bool = True,
) -> Child:
    """
    Run a command of the image's; it gets our signals itself, as PID 1 does.

    Args:
        user: numbers of a user and a group that no file need belong to.
        read_only: all but /tmp.
    """
    root = shlex.quote(str(image.root))
    lock = f"mount -o remount,ro,bind {root}" if read_only else ""
    script = _ENTER.format(root=root, lock=lock, user=user, group=user.split(":")[1])
    variables = [f"{key}={value}" for key, value in {**image.environment, **environment}.items()]
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", *variables, *command]
    return Child.spawn(Command(name, argv, {"PATH": os.environ["PATH"]}, log))
