# SPDX-License-Identifier: GPL-2.0-or-later
#
# manual.awk: makes the manuals, the sample of the configuration file and the
# text of --help from the files `keys' and `options', which say what their
# stanzas are.
#
#	awk -v form=FORM [-v sysconfdir=DIR] [-v pkgdatadir=DIR] -f manual.awk \
#	    keys options [PAGE.in]
#
# FORM	page	PAGE.in, with its lines @KEYS@, @SYNOPSIS@ and @OPTIONS@ replaced
#	sample	the sample of the configuration file
#	help	a C header with the text of --help
#	list	key, type, default, sample, range, words and other sections of
#		each key, in columns between tabs, for the tests
#
# It needs no more than POSIX awk.  A fault ends it with "FILE:LINE: what".

BEGIN {
	ok["keys"] = " part section title argument key type range default unset sample unit value also text "
	ok["options"] = " usage option repeat help default text end "
	dashes = "----------------------------------------------------------------------"
	types = " boolean file list number seconds size string word "
	known["true"] = known["false"] = 1
	if (sysconfdir == "")
		sysconfdir = "/etc"
	if (pkgdatadir == "")
		pkgdatadir = "/usr/share/exim-rspamd"
}

# --- reading ----------------------------------------------------------------

FNR == 1 {
	stanza = 0
	name = FILENAME
	sub(/.*\//, "", name)
	page = !(name in ok)
}

page { template[++nlines] = $0; next }
/^#/ { next }
/^[ \t]*$/ { stanza = 0; next }

/^\t/ {
	if (!stanza)
		fault("a line without a field")
	line = $0
	sub(/^\t/, "", line)
	append(field == "value" ? "value " word : field, line)
	next
}

{
	if (!match($0, /^[a-z]+: */))
		fault("not a field: " $0)
	field = substr($0, 1, index($0, ":") - 1)
	content = substr($0, RLENGTH + 1)
	if (index(ok[name], " " field " ") == 0)
		fault("unknown field: " field)
	if (!stanza)
		begin()
	else if (field != "value" && (stanza, field) in is)
		fault("a second " field " in this stanza")
	if (field == "value") {
		word = content
		is[stanza, "values"] = is[stanza, "values"] " " word
		content = ""
	}
	append(field == "value" ? "value " word : field, content)
}

function begin() {
	stanza = ++nstanzas
	kind[stanza] = field
	where[stanza] = FILENAME ":" FNR
	order[name, ++count[name]] = stanza
}

# Lines are joined; "." between paragraphs stays as one of its own.
function append(what, line,   old) {
	old = is[stanza, what]
	is[stanza, what] = old line (line == "" ? "" : "\n")
}

# The value of field F of stanza S, on one line.
function get(s, f,   v) {
	v = is[s, f]
	sub(/\n$/, "", v)
	gsub(/\n/, " ", v)
	return v
}

function has(s, f) {
	return (s, f) in is
}

# V with the folders where things are installed.
function installed(v) {
	gsub(/@sysconfdir@/, sysconfdir, v)
	gsub(/@pkgdatadir@/, pkgdatadir, v)
	return v
}

function fault(what, at) {
	print (at != "" ? at : FILENAME ":" FNR) ": " what | "cat 1>&2"
	failed = 1
	exit 1
}

# --- checking, and what is where ----------------------------------------------

function check_key(s,   n, a, i, id) {
	id = get(s, "key")
	if (id in key_of)
		fault("a second key " id, where[s])
	key_of[id] = s
	n = split(id, a, ".")
	section_of[s] = n == 2 ? a[1] : ""
	name_of[s] = a[n]
	known[a[n]] = 1
	if (section_of[s] != "" && section_of[s] != this_section)
		fault("the section " section_of[s] " is not begun", where[s])
	if (index(types, " " get(s, "type") " ") == 0 || !has(s, "type"))
		fault("no such type: " get(s, "type"), where[s])
	if (has(s, "default") == has(s, "unset"))
		fault("either default or unset", where[s])
	if (has(s, "unset") && !has(s, "sample"))
		fault("no sample", where[s])
	if (!has(s, "text"))
		fault("no text", where[s])
	if (get(s, "type") == "word" && !has(s, "values"))
		fault("no words", where[s])
	n = split(get(s, "values"), a, " ")
	for (i = 1; i <= n; i++)
		known[a[i]] = 1
	n = split(get(s, "also"), a, " ")
	for (i = 1; i <= n; i++)
		also[a[i]] = also[a[i]] " " s
}

function check_all(   i, s, k) {
	for (i = 1; i <= count["keys"]; i++) {
		s = order["keys", i]
		k = kind[s]
		if (k == "part")
			this_section = ""
		else if (k == "section") {
			this_section = get(s, "section")
			known[this_section] = 1
			if (!has(s, "title") || !has(s, "argument"))
				fault("a section has a title and an argument", where[s])
		} else if (k == "key")
			check_key(s)
		else
			fault("a stanza begins with part, section or key", where[s])
		if (!has(s, "text"))
			fault("no text", where[s])
	}
	for (i = 1; i <= count["options"]; i++) {
		s = order["options", i]
		if (kind[s] != "usage" && kind[s] != "option" && kind[s] != "end")
			fault("a stanza begins with usage, option or end", where[s])
		if (!has(s, "help"))
			fault("no help", where[s])
	}
}

function sample_of(s) {
	return has(s, "sample") ? get(s, "sample") : get(s, "default")
}

# --- plain text: the sample and --help --------------------------------------

function plain(v) {
	gsub(/`/, "", v)
	return installed(v)
}

# Prints words of V in lines of at most WIDTH, the first after FIRST and the
# others after REST.
function fill(v, width, first, rest,   n, w, i, line) {
	n = split(plain(v), w, " ")
	line = first
	for (i = 1; i <= n; i++) {
		if (line != first && length(line) + 1 + length(w[i]) > width) {
			put(line)
			line = first = rest
		}
		line = line (line == first ? "" : " ") w[i]
	}
	put(line)
}

function put(line) {
	line = installed(line)
	if (form == "help") {
		gsub(/\\/, "&&", line)
		gsub(/"/, "\\\"", line)
		line = "\"" line "\\n\" \\"
	}
	print line
}

# The paragraphs of V as comments after INDENT.
function comment(v, indent,   n, p, i) {
	n = split(v, p, "\n\\.\n")
	for (i = 1; i <= n; i++)
		fill(p[i], indent == "" ? 78 : 70, indent "# ", indent "# ")
}

function sample_key(s, indent,   i, n, w) {
	comment(is[s, "text"], indent)
	n = split(get(s, "values"), w, " ")
	for (i = 1; i <= n; i++)
		if (get(s, "value " w[i]) != "")
			fill(get(s, "value " w[i]), indent == "" ? 78 : 70,
			    indent "#   " w[i] ": ", indent "#     ")
	if (range_note(s) != "")
		fill(range_note(s), 78, indent "# ", indent "# ")
	if (has(s, "unset"))
		fill("Not set: " get(s, "unset") ".", indent == "" ? 78 : 70,
		    indent "# ", indent "# ")
	put((indent == "" ? "#" : indent) name_of[s] " = " sample_of(s))
}

# "Of all workers; from 1 to 1000000.", or "".  The deadlines have one range, which
# stands before them.
function range_note(s,   u) {
	u = get(s, "unit")
	if (has(s, "range") && get(s, "range") != "0.01 to 3600")
		u = u (u == "" ? "" : "; ") "from " get(s, "range")
	return u == "" ? "" : toupper(substr(u, 1, 1)) substr(u, 2) "."
}

function end_section(   n, a, i) {
	if (open == "")
		return
	n = split(also[open], a, " ")
	if (n > 0) {
		put("#")
		put("#\t# For this " open " alone; explained elsewhere in this file.")
	}
	for (i = 1; i <= n; i++)
		put("#\t" name_of[a[i]] " = " sample_of(a[i]))
	put("#}")
	open = ""
}

function sample(   i, s) {
	put("# rspamd-shim.conf: every key with its default; see rspamd-shim.conf(5).")
	put("#")
	comment("Nothing here is needed: without a file the daemon listens on " \
	    "127.0.0.1:783, where Exim's spamd_address points by default, and asks " \
	    "the rspamd at http://127.0.0.1:11333. The command line beats this file. " \
	    "`rspamd-shim --check-config` tells what is wrong with it and in which " \
	    "line; `rspamd-shim --dump-config` writes out what is in force.", "")
	put("#")
	comment("A # without a space after it is before a key, and may go.", "")
	for (i = 1; i <= count["keys"]; i++) {
		s = order["keys", i]
		if (kind[s] != "key" || section_of[s] != open)
			end_section()
		if (kind[s] == "part") {
			put("")
			put("# --- " tolower(get(s, "part")) " " \
			    substr(dashes, length(get(s, "part"))))
			comment(is[s, "text"], "")
		} else if (kind[s] == "section") {
			put("")
			comment(is[s, "text"], "")
			open = get(s, "section")
			put("#" open " \"" get(s, "title") "\" {")
		} else {
			put(open == "" ? "" : "#")
			sample_key(s, open == "" ? "" : "#\t")
		}
	}
	end_section()
}

# "-c, --config FILE" and its text side by side.
function help_option(s,   head, text) {
	head = get(s, "option")
	head = (head ~ /^--/ ? "      " : "  ") head
	text = get(s, "help") (has(s, "repeat") ? "; may be repeated" : "")
	if (has(s, "default"))
		text = text " (default: " get(s, "default") ")"
	fill(text, 78, sprintf("%-27s ", head), sprintf("%28s", ""))
}

function help(   i, s, n, p, k) {
	print "/* Made of doc/manual/options: change that. */"
	print "#define HELP_TEXT \\"
	for (i = 1; i <= count["options"]; i++) {
		s = order["options", i]
		if (kind[s] == "usage") {
			put("Usage: rspamd-shim " get(s, "usage"))
			fill(get(s, "help"), 78, "", "")
			put("")
		} else if (kind[s] == "option")
			help_option(s)
		else {
			put("")
			n = split(is[s, "help"], p, "\n\\.\n")
			for (k = 1; k <= n; k++)
				fill(p[k], 78, "", "")
		}
	}
	print ""
}

function list(   i, s) {
	for (i = 1; i <= count["keys"]; i++) {
		s = order["keys", i]
		if (kind[s] == "key")
			print get(s, "key") "\t" get(s, "type") "\t" get(s, "default") \
			    "\t" plain(sample_of(s)) "\t" get(s, "range") "\t" \
			    get(s, "values") "\t" get(s, "also")
	}
}

# --- mdoc: the manuals --------------------------------------------------------

# One argument of a macro.
function argument(v) {
	gsub(/\\/, "\\e", v)
	gsub(/"/, "\\(dq", v)
	gsub(/-/, "\\-", v)
	if (v ~ /..*[.,:;)?!]$/)
		v = v "\\&"
	# a macro's name, or punctuation, would be taken for what it is
	if (v ~ /^[A-Z%][A-Za-z0-9]?[A-Za-z0-9]?$/ || v ~ /^[^A-Za-z0-9]$/)
		v = "\\&" v
	return v ~ / / ? "\"" v "\"" : v
}

# The macro that a literal gets.
function macro(v) {
	if (v in arguments)
		return "Ar " arguments[v]
	if (v in known)
		return "Cm " argument(v)
	if (v ~ /^[\/@]/)
		return "Pa " argument(v)
	if (v ~ /^--?[a-z-]+$/)
		return "Fl " argument(substr(v, 2))
	return "Ql " argument(v)
}

function flush() {
	if (out != "")
		print (out ~ /^[.']/ ? "\\&" : "") out
	out = ""
}

# Punctuation P as arguments of a macro.
function points(p,   i, r) {
	for (i = 1; i <= length(p); i++)
		r = r " " substr(p, i, 1)
	return r
}

function text_word(w) {
	gsub(/\\/, "\\e", w)
	if (length(out) + length(w) > 76)
		flush()
	out = out (out == "" ? "" : " ") w
	# a new sentence, a new line
	if (w ~ /[.!?]\)?$/)
		flush()
}

function text_words(v,   n, w, i, p) {
	n = split(v, w, " ")
	for (i = 1; i <= n; i++)
		if (w[i] ~ /^[a-z][a-z.-]*\([1-8]\)[.,;:)]*$/) {
			flush()
			p = w[i]
			sub(/^[^)]*\)/, "", p)
			print ".Xr " substr(w[i], 1, index(w[i], "(") - 1) " " \
			    substr(w[i], index(w[i], "(") + 1, 1) points(p)
		} else
			text_word(w[i])
}

# A paragraph of text with literals.
function paragraph(v, at,   n, part, i, rest, p) {
	gsub(/\n/, " ", v)
	n = split(installed(v), part, "`")
	if (n % 2 == 0)
		fault("an odd number of `", at)
	for (i = 1; i <= n; i += 2) {
		rest = part[i]
		p = ""
		if (i > 1 && match(rest, /^[.,;:)]+/)) {
			p = points(substr(rest, 1, RLENGTH))
			rest = substr(rest, RLENGTH + 1)
		}
		if (i > 1)
			print "." macro(part[i - 1]) p
		if (i > 1 && rest != "" && rest !~ /^ / ||
		    i < n && rest != "" && rest !~ / $/)
			fault("a `literal' stands alone, or before punctuation", at)
		text_words(rest)
		flush()
	}
}

function paragraphs(v, at,   n, p, i) {
	sub(/\n$/, "", v)
	n = split(v, p, "\n\\.\n")
	for (i = 1; i <= n; i++) {
		if (i > 1)
			print ".Pp"
		paragraph(p[i], at)
	}
}

# "exim | addresses | none", or the type.
function page_type(s,   n, w, i, r) {
	if (get(s, "type") != "word")
		return "Ar " get(s, "type")
	n = split(get(s, "values"), w, " ")
	r = "Cm " w[1]
	for (i = 2; i <= n; i++)
		r = r " | " w[i]
	return r
}

# The words of S, if they are explained here.
function page_values(s,   n, w, i) {
	n = split(get(s, "values"), w, " ")
	if (n == 0 || get(s, "value " w[1]) == "")
		return
	print ".Bl -tag -width Ds -compact"
	for (i = 1; i <= n; i++) {
		print ".It Cm " w[i]
		paragraphs(is[s, "value " w[i]], where[s])
	}
	print ".El"
}

function page_key(s) {
	print ".It Cm " name_of[s] " = " page_type(s)
	paragraphs(is[s, "text"], where[s])
	page_values(s)
	print ".Pp"
	if (has(s, "unset"))
		paragraph("Default: not set; " get(s, "unset") ".", where[s])
	else
		paragraph("Default: " default_of(s) ".", where[s])
	if (range_note(s) != "")
		paragraph(range_note(s), where[s])
}

function default_of(s,   v) {
	v = get(s, "default")
	return get(s, "type") ~ /^(number|seconds|size)$/ ? v : "`" v "`"
}

# The names of keys, for a sentence.
function names(stanzas,   n, a, i, r) {
	n = split(stanzas, a, " ")
	for (i = 1; i <= n; i++)
		r = r (i == 1 ? "" : i == n ? " and " : ", ") "`" name_of[a[i]] "`"
	return r
}

function page_keys(   i, s, in_list) {
	for (i = 1; i <= count["keys"]; i++) {
		s = order["keys", i]
		if (in_list && (kind[s] != "key" || section_of[s] != open)) {
			end_list()
			in_list = 0
		}
		if (kind[s] == "part") {
			print ".Sh " get(s, "part")
			paragraphs(is[s, "text"], where[s])
			open = ""
		} else if (kind[s] == "section") {
			open = get(s, "section")
			print ".Pp"
			print ".D1 Cm " open " Qo Ar " get(s, "argument") " Qc No { ... }"
			print ".Pp"
			paragraphs(is[s, "text"], where[s])
		} else {
			if (!in_list) {
				open = section_of[s]
				if (open == "" && section_of[before_it] != "")
					print_outside()
				print ".Bl -tag -width Ds"
				in_list = 1
			}
			page_key(s)
		}
		before_it = s
	}
	if (in_list)
		end_list()
}

function print_outside() {
	print ".Pp"
	print "Outside of the section:"
}

function end_list() {
	print ".El"
	if (open != "" && also[open] != "") {
		print ".Pp"
		paragraph(names(also[open]) " may stand in the section, too.")
	}
}

# "-c, --config FILE" as the arguments of .It or .Op.
function option_macros(s,   n, w, i, r) {
	n = split(get(s, "option"), w, " ")
	for (i = 1; i <= n; i++)
		if (w[i] ~ /,$/)
			r = r "Fl " substr(w[i], 2, length(w[i]) - 2) " , "
		else if (w[i] ~ /^-/)
			r = r "Fl " argument(substr(w[i], 2)) " "
		else
			r = r "Ar " tolower(w[i]) " "
	sub(/ $/, "", r)
	return r
}

function synopsis(   i, s, m) {
	print ".Nm"
	for (i = 1; i <= count["options"]; i++) {
		s = order["options", i]
		if (kind[s] != "option")
			continue
		m = option_macros(s)
		sub(/^Fl [a-z] , .*Fl [^ ]*/, substr(m, 1, 4), m)
		print ".Op " m (has(s, "repeat") ? " ..." : "")
	}
}

# What the page says of an option; its argument is in capitals there.
function option_text(s,   v, n, w) {
	v = get(s, "help")
	v = toupper(substr(v, 1, 1)) substr(v, 2) \
	    (has(s, "repeat") ? "; may be repeated" : "") "."
	if (has(s, "default"))
		v = v " Default: " get(s, "default") "."
	if (has(s, "text"))
		v = v "\n" is[s, "text"]
	n = split(get(s, "option"), w, " ")
	if (w[n] ~ /^[A-Z]+$/) {
		arguments["<" w[n] ">"] = tolower(w[n])
		gsub(w[n], "`<&>`", v)
	}
	return v
}

function page_options(   i, s) {
	print ".Bl -tag -width Ds"
	for (i = 1; i <= count["options"]; i++) {
		s = order["options", i]
		if (kind[s] != "option")
			continue
		print ".It " option_macros(s)
		paragraphs(option_text(s), where[s])
	}
	print ".El"
}

function pages(   i, line) {
	for (i = 1; i <= nlines; i++) {
		line = installed(template[i])
		if (line == "@KEYS@")
			page_keys()
		else if (line == "@SYNOPSIS@")
			synopsis()
		else if (line == "@OPTIONS@")
			page_options()
		else
			print line
	}
}

END {
	if (failed)
		exit 1
	check_all()
	if (form == "page")
		pages()
	else if (form == "sample")
		sample()
	else if (form == "help")
		help()
	else if (form == "list")
		list()
	else
		fault("form=" form "?", "manual.awk")
}
