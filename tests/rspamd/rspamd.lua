-- Answers that depend on message headers only, and a record of what rspamd
-- was told.  README.md lists the headers.

local rspamd_hash = require "rspamd_cryptobox_hash"
local rspamd_tcp = require "rspamd_tcp"
local ucl = require "ucl"

local function header_number(task, name)
	return tonumber(task:get_header(name) or '')
end

local odd_numbers = { nan = 0/0, inf = math.huge, ['-inf'] = -math.huge }

rspamd_config:register_symbol{ name = 'TEST_SCORE', type = 'normal', score = 1.0, group = 'test',
	description = 'X-Test-Score',
	callback = function(task)
		local h = task:get_header('X-Test-Score')
		if h then
			return true, odd_numbers[h] or tonumber(h), 'opt1', 'opt,2'
		end
	end }

-- One symbol with many options.
rspamd_config:register_symbol{ name = 'TEST_MANY', type = 'normal', score = 0.01, group = 'test',
	callback = function(task)
		local n = header_number(task, 'X-Test-Options') or 0
		for i = 1, n do
			task:insert_result('TEST_MANY', 1.0 / n, string.format('option-%06d-%s', i, string.rep('x', 40)))
		end
	end }

-- Bytes that must not reach an Exim variable as they are.
rspamd_config:register_symbol{ name = 'TEST_HOSTILE', type = 'normal', score = 0.1, group = 'test',
	callback = function(task)
		if task:get_header('X-Test-Hostile') then
			task:insert_result('TEST_HOSTILE', 1.0, 'cr\rlf\nnul\0end',
				'\r\n\r\nAction: no action\r\nMetric: default; False; 0.00 / 15.00 / 0.0',
				'\nReport-End: complete', 'bad\255\254utf8\195', 'esc\27[31mtab\tdel\127')
		end
	end }

rspamd_config:register_symbol{ name = 'TEST_FORCE', type = 'prefilter', score = 0.0,
	callback = function(task)
		local a = task:get_header('X-Test-Action')
		if a then
			task:set_pre_result{ action = a, message = task:get_header('X-Test-Message'), module = 'test' }
		end
	end }

rspamd_config:register_symbol{ name = 'TEST_MILTER', type = 'postfilter', score = 0.0,
	callback = function(task)
		if task:get_header('X-Test-Milter') then
			task:set_milter_reply{
				add_headers = { ['X-Spam-Test'] = 'yes', ['X-Folded'] = { value = 'a\r\n\tb', order = 1 } },
				remove_headers = { ['X-Old'] = 1 } }
		end
		local text = task:get_header('X-Test-Smtp')
		if text then
			task:set_pre_result{ action = task:get_metric_action(), message = text, module = 'test' }
		end
		local subject = task:get_header('X-Test-Subject')
		if subject then
			task:set_metric_subject(subject)
		end
	end }

-- Idempotent as rspamd's own milter_headers, for a rejection ends the scan.
rspamd_config:register_symbol{ name = 'TEST_REJECT', type = 'idempotent', score = 0.0, flags = 'empty',
	callback = function(task)
		local word = task:get_header('X-Test-Reject')
		if word then
			task:set_milter_reply{ reject = word }
		end
	end }

-- A slow scan: connects to a port that accepts and never answers.
rspamd_config:register_symbol{ name = 'TEST_SLEEP', type = 'normal', score = 0.0,
	callback = function(task)
		local seconds = header_number(task, 'X-Test-Sleep')
		if seconds then
			rspamd_tcp.request{ task = task, host = '127.0.0.1', port = @MUTE@, timeout = seconds,
				data = {'x\n'},
				callback = function(err) task:insert_result('TEST_SLEEP', 1.0, tostring(err)) end }
		end
	end }

for i = 1, 900 do
	rspamd_config:register_symbol{ name = string.format('TEST_BULK_%03d', i), type = 'normal',
		score = 0.01, group = 'test', description = 'bulk symbol number ' .. i,
		callback = function(task)
			local n = header_number(task, 'X-Test-Bulk')
			if n and i <= n then
				return true, 1.0, 'some option'
			end
		end }
end

-- What rspamd was told about this message: one JSON object a line.
local request_headers = { 'IP', 'From', 'Rcpt', 'Helo', 'Hostname', 'User', 'Queue-Id', 'Deliver-To',
	'MTA-Name', 'MTA-Tag', 'Flags', 'Pass', 'Settings', 'Settings-ID', 'File', 'User-Agent', 'Log-Tag' }

local function addresses(list)
	local out = {}
	for _, a in ipairs(list or {}) do
		table.insert(out, a.addr)
	end
	return out
end

rspamd_config:register_symbol{ name = 'TEST_SEEN', type = 'idempotent', score = 0.0, flags = 'empty',
	callback = function(task)
		local content = tostring(task:get_content())
		local sent = {}
		for _, name in ipairs(request_headers) do
			local value = task:get_request_header(name)
			if value then
				sent[name] = tostring(value)
			end
		end
		local ip = task:get_from_ip()
		local from = task:get_from('smtp')
		local seen = {
			ip = ip and ip:is_valid() and tostring(ip) or nil,
			from = from and from[1] and from[1].addr or nil,
			rcpt = addresses(task:get_recipients('smtp')),
			helo = task:get_helo(),
			hostname = task:get_hostname(),
			user = task:get_user(),
			queue_id = task:get_queue_id(),
			test_id = task:get_header('X-Test-Id'),
			message_id = task:get_message_id(),
			headers = sent,
			size = #content,
			sha256 = rspamd_hash.create_specific('sha256', content):hex(),
		}
		local file = io.open('@DIR@/seen.jsonl', 'a')
		file:write(ucl.to_format(seen, 'json-compact'), '\n')
		file:close()
	end }
