-- A mix of what Lua programs do with memory: tables of all sizes, strings, closures, objects that
-- live for a while.
--
-- lua5.4 mix.lua N: N rounds; prints a checksum that depends on nothing but N (tables are walked in
-- order of their keys: pairs() has another order in each process). One of the programs of
-- bench/run-programs.

local state = 4711
local function draw(limit)
  state = (state * 1103515245 + 12345) % 2147483648
  return (state >> 12) % limit
end

local function checksum(text, start)
  local sum = start
  for i = 1, #text, 7 do sum = (sum * 31 + text:byte(i)) % 4294967291 end
  return sum
end

local Tree = {}
Tree.__index = Tree

local function tree(depth)
  local node = setmetatable({ value = draw(1000) }, Tree)
  if depth > 0 then node.left, node.right = tree(depth - 1), tree(depth - 1) end
  return node
end

function Tree:sum()
  if not self.left then return self.value end
  return self.value + self.left:sum() - self.right:sum()
end

-- Text made piece by piece, taken apart by patterns, put together sorted.
local function text_round(words)
  local pieces = {}
  for i = 1, 1500 do
    pieces[i] = words[1 + draw(#words)] .. "=" .. draw(100000) .. (i % 9 == 0 and "\n" or ";")
  end
  local text = table.concat(pieces)
  local found = {}
  for key, value in text:gmatch("(%a+)=(%d+)") do found[#found + 1] = key:upper() .. value end
  table.sort(found)
  local marked = text:gsub("%d+", function(number) return "<" .. number .. ">" end)
  return checksum(table.concat(found, ","), checksum(marked, 1))
end

-- Closures over tables, called and dropped.
local function closure_round()
  local actions, total = {}, 0
  for i = 1, 3000 do
    local box = { i, draw(50) }
    actions[i] = function(x) box[#box + 1] = x; return #box * box[2] end
  end
  for i = 1, 9000 do total = total + actions[1 + draw(3000)](i) end
  return total
end

-- Records that stay from round to round, found by key.
local function record_round(words, kept)
  local total = 0
  for _ = 1, 5000 do
    local key = words[1 + draw(#words)] .. draw(8)
    local record = kept[key]
    if record and draw(3) == 0 then
      total = total + #record.list
      kept[key] = nil
    else
      local text = string.rep("y", draw(120)) .. key
      kept[key] = { name = key, list = { draw(9), draw(9), draw(9) }, text = text,
        at = { x = draw(9), y = 1 } }
    end
  end
  return total
end

local words = {}
for i = 1, 3000 do
  local letters = {}
  for j = 1, 2 + draw(9) do letters[j] = string.char(97 + draw(26)) end
  words[i] = table.concat(letters)
end
local kept, total = {}, 0
for _ = 1, tonumber(arg[1]) do
  total = (total * 7 + text_round(words) + closure_round() + record_round(words, kept)
    + tree(12):sum()) % 4294967291
end
print(total)
