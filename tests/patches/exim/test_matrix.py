"""Every action, over TCP and a unix socket, in both modes, from rspamd-shim and
from rspamd itself; Exim decides by exim-conf/acl_check_spam, the same for all.
"""

from harness import SOURCE_TREE, Case, Exim, Rspamd, Shim, common_rspamd, message

import claims

# Record, then decide: Exim scans once, the drop-in ACL meets the same verdict.
ACL = """
	warn
		spam = nobody:true
		acl = acl_seen
	require
		acl = acl_check_spam
	accept
"""

# action: (headers that make it, score, bar, is spam, SMTP code)
VERDICTS = {
	"no action": ({"X_Test_Score": 1.5}, "1.5", "+", False, 250),
	"greylist": ({"X_Test_Score": 5}, "5.0", "+++++", False, 250),
	"add header": ({"X_Test_Score": 7.4}, "7.4", "+++++++", True, 250),
	"rewrite subject": ({"X_Test_Score": 9}, "9.0", "+" * 9, True, 250),
	"soft reject": ({"X_Test_Action": "soft reject", "X_Test_Message": "Come back"}, "0.0", "/", False, 451),
	"reject": ({"X_Test_Score": 20.5}, "20.5", "+" * 20, True, 550),
}
FOREIGN = {"X_Spam_Status": "No, score=-99", "X_Spam_Score": "-99"}

# A client that closes its side counts as gone.
NO_WORKAROUND = "options { enable_shutdown_workaround = false; }\n"


class Matrix:
	"""The tests; the classes below say by which way."""

	variant = unix = direct = None

	@classmethod
	def setUpClass(cls):
		probe = Exim(cls.folder("probe"))
		if cls.variant:
			claims.need(probe, "variant")
		options = " variant=rspamd" if cls.variant else ""
		macros = "CHECK_SPAM_RELAY_HOSTS = :\n"
		if cls.direct:
			claims.need(probe, "shutdown")
			rspamd = cls.shared(Rspamd, extra=NO_WORKAROUND)
			where = str(rspamd.unix) if cls.unix else f"127.0.0.1 {rspamd.normal}"
			address = where + options
			macros += "CHECK_SPAM_LAST_LINE = Message-ID\n"
		else:
			address = cls.shared(Shim, backend=common_rspamd().url).spamd_address(cls.variant, cls.unix)
		if (probe.version() or (5, 0)) < (4, 82):
			filter_file = cls.folder("filter") / "before-4.82.filter"
			filter_file.write_text((SOURCE_TREE / "exim-conf" / "before-4.82.filter").read_text())
			macros += f"CHECK_SPAM_BEFORE_4_82 = yes\nsystem_filter = {filter_file}\n"
		acl_file = cls.folder("acl") / "acl_check_spam"
		acl_file.write_text((SOURCE_TREE / "exim-conf" / "acl_check_spam").read_text())
		cls.exim = cls.shared(Exim, address, acl_data=ACL, acl_not_smtp="accept",
		                      acls=f".include {acl_file}\n", macros=macros)

	def check(self, action):
		headers, score, bar, spam, code = VERDICTS[action]
		before = len(self.exim.seen())
		reply = self.exim.send(message(**FOREIGN, **headers))
		seen, = self.exim.seen()[before:]
		self.assertEqual([seen[n].decode() for n in ("spam_score", "spam_bar")], [score, bar])
		if "spam_action" in seen:
			# In plain mode Exim sets $spam_action itself.
			shown = action if self.variant else ("reject" if spam else "no action")
			self.assertEqual(seen["spam_action"].decode(), shown)
		self.assertEqual(seen["spam_report"].split(b"\n")[0].decode(), f"Action: {action}")
		self.assertEqual(reply.code, code, reply)
		if code != 250:
			return
		mail = self.exim.delivered(reply.message_id())
		self.assertEqual(mail.get_all("X-Spam-Status"), ["Yes"] if spam else None)
		self.assertEqual(mail.get_all("X-Spam-Score"), [f"{score} ({bar})"] if action == "add header" else None)
		self.assertEqual(mail["Subject"], "[SPAM] a test" if action == "rewrite subject" else "a test")

	def test_no_action(self):
		self.check("no action")

	def test_greylist(self):
		self.check("greylist")

	def test_add_header(self):
		self.check("add header")

	def test_rewrite_subject(self):
		self.check("rewrite subject")

	def test_soft_reject(self):
		self.check("soft reject")

	def test_reject(self):
		self.check("reject")


class ShimRspamdTcp(Matrix, Case):
	variant, unix, direct = True, False, False


class ShimRspamdUnix(Matrix, Case):
	variant, unix, direct = True, True, False


class ShimPlainTcp(Matrix, Case):
	variant, unix, direct = False, False, False


class ShimPlainUnix(Matrix, Case):
	variant, unix, direct = False, True, False


class DirectRspamdTcp(Matrix, Case):
	variant, unix, direct = True, False, True


class DirectRspamdUnix(Matrix, Case):
	variant, unix, direct = True, True, True
