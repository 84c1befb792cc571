-- Uploads: which may begin, how long they may take, what they hold of the spool. nginx itself receives the body and writes
-- it to its file; this watches. The state is a table of the one worker's: it ends with the worker, as its uploads do.
-- https://github.com/openresty/lua-nginx-module
local ffi = require "ffi"
local now_s = require "clock"
local keys = require "keys"
ffi.cdef [[
  int chmod(const char *path, unsigned int mode);
  int access(const char *path, int mode);
]]
local WHOLE = tonumber("640", 8)     -- the lanes count the requests that are here by this: lane.py
local MAX_NAME_BYTES = 256           -- of a body {"sha256": …} or {"upload": …}, with some room
local ENOSPC, EDQUOT = 28, 122
local CLIENT_CLOSED_REQUEST = 499    -- nginx's own, of a client that leaves
-- A lane finds out that a client has left when it takes its request; so long, about, the request is still that client's.
local LEFT_S = 3

local uploads = {
  limits = {},       -- nginx-settings.conf sets them; bytes and seconds
  promised = 0,      -- bytes that the requests which are here hold of the spool, or may yet
  under_way = 0,     -- requests whose body is not whole
  whole = 0,         -- those whose body is
  waiting = 0,       -- those of them that are in a lane or its queue: no answer has come, and the client is there
}
local held = {}      -- by request: {bytes, client, is_whole}
local of_client = {} -- requests that are here, by the key's name or the address

-- Not ngx.ctx and no variable: both are emptied on the way to an error's page.
local function request()
  return ngx.var.connection .. ":" .. ngx.var.connection_requests
end

local function refusal(bytes, client, key)
  local limits = uploads.limits
  if key then
    if key.at_once > 0 and (of_client[key.name] or 0) >= key.at_once then return "@too_many_requests" end
    if not keys.has_rate(key) then return "@too_many_requests" end
  end
  if (of_client[client] or 0) >= limits.of_client then return "@too_many_requests" end
  if uploads.under_way >= limits.under_way then return "@busy" end
  if uploads.promised + bytes > limits.spool_bytes then return "@spool_full" end
end

-- The queue is for those who wait before a screen: a batch comes in where a lane is free, and asks again.
-- A job waits elsewhere, and a lane has it for a moment only.
local function is_kept_out(key)
  local preferences = "," .. ((ngx.var.http_prefer or ""):lower():gsub("%s", "")) .. ","
  local is_for_later = preferences:find(",respond%-async[,;]")  -- as routes.py reads it
  return key and key.is_batch and not is_for_later and uploads.whole >= uploads.limits.lanes
end

-- Ends the request where its body comes too slowly: too little in a window of `stall_s`, or not whole after `seconds`.
local function watch()
  local limits = uploads.limits
  local least = limits.bytes_per_s * limits.stall_s
  local ends, before = now_s() + limits.seconds, 0
  while true do
    ngx.sleep(math.min(limits.stall_s, ends - now_s()))
    local received = tonumber(ngx.var.request_length)
    if received - before < least or now_s() >= ends then return ngx.exec("@upload_too_slow") end
    before = received
  end
end

-- What a body names that is no video: "sha256" or "upload", and which; nil where it is something else.
local function named_in(path)
  local file = io.open(path)
  if not file then return nil end
  local text = file:read(MAX_NAME_BYTES)
  file:close()
  return (text or ""):match('^%s*{%s*"(%l+%d*)"%s*:%s*"(%x+)"%s*}%s*$')
end

-- Takes a request in that is charged with so many bytes of the spool; does not return where it is refused.
function uploads.enter(bytes, key)
  local client = key and key.name or ngx.var.remote_addr
  local location = refusal(bytes, client, key)
  if location then return ngx.exec(location) end
  local mine = {bytes = bytes, client = client}
  held[request()] = mine
  uploads.promised = uploads.promised + bytes
  uploads.under_way = uploads.under_way + 1
  of_client[client] = (of_client[client] or 0) + 1
  return mine
end

