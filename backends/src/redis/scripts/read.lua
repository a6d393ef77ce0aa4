-- Writes nothing.
if not exists then return { 'none' } end
return answer(damaged and 'damaged' or 'record')
