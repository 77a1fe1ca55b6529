"""Which URLs are asked for and which addresses are connected to: what attackers write, and what users write."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from protocol.addresses import AddressPolicy, Target, UrlRefused, check_url, is_allowed_address

PUBLIC = AddressPolicy()
CLOSED = AddressPolicy(allow_private_addresses=True)

HOSTILE = {
    "schemes": (
        *("file:///etc/passwd", "FILE:///etc/passwd", "ftp://example.com/a", "gopher://127.0.0.1:6379/_x", "dict://h:11211/"),
        *("javascript:alert(1)", "data:text/plain,a", "jar:http://e.com!/", "netdoc:///etc/passwd", "ldap://example.com/"),
        *("concat:http://e.com/a|file:///etc/passwd", "subfile,,start,0,end,9,,:/etc/passwd", "http+unix://%2Frun%2Fa.sock/"),
        *("//example.com/a", "example.com/a", "/etc/passwd", "", "http:", "http:/example.com/a", "http:///a", "http://"),
        *("https:example.com/a", "ws://example.com/", "hxxp://example.com", ":http://example.com/", " http://example.com/"),
    ),
    "IPv4, plain": (
        *("http://127.0.0.1/", "http://127.1.2.3/", "http://0.0.0.0/", "http://0.1.2.3/", "http://10.0.0.1/"),
        *("http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.1.1/", "http://100.64.0.1/", "http://198.18.0.1/"),
        *("http://169.254.169.254/latest/meta-data/", "http://169.254.170.2/v2/credentials", "http://192.0.0.192/"),
        *("http://100.100.100.200/", "http://224.0.0.1/", "http://239.255.255.250/", "http://255.255.255.255/"),
        *("http://192.0.2.1/", "http://203.0.113.9/", "http://240.0.0.1/", "http://192.88.99.1/"),
    ),
    "IPv4, oddly spelled": (
        *("http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://017700000001/", "http://0177.0.0.1/"),
        *("http://127.1/", "http://127.0.1/", "http://0/", "http://127.0.0.1./", "http://127.0.0.01/", "http://0x7f.1/"),
        *("http://00000000177.0.0.1/", "http://4294967297/", "http://127.0.0.256/", "http://1.2.3.4.5/", "http://0x/"),
        *("http://127。0。0。1/", "http://①②⑦.⓪.⓪.①/", "http://127.0.0.1%2f@example.com/", "http://127%2e0.0.1/"),
        *("http://3232235777/", "http://0251.0376.0251.0376/", "http://0xa9fea9fe/", "http://2852039166/"),
    ),
    "IPv6": (
        *("http://[::1]/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/"),
        *("http://[::127.0.0.1]/", "http://[64:ff9b::127.0.0.1]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::1]/"),
        *("http://[2002:7f00:1::]/", "http://[2002:a9fe:a9fe::1]/", "http://[2001:0:7f00:1::]/", "http://[fe80::1]/"),
        *("http://[fe80::1%25eth0]/", "http://[fc00::1]/", "http://[fd00:ec2::254]/", "http://[fec0::1]/", "http://[ff02::1]/"),
        *("http://[2001:db8::1]/", "http://[::ffff:0:127.0.0.1]/", "http://[2001:0:808:808::80ff:fffe]/", "http://[::1/"),
        *("http://::1/", "http://[127.0.0.1]/", "http://[::1]x/", "http://[2001:2::1]/", "http://[3fff::1]/", "http://[1::1]/"),
        *("http://[2606:4700::5efe:10.0.0.1]/", "http://[2606:4700:0:0:200:5efe:a00:1]/", "http://[fd20:ce::254]/"),
    ),
    "user names": (
        *("http://user:password@example.com/", "http://example.com@127.0.0.1/", "http://127.0.0.1@example.com/"),
        *("http://@example.com/", "http://example.com:80@127.0.0.1/", "http://a@b@example.com/", "http://example.com\\@a.com/"),
    ),
    "ports": (
        *("http://example.com:22/", "http://example.com:6379/", "http://example.com:0/", "http://example.com:65536/"),
        *("http://example.com:/", "http://example.com:080/", "http://example.com:-1/", "http://example.com:8 0/"),
        *("http://example.com:80:80/", "http://example.com:eighty/", "http://example.com:99999999999/"),
    ),
    "names": (
        *(
            "http://localhost/",
            "http://LOCALHOST/",
            "http://a.localhost/",
            "http://metadata.google.internal/",
            "http://nas.local/",
        ),
        *("http://a..b/", "http://.a/", "http://a./", "http://-a.com/", "http://a-.com/", "http://exa mple.com/"),
        *("http://exam\tple.com/", "http://example.com\r\nHost: a/", "http://example.com/\r\nX: y", "http://example.com/a b"),
        *("http://exa%6dple.com/", "http://example.com%00.evil.com/", "http://example.com\0/", "http://bücher.example/"),
        *("http://ⓔxample.com/", "http://example。com/", f"http://{'a' * 64}.com/", f"http://{'a.' * 130}com/", "http://a,b/"),
        *("http://example.com\\a", "http:\\\\example.com/", f"http://example.com/{'a' * 4096}", "http://example.com/\x7f"),
    ),
}
SPELLINGS = [url for urls in HOSTILE.values() for url in urls]


def test_there_are_enough_hostile_spellings() -> None:
    assert len(set(SPELLINGS)) == len(SPELLINGS) >= 120


@pytest.mark.parametrize("url", SPELLINGS)
def test_a_hostile_url_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        check_url(url, PUBLIC)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com/a.mp4", Target("https", "example.com", 443, "/a.mp4", None)),
        ("HTTP://Example.COM", Target("http", "example.com", 80, "/", None)),
        ("https://example.com?x=1", Target("https", "example.com", 443, "/?x=1", None)),
        ("https://example.com:8443/a#t=3", Target("https", "example.com", 8443, "/a", None)),
        ("http://8.8.8.8/a", Target("http", "8.8.8.8", 80, "/a", ip_address("8.8.8.8"))),
        ("http://[2606:4700:0::1111]/a", Target("http", "[2606:4700::1111]", 80, "/a", ip_address("2606:4700::1111"))),
        ("https://xn--bcher-kva.example/%C3%BC", Target("https", "xn--bcher-kva.example", 443, "/%C3%BC", None)),
        (
            "https://a_b.s3.example.com/k?X-Amz-Signature=a%2Fb",
            Target("https", "a_b.s3.example.com", 443, "/k?X-Amz-Signature=a%2Fb", None),
        ),
        ("http://4.example.com//x/../y", Target("http", "4.example.com", 80, "//x/../y", None)),
    ],
)
def test_a_plain_url_is_taken_apart(url: str, target: Target) -> None:
    assert check_url(url, PUBLIC) == target
    assert check_url(target.url, PUBLIC) == target


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://e.com/films/b%20c.mp4?sig=1", "b c.mp4"),
        ("https://e.com/", "e.com"),
        ("https://e.com/%2F..%2Fetc%2Fpasswd", "..etcpasswd"),
        ("https://e.com/a%0d%0ab%00.mp4", "ab.mp4"),
        ("https://e.com/%ff", "\ufffd"),
    ],
)
def test_the_file_name_is_fit_for_people(url: str, name: str) -> None:
    assert check_url(url, PUBLIC).filename == name


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/a", "http://10.1.2.3/", "http://[::1]/", "http://[fd12::1]/", "http://nas.local/"]
)
def test_a_closed_network_may_be_asked_where_that_is_allowed(url: str) -> None:
    assert check_url(url, CLOSED).url == url


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "100.100.100.200", "::ffff:169.254.169.254", "0.0.0.0"),
        *("::", "224.0.0.1", "ff02::1", "255.255.255.255", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "192.0.0.192", "::2"),
    ],
)
def test_metadata_link_local_and_multicast_stay_refused_in_closed_networks(address: str) -> None:
    assert not is_allowed_address(ip_address(address), CLOSED)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1",
        "2001:4860:4860::8888",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "::ffff:8.8.8.8",
    ],
)
def test_public_addresses_are_allowed_in_whatever_form(address: str) -> None:
    assert is_allowed_address(ip_address(address), PUBLIC)


def test_a_refusal_tells_nothing_of_path_or_query() -> None:
    with pytest.raises(UrlRefused) as refused:
        check_url("http://example.com:22/secret?sig=s3cret", PUBLIC)

    assert str(refused.value) == "port 22 is not allowed here; these are: 80, 443, 8080, 8443"
