-- The stored webhook is gone: a new one is created.
local id = obj.status.webhookId
if id == nil or id == "" then
  error("no webhook is stored", 0)
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["orion-operator.dev/resolve"] = "recreate=" .. id
return obj
