"""PUBLIC_URL becomes the URL that Stripe has."""

import pytest

from reconciler.endpoint.public_url import endpoint_url

URL = "https://pay.example/api/stripe-webhook"


@pytest.mark.parametrize(
    ("public_url", "url"),
    [
        ("https://pay.example", URL),
        ("https://pay.example/", URL),
        (" https://PAY.example:443/\n", URL),
        (URL, URL),
        ("https://pay.example/shop", "https://pay.example/shop/api/stripe-webhook"),
        ("http://localhost:3000", "http://localhost:3000/api/stripe-webhook"),
        ("http://[::1]:3000", "http://[::1]:3000/api/stripe-webhook"),
    ],
)
def test_the_path_is_added_where_it_is_missing(public_url: str, url: str) -> None:
    """Whichever of the usual spellings was given."""
    assert endpoint_url(public_url) == url


@pytest.mark.parametrize(
    "public_url",
    ["pay.example", "ftp://pay.example", "https://", "https://u:p@pay.example", "https://a?b=1", "https://a:99999"],
)
def test_what_stripe_could_not_call_is_refused(public_url: str) -> None:
    """Before it is compared with anything."""
    with pytest.raises(ValueError, match=r"."):
        endpoint_url(public_url)
