-- Only on deletion: drops the finalizer. The webhook may still be at Orion.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["orion-operator.dev/resolve"] = "abandon"
return obj
