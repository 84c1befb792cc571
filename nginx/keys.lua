-- API keys: who asks. A file of lines `name sha256 at_once rate priority`; a key itself is kept nowhere. What the file
-- says is believed for a second, so that it changes without a restart.
local ffi = require "ffi"
local now_s = require "clock"
ffi.cdef "unsigned char *SHA256(const unsigned char *data, size_t length, unsigned char *digest);"

local keys = {file = nil}   -- nginx-settings.conf sets it where a key is asked for
local known, read_at = {}, -1
local buckets = {}          -- by name: what is left of its rate

local digest = ffi.new "unsigned char[32]"
local function sha256(text)
  ffi.C.SHA256(text, #text, digest)
  return (ffi.string(digest, 32):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function read()
  if now_s() - read_at < 1 then return known end
  known, read_at = {}, now_s()
  local file, reason = io.open(keys.file)
  if not file then
    ngx.log(ngx.CRIT, "no key is valid: ", reason)
    return known
  end
  for line in file:lines() do
    local name, hash, at_once, rate, priority = line:match "^([%w._-]+)%s+(%x+)%s+(%d+)%s+(%d+)%s+(%l+)%s*$"
    if name and #hash == 64 then
      known[hash:lower()] = {name = name, at_once = tonumber(at_once), rate = tonumber(rate), is_batch = priority == "batch"}
    end
  end
  file:close()
  return known
end

-- Access phase: the request's key, nil where none is asked for. A stranger's request ends here, before its body is taken.
function keys.check()
  if not keys.file then return nil end
  local token = (ngx.var.http_authorization or ""):match "^[Bb]earer%s+(%S+)$"
  local key = token and read()[sha256(token)]
  if not key then return ngx.exec("@unauthorized") end
  ngx.var.cliplane_key, ngx.var.cliplane_key_priority = key.name, key.is_batch and "batch" or "interactive"
  return key
end

-- Whether its rate lets another request in: a bucket of two seconds' worth. 0: no limit.
function keys.has_rate(key)
  if key.rate == 0 then return true end
  local most, now = 2 * key.rate, now_s()
  local bucket = buckets[key.name] or {left = most, at = now}
  bucket.left = math.min(most, bucket.left + (now - bucket.at) * key.rate)
  bucket.at, buckets[key.name] = now, bucket
  if bucket.left < 1 then return false end
  bucket.left = bucket.left - 1
  return true
end

return keys
