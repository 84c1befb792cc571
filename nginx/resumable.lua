-- Uploads that survive their connection: tus 1.0.0 with creation, expiration and termination.
-- https://tus.io/protocols/resumable-upload
-- What has arrived is kept in the spool, however the connection ends; a later request brings the rest. A whole one is
-- named by a request instead of a body: {"upload": ID}. The id is the right to it, with the key where one is asked for.
local ffi = require "ffi"
local now_s = require "clock"
local keys = require "keys"
local uploads = require "uploads"
ffi.cdef [[
  int link(const char *old, const char *new);
  int mkdir(const char *path, unsigned int mode);
]]
local SPOOL = "/spool"
local FOLDER = SPOOL .. "/kept"
local READ_BYTES = 256 * 1024
local ENOSPC, EDQUOT = 28, 122

local resumable = {}
local kept, count, of_client = {}, 0, {}   -- by id; how many, and how many of each client

local function path_of(id) return FOLDER .. "/" .. id end

local function forget(id)
  local upload = kept[id]
  if not upload then return end
  kept[id], count = nil, count - 1
  uploads.promised = uploads.promised - upload.length
  local others = of_client[upload.client] - 1
  of_client[upload.client] = others > 0 and others or nil
  os.remove(path_of(id))
end

-- Its time is CLIPLANE_UPLOAD_TIMEOUT_S, as any upload's, and as long again once it is whole.
local function watch(is_ending, id)
  local upload = kept[id]
  if is_ending or not upload then return end
  local left = upload.expires - now_s()
  if left <= 0 then return forget(id) end
  ngx.timer.at(left, watch, id)
end

-- When the worker begins: it knows of no upload, so what lies there is nobody's.
function resumable.begin()
  os.execute("rm -f " .. FOLDER .. "/*")
end

local function headers(upload)
  ngx.header["Upload-Offset"], ngx.header["Upload-Length"] = upload.offset, upload.length
  local expires = ngx.time() + math.floor(upload.expires - now_s())   -- as the client's clock has it
  ngx.header["Upload-Expires"], ngx.header["Cache-Control"] = ngx.http_time(expires), "no-store"
end

local function create(key)
  local limits = uploads.limits
  local length = (ngx.var.http_upload_length or ""):match "^%d%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?$"
  length = tonumber(length)
  if not length then return ngx.exec("/.problem/bad-request") end
  if length > limits.upload_bytes then return ngx.exec("@too_large") end
  local client = key and key.name or ngx.var.remote_addr
  if (of_client[client] or 0) >= limits.of_client then return ngx.exec("@too_many_requests") end
  if count >= limits.under_way then return ngx.exec("@busy") end
  if uploads.promised + length > limits.spool_bytes then return ngx.exec("@spool_full") end
  ffi.C.mkdir(FOLDER, tonumber("750", 8))  -- it is there from the first upload on
  local random = assert(io.open("/dev/urandom", "rb"))
  local id = random:read(16):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  random:close()
  local file = io.open(path_of(id), "wb")
  if not file then return ngx.exec("@upload_failed") end
  file:close()
  kept[id] = {length = length, offset = 0, client = client, key = key and key.name, turn = 0, expires = now_s() + limits.seconds}
  count, of_client[client] = count + 1, (of_client[client] or 0) + 1
  uploads.promised = uploads.promised + length
  ngx.timer.at(limits.seconds, watch, id)
  headers(kept[id])
  ngx.header["Location"] = "uploads/" .. id       -- relative, so that it holds behind any gateway
  ngx.status = 201
end

-- Writes what comes, as it comes. Ends without an answer where the connection ends, and where a later request has come:
-- its client knows that this connection is dead, though nobody has told the server.
local function append(id, upload)
  local limits = uploads.limits
  local left, turn = tonumber(ngx.var.http_content_length), upload.turn
  if ngx.var.http_content_type ~= "application/offset+octet-stream" or not left then return ngx.exec("/.problem/bad-request") end
  if tonumber(ngx.var.http_upload_offset) ~= upload.offset then return ngx.exec("@upload_offset") end
  if upload.offset + left > upload.length then return ngx.exec("/.problem/bad-request") end
  local file = left > 0 and io.open(path_of(id), "r+b")
  local socket = file and ngx.req.socket()
  if left > 0 and not socket then return ngx.exec("@upload_failed") end
  local window_ends, in_window = now_s() + limits.stall_s, 0
  local refusal
  if file then
    file:setvbuf("no")
    file:seek("set", upload.offset)
    socket:settimeout(limits.stall_s * 1000)
  end
  while left > 0 and not refusal do
    local data, reason = socket:receiveany(math.min(left, READ_BYTES))
    if upload.turn ~= turn or kept[id] ~= upload then refusal = "@upload_offset"
    elseif not data then refusal = reason == "timeout" and "@upload_too_slow" or 499
    else
      local written, _, code = file:write(data)
      if not written then
        refusal = (code == ENOSPC or code == EDQUOT) and "@spool_full" or "@failed"
      else
        upload.offset, left, in_window = upload.offset + #data, left - #data, in_window + #data
        if now_s() >= window_ends then
          if in_window < limits.bytes_per_s * limits.stall_s then refusal = "@upload_too_slow" end
          window_ends, in_window = now_s() + limits.stall_s, 0
        end
      end
    end
  end
  if file then file:close() end
  if refusal == 499 then return ngx.exit(499) end
  if refusal then return ngx.exec(refusal) end
  if upload.offset == upload.length then upload.expires = now_s() + limits.seconds end
  headers(upload)
  ngx.status = 204
end

-- Content phase of /v1/uploads and of each upload's address.
function resumable.answer()
  local method, id = ngx.req.get_method(), ngx.var.uri:match "^/v1/uploads/(%x+)$"
  ngx.header["Tus-Resumable"] = "1.0.0"
  if method == "OPTIONS" then
    ngx.header["Tus-Version"], ngx.header["Tus-Extension"] = "1.0.0", "creation,expiration,termination"
    ngx.header["Tus-Max-Size"], ngx.status = uploads.limits.upload_bytes, 204
    return
  end
  local key = keys.check()
  if ngx.var.http_tus_resumable ~= "1.0.0" then
    ngx.header["Tus-Version"] = "1.0.0"
    return ngx.exec("@tus_version")
  end
  uploads.enter(0, key)
  if not id then return create(key) end
  local upload = kept[id]
  if not upload or upload.key ~= (key and key.name) then return ngx.exec("@unknown_upload") end
  if method ~= "DELETE" then upload.turn = upload.turn + 1 end
  if method == "HEAD" then
    headers(upload)
    ngx.status = 200
  elseif method == "DELETE" then
    forget(id)
    ngx.status = 204
  else
    return append(id, upload)
  end
end

-- A whole upload under another name, for the time of a request: what becomes of the upload meanwhile does not matter to
-- it. Returns the name, or where the request is refused.
function resumable.lend(id, key)
  local upload = kept[id]
  if not upload or upload.key ~= (key and key.name) then return nil, "@unknown_upload" end
  if upload.offset < upload.length then return nil, "@upload_offset" end
  local name = SPOOL .. "/kept-" .. ngx.var.connection .. "-" .. ngx.var.connection_requests
  if ffi.C.link(path_of(id), name) ~= 0 then return nil, "@failed" end
  return name
end

return resumable
