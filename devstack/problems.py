"""Problems that prevent a start, each said in one sentence with its fix."""


class StackProblem(Exception):
    """Something that the person at the keyboard can put right; the message is all they need to read."""


KNOWN_COMPLAINTS = {
    "No space left on device": "The disk is full: free some space (the data is under {folder}) and start again.",
    "Disk quota exceeded": "Your disk quota is used up: free some space (the data is under {folder}) and start again.",
    "Read-only file system": "The file system of {folder} is read-only: use a folder that can be written.",
    "are incompatible with server": (
        "The data under {folder} was made by another version of PostgreSQL: move that folder away to start afresh."
    ),
    "Cannot allocate memory": "There is not enough memory to start {name}: close something and start again.",
}


def explain(name: str, folder: object, output: str) -> StackProblem:
    """The problem that a program's last lines tell of; the lines themselves where they are no old acquaintance."""
    for complaint, advice in KNOWN_COMPLAINTS.items():
        if complaint in output:
            return StackProblem(advice.format(name=name, folder=folder))
    lines = "\n".join(f"    {line}" for line in output.strip().splitlines()[-12:])
    return StackProblem(f"{name} did not start. Its last lines:\n{lines or '    (it said nothing)'}")
