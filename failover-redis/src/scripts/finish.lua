
-- What every script ends with: its own part is main().
local done, answer = pcall(function()
  check_identity()
  return main()
end)
if done or (type(answer) == 'table' and not answer.err) then
  return answer
end
error(answer)
