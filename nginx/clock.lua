-- The time by a clock that nobody sets: a time of day that leaps would end uploads, or let a key live on that was taken away.
local ffi = require "ffi"
ffi.cdef "extern volatile uintptr_t ngx_current_msec;"   -- nginx's own, of its timers: ngx_times.h

-- Seconds since some moment; as ngx.now(), it stands still until the event loop turns.
return function() return tonumber(ffi.C.ngx_current_msec) / 1000 end
