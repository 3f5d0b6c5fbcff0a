"""Delete a table of the kernel's nftables, which iptables cannot do and for which the nft command is often missing."""

from __future__ import annotations

import os
import socket
import struct

# linux/netfilter/nfnetlink.h and nf_tables.h
NETLINK_NETFILTER = 12
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11
NFNL_SUBSYS_NFTABLES = 10
NFT_MSG_DELTABLE = 2
NFTA_TABLE_NAME = 1
NLM_F_REQUEST, NLM_F_ACK = 1, 4
NLMSG_ERROR = 2
FAMILIES = {"ip": 2, "ip6": 10}


def delete_table(family: str, name: str) -> None:
    """Delete the table `name` of the family `ip` or `ip6`. Raises OSError as the kernel answers (2: no such table)."""
    encoded = name.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(encoded), NFTA_TABLE_NAME) + encoded
    attribute += b"\0" * (-len(attribute) % 4)
    delete = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE
    request = _message(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, 0, NFNL_SUBSYS_NFTABLES, 1)
    request += _message(delete, NLM_F_REQUEST | NLM_F_ACK, FAMILIES[family], 0, 2, attribute)
    request += _message(NFNL_MSG_BATCH_END, NLM_F_REQUEST, 0, NFNL_SUBSYS_NFTABLES, 3)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as channel:
        channel.settimeout(5)
        channel.bind((0, 0))
        channel.send(request)
        answer = channel.recv(4096)
    kind = struct.unpack_from("=IHHII", answer)[1]
    code = struct.unpack_from("=i", answer, 16)[0] if kind == NLMSG_ERROR else 0
    if code:
        raise OSError(-code, os.strerror(-code), name)


def _message(kind: int, flags: int, family: int, resource: int, sequence: int, payload: bytes = b"") -> bytes:
    body = struct.pack("=BB", family, 0) + struct.pack(">H", resource) + payload
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body
