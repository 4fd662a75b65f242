"""Print the installed packages that a project does not need to run: the tools for its development.

The lock file has both, with hashes, and pip cannot install a part of it by name.
"""

import importlib.metadata
import sys

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

needed = {"pip"}
wanted = [(sys.argv[1], frozenset[str]())]
while wanted:
    name, extras = wanted.pop()
    needed.add(canonicalize_name(name))
    for line in importlib.metadata.requires(name) or []:
        requirement = Requirement(line)
        applies = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}
        )
        if applies and canonicalize_name(requirement.name) not in needed:
            wanted.append((requirement.name, frozenset(requirement.extras)))
for distribution in importlib.metadata.distributions():
    if canonicalize_name(distribution.metadata["Name"]) not in needed:
        print(distribution.metadata["Name"])
