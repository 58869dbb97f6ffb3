-- The create did not take effect: it is sent again. The token says which one is meant: it is the first word of an
-- annotation. Argo CD gives no string library, but strings can be compared, so the word is found letter by letter.
local attempt = (obj.metadata.annotations or {})["orion-operator.dev/create-attempt"] or ""
local letters = { "-", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j",
  "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z" }
local token = ""
local longer = true
while longer do
  longer = false
  for _, letter in ipairs(letters) do
    local more = token .. letter
    -- "~" comes after all letters: what begins with `more` lies between.
    if attempt >= more and attempt < more .. "~" then
      token = more
      longer = true
      break
    end
  end
end
if attempt == "" or obj.status.settledAttempt == token then
  token = "none"
elseif not (attempt == token or (attempt >= token .. " " and attempt < token .. "!")) then
  error("the annotation orion-operator.dev/create-attempt cannot be read: take the command in the Webhook's message", 0)
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["orion-operator.dev/resolve"] = "retry=" .. token
return obj
