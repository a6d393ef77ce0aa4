-- Writes nothing.
if #flat == 0 then return { 'none' } end
return { damaged and 'damaged' or 'record', whole(now), flat }
