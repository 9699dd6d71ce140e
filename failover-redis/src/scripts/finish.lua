
-- What every script ends with: its own part is main().
local done, answer = pcall(function()
  check_identity()
  return main()
end)
if not done and type(answer) == 'string' then -- the server's own error
  return redis.error_reply(answer)
end
return answer
