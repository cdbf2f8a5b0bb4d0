from pathlib import Path

from sluice.runtime.settings import RotatingSecret


class Clock:
    """A clock that a test turns by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        """Its time, in seconds."""
        return self.now


def _secret(path: Path, clock: Clock) -> RotatingSecret:
    return RotatingSecret(
        "STRIPE_WEBHOOK_SECRET", environment={"STRIPE_WEBHOOK_SECRET_FILE": str(path)}, clock=clock.read
    )


def test_several_values_are_in_force_while_rotating() -> None:
    """Commas separate them; whitespace and repeats do not count."""
    secret = RotatingSecret("S", environment={"S": " whsec_new, whsec_old,,whsec_new "})
    assert secret.values() == ("whsec_new", "whsec_old")


def test_a_secret_that_is_not_configured_has_no_values() -> None:
    """The caller decides what that means."""
    assert RotatingSecret("S", environment={}).values() == ()


def test_a_file_that_changes_is_read_again_within_a_second(tmp_path: Path) -> None:
    """A rotation of a mounted secret needs no restart."""
    path, clock = tmp_path / "secret", Clock()
    path.write_text("whsec_old")
    secret = _secret(path, clock)
    assert secret.values() == ("whsec_old",)
    (tmp_path / "next").write_text("whsec_new,whsec_old")
    (tmp_path / "next").replace(path)
    assert secret.values() == ("whsec_old",), "looked at the file more than once a second"
    clock.now += 1
    assert secret.values() == ("whsec_new", "whsec_old")


def test_a_file_that_goes_wrong_leaves_the_last_good_values(tmp_path: Path) -> None:
    """Empty, gone or not text: none of it takes the service's secret away, and a good file later is taken."""
    path, clock = tmp_path / "secret", Clock()
    path.write_text("whsec_good")
    secret = _secret(path, clock)
    assert secret.values() == ("whsec_good",)
    for spoil in (lambda: path.write_text(" \n"), lambda: path.write_bytes(b"\xff\xfe"), path.unlink):
        spoil()
        clock.now += 1
        assert secret.values() == ("whsec_good",)
    path.write_text("whsec_better")
    clock.now += 1
    assert secret.values() == ("whsec_better",)


def test_a_file_that_appears_later_is_found(tmp_path: Path) -> None:
    """A service may start before its secret is mounted."""
    path, clock = tmp_path / "secret", Clock()
    secret = _secret(path, clock)
    assert secret.values() == ()
    path.write_text("whsec_late")
    clock.now += 1
    assert secret.values() == ("whsec_late",)


def test_a_file_that_turns_into_no_secret_leaves_the_last_good_value(tmp_path: Path) -> None:
    """As one that is empty does."""
    clock, file = Clock(), tmp_path / "secret"
    file.write_text("whsec_good")
    secret = RotatingSecret(
        "S",
        environment={"S_FILE": str(file)},
        fault_of=lambda value: "bad" if "bad" in value else None,
        clock=clock.read,
    )
    assert secret.values() == ("whsec_good",)
    file.write_text("whsec_good,whsec_bad")
    clock.now += 2
    assert secret.values() == ("whsec_good",)


def test_before_a_refusal_the_file_is_looked_at_again(tmp_path: Path) -> None:
    """A new secret works at once; a flood of forgeries looks at the file a hundred times a second, not more."""
    clock, file = Clock(), tmp_path / "secret"
    file.write_text("whsec_old")
    secret = _secret(file, clock)
    assert secret.values() == ("whsec_old",)
    file.write_text("whsec_newer")
    clock.now += 0.005
    assert secret.values_afresh() == ("whsec_old",)
    clock.now += 0.05
    assert secret.values() == ("whsec_old",)
    assert secret.values_afresh() == ("whsec_newer",)
    assert secret.values() == ("whsec_newer",)
