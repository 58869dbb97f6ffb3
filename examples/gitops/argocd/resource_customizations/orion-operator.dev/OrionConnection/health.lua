-- As kstatus reads it, but that a suspended object is Suspended.
if obj.spec ~= nil and obj.spec.suspend == true then
  return { status = "Suspended", message = "Reconciliation is suspended" }
end
local hs = { status = "Progressing", message = "Waiting for the operator" }
if obj.status == nil or obj.status.conditions == nil then
  return hs
end
if obj.status.observedGeneration ~= obj.metadata.generation then
  hs.message = "The operator has not seen the latest change yet"
  return hs
end
local by = {}
for _, condition in ipairs(obj.status.conditions) do
  by[condition.type] = condition
end
if by.Stalled ~= nil and by.Stalled.status == "True" then
  return { status = "Degraded", message = by.Stalled.message }
end
if by.Reconciling ~= nil and by.Reconciling.status == "True" then
  return { status = "Progressing", message = by.Reconciling.message }
end
if by.Ready ~= nil then
  hs.message = by.Ready.message
  if by.Ready.status == "True" then
    hs.status = "Healthy"
  elseif by.Ready.status == "False" then
    hs.status = "Degraded"
  end
end
return hs
