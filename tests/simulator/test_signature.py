import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe import SignatureVerificationError, WebhookSignature

from sluice.simulator.signature import sign

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=1)


@given(body=st.text(), secrets=st.lists(SECRETS, min_size=1, max_size=3, unique=True))
def test_stripes_own_library_accepts_every_active_secret(body: str, secrets: list[str]) -> None:
    """A header signed with several secrets verifies with each of them."""
    header = sign(body.encode(), secrets, timestamp=int(time.time()))
    assert all(WebhookSignature.verify_header(body.encode(), header, secret, tolerance=300) for secret in secrets)


@given(body=st.binary(), secret=SECRETS)
def test_stripes_own_library_refuses_another_secret(body: bytes, secret: str) -> None:
    """A header does not verify with a secret that did not sign it."""
    header = sign(body.hex().encode(), [secret], timestamp=int(time.time()))
    with pytest.raises(SignatureVerificationError):
        WebhookSignature.verify_header(body.hex().encode(), header, secret + "x", tolerance=300)
