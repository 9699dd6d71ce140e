local function main()
  return view('view', lease_now())
end
