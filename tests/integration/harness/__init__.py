"""The integration tests' tools: see tests/integration/README.md."""

from .case import Case, common_rspamd, message
from .client import (RspamcReply, check_report, connect, receive, rspamc_request, spamc, spamc_request,
                     talk)
from . import facts
from .exim import Exim, exim_with_drop_in_acl
from .fake_rspamd import FakeRspamd, verdict
from .opensmtpd import OpenSmtpd
from .packages import SOURCE_TREE, Unavailable
from .postfix import Postfix
from .process import free_port, wait_until
from .rspamd import Redis, Rspamd
from .shim import Shim
from .smtp import Smtp

__all__ = ["Case", "Exim", "FakeRspamd", "OpenSmtpd", "Postfix", "Redis", "Rspamd", "RspamcReply", "SOURCE_TREE", "Shim", "Smtp",
           "Unavailable", "check_report", "common_rspamd", "connect", "exim_with_drop_in_acl", "facts", "free_port", "message", "receive",
           "rspamc_request", "spamc", "spamc_request", "talk", "verdict", "wait_until"]
