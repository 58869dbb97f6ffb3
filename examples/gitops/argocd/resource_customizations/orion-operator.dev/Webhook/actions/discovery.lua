local suspended = obj.spec ~= nil and obj.spec.suspend == true
local deleting = obj.metadata.deletionTimestamp ~= nil
local reason = ""
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if condition.type == "Ready" then
      reason = condition.reason
    end
  end
end
local unresolved = not deleting and reason == "CreateUnresolved"
local gone = not deleting and (reason == "MassDrift" or reason == "EndpointChanged")

local actions = {}
actions["refresh"] = { ["iconClass"] = "fa fa-fw fa-sync" }
actions["suspend"] = { ["disabled"] = suspended, ["iconClass"] = "fa fa-fw fa-pause" }
actions["resume"] = { ["disabled"] = not suspended, ["iconClass"] = "fa fa-fw fa-play" }
-- A person's decision, where the operator must not guess.
actions["adopt"] = {
  ["disabled"] = not unresolved,
  ["displayName"] = "Resolve: this Orion webhook is it",
  ["params"] = { { ["name"] = "id" } },
}
actions["retry"] = { ["disabled"] = not unresolved, ["displayName"] = "Resolve: Orion has none, create it" }
actions["recreate"] = { ["disabled"] = not gone, ["displayName"] = "Resolve: it is gone, create it anew" }
actions["abandon"] = { ["disabled"] = not deleting, ["displayName"] = "Resolve: let it go, send nothing to Orion" }
return actions