-- Access phase: takes the request in, and returns when its body is whole.
function uploads.admit()
  local bytes = tonumber(ngx.var.http_content_length)
  if not bytes then bytes = ngx.var.http_transfer_encoding and uploads.limits.upload_bytes or 0 end
  local key = keys.check()
  local type = (ngx.var.http_content_type or ""):lower()
  local may_be_name = bytes <= MAX_NAME_BYTES and type:find("application/json", 1, true) == 1
  local is_unwanted = is_kept_out(key)
  if is_unwanted and not may_be_name then return ngx.exec("@busy") end
  local mine = uploads.enter(bytes, key)
  local watcher = ngx.thread.spawn(watch)
  ngx.req.read_body()
  ngx.thread.kill(watcher)
  mine.is_whole = true
  uploads.under_way, uploads.whole = uploads.under_way - 1, uploads.whole + 1
  local received = math.min(bytes, tonumber(ngx.var.request_length))
  uploads.promised, mine.bytes = uploads.promised - bytes + received, received
  local file = ngx.req.get_body_file()
  ngx.var.cliplane_spool_path = file or ""
  local kind, name
  if may_be_name and file then kind, name = named_in(file) end
  if kind == "sha256" then         -- what is kept is the control plane's to tell: no lane is waited for
    ngx.var.cliplane_plane = "control"
    return
  end
  if is_unwanted then return ngx.exec("@busy") end
  -- The kernel's queue is longer than this one: it keeps those whose clients have left until a lane takes them.
  if uploads.waiting >= uploads.limits.lanes + uploads.limits.queue then return ngx.exec("@busy") end
  if kind == "upload" then
    local refused_at
    mine.lent, refused_at = require("resumable").lend(name, key)
    if not mine.lent then return ngx.exec(refused_at) end
    file, ngx.var.cliplane_spool_path, ngx.var.cliplane_content_type = mine.lent, mine.lent, "application/octet-stream"
  end
  mine.is_waiting, uploads.waiting = true, uploads.waiting + 1
  if file then ffi.C.chmod(file, WHOLE) end
end

-- Header filter: a lane answers, and has answered whole but for an event stream, in the midst of which it works on.
function uploads.answered()
  local mine = held[request()]
  local stream = (ngx.header.content_type or ""):find("text/event-stream", 1, true) == 1
  if mine and mine.is_waiting and not stream then mine.is_waiting, uploads.waiting = false, uploads.waiting - 1 end
end

local function give_back(client)
  local others = of_client[client] - 1
  of_client[client] = others > 0 and others or nil
end

-- Log phase, of every request however it ended: gives back what it held.
function uploads.release()
  local mine = held[request()]
  if not mine then return end
  held[request()] = nil
  if mine.lent then os.remove(mine.lent) end
  uploads.promised = uploads.promised - mine.bytes
  if mine.is_whole then uploads.whole = uploads.whole - 1 else uploads.under_way = uploads.under_way - 1 end
  if mine.is_waiting then uploads.waiting = uploads.waiting - 1 end
  local has_left = mine.is_waiting and ngx.status == CLIENT_CLOSED_REQUEST
  if not (has_left and ngx.timer.at(LEFT_S, function() give_back(mine.client) end)) then give_back(mine.client) end
end

-- Whether files cannot be written there for another reason than that no space is left. Asked after a failure alone.
function uploads.is_broken(folder)
  local path = folder .. "/probe"
  local file, _, code = io.open(path, "w")
  if file then
    local written
    written, _, code = file:write(("\0"):rep(65536))
    if written then written, _, code = file:flush() end
    file:close()
    os.remove(path)
    if written then return false end
  end
  return code ~= ENOSPC and code ~= EDQUOT
end

-- Whether anybody listens there. The file of a socket whose process was killed stays until supervisord.conf's `rm`.
function uploads.is_listening(path)
  if ffi.C.access(path, 0) ~= 0 then return false end
  for line in io.lines("/proc/net/unix") do     -- flag 00010000: it listens (man 5 proc_net)
    if line:find(" 00010000 ", 1, true) and line:find(path, 1, true) then return true end
  end
  return false
end

return uploads
