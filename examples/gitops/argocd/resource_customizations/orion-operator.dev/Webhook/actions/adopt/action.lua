-- The create took effect: this id is the webhook.
local id = actionParams["id"]
if id == nil or id == "" then
  error("the id of the Orion webhook is needed", 0)
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["orion-operator.dev/resolve"] = "adopt=" .. id
return obj
